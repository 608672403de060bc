"""Clusters told in words: a short rule, the columns that set each apart, typical and doubtful rows."""

import importlib
from dataclasses import dataclass, field
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_scalar

from skmpcc.clusterer import MPCCClusterer
from skmpcc.data.inputs import as_array
from skmpcc.inspection.columns import table_columns
from skmpcc.inspection.effects import Effect, effects_by_cluster
from skmpcc.inspection.estimators import labels_of, last_step, n_clusters_of
from skmpcc.inspection.rules import Rule, find_rule
from skmpcc.system.random import random_state_of

if TYPE_CHECKING:
    import pandas

# Rows that rules are looked for in, and columns that are looked at for each cluster: those that differ
# most.
MAX_ROWS, MAX_COLUMNS = 10_000, 64
_MAX_SEED = 2**31 - 1


@dataclass(frozen=True)
class ClusterDescription:
    """A cluster in words and numbers.

    Attributes
    ----------
    cluster : int
    size : int
    share : float
        Of all rows.
    stability : float
        As the fit measured it; NaN if it did not.
    effects : list of Effect or None
        By which columns it differs most from all other rows; None of images.
    rule : Rule or None
        None of images, and of clusters that have no row or all.
    typical, doubtful : list of int
        Places of rows in X: those nearest to the core of the cluster, and those of the lowest
        memberships.
    """

    cluster: int
    size: int
    share: float
    stability: float
    effects: list[Effect] | None
    rule: Rule | None
    typical: list[int] = field(default_factory=list)
    doubtful: list[int] = field(default_factory=list)


def describe_clusters(
    estimator: Any,
    X: ArrayLike,
    *,
    n_features: int = 5,
    max_conditions: int = 3,
    n_rows: int = 3,
    random_state: Any = 0,
) -> "pandas.DataFrame":
    """Describe each cluster: what sets it apart, a short rule for it, typical and doubtful rows.

    Needs pandas.

    Parameters
    ----------
    estimator : MPCCClusterer, VaDEClusterer, Pipeline or another clusterer
        Fitted, with `predict`. With a pipeline, columns are told as they are in X, before its steps.
    X : array-like of shape (n_samples, n_features) or images
        The rows to describe the clusters by, such as those of the fit. The columns' names, units and
        categories are those of X if it is a data frame; columns of arrays are called x0, x1, ....
    n_features : int, default=5
        Columns to name for each cluster, at most.
    max_conditions : int, default=3
        Conditions of a rule, at most.
    n_rows : int, default=3
        Typical and doubtful rows of each cluster, at most.
    random_state : int, RandomState instance or None, default=0
        Draws rows of larger tables to find rules in, and breaks ties.

    Returns
    -------
    description : pandas.DataFrame
        A row for each cluster, whose index is the cluster's number, with the columns

        - "size" and "share": the number of rows, and their share;
        - "stability": `cluster_stability_` of the estimator, NaN if it has none;
        - "features": text, the columns that set the cluster apart, with the mean of a number or the
          share of the most telling category in the cluster, and in all other rows;
        - "effects": a dict of the same columns, and by how many standard deviations of the column the
          cluster's mean, or share, is above that of the other rows;
        - "rule": text of at most `max_conditions` conditions, such as "petal width <= 0.8";
        - "precision" and "recall": the share of the rows that fulfil the rule that are in the cluster,
          and the share of the cluster's rows that fulfil it;
        - "typical": places in X of the rows that are nearest to the cluster's core;
        - "doubtful": places of the rows whose membership of it is lowest.

        Of images, "features", "effects" and "rule" are None.

    Raises
    ------
    TypeError, ValueError
        `estimator` has no `predict`, X does not fit it, or a parameter is out of its range.
    NotFittedError
        The estimator is not fitted.
    ImportError
        pandas is not installed.

    Notes
    -----
    Effects compare with all other rows, each column by itself, and leave out missing values. A rule is
    found by decision trees of this cluster against the rest [1]_: it is the path of the highest F1, the
    harmonic mean of precision and recall, after thresholds were moved where F1 rises, and conditions
    left out where it does not fall. It describes the rows of X; on new rows it is a little less right.
    Rules are found in at most 10,000 rows and measured on all.

    Typical rows have the highest membership times density, of the code and of the row given its code, as
    `score_samples` has it. Estimators without `predict_proba` have neither typical nor doubtful rows.

    References
    ----------
    .. [1] L. Breiman, J. Friedman, R. Olshen, C. Stone, "Classification and Regression Trees",
       Wadsworth, 1984.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmpcc import MPCCClusterer
    >>> from skmpcc.inspection import describe_clusters
    >>> X = load_iris(as_frame=True).data
    >>> clusterer = MPCCClusterer(3, labels_only=True, max_iter=50, random_state=0).fit(X)
    >>> found = describe_clusters(clusterer, X)
    >>> found.columns.tolist()[:3]
    ['size', 'share', 'stability']
    >>> bool((found["precision"] > 0.8).all())
    True
    """
    check_scalar(n_features, "n_features", Integral, min_val=0)
    check_scalar(max_conditions, "max_conditions", Integral, min_val=1)
    check_scalar(n_rows, "n_rows", Integral, min_val=0)
    pandas = pandas_or_error()
    described = cluster_descriptions(
        estimator, X, (n_features, max_conditions, n_rows), random_state=random_state
    )
    rows = [_row(each) for each in described]
    return pandas.DataFrame(rows, index=pandas.Index(range(len(rows)), name="cluster"))


