"""Clusters of KMeans."""

import warnings
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import AgglomerativeClustering, KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from skmpcc.pseudo_labels.problem import Candidate, Problem
from skmpcc.system.devices import at_most_threads

# Samples up to which KMeans sees all of them at once, and the same where there are many clusters.
MANY_SAMPLES = 10_000
MAX_SAMPLES = 100_000
# Clusters above which a graph or a batch shows too few samples of each.
MAX_CLUSTERS = 256
# Clusters that KMeans finds for each of many that are wanted.
FINER = 1.5


def find(problem: Problem) -> Iterator[Candidate]:
    """Find the clusters of KMeans."""
    labels = _kmeans_labels(problem.data, problem.n_clusters, problem.seed)
    yield Candidate("kmeans", labels[problem.graph.rows.cpu().numpy()], lambda: labels)


def kmeans_labels(data: Tensor, n_clusters: int, seed: int) -> NDArray:
    """Clusters of KMeans, of mini-batches where there are many samples.

    Among many clusters some starts of KMeans lie in the same cluster, and others have none. They are
    therefore found from more clusters than are wanted, of which Ward's method merges the nearest.
    """
    # Its threads wait for each other at every iteration, which takes milliseconds.
    with at_most_threads(1), warnings.catch_warnings():
        # Fewer distinct samples than clusters leave some clusters empty, which does no harm here.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return _kmeans_labels(data, n_clusters, seed)


def _kmeans_labels(data: Tensor, n_clusters: int, seed: int) -> NDArray:
    X = data.flatten(1).cpu().numpy()
    if n_clusters > MAX_CLUSTERS and len(X) >= 2 * FINER * n_clusters:
        fine = _kmeans(len(X), round(FINER * n_clusters), seed).fit(X)
        sizes = np.bincount(fine.labels_, minlength=len(fine.cluster_centers_))
        centers = _merged(fine.cluster_centers_, sizes, n_clusters)
        return KMeans(n_clusters, init=centers, n_init=1).fit_predict(X).astype(np.int64)
    return _kmeans(len(X), n_clusters, seed).fit_predict(X).astype(np.int64)


def _kmeans(n_samples: int, n_clusters: int, seed: int) -> KMeans | MiniBatchKMeans:
    many_clusters = n_clusters > MAX_CLUSTERS
    if n_samples <= (MAX_SAMPLES if many_clusters else MANY_SAMPLES):
        return KMeans(n_clusters, n_init=1 if many_clusters else 10, random_state=seed)
    # A batch that shows few samples of a cluster splits some, and merges others.
    batch_size = max(1024, 8 * n_clusters)
    return MiniBatchKMeans(n_clusters, n_init=3, batch_size=batch_size, random_state=seed)


def _merged(centers: NDArray, sizes: NDArray, n_clusters: int) -> NDArray:
    """Means of the clusters that Ward's method makes of centres, each of so many samples."""
    labels = AgglomerativeClustering(n_clusters).fit_predict(centers)
    # An empty one counts next to nothing.
    weights = np.eye(n_clusters)[labels].T * np.maximum(sizes, 1e-9)
    return (weights @ centers / weights.sum(axis=1, keepdims=True)).astype(centers.dtype)
