"""First clusterings of the data, found without labels, to guide the first iterations by."""

import math
import warnings
from itertools import pairwise

import numpy as np
import torch
from scipy.sparse import csr_matrix
from scipy.stats import entropy
from sklearn.cluster import KMeans, MiniBatchKMeans, SpectralClustering
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor
from torch.nn import functional
from torch.optim import Adam

from skmpcc.losses import cluster_entropy, neighbor_loss
from skmpcc.neighbors import NeighborGraph, neighbor_information

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
WIDTH = 64
MAX_ITER = 800
BATCH_SIZE = 128
LEARNING_RATE = 1e-2
# Clusters of equal size are insisted on at first; else many a restart leaves some empty.
BALANCE_WEIGHT = 3.0
EPSILON = 1e-5
_MAX_SEED = 2**32


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

    def points(rows: Tensor) -> Tensor:
        return data[rows.to(data.device)].to(random.device)

    # A batch has to show several of every cluster.
    batch_size = min(len(graph.rows), max(BATCH_SIZE, 4 * n_clusters))
    # The more clusters, the more ways for two kinds to fall into one.
    affordable = max(1, MAX_MEMBERSHIPS // (2 * batch_size * n_clusters))
    n_restarts = min(MAX_RESTARTS, 8 + 3 * n_clusters, affordable)
    classifiers = _Classifiers(n_restarts, data.shape[1], n_clusters, random)
    optimizer = Adam(classifiers.parameters, lr=LEARNING_RATE)
    for iteration in range(MAX_ITER):
        left = 1.0 - iteration / MAX_ITER
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * min(1.0, left / 0.3)
        log_q = classifiers.log_memberships(points(torch.cat(graph.draw(batch_size, random))))
        balance = BALANCE_WEIGHT * max(0.0, 2.0 * left - 1.0)
        loss = neighbor_loss(*log_q.split(batch_size, dim=1)) - balance * cluster_entropy(log_q)
        # No parameter is shared: the sum trains each on its own loss.
        loss.sum().backward(inputs=classifiers.parameters)
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        classifiers.keep_moments(points(graph.rows[:CHUNK]))
        rows = [classifiers.log_memberships(points(i)).argmax(2) for i in graph.rows.split(CHUNK)]
        classifiers.keep_only(_most_informative(torch.cat(rows, dim=1), graph))
        everything = torch.arange(len(data), device=random.device)
        return torch.cat(
            [classifiers.log_memberships(points(i))[0].argmax(1) for i in everything.split(CHUNK)]
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


class _Classifiers:
    """Perceptrons of two hidden layers with batch-norms, all restarts in the same products."""

    def __init__(
        self, n_restarts: int, n_features: int, n_clusters: int, random: torch.Generator
    ) -> None:
        def uniform(*shape: int) -> Tensor:
            values = torch.empty((n_restarts, *shape), device=random.device)
            return values.uniform_(-1.0, 1.0, generator=random)

        sizes = list(pairwise([n_features, WIDTH, WIDTH, n_clusters]))
        self.weights = [uniform(a, b).div_(math.sqrt(a)).requires_grad_() for a, b in sizes]
        # Of hidden layers behind the norm, which would take any bias away.
        self.biases = [uniform(1, b).requires_grad_() for _, b in sizes]
        self.moments: list[tuple[Tensor, ...]] | None = None

    @property
    def parameters(self) -> list[Tensor]:
        return self.weights + self.biases

    def log_memberships(self, x: Tensor) -> Tensor:
        """log q(y | x), shape (n_restarts, n, K)."""
        return self._forward(x)[0]

    def keep_moments(self, x: Tensor) -> None:
        """Normalise by the activations' moments on `x` from now on, no longer by each batch's."""
        self.moments = self._forward(x)[1]

    def keep_only(self, index: int) -> None:
        """Forget all classifiers but one."""
        one = slice(index, index + 1)
        self.weights = [weight[one] for weight in self.weights]
        self.biases = [bias[one] for bias in self.biases]
        self.moments = [tuple(moment[one] for moment in pair) for pair in self.moments]

    def _forward(self, x: Tensor) -> tuple[Tensor, list[tuple[Tensor, ...]]]:
        h, seen = x.expand(len(self.weights[0]), *x.shape), []
        for layer in (0, 1):
            h = torch.bmm(h, self.weights[layer])
            # not by torch.var_mean, which is many times slower here
            mean = h.mean(1, keepdim=True) if self.moments is None else self.moments[layer][0]
            h = h - mean
            variance = (
                h.square().mean(1, keepdim=True) if self.moments is None else self.moments[layer][1]
            )
            seen.append((mean, variance))
            h = h * torch.rsqrt(variance + EPSILON)
            h = functional.relu(h + self.biases[layer])
        return torch.log_softmax(torch.baddbmm(self.biases[2], h, self.weights[2]), dim=2), seen
