"""Augmented views of images by small random affine maps, which leave the content as it is."""

import torch
from torch import Tensor
from torch.nn import functional

from skmpcc.pseudo_labels.graph import PairInformation, pair_information

# Largest shift (share of a side), rotation (radians), change of scale and shear.
SHIFT = 0.09
ANGLE = 0.25
SCALE = 0.15
SHEAR = 0.2


def random_affine(
    images: Tensor, rng: torch.Generator, n: int | None = None, rows: slice = slice(None)
) -> Tensor:
    """Map each image by an affine map of its own: a little moved, turned, scaled and slanted.

    Parameters
    ----------
    images : Tensor of shape (n, channels, height, width)
    rng : torch.Generator
        On the images' device. Every map has five uniform draws.
    n : int, optional
        Maps to draw, if the images are some `rows` of so many.
    rows : slice

    Returns
    -------
    views : Tensor of the images' shape and dtype
        Interpolated bilinearly. What comes from outside an image repeats its border.
    """
    height, width = images.shape[-2:]
    shape = (len(images) if n is None else n, 5)
    drawn = torch.rand(shape, generator=rng, device=images.device, dtype=images.dtype)[rows]
    across, down, angle, size, slant = (2.0 * drawn - 1.0).unbind(1)
    turn, scale = ANGLE * angle, 1.0 + SCALE * size
    # In pixels, from the view's places to the image's.
    a, b = scale * torch.cos(turn), SHEAR * slant - scale * torch.sin(turn)
    c, d = scale * torch.sin(turn), scale * torch.cos(turn)
    # Places go from -1 to 1 along either side.
    maps = torch.stack(
        [
            torch.stack([a, b * (height / width), 2.0 * SHIFT * across], 1),
            torch.stack([c * (width / height), d, 2.0 * SHIFT * down], 1),
        ],
        1,
    )
    places = functional.affine_grid(maps, list(images.shape), align_corners=False)
    return functional.grid_sample(images, places, padding_mode="border", align_corners=False)


def view_information(labels: Tensor, others: Tensor) -> PairInformation:
    """Information of unordered pairs of clusters: of images and their views, or of two views."""
    return pair_information(torch.cat([labels, others]), torch.cat([others, labels]))
