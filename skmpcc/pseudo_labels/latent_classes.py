"""Latent class analysis: clusters of tables all of whose columns are categories.

A cluster is a product of categorical distributions, one for each column (P. Lazarsfeld and N. Henry,
"Latent Structure Analysis", 1968), fitted by the EM algorithm. In such tables nearest neighbours and
Gaussians tell little: a single column of two values parts both.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import logsumexp

# A column is one of categories if it has so many values at most, ...
MAX_VALUES = 10
# ... each of them in so many rows on average. Two such columns do not determine classes.
MIN_ROWS, MIN_COLUMNS = 5, 3
# Rows that classes are fitted to at most.
MAX_FITTED = 20_000
# Random starts, their iterations, and those of the best of them; fewer starts where an iteration takes
# more than a share of so many products.
MAX_STARTS, N_FIRST, MAX_ITER = 20, 20, 300
MAX_PRODUCTS = 2e8
# Gain of the mean log-likelihood below which a fit has converged.
TOL = 1e-6


def indicators(rows: NDArray) -> csr_matrix | None:
    """Indicators of the values of all columns, shape (n, n_values), if all are of categories."""
    n, d = rows.shape
    if d < MIN_COLUMNS:
        return None
    codes, n_values = [], 0
    for column in rows.T:
        values, code = np.unique(column, return_inverse=True)
        if len(values) > min(MAX_VALUES, n // MIN_ROWS):
            return None
        codes.append(code.reshape(-1) + n_values)
        n_values += len(values)
    cells = np.stack(codes, axis=1).ravel()
    starts = np.arange(0, n * d + 1, d)
    return csr_matrix((np.ones(n * d), cells, starts), shape=(n, n_values))


def latent_classes(table: csr_matrix, n_clusters: int, seed: int) -> NDArray[np.int64]:
    """Find the most likely classes from several random starts.

    Parameters
    ----------
    table : csr_matrix of shape (n, n_values)
        As by `indicators`.
    n_clusters : int
    seed : int

    Returns
    -------
    labels : ndarray of int64 of shape (n,)
        The most probable class of each row.
    """
    random = np.random.default_rng(seed)
    some = table[np.sort(random.permutation(table.shape[0])[:MAX_FITTED])]
    n_starts = min(MAX_STARTS, max(2, int(MAX_PRODUCTS / (some.nnz * n_clusters))))
    runs = []
    for _ in range(n_starts):
        start = random.dirichlet(np.ones(n_clusters), some.shape[0])
        runs.append(_expectation_maximization(some, start, N_FIRST))
    memberships, _ = max(runs, key=lambda run: run[1])
    memberships, _ = _expectation_maximization(some, memberships, MAX_ITER)
    return _joint_log_density(table, *_parameters(some, memberships)).argmax(axis=1)


def _expectation_maximization(
    table: csr_matrix, memberships: NDArray, max_iter: int
) -> tuple[NDArray, float]:
    """Return p(k | x) and the mean log-likelihood after iterations from given memberships."""
    likelihood = -np.inf
    for _ in range(max_iter):
        joint = _joint_log_density(table, *_parameters(table, memberships))
        log_density = logsumexp(joint, axis=1)
        memberships = np.exp(joint - log_density[:, None])
        before, likelihood = likelihood, float(log_density.mean())
        if likelihood - before < TOL:
            break
    return memberships, likelihood


def _parameters(table: csr_matrix, memberships: NDArray) -> tuple[NDArray, NDArray]:
    """Shares of the classes, and shares of the values in each, shape (n_clusters, n_values).

    A class has one average row more than its own, so that no share is zero.
    """
    n, sizes = len(memberships), memberships.sum(axis=0)
    counts = (table.T @ memberships).T + np.asarray(table.mean(axis=0)).reshape(1, -1)
    return (sizes + 1.0 / len(sizes)) / (n + 1.0), counts / (sizes[:, None] + 1.0)


def _joint_log_density(table: csr_matrix, shares: NDArray, of_values: NDArray) -> NDArray:
    """log p(k) + sum_j log p(x_j | k), shape (n, n_clusters)."""
    return table @ np.log(of_values).T + np.log(shares)
