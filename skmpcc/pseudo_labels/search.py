"""The search for pseudo-labels: which finders run, which candidates may win, and which one does.

1. More than `MAX_CLUSTERS` clusters, or fewer than two samples for each: KMeans, whatever is asked for.
2. A kind that is asked for by name: the best candidate of its finder.
3. In a table of categories: latent classes, unless the columns are independent of each other.
4. In any other table, without the columns that are indicators: KMeans, a mixture of Gaussians, a
   spanning tree, layouts of wide rows and, where clusters have samples enough, eigenvectors of graphs
   of neighbours; all of them once more in the columns divided by their ranges, where that makes a
   difference.
   Where values are missing, one more mixture is fitted to what is there. Where most rows have gaps and
   few values beside them, neighbours are guesses: then there are KMeans and mixtures alone.
5. The best of these by quality and agreement, judged by the neighbours in the data as they are; of
   those alone on which neighbours hardly ever disagree, if there are any.
6. Of images, by "image_search": the same finders in their scattering features, in colour images those of
   their contours as well, and classifiers of augmented views, each judged by the neighbours in the
   features that it is best in. Restarts of classifiers, and finders in the same features, that agree
   with each other count more.
"""

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from skmpcc.pseudo_labels.agreement import matching_share, rand_indices
from skmpcc.pseudo_labels.finders import (
    images,
    kmeans,
    latent_classes,
    layout,
    mixture,
    spanning_tree,
    spectral,
)
from skmpcc.pseudo_labels.finders.kmeans import MAX_CLUSTERS, kmeans_labels
from skmpcc.pseudo_labels.graph import NeighborGraph
from skmpcc.pseudo_labels.problem import Candidate, Problem
from skmpcc.pseudo_labels.quality import N_MUTUAL, ClusterQuality, Judgement
from skmpcc.pseudo_labels.scattering import contour_features, scattering_features
from skmpcc.pseudo_labels.side_by_side import one_core, run_side_by_side
from skmpcc.pseudo_labels.variables import Variables
from skmpcc.system.devices import available_threads
from skmpcc.system.progress import Progress

FINDERS: dict[str, Callable[[Problem], Iterable[Candidate]]] = {
    "kmeans": kmeans.find,
    "gaussian_mixture": mixture.find,
    "spanning_tree": spanning_tree.find,
    "layout": layout.find,
    "spectral": spectral.find,
    "latent_classes": latent_classes.find,
    "augmentation": images.find,
}
# Candidates for images: by classifiers and by features, or by features alone.
IMAGE_SEARCHES = {"image_search": True, "scattering": False}
# Those of the search in tables of measurements, by how long they take.
LONGEST_FIRST = ("spectral", "gaussian_mixture", "layout", "spanning_tree", "kmeans")
# Rows from which they run side by side. With fewer they hold Python's lock most of the time.
MIN_ROWS_FOR_THREADS = 1000
# Weight of the mean adjusted Rand index of a candidate and all of them, compared with its quality.
AGREEMENT_WEIGHT = 2.6
# The same of those candidates for images that come from the same features or are restarts.
FAMILY_WEIGHT = 1.3
# Samples for each cluster from which a graph shows enough of it for its eigenvectors.
MIN_SAMPLES = 4
# Share of rows with gaps from which on, and values that are there of a row on average below which,
# neighbours tell too little.
MANY_GAPS, FEW_VALUES = 0.5, 7.0
# Two candidates are the same clusters, but for some samples, from this adjusted Rand index on.
SAME = 0.9


@dataclass(frozen=True)
class PseudoLabels:
    """Clusters that were found, and how sure the choice of them was.

    Attributes
    ----------
    labels : Tensor of int64 of shape (n_samples,)
    kind : str
        What found them.
    margin : float or None
        By how much quality and agreement are above those of the best other clusters; None if there
        were none.
    agreement : float or None
        Mean adjusted Rand index with the other candidates.
    matching : float or None
        Mean share of samples that are in matching clusters of the other candidates.
    """

    labels: Tensor
    kind: str
    margin: float | None = None
    agreement: float | None = None
    matching: float | None = None


@dataclass(frozen=True)
class Choice:
    """The best of several candidates; see `PseudoLabels`."""

    best: Candidate
    margin: float | None = None
    agreement: float | None = None
    matching: float | None = None


