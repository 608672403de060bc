"""The search for pseudo-labels: candidates, and the choice among them without labels."""

import math
import warnings

import numpy as np
import torch
from scipy.sparse import csr_matrix
from sklearn.cluster import KMeans, MiniBatchKMeans, SpectralClustering
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from skmpcc.devices import at_most_threads
from skmpcc.pseudo_labels.images import augmentation_labels
from skmpcc.pseudo_labels.neighbors import NeighborGraph, neighbor_information
from skmpcc.pseudo_labels.tables import classifier_labels

# Samples up to which KMeans sees all of them at once, and spectral clustering is affordable.
MANY_SAMPLES = 10_000
# Samples up to which KMeans sees all of them at once where there are many clusters.
MAX_SAMPLES = 100_000
# Features above which the eigenvectors of spectral clustering are found without factors of the graph.
MANY_FEATURES = 8
# Clusters above which KMeans's are taken, because a graph or a batch shows too few samples of each.
MAX_CLUSTERS = 256
# Share of lost information at which cheap clusters are taken, and no others looked for.
SURE = 0.005
# Share of lost information, relative to the classifiers', at which other clusters are better.
MARGIN = 0.9

_MAX_SEED = 2**32


def find_pseudo_labels(
    kind: str, data: Tensor, graph: NeighborGraph | None, n_clusters: int, rng: torch.Generator
) -> Tensor:
    """Find clusters of the data to teach the networks with.

    Parameters
    ----------
    kind : {"neighbors", "augmentation", "kmeans"}
    data : Tensor of shape (n_samples, ...)
        Data as the networks see them, on any device.
    graph : NeighborGraph or None
        Needed by "neighbors".
    n_clusters : int
    rng : torch.Generator
        Classifiers are trained on its device.

    Returns
    -------
    labels : Tensor of int64 of shape (n_samples,)
    """
    if kind == "kmeans":
        return kmeans_labels(data, n_clusters, rng.initial_seed()).to(rng.device)
    if kind == "augmentation":
        if n_clusters > MAX_CLUSTERS or 2 * n_clusters > len(data):
            # They would need large batches, or hold less than two samples each.
            return kmeans_labels(data, n_clusters, rng.initial_seed()).to(rng.device)
        return augmentation_labels(data, n_clusters, rng)
    assert graph is not None
    return neighbor_labels(data, graph, n_clusters, rng)


def kmeans_labels(data: Tensor, n_clusters: int, seed: int) -> Tensor:
    """Clusters of KMeans, of mini-batches where there are many samples."""
    X = data.flatten(1).cpu().numpy()
    seed = seed % _MAX_SEED
    many_clusters = n_clusters > MAX_CLUSTERS
    if len(X) <= (MAX_SAMPLES if many_clusters else MANY_SAMPLES):
        kmeans = KMeans(n_clusters, n_init=1 if many_clusters else 10, random_state=seed)
    else:
        # A batch that shows few samples of a cluster splits some, and merges others.
        batch_size = max(1024, 8 * n_clusters)
        kmeans = MiniBatchKMeans(n_clusters, n_init=3, batch_size=batch_size, random_state=seed)
    # Its threads wait for each other at every iteration, which takes milliseconds.
    with at_most_threads(1), warnings.catch_warnings():
        # Fewer distinct samples than clusters leave some clusters empty, which does no harm here.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return torch.as_tensor(kmeans.fit_predict(X), dtype=torch.int64)


def neighbor_labels(data: Tensor, graph: NeighborGraph, n_clusters: int, rng: torch.Generator) -> Tensor:
    """Find clusters in which nearest neighbours agree.

    Clusters of KMeans and, of up to MANY_SAMPLES, of spectral clustering cost little. Where neighbours
    hardly ever disagree on them, they are taken. Otherwise small classifiers q(y | x) are trained
    (`tables.classifier_labels`), and the others are taken only where neighbours agree clearly better on
    them. For more than MAX_CLUSTERS and for clusters of fewer than two samples, of which a graph of
    neighbours shows nothing, KMeans's are taken.

    Parameters
    ----------
    data : Tensor of shape (n_samples, ...)
        Data as the networks see them, on any device.
    graph : NeighborGraph
    n_clusters : int
    rng : torch.Generator
        The classifiers are trained on its device.

    Returns
    -------
    labels : Tensor of int64 of shape (n_samples,)
    """
    seed = rng.initial_seed() % _MAX_SEED
    others = [kmeans_labels(data, n_clusters, seed).to(rng.device)]
    if n_clusters > MAX_CLUSTERS or 2 * n_clusters > len(data):
        return others[0]
    if 4 * n_clusters <= len(data) == len(graph.rows) <= MANY_SAMPLES:
        # A graph in many dimensions has factors that are nearly dense, which ARPACK would need.
        solver = "lobpcg" if data[0].numel() > MANY_FEATURES else "arpack"
        others.append(spectral_labels(graph, n_clusters, seed, solver))

    def loss(labels: Tensor) -> float:
        return _lost_information(labels, graph)

    other = min(others, key=loss)
    lost = loss(other)
    if lost <= SURE:
        return other
    found = classifier_labels(data, graph, n_clusters, rng)
    return other if lost <= MARGIN * loss(found) else found


def _lost_information(labels: Tensor, graph: NeighborGraph) -> float:
    """H(k' | k) / H(k): the share of a neighbour's cluster that one's own does not tell.

    By mutual information alone, halves of a large cluster would be better than two small ones; by
    agreement alone, one large cluster and some single samples.
    """
    information = neighbor_information(labels[graph.rows], graph)
    return -information.agreement / information.entropy if information.entropy else math.inf


def spectral_labels(graph: NeighborGraph, n_clusters: int, seed: int, solver: str = "arpack") -> Tensor:
    """Labels of the graph's rows by spectral clustering of the graph, neighbours on either side."""
    m, k = graph.nearest.shape
    ends = np.arange(0, m * k + 1, k)
    edges = csr_matrix((np.ones(m * k), graph.nearest.cpu().numpy().ravel(), ends), shape=(m, m))
    spectral = SpectralClustering(
        n_clusters,
        eigen_solver=solver,
        affinity="precomputed",
        assign_labels="cluster_qr",
        random_state=seed,
    )
    with warnings.catch_warnings():
        # Clusters that no edge connects are what is looked for.
        warnings.filterwarnings("ignore", message="Graph is not fully connected")
        labels = spectral.fit_predict(0.5 * (edges + edges.T))
    return torch.as_tensor(labels, dtype=torch.int64, device=graph.rows.device)
