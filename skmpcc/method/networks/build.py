"""The networks of a model, for rows of a table or for images, from plain settings."""

from torch import nn

from skmpcc.method.networks.image import (
    Grid,
    ImageDiscriminator,
    ImageEncoder,
    ImageGenerator,
    ImageTrunk,
)
from skmpcc.method.networks.layers import Discriminator, Encoder
from skmpcc.method.networks.table import TableOutput
from skmpcc.method.networks.vector import (
    VectorDiscriminator,
    VectorEncoder,
    VectorGenerator,
    VectorTrunk,
)
from skmpcc.settings import NetworkSettings

Shape = tuple[int, ...]


def _on_patches(s: NetworkSettings, shape: Shape) -> tuple[Grid, int]:
    """The grid of an image's patches, and their side."""
    _, height, width = shape
    grid = Grid.for_image(height, width)
    if grid.size != (height, width):
        raise ValueError(f"sample_shape {shape} is not one of {grid}'s.")
    grid = grid.on_patches(s.patch_size)
    return grid, height // grid.size[0]


def generator_for(
    s: NetworkSettings, shape: Shape, n_clusters: int, last: TableOutput | None = None
) -> nn.Module:
    """Make a generator, or decoder, of samples of a shape; see `VectorGenerator` on the last step."""
    if len(shape) == 1:
        generator = VectorGenerator(
            shape[0] if last is None else last.inputs.n_outputs,
            n_clusters,
            s.latent_dim,
            width=s.width,
            n_layers=s.n_layers,
            conditioning=s.conditioning,
            spectral=s.generator_spectral_norm,
        )
        generator.last = last
        return generator
    grid, patch_size = _on_patches(s, shape)
    return ImageGenerator(
        grid,
        shape[0],
        n_clusters,
        s.latent_dim,
        patch_size=patch_size,
        width=s.width,
        conditioning=s.conditioning,
        upsampling=s.upsampling,
        spectral=s.generator_spectral_norm,
    )


def trunk_for(s: NetworkSettings, shape: Shape, *, spectral: bool = True) -> nn.Sequential:
    """Make the first layers of an encoder, which a discriminator may share."""
    if len(shape) == 1:
        return VectorTrunk(shape[0], width=s.width, n_layers=s.n_layers, spectral=spectral)
    grid, patch_size = _on_patches(s, shape)
    return ImageTrunk(grid, shape[0], patch_size=patch_size, width=s.width, spectral=spectral)


def discriminator_for(s: NetworkSettings, shape: Shape, trunk: nn.Sequential) -> Discriminator:
    """Make a discriminator on a trunk."""
    made = VectorDiscriminator if len(shape) == 1 else ImageDiscriminator
    return made(trunk, width=s.width, spectral=s.discriminator_spectral_norm)


def encoder_for(s: NetworkSettings, shape: Shape, trunk: nn.Sequential) -> Encoder:
    """Make an encoder on a trunk."""
    spectral = s.encoder_spectral_norm
    if len(shape) == 1:
        return VectorEncoder(trunk, s.latent_dim, width=s.width, spectral=spectral)
    grid, _ = _on_patches(s, shape)
    return ImageEncoder(grid, trunk, s.latent_dim, width=s.width, spectral=spectral)
