"""Measures of a clustering against known classes, in addition to those of `sklearn.metrics`.

The paper's equation 11 reads as the best one-to-one map, which is `clustering_accuracy`; the authors'
code takes each cluster's most frequent class, which is `majority_accuracy` and never lower.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix
from sklearn.utils import check_consistent_length, column_or_1d


def clustering_accuracy(labels_true: ArrayLike, labels_pred: ArrayLike) -> float:
    """Share of samples whose cluster maps to their class, under the best one-to-one map.

    Parameters
    ----------
    labels_true, labels_pred : array-like of shape (n_samples,)
        Of any discrete kind; only equality counts. With more clusters than classes, or fewer, the
        surplus maps to nothing.

    Returns
    -------
    accuracy : float
        Between 0 and 1.

    Examples
    --------
    >>> from skmpcc.metrics import clustering_accuracy
    >>> clustering_accuracy([0, 0, 1, 1], [1, 1, 0, 2])
    0.75
    """
    counts = _contingency(labels_true, labels_pred)
    rows, columns = linear_sum_assignment(counts, maximize=True)
    return float(counts[rows, columns].sum() / counts.sum())


def majority_accuracy(labels_true: ArrayLike, labels_pred: ArrayLike) -> float:
    """Share of samples in their cluster's most frequent class, also called purity.

    Several clusters may stand for one class, so more clusters give a higher figure.

    Parameters
    ----------
    labels_true, labels_pred : array-like of shape (n_samples,)

    Returns
    -------
    accuracy : float
        Between 0 and 1, never below `clustering_accuracy`.

    Examples
    --------
    >>> from skmpcc.metrics import majority_accuracy
    >>> majority_accuracy([0, 0, 1, 1], [1, 1, 0, 2])
    1.0
    """
    counts = _contingency(labels_true, labels_pred)
    return float(counts.max(axis=0).sum() / counts.sum())


def _contingency(labels_true: Any, labels_pred: Any) -> NDArray[np.int64]:
    labels_true, labels_pred = column_or_1d(labels_true), column_or_1d(labels_pred)
    check_consistent_length(labels_true, labels_pred)
    if len(labels_true) == 0:
        raise ValueError("labels_true and labels_pred are empty; at least one sample is needed.")
    return contingency_matrix(labels_true, labels_pred)


def clustering_scores(labels_true: ArrayLike, labels_pred: ArrayLike) -> dict[str, float]:
    """The measures that this project reports, by name.

    Parameters
    ----------
    labels_true, labels_pred : array-like of shape (n_samples,)

    Returns
    -------
    scores : dict
        "accuracy" (one-to-one), "majority", "nmi" and "ari".

    Examples
    --------
    >>> from skmpcc.metrics import clustering_scores
    >>> clustering_scores([0, 0, 1, 1], [1, 1, 0, 0])["ari"]
    1.0
    """
    return {
        "accuracy": clustering_accuracy(labels_true, labels_pred),
        "majority": majority_accuracy(labels_true, labels_pred),
        "nmi": float(normalized_mutual_info_score(labels_true, labels_pred)),
        "ari": float(adjusted_rand_score(labels_true, labels_pred)),
    }
