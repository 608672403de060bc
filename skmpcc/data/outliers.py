"""Rows that belong to no cluster: those that are far from their nearest neighbours."""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.neighbors import KDTree, NearestNeighbors
from torch import Tensor

from skmpcc.data.scaling import rows_at_once
from skmpcc.system.devices import at_most_threads, threads_for

# Neighbours whose mean distance says how far off a row is.
N_NEIGHBORS = 10
# Rows among which neighbours are looked for; more are represented by as many drawn at random.
MAX_POINTS = 5000
# Values of a row above which distances are those of principal components.
MAX_VALUES, N_COMPONENTS = 256, 64
# For "auto": random places beside the rows, and neighbours of both.
N_PLACES, N_NEAREST = 4000, 5
# Share of the places, the emptiest ones, that show the density of what is between clusters; the largest
# density, relative to the mean, that it has; and times that density, or the mean density if that is
# less, up to which rows count as such.
EMPTIEST, DENSEST, TIMES = 0.1, 0.4, 5.0
# Dimensions above which all random places are empty. There, outliers are rows beyond the upper quartile
# of logarithms of distances by so many times the range between quartiles.
MAX_DIMENSIONS, FENCE = 10, 2.0
# Largest share of rows that belong nowhere.
MAX_SHARE = 0.5

# Share of the distance to other neighbours up to which the nearest point is taken for the row itself.
SAME = 1e-3

TINY = 1e-12


@dataclass(frozen=True)
class Outliers:
    """The rows that clusters were found among, and the distance from them at which others begin.

    Attributes
    ----------
    points : Tensor of float32 of shape (m, d)
        Coordinates of these rows, or of some of them.
    threshold : float
        Mean distance to the nearest of them above which a row belongs to no cluster.
    mean : Tensor of float32 of shape (n_values,) or None
        Of wide rows, of which coordinates are principal components.
    axes : Tensor of float32 of shape (d, n_values) or None
        The principal axes.
    """

    points: Tensor
    threshold: float
    mean: Tensor | None = None
    axes: Tensor | None = None

    @classmethod
    def among(cls, rows: Tensor, seed: int) -> Self:
        """Make a reference of rows, as the networks see them, none of which counts as an outlier."""
        rng = np.random.default_rng(seed)
        drawn = np.sort(rng.permutation(len(rows))[:MAX_POINTS])
        some = rows[torch.from_numpy(drawn)].flatten(1).cpu().float()
        if some.shape[1] <= MAX_VALUES or len(some) <= N_COMPONENTS:
            return cls(some, math.inf)
        pca = PCA(N_COMPONENTS, svd_solver="randomized", random_state=0).fit(some.numpy())
        mean, axes = (torch.from_numpy(each).float() for each in (pca.mean_, pca.components_))
        return cls((some - mean) @ axes.T, math.inf, mean, axes)

    def with_share(self, rows: Tensor, share: float) -> "Outliers":
        """Return the same with a threshold that a share of some rows is above."""
        return replace(self, threshold=threshold_of(self.distances(rows), share))

    def coordinates(self, rows: Tensor) -> NDArray[np.float32]:
        """Coordinates in which rows, as the networks see them, are compared."""
        parts = []
        for part in rows.split(rows_at_once(rows[0].numel())):
            values = part.flatten(1).cpu().float()
            if self.mean is not None and self.axes is not None:
                values = (values - self.mean) @ self.axes.T
            parts.append(values.numpy())
        return np.concatenate(parts)

    def __getstate__(self) -> dict[str, Any]:
        # Without scikit-learn's tree, which is made again.
        return {name: value for name, value in vars(self).items() if name != "_finder"}

    @cached_property
    def _finder(self) -> NearestNeighbors:
        n_nearest = min(N_NEIGHBORS + 1, len(self.points))
        return NearestNeighbors(n_neighbors=n_nearest).fit(self.points.numpy())

    def distances(self, rows: Tensor) -> NDArray[np.float64]:
        """Mean distances of rows to their nearest neighbours among the points.

        A point that a row is equal to is left out, so that a row of the fit has the same distance
        whenever it is asked for.
        """
        found = self.coordinates(rows)
        with at_most_threads(threads_for(2.0 * len(found) * self.points.numel())):
            nearest, _ = self._finder.kneighbors(found)
        if nearest.shape[1] == 1:
            return nearest[:, 0]
        is_point = nearest[:, :1] <= SAME * nearest[:, -1:]
        return np.where(is_point, nearest[:, 1:], nearest[:, :-1]).mean(axis=1)

    def are_far(self, rows: Tensor) -> NDArray[np.bool_]:
        """Whether rows, as the networks see them, belong to no cluster."""
        return self.distances(rows) > self.threshold


