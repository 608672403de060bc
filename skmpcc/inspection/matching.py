"""Clusters of a new fit beside those of an earlier one, and numbers that stay."""

from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.utils import check_consistent_length, check_scalar

from skmpcc.fitted.renumbering import renumbered_attributes
from skmpcc.inspection.estimators import checked_clusterer, labels_of, n_clusters_of


@dataclass(frozen=True)
class ClusterMatch:
    """New clusters beside earlier ones, by the rows that both have.

    `match_clusters` and `renumber_clusters` make it. Printed, it tells in sentences what changed.

    Attributes
    ----------
    old_of_new : ndarray of int64 of shape (n_new,)
        For each new cluster the old one that matches it; -1 for a new cluster that matches none.
    counts : ndarray of int64 of shape (n_old, n_new)
        Numbers of rows in an old and a new cluster, of the rows that both label.
    kept_share : float
        Share of these rows that are in matching clusters, from 0 to 1.
    jaccard : ndarray of float64 of shape (n_new,)
        For each new cluster the Jaccard index with its match: the number of rows that are in both over
        the number of those in either. 0 where there is no match.
    split : dict of int to dict of int to float
        Old clusters of which rows went to another new cluster than the matching one, at least
        `min_share` of the old one's rows. For each, all new clusters with as large a share, and the
        shares.
    merged : dict of int to dict of int to float
        New clusters that took rows from another old cluster than the matching one, at least `min_share`
        of the new one's rows. For each, all old clusters with as large a share, and the shares.
    """

    old_of_new: NDArray[np.int64]
    counts: NDArray[np.int64]
    kept_share: float
    jaccard: NDArray[np.float64]
    split: dict[int, dict[int, float]]
    merged: dict[int, dict[int, float]]

    @property
    def new(self) -> tuple[int, ...]:
        """New clusters that match no old one."""
        return tuple(np.flatnonzero(self.old_of_new < 0).tolist())

    @property
    def gone(self) -> tuple[int, ...]:
        """Old clusters that no new one matches."""
        return tuple(np.setdiff1d(np.arange(len(self.counts)), self.old_of_new).tolist())

    @property
    def moved(self) -> dict[int, int]:
        """Old clusters whose match has another number, and that number."""
        pairs = enumerate(self.old_of_new.tolist())
        return {old: new for new, old in pairs if old not in (-1, new)}

    def __str__(self) -> str:
        n_matched = int((self.old_of_new >= 0).sum())
        lines = [
            f"{n_matched} of {self.counts.shape[1]} new clusters match one of {len(self.counts)} old "
            f"ones. {self.kept_share:.1%} of {self.counts.sum()} rows are in matching clusters."
        ]
        if self.moved:
            pairs = ", ".join(f"{old} is now {new}" for old, new in self.moved.items())
            lines.append(f"Other numbers: {pairs}.")
        if self.gone:
            lines.append(f"Gone: {', '.join(map(str, self.gone))}.")
        if self.new:
            lines.append(f"New: {', '.join(map(str, self.new))}.")
        for old, parts in self.split.items():
            lines.append(f"The old cluster {old} is split: {_shares(parts)}.")
        for new, parts in self.merged.items():
            lines.append(f"The new cluster {new} has rows of several: {_shares(parts)}.")
        return "\n".join(lines)


def _shares(parts: dict[int, float]) -> str:
    return ", ".join(f"{share:.0%} {cluster}" for cluster, share in parts.items())


def match_clusters(old: Any, new: Any, X: Any = None, *, min_share: float = 0.1) -> ClusterMatch:
    """Match the clusters of a new fit with those of an earlier one, by the rows that both label.

    Numbers of clusters mean nothing: a second fit gives others. The matching is the one-to-one map of
    clusters that keeps the most rows together, by the Hungarian method [1]_.

    Parameters
    ----------
    old, new : estimator or array-like of int of shape (n_samples,)
        Fitted clusterers with `predict`, pipelines that end in one, or the labels of X's rows. Rows that
        either labels -1 are left aside.
    X : array-like, default=None
        The rows to compare by, such as those of the new fit. It may be left out where both are labels.
    min_share : float, default=0.1
        Share of a cluster's rows, above 0 and at most 1, from which on `split` and `merged` tell of
        them.

    Returns
    -------
    match : ClusterMatch
        A pair of clusters that have no row in common is no match.

    Raises
    ------
    TypeError, ValueError
        `old` or `new` has no `predict` and is no array of labels, their labels are not integers from -1
        on or not as many as X has rows, no row has a label of both, or `min_share` is out of its range.

    See Also
    --------
    renumber_clusters : Give the new clusters the numbers of the old ones.

    References
    ----------
    .. [1] H. W. Kuhn, "The Hungarian Method for the Assignment Problem", Naval Research Logistics
       Quarterly 2 (1955).

    Examples
    --------
    >>> from skmpcc.inspection import match_clusters
    >>> match = match_clusters([0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 2])
    >>> match.old_of_new
    array([ 1,  0, -1])
    >>> print(match)
    2 of 3 new clusters match one of 2 old ones. 83.3% of 6 rows are in matching clusters.
    Other numbers: 1 is now 0, 0 is now 1.
    New: 2.
    The old cluster 1 is split: 67% 0, 33% 2.
    """
    check_scalar(min_share, "min_share", Real, min_val=0, max_val=1, include_boundaries="right")
    of_old, of_new = labels_of(old, X, "old"), labels_of(new, X, "new")
    check_consistent_length(of_old, of_new)
    both = (of_old >= 0) & (of_new >= 0)
    if not both.any():
        raise ValueError("No row has a cluster of both old and new, so that there is nothing to match.")
    counts = np.zeros((n_clusters_of(old, of_old), n_clusters_of(new, of_new)), dtype=np.int64)
    np.add.at(counts, (of_old[both], of_new[both]), 1)
    rows, columns = linear_sum_assignment(counts, maximize=True)
    old_of_new = np.full(counts.shape[1], -1)
    old_of_new[columns] = np.where(counts[rows, columns] > 0, rows, -1)
    return _match(counts, old_of_new, min_share)


