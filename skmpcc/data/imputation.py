"""Imputation of rows of a table by what is there: mixtures of Gaussians of all columns.

EM fits them to the entries that are there (Z. Ghahramani and M. Jordan, "Supervised learning from
incomplete data via an EM approach", NIPS 1994). Given the inverse P of a component's covariance, missing
entries m of a row have the mean mu_m - P_mm^-1 P_mo (x_o - mu_o) and the covariance P_mm^-1, and what is
there has the density of the row so completed over that of the entries filled in. Only blocks as large as
what is missing are ever inverted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp
from sklearn import config_context
from sklearn.cluster import KMeans

# Components of mixtures that are fitted beside a single Gaussian and become one with it, which is better
# than any of them. A component has so many rows at least, on average.
N_COMPONENTS, MIN_ROWS = (3, 8), 10
# Rows that they are fitted to at most, and at least.
MIN_FITTED, MAX_FITTED = 500, 5_000
# Products of an iteration of one component at most, by which fewer rows are fitted in wide tables.
MAX_PRODUCTS = 1.5e7
# Columns above which there is a single Gaussian.
MAX_COLUMNS = 200
# Least probability of a category.
LEAST_CHANCE = 1e-6
# Rows of the common covariance in that of a component, for each column.
ROWS_OF_ALL = 3.0
# The same where components are clusters, which may be narrow; starts of these, and their iterations.
ROWS_OF_CLUSTERS, N_STARTS, MAX_ITER_OF_CLUSTERS = 0.3, 3, 40
# Iterations, and gain of the mean log-likelihood below which there are no more.
MAX_ITER, MAX_MORE, TOL = 10, 3, 1e-3
# Membership below which a row does not count in a covariance.
NEGLIGIBLE = 1e-3
# Share of a column's variance that is added to its variances, and values of a matrix of a part.
FLOOR, CHUNK_VALUES = 1e-2, 4_000_000
# Share of what is there that is hidden to see how wide the distributions are, and its bounds.
HIDDEN, WIDTHS = 0.15, (0.1, 3.0)
# 80 % of a normal variable are so many standard deviations from its mean at most.
CENTRAL, DEVIATIONS = 0.8, 1.2816


class _Part(NamedTuple):
    """Rows and the columns that they lack, as many for each; of some are less, and others fill up."""

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    is_missing: NDArray[np.bool_]


class _Given(NamedTuple):
    """Rows as a component completes them, and their log p(k) p(x | k); and of what they lack."""

    values: NDArray[np.float64]
    log_joint: NDArray[np.float64]
    root: torch.Tensor


@dataclass(frozen=True)
class Imputation:
    """A mixture of Gaussians by which missing entries are filled in.

    Attributes
    ----------
    shares : ndarray of shape (n_components,)
    means : ndarray of shape (n_components, n_free)
        Of all columns but the first of each group, which the others tell.
    precisions : ndarray of shape (n_components, n_free, n_free)
        Inverse covariances.
    ends : ndarray of shape (2, d)
        Least and largest value of each column.
    groups : ndarray of int64 of shape (n_groups, 2)
        First column of the indicators of a variable, and the one after the last.
    widths : ndarray of shape (d,)
        What deviations from the mean are multiplied by, so that draws are as far off as hidden entries.
    """

    shares: NDArray[np.float64]
    means: NDArray[np.float64]
    precisions: NDArray[np.float64]
    ends: NDArray[np.float64]
    groups: NDArray[np.int64]
    widths: NDArray[np.float64]

    @classmethod
    def fit(cls, values: NDArray, groups: Sequence[tuple[int, int]] = (), seed: int = 0) -> "Imputation":
        """Fit a mixture to rows.

        Parameters
        ----------
        values : ndarray of shape (n, d)
            NaN where something is missing. Each column has an entry.
        groups : sequence of tuple of int
            First column of the indicators of each variable of categories, and the one after the last.
        seed : int

        Returns
        -------
        imputation : Imputation
        """
        values = np.asarray(values, dtype=np.float64)
        random = np.random.default_rng(seed)
        independent = cls._of_independent_columns(values, groups)
        free = values[:, independent._free]
        n_fitted, n_components = _affordable(free)
        some = free[np.sort(random.permutation(len(free))[:n_fitted])]
        _, variance = _moments(free)
        hidden = ~np.isnan(some) & (random.random(some.shape) < HIDDEN)
        # What a fit has seen tells nothing of its errors.
        seen = np.where(hidden, np.nan, some)
        single = independent._improved(seen, variance)
        mixtures = [single]
        for k in n_components:
            mixtures.append(single._split(seen, k, variance, seed)._improved(seen, variance))
        widths = _joined(mixtures)._widths_of(hidden, some)
        joined = _joined([each._improved(some, variance, MAX_MORE) for each in mixtures])
        joined.widths[joined._free] = widths
        return joined

    @classmethod
    def of_clusters(cls, values: NDArray, n_clusters: int, seed: int) -> "Imputation":
        """Fit a mixture whose components are clusters to rows of numbers: the likeliest of some.

        Parameters
        ----------
        values : ndarray of shape (n, d)
            NaN where something is missing. Each column has an entry.
        n_clusters : int
        seed : int
        """
        n_fitted, _ = _affordable(values)
        some = values[np.sort(np.random.default_rng(seed).permutation(len(values))[:n_fitted])]
        _, variance = _moments(values)
        single = cls._of_independent_columns(values)._improved(some, variance)
        starts = (single._split(some, n_clusters, variance, seed + i) for i in range(N_STARTS))
        found = [
            each._improved(some, variance, MAX_ITER_OF_CLUSTERS, ROWS_OF_CLUSTERS) for each in starts
        ]
        return max(found, key=lambda mixture: mixture.log_density(some).mean())

    @classmethod
    def _of_independent_columns(
        cls, values: NDArray, groups: Sequence[tuple[int, int]] = ()
    ) -> "Imputation":
        """Make one Gaussian of the columns' own means and variances."""
        firsts = np.array(groups, dtype=np.int64).reshape(-1, 2)
        mean, variance = _moments(np.delete(values, firsts[:, 0], axis=1))
        return cls(
            np.ones(1),
            mean[None],
            np.diag(1.0 / variance)[None],
            np.stack([np.nanmin(values, axis=0), np.nanmax(values, axis=0)]),
            firsts,
            np.ones(values.shape[1]),
        )

    def most_probable(self, values: NDArray) -> NDArray[np.int64]:
        """Most probable component of each row, shape (n,)."""
        found = np.empty(len(values), dtype=np.int64)
        for part, given in self._given(np.asarray(values, dtype=np.float64)[:, self._free]):
            found[part.rows] = np.stack([each.log_joint for each in given]).argmax(axis=0)
        return found

    def completed(self, values: NDArray) -> NDArray[np.float64]:
        """Return rows with their missing entries' conditional means.

        Parameters
        ----------
        values : ndarray of shape (n, d)

        Returns
        -------
        completed : ndarray of shape (n, d)
            Missing indicators are between off and on, and of a group as many in all as one that is on.
        """
        filled = np.array(values, dtype=np.float64)
        filled[:, self._free] = self._means_and_deviations(filled[:, self._free])[0]
        for first, last in self.groups:
            rows = np.isnan(filled[:, first])
            filled[rows, first:last] = self._on(first, last, self._chances(filled[rows], first, last))
        return filled

    def draws(self, values: NDArray, n_draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw missing entries from their distributions.

        Parameters
        ----------
        values : ndarray of shape (n, d)
        n_draws : int
        rng : numpy Generator

        Returns
        -------
        draws : ndarray of shape (n_draws, n, d)
            Of the indicators of a group one is on.
        """
        return np.stack([self._draw(values, rng) for _ in range(n_draws)])

    def log_density(self, values: NDArray) -> NDArray[np.float64]:
        """Log-density of what is there of each row, shape (n,)."""
        found = np.empty(len(values))
        for part, given in self._given(np.asarray(values, dtype=np.float64)[:, self._free]):
            found[part.rows] = logsumexp(np.stack([each.log_joint for each in given]), axis=0)
        return found

    # ---- Expectations, of free columns

    @property
    def _free(self) -> NDArray[np.int64]:
        """All columns but the first of each group."""
        return np.delete(np.arange(self.ends.shape[1]), self.groups[:, 0])

    def _given(self, values: NDArray) -> Iterator[tuple[_Part, list[_Given]]]:
        """Yield what each component says of rows, part by part."""
        log_determinants = np.linalg.slogdet(self.precisions)[1]
        for part in _parts(np.isnan(values)):
            given, x = [], values[part.rows]
            for share, mean, precision, log_determinant in zip(
                self.shares, self.means, self.precisions, log_determinants, strict=True
            ):
                centred = np.nan_to_num(x - mean)
                root = _root_of_missing(precision, part)
                pull = np.take_along_axis(centred @ precision, part.columns, axis=1) * part.is_missing
                solved = torch.cholesky_solve(torch.from_numpy(pull)[:, :, None], root)[:, :, 0].numpy()
                old = np.take_along_axis(centred, part.columns, axis=1)
                new = np.where(part.is_missing, -solved, old)
                np.put_along_axis(centred, part.columns, new, axis=1)
                n_there = x.shape[1] - part.is_missing.sum(axis=1)
                of_missing = 2.0 * root.diagonal(dim1=1, dim2=2).log().sum(1).numpy()
                distance = np.einsum("nd,nd->n", centred @ precision, centred)
                log_density = log_determinant - of_missing - distance - n_there * np.log(2.0 * np.pi)
                given.append(_Given(centred + mean, np.log(share) + 0.5 * log_density, root))
            yield part, given

    def _means_and_deviations(self, values: NDArray) -> tuple[NDArray, NDArray]:
        """Means and standard deviations of what is missing; the rest as it is, without deviations."""
        means, variances = np.empty(values.shape), np.zeros(values.shape)
        for part, given in self._given(values):
            filled = np.stack([each.values for each in given])
            memberships = _memberships(given)
            mean = np.einsum("kn,knd->nd", memberships, filled)
            variance = np.einsum("kn,knd->nd", memberships, (filled - mean) ** 2)
            inner = sum(
                weight[:, None] * torch.cholesky_inverse(each.root).diagonal(dim1=1, dim2=2).numpy()
                for weight, each in zip(memberships, given, strict=True)
            )
            added = np.take_along_axis(variance, part.columns, axis=1) + inner * part.is_missing
            np.put_along_axis(variance, part.columns, added, axis=1)
            means[part.rows], variances[part.rows] = mean, variance
        return np.where(np.isnan(values), means, values), np.sqrt(variances)

    # ---- Fits

    def _improved(
        self,
        values: NDArray,
        variance: NDArray,
        max_iter: int = MAX_ITER,
        rows_of_all: float = ROWS_OF_ALL,
    ) -> "Imputation":
        """Return the mixture after the iterations of EM."""
        model, before = self, -np.inf
        for _ in range(max_iter):
            model_after, likelihood = model._step(values, variance, rows_of_all)
            if likelihood - before < TOL:
                break
            model, before = model_after, likelihood
        return model

    def _step(
        self, values: NDArray, variance: NDArray, rows_of_all: float = ROWS_OF_ALL
    ) -> tuple["Imputation", float]:
        """One iteration, and the mean log-likelihood before it.

        Covariances have some rows of the common one more than their own, by the number of columns.
        """
        k, d = self.means.shape
        sizes, sums, products = np.zeros(k), np.zeros((k, d)), np.zeros((k, d, d))
        total, centre = 0.0, self.shares @ self.means
        for part, given in self._given(values):
            memberships = _memberships(given)
            total += logsumexp(np.stack([each.log_joint for each in given]), axis=0).sum()
            places = part.columns[:, :, None] * d + part.columns[:, None, :]
            both = part.is_missing[:, :, None] & part.is_missing[:, None, :]
            for i, (each, weight) in enumerate(zip(given, memberships, strict=True)):
                x = each.values - centre
                sizes[i] += weight.sum()
                sums[i] += weight @ x
                products[i] += (x * weight[:, None]).T @ x
                some = np.flatnonzero(weight > NEGLIGIBLE)
                inverse = torch.cholesky_inverse(each.root[some]).numpy() * both[some]
                inverse *= weight[some, None, None]
                products[i] += np.bincount(places[some].ravel(), inverse.ravel(), d * d).reshape(d, d)
        more = 1.0 if k > 1 else 0.0
        means = sums / (sizes + more)[:, None]
        within = products - np.einsum("kd,ke->kde", means, sums)
        within = (within + within.transpose(0, 2, 1)) / 2.0
        extra = more * rows_of_all * d
        covariances = (within + extra * within.sum(axis=0) / len(values)) / (sizes + extra)[
            :, None, None
        ]
        precisions = np.linalg.inv(covariances + np.diag(FLOOR * variance))
        shares = (sizes + 1.0) / (len(values) + k)
        return replace(self, shares=shares, means=means + centre, precisions=precisions), total / len(
            values
        )

    def _split(self, values: NDArray, k: int, variance: NDArray, seed: int) -> "Imputation":
        """Start a mixture from the clusters of KMeans in completed rows."""
        filled = self._means_and_deviations(values)[0]
        # KMeans does not start where scikit-learn dispatches to other array libraries.
        with config_context(array_api_dispatch=False):
            labels = KMeans(k, n_init=1, random_state=seed).fit_predict(filled)
        means, within = np.empty((k, values.shape[1])), np.diag(FLOOR * variance)
        for i in range(k):
            # Of fewer different rows than clusters some are empty.
            members = filled[labels == i] if np.any(labels == i) else filled
            means[i] = members.mean(axis=0)
            centred = filled[labels == i] - means[i]
            within += centred.T @ centred / len(values)
        precisions = np.repeat(np.linalg.inv(within)[None], k, axis=0)
        shares = (np.bincount(labels, minlength=k) + 1.0) / (len(values) + k)
        return replace(self, shares=shares, means=means, precisions=precisions)

    def _widths_of(self, hidden: NDArray[np.bool_], values: NDArray) -> NDArray[np.float64]:
        """Compare the errors of hidden entries of each column with what is expected of them."""
        means, deviations = self._means_and_deviations(np.where(hidden, np.nan, values))
        off = np.abs(values - means) / np.where(hidden, deviations, 1.0)
        widths = np.ones(values.shape[1])
        if not hidden.any():
            return widths
        of_all = np.quantile(off[hidden], CENTRAL)
        for j in np.flatnonzero(hidden.any(axis=0)):
            n = hidden[:, j].sum()
            own = np.quantile(off[hidden[:, j], j], CENTRAL)
            widths[j] = (n * own + MIN_ROWS * of_all) / (n + MIN_ROWS) / DEVIATIONS
        return np.clip(widths, *WIDTHS)

    # ---- Draws

    def _draw(self, values: NDArray, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw categories, then numbers given these."""
        out = self._drawn_groups(np.array(values, dtype=np.float64), rng)
        known = out[:, self._free]
        means, _ = self._means_and_deviations(known)
        drawn = means.copy()
        for part, given in self._given(known):
            which = _drawn(_memberships(given).T, rng)
            noise = torch.from_numpy(rng.standard_normal((*part.columns.shape, 1)))
            for k, each in enumerate(given):
                rows, x = which == k, each.values[which == k]
                columns = part.columns[rows]
                error = torch.linalg.solve_triangular(each.root[rows].mT, noise[rows], upper=True)
                moved = error[:, :, 0].numpy() * part.is_missing[rows]
                moved += np.take_along_axis(x, columns, axis=1)
                np.put_along_axis(x, columns, moved, axis=1)
                drawn[part.rows[rows]] = x
        drawn = means + self.widths[self._free] * (drawn - means)
        out[:, self._free] = np.where(np.isnan(known), drawn, known)
        return out

    def _drawn_groups(self, values: NDArray, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw the missing indicators by a component of each row."""
        if not np.isnan(values[:, self.groups[:, 0]]).any():
            return values
        out, free = values.copy(), self._free
        filled = values.copy()
        for part, given in self._given(values[:, free]):
            which = _drawn(_memberships(given).T, rng)
            by_component = np.stack([each.values for each in given])
            filled[np.ix_(part.rows, free)] = by_component[which, np.arange(len(which))]
        for first, last in self.groups:
            rows = np.isnan(values[:, first])
            on = _drawn(self._chances(filled[rows], first, last), rng)
            out[rows, first:last] = self._on(first, last, np.eye(last - first)[on])
        return out

    def _chances(self, filled: NDArray, first: int, last: int) -> NDArray[np.float64]:
        """Probabilities of the categories of a group, by the means of all but its first indicator."""
        off, on = self.ends[:, first + 1 : last]
        others = (filled[:, first + 1 : last] - off) / np.where(on > off, on - off, 1.0)
        chances = np.column_stack([1.0 - others.sum(axis=1), others]).clip(LEAST_CHANCE, 1.0)
        return chances / chances.sum(axis=1, keepdims=True)

    def _on(self, first: int, last: int, shares: NDArray) -> NDArray[np.float64]:
        """Indicators of a group by the shares of the categories."""
        off, on = self.ends[:, first:last]
        return off + shares * (on - off)


def _moments(values: NDArray) -> tuple[NDArray, NDArray]:
    """Means and variances of columns, above zero."""
    mean, variance = np.nanmean(values, axis=0), np.nanvar(values, axis=0)
    return mean, np.maximum(variance, 1e-6 * max(float(variance.max()), 1e-12))


def _affordable(values: NDArray) -> tuple[int, list[int]]:
    """Rows that mixtures are fitted to, and the components of those of several."""
    n_missing = np.isnan(values).sum(axis=1).astype(np.float64)
    of_row = np.mean(n_missing**3 + 100.0 * n_missing**2) + values.shape[1] ** 2
    n_fitted = min(len(values), int(np.clip(MAX_PRODUCTS / of_row, MIN_FITTED, MAX_FITTED)))
    if values.shape[1] > MAX_COLUMNS:
        return n_fitted, []
    return n_fitted, [k for k in N_COMPONENTS if k <= n_fitted / MIN_ROWS]


def _joined(mixtures: "Sequence[Imputation]") -> "Imputation":
    """Make one mixture of several, each of the same weight."""
    return replace(
        mixtures[0],
        shares=np.concatenate([each.shares for each in mixtures]) / len(mixtures),
        means=np.concatenate([each.means for each in mixtures]),
        precisions=np.concatenate([each.precisions for each in mixtures]),
    )


def _parts(missing: NDArray[np.bool_]) -> Iterator[_Part]:
    """Rows that lack about as many columns, part by part."""
    counts = missing.sum(axis=1)
    order = np.argsort(counts, kind="stable")
    start = 0
    while start < len(order):
        # One that lacks nothing has no block.
        some = counts[order[start : start + 256]]
        most = max(1, some.max()) if some[0] else 0
        end = start + max(1, CHUNK_VALUES // max(most**2, missing.shape[1]))
        if not most:
            end = min(end, int(np.searchsorted(counts[order], 1)))
        rows = order[start : min(end, start + 8192)]
        most = counts[rows].max()
        columns = np.argsort(~missing[rows], axis=1, kind="stable")[:, :most]
        yield _Part(rows, columns, np.take_along_axis(missing[rows], columns, axis=1))
        start += len(rows)


def _root_of_missing(precision: NDArray, part: _Part) -> torch.Tensor:
    """Cholesky factors of the blocks of what rows lack, with ones in the place of what is there."""
    both = part.is_missing[:, :, None] & part.is_missing[:, None, :]
    blocks = precision[part.columns[:, :, None], part.columns[:, None, :]]
    return torch.linalg.cholesky(torch.from_numpy(np.where(both, blocks, np.eye(both.shape[1]))))


def _memberships(given: Sequence[_Given]) -> NDArray[np.float64]:
    """p(k | x), shape (n_components, n)."""
    joint = np.stack([each.log_joint for each in given])
    return np.exp(joint - logsumexp(joint, axis=0))


def _drawn(chances: NDArray, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw a number for each row of probabilities."""
    edges = chances.cumsum(axis=1)[:, :-1]
    return (rng.random((len(chances), 1)) > edges).sum(axis=1)
