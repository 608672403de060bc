"""First clusterings of the data, found without labels, to guide the first iterations by."""

import math
import warnings
from collections.abc import Callable

import numpy as np
import torch
from scipy.sparse import csr_matrix
from scipy.stats import entropy
from sklearn.cluster import KMeans, MiniBatchKMeans, SpectralClustering
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor
from torch.optim import Adam

from skmpcc.classifiers import ConvNet, Perceptrons
from skmpcc.losses import cluster_entropy, conditional_entropy, neighbor_loss, view_loss
from skmpcc.neighbors import NeighborGraph, neighbor_information
from skmpcc.views import deformed, view_information

MANY_SAMPLES = 10_000
# Share of disagreeing neighbours, relative to the classifiers', at which other clusters are better.
MARGIN = 0.9
UNEQUAL = 0.9
CHUNK = 8192

# Of the classifiers below. Data of more than MAX_INPUTS values are reduced to N_INPUTS.
MAX_INPUTS = 256
N_INPUTS = 64
MAX_RESTARTS = 32
# Memberships that all restarts hold at once, which is what many clusters cost.
MAX_MEMBERSHIPS = 2_560_000
MAX_CLUSTERS = 256
MAX_ITER = 800
BATCH_SIZE = 128
LEARNING_RATE = 1e-2
# Clusters of equal size are insisted on at first; else many a restart leaves some empty.
BALANCE_WEIGHT = 3.0
_MAX_SEED = 2**32

# Of those of images. Little is left to chance by their views: few restarts do.
N_VIEW_RESTARTS = 3
VIEW_MAX_ITER = 500
VIEW_BATCH_SIZE = 256
VIEW_LEARNING_RATE = 2e-3
# Of the mutual information of samples and clusters, beside the views' agreement.
INFORMATION_WEIGHT = 0.1
# Of the clusters' entropy in it: IMSAT's. With less, clusters merge.
VIEW_BALANCE = 4.0


def kmeans_labels(data: Tensor, n_clusters: int, seed: int) -> Tensor:
    """KMeans labels of the data as the networks see it; of mini-batches where there is much of it."""
    X = data.flatten(1).cpu().numpy()
    if len(X) <= MANY_SAMPLES:
        kmeans = KMeans(n_clusters, n_init=10 if n_clusters <= MAX_CLUSTERS else 1, random_state=seed)
    else:
        kmeans = MiniBatchKMeans(n_clusters, n_init=3, random_state=seed)
    with warnings.catch_warnings():
        # fewer distinct samples than clusters: the guide has fewer clusters, no harm
        warnings.simplefilter("ignore", ConvergenceWarning)
        return torch.as_tensor(kmeans.fit_predict(X), dtype=torch.int64)


def neighbor_labels(
    data: Tensor, graph: NeighborGraph, n_clusters: int, random: torch.Generator
) -> Tensor:
    """Clusters in which nearest neighbours agree.

    Small classifiers q(y | x), from several starts, are trained on `losses.neighbor_loss` of samples
    and their neighbours; the best is the one whose clusters have the most mutual information with
    their neighbours' clusters. Where neighbours agree clearly better on KMeans's clusters or, of up to
    MANY_SAMPLES, on those of spectral clustering, these are taken. So are KMeans's for more than
    MAX_CLUSTERS, of which the graph shows too few samples each.

    Parameters
    ----------
    data : Tensor of shape (n_samples, ...)
        As the networks see it, on any device.
    graph : NeighborGraph
    n_clusters : int
    random : torch.Generator
        The classifiers are trained on its device.

    Returns
    -------
    labels : Tensor of int64 of shape (n_samples,)
    """
    seed = random.initial_seed() % _MAX_SEED
    others = [kmeans_labels(data, n_clusters, seed).to(random.device)]
    if n_clusters > MAX_CLUSTERS:
        return others[0]
    if 4 * n_clusters <= len(data) == len(graph.rows) <= MANY_SAMPLES:
        others.append(spectral_labels(graph, n_clusters, seed))
    found = _classifier_labels(data, graph, n_clusters, random)

    # By agreement alone: mutual information rather halves a large cluster than keeps two small apart.
    def disagreement(labels: Tensor) -> float:
        return -neighbor_information(labels[graph.rows], graph).agreement

    other = min(others, key=disagreement)
    return other if disagreement(other) <= MARGIN * disagreement(found) else found


