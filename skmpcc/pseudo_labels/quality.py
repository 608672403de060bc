"""The choice among candidates for pseudo-labels, without labels."""

import math

import numpy as np
import torch
from numpy.typing import NDArray

from skmpcc.pseudo_labels.graph import NeighborGraph, neighbor_information

# Weights of the balance of sizes and of the Gaussian likelihood, and what is added to the share of lost
# information so that smaller shares do not count. Chosen on up to 178 sets: see the lab note of
# 2026-11-22 on candidates.
BALANCE_WEIGHT = 0.5
LIKELIHOOD_WEIGHT = 0.4
NEGLIGIBLE = 0.02
# Share of lost information, and balance of sizes, at which nothing better is looked for.
SURE = 0.01
BALANCED = 0.5
# Variance that is added to those of clusters, relative to the data's: theirs may vanish.
REGULARIZATION = 1e-2


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
    The quality of clusters k of samples and k' of their neighbours is::

        - log(H(k' | k) / H(k) + 0.02) + log(H(k) / log K) / 2 + 0.4 w L

    1. H(k' | k) / H(k) is the share of a neighbour's cluster that one's own does not tell. It serves
       clusters of any shape. By mutual information alone, halves of a large cluster would be better
       than two small ones; by agreement alone, one large cluster and some single samples.
    2. H(k) / log K is 1 for clusters of equal size and near 0 if nearly all samples are in one, which
       is how a few samples far from all others can be cut off at no cost.
    3. L is the log-likelihood of a sample in its cluster, each cluster a Gaussian of its own share, mean
       and covariance, in nats. Real tables often have such clusters, and they may touch. Its weight w
       falls from 1 where clusters have fewer samples than a Gaussian of all columns has parameters.
    """

    def __init__(self, points: NDArray, graph: NeighborGraph, n_clusters: int, n_features: int) -> None:
        self._points = points.astype(np.float64)
        self._graph = graph
        self._n_clusters = n_clusters
        n_parameters = n_features * (n_features + 3) / 2
        self._weight = min(1.0, len(points) / n_clusters / n_parameters)

    def lost_information(self, labels: NDArray) -> float:
        """H(k' | k) / H(k), 1 for a single cluster, which tells nothing."""
        information = neighbor_information(torch.as_tensor(labels), self._graph)
        return -information.agreement / information.entropy if information.entropy else 1.0

    def balance(self, labels: NDArray) -> float:
        """H(k) / log K, from 0 to 1, which it is if one cluster is all that is wanted."""
        if self._n_clusters == 1:
            return 1.0
        share = np.bincount(labels, minlength=self._n_clusters) / len(labels)
        share = share[share > 0]
        return float(-(share * np.log(share)).sum() / math.log(self._n_clusters))

    def is_unambiguous(self, labels: NDArray) -> bool:
        """Whether neighbours hardly ever disagree on clusters that are not tiny."""
        return self.lost_information(labels) <= SURE and self.balance(labels) >= BALANCED

    def likelihood(self, labels: NDArray) -> float:
        """Mean over samples of log p(k) N(x; mu_k, Sigma_k) in their clusters k."""
        points, d = self._points, self._points.shape[1]
        floor = REGULARIZATION * max(float(points.var(axis=0).mean()), 1e-12)
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

    def quality(self, labels: NDArray, loss_factor: float = 1.0) -> float:
        """How good clusters are, the larger the better.

        Parameters
        ----------
        labels : ndarray of int of shape (n,)
        loss_factor : float
            What the share of lost information is multiplied by.
        """
        lost, balance = self.lost_information(labels), self.balance(labels)
        return (
            -math.log(loss_factor * lost + NEGLIGIBLE)
            + BALANCE_WEIGHT * math.log(max(balance, NEGLIGIBLE))
            + LIKELIHOOD_WEIGHT * self._weight * self.likelihood(labels)
        )
