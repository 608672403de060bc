"""Columns of a table as rules and effects see them: numbers, the places of categories, and names."""

import contextlib
from dataclasses import dataclass
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
from numpy.typing import NDArray

from skmpcc.clusterer import MPCCClusterer
from skmpcc.data.columns import CATEGORY, Columns
from skmpcc.data.frames import columns_of
from skmpcc.data.inputs import as_array


@dataclass(frozen=True)
class TableColumn:
    """A column of the user's table.

    Attributes
    ----------
    name : str
        As in the frame; "x3" for the column of the place 3 of an array.
    numbers : ndarray of shape (n,)
        NaN where a value is missing. Of categories the places of their values.
    kind : {"number", "whole", "boolean", "ordered", "category"}
    values : tuple of str
        Texts of categories, truth values or levels in order; empty for numbers.
    """

    name: str
    numbers: NDArray
    kind: str
    values: tuple[str, ...] = ()

    @property
    def is_category(self) -> bool:
        """Whether its values have no order."""
        return self.kind in (CATEGORY, "boolean")

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Tell which values are missing."""
        return np.isnan(self.numbers)

    def as_number(self) -> NDArray[np.float64]:
        return self.numbers.astype(np.float64)


def table_columns(estimator: Any, X: Any) -> list[TableColumn] | None:
    """Columns of X as a fitted estimator or the pipeline around it is given them; None of images."""
    X = as_array(X)
    known: Columns | None = None
    numbers: Any
    if isinstance(estimator, MPCCClusterer):
        data_format = estimator._fitted.format
        if estimator.image_shape is not None or len(data_format.layout.shape) > 1:
            return None
        known, numbers = data_format.columns_given, data_format.to_numbers(X)
    elif columns_of(X) is not None:
        try:
            known, numbers = Columns.learn(X, "from_dtype")
        except ValueError:
            X = _readable(X)
            known, numbers = Columns.learn(X, "from_dtype")
        numbers = X if numbers is None else numbers
    else:
        numbers = X
    numbers = np.asarray(numbers)
    if numbers.ndim != 2:
        return None
    given = columns_of(X)
    names = [name for name, _ in given] if given is not None else list(known.names if known else ())
    return [
        _column(str(names[j]) if names else f"x{j}", part, known.columns[j] if known else None)
        for j, part in enumerate(numbers.T)
    ]


def _readable(X: Any) -> Any:
    """Leave out columns of a frame that hold neither numbers nor few categories.

    A pipeline may drop them. Where none can be read, X is returned.
    """
    frame = nw.from_native(X, eager_only=True)
    kept = []
    for name in frame.columns:
        with contextlib.suppress(ValueError):
            Columns.learn(frame.select(name).to_native(), "from_dtype")
            kept.append(name)
    return frame.select(kept).to_native() if kept else X


def _column(name: str, numbers: NDArray, known: Any) -> TableColumn:
    if numbers.dtype.kind not in "fiub":  # lists of exact decimals, say
        numbers = numbers.astype(np.float64)
    if known is None:
        if numbers.dtype.kind == "b":
            return TableColumn(name, numbers, "boolean", ("False", "True"))
        return TableColumn(name, numbers, "whole" if _are_whole(numbers) else "number")
    kind = known.kind
    if kind == "number" and _are_whole(numbers):
        kind = "whole"
    return TableColumn(name, numbers, kind, tuple(map(str, known.values or ())))


def _are_whole(numbers: NDArray) -> bool:
    if numbers.dtype.kind in "iu":
        return True
    there = numbers[~np.isnan(numbers)]
    return len(there) > 0 and bool(np.all(there == np.rint(there)))
