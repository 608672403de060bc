"""Scattering features of images: wavelets and moduli, which nothing has to learn."""

import math
from collections.abc import Callable
from functools import cache, partial

import numpy as np
import torch
from sklearn.decomposition import PCA
from torch import Tensor
from torch.nn import functional

from skmpcc.pseudo_labels.side_by_side import one_core, run_side_by_side
from skmpcc.system.devices import available_threads, rows_of

# Scales, each twice as coarse as the one before, and directions of the wavelets.
N_SCALES, N_DIRECTIONS = 2, 8
# Of the finest wavelets and averages, in pixels; of the waves, in radians a pixel.
WIDTH, FREQUENCY, ELONGATION = 0.8, 0.75 * math.pi, N_DIRECTIONS / 4
# Deviations that a wavelet and an average reach to.
REACH, AVERAGE_REACH = 3.0, 2.5
# Longer side of the maps of features above which they are averaged once more: they would be many.
MAX_MAP_SIDE = 8
# Shorter side of images from which on they are seen at half of their resolution, or less.
LARGE_SIDE = 96
# Principal components of the features, in which neighbours are found.
N_COMPONENTS = 60
# Images that components are fitted to, and values of images, and of features, at a time.
MAX_FITTED, IMAGE_VALUES, FEATURE_VALUES = 5_000, 2**18, 2**25
TINY = 1e-6


def scattering(images: Tensor) -> Tensor:
    """Local averages of images, of moduli of their wavelets, and of moduli of wavelets of these.

    The scattering transform of J. Bruna and S. Mallat, "Invariant Scattering Convolution Networks",
    2013, of two orders with Morlet wavelets. It hardly changes where an image is shifted by a few
    pixels or slightly deformed, and tells textures and contours apart.

    Parameters
    ----------
    images : Tensor of shape (n, channels, height, width)

    Returns
    -------
    maps : Tensor of shape (n, 81 * channels, about height / 4, about width / 4)
        At most `MAX_MAP_SIDE` a side.
    """
    n, channels = images.shape[:2]
    x = images.flatten(0, 1).unsqueeze(1)
    maps = [_average(x, N_SCALES)]
    for scale in range(N_SCALES):
        moduli = _moduli(x, scale)
        maps.append(_average(moduli, N_SCALES - scale))
        for coarser in range(scale + 1, N_SCALES):
            second = _moduli(moduli.flatten(0, 1).unsqueeze(1), coarser - scale)
            second = second.unflatten(0, moduli.shape[:2]).flatten(1, 2)
            maps.append(_average(second, N_SCALES - coarser))
    found = torch.cat(maps, 1)
    while max(found.shape[-2:]) > MAX_MAP_SIDE:
        found = functional.avg_pool2d(found, 2, ceil_mode=True)
    return found.unflatten(0, (n, channels)).flatten(1, 2)


