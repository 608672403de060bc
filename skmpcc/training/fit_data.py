"""The data of a fit: as they were given, and as the networks see them."""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from skmpcc.data.classes import KnownClasses
from skmpcc.data.imputation import Imputation
from skmpcc.data.inputs import InputFormat
from skmpcc.data.mixed import MixedFormat
from skmpcc.data.outliers import Outliers
from skmpcc.data.rows import RowMap, sort_rows
from skmpcc.data.sliced import Rows
from skmpcc.fitted.model import FittedModel, Samples
from skmpcc.method.networks.table import TableInputs
from skmpcc.pseudo_labels.graph import NeighborGraph
from skmpcc.pseudo_labels.variables import Variables


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
    variables : Variables or None
        Of a table that has categories or missing values, of which `table` is the completed form.
    imputation : Imputation or None
        What completed it.
    outliers : Outliers or None
        What tells rows that belong to no cluster, which are not among the encoded ones.
    """

    X: Samples
    format: InputFormat | MixedFormat
    encoded: Tensor
    row_map: RowMap
    validated: dict[str, Any]
    known: KnownClasses | None = None
    graph: NeighborGraph | None = None
    table: Tensor | None = None
    variables: Variables | None = None
    imputation: Imputation | None = None
    outliers: Outliers | None = None

    @classmethod
    def encode(
        cls,
        X: NDArray,
        data_format: InputFormat | MixedFormat,
        validated: dict[str, Any],
        known: KnownClasses | None = None,
        last: FittedModel | None = None,
    ) -> Self:
        """Encode all rows of X, of which classes may be known, and complete them if they are to be.

        With `last`, the training goes on from that model.
        """
        encoded = data_format.encode_all(X)
        if last is not None:
            encoded = last.filled(encoded)
        order = sort_rows(encoded, None if known is None else known.numbers.numpy())
        if known is not None:
            known = replace(known, numbers=known.numbers[order])
        data = cls(X, data_format, encoded, RowMap(order, len(X)), validated, known)
        return data.completed(last) if isinstance(data_format, MixedFormat) else data

    def completed(self, last: FittedModel | None) -> Self:
        """Return these data of a mixed table with its completed form."""
        assert isinstance(self.format, MixedFormat)
        inputs = self.format.inputs
        values = inputs.without_absences(self.encoded).double().numpy()
        if last is not None and last.imputation is not None:
            imputation = last.imputation
        else:
            imputation = Imputation.fit(values, inputs.groups)
        return replace(
            self,
            table=torch.from_numpy(imputation.completed(values)).float(),
            variables=variables_of(values, inputs),
            imputation=imputation,
        )

    @property
    def judged(self) -> Tensor:
        """The rows in which clusters are judged: without gaps, as the networks see them otherwise."""
        return self.encoded if self.variables is None or self.table is None else self.table

    def without_new_gaps(self) -> Self:
        """Fill in what is missing in columns in which nothing is in the rows that the format knows.

        With means, or as the table was completed: rows that have such gaps are mostly left out.
        """
        missing = self.encoded.isnan()
        if self.encoded.ndim > 2 or not missing.any():
            return self
        found = torch.zeros_like(self.encoded)
        if self.table is not None:
            found = functional.pad(self.table, (0, found.shape[1] - self.table.shape[1]))
        return replace(self, encoded=torch.where(missing, found, self.encoded))

    def take(self, kept: NDArray[np.bool_]) -> Self:
        """Return these data without some of the encoded rows, of which no neighbours are known yet."""
        chosen = torch.from_numpy(np.flatnonzero(kept))
        return replace(
            self,
            encoded=self.encoded[chosen],
            row_map=RowMap(self.row_map.rows[kept], self.row_map.n_given),
            table=None if self.table is None else self.table[chosen],
            variables=None if self.variables is None else self.variables.take(chosen.numpy()),
        )

    def without_outliers(self, are_outliers: NDArray[np.bool_], seed: int) -> Self:
        """Return these data without rows that belong to no cluster; all rows are compared once more.

        Parameters
        ----------
        are_outliers : ndarray of bool of shape (n_samples,)
            Of the rows of X. As many are left out.
        seed : int
        """
        outside = are_outliers[self.row_map.rows]
        inside = self.judged[torch.from_numpy(np.flatnonzero(~outside))]
        found = Outliers.among(inside, seed).with_share(self.judged, float(outside.mean()))
        return replace(self.take(~found.are_far(self.judged)), outliers=found)

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


def variables_of(values: NDArray, inputs: TableInputs) -> Variables:
    """Variables of outputs of a table, NaN where values are missing."""
    is_indicator = np.arange(inputs.n_outputs) >= inputs.n_numbers
    codes = [
        np.where(np.isnan(values[:, start]), -1, values[:, start:stop].argmax(axis=1))
        for start, stop in inputs.groups
    ]
    gaps = np.isnan(values)
    numbers = list(values[:, : inputs.n_numbers].T)
    return Variables.from_columns(codes, numbers, is_indicator, gaps if gaps.any() else None)


def table_inputs(data: FitData) -> TableInputs | None:
    """Return what the networks' inputs are, of a table that has categories or missing values."""
    return data.format.inputs if isinstance(data.format, MixedFormat) else None
