"""The search for pseudo-labels: which finders run, which candidates may win, and which one does.

1. More than `MAX_CLUSTERS` clusters, or fewer than two samples for each: KMeans, whatever is asked for.
2. A kind that is asked for by name: the best candidate of its finder.
3. In a table of categories: latent classes, unless the columns are independent of each other.
4. In any other table, without the columns that are indicators: KMeans, a mixture of Gaussians and, where
   clusters have samples enough, eigenvectors of graphs of neighbours. Of merged clusters one kind alone
   may win; the others are there to start classifiers.
5. The best of these by quality and agreement wins at once if neighbours hardly ever disagree on it.
6. Otherwise classifiers start from all that was found, and the best of all wins.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import combinations
from statistics import fmean

import numpy as np
import torch
from sklearn.metrics import adjusted_rand_score
from torch import Tensor

from skmpcc.pseudo_labels.finders import images, kmeans, latent_classes, mixture, spectral, tables
from skmpcc.pseudo_labels.finders.kmeans import MAX_CLUSTERS, kmeans_labels
from skmpcc.pseudo_labels.finders.merging import LINKAGES
from skmpcc.pseudo_labels.graph import NeighborGraph
from skmpcc.pseudo_labels.problem import Candidate, Problem
from skmpcc.pseudo_labels.quality import ClusterQuality
from skmpcc.system.progress import Progress

FINDERS: dict[str, Callable[[Problem], Iterable[Candidate]]] = {
    "kmeans": kmeans.find,
    "gaussian_mixture": mixture.find,
    "spectral": spectral.find,
    "neighbors": tables.find,
    "latent_classes": latent_classes.find,
    "augmentation": images.find,
}
# What the lost information of the classifiers' clusters is multiplied by. Where clusters touch,
# neighbours disagree somewhat more on theirs than on those of eigenvectors, and they are better all the
# same.
CLASSIFIER_LOSS_FACTOR = 0.85
# Merged clusters that may win, by neighbours and linkage.
ELIGIBLE_MERGERS = {(spectral.NARROW, LINKAGES[0])}
# Weight of the mean adjusted Rand index of a candidate and all of them, compared with its quality.
AGREEMENT_WEIGHT = 0.75
# Samples for each cluster from which a graph shows enough of it for its eigenvectors.
MIN_SAMPLES = 4


def find_pseudo_labels(
    kind: str, data: Tensor, graph: NeighborGraph | None, n_clusters: int, rng: torch.Generator
) -> Tensor:
    """Find clusters of the data for the networks to learn from; see `search_pseudo_labels`."""
    return search_pseudo_labels(kind, data, graph, n_clusters, rng)[0]


def search_pseudo_labels(
    kind: str,
    data: Tensor,
    graph: NeighborGraph | None,
    n_clusters: int,
    rng: torch.Generator,
    progress: Progress | None = None,
) -> tuple[Tensor, str]:
    """Find clusters of the data for the networks to learn from, and say of which kind they are.

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
    if graph is None:
        graph = NeighborGraph.without_neighbors(len(data), rng.device)
    problem = Problem(data, graph, n_clusters, rng, progress=progress)
    if kind == "kmeans" or n_clusters > MAX_CLUSTERS or 2 * n_clusters > len(data):
        labels = kmeans_labels(data, n_clusters, problem.seed)
        return torch.as_tensor(labels, device=rng.device), "kmeans"
    if n_clusters == 1 and kind != "augmentation":
        return torch.zeros(len(data), dtype=torch.int64, device=rng.device), kind
    best = best_candidate(kind, problem)
    return torch.as_tensor(best.of_all(), dtype=torch.int64, device=rng.device), best.kind


def best_candidate(kind: str, problem: Problem) -> Candidate:
    """Find the best candidate of a kind, or of all kinds by "search"; the rules are at the head."""
    if kind != "search":
        found = list(FINDERS[kind](problem))
        if not found:
            raise ValueError(
                "pseudo_labels='latent_classes' is for tables of at least 3 columns, half of them or "
                "more with at most 10 values, each in 5 rows on average; copies of a column, and the "
                "indicators of one variable, count once. X is not such a table. Take 'search', or make "
                "categories of the columns of X."
            )
        eligible = [each for each in found if _may_win(each)]
        if len(eligible) == 1:
            return eligible[0]
        return best_by_quality_and_agreement(eligible, _quality(problem))
    for classes in FINDERS["latent_classes"](problem):
        if classes.detail:
            return classes
    if problem.variables.measured:
        # Rows of one value are so near to each other, and so far from all others, that neighbours and
        # Gaussians would see nothing else.
        problem = problem.of_columns(~problem.variables.is_indicator)
    kinds = ["kmeans", "gaussian_mixture"]
    if MIN_SAMPLES * problem.n_clusters <= len(problem.graph.rows):
        kinds.append("spectral")
    found = [candidate for each in kinds for candidate in FINDERS[each](problem)]
    eligible, quality = [each for each in found if _may_win(each)], _quality(problem)
    best = best_by_quality_and_agreement(eligible, quality)
    if quality.is_unambiguous(best.labels):
        return best
    # They take as long as all others together.
    problem = replace(problem, starts=[each.labels for each in found])
    return best_by_quality_and_agreement([*eligible, *FINDERS["neighbors"](problem)], quality)


def _may_win(candidate: Candidate) -> bool:
    """Whether a candidate can be chosen; if not, classifiers start from it, nothing else."""
    return candidate.kind != "spectral" or candidate.detail in {None, *ELIGIBLE_MERGERS}


def _quality(problem: Problem) -> ClusterQuality:
    points, _ = problem.gaussian_points
    n_features = problem.data[0].numel()
    return ClusterQuality(points, problem.graph, problem.n_clusters, n_features)


def best_by_quality_and_agreement(candidates: Sequence[Candidate], quality: ClusterQuality) -> Candidate:
    """Return the candidate of the best quality, with some regard to how much the others agree with it.

    Qualities of good clusters hardly differ from those of clusters that no other method finds.
    """
    agreement = np.eye(len(candidates))
    for (i, one), (j, other) in combinations(enumerate(candidates), 2):
        agreement[i, j] = agreement[j, i] = adjusted_rand_score(one.labels, other.labels)
    values = []
    for candidate, with_all in zip(candidates, agreement, strict=True):
        loss_factor = CLASSIFIER_LOSS_FACTOR if candidate.kind == "neighbors" else 1.0
        value = quality.quality(candidate.labels, loss_factor)
        values.append(value + AGREEMENT_WEIGHT * fmean(with_all))
    return candidates[values.index(max(values))]
