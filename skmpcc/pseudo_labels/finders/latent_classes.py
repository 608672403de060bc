"""Latent class analysis: clusters of tables most of whose columns are categories.

In a class columns are independent. One of categories has a categorical distribution (P. Lazarsfeld and
N. Henry, "Latent Structure Analysis", 1968), one of measurements a normal one, with a mean and variance
of each class (I. Moustaki, "A latent trait and a latent class model for mixed observed variables",
1996). The EM algorithm fits them, to what is there of each row. In such tables nearest neighbours and
Gaussians of all columns tell little: a single column of two values parts both.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import logsumexp

from skmpcc.pseudo_labels.problem import Candidate, Problem, label_by_nearest
from skmpcc.pseudo_labels.variables import Variables

# Share of the variables that have to be of categories, a smaller one where they come as indicators,
# beside which distances see nothing; and variables in all: two do not determine classes.
MIN_SHARE, MIN_SHARE_OF_INDICATORS, MIN_VARIABLES = 0.5, 0.4, 3
# Share of a column's variance that is added to its variances in the classes.
REGULARIZATION = 0.05
# Rows that classes are fitted to at most.
MAX_FITTED = 20_000
# Random starts, their iterations, and those of the best of them; fewer starts where an iteration takes
# more than a share of so many products.
MAX_STARTS, N_FIRST, MAX_ITER = 20, 20, 300
MAX_PRODUCTS = 2e8
# Gain of the mean log-likelihood below which a fit has converged.
TOL = 1e-6


@dataclass(frozen=True)
class MixedTable:
    """Columns of categories and of measurements.

    Attributes
    ----------
    indicators : csr_matrix of shape (n, n_values)
        Of the values of all columns of categories, one column after the other; none is on where a value
        is missing.
    measured : ndarray of float64 of shape (n, n_measured)
        0 where a value is missing.
    starts : ndarray of int of shape (n_categories,)
        First value of each column of categories.
    there : ndarray of float64 of shape (n, n_measured) or None
        1 for what was measured, 0 for what is missing; None if nothing is missing in the whole table.
    """

    indicators: csr_matrix
    measured: NDArray[np.float64]
    starts: NDArray[np.int64]
    there: NDArray[np.float64] | None = None

    @classmethod
    def from_rows(cls, rows: "NDArray | Variables") -> "MixedTable | None":
        """Return the table of rows, or of their variables, if enough of these are of categories."""
        variables = rows if isinstance(rows, Variables) else Variables.from_rows(rows)
        codes, measured = variables.categories, variables.measured
        n_categories = variables.n_categories
        n_variables = n_categories + len(measured)
        share = MIN_SHARE_OF_INDICATORS if variables.is_indicator.any() else MIN_SHARE
        if n_variables < MIN_VARIABLES or n_categories < max(1.0, share * n_variables):
            return None
        n = len(codes[0])
        starts = np.cumsum([0, *(code.max() + 1 for code in codes)])
        cells, columns = np.stack(codes, axis=1), np.array(measured).reshape(-1, n).T
        known = cells >= 0
        places = np.append(0, np.cumsum(known.sum(axis=1)))
        on = (cells + starts[:-1])[known]
        table = csr_matrix((np.ones(len(on)), on, places), shape=(n, starts[-1]))
        gaps = np.isnan(columns)
        if known.all() and not gaps.any():
            return cls(table, columns, starts[:-1])
        return cls(table, np.where(gaps, 0.0, columns), starts[:-1], 1.0 - gaps)

    def __len__(self) -> int:
        return int(self.indicators.shape[0])

    @cached_property
    def average_row(self) -> tuple[NDArray, NDArray, NDArray]:
        """Shares of the values, and means and variances of what was measured."""
        if self.there is None:
            shares = np.asarray(self.indicators.mean(axis=0))
            return shares, self.measured.mean(axis=0), self.measured.var(axis=0)
        counts = np.asarray(self.indicators.sum(axis=0)).reshape(-1)
        n_measured = np.maximum(self.there.sum(axis=0), 1.0)
        mean = self.measured.sum(axis=0) / n_measured
        return counts / self.of_variables(counts), mean, self.squares.sum(axis=0) / n_measured - mean**2

    def of_variables(self, counts: NDArray) -> NDArray:
        """Sums over the values of each variable, in the place of each value; shape (..., n_values)."""
        sums = np.add.reduceat(counts, self.starts, axis=-1)
        n_values = np.diff(np.append(self.starts, counts.shape[-1]))
        return np.repeat(np.maximum(sums, 1e-300), n_values, axis=-1)

    @cached_property
    def squares(self) -> NDArray[np.float64]:
        """Squares of what was measured."""
        return self.measured**2

    def take(self, rows: NDArray) -> "MixedTable":
        """Return some of the rows."""
        there = None if self.there is None else self.there[rows]
        return MixedTable(self.indicators[rows], self.measured[rows], self.starts, there)


@dataclass(frozen=True)
class LatentClasses:
    """Distributions of the columns in the classes.

    Attributes
    ----------
    shares : ndarray of shape (n_classes,)
    of_values : ndarray of shape (n_classes, n_values)
        Probabilities of the values of columns of categories.
    means, variances : ndarray of shape (n_classes, n_measured)
        Of columns of measurements.
    """

    shares: NDArray[np.float64]
    of_values: NDArray[np.float64]
    means: NDArray[np.float64]
    variances: NDArray[np.float64]

    @classmethod
    def from_memberships(cls, table: MixedTable, memberships: NDArray) -> "LatentClasses":
        """Fit all of them to weighted rows.

        A class has one average row more than its own, so that no probability is zero.
        """
        n, sizes = len(table), memberships.sum(axis=0)
        more = sizes[:, None] + 1.0
        of_values, mean, variance = table.average_row
        counts = (table.indicators.T @ memberships).T + of_values
        of_variables = more if table.there is None else table.of_variables(counts)
        if table.there is not None:
            more = memberships.T @ table.there + 1.0
        means = (memberships.T @ table.measured + mean) / more
        squares = (memberships.T @ table.squares + mean**2 + variance) / more
        variances = (squares - means**2).clip(0.0) + REGULARIZATION * variance
        return cls((sizes + 1.0 / len(sizes)) / (n + 1.0), counts / of_variables, means, variances)

    def joint_log_density(self, table: MixedTable) -> NDArray[np.float64]:
        """log p(k) + sum_j log p(x_j | k), shape (n, n_classes)."""
        joint = table.indicators @ np.log(self.of_values).T + np.log(self.shares)
        columns = zip(table.measured.T, self.means.T, self.variances.T, strict=True)
        for place, (x, mean, variance) in enumerate(columns):
            term = 0.5 * ((x[:, None] - mean) ** 2 / variance + np.log(2.0 * np.pi * variance))
            joint -= term if table.there is None else term * table.there[:, place, None]
        return joint


def find(problem: Problem) -> Iterator[Candidate]:
    """Find the classes of a table of categories; none in another table.

    The detail is whether they repay their parameters compared with a single class.
    """
    table = MixedTable.from_rows(problem.variables)
    if table is not None:
        labels, beats_one_class = latent_classes(table, problem.n_clusters, problem.seed)
        of_all = label_by_nearest(problem.data, problem.graph, labels)
        yield Candidate("latent_classes", labels, of_all, beats_one_class)


def latent_classes(table: MixedTable, n_clusters: int, seed: int) -> tuple[NDArray[np.int64], bool]:
    """Find the most likely classes from several random starts.

    Parameters
    ----------
    table : MixedTable
    n_clusters : int
    seed : int

    Returns
    -------
    labels : ndarray of int64 of shape (n,)
        The most probable class of each row.
    beats_one_class : bool
        Whether so many classes repay their parameters, compared with one, by Schwarz's criterion (BIC).
        They do not where columns are independent, as those of designed experiments are.
    """
    random = np.random.default_rng(seed)
    some = table.take(np.sort(random.permutation(len(table))[:MAX_FITTED]))
    n_products = (some.indicators.nnz + some.measured.size) * n_clusters
    runs = []
    for _ in range(min(MAX_STARTS, max(2, int(MAX_PRODUCTS / n_products)))):
        start = random.dirichlet(np.ones(n_clusters), len(some))
        runs.append(_expectation_maximization(some, start, N_FIRST))
    memberships, _ = max(runs, key=lambda run: run[1])
    memberships, likelihood = _expectation_maximization(some, memberships, MAX_ITER)
    _, of_single = _expectation_maximization(some, np.ones((len(some), 1)), 1)
    n_columns = len(some.starts)
    n_parameters = some.indicators.shape[1] - n_columns + 2 * some.measured.shape[1]
    price = (n_clusters - 1) * (n_parameters + 1) * np.log(len(some)) / (2 * len(some))
    labels = LatentClasses.from_memberships(some, memberships).joint_log_density(table).argmax(axis=1)
    return labels, likelihood - of_single > price


def _expectation_maximization(
    table: MixedTable, memberships: NDArray, max_iter: int
) -> tuple[NDArray, float]:
    """Return p(k | x) and the mean log-likelihood after iterations from given memberships."""
    likelihood = -np.inf
    for _ in range(max_iter):
        joint = LatentClasses.from_memberships(table, memberships).joint_log_density(table)
        log_density = logsumexp(joint, axis=1)
        memberships = np.exp(joint - log_density[:, None])
        before, likelihood = likelihood, float(log_density.mean())
        if likelihood - before < TOL:
            break
    return memberships, likelihood