def find_outliers(rows: Tensor, share: float | str, seed: int) -> NDArray[np.bool_]:
    """Find the rows of a data set that belong to no cluster, before clusters are known.

    They are those that are farthest from their neighbours, as in S. Ramaswamy, R. Rastogi and K. Shim,
    "Efficient algorithms for mining outliers from large data sets", SIGMOD 2000.

    Parameters
    ----------
    rows : Tensor of shape (n_samples, ...)
        As the networks see them, without missing values.
    share : float or "auto"
        Share of the rows; see `estimated_share`.
    seed : int
        Draws some rows of large data, and random places.

    Returns
    -------
    outliers : ndarray of bool of shape (n_samples,)
    """
    reference = Outliers.among(rows, seed)
    distances = reference.distances(rows)
    if isinstance(share, str):
        share = estimated_share(reference, distances, seed)
    return distances > threshold_of(distances, share)


def with_lost_columns(rows: NDArray, outliers: NDArray) -> NDArray:
    """Put values of outliers into columns in which rows of a table do not differ, but outliers do.

    What learns the form of the data from these rows would leave such a column out, and with it what
    tells these outliers from the rest.
    """
    (least, largest), others = (
        (np.fmin.reduce(each, axis=0), np.fmax.reduce(each, axis=0)) for each in (rows, outliers)
    )
    lost = ~(least < largest) & (np.fmin(least, others[0]) < np.fmax(largest, others[1]))
    if not lost.any():
        return rows
    rows = rows.copy()
    rows[: len(outliers), lost] = outliers[: len(rows), lost]
    return rows


def threshold_of(distances: NDArray[np.float64], share: float) -> float:
    """Return a distance that a share of all is above, between those of two rows."""
    n_far = round(share * len(distances))
    if not n_far:
        return math.inf
    ordered = np.sort(distances)[-n_far - 1 :]
    return float(ordered[:2].mean())


def estimated_share(reference: Outliers, distances: NDArray[np.float64], seed: int) -> float:
    """Estimate the share of rows that are between the clusters.

    Parameters
    ----------
    reference : Outliers
    distances : ndarray of shape (n_samples,)
        Of all rows, from the reference.
    seed : int

    Returns
    -------
    share : float
        At most `MAX_SHARE`; 0 where the rows fill all the space that they span.

    Notes
    -----
    Random places in the box around the rows are mostly between clusters. The number of rows around the
    emptiest of them, compared with that of other places, is the density of what is there; rows with as
    few around them are part of it. Tails of clusters thin out, and hardly ever are.
    """
    points = reference.points.numpy().astype(np.float64)
    if points.shape[1] > MAX_DIMENSIONS:
        logarithms = np.log(np.maximum(distances, TINY))
        lower, upper = np.quantile(logarithms, (0.25, 0.75))
        return min(MAX_SHARE, float((logarithms > upper + FENCE * (upper - lower)).mean()))
    if len(points) <= N_NEAREST:
        return 0.0
    rng, box = np.random.default_rng(seed), (points.min(axis=0), points.max(axis=0))
    places = rng.uniform(*box, (N_PLACES, points.shape[1]))
    of_rows, of_places = KDTree(points), KDTree(places)

    def densities(found: NDArray, n_itself: int) -> NDArray:
        """Rows around each, relative to places around it, 1 in the mean of the box."""
        reach = of_rows.query(found, N_NEAREST)[0][:, -1]
        n_places = of_places.query_radius(found, reach, count_only=True) - n_itself
        return N_NEAREST / np.maximum(n_places, 0.5) * N_PLACES / len(points)

    between = float(np.quantile(densities(places, 1), EMPTIEST))
    if between > DENSEST:
        return 0.0
    return min(MAX_SHARE, float((densities(points, 0) < min(TIMES * between, 1.0)).mean()))
