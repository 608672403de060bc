"""Fitted clusterers, alone or at the end of a pipeline, and the labels that they give."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils import column_or_1d
from sklearn.utils.validation import check_is_fitted

from skmpcc.clusterer import MPCCClusterer
from skmpcc.data.inputs import as_array

# Numbers of clusters beyond this are no numbers of clusters.
MAX_CLUSTERS = 2**17


def last_step(estimator: Any) -> Any:
    """Return the last step of a pipeline, or the estimator itself."""
    while isinstance(estimator, Pipeline):
        estimator = estimator[-1]
    return estimator


def checked_clusterer(estimator: Any, name: str = "estimator") -> MPCCClusterer:
    """Return the fitted clusterer of this package that `estimator` is or, as a pipeline, ends in."""
    clusterer = last_step(estimator)
    if not isinstance(clusterer, MPCCClusterer):
        raise TypeError(
            f"{name} should be a fitted MPCCClusterer or VaDEClusterer, or a pipeline that ends in one, "
            f"got an object of type {type(clusterer).__name__}."
        )
    check_is_fitted(clusterer)
    return clusterer


def seen_by_last_step(estimator: Any, X: Any) -> Any:
    """Return X as the last step of a pipeline sees it; X itself without a pipeline."""
    while isinstance(estimator, Pipeline):
        if len(estimator) > 1:
            X = estimator[:-1].transform(X)
        estimator = estimator[-1]
    return X


def labels_of(source: Any, X: Any, name: str) -> NDArray[np.int64]:
    """Labels of X's rows, -1 for those without a cluster, by an estimator or as they are given.

    Raises
    ------
    TypeError, ValueError
        `source` has no `predict` and is no array of labels, or labels are not numbers of clusters, or
        not as many as X has rows.
    """
    by_estimator = hasattr(source, "predict")
    if not by_estimator and (hasattr(source, "fit") or np.ndim(as_array(source)) == 0):
        raise TypeError(
            f"{name} should be a fitted clusterer with `predict`, a pipeline that ends in one, or an "
            f"array of labels, got an object of type {type(source).__name__}. Of clusterers without "
            "`predict` give `labels_`."
        )
    if by_estimator and X is None:
        raise ValueError(f"X may be left out only where both are arrays of labels, but {name} is none.")
    found = np.asarray(as_array(source.predict(X) if by_estimator else source))
    labels = column_or_1d(found)
    if labels.dtype.kind not in "iu":
        raise TypeError(
            f"{name} should have labels that are numbers of clusters, from 0 on, or -1, got labels of "
            f"the type {labels.dtype}. Of classes, take their numbers by numpy.unique(..., "
            "return_inverse=True)."
        )
    if X is not None and len(labels) != n_rows(X):
        raise ValueError(f"{name} has {len(labels)} labels, but X has {n_rows(X)} rows.")
    if len(labels) and not -1 <= labels.min() <= labels.max() < MAX_CLUSTERS:
        raise ValueError(
            f"{name} should have labels from -1 to {MAX_CLUSTERS - 1}, numbers of clusters, but they go "
            f"from {labels.min()} to {labels.max()}."
        )
    return labels.astype(np.int64)


def n_rows(X: Any) -> int:
    """Number of rows of an array, a frame or a container of samples."""
    shape = getattr(X, "shape", None)
    return int(shape[0]) if shape else len(X)


def n_clusters_of(source: Any, labels: NDArray[np.int64]) -> int:
    """Number of clusters of an estimator, also of empty ones; of labels, the last one plus 1."""
    means = getattr(last_step(source), "means_", None)
    known = 0 if means is None else len(means)
    return max(known, int(labels.max(initial=-1)) + 1)
