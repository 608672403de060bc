"""The number of clusters of a table: the largest at which halves of it tell each other's clusters."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics.cluster import contingency_matrix
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors

from skmpcc.pseudo_labels.finders.eigenvectors import (
    affinity,
    clusters_of_rows,
    eigenvectors,
    is_factored,
)
from skmpcc.pseudo_labels.finders.mixture import variance_floor
from skmpcc.pseudo_labels.finders.spanning_tree import SpanningTree, merged_by_size
from skmpcc.pseudo_labels.finders.spectral import BROAD
from skmpcc.pseudo_labels.problem import N_VOTES, gaussian_points
from skmpcc.pseudo_labels.side_by_side import one_core

# Rows of both halves together. More take longer and change little.
MAX_ROWS = 2000
# Samples that there must be for each cluster: two in each half.
MIN_SAMPLES = 4
# Starts of KMeans in eigenvectors, and iterations of mixtures: fewer than in a fit, because there are
# hundreds of them.
N_INIT = 2
MAX_ITER = 20
# Gini index of the sizes of a spanning tree's clusters above which the smallest is merged next.
MAX_GINI = 0.3
# Strength that two clusters need, and how much less it is for more of them, times log(K / 2): the least
# of many shares is lower by chance. Chosen on 132 sets: see the lab note of 2026-12-01 on the number.
THRESHOLD, SLOPE = 0.9, 0.05
# Strength at which the number of the least BIC counts, if numbers beside it are found again less well.
MIN_OF_BIC = 0.6


@dataclass(frozen=True)
class NClustersSuggestion:
    """A suggested number of clusters, and the prediction strength of every number that was compared.

    `suggest_n_clusters` makes it.

    Attributes
    ----------
    n_clusters : int
        The suggestion.
    candidates : ndarray of int64 of shape (n_candidates,)
        Numbers of clusters that were compared, in ascending order.
    scores : ndarray of float64 of shape (n_candidates,)
        Mean prediction strength for each, from 0 to 1; of images the mean adjusted Rand index of
        classifiers.
    standard_errors : ndarray of float64 of shape (n_candidates,)
        Standard errors of these means over the resamplings.
    threshold : float
        Prediction strength that was asked for, of two clusters; see `thresholds`.
    is_guess : bool
        Whether no number reached its threshold, so that the suggestion is little more than a guess.
    """

    n_clusters: int
    candidates: NDArray[np.int64]
    scores: NDArray[np.float64]
    standard_errors: NDArray[np.float64]
    threshold: float
    is_guess: bool = False

    @property
    def thresholds(self) -> NDArray[np.float64]:
        """Scores that the candidates need; shape (n_candidates,)."""
        return needed_strengths(self.candidates, self.threshold)

    def followed_by(self, more: "NClustersSuggestion") -> "NClustersSuggestion":
        """Return what was found among these candidates and larger ones.

        What is no guess comes first, then what was found among the larger ones.
        """
        best = self if more.is_guess and not self.is_guess else more
        # The last of these may be the first of the larger ones, and is compared with them there.
        kept = self.candidates < more.candidates[0]
        joined: dict[str, Any] = {
            name: np.concatenate([getattr(self, name)[kept], getattr(more, name)])
            for name in ("candidates", "scores", "standard_errors")
        }
        return replace(best, **joined)


def needed_strengths(numbers: NDArray[np.int64], threshold: float) -> NDArray[np.float64]:
    """Strengths that numbers of clusters need to be suggested."""
    return threshold - SLOPE * np.log(np.maximum(numbers, 2) / 2)


def suggest_number(
    points: NDArray[np.float64],
    candidates: NDArray[np.int64],
    seeds: NDArray[np.int64],
    threshold: float = THRESHOLD,
    n_jobs: int | None = None,
) -> NClustersSuggestion:
    """Suggest a number of clusters of points; see `skmpcc.model_selection.suggest_n_clusters`.

    Parameters
    ----------
    points : ndarray of shape (n, d)
        In which neighbours are found.
    candidates : ndarray of int of shape (m,)
        In ascending order; at most a number for each `MIN_SAMPLES` points.
    seeds : ndarray of int of shape (n_resamplings,)
        Of the splits into halves.
    threshold : float
    n_jobs : int or None

    Returns
    -------
    suggestion : NClustersSuggestion
    """
    several = candidates[candidates > 1]
    least, mean = np.ones((2, len(seeds), len(candidates)))
    bic = np.full(len(candidates), np.inf)
    if len(several):
        tasks = [delayed(_strengths)(points, several, int(seed)) for seed in seeds]
        *runs, found = Parallel(n_jobs=n_jobs)([*tasks, delayed(_bic)(points, several, int(seeds[0]))])
        # (n_resamplings, 2, n_kinds, n_several)
        strengths = np.array(runs)
        for out, of_kinds in zip((least, mean), strengths.swapaxes(0, 1), strict=True):
            best = of_kinds.mean(axis=0).argmax(axis=0)
            out[:, candidates > 1] = of_kinds[:, best, np.arange(len(several))]
        bic[candidates > 1] = found
    scores = least.mean(axis=0)
    index, is_guess = _chosen(scores, mean.mean(axis=0), bic, needed_strengths(candidates, threshold))
    errors = least.std(axis=0, ddof=1) / np.sqrt(len(seeds))
    return NClustersSuggestion(
        int(candidates[index]), candidates, scores, errors, float(threshold), is_guess
    )


def _chosen(least: NDArray, mean: NDArray, bic: NDArray, needed: NDArray) -> tuple[int, bool]:
    """Place of the number that is suggested, and whether it is a guess.

    It is the largest one that reaches what it needs, or otherwise the one of the best mean strength. A
    larger one takes its place if mixtures have the least BIC there, and if it is found again better than
    the numbers beside it: clusters that touch as Gaussians do are hard to find again, and still there.
    """
    passed = np.flatnonzero(least >= needed)
    index, is_guess = (int(passed[-1]), False) if len(passed) else (int(mean.argmax()), True)
    of_bic = int(bic.argmin())
    if index < of_bic < len(bic) - 1 and least[of_bic] >= MIN_OF_BIC:
        beside = max(least[of_bic - 1] if of_bic else 0.0, least[of_bic + 1])
        if least[of_bic] > beside:
            return of_bic, False
    return index, is_guess


def _strengths(points: NDArray, numbers: NDArray, seed: int) -> NDArray[np.float64]:
    """Strengths of one split: the least and the mean of clusters, by kind of clustering and number."""
    # Enough rows for the largest number, also where that one is very large.
    n_rows = min(len(points), max(MAX_ROWS, MIN_SAMPLES * int(numbers[-1])))
    rows = np.random.default_rng(seed).permutation(len(points))[:n_rows]
    first, second = points[rows[: n_rows // 2]], points[rows[n_rows // 2 :]]
    with _quiet_on_one_core():
        pairs = zip(
            _clusterings(first, second, numbers, seed),
            _clusterings(second, first, numbers, seed),
            strict=True,
        )
        shares = [
            (prediction_strengths(own, of_own, number), prediction_strengths(rest, of_rest, number))
            for ((own, of_rest), (rest, of_own)), number in zip(pairs, cycle(numbers), strict=False)
        ]
    strengths = np.mean(shares, axis=1).T.reshape(2, -1, len(numbers))
    # Graphs of equal samples may have clusters all the same.
    n_distinct = min(len(np.unique(half, axis=0)) for half in (first, second))
    return np.where(numbers <= n_distinct, strengths, 0.0)


@contextmanager
def _quiet_on_one_core() -> Iterator[None]:
    """Context manager in which mixtures need not settle, and equal samples may leave clusters empty."""
    with one_core(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def prediction_strengths(labels: NDArray, predicted: NDArray, number: int) -> tuple[float, float]:
    """Shares of pairs in clusters of labels that are predicted to be together: the least, and the mean.

    The mean is over samples. An empty cluster and one of a single sample, which has no pairs, have
    share 0.
    """
    if len(np.unique(labels)) < number:
        return 0.0, 0.0
    counts = contingency_matrix(labels, predicted).astype(np.float64)
    sizes = counts.sum(axis=1)
    together = (counts * (counts - 1)).sum(axis=1)
    shares = together / np.maximum(sizes * (sizes - 1), 1)
    return float(shares.min()), float(np.average(shares, weights=sizes))


def _clusterings(
    points: NDArray, others: NDArray, numbers: NDArray, seed: int
) -> Iterator[tuple[NDArray, NDArray]]:
    """Clusters of points, and of others as these predict them: by kind, then by number.

    Mixtures, eigenvectors and a spanning tree, as in a search for pseudo-labels; but graph, eigenvectors
    and tree are found once for all numbers.
    """
    gaussian, reduce = gaussian_points(points, seed)
    other_gaussian = reduce(others)
    for mixture in _mixtures(gaussian, numbers, seed):
        if mixture is None:
            # A single cluster has strength 0.
            yield np.zeros(len(points), np.int64), np.zeros(len(others), np.int64)
        else:
            yield mixture.predict(gaussian), mixture.predict(other_gaussian)

    finder = NearestNeighbors(n_neighbors=min(BROAD, len(points) // 4)).fit(points)
    distances, nearest = finder.kneighbors()
    voters = finder.kneighbors(others, min(N_VOTES, len(points)), return_distance=False)
    edges = affinity(points, nearest, distances)
    _, vectors = eigenvectors(edges, int(numbers[-1]), seed, factored=is_factored(points))
    tree = SpanningTree.from_neighbors(points, nearest, distances)
    of_kinds = (
        lambda number: clusters_of_rows(vectors[:, :number], number, seed, n_init=N_INIT),
        lambda number: merged_by_size(tree, number, MAX_GINI),
    )
    for clusters in of_kinds:
        for number in numbers:
            labels = clusters(int(number))
            yield labels, np.eye(number)[labels[voters]].sum(axis=1).argmax(axis=1)


def _mixtures(points: NDArray, numbers: NDArray, seed: int) -> Iterator[GaussianMixture | None]:
    """Mixtures of Gaussians by number; None where they have more parameters than there are points."""
    floor, d = variance_floor(points), points.shape[1]
    for number in numbers:
        if number * d * (d + 3) / 2 > len(points):
            yield None
            continue
        mixture = GaussianMixture(number, reg_covar=floor, max_iter=MAX_ITER, random_state=seed)
        yield mixture.fit(points)


def _bic(points: NDArray, numbers: NDArray, seed: int) -> NDArray[np.float64]:
    """Bayesian information criteria of mixtures of some of the points, by number."""
    rows = np.random.default_rng(seed).permutation(len(points))[:MAX_ROWS]
    with _quiet_on_one_core():
        gaussian, _ = gaussian_points(points[rows], seed)
        found = _mixtures(gaussian, numbers, seed)
        return np.array([np.inf if mixture is None else mixture.bic(gaussian) for mixture in found])
