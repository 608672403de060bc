"""Clusters of neighbours' graphs, found by merging more of them pair by pair."""

import numpy as np
from numpy.typing import NDArray


def merge_clusters(labels: NDArray, nearest: NDArray, n_clusters: int) -> NDArray:
    """Merge pairs of clusters until so many are left.

    Merged are the two with the most edges between them, relative to the geometric mean of all edges of
    either. Of clusters of unequal sizes, which other methods split or mix, each is found by some of the
    more clusters that this begins with.

    Parameters
    ----------
    labels : ndarray of int of shape (n,)
    nearest : ndarray of int of shape (n, k)
        Neighbours of each sample.
    n_clusters : int

    Returns
    -------
    labels : ndarray of int of shape (n,)
    """
    labels = np.unique(labels, return_inverse=True)[1]
    shares = _shares_of_edges(labels, nearest)
    members = np.eye(len(shares), dtype=bool)
    while len(shares) > n_clusters:
        sizes = shares.sum(axis=1)
        gains = shares / np.sqrt(np.outer(sizes, sizes))
        gains[~np.tri(len(shares), k=-1, dtype=bool)] = -np.inf
        a, b = np.unravel_index(gains.argmax(), gains.shape)
        shares[b] += shares[a]
        shares[:, b] += shares[:, a]
        members[b] |= members[a]
        shares = np.delete(np.delete(shares, a, axis=0), a, axis=1)
        members = np.delete(members, a, axis=0)
    return members.argmax(axis=0)[labels]


def _shares_of_edges(labels: NDArray, nearest: NDArray) -> NDArray:
    """Share of all edges between each two clusters, symmetric."""
    n = int(labels.max()) + 1
    pairs = np.repeat(labels, nearest.shape[1]) * n + labels[nearest].ravel()
    edges = np.bincount(pairs, minlength=n * n).reshape(n, n)
    return (edges + edges.T) / (2.0 * edges.sum())