def _match(counts: NDArray[np.int64], old_of_new: NDArray[np.int64], min_share: float) -> ClusterMatch:
    columns = np.flatnonzero(old_of_new >= 0)
    rows = old_of_new[columns]
    common = counts[rows, columns]
    new_of_old = np.full(len(counts), -1)
    new_of_old[rows] = columns
    jaccard = np.zeros(counts.shape[1])
    jaccard[columns] = common / (counts.sum(axis=1)[rows] + counts.sum(axis=0)[columns] - common)
    return ClusterMatch(
        old_of_new,
        counts,
        float(common.sum() / counts.sum()),
        jaccard,
        _parts(counts, new_of_old, min_share),
        _parts(counts.T, old_of_new, min_share),
    )


def _parts(
    counts: NDArray[np.int64], match: NDArray[np.int64], min_share: float
) -> dict[int, dict[int, float]]:
    """Clusters, by rows of `counts`, of which large shares are in others than the match.

    One without a match that is in a single other as a whole is no more than a part of that.
    """
    found = {}
    for k, of_cluster in enumerate(counts):
        shares = of_cluster / max(of_cluster.sum(), 1)
        parts = [int(j) for j in np.argsort(-shares, kind="stable") if shares[j] >= min_share]
        if len(parts) > 1 or (match[k] >= 0 and parts not in ([], [match[k]])):
            found[k] = {j: float(shares[j]) for j in parts}
    return found


def renumber_clusters(estimator: Any, like: Any, X: Any, *, min_share: float = 0.1) -> ClusterMatch:
    """Give a fitted clusterer's clusters the numbers that they have in an earlier fit, in place.

    After a new fit of new data reports, databases and people can keep the numbers that they know. The
    clusters are matched as by `match_clusters`, and the estimator is changed as if its fit had numbered
    them so: labels, memberships, means, centres, samples and what `save` writes follow.

    Parameters
    ----------
    estimator : MPCCClusterer, VaDEClusterer or Pipeline
        A fitted clusterer, or a fitted pipeline that ends in one, whose last step is changed.
    like : estimator or array-like of int of shape (n_samples,)
        The earlier fit: a clusterer with `predict`, a pipeline that ends in one, or its labels of X,
        with -1 for rows that it did not see.
    X : array-like
        The rows to compare by, such as those of the new fit.
    min_share : float, default=0.1
        As in `match_clusters`.

    Returns
    -------
    match : ClusterMatch
        By the new numbers. `match.moved` lists old clusters that could not keep theirs, and `match.new`
        clusters that match none.

    Raises
    ------
    TypeError
        `estimator` is neither a clusterer of this package nor a pipeline that ends in one. Classes of
        an MPCCClassifier have names of their own, and nothing to renumber.
    NotFittedError
        The estimator is not fitted.
    ValueError
        As of `match_clusters`. After any error the estimator is as it was.

    Notes
    -----
    New clusters get the numbers that are left, in the order of those they had. With K clusters there are
    no numbers beyond K - 1: where the new fit has fewer clusters than the earlier one, a cluster whose
    old number is K or more gets one that is left.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skmpcc import MPCCClusterer
    >>> from skmpcc.inspection import renumber_clusters
    >>> X, _ = make_blobs(200, centers=[[-9, 0], [0, 9], [9, 0]], random_state=0)
    >>> last_month = MPCCClusterer(3, labels_only=True, max_iter=50, random_state=0).fit(X[:150])
    >>> clusterer = MPCCClusterer(3, labels_only=True, max_iter=50, random_state=1).fit(X)
    >>> match = renumber_clusters(clusterer, last_month, X)
    >>> match.old_of_new
    array([0, 1, 2])
    >>> bool((clusterer.predict(X) == last_month.predict(X)).mean() > 0.99)
    True
    """
    clusterer: Any = checked_clusterer(estimator)
    match = match_clusters(like, estimator, X, min_share=min_share)
    order = _order(match.old_of_new)
    # All of it is made before any is set, so that an error leaves the estimator as it was.
    made = renumbered_attributes(clusterer, order)
    renumbered = _match(match.counts[:, order], match.old_of_new[order], min_share)
    vars(clusterer).update(made)
    return renumbered


def _order(old_of_new: NDArray[np.int64]) -> NDArray[np.int64]:
    """Order of the new clusters: those that can have their old number do, others fill what is left."""
    n_clusters = len(old_of_new)
    order = np.full(n_clusters, -1)
    keeps = (old_of_new >= 0) & (old_of_new < n_clusters)
    order[old_of_new[keeps]] = np.flatnonzero(keeps)
    order[order < 0] = np.flatnonzero(~keeps)
    return order
