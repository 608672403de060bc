"""Nearest neighbours of the data, which pseudo-labels, consistency and the score look at."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import entr
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from skmpcc.data.scaling import rows_at_once
from skmpcc.system.devices import at_most_threads, threads_for

# Samples among which neighbours are looked for; more are represented by as many drawn at random.
MAX_ROWS = 70_000
# Values of a sample up to which neighbours are looked for among these, and principal components of more:
# in these they are found several times as fast, and are more often of one kind.
MAX_VALUES = 256
N_COMPONENTS = 64
# Rows that components are fitted to.
MAX_FITTED = 20_000


@dataclass(frozen=True)
class NeighborGraph:
    """Samples of a data set and, for each, the nearest among them.

    Attributes
    ----------
    rows : Tensor of int64 of shape (m,)
        Indices of the samples in the data.
    nearest : Tensor of int64 of shape (m, k)
        Indices in `rows`, the nearest first.
    distances : Tensor of shape (m, k)
        Euclidean distances of them.
    components : PCA or None
        Principal components of wide data, in which neighbours are found.
    """

    rows: Tensor
    nearest: Tensor
    distances: Tensor
    components: PCA | None = None

    @classmethod
    def from_data(
        cls,
        data: Tensor,
        n_neighbors: int,
        n_clusters: int,
        rng: torch.Generator,
        first: Tensor | None = None,
        *,
        all_values: bool = False,
    ) -> "NeighborGraph":
        """Find the nearest neighbours of data as the networks see them, by Euclidean distance.

        Parameters
        ----------
        data : Tensor of shape (n_samples, ...)
            On any device.
        n_neighbors, n_clusters : int
        rng : torch.Generator
            Draws the rows of large data; the graph lies on its device.
        first : Tensor of bool of shape (n_samples,), optional
            Rows of large data that others are drawn after, on the generator's device.
        all_values : bool
            Whether neighbours are found in all values of wide data, too. Of rows of one length they are
            those of the largest cosine, of which principal components leave little.

        Returns
        -------
        graph : NeighborGraph

        Notes
        -----
        Each sample has at most `n_neighbors`, and no more than half of what a cluster of mean size
        holds, so that they can be of one kind. Where clusters hold fewer than two samples, a sample's
        one neighbour is itself.
        """
        rows = some_rows(len(data), rng, first)
        itself = torch.arange(len(rows), device=rng.device).unsqueeze(1)
        components = None if all_values else _components(data, rows)
        graph = cls(rows, itself, torch.zeros_like(itself, dtype=torch.float32), components)
        if len(rows) < 2 * n_clusters:
            return graph
        points = graph.points(data)
        n_neighbors = max(1, min(n_neighbors, len(rows) // (2 * n_clusters), len(rows) - 1))
        distances, nearest = _nearest_distinct(points, n_neighbors)
        return replace(
            graph,
            nearest=torch.as_tensor(nearest, device=rng.device),
            distances=torch.as_tensor(distances, dtype=torch.float32, device=rng.device),
        )

    @classmethod
    def without_neighbors(cls, n_samples: int, device: torch.device) -> "NeighborGraph":
        """Return a graph in which each sample's one neighbour is itself."""
        rows = torch.arange(n_samples, device=device)
        return cls(rows, rows.unsqueeze(1), torch.zeros((n_samples, 1), device=device))

    def to(self, device: torch.device) -> "NeighborGraph":
        """Return the same graph on another device."""
        return replace(
            self,
            rows=self.rows.to(device),
            nearest=self.nearest.to(device),
            distances=self.distances.to(device),
        )

    def points(self, data: Tensor) -> NDArray:
        """Coordinates of the graph's rows of the data, in which neighbours are found."""
        return self.coordinates(data[self.rows.to(data.device)])

    def coordinates(self, data: Tensor) -> NDArray:
        """Coordinates of any samples: their values, or principal components of many, on the CPU."""
        if self.components is None:
            return data.flatten(1).cpu().numpy()
        split = data.split(rows_at_once(data[0].numel()))
        parts = [self.components.transform(part.flatten(1).cpu().numpy()) for part in split]
        return np.concatenate(parts).astype(np.float32, copy=False)

    def draw(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw `n` samples and one neighbour of each, as indices in the data."""
        first, second = self.draw_places(n, rng)
        return self.rows[first], self.rows[second]

    def draw_places(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw `n` samples and one neighbour of each, as indices in `rows`."""
        m, k = self.nearest.shape
        first = torch.randint(m, (n,), generator=rng, device=rng.device)
        which = torch.randint(k, (n,), generator=rng, device=rng.device)
        return first, self.nearest[first, which]


def _nearest(points: NDArray, n_neighbors: int) -> tuple[NDArray, NDArray]:
    """Distances and indices of the nearest other points."""
    # Without an argument, kneighbors leaves each sample out of its own neighbours.
    with at_most_threads(threads_for(2.0 * len(points) * points.size)):
        return NearestNeighbors(n_neighbors=n_neighbors).fit(points).kneighbors()


def _nearest_distinct(points: NDArray, n_neighbors: int) -> tuple[NDArray, NDArray]:
    """Like `_nearest`, but at most one copy of a point is among its neighbours.

    Many copies would leave no place for others, and neighbours would tell nothing of clusters.
    """
    distinct, group, counts = np.unique(points, axis=0, return_inverse=True, return_counts=True)
    if len(distinct) == len(points):
        return _nearest(points, n_neighbors)
    group = group.reshape(-1)
    n_others = min(n_neighbors, len(distinct) - 1)
    members = np.argsort(group, kind="stable")
    starts = np.cumsum(counts) - counts
    # Which of its copies each point is.
    number = np.empty(len(points), dtype=np.int64)
    number[members] = np.arange(len(points)) - np.repeat(starts, counts)
    copy = members[starts[group] + (number + 1) % counts[group]]
    if not n_others:
        return np.zeros((len(points), 1)), copy[:, None]
    of_group, others = _nearest(distinct, n_others)
    others = others[group]
    # Copies of two points are neighbours by their numbers, so that all of them are someone's.
    nearest = members[starts[others] + number[:, None] % counts[others]]
    distances = of_group[group]
    copied = counts[group] > 1
    nearest[copied] = np.column_stack([copy, nearest[:, :-1]])[copied]
    distances[copied] = np.column_stack([np.zeros(len(points)), distances[:, :-1]])[copied]
    return distances, nearest


def _components(data: Tensor, rows: Tensor) -> PCA | None:
    """Fit principal components of wide data to some of the rows."""
    if data[0].numel() <= MAX_VALUES or len(rows) < N_COMPONENTS:
        return None
    drawn = np.random.default_rng(0).permutation(len(rows))[:MAX_FITTED]
    some = data[rows.cpu()[drawn].to(data.device)].flatten(1).cpu().numpy()
    return PCA(N_COMPONENTS, svd_solver="randomized", random_state=0).fit(some)


def some_rows(n_samples: int, rng: torch.Generator, first: Tensor | None = None) -> Tensor:
    """Return all indices of the data, or of more than MAX_ROWS as many drawn at random.

    Those of `first`, of shape (n_samples,), are drawn before all others.
    """
    if n_samples <= MAX_ROWS:
        return torch.arange(n_samples, device=rng.device)
    order = torch.randperm(n_samples, generator=rng, device=rng.device)
    if first is not None:
        order = order[torch.argsort(first[order], descending=True, stable=True)]
    return order[:MAX_ROWS]


class PairInformation(NamedTuple):
    """The two parts of the mutual information of pairs' clusters, in nats."""

    entropy: float
    agreement: float


def pair_information(labels: Tensor, others: Tensor) -> PairInformation:
    """Return H(k) and -H(k' | k) over pairs."""
    n_clusters = int(torch.maximum(labels.max(), others.max())) + 1
    pairs = torch.bincount(labels * n_clusters + others, minlength=n_clusters**2).cpu().numpy()
    return information_of_counts(pairs.reshape(n_clusters, n_clusters))


def information_of_counts(pairs: NDArray[np.int64]) -> PairInformation:
    """Return H(k) and -H(k' | k) by the number of pairs of each two clusters."""
    clusters = _entropy(pairs.sum(axis=1))
    return PairInformation(clusters, clusters - _entropy(pairs.ravel()))


def _entropy(counts: NDArray[np.int64]) -> float:
    """Entropy of shares; `scipy.stats.entropy` is the same, and takes ten times as long to begin."""
    return float(entr(counts / counts.sum()).sum())


def mutual_pairs(graph: NeighborGraph, n_neighbors: int) -> tuple[Tensor, Tensor]:
    """Return all pairs of samples that are among each other's nearest, each pair in both orders."""
    nearest = graph.nearest[:, :n_neighbors].cpu().numpy()
    n, k = nearest.shape
    first, second = np.repeat(np.arange(n), k), nearest.ravel()
    edges = csr_matrix((np.ones(n * k, dtype=bool), (first, second)), shape=(n, n))
    mutual = edges.multiply(edges.T).tocoo()
    return torch.from_numpy(mutual.row.astype(np.int64)), torch.from_numpy(mutual.col.astype(np.int64))


def neighbor_information(labels: Tensor, graph: NeighborGraph) -> PairInformation:
    """Return the information of all pairs of neighbours; `labels` are those of the graph's rows."""
    n_neighbors = graph.nearest.shape[1]
    labels = labels.to(graph.nearest.device)
    return pair_information(labels.repeat_interleave(n_neighbors), labels[graph.nearest].flatten())