def find_pseudo_labels(
    kind: str,
    data: Tensor,
    graph: NeighborGraph | None,
    n_clusters: int,
    rng: torch.Generator,
    progress: Progress | None = None,
    variables: Variables | None = None,
) -> PseudoLabels:
    """Find clusters of the data for the networks to learn from, and say of which kind they are.

    Parameters
    ----------
    kind : {"search", "kmeans", "gaussian_mixture", "spanning_tree", "spectral", "latent_classes", \
            "augmentation", "scattering", "image_search"}
        "search" takes the best of the next four, and in tables of categories latent classes. The last
        three are for images; "image_search" takes the best of the other two.
    data : Tensor of shape (n_samples, ...)
        Data as the networks see them, on any device.
    graph : NeighborGraph or None
        Needed by all but "kmeans" and the kinds for images.
    n_clusters : int
    rng : torch.Generator
        Classifiers of images are trained on its device.
    progress : Progress, optional
        Keeps classifiers of images on their way. What else there is takes seconds.
    variables : Variables, optional
        Of a table that has categories or missing values, of which the data are the completed form.

    Returns
    -------
    found : PseudoLabels

    Raises
    ------
    ValueError
        Latent classes are asked for in another table than one of categories.
    """
    if graph is None:
        graph = NeighborGraph.without_neighbors(len(data), rng.device)
    problem = Problem(data, graph, n_clusters, rng, progress=progress, known_variables=variables)
    if variables is not None and variables.gaps is not None:
        problem = replace(problem, gaps=torch.from_numpy(variables.gaps))
    if kind == "kmeans" or n_clusters > MAX_CLUSTERS or 2 * n_clusters > len(data):
        labels = kmeans_labels(data, n_clusters, problem.seed)
        return PseudoLabels(torch.as_tensor(labels, device=rng.device), "kmeans")
    if n_clusters == 1 and kind != "augmentation":
        return PseudoLabels(torch.zeros(len(data), dtype=torch.int64, device=rng.device), kind)
    choice = best_candidate(kind, problem)
    found = torch.as_tensor(choice.best.of_all(), dtype=torch.int64, device=rng.device)
    kind, sure = choice.best.kind, (choice.margin, choice.agreement, choice.matching)
    return PseudoLabels(found, kind, *sure)


def best_candidate(kind: str, problem: Problem) -> Choice:
    """Find the best candidate of a kind, or of all kinds by "search"; the rules are at the head."""
    if kind in IMAGE_SEARCHES:
        return choose_of_images(problem, with_classifiers=IMAGE_SEARCHES[kind])
    if kind == "augmentation":
        # The first is by all classifiers together; others have to be labelled only for a choice.
        return Choice(next(iter(FINDERS[kind](problem))))
    if kind != "search":
        at_once = kind in LONGEST_FIRST
        found = find_candidates([kind], [problem]) if at_once else list(FINDERS[kind](problem))
        if not found:
            raise ValueError(
                "pseudo_labels='latent_classes' is for tables of at least 3 columns, half of them or "
                "more with at most 10 values, each in 5 rows on average; copies of a column, and the "
                "indicators of one variable, count once. X is not such a table. Take 'search', or make "
                "categories of the columns of X."
            )
        return Choice(found[0]) if len(found) == 1 else choose(found, problem)
    for classes in FINDERS["latent_classes"](problem):
        if classes.detail:
            return Choice(classes)
    if problem.variables.measured:
        # Rows of one value are so near to each other, and so far from all others, that neighbours and
        # Gaussians would see nothing else.
        problem = problem.of_columns(~problem.variables.is_indicator)
    kinds = ["kmeans", "gaussian_mixture", "spanning_tree", "layout"]
    if MIN_SAMPLES * problem.n_clusters <= len(problem.graph.rows):
        kinds.append("spectral")
    of_observed: list[Candidate] = []
    if problem.gaps is not None and bool(problem.gaps.any()):
        with one_core():
            of_observed = list(mixture.find_in_observed(problem))
        n_there = float((~problem.gaps).sum(1).double().mean())
        if float(problem.gaps.any(1).double().mean()) >= MANY_GAPS and n_there < FEW_VALUES:
            kinds = ["kmeans", "gaussian_mixture"]
    by_range = problem.by_range()
    problems = [problem] if by_range is None else [problem, by_range]
    return choose([*find_candidates(kinds, problems), *of_observed], problem)


def choose_of_images(problem: Problem, with_classifiers: bool) -> Choice:
    """Find candidates for images in features of them, and by classifiers; choose among all."""
    kinds = ["kmeans", "gaussian_mixture", "spanning_tree", "layout"]
    if MIN_SAMPLES * problem.n_clusters <= len(problem.graph.rows):
        kinds.append("spectral")
    found: list[Candidate] = []
    judgements: list[Judgement] = []
    families: list[int] = []
    problems = feature_problems(problem)
    for part in problems:
        of_part = [replace(each, kind="scattering") for each in find_candidates(kinds, [part])]
        found += of_part
        judgements += judged(of_part, part)
        families += [len(families)] * len(of_part)
    if with_classifiers:
        of_views = list(images.find(replace(problem, graph=problems[0].graph)))
        found += of_views
        by_problem = zip(*(judged(of_views, part) for part in problems), strict=True)
        judgements += [max(each, key=lambda judgement: judgement.quality) for each in by_problem]
        families += [len(families)] * len(of_views)
    return best_by_quality_and_agreement(found, judgements, families)