def view_labels(images: Tensor, n_clusters: int, random: torch.Generator) -> Tensor:
    """Clusters of images that small deformations do not change.

    Convolutional classifiers q(y | x), from several starts, are trained to say the same of an image
    and of its deformed view (`losses.view_loss`), in clusters that tell much of the samples. The best is
    the one whose clusters have the most mutual information with those of views. For more than
    MAX_CLUSTERS, of which a batch would have to be large, KMeans's are taken.

    Parameters
    ----------
    images : Tensor of shape (n_samples, channels, height, width)
        As the networks see it, on any device.
    n_clusters : int
    random : torch.Generator
        The classifiers are trained on its device.

    Returns
    -------
    labels : Tensor of int64 of shape (n_samples,)
    """
    if n_clusters > MAX_CLUSTERS:
        return kmeans_labels(images, n_clusters, random.initial_seed() % _MAX_SEED).to(random.device)
    classifiers = [_view_classifier(images, n_clusters, random) for _ in range(N_VIEW_RESTARTS)]
    rows = torch.randperm(len(images), generator=random, device=random.device)[:MANY_SAMPLES]

    def information(classifier: ConvNet) -> float:
        views = [_labels(classifier, images, rows, random) for _ in range(2)]
        return sum(view_information(*views))

    best = max(classifiers, key=information)
    return _labels(best, images, torch.arange(len(images), device=random.device))


def _view_classifier(images: Tensor, n_clusters: int, random: torch.Generator) -> ConvNet:
    batch_size = min(len(images), max(VIEW_BATCH_SIZE, 4 * n_clusters))
    classifier = ConvNet(tuple(images.shape[1:]), n_clusters, random)

    def loss_at(left: float) -> Tensor:
        rows = torch.randint(len(images), (batch_size,), generator=random, device=random.device)
        x = _at(images, rows)
        log_q = classifier.log_memberships(x)
        information = VIEW_BALANCE * cluster_entropy(log_q) - conditional_entropy(log_q)
        loss = view_loss(log_q, classifier.log_memberships(deformed(x, random)))
        return loss - INFORMATION_WEIGHT * information

    _minimise(loss_at, list(classifier.parameters()), VIEW_MAX_ITER, VIEW_LEARNING_RATE)
    return classifier.eval()


def _minimise(
    loss_at: Callable[[float], Tensor], parameters: list[Tensor], max_iter: int, learning_rate: float
) -> None:
    """By Adam, at rates that fall over the last 0.3; `loss_at` gets the share of the training left."""
    optimizer = Adam(parameters, lr=learning_rate)
    for iteration in range(max_iter):
        left = 1.0 - iteration / max_iter
        optimizer.param_groups[0]["lr"] = learning_rate * min(1.0, left / 0.3)
        loss_at(left).backward(inputs=parameters)
        optimizer.step()
        optimizer.zero_grad()


def _at(data: Tensor, rows: Tensor) -> Tensor:
    """Rows of data that may lie elsewhere, on the rows' device."""
    return data[rows.to(data.device)].to(rows.device)


@torch.no_grad()
def _labels(
    classifier: ConvNet, images: Tensor, rows: Tensor, views: torch.Generator | None = None
) -> Tensor:
    """Of images, or with a generator of a view of each."""

    def seen(part: Tensor) -> Tensor:
        x = _at(images, part)
        return x if views is None else deformed(x, views)

    return torch.cat([classifier.log_memberships(seen(part)).argmax(1) for part in rows.split(CHUNK)])


