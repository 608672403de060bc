"""Nearest neighbours of the data, which pseudo-labels, consistency and the score look at."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from scipy.stats import entropy
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from skmpcc.devices import at_most_threads, threads_for

# Samples among which neighbours are looked for; more are represented by as many drawn at random.
MAX_ROWS = 20_000


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
    """

    rows: Tensor
    nearest: Tensor
    distances: Tensor

    @classmethod
    def of(
        cls,
        data: Tensor,
        n_neighbors: int,
        n_clusters: int,
        rng: torch.Generator,
        first: Tensor | None = None,
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
        if len(rows) < 2 * n_clusters:
            itself = torch.arange(len(rows), device=rng.device).unsqueeze(1)
            return cls(rows, itself, torch.zeros_like(itself, dtype=torch.float32))
        points = data[rows.to(data.device)].flatten(1).cpu().numpy()
        n_neighbors = max(1, min(n_neighbors, len(rows) // (2 * n_clusters), len(rows) - 1))
        # Without an argument, kneighbors leaves each sample out of its own neighbours.
        with at_most_threads(threads_for(2.0 * len(points) * points.size)):
            found = NearestNeighbors(n_neighbors=n_neighbors).fit(points)
            distances, nearest = found.kneighbors()
        return cls(
            rows,
            torch.as_tensor(nearest, device=rng.device),
            torch.as_tensor(distances, dtype=torch.float32, device=rng.device),
        )

    def to(self, device: torch.device) -> "NeighborGraph":
        """Return the same graph on another device."""
        return NeighborGraph(self.rows.to(device), self.nearest.to(device), self.distances.to(device))

    def draw(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw `n` samples and one neighbour of each, as indices in the data."""
        m, k = self.nearest.shape
        first = torch.randint(m, (n,), generator=rng, device=rng.device)
        which = torch.randint(k, (n,), generator=rng, device=rng.device)
        return self.rows[first], self.rows[self.nearest[first, which]]


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
    pairs = pairs.reshape(n_clusters, n_clusters)
    clusters = entropy(pairs.sum(axis=1))
    return PairInformation(float(clusters), float(clusters - entropy(pairs, axis=None)))


def neighbor_information(labels: Tensor, graph: NeighborGraph) -> PairInformation:
    """Return the information of all pairs of neighbours; `labels` are those of the graph's rows."""
    n_neighbors = graph.nearest.shape[1]
    labels = labels.to(graph.nearest.device)
    return pair_information(labels.repeat_interleave(n_neighbors), labels[graph.nearest].flatten())
