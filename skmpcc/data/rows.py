"""The rows that a fit sees, and their order: by weights, and the same however X is sorted."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import gen_batches
from torch import Tensor

from skmpcc._sklearn import check_sample_weight
from skmpcc.data.inputs import as_array
from skmpcc.data.scaling import row_hashes
from skmpcc.data.sliced import Rows, SlicedArray
from skmpcc.system.random import random_state_of

# Copies of a row on average, above which as many rows are drawn as have a weight.
MAX_COPIES = 5
# Relative difference of a ratio of weights and a whole number, which arithmetic makes.
_ROUNDING = 1e-6
# Values that are reordered at once.
_VALUES = 2**24


@dataclass(frozen=True)
class RowMap:
    """A map between the rows of X and the rows that a fit sees, in its own order.

    Attributes
    ----------
    rows : ndarray of int64 of shape (n_fitted,)
        The row of X that each row of the fit is.
    n_given : int
        Rows of X.
    """

    rows: NDArray[np.int64]
    n_given: int

    def to_given(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Bring labels of the fit's rows to the rows of X; -1 where the fit does not see these."""
        out = np.full(self.n_given, -1)
        out[self.rows] = labels
        return out

    def to_fitted(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Bring labels of the rows of X to the fit's rows."""
        return labels[self.rows]


def fitted_rows(
    X: Rows,
    sample_weight: Any,
    random_state: Any,
    classes: NDArray[np.int64] | None = None,
) -> tuple[NDArray, NDArray[np.int64] | None]:
    """Return the rows of X that a fit sees, and their indices; X itself and None if it sees all.

    It sees rows by their weights, and of data that are read in slices no more than memory holds.

    Parameters
    ----------
    X : ndarray or SlicedArray
    sample_weight : array-like of shape (n_samples,) or None
    random_state : int, RandomState or None
    classes : ndarray of int of shape (n_samples,), optional
        Numbers of known classes, -1 where they are unknown. At least one row of each class that has any
        weight is seen. If not all rows are seen and there are no weights, rows of known class come
        first.

    Raises
    ------
    ValueError
        The weights are not one finite number for each row, one is negative, or fewer than two are
        positive; or a single row is larger than what memory is to hold.
    """
    if isinstance(X, SlicedArray):
        X.check_rows()
    if sample_weight is None:
        if not isinstance(X, SlicedArray):
            return X, None
        keys = random_state_of(random_state).random_sample(len(X))
        if classes is not None:
            keys -= classes >= 0
        rows = np.sort(np.argpartition(keys, X.max_rows)[: X.max_rows])
        rows = _with_all_classes(rows, classes, np.ones(len(X)), None, X.max_rows)
        return X.take(rows), rows
    weights = check_sample_weight(as_array(sample_weight), X)
    n_positive = np.count_nonzero(weights)
    if n_positive < 2:
        which = "all but one" if n_positive else "all"
        raise ValueError(
            f"sample_weight is zero for {which} of {len(X)} samples; at least 2 need a positive weight."
        )
    at_most = X.max_rows if isinstance(X, SlicedArray) else None
    copied = whole_copies(weights, at_most)
    if copied is not None:
        rows = copied
    else:
        hashes = _hashes(X)
        rows = drawn_copies(weights, hashes, random_state_of(random_state), at_most)
        rows = _with_all_classes(rows, classes, weights, hashes, at_most)
    return X.take(rows) if isinstance(X, SlicedArray) else X[rows], rows


def whole_copies(weights: NDArray[np.float64], at_most: int | None = None) -> NDArray[np.int64] | None:
    """Repeat rows as often as weights say that are in the ratio of small whole numbers, in rising order.

    None if they are not, or ask for more than `MAX_COPIES` of a row on average, or more than `at_most`.
    """
    positive = weights > 0
    with np.errstate(over="ignore"):
        ratios = weights[positive] / weights[positive].min()
    limit = MAX_COPIES * len(ratios)
    if at_most is not None:
        limit = min(limit, at_most)
    # The smallest weight is some copies, at most as many as all have on average.
    for of_smallest in range(1, MAX_COPIES + 1):
        wanted = of_smallest * ratios
        if not wanted.sum() <= limit * (1.0 + _ROUNDING):
            return None
        copies = np.rint(wanted)
        if np.all(np.abs(wanted - copies) <= _ROUNDING * wanted):
            return np.repeat(np.flatnonzero(positive), copies.astype(np.int64))
    return None


def drawn_copies(
    weights: NDArray[np.float64],
    hashes: NDArray[np.uint64],
    rng: np.random.RandomState,
    at_most: int | None = None,
) -> NDArray[np.int64]:
    """Repeat rows in proportion to weights of any ratio, in rising order.

    A row of the smallest weight counts once, unless that asks for more than `MAX_COPIES` of a row on
    average: then as many rows are drawn as have a weight; or `at_most`. Numbers of copies are rounded
    up or down at random, by systematic resampling (J. Carpenter, P. Clifford and P. Fearnhead, 1999), in
    the order of the rows' hashes, so that another order of rows gives the same rows.
    """
    n_positive = np.count_nonzero(weights)
    with np.errstate(over="ignore"):
        n_rows = (weights / weights[weights > 0].min()).sum()
    n_rows = math.ceil(n_rows) if n_rows <= MAX_COPIES * n_positive else n_positive
    if at_most is not None:
        n_rows = min(n_rows, at_most)
    order = np.lexsort((weights, hashes))
    ends = np.cumsum((weights / weights.max())[order])
    ends *= n_rows / ends[-1]
    copies = np.empty(len(weights), dtype=np.int64)
    copies[order] = np.diff(np.floor(ends + rng.uniform()), prepend=0.0)
    return np.repeat(np.arange(len(weights)), copies)


def _with_all_classes(
    rows: NDArray[np.int64],
    classes: NDArray[np.int64] | None,
    weights: NDArray[np.float64],
    hashes: NDArray[np.uint64] | None,
    at_most: int | None,
) -> NDArray[np.int64]:
    """Add the heaviest row of each class that has a weight and no row yet."""
    if classes is None:
        return rows
    lost = np.setdiff1d(classes[(weights > 0) & (classes >= 0)], classes[rows])
    if not len(lost):
        return rows
    order = np.lexsort((np.arange(len(weights)) if hashes is None else hashes, -weights))
    of_lost = order[np.isin(classes[order], lost)]
    added = of_lost[np.unique(classes[of_lost], return_index=True)[1]]
    if at_most is not None:
        # In the place of some of the most frequent class.
        most = np.bincount(classes[rows] + 1).argmax() - 1
        too_many = max(0, len(rows) + len(added) - at_most)
        rows = np.delete(rows, np.flatnonzero(classes[rows] == most)[:too_many])
    return np.sort(np.concatenate([rows, added]))


def _hashes(X: Rows) -> NDArray[np.uint64]:
    parts = X.parts() if isinstance(X, SlicedArray) else [(slice(None), X)]
    return np.concatenate([row_hashes(values) for _, values in parts])


def sort_rows(data: Tensor, ties: NDArray | None = None) -> NDArray[np.int64]:
    """Sort rows in place, by a hash of what they hold.

    The result is the same for any order that they come in, and looks random.

    Parameters
    ----------
    data : Tensor of float32 of shape (n_samples, ...)
        On the CPU, contiguous.
    ties : ndarray of shape (n_samples,), optional
        What equal rows are sorted by.

    Returns
    -------
    order : ndarray of int64 of shape (n_samples,)
        Where each row was before.
    """
    values = data.flatten(1).numpy()
    hashes = row_hashes(values)
    order = np.argsort(hashes, kind="stable") if ties is None else np.lexsort((ties, hashes))
    for columns in gen_batches(values.shape[1], max(1, _VALUES // len(values))):
        values[:, columns] = values[order, columns]
    return order
