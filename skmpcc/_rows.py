"""The rows that a fit sees, and their order: by weights, and the same however X is sorted."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import gen_batches
from sklearn.utils.validation import _check_sample_weight
from torch import Tensor

from skmpcc._latent import random_state_of
from skmpcc._sliced import Rows, SlicedArray
from skmpcc.inputs import CHUNK, as_array

# Rows that whole weights may make of one on average; of more, as many are drawn as have a weight.
MAX_COPIES = 5
# Weights above which whole numbers are no counts.
_MAX_COUNT = 2**31
# Values that are reordered at once.
_VALUES = 2**24


def fitted_rows(
    X: Rows,
    sample_weight: Any,
    random_state: Any,
    first: NDArray[np.bool_] | None = None,
) -> tuple[NDArray, NDArray[np.int64] | None]:
    """Return the rows of X that a fit sees, and their indices; X itself and None if it sees all.

    It sees rows by their weights, and of data that are read in slices no more than memory holds.

    Parameters
    ----------
    X : ndarray or SlicedArray
    sample_weight : array-like of shape (n_samples,) or None
    random_state : int, RandomState or None
    first : ndarray of bool of shape (n_samples,), optional
        Rows that others are drawn after, where not all are seen and there are no weights.

    Raises
    ------
    ValueError
        The weights are not one finite number for each row, one is negative, or fewer than two are
        positive.
    """
    if sample_weight is None:
        if not isinstance(X, SlicedArray):
            return X, None
        keys = random_state_of(random_state).random_sample(len(X))
        if first is not None:
            keys -= first
        rows = np.sort(np.argpartition(keys, X.max_rows)[: X.max_rows])
        return X.take(rows), rows
    weights = _check_sample_weight(
        as_array(sample_weight),
        X,
        dtype=np.float64,
        ensure_non_negative=True,
        allow_all_zero_weights=True,
    )
    n_positive = np.count_nonzero(weights)
    if n_positive < 2:
        which = "all but one" if n_positive else "all"
        raise ValueError(
            f"sample_weight is zero for {which} of {len(X)} samples; at least 2 have to count."
        )
    rng = random_state_of(random_state)
    if isinstance(X, SlicedArray):
        rows = rows_by_weight(weights, rng, X.max_rows)
        return X.take(rows), rows
    rows = rows_by_weight(weights, rng)
    return X[rows], rows


def rows_by_weight(
    weights: NDArray[np.float64], rng: np.random.RandomState, at_most: int | None = None
) -> NDArray[np.int64]:
    """Repeat rows in proportion to their weights, in rising order.

    Whole weights are numbers of copies, less a common factor, unless they are more than `MAX_COPIES` on
    average. All others are rounded up or down at random, by systematic resampling (J. Carpenter, P.
    Clifford and P. Fearnhead, 1999), so that as many rows are drawn as have a weight, or `at_most`.
    """
    positive = weights[weights > 0]
    copies = None
    if weights.max() < _MAX_COUNT and np.all(positive == np.floor(positive)):
        copies = weights.astype(np.int64) // np.gcd.reduce(positive.astype(np.int64))
    elif np.all(positive == positive[0]):
        copies = (weights > 0).astype(np.int64)
    n_rows, limit = len(positive), MAX_COPIES * len(positive)
    if at_most is not None:
        n_rows, limit = min(n_rows, at_most), min(limit, at_most)
    if copies is None or copies.sum() > limit:
        ends = np.cumsum(weights / weights.max())
        ends *= n_rows / ends[-1]
        copies = np.diff(np.floor(ends + rng.uniform()), prepend=0.0).astype(np.int64)
    return np.repeat(np.arange(len(weights)), copies)


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
    bits = values.view(np.uint32)
    factors = np.random.default_rng(0).integers(2**64, size=bits.shape[1], dtype=np.uint64)
    hashes = np.empty(len(bits), dtype=np.uint64)
    for rows in gen_batches(len(bits), CHUNK):
        # Modulo 2^64, so that sums do not depend on how they are taken.
        np.sum(bits[rows] * (factors | np.uint64(1)), axis=1, out=hashes[rows])
    order = np.argsort(hashes, kind="stable") if ties is None else np.lexsort((ties, hashes))
    for columns in gen_batches(values.shape[1], max(1, _VALUES // len(values))):
        values[:, columns] = values[order, columns]
    return order
