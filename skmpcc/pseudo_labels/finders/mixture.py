"""Clusters of a mixture of Gaussians."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.mixture import GaussianMixture

from skmpcc.data.imputation import MAX_COLUMNS, Imputation
from skmpcc.pseudo_labels.problem import Candidate, Problem

# Rows that a GaussianMixture is fitted to at most.
MAX_GAUSSIAN_ROWS = 20_000
# Added to the variances of GaussianMixture, relative to the data's.
REGULARIZATION = 1e-3
# What the lost information of these clusters is multiplied by. Where Gaussians touch, neighbours
# disagree more on them than on clusters that are cut where few samples are, and they are better all the
# same; not so in features of images.
LOST_FACTOR = 0.62


def find(problem: Problem) -> Iterator[Candidate]:
    """Find the clusters of a GaussianMixture with full covariances."""
    data, graph, seed = problem.data, problem.graph, problem.seed
    points, reduce = problem.gaussian_points
    floor = variance_floor(points)
    mixture = GaussianMixture(problem.n_clusters, n_init=3, reg_covar=floor, random_state=seed)
    # GaussianMixture does not start by KMeans where scikit-learn dispatches to other array libraries.
    with config_context(array_api_dispatch=False):
        rows = np.random.default_rng(seed).permutation(len(points))[:MAX_GAUSSIAN_ROWS]
        labels = mixture.fit(points[np.sort(rows)]).predict(points)

    def of_all() -> NDArray:
        if len(points) == len(data):
            return labels
        return mixture.predict(reduce(graph.coordinates(data)))

    factor = 1.0 if problem.of_images else LOST_FACTOR
    yield Candidate("gaussian_mixture", labels, of_all, lost_factor=factor)


def find_in_observed(problem: Problem) -> Iterator[Candidate]:
    """Find the clusters of a mixture of Gaussians fitted to what is there of a table with gaps.

    None of very many columns.
    """
    if problem.data.shape[1] > MAX_COLUMNS:
        return
    values, rows = problem.observed, problem.graph.rows.cpu().numpy()
    fitted = values if len(rows) == len(values) else values[rows]
    mixture = Imputation.of_clusters(fitted, problem.n_clusters, problem.seed)
    labels = mixture.most_probable(fitted)

    def of_all() -> NDArray:
        return labels if len(fitted) == len(values) else mixture.most_probable(values)

    yield Candidate("gaussian_mixture", labels, of_all, lost_factor=LOST_FACTOR)


def variance_floor(points: NDArray) -> float:
    """Return the variance that a GaussianMixture adds to its own, so that these have full rank."""
    return max(REGULARIZATION * float(points.var(axis=0).mean()), 1e-9)
