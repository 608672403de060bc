"""Tables with categories or missing values, to tensors and back.

Numbers are scaled as those of any table. A category is the indicators of its values, of which two
differ as much as in all columns together numbers do. What is missing is told by inputs of their own, in
columns in which values were missing in the fit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import gen_batches
from torch import Tensor

from skmpcc.data.columns import CATEGORY, Columns, ReturnsColumns
from skmpcc.data.inputs import InputFormat, Layout, floating_dtype
from skmpcc.data.scaling import TOTAL_STD, rows_at_once
from skmpcc.method.networks.table import TableInputs


@dataclass(frozen=True)
class MixedFormat(ReturnsColumns):
    """`InputFormat` of a table that has categories or missing values.

    In X categories are numbers from 0 on, and what is missing is NaN.

    Attributes
    ----------
    layout : Layout
    n_values : tuple of int
        Number of values of each column of categories, 0 for the others.
    numbers : InputFormat or None
        Of the columns of numbers, of which some may be constant; None without any that vary.
    inputs : TableInputs
        What the networks see.
    varies : ndarray of bool of shape (n_columns,)
        Whether a column has different values; the networks do not see the others.
    constants : ndarray of float64 of shape (n_columns,)
        Values of those; NaN where none is known.
    dtype : numpy dtype
        Floating dtype of what is returned.
    columns_given : Columns or None
        What the columns are to the user.
    """

    layout: Layout
    n_values: tuple[int, ...]
    numbers: InputFormat | None
    inputs: TableInputs
    varies: NDArray[np.bool_]
    constants: NDArray[np.float64]
    dtype: np.dtype
    columns_given: Columns | None = None

    # What other formats may have, and this has not.
    rotation = None
    one_length = False

    @classmethod
    def from_data(
        cls, X: NDArray, columns: Columns | None = None, scaling: str = "auto"
    ) -> "MixedFormat":
        """Learn from the data of a fit, of shape (n_samples, n_columns)."""
        n_values = columns.n_values if columns is not None else (0,) * X.shape[1]
        missing = np.isnan(X)
        least, largest = np.fmin.reduce(X, axis=0), np.fmax.reduce(X, axis=0)
        varies = least < largest
        if not varies.any():
            raise ValueError(
                "X has no column in which two values differ, of those that are not missing, so that "
                "there is nothing to learn."
            )
        is_number = np.array(n_values) == 0
        n_numbers, n_groups = int((is_number & varies).sum()), int((~is_number & varies).sum())
        numbers = None
        if n_numbers:
            of_numbers = np.stack([_completed(column) for column in X[:, is_number].T], axis=1)
            numbers = InputFormat.from_data(of_numbers, Layout((of_numbers.shape[1],)), scaling=scaling)
            share = n_numbers / (n_numbers + n_groups)
            numbers = replace(numbers, scale=numbers.scale / np.sqrt(share), rotation=None)
        which = [*np.flatnonzero(is_number & varies), *np.flatnonzero(~is_number & varies)]
        inputs = TableInputs(
            n_numbers,
            tuple(n_values[i] for i in which[n_numbers:]),
            tuple(place for place, i in enumerate(which) if missing[:, i].any()),
            _unit(X, which[n_numbers:], len(which)),
        )
        constants = least.astype(np.float64)
        dtype = floating_dtype(X)
        return cls(Layout(X.shape[1:]), n_values, numbers, inputs, varies, constants, dtype, columns)

    @property
    def tensor_shape(self) -> tuple[int, ...]:
        """Shape of a row as the networks see it."""
        return (self.inputs.n_inputs,)

    @property
    def limits(self) -> NDArray[np.float64] | None:
        """Least and largest numbers that are let through."""
        return None if self.numbers is None else self.numbers.limits

    @property
    def is_of_one_scale(self) -> bool:
        """Whether all numbers are divided by the same one."""
        return self.numbers is None or self.numbers.is_of_one_scale

    @property
    def _is_number(self) -> NDArray[np.bool_]:
        return np.array(self.n_values) == 0

    @property
    def _of_groups(self) -> NDArray[np.int64]:
        """Columns of X that the groups of indicators are of."""
        return np.flatnonzero(~self._is_number & self.varies)

    def outputs(self, X: NDArray, *, limited: bool = True) -> Tensor:
        """Scaled numbers and indicators of a batch, NaN where values are missing; (n, n_outputs)."""
        parts = []
        if self.numbers is not None:
            parts.append(self.numbers.encode(X[:, self._is_number], limited=limited))
        for column in self._of_groups:
            values = torch.from_numpy(np.ascontiguousarray(X[:, column])).float()[:, None]
            on = (values == torch.arange(self.n_values[column])).float()
            parts.append(torch.where(values.isnan(), torch.nan, self.inputs.unit * on))
        return torch.cat(parts, dim=1) if parts else torch.zeros(len(X), 0)

    def encode(self, X: NDArray, *, limited: bool = True) -> Tensor:
        """Bring a batch to what networks see; NaN for what is missing where nothing was in the fit."""
        return self.inputs.with_absences(self.outputs(X, limited=limited))

    def encode_all(self, X: NDArray) -> Tensor:
        """Encode the whole of X into one tensor."""
        out = torch.empty((len(X), *self.tensor_shape))
        for rows in gen_batches(len(X), rows_at_once(X.shape[1])):
            out[rows] = self.encode(X[rows])
        return out

    def beyond(self, X: NDArray) -> NDArray[np.float64]:
        """Return no distances from a space that rows are rotated into: they are not."""
        return np.zeros(len(X))

    def decode(self, tensor: Tensor, rng: np.random.RandomState | None = None) -> NDArray:
        """Bring the networks' rows to X's form: the most probable categories, or with `rng` draws."""
        X = np.tile(self.constants, (len(tensor), 1))
        inputs = self.inputs
        if self.numbers is not None:
            decoded = self.numbers.decode(tensor[:, : inputs.n_numbers])
            X[:, self._is_number & self.varies] = decoded[:, self.varies[self._is_number]]
        for column, (start, stop) in zip(self._of_groups, inputs.groups, strict=True):
            shares = tensor[:, start:stop].double().cpu().numpy()
            X[:, column] = shares.argmax(axis=1) if rng is None else _drawn(shares, rng)
        return X.astype(self.dtype)


def format_of(
    X: NDArray, layout: Layout, columns: Columns | None, scaling: str, **of_images: Any
) -> InputFormat | MixedFormat:
    """Find the form in which the networks see the data of a fit.

    Parameters
    ----------
    X : ndarray of shape (n_samples, ...)
    layout : Layout
    columns : Columns or None
        What the columns of X are to the user.
    scaling : str
        See `scale_table`.
    **of_images
        Further arguments of `InputFormat.from_data`.

    Raises
    ------
    ValueError
        Values of images are missing, or columns of them categories; or no column has two values.
    """
    has_gaps = has_missing(X)
    has_categories = columns is not None and any(column.kind == CATEGORY for column in columns.columns)
    if layout.image is not None and has_gaps:
        raise ValueError("Input X contains NaN. Values may be missing in tables, but not in images.")
    if layout.image is not None and has_categories:
        raise ValueError(
            "Columns of X hold categories, so that its rows are no images: leave out image_shape."
        )
    if has_gaps or has_categories:
        return MixedFormat.from_data(X, columns, scaling)
    found = InputFormat.from_data(X, layout, scaling=scaling, **of_images)
    return replace(found, columns_given=columns)


def has_missing(X: NDArray) -> bool:
    """Whether an array without infinite values has NaN."""
    with np.errstate(over="ignore", invalid="ignore"):
        # Finite values may add up to infinity; of that and its opposite comes NaN, too.
        return X.dtype.kind == "f" and bool(np.isnan(X.sum())) and bool(np.isnan(X).any())


def _completed(column: NDArray) -> NDArray:
    """Fill gaps of a column evenly by the values that are there, which leaves its quantiles."""
    gaps = np.isnan(column)
    if not gaps.any():
        return column
    there = np.sort(column[~gaps])
    column = column.copy()
    if not len(there):
        column[:] = 0.0
        return column
    places = (np.arange(gaps.sum()) + 0.5) / gaps.sum() * len(there)
    column[gaps] = there[places.astype(np.int64)]
    return column


def _unit(X: NDArray, of_groups: Sequence[int], n_columns: int) -> float:
    """Value of indicators with which all columns of categories have their share of the variance."""
    variance = 0.0
    for column in of_groups:
        values = X[:, column]
        shares = np.bincount(values[~np.isnan(values)].astype(np.int64)) / np.sum(~np.isnan(values))
        variance += 1.0 - float((shares**2).sum())
    if not of_groups:
        return TOTAL_STD / np.sqrt(max(1, n_columns))
    return float(TOTAL_STD * np.sqrt(len(of_groups) / n_columns / variance))


def _drawn(shares: NDArray, rng: np.random.RandomState) -> NDArray[np.int64]:
    """Draw a value of each row, in proportion to its shares."""
    ends = np.cumsum(np.clip(shares, 0.0, None), axis=1)
    return (rng.random_sample(len(shares))[:, None] * ends[:, -1:] > ends).sum(axis=1)
