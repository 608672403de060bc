"""The data of a fit: as they were given, and as the networks see them."""

from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from numpy.typing import NDArray
from torch import Tensor

from skmpcc.data.classes import KnownClasses
from skmpcc.data.inputs import InputFormat
from skmpcc.data.rows import RowMap, sort_rows
from skmpcc.data.sliced import Rows
from skmpcc.fitted.model import Samples
from skmpcc.pseudo_labels.graph import NeighborGraph


@dataclass(frozen=True)
class FitData:
    """Everything that a fit knows of the data; X is encoded once, here.

    Attributes
    ----------
    X : ndarray, SlicedArray or Tensor of shape (n_samples, ...)
        All rows that `fit` was given; in a tensor, as the networks see them.
    format : InputFormat
    encoded : Tensor of shape (n_rows, ...)
        The rows that the fit sees, as the networks see them, in an order that does not depend on X's.
    row_map : RowMap
        Which row of X each encoded row is.
    validated : dict
        Fitted attributes that scikit-learn's validation of X made.
    known : KnownClasses or None
        Of the encoded rows; None if clusters are to be found.
    graph : NeighborGraph or None
        Neighbours among the encoded rows, where training or score look at them.
    table : Tensor of shape (n_rows, n_columns) or None
        The encoded rows in another form, in which neighbours and pseudo-labels are found.
    """

    X: Samples
    format: InputFormat
    encoded: Tensor
    row_map: RowMap
    validated: dict[str, Any]
    known: KnownClasses | None = None
    graph: NeighborGraph | None = None
    table: Tensor | None = None

    @classmethod
    def encode(
        cls,
        X: NDArray,
        data_format: InputFormat,
        validated: dict[str, Any],
        known: KnownClasses | None = None,
    ) -> Self:
        """Encode all rows of X, of which classes may be known."""
        encoded = data_format.encode_all(X)
        order = sort_rows(encoded, None if known is None else known.numbers.numpy())
        if known is not None:
            known = replace(known, numbers=known.numbers[order])
        return cls(X, data_format, encoded, RowMap(order, len(X)), validated, known)

    def with_rows(self, X: Rows, rows: NDArray | None) -> Self:
        """Return these data of `X[rows]` as those of X; None stands for all rows."""
        if rows is None:
            return self
        return replace(self, X=X, row_map=RowMap(rows[self.row_map.rows], len(X)))

    def with_graph(self, n_neighbors: int, n_clusters: int, rng: torch.Generator) -> Self:
        """Return these data with the nearest neighbours of each row, on the device of `rng`."""
        first = None if self.known is None else self.known.numbers.to(rng.device) >= 0
        graph = NeighborGraph.from_data(
            self.encoded if self.table is None else self.table,
            n_neighbors,
            n_clusters,
            rng,
            first,
            all_values=self.format.one_length,
        )
        return replace(self, graph=graph)
