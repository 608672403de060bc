"""Differences of new rows from those of the fit: in clusters, in columns and in scores."""

from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from sklearn.utils import check_scalar

from skmpcc.data.inputs import as_array
from skmpcc.data.mixed import MixedFormat
from skmpcc.fitted.model import FittedModel
from skmpcc.inspection.description import pandas_or_error
from skmpcc.inspection.estimators import checked_clusterer, seen_by_last_step

# Smaller changes are of no interest however sure they are: of a cluster's share, relative to it, and of
# a column's mean, in standard deviations.
LEAST_CHANGE, LEAST_DIFFERENCE = 0.1, 0.1
# Rows of the fit have better scores than others like them, as the networks have learned them. By this
# much the distribution functions have to differ.
LEAST_DISTANCES = {"information": 0.3, "reconstruction": 0.6}
# Clusters, columns and scores.
_N_FAMILIES = 3
# Of fewer rows the normal approximation of a share is poor.
_FEW = 10
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Drift:
    """Differences between new rows and those of a fit.

    `compare` makes it. Printed, it says in sentences what differs. All p-values but `shares_pvalue` are
    adjusted: a value below `alpha` among all of them is as rare as that where nothing differs.

    Attributes
    ----------
    drifted : bool
        Whether anything differs: a cluster, a column or a score.
    alpha : float
        Level of significance that was asked for.
    clusters : ndarray of int64 of shape (n_clusters,)
        Numbers of the clusters, with -1 if there are rows without a cluster.
    shares_of_fit, shares : ndarray of float64 of shape (n_clusters,)
        Shares of the rows in each cluster, in the fit and in the new rows.
    shares_z : ndarray of float64 of shape (n_clusters,)
        Differences of the shares in their standard errors.
    shares_pvalues : ndarray of float64 of shape (n_clusters,)
    clusters_changed : ndarray of bool of shape (n_clusters,)
        Whether the p-value is below `alpha` and the share changed by a tenth of itself at least.
    shares_pvalue : float
        Of the chi-square test of all shares together.
    columns : tuple of str
        Names of columns, categories and missing values; empty of images, of tables that the networks
        see rotated, and of models from files of earlier versions.
    means_of_fit, means : ndarray of float64 of shape (n_columns,)
        Means of numbers and shares of categories, in the fit and in the new rows. Single wild values
        count as the fit clips them.
    differences : ndarray of float64 of shape (n_columns,)
        Differences of these in standard deviations of the column.
    columns_pvalues : ndarray of float64 of shape (n_columns,)
    columns_changed : ndarray of bool of shape (n_columns,)
        Whether the p-value is below `alpha` and the difference at least a tenth of a standard deviation.
    quantiles : dict of str to ndarray of float64 of shape (5,)
        For "information" and "reconstruction", scores as in `score_samples`: the shares of the training
        rows whose score is below the 5 %, 25 %, 50 %, 75 % and 95 % quantile of the new ones. Of rows
        like the training rows they are a little below these.
    distances : dict of str to float
        Kolmogorov-Smirnov statistics of both scores, from 0 to 1: the largest distance between the
        distribution functions of new and training scores.
    scores_pvalues : dict of str to float
    scores_changed : dict of str to bool
        Whether the p-value is below `alpha` and the distance is larger than that of rows like those of
        the fit: 0.3 for "information" and 0.6 for "reconstruction".
    """

    drifted: bool
    alpha: float
    clusters: NDArray[np.int64]
    shares_of_fit: NDArray[np.float64]
    shares: NDArray[np.float64]
    shares_z: NDArray[np.float64]
    shares_pvalues: NDArray[np.float64]
    clusters_changed: NDArray[np.bool_]
    shares_pvalue: float
    columns: tuple[str, ...]
    means_of_fit: NDArray[np.float64]
    means: NDArray[np.float64]
    differences: NDArray[np.float64]
    columns_pvalues: NDArray[np.float64]
    columns_changed: NDArray[np.bool_]
    quantiles: dict[str, NDArray[np.float64]]
    distances: dict[str, float]
    scores_pvalues: dict[str, float]
    scores_changed: dict[str, bool]

    def __str__(self) -> str:
        lines = [
            f"The new rows {'differ' if self.drifted else 'do not differ'} from those of the fit "
            f"(alpha={self.alpha:g})."
        ]
        for i in np.flatnonzero(self.clusters_changed):
            name = f"Cluster {self.clusters[i]}" if self.clusters[i] >= 0 else "Without a cluster"
            lines.append(
                f"{name}: {self.shares_of_fit[i]:.1%} of the rows in the fit, now {self.shares[i]:.1%} "
                f"(p={self.shares_pvalues[i]:.2g})."
            )
        changed = np.flatnonzero(self.columns_changed)
        for i in changed[np.argsort(-np.abs(self.differences[changed]), kind="stable")]:
            lines.append(
                f"{self.columns[i]}: mean {self.means_of_fit[i]:.4g} in the fit, now "
                f"{self.means[i]:.4g}, {self.differences[i]:+.2f} standard deviations "
                f"(p={self.columns_pvalues[i]:.2g})."
            )
        for name in self.distances:
            if self.scores_changed[name]:
                lines.append(
                    f"Scores by {name!r}: the median is above {self.quantiles[name][2]:.0%} of the "
                    f"training rows' (p={self.scores_pvalues[name]:.2g})."
                )
        return "\n".join(lines)

    def to_frame(self, of: str = "clusters") -> Any:
        """Make a pandas data frame of what was compared. Needs pandas.

        Parameters
        ----------
        of : {"clusters", "columns", "scores"}, default="clusters"

        Returns
        -------
        frame : pandas.DataFrame
            A row for each cluster, column or score.

        Raises
        ------
        ValueError
            `of` is none of these.
        ImportError
            pandas is not installed.
        """
        tables = {
            "clusters": (
                self.clusters,
                {
                    "share_of_fit": self.shares_of_fit,
                    "share": self.shares,
                    "difference": self.shares - self.shares_of_fit,
                    "z": self.shares_z,
                    "pvalue": self.shares_pvalues,
                    "changed": self.clusters_changed,
                },
            ),
            "columns": (
                self.columns,
                {
                    "mean_of_fit": self.means_of_fit,
                    "mean": self.means,
                    "difference": self.differences,
                    "pvalue": self.columns_pvalues,
                    "changed": self.columns_changed,
                },
            ),
            "scores": (
                tuple(self.distances),
                {
                    "distance": list(self.distances.values()),
                    "pvalue": list(self.scores_pvalues.values()),
                    "changed": list(self.scores_changed.values()),
                }
                | {
                    f"quantile {share:g}": [each[i] for each in self.quantiles.values()]
                    for i, share in enumerate(QUANTILES)
                },
            ),
        }
        if of not in tables:
            raise ValueError(f"of should be one of {tuple(tables)}, got {of!r}.")
        index, values = tables[of]
        pandas = pandas_or_error()
        return pandas.DataFrame(values, index=pandas.Index(index, name=of.rstrip("s")))