def scattering_features(images: Tensor, rng: torch.Generator) -> Tensor:
    """Principal components of the scattering maps of images, each kind of map of variance one.

    Parameters
    ----------
    images : Tensor of shape (n_samples, channels, height, width)
        On any device.
    rng : torch.Generator
        Draws the images that components are fitted to, on the device that does the work.

    Returns
    -------
    features : Tensor of shape (n_samples, n_components)
        Of mean zero and a mean square of one, on the generator's device.
    """
    n = len(images)
    size = _maps(images[:1].to(rng.device)).numel()
    n_fitted = min(n, MAX_FITTED, max(N_COMPONENTS, FEATURE_VALUES // size))
    drawn = torch.randperm(n, generator=rng, device=rng.device)[:n_fitted]
    with one_core():
        fitted = _in_parts(images, drawn, lambda maps: maps)
        scale = fitted.std((0, 2, 3), keepdim=True, correction=0) + TINY
        pca = PCA(min(N_COMPONENTS, n_fitted, size), svd_solver="randomized", random_state=0)
        pca.fit((fitted / scale).flatten(1).cpu().numpy())
        mean = torch.as_tensor(pca.mean_, device=rng.device)
        axes = torch.as_tensor(pca.components_.T.copy(), device=rng.device)
        everything = torch.arange(n, device=rng.device)
        found = _in_parts(images, everything, lambda maps: ((maps / scale).flatten(1) - mean) @ axes)
    found = found - found.mean(0)
    return found / found.square().mean().sqrt().clamp_min(TINY)


def main_colour(images: Tensor) -> Tensor:
    """Colours of each image along the axis on which they differ most, its contours whatever its colours.

    Parameters
    ----------
    images : Tensor of shape (n, channels, height, width)

    Returns
    -------
    contours : Tensor of shape (n, 1, height, width)
        Of mean zero in each image; which end of the axis is positive is arbitrary.
    """
    colours = images.flatten(2)
    colours = colours - colours.mean(2, keepdim=True)
    axes = torch.linalg.eigh(colours @ colours.transpose(1, 2))[1][:, :, -1]
    return torch.einsum("nc,ncp->np", axes, colours).unflatten(1, (1, *images.shape[2:]))


def contour_features(images: Tensor, rng: torch.Generator) -> Tensor:
    """Like `scattering_features`, but of the main colours of images, whichever these are.

    Parameters
    ----------
    images : Tensor of shape (n_samples, channels, height, width)
    rng : torch.Generator

    Returns
    -------
    features : Tensor of shape (n_samples, n_components)
    """
    parts = [main_colour(part) for part in images.split(max(1, FEATURE_VALUES // images[0].numel()))]
    return scattering_features(torch.cat(parts), rng)


def _in_parts(images: Tensor, rows: Tensor, make: Callable[[Tensor], Tensor]) -> Tensor:
    """Make something of the maps of some images, some at a time on each core there is."""
    at_once = max(1, IMAGE_VALUES // images[0].numel())
    tasks = [partial(_part, images, part, make) for part in rows.split(at_once)]
    n_threads = available_threads() if rows.device.type == "cpu" else 1
    return torch.cat(run_side_by_side(tasks, min(n_threads, len(tasks))))


@torch.no_grad()
def _part(images: Tensor, rows: Tensor, make: Callable[[Tensor], Tensor]) -> Tensor:
    return make(_maps(rows_of(images, rows)))


def _maps(images: Tensor) -> Tensor:
    """Scattering maps of images, of large ones at a lower resolution."""
    while min(images.shape[-2:]) >= LARGE_SIDE:
        images = functional.avg_pool2d(images, 2, ceil_mode=True)
    return scattering(images)


def _moduli(x: Tensor, scale: int) -> Tensor:
    """Moduli of wavelets of a scale at every place that the scale tells apart; x has one channel."""
    wavelets = _wavelets(scale, x.device)
    reach = wavelets.shape[-1] // 2
    padded = functional.pad(x, (reach,) * 4, mode="replicate")
    real, imaginary = functional.conv2d(padded, wavelets, stride=2**scale).chunk(2, 1)
    return torch.sqrt(real.square() + imaginary.square())


def _average(maps: Tensor, scale: int) -> Tensor:
    """Averages of maps over so coarse a scale."""
    kernel = _gaussian(scale, maps.device)
    reach = kernel.shape[-1] // 2
    x = functional.pad(maps.flatten(0, 1).unsqueeze(1), (reach,) * 4, mode="replicate")
    return (
        functional.conv2d(x, kernel, stride=2**scale)
        .view(*maps.shape[:2], -1)
        .unflatten(2, tuple(-(-side // 2**scale) for side in maps.shape[-2:]))
    )


@cache
def _wavelets(scale: int, device: torch.device) -> Tensor:
    """Real, then imaginary parts of Morlet wavelets of all directions, of mean zero."""
    width, frequency = WIDTH * 2**scale, FREQUENCY / 2**scale
    across, down = _places(max(3, int(REACH * width)), device)
    wavelets = []
    for direction in range(N_DIRECTIONS):
        angle = math.pi * direction / N_DIRECTIONS
        along = math.cos(angle) * across + math.sin(angle) * down
        beside = math.cos(angle) * down - math.sin(angle) * across
        envelope = torch.exp(-(along**2 + (beside / ELONGATION) ** 2) / (2.0 * width**2))
        wave = torch.polar(envelope, frequency * along)
        wave = wave - envelope * (wave.sum() / envelope.sum())
        wavelets.append(wave / (2.0 * math.pi * width**2 * ELONGATION))
    stacked = torch.stack(wavelets)
    return torch.cat([stacked.real, stacked.imag]).unsqueeze(1)


@cache
def _gaussian(scale: int, device: torch.device) -> Tensor:
    width = WIDTH * 2**scale
    across, down = _places(int(AVERAGE_REACH * width), device)
    kernel = torch.exp(-(across**2 + down**2) / (2.0 * width**2))
    return (kernel / kernel.sum())[None, None]


def _places(reach: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Places of a square kernel: across and down from its middle."""
    sides = torch.as_tensor(np.arange(-reach, reach + 1), dtype=torch.float32, device=device)
    down, across = torch.meshgrid(sides, sides, indexing="ij")
    return across, down
