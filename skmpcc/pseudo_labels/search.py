"""The search for pseudo-labels: candidates, and the choice among them without labels."""

import math
import warnings
from collections.abc import Callable

import numpy as np
import torch
from scipy.sparse import csr_matrix
from sklearn.cluster import KMeans, MiniBatchKMeans, SpectralClustering
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor
from torch.optim import Adam

from skmpcc.method.losses import consistency_loss
from skmpcc.pseudo_labels.classifiers import BatchedMLP
from skmpcc.pseudo_labels.images import augmentation_labels
from skmpcc.pseudo_labels.neighbors import NeighborGraph, neighbor_information
from skmpcc.pseudo_labels.objectives import marginal_entropy

# Samples up to which KMeans sees all of them at once, and spectral clustering is affordable.
MANY_SAMPLES = 10_000
# Clusters above which KMeans's are taken, because a graph or a batch shows too few samples of each.
MAX_CLUSTERS = 256
# Share of disagreeing neighbours, relative to the classifiers', at which other clusters are better.
MARGIN = 0.9
CHUNK = 8192

# Classifiers of tables. Data of more than MAX_INPUTS values are reduced to N_INPUTS.
MAX_INPUTS = 256
N_INPUTS = 64
MAX_RESTARTS = 32
# Memberships that all restarts hold at once, which is what many clusters cost.
MAX_MEMBERSHIPS = 2_560_000
MAX_ITER = 800
BATCH_SIZE = 128
LEARNING_RATE = 1e-2
# Clusters of equal size are insisted on at first; otherwise many a restart leaves some empty.
BALANCE_WEIGHT = 3.0

# Last share of a classifier's training, in which its rate falls.
_DECAY = 0.3
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
    if len(X) <= MANY_SAMPLES:
        kmeans = KMeans(n_clusters, n_init=10 if n_clusters <= MAX_CLUSTERS else 1, random_state=seed)
    else:
        kmeans = MiniBatchKMeans(n_clusters, n_init=3, random_state=seed)
    with warnings.catch_warnings():
        # Fewer distinct samples than clusters leave some clusters empty, which does no harm here.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return torch.as_tensor(kmeans.fit_predict(X), dtype=torch.int64)


def neighbor_labels(data: Tensor, graph: NeighborGraph, n_clusters: int, rng: torch.Generator) -> Tensor:
    """Find clusters in which nearest neighbours agree.

    Small classifiers q(y | x), from several initial weights, are trained on `losses.consistency_loss` of
    samples and their neighbours; the best is the one whose clusters have the most mutual information
    with their neighbours' clusters. Where neighbours agree clearly better on KMeans's clusters or, of
    up to MANY_SAMPLES, on those of spectral clustering, these are taken. So are KMeans's for more than
    MAX_CLUSTERS and for clusters of fewer than two samples, of which a graph of neighbours shows
    nothing.

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
        others.append(spectral_labels(graph, n_clusters, seed))
    found = _classifier_labels(data, graph, n_clusters, rng)

    # By agreement alone: mutual information rather halves a large cluster than keeps two small ones.
    def disagreement(labels: Tensor) -> float:
        return -neighbor_information(labels[graph.rows], graph).agreement

    other = min(others, key=disagreement)
    return other if disagreement(other) <= MARGIN * disagreement(found) else found


def spectral_labels(graph: NeighborGraph, n_clusters: int, seed: int) -> Tensor:
    """Labels of the graph's rows by spectral clustering of the graph, neighbours on either side."""
    m, k = graph.nearest.shape
    ends = np.arange(0, m * k + 1, k)
    edges = csr_matrix((np.ones(m * k), graph.nearest.cpu().numpy().ravel(), ends), shape=(m, m))
    spectral = SpectralClustering(
        n_clusters, affinity="precomputed", assign_labels="cluster_qr", random_state=seed
    )
    with warnings.catch_warnings():
        # Clusters that no edge connects are what is looked for.
        warnings.filterwarnings("ignore", message="Graph is not fully connected")
        labels = spectral.fit_predict(0.5 * (edges + edges.T))
    return torch.as_tensor(labels, dtype=torch.int64, device=graph.rows.device)


