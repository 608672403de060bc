"""The number of clusters, suggested without labels."""

import warnings
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_scalar

from skmpcc.clusterer import MPCCClusterer
from skmpcc.pseudo_labels.number import MIN_SAMPLES, THRESHOLD, NClustersSuggestion
from skmpcc.system.devices import resolve_device
from skmpcc.system.random import random_state_of
from skmpcc.training.number import suggestion_among
from skmpcc.training.start import MAX_SEED

__all__ = ["NClustersSuggestion", "suggest_n_clusters"]


def suggest_n_clusters(
    X: ArrayLike,
    n_clusters: Iterable[int] = range(2, 21),
    *,
    n_resamplings: int = 8,
    threshold: float = THRESHOLD,
    image_shape: tuple[int, ...] | None = None,
    n_jobs: int | None = None,
    random_state: Any = None,
) -> NClustersSuggestion:
    """Suggest a number of clusters, by how well clusters are found again.

    The rows of a table are split into random halves, and each half is clustered by itself. The clusters
    of one half then predict which rows of the other are together. The largest number is suggested for
    which these predictions still hold. Of images, classifiers of augmented views are trained from
    several starts, and the number is suggested on which they agree most.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features) or images
        As `MPCCClusterer.fit` takes them, and scaled as there.
    n_clusters : iterable of int, default=range(2, 21)
        Numbers to choose among. There have to be four samples for each cluster. With 1 among them, the
        suggestion is 1 where no larger number passes: its prediction strength is 1 by definition.
    n_resamplings : int, default=8
        Splits of a table into halves, at least 2.
    threshold : float, default=0.9
        Mean prediction strength that two clusters must have, above 0 and at most 1; K clusters need
        0.05 log(K / 2) less. A higher one gives fewer clusters.
    image_shape : tuple of int, default=None
        (height, width), (height, width, channels) or (channels, height, width) of images that come as
        rows, or whose layout may be read in two ways.
    n_jobs : int or None, default=None
        Number of processes for a table, as joblib reads it.
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
        A parameter is out of its range, X cannot be used, or there are too few samples.

    Warns
    -----
    UserWarning
        No number reaches the threshold: that of the best mean strength is suggested, as a guess.

    Notes
    -----
    The prediction strength of clusters [1]_ is the least share, over the clusters of one half, of pairs
    in them that are in one cluster of the other half as well. GaussianMixture, spectral clustering and
    clusters of a spanning tree, as they are candidates for pseudo-labels, are tried, and for each number
    the strongest of them counts. So clusters may touch as Gaussians do, or be of any shape and apart.
    Mixtures of which a half has fewer samples than parameters are left out. Strengths are means over
    resamplings and over both halves of each. Of more than 2000 samples each resampling draws 2000.

    Clusters have to be found again in half of the samples. Where they touch they may not be. A larger
    number than the one found so is taken where GaussianMixture has the least BIC, if the strength there
    is 0.6 at least and above that of the numbers beside it.

    Of images every second number is tried, and those beside the best. Its score is the mean adjusted
    Rand index of three classifiers, each two of them; see `MPCCClusterer`, `pseudo_labels`. That takes
    a minute or two for small images, and longer for large ones.

    References
    ----------
    .. [1] R. Tibshirani and G. Walther, "Cluster Validation by Prediction Strength", Journal of
       Computational and Graphical Statistics 14 (2005).

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
    seeds = random.randint(MAX_SEED, size=n_resamplings)
    data, preset = MPCCClusterer(image_shape=image_shape)._data_alone(X, int(seeds[0]))
    if len(data.encoded) < MIN_SAMPLES * candidates[-1]:
        raise ValueError(
            f"n_clusters holds {candidates[-1]}, which needs at least {MIN_SAMPLES * candidates[-1]} "
            f"samples, {MIN_SAMPLES} for each cluster; X has {len(data.encoded)}."
        )
    found = suggestion_among(
        data,
        candidates,
        preset.pseudo_labels,
        resolve_device("auto"),
        seeds,
        threshold=threshold,
        n_jobs=n_jobs,
    )
    if found.is_guess:
        warnings.warn(
            f"No number of clusters has a prediction strength of at least threshold={threshold:g}: the "
            f"highest is {found.scores.max():.2f}. Clusters of X are not distinct, or their number is "
            "not among n_clusters.",
            stacklevel=2,
        )
    return found


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
