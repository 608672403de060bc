"""Batches of real samples, and of pairs that should share a cluster."""

from collections.abc import Iterator

import torch
from torch import Tensor

from skmpcc.method.algorithm import Batch, DrawBatch
from skmpcc.pseudo_labels.augmentation import random_affine
from skmpcc.pseudo_labels.neighbors import NeighborGraph

# Batches come from another random stream than the training's, which begins with the same seed.
_STREAM = 0x5EED


def random_batches(n: int, batch_size: int, rng: torch.Generator) -> Iterator[Tensor]:
    """Yield indices of batches without replacement, a new permutation each epoch, for ever.

    What is left of an epoch and too short for a batch is skipped. Indices are drawn on the
    generator's device.
    """
    while True:
        order = torch.randperm(n, generator=rng, device=rng.device)
        for start in range(0, n - batch_size + 1, batch_size):
            yield order[start : start + batch_size]


def batch_samplers(
    device: torch.device,
    batch_size: int,
    data: Tensor,
    labels: Tensor | None,
    neighbors: NeighborGraph | None,
    seed: int,
    *,
    augmentation: bool = False,
) -> tuple[DrawBatch, DrawBatch | None]:
    """Make the functions that `Algorithm1.iteration` draws batches by.

    Parameters
    ----------
    device : torch.device
        Device of the batches. Indices are drawn on that of the data.
    batch_size : int
    data : Tensor of shape (n_samples, ...)
    labels : Tensor of shape (n_samples,) or None
    neighbors : NeighborGraph or None
        Where pairs come from, unless they are of an image and its augmented view.
    seed : int
    augmentation : bool

    Returns
    -------
    draw_real, draw_pairs : callable
        The latter is None if there is nothing that pairs could come from.
    """
    rng = torch.Generator(data.device).manual_seed(seed ^ _STREAM)
    batches = random_batches(len(data), batch_size, rng)
    known = [data] if labels is None else [data, labels.to(data.device)]

    def rows(source: Tensor, index: Tensor) -> Tensor:
        chosen = source[index]
        if chosen.device == device:
            return chosen
        return chosen.pin_memory().to(device, non_blocking=True)

    def draw_real() -> Batch:
        index = next(batches)
        return tuple(rows(source, index) for source in known)

    if augmentation:
        affine_rng = torch.Generator(device).manual_seed(seed ^ _STREAM)

        def draw_views() -> Batch:
            index = torch.randint(len(data), (batch_size,), generator=rng, device=data.device)
            x, *y = (rows(source, index) for source in known)
            return x, random_affine(x, affine_rng), *y, *y

        return draw_real, draw_views
    if neighbors is None:
        return draw_real, None
    graph = neighbors.to(data.device)

    def draw_neighbors() -> Batch:
        pair = graph.draw(batch_size, rng)
        return tuple(rows(source, index) for source in known for index in pair)

    return draw_real, draw_neighbors
