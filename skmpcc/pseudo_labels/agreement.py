"""Agreement of clusterings of the same samples."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.metrics.cluster import contingency_matrix


def rand_indices(clusterings: Sequence[NDArray]) -> NDArray[np.float64]:
    """Adjusted Rand indices of all pairs of clusterings.

    Parameters
    ----------
    clusterings : sequence of ndarray of int of shape (n,)
        Numbers of clusters, from 0.

    Returns
    -------
    indices : ndarray of shape (n_clusterings, n_clusterings)

    Notes
    -----
    They are those of scikit-learn's `adjusted_rand_score`, which looks at both clusterings of a pair
    anew for what can be told of each by itself.
    """
    codes = [labels.astype(np.intp, copy=False) for labels in clusterings]
    same = [_pairs_together(code) for code in codes]
    indices = np.eye(len(codes))
    for i, j in combinations(range(len(codes)), 2):
        both = _pairs_together(codes[i] * (codes[j].max() + 1) + codes[j])
        indices[i, j] = indices[j, i] = _adjusted(both, same[i], same[j], len(codes[i]))
    return indices


def matching_share(labels: NDArray, others: NDArray) -> float:
    """Share of samples that are in clusters of two clusterings that match, one to one."""
    counts = contingency_matrix(labels, others)
    return float(counts[linear_sum_assignment(counts, maximize=True)].sum() / len(labels))


def _pairs_together(codes: NDArray[np.intp]) -> int:
    """Number of ordered pairs of samples of one code, a sample and itself included."""
    counts = np.bincount(codes)
    return int(counts @ counts)


def _adjusted(both: int, one: int, other: int, n: int) -> float:
    """Adjusted Rand index by the numbers of pairs in one cluster in both clusterings, and in either."""
    only_one, only_other = one - both, other - both
    if not only_one and not only_other:
        return 1.0
    neither, both = n * n - one - only_other, both - n
    return (
        2.0
        * (both * neither - only_one * only_other)
        / ((both + only_one) * (only_one + neither) + (both + only_other) * (only_other + neither))
    )
