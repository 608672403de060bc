"""The search for pseudo-labels: candidates, and the choice among them without labels."""

from collections.abc import Sequence
from itertools import combinations
from statistics import fmean

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score
from torch import Tensor

from skmpcc.pseudo_labels.candidates import (
    MAX_CLUSTERS,
    Candidate,
    gaussian_mixture_candidate,
    gaussian_points,
    kmeans_candidate,
    kmeans_labels,
    label_by_nearest,
    spectral_candidates,
)
from skmpcc.pseudo_labels.choice import ClusterQuality
from skmpcc.pseudo_labels.images import augmentation_labels
from skmpcc.pseudo_labels.latent_classes import MixedTable, latent_classes
from skmpcc.pseudo_labels.neighbors import NeighborGraph
from skmpcc.pseudo_labels.tables import classifier_labels
from skmpcc.pseudo_labels.variables import Variables
from skmpcc.system.progress import Progress

# What the lost information of the classifiers' clusters is multiplied by. Where clusters touch,
# neighbours disagree somewhat more on theirs than on those of eigenvectors, and they are better all the
# same.
CLASSIFIER_LOSS_FACTOR = 0.85
# Weight of the mean adjusted Rand index of a candidate and all of them, beside its quality.
AGREEMENT_WEIGHT = 0.75
# Samples for each cluster from which a graph shows enough of it for its eigenvectors.
MIN_SAMPLES = 4

_MAX_SEED = 2**32


def find_pseudo_labels(
    kind: str, data: Tensor, graph: NeighborGraph | None, n_clusters: int, rng: torch.Generator
) -> Tensor:
    """Find clusters of the data to teach the networks with; see `search_pseudo_labels`."""
    return search_pseudo_labels(kind, data, graph, n_clusters, rng)[0]


def search_pseudo_labels(
    kind: str,
    data: Tensor,
    graph: NeighborGraph | None,
    n_clusters: int,
    rng: torch.Generator,
    progress: Progress | None = None,
) -> tuple[Tensor, str]:
    """Find clusters of the data to teach the networks with, and tell of which kind they are.

    More than `MAX_CLUSTERS` clusters and those of fewer than two samples are KMeans's, whatever the
    kind: a graph or a batch shows too little of them.

    Parameters
    ----------
    kind : {"search", "kmeans", "gaussian_mixture", "spectral", "neighbors", "latent_classes", \
            "augmentation"}
        "search" takes the best of all but the last two, and in tables of categories latent classes.
    data : Tensor of shape (n_samples, ...)
        Data as the networks see them, on any device.
    graph : NeighborGraph or None
        Needed by all but "kmeans" and "augmentation".
    n_clusters : int
    rng : torch.Generator
        Classifiers are trained on its device.
    progress : Progress, optional
        Keeps classifiers of images on their way. What else there is takes seconds.

    Returns
    -------
    labels : Tensor of int64 of shape (n_samples,)
    kind : str
        What found them.

    Raises
    ------
    ValueError
        Latent classes are asked for in another table than one of categories.
    """
    if kind == "kmeans" or n_clusters > MAX_CLUSTERS or 2 * n_clusters > len(data):
        labels = kmeans_labels(data, n_clusters, rng.initial_seed() % _MAX_SEED)
        return torch.as_tensor(labels, device=rng.device), "kmeans"
    if kind == "augmentation":
        return augmentation_labels(data, n_clusters, rng, progress=progress), kind
    assert graph is not None
    if n_clusters == 1:
        return torch.zeros(len(data), dtype=torch.int64, device=rng.device), kind
    best = best_candidate(kind, data, graph, n_clusters, rng)
    return torch.as_tensor(best.of_all(), dtype=torch.int64, device=rng.device), best.kind


def best_candidate(
    kind: str, data: Tensor, graph: NeighborGraph, n_clusters: int, rng: torch.Generator
) -> Candidate:
    """Find the best candidate of a kind, or of all kinds by "search"; see `ClusterQuality`.

    A search in a table of categories is latent class analysis, unless it finds the columns independent.

    Classifiers take as long as all others together. A search trains them only if neighbours disagree now
    and then on the best of the others.
    """
    seed = rng.initial_seed() % _MAX_SEED
    rows = graph.points(data)
    variables = Variables.from_rows(rows) if kind in ("search", "latent_classes") else None
    table = None if variables is None else MixedTable.from_rows(variables)
    if table is None and kind == "latent_classes":
        raise ValueError(
            "pseudo_labels='latent_classes' is for tables of at least 3 columns, half of them or more "
            "with at most 10 values, each in 5 rows on average; copies of a column, and the indicators "
            "of one variable, count once. X is not such a table. Take 'search', or make categories of "
            "the columns of X."
        )
    if table is not None:
        labels, beats_one_class = latent_classes(table, n_clusters, seed)
        if beats_one_class or kind == "latent_classes":
            return Candidate("latent_classes", labels, label_by_nearest(data, graph, labels))
    if kind == "search" and variables is not None and variables.measured:
        # Rows of one value are so near to each other, and so far from all others, that neighbours and
        # Gaussians would see nothing else.
        data, graph = _of_columns(data, graph, ~variables.is_indicator, n_clusters, rng)
        rows = graph.points(data)
    points, reduce = gaussian_points(rows, seed)
    judge = ClusterQuality(points, graph, n_clusters, data[0].numel())
    found: list[Candidate] = []
    if kind in ("search", "kmeans"):
        found.append(kmeans_candidate(data, graph, n_clusters, seed))
    if kind in ("search", "gaussian_mixture"):
        found.append(gaussian_mixture_candidate(data, graph, points, reduce, n_clusters, seed))
    if kind == "spectral" or (kind == "search" and MIN_SAMPLES * n_clusters <= len(graph.rows)):
        found += spectral_candidates(data, graph, n_clusters, seed)

    rivals = [each for each in found if each.eligible]
    if rivals:
        best = best_by_quality_and_agreement(rivals, judge)
        if kind != "search" or judge.is_unambiguous(best.labels):
            return best
    starts = [each.labels for each in found]
    of_all = classifier_labels(data, graph, n_clusters, rng, starts).cpu().numpy()
    of_rows = of_all[graph.rows.cpu().numpy()]
    trained = Candidate("neighbors", of_rows, lambda: of_all, CLASSIFIER_LOSS_FACTOR)
    return best_by_quality_and_agreement([*rivals, trained], judge)


def _of_columns(
    data: Tensor, graph: NeighborGraph, columns: NDArray[np.bool_], n_clusters: int, rng: torch.Generator
) -> tuple[Tensor, NeighborGraph]:
    """Return some columns of a table, and the neighbours in these."""
    if columns.all() or graph.components is not None or data.ndim != 2:
        return data, graph
    data = data[:, torch.as_tensor(columns, device=data.device)]
    return data, NeighborGraph.from_data(data, graph.nearest.shape[1], n_clusters, rng)


def best_by_quality_and_agreement(candidates: Sequence[Candidate], judge: ClusterQuality) -> Candidate:
    """Return the candidate of the best quality, with some regard to how much the others agree with it.

    Qualities of good clusters hardly differ from those of clusters that no other method finds.
    """
    agreement = np.eye(len(candidates))
    for (i, one), (j, other) in combinations(enumerate(candidates), 2):
        agreement[i, j] = agreement[j, i] = adjusted_rand_score(one.labels, other.labels)
    values = [
        judge.quality(candidate.labels, candidate.loss_factor) + AGREEMENT_WEIGHT * fmean(with_all)
        for candidate, with_all in zip(candidates, agreement, strict=True)
    ]
    return candidates[values.index(max(values))]
