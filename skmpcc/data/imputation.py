"""What is missing in rows of a table, by what is there: mixtures of Gaussians of all columns.

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

# Mixtures that are fitted, and become one: single Gaussians serve small tables, many large ones, and all
# together are better than any. A component has so many rows at least, on average.
N_COMPONENTS, MIN_ROWS = (1, 3, 8), 10
# Rows that they are fitted to at most, and columns above which covariances are not those of all columns.
MAX_FITTED, MAX_COLUMNS = 5_000, 256
# Products of an iteration at most, which fewer rows have where there are many columns.
MAX_PRODUCTS = 2e9
# Iterations, and gain of the mean log-likelihood below which there are no more.
MAX_ITER, TOL = 30, 1e-3
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
    """What a component says of rows: completed, and their log p(k) p(x | k); and of what they lack."""

    values: NDArray[np.float64]
    log_joint: NDArray[np.float64]
    root: torch.Tensor


@dataclass(frozen=True)
class Imputation:
    """A mixture of Gaussians by which missing entries are filled in.

    Attributes
    ----------
    shares : ndarray of shape (n_components,)
    means : ndarray of shape (n_components, d)
    precisions : ndarray of shape (n_components, d, d)
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
        n_rows = _n_fitted(values)
        some = values[np.sort(random.permutation(len(values))[:n_rows])]
        mean, variance = _moments(some, values)
        nothing = cls(
            np.ones(1),
            mean[None],
            np.diag(1.0 / variance)[None],
            np.stack([np.nanmin(values, axis=0), np.nanmax(values, axis=0)]),
            np.array(groups, dtype=np.int64).reshape(-1, 2),
            np.ones(len(mean)),
        )
        single = nothing._improved(some, variance)
        mixtures = [single]
        for k in N_COMPONENTS:
            if 1 < k <= len(some) / MIN_ROWS:
                mixtures.append(single._split(some, k, variance, seed)._improved(some, variance))
        joined = replace(
            single,
            shares=np.concatenate([each.shares for each in mixtures]) / len(mixtures),
            means=np.concatenate([each.means for each in mixtures]),
            precisions=np.concatenate([each.precisions for each in mixtures]),
        )
        return replace(joined, widths=joined._widths_by_hidden(some, random))

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
        filled, missing = self._means_and_deviations(values)[0], np.isnan(values)
        for first, last in self.groups:
            rows = missing[:, first]
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
        for part, given in self._given(values):
            found[part.rows] = logsumexp(np.stack([each.log_joint for each in given]), axis=0)
        return found

    # ---- Expectations

    def _given(self, values: NDArray) -> Iterator[tuple[_Part, list[_Given]]]:
        """What each component says of rows, part by part."""
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

    def _improved(self, values: NDArray, variance: NDArray) -> "Imputation":
        """Return the mixture after the iterations of EM."""
        model, before = self, -np.inf
        for _ in range(MAX_ITER):
            model_after, likelihood = model._step(values, variance)
            if likelihood - before < TOL:
                break
            model, before = model_after, likelihood
        return model

    def _step(self, values: NDArray, variance: NDArray) -> tuple["Imputation", float]:
        """One iteration, and the mean log-likelihood before it.

        Covariances have some rows of the common one more than their own, as many as there are columns.
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
                inverse = torch.cholesky_inverse(each.root).numpy() * weight[:, None, None] * both
                products[i] += np.bincount(places.ravel(), inverse.ravel(), d * d).reshape(d, d)
        more = 1.0 if k > 1 else 0.0
        means = sums / (sizes + more)[:, None]
        within = products - np.einsum("kd,ke->kde", means, sums)
        within = (within + within.transpose(0, 2, 1)) / 2.0
        extra = more * (d + 2.0)
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
            means[i] = filled[labels == i].mean(axis=0)
            centred = filled[labels == i] - means[i]
            within += centred.T @ centred / len(values)
        precisions = np.repeat(np.linalg.inv(within)[None], k, axis=0)
        shares = (np.bincount(labels, minlength=k) + 1.0) / (len(values) + k)
        return replace(self, shares=shares, means=means, precisions=precisions)

    def _widths_by_hidden(self, values: NDArray, random: np.random.Generator) -> NDArray[np.float64]:
        """Compare the errors of hidden entries of each column with what is expected of them."""
        hidden = ~np.isnan(values) & (random.random(values.shape) < HIDDEN)
        for first, last in self.groups:
            hidden[:, first:last] = False
        means, deviations = self._means_and_deviations(np.where(hidden, np.nan, values))
        widths = np.ones(values.shape[1])
        for j in np.flatnonzero(hidden.any(axis=0)):
            rows = hidden[:, j]
            off = np.abs(values[rows, j] - means[rows, j]) / deviations[rows, j]
            widths[j] = np.quantile(off, CENTRAL) / DEVIATIONS
        return np.clip(widths, *WIDTHS)

    # ---- Draws

    def _draw(self, values: NDArray, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw categories, then numbers given these."""
        drawn = self._drawn_groups(values, rng) if len(self.groups) else values
        means, _ = self._means_and_deviations(drawn)
        out = drawn.copy()
        for part, given in self._given(drawn):
            which = _drawn(_memberships(given).T, rng)
            noise = rng.standard_normal(part.columns.shape)
            for k, each in enumerate(given):
                rows = which == k
                error = torch.linalg.solve_triangular(
                    each.root[rows].mT, torch.from_numpy(noise[rows])[:, :, None], upper=True
                )[:, :, 0].numpy()
                x = each.values[rows]
                moved = np.take_along_axis(x, part.columns[rows], axis=1) + error * part.is_missing[rows]
                np.put_along_axis(x, part.columns[rows], moved, axis=1)
                out[part.rows[rows]] = x
        return np.where(np.isnan(drawn), means + self.widths * (out - means), drawn)

    def _drawn_groups(self, values: NDArray, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw the missing indicators by a component of each row."""
        out = values.copy()
        for part, given in self._given(values):
            which = _drawn(_memberships(given).T, rng)
            filled = np.stack([each.values for each in given])[which, np.arange(len(which))]
            for first, last in self.groups:
                lacks = np.isnan(values[part.rows, first])
                on = _drawn(self._chances(filled[lacks], first, last), rng)
                out[part.rows[lacks], first:last] = self._on(first, last, np.eye(last - first)[on])
        return out

    def _chances(self, filled: NDArray, first: int, last: int) -> NDArray[np.float64]:
        """Probabilities of the categories of a group, by its indicators' means."""
        off, on = self.ends[:, first:last]
        chances = np.clip((filled[:, first:last] - off) / np.where(on > off, on - off, 1.0), 1e-6, 1.0)
        return chances / chances.sum(axis=1, keepdims=True)

    def _on(self, first: int, last: int, shares: NDArray) -> NDArray[np.float64]:
        """Indicators of a group by the shares of the categories."""
        off, on = self.ends[:, first:last]
        return off + shares * (on - off)


def _moments(some: NDArray, values: NDArray) -> tuple[NDArray, NDArray]:
    """Means and variances of columns, above zero."""
    there = ~np.isnan(some)
    n = np.maximum(there.sum(axis=0), 1)
    mean = np.nansum(some, axis=0) / n
    variance = np.nansum((some - mean) ** 2, axis=0) / n
    return mean, np.maximum(variance, 1e-6 * max(float(variance.max()), 1e-12))


def _n_fitted(values: NDArray) -> int:
    return MAX_FITTED


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
