"""The modules that MPCC trains, built together from plain settings."""

import copy

from torch import nn

from skmpcc.method.latent_model import LatentModel
from skmpcc.method.networks.image import (
    Grid,
    ImageDiscriminator,
    ImageEncoder,
    ImageGenerator,
    ImageTrunk,
)
from skmpcc.method.networks.layers import Discriminator, Encoder
from skmpcc.method.networks.vector import (
    VectorDiscriminator,
    VectorEncoder,
    VectorGenerator,
    VectorTrunk,
)
from skmpcc.settings import NetworkSettings


class MPCCModel(LatentModel):
    """Prior, generator, discriminator and encoder, and the moving averages that serve after training.

    Parameters
    ----------
    settings : NetworkSettings
    sample_shape : tuple of int
        (d,) for tables, (c, h, w) for images; the latter has to be a size of `Grid`.
    n_clusters : int
    seed : int
        Seed of the initial parameters. torch's global random state is left as it was.
    """

    generator: nn.Module
    discriminator: Discriminator
    encoder: Encoder

    def _build_networks(self) -> None:
        s = self.settings
        if len(self.sample_shape) == 1:
            self._build_for_vectors(s, self.sample_shape[0])
        else:
            channels, height, width = self.sample_shape
            self._build_for_images(s, channels, height, width)

    def _build_for_vectors(self, s: NetworkSettings, n_features: int) -> None:
        self.generator = VectorGenerator(
            n_features,
            self.n_clusters,
            s.latent_dim,
            width=s.width,
            n_layers=s.n_layers,
            conditioning=s.conditioning,
            spectral=s.generator_spectral_norm,
        )
        trunk = VectorTrunk(n_features, width=s.width, n_layers=s.n_layers)
        self.discriminator = VectorDiscriminator(trunk, width=s.width)
        self.encoder = VectorEncoder(
            self._encoder_trunk(trunk),
            s.latent_dim,
            width=s.width,
            spectral=s.encoder_spectral_norm,
        )

    def _build_for_images(self, s: NetworkSettings, channels: int, height: int, width: int) -> None:
        grid = Grid.for_image(height, width)
        if grid.size != (height, width):
            raise ValueError(f"sample_shape {self.sample_shape} is not one of {grid}'s.")
        grid = grid.on_patches(s.patch_size)
        patch_size = height // grid.size[0]
        self.generator = ImageGenerator(
            grid,
            channels,
            self.n_clusters,
            s.latent_dim,
            patch_size=patch_size,
            width=s.width,
            conditioning=s.conditioning,
            upsampling=s.upsampling,
            spectral=s.generator_spectral_norm,
        )
        trunk = ImageTrunk(grid, channels, patch_size=patch_size, width=s.width)
        self.discriminator = ImageDiscriminator(trunk, width=s.width)
        self.encoder = ImageEncoder(
            grid,
            self._encoder_trunk(trunk),
            s.latent_dim,
            width=s.width,
            spectral=s.encoder_spectral_norm,
        )

    def _encoder_trunk(self, trunk: nn.Sequential) -> nn.Sequential:
        """Return the discriminator's own trunk, or with sharing="none" (NS in the paper) a twin."""
        return copy.deepcopy(trunk) if self.settings.sharing == "none" else trunk

    def encoder_parameters(self) -> list[nn.Parameter]:
        """Parameters of the encoder's steps; with sharing="discriminator" (AIM) not the trunk."""
        if self.settings.sharing != "discriminator":
            return list(self.encoder.parameters())
        shared = {id(p) for p in self.encoder.trunk.parameters()}
        return [p for p in self.encoder.parameters() if id(p) not in shared]

    def _is_alias(self, key: str) -> bool:
        """Whether the discriminator has the same tensor under its own name."""
        return key.startswith("encoder.trunk.") and self.settings.sharing != "none"

    def _aliased(self, key: str) -> str:
        return key.replace("encoder", "discriminator", 1)
