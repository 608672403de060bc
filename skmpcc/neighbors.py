"""Nearest neighbours of the data, of which consistency, one of the starts and the score are made."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from scipy.stats import entropy
from sklearn.metrics.cluster import contingency_matrix
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

# Samples among which neighbours are looked for; more are represented by as many drawn at random.
MAX_ROWS = 20_000


@dataclass(frozen=True)
class NeighborGraph:
    """Samples of a data set and, for each, the nearest among them.

    Attributes
    ----------
    rows : Tensor of int64 of shape (m,)
        The samples' places in the data.
    nearest : Tensor of int64 of shape (m, k)
        Places in `rows`; a sample is not its own neighbour.
    """

    rows: Tensor
    nearest: Tensor

    @classmethod
    def of(
        cls, data: Tensor, n_neighbors: int, n_clusters: int, random: torch.Generator
    ) -> "NeighborGraph":
        """Of the data as the networks see it, by Euclidean distance.

        At most `n_neighbors`, and no more than half of what a cluster of mean size holds, so that
        they can be of one kind.
        """
        rows = some_rows(len(data), random)
        points = data[rows.to(data.device)].flatten(1).cpu().numpy()
        n_neighbors = max(1, min(n_neighbors, len(rows) // (2 * n_clusters), len(rows) - 1))
        # without an argument: of the samples themselves, each left out of its own
        nearest = NearestNeighbors(n_neighbors=n_neighbors).fit(points).kneighbors(return_distance=False)
        return cls(rows, torch.as_tensor(nearest, device=random.device))

    def to(self, device: torch.device) -> "NeighborGraph":
        """The same on another device."""
        return NeighborGraph(self.rows.to(device), self.nearest.to(device))

    def draw(self, n: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Places in the data of `n` samples and of one neighbour of each."""
        m, k = self.nearest.shape
        first = torch.randint(m, (n,), generator=random, device=random.device)
        which = torch.randint(k, (n,), generator=random, device=random.device)
        return self.rows[first], self.rows[self.nearest[first, which]]


def some_rows(n_samples: int, random: torch.Generator) -> Tensor:
    """All places in the data, or MAX_ROWS of more drawn at random."""
    if n_samples <= MAX_ROWS:
        return torch.arange(n_samples, device=random.device)
    return torch.randperm(n_samples, generator=random, device=random.device)[:MAX_ROWS]


class PairInformation(NamedTuple):
    """The two parts of the mutual information of pairs' clusters, in nats."""

    entropy: float
    agreement: float


def pair_information(labels: Tensor, others: Tensor) -> PairInformation:
    """H(k), and -H(k' | k), over pairs."""
    pairs = contingency_matrix(labels.cpu().numpy(), others.cpu().numpy())
    clusters = entropy(pairs.sum(axis=1))
    return PairInformation(float(clusters), float(clusters - entropy(pairs, axis=None)))


def neighbor_information(labels: Tensor, graph: NeighborGraph) -> PairInformation:
    """Of all pairs of neighbours; `labels` are of the graph's rows."""
    n_neighbors = graph.nearest.shape[1]
    labels = labels.to(graph.nearest.device)
    return pair_information(labels.repeat_interleave(n_neighbors), labels[graph.nearest].flatten())
