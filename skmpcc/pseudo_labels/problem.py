"""A problem of clustering, which is data and a number of clusters, and candidates for its solution."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from skmpcc.pseudo_labels.bridges import Bridges
from skmpcc.pseudo_labels.graph import MAX_VALUES, NeighborGraph
from skmpcc.pseudo_labels.variables import Variables
from skmpcc.system.progress import Progress

# Features above which Gaussians are those of N_GAUSSIAN_FEATURES principal components.
MAX_GAUSSIAN_FEATURES = 48
N_GAUSSIAN_FEATURES = 32
# Neighbours whose clusters a sample that is not in the graph has, and rows among which they are found.
N_VOTES = 5
MAX_VOTERS = 20_000
# Ratio of the widest column's range to the narrowest one's up to which all count the same.
SAME_RANGE = 1.25

_MAX_SEED = 2**32


@dataclass(frozen=True)
class Problem:
    """Data in which so many clusters are to be found, without labels.

    Attributes
    ----------
    data : Tensor of shape (n_samples, ...)
        Data as the networks see them, on any device.
    graph : NeighborGraph
        Neighbours among all samples or some of them.
    n_clusters : int
    rng : torch.Generator
        Networks are trained on its device.
    progress : Progress, optional
        Keeps what takes long.
    of_images : bool
        Whether the columns are features of images, in which kinds touch.
    known_variables : Variables or None
        Of all samples of a table whose categories are known, or that has missing values, and of which
        the data are the completed form.
    gaps : Tensor of bool of shape (n_samples, d) or None
        Which of the data stand where values are missing; None if none does.
    """

    data: Tensor
    graph: NeighborGraph
    n_clusters: int
    rng: torch.Generator
    progress: Progress | None = None
    of_images: bool = False
    known_variables: Variables | None = None
    gaps: Tensor | None = None

    @property
    def seed(self) -> int:
        """Seed for scikit-learn."""
        return self.rng.initial_seed() % _MAX_SEED

    @cached_property
    def points(self) -> NDArray:
        """Coordinates of the graph's rows, in which neighbours are found; shape (m, d)."""
        return self.graph.points(self.data)

    @cached_property
    def bridges(self) -> Bridges:
        """Edges that connect the parts of graphs of the points."""
        return Bridges(self.points)

    @cached_property
    def gaussian_points(self) -> tuple[NDArray, Callable[[NDArray], NDArray]]:
        """The points that Gaussians are fitted to, and the map to them; see `gaussian_points`."""
        return gaussian_points(self.points, self.seed)

    @cached_property
    def variables(self) -> Variables:
        """The variables of a table, where copies and indicators count once."""
        if self.known_variables is None:
            return Variables.from_rows(self.points)
        all_rows = len(self.graph.rows) == len(self.data)
        return (
            self.known_variables
            if all_rows
            else self.known_variables.take(self.graph.rows.cpu().numpy())
        )

    def prepare(self) -> None:
        """Compute what finders share, so that none of them does while others look at it."""
        _ = self.points, self.bridges, self.gaussian_points

    def of_columns(self, columns: NDArray[np.bool_]) -> "Problem":
        """Return the problem of some columns of a table, and of the neighbours in these."""
        if columns.all() or self.graph.components is not None or self.data.ndim != 2:
            return self
        data = self.data[:, torch.as_tensor(columns, device=self.data.device)]
        n_neighbors = self.graph.nearest.shape[1]
        graph = NeighborGraph.from_data(data, n_neighbors, self.n_clusters, self.rng)
        gaps = None if self.gaps is None else self.gaps[:, torch.as_tensor(columns)]
        return replace(self, data=data, graph=graph, gaps=gaps)

    @property
    def observed(self) -> NDArray[np.float64]:
        """The data of a table, NaN where values are missing."""
        assert self.gaps is not None
        return torch.where(self.gaps, torch.nan, self.data.cpu().double()).numpy()

    def by_range(self) -> "Problem | None":
        """Return the same problem in columns that are divided by their ranges.

        None if that would change next to nothing, or take long: in wide rows, or in more than the graph
        has.
        """
        all_rows = len(self.graph.rows) == len(self.data)
        if self.data.ndim != 2 or self.data.shape[1] > MAX_VALUES or not all_rows:
            return None
        ranges = self.data.amax(0) - self.data.amin(0)
        ranges = torch.where(ranges > 0, ranges, 1.0)
        if ranges.amax() <= SAME_RANGE * ranges.amin():
            return None
        data = self.data / ranges
        # The networks' scale, on which what is added to variances depends.
        data = data * (self.data.var(0).sum() / data.var(0).sum()).sqrt()
        n_neighbors = self.graph.nearest.shape[1]
        graph = NeighborGraph.from_data(data, n_neighbors, self.n_clusters, self.rng)
        return replace(self, data=data, graph=graph)


@dataclass(frozen=True)
class Candidate:
    """Clusters that a finder found.

    Attributes
    ----------
    kind : str
        What found them.
    labels : ndarray of int of shape (m,)
        Of the graph's rows.
    of_all : callable
        Makes the labels of all samples.
    detail : object
        What distinguishes it from others of the kind, where the search has to know.
    lost_factor : float
        What the information that it loses is multiplied by when its quality is judged.
    """

    kind: str
    labels: NDArray
    of_all: Callable[[], NDArray]
    detail: object = None
    lost_factor: float = 1.0


def gaussian_points(points: NDArray, seed: int) -> tuple[NDArray, Callable[[NDArray], NDArray]]:
    """Points that Gaussians are fitted to, and the map to them: principal components of wide rows."""
    if points.shape[1] <= MAX_GAUSSIAN_FEATURES:
        return points, lambda X: X
    pca = PCA(min(N_GAUSSIAN_FEATURES, len(points)), svd_solver="randomized", random_state=seed)
    return pca.fit(points).transform(points), pca.transform


def label_by_nearest(data: Tensor, graph: NeighborGraph, labels: NDArray) -> Callable[[], NDArray]:
    """Label all samples as the nearest of a graph's rows, which have labels."""

    def of_all() -> NDArray:
        if len(labels) == len(data):
            return labels
        # Rows of a graph that has not all are in random order.
        voters = slice(MAX_VOTERS)
        points = graph.coordinates(data[graph.rows[voters].to(data.device)])
        votes = KNeighborsClassifier(min(N_VOTES, len(points))).fit(points, labels[voters])
        return votes.predict(graph.coordinates(data))

    return of_all
