"""Candidates for pseudo-labels of tables that scikit-learn finds."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn import config_context
from sklearn.cluster import AgglomerativeClustering, KMeans, MiniBatchKMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from skmpcc.pseudo_labels.merging import LINKAGES, merge_clusters
from skmpcc.pseudo_labels.neighbors import NeighborGraph
from skmpcc.pseudo_labels.spectral import (
    TINY,
    affinity,
    clusters_of_rows,
    eigenvectors,
    is_factored,
)
from skmpcc.system.devices import at_most_threads

# Samples up to which KMeans sees all of them at once, and the same where there are many clusters.
MANY_SAMPLES = 10_000
MAX_SAMPLES = 100_000
# Clusters above which a graph or a batch shows too few samples of each.
MAX_CLUSTERS = 256
# Clusters that KMeans finds for each of many that are wanted.
FINER = 1.5
# Clusters up to which more eigenvectors than clusters are looked at, which cost several times as much.
FEW_CLUSTERS = 40
# Features above which Gaussians are those of N_GAUSSIAN_FEATURES principal components.
MAX_GAUSSIAN_FEATURES = 48
N_GAUSSIAN_FEATURES = 32
# Rows that a GaussianMixture is fitted to at most.
MAX_GAUSSIAN_ROWS = 20_000
# Added to the variances of GaussianMixture, relative to the data's.
REGULARIZATION = 1e-3
# Neighbours in the graphs of spectral clustering. Thin shapes want few, noisy data want many.
NARROW, BROAD = 8, 15
# Eigenvectors beyond twice the number of clusters.
MORE_EIGENVECTORS = 5
# Steps of the walk that weighs them: so many that the last of the first K, of eigenvalue 1 - g, counts
# about exp(-DIFFUSION) times as much as the first.
DIFFUSION = 0.25
MAX_STEPS = 500
# Neighbours whose clusters a sample that is not in the graph has, and rows among which they are found.
N_VOTES = 5
MAX_VOTERS = 20_000


@dataclass(frozen=True)
class Candidate:
    """Clusters of the rows of a graph.

    Attributes
    ----------
    kind : str
        What found it.
    labels : ndarray of int of shape (m,)
        Of the graph's rows.
    of_all : callable
        Makes the labels of all samples.
    loss_factor : float
        See `ClusterQuality.quality`.
    eligible : bool
        Whether it can be chosen; if not, classifiers start from it, nothing else.
    """

    kind: str
    labels: NDArray
    of_all: Callable[[], NDArray]
    loss_factor: float = 1.0
    eligible: bool = True


def kmeans_labels(data: Tensor, n_clusters: int, seed: int) -> NDArray:
    """Clusters of KMeans, of mini-batches where there are many samples.

    Among many clusters some starts of KMeans lie in the same cluster, and others have none. They are
    therefore found from more clusters than are wanted, of which Ward's method merges the nearest.
    """
    X = data.flatten(1).cpu().numpy()
    # Its threads wait for each other at every iteration, which takes milliseconds.
    with at_most_threads(1), warnings.catch_warnings():
        # Fewer distinct samples than clusters leave some clusters empty, which does no harm here.
        warnings.simplefilter("ignore", ConvergenceWarning)
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


def gaussian_points(points: NDArray, seed: int) -> tuple[NDArray, Callable[[NDArray], NDArray]]:
    """Points that Gaussians are fitted to, and the map to them: principal components of wide rows."""
    if points.shape[1] <= MAX_GAUSSIAN_FEATURES:
        return points, lambda X: X
    pca = PCA(min(N_GAUSSIAN_FEATURES, len(points)), svd_solver="randomized", random_state=seed)
    return pca.fit(points).transform(points), pca.transform


def variance_floor(points: NDArray) -> float:
    """Return the variance that a GaussianMixture adds to its own, so that these have full rank."""
    return max(REGULARIZATION * float(points.var(axis=0).mean()), 1e-9)


def kmeans_candidate(data: Tensor, graph: NeighborGraph, n_clusters: int, seed: int) -> Candidate:
    """Clusters of KMeans."""
    labels = kmeans_labels(data, n_clusters, seed)
    return Candidate("kmeans", labels[graph.rows.cpu().numpy()], lambda: labels)


def gaussian_mixture_candidate(
    data: Tensor,
    graph: NeighborGraph,
    points: NDArray,
    reduce: Callable[[NDArray], NDArray],
    n_clusters: int,
    seed: int,
) -> Candidate:
    """Clusters of a GaussianMixture with full covariances, of what `gaussian_points` returns."""
    floor = variance_floor(points)
    mixture = GaussianMixture(n_clusters, n_init=3, reg_covar=floor, random_state=seed)
    # GaussianMixture does not start by KMeans where scikit-learn dispatches to other array libraries.
    with at_most_threads(1), warnings.catch_warnings(), config_context(array_api_dispatch=False):
        warnings.simplefilter("ignore", ConvergenceWarning)
        rows = np.random.default_rng(seed).permutation(len(points))[:MAX_GAUSSIAN_ROWS]
        labels = mixture.fit(points[np.sort(rows)]).predict(points)

    def of_all() -> NDArray:
        if len(points) == len(data):
            return labels
        return mixture.predict(reduce(graph.coordinates(data)))

    return Candidate("gaussian_mixture", labels, of_all)


def spectral_candidates(
    data: Tensor, graph: NeighborGraph, n_clusters: int, seed: int
) -> Iterator[Candidate]:
    """Clusters in the eigenvectors of graphs of fewer and more neighbours.

    As many eigenvectors as clusters find shapes that are well apart. Twice as many leave some to samples
    that are far from all others. Weighed by the steps of a diffusion (R. Coifman and S. Lafon,
    "Diffusion maps", 2006) even more of them tell kinds apart that have several forms, as digits have.
    Twice as many clusters, merged, find those of unequal sizes.
    """
    points, nearest = graph.points(data), graph.nearest.cpu().numpy()

    def candidate(labels: NDArray, *, eligible: bool = True) -> Candidate:
        return Candidate("spectral", labels, label_by_nearest(data, graph, labels), eligible=eligible)

    for n_neighbors in (NARROW, BROAD):
        with at_most_threads(1):
            for vectors in _maps(points, graph, n_clusters, n_neighbors, seed):
                yield candidate(clusters_of_rows(vectors, n_clusters, seed))
                if vectors.shape[1] != 2 * n_clusters:
                    continue
                finer = clusters_of_rows(vectors, 2 * n_clusters, seed)
                for linkage in LINKAGES:
                    merged = merge_clusters(finer, nearest, n_clusters, linkage)
                    yield candidate(merged, eligible=(n_neighbors, linkage) == (NARROW, LINKAGES[0]))


def _maps(
    points: NDArray, graph: NeighborGraph, n_clusters: int, n_neighbors: int, seed: int
) -> list[NDArray]:
    """The maps of a graph's points in which clusters are looked for."""
    edges = graph_edges(points, graph, n_neighbors)
    few = n_clusters <= FEW_CLUSTERS
    wanted = 2 * n_clusters + MORE_EIGENVECTORS if few else n_clusters
    values, vectors = eigenvectors(edges, min(wanted, len(points)), seed, factored=is_factored(points))
    maps = [vectors[:, :n_clusters]]
    if few:
        maps.append(vectors[:, : 2 * n_clusters])
    if few and n_neighbors == NARROW:
        walk = vectors[:, 1:] / np.sqrt(np.asarray(edges.sum(axis=1)).reshape(-1, 1))
        steps = min(MAX_STEPS, DIFFUSION / max(1.0 - values[n_clusters - 1], TINY))
        maps.append(walk * values[1:].clip(0.0, 1.0) ** steps)
    return maps


def graph_edges(points: NDArray, graph: NeighborGraph, n_neighbors: int) -> csr_matrix:
    """Weigh the edges to the nearest of a graph's neighbours; see `spectral.affinity`."""
    nearest, distances = (
        tensor[:, :n_neighbors].cpu().numpy() for tensor in (graph.nearest, graph.distances)
    )
    return affinity(points, nearest, distances)


def label_by_nearest(data: Tensor, graph: NeighborGraph, labels: NDArray) -> Callable[[], NDArray]:
    """Label all samples as the nearest of a graph's rows, which have labels."""

    def of_all() -> NDArray:
        if len(labels) == len(data):
            return labels
        # Rows of a graph that has not all are in random order.
        voters = slice(MAX_VOTERS)
        points = graph.coordinates(data[graph.rows[voters].to(data.device)])
        votes = KNeighborsClassifier(min(N_VOTES, len(points))).fit(points, labels[voters])
        return votes.predict(graph.coordinates(data))

    return of_all