def compare(estimator: Any, X: ArrayLike, *, alpha: float = 0.01) -> Drift:
    """Compare new rows with those of the fit: shares of clusters, means of columns, and scores.

    It tells whether a model still fits what comes in, or should be fitted again. Nothing of the training
    data is needed but what the fitted estimator keeps.

    Parameters
    ----------
    estimator : MPCCClusterer, VaDEClusterer or Pipeline
        A fitted clusterer, or a fitted pipeline that ends in one.
    X : array-like of shape (n_samples, ...)
        New rows, not those of the fit: of these nothing can differ.
    alpha : float, default=0.01
        Probability, above 0 and below 1, with which rows that are like those of the fit are said to
        differ, at most.

    Returns
    -------
    drift : Drift

    Raises
    ------
    TypeError, ValueError
        `estimator` is no clusterer of this package, X does not fit it, or `alpha` is out of its range.
    NotFittedError
        The estimator is not fitted.

    Notes
    -----
    Shares of clusters are compared by a test of two proportions, with Fisher's exact test for small
    counts, and means of columns by Welch's t-test [1]_. p-values are adjusted by Holm's method within
    clusters, columns and scores, and times three for these [2]_. With many rows differences are sure
    that do not matter: a share has to change by a tenth of itself, and a mean by a tenth of a standard
    deviation.

    Training rows have better scores than others like them, the more so the fewer they are and the longer
    the training was, so that scores alone tell large differences only. A training with `labels_only` has
    poor reconstructions, but its clusters and columns tell as much.

    Shares of the fit are those of `labels_`, in which every row counts once, also after a fit with
    `sample_weight`; means of columns are those of the rows as they were weighted. After a fit with
    `outlier_fraction` columns and scores are compared in rows that belong to a cluster, and the share of
    the others as if they were one, -1.

    References
    ----------
    .. [1] B. L. Welch, "The Generalization of 'Student's' Problem when Several Different Population
       Variances are Involved", Biometrika 34 (1947).
    .. [2] S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of
       Statistics 6 (1979).

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skmpcc import MPCCClusterer
    >>> from skmpcc.inspection import compare
    >>> X, y = make_blobs(600, centers=[[-9, 0], [0, 9], [9, 0]], random_state=0)
    >>> clusterer = MPCCClusterer(3, labels_only=True, max_iter=50, random_state=0).fit(X[:300])
    >>> compare(clusterer, X[300:]).drifted
    False
    >>> compare(clusterer, X[300:][y[300:] != 1]).drifted
    True
    """
    check_scalar(alpha, "alpha", Real, min_val=0, max_val=1, include_boundaries="neither")
    clusterer = checked_clusterer(estimator)
    X = seen_by_last_step(estimator, X)
    fitted = clusterer._fitted_model()
    labels = np.asarray(as_array(clusterer.predict(X)))
    rows = clusterer._check_X(X)
    of_shares = _shares(clusterer.labels_, labels, len(clusterer.means_), alpha)
    # The fit knows of outliers how many there were, and nothing else.
    names, inside = getattr(clusterer, "feature_names_in_", None), labels >= 0
    of_columns = _columns(fitted, rows, alpha, names, inside)
    of_scores = _scores(fitted, rows, alpha, inside)
    drifted = (
        of_shares["clusters_changed"].any()
        or of_columns["columns_changed"].any()
        or any(of_scores["scores_changed"].values())
    )
    return Drift(bool(drifted), float(alpha), **of_shares, **of_columns, **of_scores)