def are_unequal(labels: Tensor, n_clusters: int) -> bool:
    """Whether clusters differ clearly in size: exp(H) equal ones would be as diverse.

    For two clusters 0.9 of them are sizes of about 3 to 1.
    """
    shares = torch.bincount(labels, minlength=n_clusters).cpu().numpy() / len(labels)
    return bool(np.exp(entropy(shares)) < UNEQUAL * n_clusters)


def spectral_labels(graph: NeighborGraph, n_clusters: int, seed: int) -> Tensor:
    """Labels of the graph's rows by spectral clustering of the graph, neighbours on either side."""
    m, k = graph.nearest.shape
    ends = np.arange(0, m * k + 1, k)
    edges = csr_matrix((np.ones(m * k), graph.nearest.cpu().numpy().ravel(), ends), shape=(m, m))
    spectral = SpectralClustering(
        n_clusters, affinity="precomputed", assign_labels="cluster_qr", random_state=seed
    )
    with warnings.catch_warnings():
        # clusters that no edge connects are what is looked for
        warnings.filterwarnings("ignore", message="Graph is not fully connected")
        labels = spectral.fit_predict(0.5 * (edges + edges.T))
    return torch.as_tensor(labels, dtype=torch.int64, device=graph.rows.device)


def _classifier_labels(
    data: Tensor, graph: NeighborGraph, n_clusters: int, random: torch.Generator
) -> Tensor:
    """What the best of the classifiers finds, shape (n_samples,)."""
    data = _inputs(data, graph, random.initial_seed() % _MAX_SEED)
    # A batch has to show several of every cluster.
    batch_size = min(len(graph.rows), max(BATCH_SIZE, 4 * n_clusters))
    # The more clusters, the more ways for two kinds to fall into one.
    affordable = max(1, MAX_MEMBERSHIPS // (2 * batch_size * n_clusters))
    n_restarts = min(MAX_RESTARTS, 8 + 3 * n_clusters, affordable)
    classifiers = Perceptrons(n_restarts, data.shape[1], n_clusters, random)

    def loss_at(left: float) -> Tensor:
        log_q = classifiers.log_memberships(_at(data, torch.cat(graph.draw(batch_size, random))))
        balance = BALANCE_WEIGHT * max(0.0, 2.0 * left - 1.0)
        loss = neighbor_loss(*log_q.split(batch_size, dim=1)) - balance * cluster_entropy(log_q)
        # No parameter is shared: the sum trains each on its own loss.
        return loss.sum()

    _minimise(loss_at, classifiers.parameters, MAX_ITER, LEARNING_RATE)
    with torch.no_grad():
        classifiers.keep_moments(_at(data, graph.rows[:CHUNK]))
        rows = [classifiers.log_memberships(_at(data, i)).argmax(2) for i in graph.rows.split(CHUNK)]
        classifiers.keep_only(_most_informative(torch.cat(rows, dim=1), graph))
        everything = torch.arange(len(data), device=random.device)
        return torch.cat(
            [classifiers.log_memberships(_at(data, i))[0].argmax(1) for i in everything.split(CHUNK)]
        )


def _inputs(data: Tensor, graph: NeighborGraph, seed: int) -> Tensor:
    """What the classifiers read: rows of values, their principal components where there are many."""
    if math.prod(data.shape[1:]) <= MAX_INPUTS:
        return data.flatten(1)
    pca = PCA(N_INPUTS, svd_solver="randomized", random_state=seed)
    some = data[graph.rows.to(data.device)].flatten(1).cpu().numpy()
    pca.set_params(n_components=min(N_INPUTS, len(some))).fit(some)
    parts = [pca.transform(part.flatten(1).cpu().numpy()) for part in data.split(CHUNK)]
    return torch.as_tensor(np.concatenate(parts), dtype=data.dtype)


def _most_informative(candidates: Tensor, graph: NeighborGraph) -> int:
    """The row of candidate labels with the most mutual information between neighbours."""
    return max(range(len(candidates)), key=lambda row: sum(neighbor_information(candidates[row], graph)))
