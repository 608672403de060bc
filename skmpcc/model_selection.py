"""The number of clusters of a table, suggested without labels."""

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import cycle
from numbers import Integral, Real
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics.cluster import contingency_matrix
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import check_array, check_scalar

from skmpcc.data.frames import check_columns
from skmpcc.data.inputs import InputFormat, Layout, as_array, as_real
from skmpcc.pseudo_labels.finders.eigenvectors import (
    affinity,
    clusters_of_rows,
    eigenvectors,
    is_factored,
)
from skmpcc.pseudo_labels.finders.mixture import variance_floor
from skmpcc.pseudo_labels.finders.spectral import BROAD
from skmpcc.pseudo_labels.problem import N_VOTES, gaussian_points
from skmpcc.system.devices import at_most_threads
from skmpcc.system.random import random_state_of

# Rows of both halves together. More take longer and change little.
MAX_ROWS = 2000
# Samples that there must be for each cluster: two in each half.
MIN_SAMPLES = 4
# Starts of KMeans in eigenvectors, and iterations of mixtures: fewer than in a fit, because there are
# hundreds of them.
N_INIT = 2
MAX_ITER = 20

_MAX_SEED = np.iinfo(np.int32).max


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
        Mean prediction strength for each, from 0 to 1.
    standard_errors : ndarray of float64 of shape (n_candidates,)
        Standard errors of these means over the resamplings.
    threshold : float
        Prediction strength that was asked for.
    """

    n_clusters: int
    candidates: NDArray[np.int64]
    scores: NDArray[np.float64]
    standard_errors: NDArray[np.float64]
    threshold: float


def suggest_n_clusters(
    X: ArrayLike,
    n_clusters: Iterable[int] = range(2, 21),
    *,
    n_resamplings: int = 8,
    threshold: float = 0.8,
    n_jobs: int | None = None,
    random_state: Any = None,
) -> NClustersSuggestion:
    """Suggest a number of clusters for a table, by prediction strength.

    The samples are split into random halves, and each half is clustered by itself. The clusters of one
    half then predict which samples of the other are together. The largest number is suggested for
    which these predictions still hold.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        A table of real numbers, scaled inside as `MPCCClusterer` does. Images are not accepted: in
        pixels, clusters of neighbours are seldom those that `MPCCClusterer` finds in images.
    n_clusters : iterable of int, default=range(2, 21)
        Numbers to choose among. There have to be four samples for each cluster. With 1 among them, the
        suggestion is 1 where no larger number passes: its prediction strength is 1 by definition.
    n_resamplings : int, default=8
        Splits into halves, at least 2.
    threshold : float, default=0.8
        Mean prediction strength that a number must have, above 0 and at most 1. A higher one gives
        fewer clusters.
    n_jobs : int or None, default=None
        Number of processes, as joblib reads it.
    random_state : int, RandomState instance or None, default=None
        Draws the halves and starts the clusterings.

    Returns
    -------
    suggestion : NClustersSuggestion
        The number, and the strength of each number with its standard error.

    Raises
    ------
    TypeError
        A parameter is of the wrong type, or X is sparse.
    ValueError
        A parameter is out of its range, X is not a table of finite real numbers, or there are too few
        samples.

    Warns
    -----
    UserWarning
        No number reaches the threshold: the one of the highest strength is suggested.

    Notes
    -----
    The prediction strength of clusters is the least share, over the clusters of one half, of pairs in
    them that are in one cluster of the other half as well. GaussianMixture and spectral clustering, as
    they are candidates for pseudo-labels, are tried, and for each number the stronger of them counts.
    So clusters may touch as Gaussians do, or be of any shape and apart. Mixtures of which a half has
    fewer samples than parameters are left out. Strengths are means over resamplings and over both
    halves of each. Of more than 2000 samples each resampling draws 2000.

    Clusters have to be found again in half of the samples. Where they touch they may not be, so that the
    suggestion is a lower bound there. For Gaussian clusters that touch, the least
    `GaussianMixture(...).bic` is the better guide.

    References
    ----------
    R. Tibshirani and G. Walther, "Cluster Validation by Prediction Strength", Journal of Computational
    and Graphical Statistics 14 (2005).

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skmpcc.model_selection import suggest_n_clusters
    >>> X, _ = make_blobs(300, centers=[[-8, 0], [0, 8], [8, 0]], random_state=0)
    >>> suggestion = suggest_n_clusters(X, range(2, 6), random_state=0)
    >>> suggestion.n_clusters
    3
    >>> suggestion.scores.shape
    (4,)
    """
    candidates = _checked_candidates(n_clusters)
    check_scalar(n_resamplings, "n_resamplings", Integral, min_val=2)
    check_scalar(threshold, "threshold", Real, min_val=0, max_val=1, include_boundaries="right")
    random = random_state_of(random_state)
    points = _scaled_table(X, int(candidates[-1]))
    seeds = random.randint(_MAX_SEED, size=n_resamplings)
    several = candidates[candidates > 1]
    strengths = np.ones((n_resamplings, len(candidates)))
    errors = np.zeros(len(candidates))
    if len(several):
        runs = Parallel(n_jobs=n_jobs)(delayed(_strengths)(points, several, int(seed)) for seed in seeds)
        of_kinds = np.array(runs)
        best = of_kinds.mean(axis=0).argmax(axis=0)
        strengths[:, candidates > 1] = of_kinds[:, best, np.arange(len(several))]
        errors = strengths.std(axis=0, ddof=1) / np.sqrt(n_resamplings)
    scores = strengths.mean(axis=0)
    passed = np.flatnonzero(scores >= threshold)
    if not len(passed):
        warnings.warn(
            f"No number of clusters has a prediction strength of at least threshold={threshold:g}: the "
            f"highest is {scores.max():.2f}. Clusters of X are not distinct, or their number is not "
            "among n_clusters.",
            stacklevel=2,
        )
    index = passed[-1] if len(passed) else scores.argmax()
    return NClustersSuggestion(int(candidates[index]), candidates, scores, errors, float(threshold))


def _checked_candidates(n_clusters: Iterable[int]) -> NDArray[np.int64]:
    """The numbers in ascending order, each once."""
    if isinstance(n_clusters, str) or not isinstance(n_clusters, Iterable):
        raise TypeError(
            f"n_clusters must be an iterable of int, such as range(2, 21); got {n_clusters!r}."
        )
    numbers = list(n_clusters)
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, Integral):
            raise TypeError(f"n_clusters must hold integers, got {number!r} among them.")
        if number < 1:
            raise ValueError(f"n_clusters must hold numbers of at least 1, got {number} among them.")
    if not numbers:
        raise ValueError("n_clusters is empty; at least one number is needed.")
    return np.unique(np.array(numbers, dtype=np.int64))


def _scaled_table(X: Any, largest: int) -> NDArray[np.float64]:
    """Validate X and scale it as the networks see it."""
    check_columns(X)
    X = as_array(X)
    if getattr(X, "ndim", 2) > 2:
        raise ValueError(
            f"X must be a table of shape (n_samples, n_features), got an array of shape {X.shape}. "
            "Images are not supported; pass features of them as rows."
        )
    X = as_real(check_array(X, ensure_min_samples=2, input_name="X"))
    if len(X) < MIN_SAMPLES * largest:
        raise ValueError(
            f"n_clusters holds {largest}, which needs at least {MIN_SAMPLES * largest} samples, "
            f"{MIN_SAMPLES} for each cluster; X has {len(X)}."
        )
    return InputFormat.from_data(X, Layout(X.shape[1:])).encode_all(X).numpy().astype(np.float64)


def _strengths(points: NDArray, numbers: NDArray, seed: int) -> NDArray[np.float64]:
    """Strengths of one split, by kind of clustering and number of clusters."""
    # Enough rows for the largest number, also where that one is very large.
    n_rows = min(len(points), max(MAX_ROWS, MIN_SAMPLES * int(numbers[-1])))
    rows = np.random.default_rng(seed).permutation(len(points))[:n_rows]
    first, second = points[rows[: n_rows // 2]], points[rows[n_rows // 2 :]]
    with at_most_threads(1), warnings.catch_warnings():
        # Equal samples may leave clusters empty, and mixtures need not settle.
        warnings.simplefilter("ignore", ConvergenceWarning)
        pairs = zip(
            _clusterings(first, second, numbers, seed),
            _clusterings(second, first, numbers, seed),
            strict=True,
        )
        shares = [
            (_prediction_strength(own, of_own, number), _prediction_strength(rest, of_rest, number))
            for ((own, of_rest), (rest, of_own)), number in zip(pairs, cycle(numbers), strict=False)
        ]
    strengths = np.mean(shares, axis=1).reshape(-1, len(numbers))
    # Graphs of equal samples may have clusters all the same.
    n_distinct = min(len(np.unique(half, axis=0)) for half in (first, second))
    return np.where(numbers <= n_distinct, strengths, 0.0)


def _prediction_strength(labels: NDArray, predicted: NDArray, number: int) -> float:
    """Least share, over the clusters of labels, of pairs in them that are predicted to be together.

    An empty cluster and one of a single sample, which has no pairs, have share 0.
    """
    if len(np.unique(labels)) < number:
        return 0.0
    counts = contingency_matrix(labels, predicted).astype(np.float64)
    sizes = counts.sum(axis=1)
    together = (counts * (counts - 1)).sum(axis=1)
    return float((together / np.maximum(sizes * (sizes - 1), 1)).min())


def _clusterings(
    points: NDArray, others: NDArray, numbers: NDArray, seed: int
) -> Iterator[tuple[NDArray, NDArray]]:
    """Clusters of points, and of others as these predict them: by kind, then by number.

    As in a search for pseudo-labels, but from eigenvectors that are found once for all numbers.
    """
    gaussian, reduce = gaussian_points(points, seed)
    other_gaussian = reduce(others)
    floor = variance_floor(gaussian)
    d = gaussian.shape[1]
    for number in numbers:
        if number * d * (d + 3) / 2 > len(points):
            # Fewer samples than parameters of Gaussians. A single cluster has strength 0.
            yield np.zeros(len(points), np.int64), np.zeros(len(others), np.int64)
            continue
        mixture = GaussianMixture(number, reg_covar=floor, max_iter=MAX_ITER, random_state=seed)
        yield mixture.fit_predict(gaussian), mixture.predict(other_gaussian)

    finder = NearestNeighbors(n_neighbors=min(BROAD, len(points) // 4)).fit(points)
    distances, nearest = finder.kneighbors()
    voters = finder.kneighbors(others, min(N_VOTES, len(points)), return_distance=False)
    edges = affinity(points, nearest, distances)
    _, vectors = eigenvectors(edges, int(numbers[-1]), seed, factored=is_factored(points))
    for number in numbers:
        labels = clusters_of_rows(vectors[:, :number], int(number), seed, n_init=N_INIT)
        yield labels, np.eye(number)[labels[voters]].sum(axis=1).argmax(axis=1)