def _adjusted(pvalues: NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjust p-values of one family by Holm's method, and for the number of families."""
    order = np.argsort(pvalues)
    steps = np.maximum.accumulate(pvalues[order] * np.arange(len(pvalues), 0, -1))
    adjusted = np.empty(len(pvalues))
    adjusted[order] = np.minimum(_N_FAMILIES * steps, 1.0)
    return adjusted


def _shares(
    of_fit: NDArray[np.int64], labels: NDArray[np.int64], n_clusters: int, alpha: float
) -> dict[str, Any]:
    first = -1 if (of_fit < 0).any() or (labels < 0).any() else 0
    counts = np.stack(
        [np.bincount(each - first, minlength=n_clusters - first) for each in (of_fit, labels)]
    )
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    common = counts.sum(axis=0) / totals.sum()
    error = np.sqrt(common * (1 - common) * (1 / np.maximum(totals, 1)).sum())
    z = np.divide(shares[1] - shares[0], error, out=np.zeros_like(error), where=error > 0)
    pvalues = 2 * stats.norm.sf(np.abs(z))
    for k in np.flatnonzero(counts.min(axis=0) < _FEW):
        pvalues[k] = stats.fisher_exact(np.stack([counts[:, k], totals[:, 0] - counts[:, k]])).pvalue
    there = counts[:, counts.sum(axis=0) > 0]
    adjusted = _adjusted(pvalues)
    change = np.abs(shares[1] - shares[0])
    return {
        "clusters": np.arange(first, n_clusters),
        "shares_of_fit": shares[0],
        "shares": shares[1],
        "shares_z": z,
        "shares_pvalues": adjusted,
        "clusters_changed": (adjusted < alpha) & (change >= LEAST_CHANGE * shares.max(axis=0)),
        "shares_pvalue": float(stats.chi2_contingency(there).pvalue) if there.shape[1] > 1 else 1.0,
    }


def _columns(
    fitted: FittedModel, X: Any, alpha: float, names: Any, inside: NDArray[np.bool_]
) -> dict[str, Any]:
    known = fitted.has_columns and fitted.training_moments is not None
    inputs = _inputs(fitted, names) if known else []
    moments = np.zeros((2, 3, 0))
    if inputs and fitted.training_moments is not None:
        moments = np.stack([fitted.training_moments.cpu().numpy(), fitted.input_moments(X, inside)])
    (means_of_fit, variances, n_of_fit), (means, new_variances, n_new) = moments
    stds = np.sqrt(variances)
    apart = np.divide(means - means_of_fit, stds, out=np.zeros_like(stds), where=stds > 0)
    # Welch's needs two values, and of those that do not vary there is nothing to test.
    testable = (n_of_fit > 1) & (n_new > 1) & (variances + new_variances > 0)
    pvalues = np.ones(len(means))
    if testable.any():
        of_fit, of_new = (
            (mean[testable], np.sqrt(variance * n / np.maximum(n - 1, 1))[testable], n[testable])
            for mean, variance, n in moments
        )
        pvalues[testable] = stats.ttest_ind_from_stats(*of_fit, *of_new, equal_var=False).pvalue
    adjusted = _adjusted(pvalues)
    scale, centre = np.array([each[1:] for each in inputs]).reshape(-1, 2).T
    return {
        "columns": tuple(name for name, *_ in inputs),
        "means_of_fit": means_of_fit * scale + centre,
        "means": np.where(n_new > 0, means * scale + centre, np.nan),
        "differences": np.where(n_new > 0, apart, 0.0),
        "columns_pvalues": adjusted,
        "columns_changed": (adjusted < alpha) & (np.abs(apart) >= LEAST_DIFFERENCE),
    }


def _inputs(fitted: FittedModel, names: Any) -> list[tuple[str, float, float]]:
    """Name of each input of a table, and what it is multiplied by and added to in the user's units."""
    data_format = fitted.format
    layout, known = data_format.layout, data_format.columns_given
    if names is None:
        names = known.names if known is not None and known.names else None
    texts = [f"x{j}" if names is None else str(names[j]) for j in range(layout.shape[0])]

    def of_numbers(form: Any, places: NDArray[np.int64]) -> list[tuple[str, float, float]]:
        within = np.arange(len(places)) if form.columns is None else form.columns
        scale, centre = (np.broadcast_to(each, len(places)) for each in (form.scale, form.centre))
        return [(texts[places[j]], float(scale[j]), float(centre[j])) for j in within]

    if not isinstance(data_format, MixedFormat):
        return of_numbers(data_format, np.arange(len(texts)))
    is_number = np.array(data_format.n_values) == 0
    found, unit = [], 1.0 / data_format.inputs.unit
    if data_format.numbers is not None:
        found = of_numbers(data_format.numbers, np.flatnonzero(is_number))
    groups = np.flatnonzero(~is_number & data_format.varies)
    for j in groups:
        values = [] if known is None else known.columns[j].values or []
        found += [(f"{texts[j]} = {value}", unit, 0.0) for value in values]
    visible = [*np.flatnonzero(is_number & data_format.varies), *groups]
    found += [(f"{texts[visible[i]]} is missing", unit, 0.0) for i in data_format.inputs.absent]
    return found


def _scores(fitted: FittedModel, X: Any, alpha: float, inside: NDArray[np.bool_]) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: {} for name in ("quantiles", "distances", "scores_pvalues", "scores_changed")
    }
    if fitted.training_scores is None or not inside.any():
        return found
    new, of_fit = fitted.novelty_scores(X)[inside], fitted.training_scores.cpu().numpy()
    tests = [stats.ks_2samp(before, after) for before, after in zip(of_fit.T, new.T, strict=True)]
    pvalues = _adjusted(np.array([test.pvalue for test in tests]))
    for i, name in enumerate(LEAST_DISTANCES):
        ends = np.quantile(new[:, i], QUANTILES)
        found["quantiles"][name] = np.searchsorted(of_fit[:, i], ends) / len(of_fit)
        found["distances"][name] = float(tests[i].statistic)
        found["scores_pvalues"][name] = float(pvalues[i])
        found["scores_changed"][name] = bool(
            pvalues[i] < alpha and tests[i].statistic >= LEAST_DISTANCES[name]
        )
    return found
