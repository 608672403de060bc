"""Batches of real samples, and of pairs that should share a cluster."""

from typing import Any

import torch
from torch import Tensor

from skmpcc.method.trainer import Batch, DrawBatch
from skmpcc.pseudo_labels.augmentation import random_affine
from skmpcc.pseudo_labels.graph import NeighborGraph

# Batches come from another random stream than the training's, which begins with the same seed.
_STREAM = 0x5EED


class RandomBatches:
    """Indices of batches without replacement, a new permutation each epoch.

    What is left of an epoch and too short for a batch is skipped. Indices are drawn on the generator's
    device.

    Attributes
    ----------
    order : Tensor of int64
        Permutation of this epoch.
    start : int
        Where in it the next batch begins.
    """

    def __init__(self, n: int, batch_size: int, rng: torch.Generator) -> None:
        self.n = n
        self.batch_size = batch_size
        self.rng = rng
        self.order = torch.empty(0, dtype=torch.int64, device=rng.device)
        self.start = 0

    def draw(self) -> Tensor:
        """Draw the next batch."""
        if self.start + self.batch_size > len(self.order):
            self.order = torch.randperm(self.n, generator=self.rng, device=self.rng.device)
            self.start = 0
        index = self.order[self.start : self.start + self.batch_size]
        self.start += self.batch_size
        return index


class BatchSampler:
    """Draws the batches of `Trainer.iteration`.

    Parameters
    ----------
    device : torch.device
        Device of the batches. Indices are drawn on that of the data.
    batch_size : int
    data : Tensor of shape (n_samples, ...)
    labels : Tensor of shape (n_samples,) or None
    neighbors : NeighborGraph or None
        Where pairs come from, unless they are of an image and its augmented view. Neighbours of
        different labels make no pair.
    seed : int
    augmentation : bool
    rows : slice
        The rows of every batch that are wanted. The others are drawn, too, and left out.
    """

    def __init__(
        self,
        device: torch.device,
        batch_size: int,
        data: Tensor,
        labels: Tensor | None,
        neighbors: NeighborGraph | None,
        seed: int,
        *,
        augmentation: bool = False,
        rows: slice = slice(None),
    ) -> None:
        self._device = device
        self._own = rows
        self._augmentation = augmentation
        self._known = [data] if labels is None else [data, labels.to(data.device)]
        self._neighbors = None if neighbors is None else neighbors.to(data.device)
        self._rng = torch.Generator(data.device).manual_seed(seed ^ _STREAM)
        self._affine_rng = torch.Generator(device).manual_seed(seed ^ _STREAM)
        self._batches = RandomBatches(len(data), batch_size, self._rng)

    def draw_real(self) -> Batch:
        """Draw a batch of samples, followed by their labels if there are any."""
        return self._rows(self._batches.draw()[self._own])

    @property
    def draw_pairs(self) -> DrawBatch | None:
        """The function that draws pairs; None if there is nothing that they could come from."""
        if self._augmentation:
            return self._draw_views
        return None if self._neighbors is None else self._draw_neighbors

    def _draw_views(self) -> Batch:
        n, device = len(self._known[0]), self._rng.device
        n_views = self._batches.batch_size
        index = torch.randint(n, (n_views,), generator=self._rng, device=device)
        x, *y = self._rows(index[self._own])
        return x, random_affine(x, self._affine_rng, n_views, self._own), *y, *y

    def _draw_neighbors(self) -> Batch:
        assert self._neighbors is not None
        drawn = self._neighbors.draw(self._batches.batch_size, self._rng)
        first, second = (index[self._own] for index in drawn)
        for labels in self._known[1:]:
            # Neighbours that are known to be of two clusters: the sample is its own partner.
            second = torch.where(labels[first] == labels[second], second, first)
        pairs = zip(self._rows(first), self._rows(second), strict=True)
        return tuple(rows for pair in pairs for rows in pair)

    def _rows(self, index: Tensor) -> Batch:
        return tuple(self._to_device(source[index]) for source in self._known)

    def _to_device(self, rows: Tensor) -> Tensor:
        if rows.device == self._device:
            return rows
        return rows.pin_memory().to(self._device, non_blocking=True)

    # ---- Its state

    def state(self) -> dict[str, Any]:
        """Copy the random streams and the place in the epoch."""
        return {
            "rng": self._rng.get_state(),
            "affine_rng": self._affine_rng.get_state(),
            "order": self._batches.order.clone(),
            "start": self._batches.start,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._rng.set_state(state["rng"])
        self._affine_rng.set_state(state["affine_rng"])
        self._batches.order = state["order"].to(self._rng.device)
        self._batches.start = state["start"]