# ---- Classifiers of tables


def _classifier_labels(
    data: Tensor, graph: NeighborGraph, n_clusters: int, rng: torch.Generator
) -> Tensor:
    """Labels of all samples by the best of the classifiers."""
    data = _inputs(data, graph, rng.initial_seed() % _MAX_SEED)
    # A batch has to show several of every cluster.
    batch_size = min(len(graph.rows), max(BATCH_SIZE, 4 * n_clusters))
    # The more clusters, the more ways for two kinds to fall into one.
    affordable = max(1, MAX_MEMBERSHIPS // (2 * batch_size * n_clusters))
    n_restarts = min(MAX_RESTARTS, 8 + 3 * n_clusters, affordable)
    classifiers = BatchedMLP(n_restarts, data.shape[1], n_clusters, rng)

    def loss_at(left: float) -> Tensor:
        log_q = classifiers.log_memberships(_rows(data, torch.cat(graph.draw(batch_size, rng))))
        balance = BALANCE_WEIGHT * max(0.0, 2.0 * left - 1.0)
        loss = consistency_loss(*log_q.split(batch_size, dim=1)) - balance * marginal_entropy(log_q)
        # No parameter is shared: the sum trains each classifier on its own loss.
        return loss.sum()

    _minimize(loss_at, classifiers.parameters, MAX_ITER, LEARNING_RATE)
    with torch.no_grad():
        classifiers.keep_moments(_rows(data, graph.rows[:CHUNK]))
        rows = [classifiers.log_memberships(_rows(data, i)).argmax(2) for i in graph.rows.split(CHUNK)]
        classifiers.keep_only(_most_informative(torch.cat(rows, dim=1), graph))
        everything = torch.arange(len(data), device=rng.device)
        return torch.cat(
            [classifiers.log_memberships(_rows(data, i))[0].argmax(1) for i in everything.split(CHUNK)]
        )


def _inputs(data: Tensor, graph: NeighborGraph, seed: int) -> Tensor:
    """Inputs of the classifiers: rows of values, or principal components where there are many."""
    if math.prod(data.shape[1:]) <= MAX_INPUTS:
        return data.flatten(1)
    pca = PCA(N_INPUTS, svd_solver="randomized", random_state=seed)
    some = data[graph.rows.to(data.device)].flatten(1).cpu().numpy()
    pca.set_params(n_components=min(N_INPUTS, len(some))).fit(some)
    parts = [pca.transform(part.flatten(1).cpu().numpy()) for part in data.split(CHUNK)]
    return torch.as_tensor(np.concatenate(parts), dtype=data.dtype)


def _most_informative(candidates: Tensor, graph: NeighborGraph) -> int:
    """Index of the candidate labels with the most mutual information between neighbours."""
    return max(range(len(candidates)), key=lambda row: sum(neighbor_information(candidates[row], graph)))


def _minimize(
    loss_at: Callable[[float], Tensor], parameters: list[Tensor], max_iter: int, learning_rate: float
) -> None:
    """Minimize by Adam, at a rate that falls at the end; `loss_at` gets the share that is left."""
    optimizer = Adam(parameters, lr=learning_rate)
    for iteration in range(max_iter):
        left = 1.0 - iteration / max_iter
        optimizer.param_groups[0]["lr"] = learning_rate * min(1.0, left / _DECAY)
        loss_at(left).backward(inputs=parameters)
        optimizer.step()
        optimizer.zero_grad()


def _rows(data: Tensor, rows: Tensor) -> Tensor:
    """Rows of data that may lie elsewhere, on the rows' device."""
    return data[rows.to(data.device)].to(rows.device)