def feature_problems(problem: Problem) -> list[Problem]:
    """Return the problem of images in their scattering features, and of colour images in contours'."""
    rng, data = problem.rng, problem.data
    is_grey = data.shape[1] == 1
    problems = []
    for make in [scattering_features] if is_grey else [scattering_features, contour_features]:
        features = make(data, rng)
        # Of large data the same rows each time.
        drawn = torch.Generator(rng.device).manual_seed(rng.initial_seed())
        graph = NeighborGraph.from_data(features, max(N_MUTUAL), problem.n_clusters, drawn)
        problems.append(replace(problem, data=features, graph=graph, of_images=True))
    return problems


def find_candidates(kinds: Sequence[str], problems: Sequence[Problem]) -> list[Candidate]:
    """Find the candidates of all kinds for all problems, which are of as many rows.

    Where there is work enough the finders run side by side on the cores there are. That changes nothing
    in what they find.
    """
    finders = [
        (kind, part, partial(_all_of, find, problem))
        for problem in problems
        for kind in kinds
        for part, find in enumerate(_parts(kind))
    ]
    # The longest first, so that none of them is left over at the end; the parts of one share bridges.
    costs = [(LONGEST_FIRST.index(kind), part) for kind, part, _ in finders]
    order = sorted(range(len(finders)), key=costs.__getitem__)
    n_threads = 1
    if len(problems[0].graph.rows) >= MIN_ROWS_FOR_THREADS:
        n_threads = min(available_threads(), len(finders))
    with one_core(), warnings.catch_warnings():
        # Fewer distinct samples than clusters leave some clusters empty, which does no harm here.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for problem in problems:
            problem.prepare()
        found = run_side_by_side([finders[i][-1] for i in order], n_threads)
    in_order = dict(zip(order, found, strict=True))
    return [candidate for i in range(len(finders)) for candidate in in_order[i]]


def _parts(kind: str) -> list[Callable[[Problem], Iterable[Candidate]]]:
    """Functions that find the candidates of a kind, of which each takes its time."""
    find = FINDERS[kind]
    if find is spectral.find:
        return [partial(spectral.find, widths=(width,)) for width in spectral.WIDTHS]
    return [find]


def _all_of(find: Callable[[Problem], Iterable[Candidate]], problem: Problem) -> list[Candidate]:
    return list(find(problem))


def choose(candidates: Sequence[Candidate], problem: Problem) -> Choice:
    """Choose the candidate of the best quality, with regard to how much the others agree with it.

    Qualities of good clusters hardly differ from those of clusters that no other method finds. Where
    some are unambiguous, it is one of these.
    """
    return best_by_quality_and_agreement(candidates, judged(candidates, problem))


def judged(candidates: Sequence[Candidate], problem: Problem) -> list[Judgement]:
    """Judge candidates by the neighbours in the data of a problem."""
    points, _ = problem.gaussian_points
    judge = ClusterQuality(points, problem.graph, problem.n_clusters, problem.data[0].numel())
    with one_core():
        return [judge.judge(each.labels, each.lost_factor) for each in candidates]


def best_by_quality_and_agreement(
    candidates: Sequence[Candidate],
    judgements: Sequence[Judgement],
    families: Sequence[int] | None = None,
) -> Choice:
    """Choose a candidate; agreement within families counts once more."""
    quality = np.array([each.quality for each in judgements])
    unambiguous = np.array([each.is_unambiguous for each in judgements])
    if unambiguous.any():
        quality[~unambiguous] = -np.inf
    same = rand_indices([each.labels for each in candidates])
    value = quality + AGREEMENT_WEIGHT * same.mean(axis=1)
    if families is not None:
        is_kin = np.equal.outer(families, families)
        value = value + FAMILY_WEIGHT * (same * is_kin).sum(axis=1) / is_kin.sum(axis=1)
    best = int(value.argmax())
    others = value[(same[best] < SAME) & np.isfinite(value)]
    margin = float(value[best] - others.max()) if len(others) else None
    if len(candidates) == 1:
        return Choice(candidates[best], margin)
    chosen, agreement = candidates[best], float(np.delete(same[best], best).mean())
    shares = [matching_share(chosen.labels, each.labels) for each in candidates if each is not chosen]
    return Choice(chosen, margin, agreement, float(np.mean(shares)))