def pandas_or_error() -> Any:
    """Import pandas, or say how to install it."""
    try:
        return importlib.import_module("pandas")
    except ImportError as error:
        raise ImportError("This makes a data frame, which needs pandas: pip install pandas") from error


def _row(described: ClusterDescription) -> dict[str, Any]:
    effects, rule = described.effects, described.rule
    if effects is not None:
        effects = [each for each in effects if each.effect != 0.0]
    return {
        "size": described.size,
        "share": described.share,
        "stability": described.stability,
        "features": None if effects is None else ", ".join(map(str, effects)),
        "effects": None if effects is None else {each.name: each.effect for each in effects},
        "rule": None if rule is None else rule.text,
        "precision": np.nan if rule is None else rule.precision,
        "recall": np.nan if rule is None else rule.recall,
        "typical": described.typical,
        "doubtful": described.doubtful,
    }


def cluster_descriptions(
    estimator: Any,
    X: Any,
    numbers: tuple[int, int, int] = (5, 3, 3),
    *,
    labels: NDArray[np.int64] | None = None,
    random_state: Any = 0,
) -> list[ClusterDescription]:
    """Describe clusters as `describe_clusters` does, without pandas.

    Parameters
    ----------
    estimator : object
    X : array-like
    numbers : tuple of int, default=(5, 3, 3)
        Columns, conditions and rows of each cluster, at most.
    labels : ndarray of int of shape (n_samples,), default=None
        None predicts them.
    random_state : int, RandomState instance or None, default=0
    """
    n_features, max_conditions, n_shown = numbers
    labels = labels_of(estimator, X, "estimator") if labels is None else labels
    n_clusters, rng = n_clusters_of(estimator, labels), random_state_of(random_state)
    seed = int(rng.randint(_MAX_SEED))
    sample = np.arange(len(labels))
    if len(sample) > MAX_ROWS:
        sample = np.sort(rng.choice(len(sample), MAX_ROWS, replace=False))
    columns = table_columns(estimator, X)
    memberships, scores = _memberships_and_scores(estimator, X, labels)
    stability = _stability(estimator, n_clusters)
    every = None if columns is None else effects_by_cluster(columns, labels, n_clusters)
    described = []
    for k in range(n_clusters):
        inside = labels == k
        effects, rule = None, None
        if columns is not None and every is not None:
            effects = every[k]
            most = list(dict.fromkeys(effect.column for effect in effects))[:MAX_COLUMNS]
            rule = find_rule([columns[j] for j in sorted(most)], inside, max_conditions, sample, seed)
        typical, doubtful = _shown(np.flatnonzero(inside), memberships, scores, n_shown)
        size = int(inside.sum())
        described.append(
            ClusterDescription(
                k,
                size,
                size / max(len(labels), 1),
                float(stability[k]),
                None if effects is None else effects[:n_features],
                rule,
                typical,
                doubtful,
            )
        )
    return described


def _memberships_and_scores(
    estimator: Any, X: Any, labels: NDArray[np.int64]
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64]]:
    """Membership of each row in its own cluster, None if the estimator has none, and its density."""
    rows = np.arange(len(labels))
    memberships, scores = None, np.zeros(len(labels))
    if isinstance(last_step(estimator), MPCCClusterer):
        # Not those of all clusters, of which there may be many.
        first, highest = (np.asarray(as_array(each)) for each in estimator.predict_proba(X, top=1))
        memberships = np.where(first[:, 0] == labels, highest[:, 0], 0.0)
    elif hasattr(estimator, "predict_proba"):
        memberships = np.asarray(as_array(estimator.predict_proba(X)))[rows, np.maximum(labels, 0)]
    if hasattr(estimator, "score_samples"):
        scores = np.asarray(as_array(estimator.score_samples(X)), dtype=np.float64)
    return memberships, scores


def _shown(
    rows: NDArray[np.int64],
    memberships: NDArray[np.float64] | None,
    scores: NDArray[np.float64],
    n_shown: int,
) -> tuple[list[int], list[int]]:
    """Rows of a cluster of the highest density within it, and those of the lowest membership."""
    if memberships is None:
        return [], []
    own = memberships[rows]
    with np.errstate(divide="ignore"):
        within = np.log(own) + scores[rows]
    typical = rows[np.argsort(-within, kind="stable")[:n_shown]]
    doubtful = rows[np.lexsort((scores[rows], own))[:n_shown]]
    return typical.tolist(), doubtful.tolist()


def _stability(estimator: Any, n_clusters: int) -> NDArray[np.float64]:
    found = getattr(last_step(estimator), "cluster_stability_", None)
    if found is None or np.shape(found) != (n_clusters,):
        return np.full(n_clusters, np.nan)
    return np.asarray(found, dtype=np.float64)
