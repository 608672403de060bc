"""The choice among candidates for pseudo-labels, without labels."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skmpcc.pseudo_labels.graph import NeighborGraph, information_of_counts, mutual_pairs

# Neighbours of a sample that are looked at, if it is as near to them. Thin shapes want few, clusters
# that touch want many.
N_MUTUAL = (5, 10, 15)
# Weights of the balance of sizes and of the Gaussian likelihood, and what is added to the share of lost
# information so that smaller shares do not count. Chosen on 193 sets: see the lab note of 2026-11-30 on
# the choice.
BALANCE_WEIGHT = 1.8
LIKELIHOOD_WEIGHT = 0.3
NEGLIGIBLE = 0.03
# Share of lost information, and balance of sizes, at which clusters are unambiguous.
SURE, BALANCED = 0.002, 0.7
# Variance that is added to those of clusters, relative to the data's: theirs may vanish.
REGULARIZATION = 1e-2


class Judgement(NamedTuple):
    """How good clusters are, the larger the better, and whether they are unambiguous.

    They are if neighbours hardly ever disagree on clusters of which none is tiny.
    """

    quality: float
    is_unambiguous: bool


class ClusterQuality:
    """Judges clusters of the same points by their neighbours and by a mixture of Gaussians.

    Parameters
    ----------
    points : ndarray of shape (n, d)
        The graph's rows, or what Gaussians are fitted to in their place.
    graph : NeighborGraph
    n_clusters : int
    n_features : int
        Columns of the table.

    Notes
    -----
    The quality of clusters k of samples and k' of their mutual neighbours is::

        - mean_m log(H(k' | k) / H(k) + 0.03) + 1.8 log(H(k) / log K) + 0.3 w L

    1. H(k' | k) / H(k) is the share of a neighbour's cluster that one's own does not tell. It serves
       clusters of any shape. By mutual information alone, halves of a large cluster would be better
       than two small ones; by agreement alone, one large cluster and some single samples. Neighbours are
       those m nearest of a sample that have it among their own m nearest, which hardly ever connect a
       dense cluster with a sparse one, or two arms of a thin shape. The mean is over m of 5, 10 and 15.
    2. H(k) / log K is 1 for clusters of equal size and near 0 if nearly all samples are in one, which
       is how a few samples far from all others can be cut off at no cost.
    3. L is the log-likelihood of a sample in its cluster, each cluster a Gaussian of its own share, mean
       and covariance, in nats. Real tables often have such clusters, and they may touch. Its weight w
       falls from 1 where clusters have fewer samples than a Gaussian of all columns has parameters.
    """

    def __init__(self, points: NDArray, graph: NeighborGraph, n_clusters: int, n_features: int) -> None:
        self._points = points.astype(np.float64)
        self._floor = REGULARIZATION * max(float(self._points.var(axis=0).mean()), 1e-12)
        self._pairs = _nested_pairs(graph)
        self._n_clusters = n_clusters
        n_parameters = n_features * (n_features + 3) / 2
        self._weight = min(1.0, len(points) / n_clusters / n_parameters)

    def lost_information(self, labels: NDArray) -> list[float]:
        """H(k' | k) / H(k) for each of `N_MUTUAL`, 1 for a single cluster, which tells nothing."""
        k = labels.astype(np.intp)
        n_clusters = k.max() + 1
        # Pairs of fewer neighbours are among those of more.
        added = [
            np.bincount(k[first] * n_clusters + k[second], minlength=n_clusters**2)
            for first, second in self._pairs
        ]
        return [_lost(counts.reshape(n_clusters, n_clusters)) for counts in np.cumsum(added, axis=0)]

    def balance(self, labels: NDArray) -> float:
        """H(k) / log K, from 0 to 1, which it is if one cluster is all that is wanted."""
        if self._n_clusters == 1:
            return 1.0
        share = np.bincount(labels, minlength=self._n_clusters) / len(labels)
        share = share[share > 0]
        return float(-(share * np.log(share)).sum() / math.log(self._n_clusters))

    def likelihood(self, labels: NDArray) -> float:
        """Mean over samples of log p(k) N(x; mu_k, Sigma_k) in their clusters k."""
        points, d, floor = self._points, self._points.shape[1], self._floor
        total = 0.0
        for k in np.unique(labels):
            members = points[labels == k]
            m = len(members)
            centred = members - members.mean(axis=0)
            covariance = centred.T @ centred / m
            shrunk = (m * covariance + d * floor * np.eye(d)) / (
                m + d
            ) + REGULARIZATION * floor * np.eye(d)
            log_determinant = np.linalg.slogdet(shrunk)[1]
            distance = np.trace(np.linalg.solve(shrunk, covariance))
            log_share = math.log(m / len(points))
            total += m * (log_share - (log_determinant + distance + d * math.log(2 * math.pi)) / 2)
        return total / len(points)

    def quality(self, labels: NDArray) -> float:
        """How good clusters are, the larger the better."""
        return self.judge(labels).quality

    def judge(self, labels: NDArray, lost_factor: float = 1.0) -> Judgement:
        """Judge clusters.

        Parameters
        ----------
        labels : ndarray of int of shape (n,)
        lost_factor : float
            What the shares of lost information are multiplied by in the quality.
        """
        lost, balance = np.array(self.lost_information(labels)), self.balance(labels)
        quality = (
            -float(np.log(lost_factor * lost + NEGLIGIBLE).mean())
            + BALANCE_WEIGHT * math.log(max(balance, NEGLIGIBLE))
            + LIKELIHOOD_WEIGHT * self._weight * self.likelihood(labels)
        )
        return Judgement(quality, bool(lost.max() <= SURE and balance >= BALANCED))


def _nested_pairs(graph: NeighborGraph) -> list[tuple[NDArray, NDArray]]:
    """Pairs of mutual neighbours for the least of `N_MUTUAL`, and those that each larger one adds."""
    n = len(graph.nearest)
    pairs, before = [], np.empty(0, dtype=np.int64)
    for m in N_MUTUAL:
        first, second = (ends.numpy() for ends in mutual_pairs(graph, m))
        edges = first * n + second
        added = ~np.isin(edges, before, assume_unique=True)
        pairs.append((first[added], second[added]))
        before = edges
    return pairs


def _lost(counts: NDArray[np.int64]) -> float:
    """H(k' | k) / H(k) by the number of pairs of each two clusters."""
    if not counts.any():
        return 1.0
    # Without the clusters that no pair has, which come last.
    present = np.flatnonzero(counts.any(axis=0) | counts.any(axis=1))[-1] + 1
    information = information_of_counts(counts[:present, :present])
    return max(0.0, -information.agreement / information.entropy) if information.entropy else 1.0
