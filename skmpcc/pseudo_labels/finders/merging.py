"""Clusters of neighbours' graphs, found by merging more of them pair by pair."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

LINKAGES = ("association", "information", "agreement")


def merge_clusters(labels: NDArray, nearest: NDArray, n_clusters: int, linkage: str) -> NDArray:
    """Merge pairs of clusters until so many are left.

    Of clusters of unequal sizes, which other methods split or mix, each is found by some of the more
    clusters that this begins with.

    Parameters
    ----------
    labels : ndarray of int of shape (n,)
    nearest : ndarray of int of shape (n, k)
        Neighbours of each sample.
    n_clusters : int
    linkage : {"association", "information", "agreement"}
        Which pair is merged. "association": the one with the most edges between its clusters, relative
        to the geometric mean of all edges of either. "information": the one that leaves most of the
        mutual information I(k; k') of neighbours' clusters (N. Slonim and N. Tishby, "Agglomerative
        Information Bottleneck", NIPS 1999), which favours equal sizes. "agreement": the one that leaves
        the least of H(k' | k) / H(k), which does not.

    Returns
    -------
    labels : ndarray of int of shape (n,)
    """
    labels = np.unique(labels, return_inverse=True)[1]
    shares = _shares_of_edges(labels, nearest)
    members = np.eye(len(shares), dtype=bool)
    while len(shares) > n_clusters:
        gains = _gains(shares, linkage)
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


def _gains(shares: NDArray, linkage: str) -> NDArray:
    """Return for each two clusters a figure that is the largest for the pair to be merged."""
    sizes = shares.sum(axis=1)
    if linkage == "association":
        return shares / np.sqrt(np.outer(sizes, sizes))
    entropy, joint_entropy = _entropies_if_merged(shares, sizes)
    if linkage == "information":
        return 2.0 * entropy - joint_entropy
    return 1.0 - joint_entropy / np.maximum(entropy, np.finfo(float).tiny)


def _entropies_if_merged(shares: NDArray, sizes: NDArray) -> tuple[NDArray, NDArray]:
    """H(k) and H(k, k') after each two clusters are merged."""
    terms, of_sizes = _term(shares), _term(sizes)
    own, of_own = np.diag(shares), np.diag(terms)
    entropy = of_sizes[:, None] + of_sizes - of_sizes.sum() - _term(sizes[:, None] + sizes)
    # Edges to third clusters: to all, less those of the two to each other and to themselves.
    thirds = _term(shares[:, None] + shares).sum(axis=2) - terms.sum(axis=1)[:, None] - terms.sum(axis=1)
    inner = own[:, None] + shares
    within = of_own[:, None] + of_own + 2.0 * terms
    thirds -= _term(inner) + _term(inner).T - within
    merged = _term(own[:, None] + own + 2.0 * shares)
    return entropy, within - terms.sum() - 2.0 * thirds - merged


def _term(values: NDArray) -> NDArray:
    return xlogy(values, values)
