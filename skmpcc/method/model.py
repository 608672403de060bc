"""The modules that MPCC trains, built together from plain settings."""

import copy

from torch import nn

from skmpcc.method.latent_model import LatentModel
from skmpcc.method.networks.build import discriminator_for, encoder_for, generator_for, trunk_for
from skmpcc.method.networks.layers import Discriminator, Encoder


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
    table : TableInputs, optional
        What the inputs are, of a table that has categories or missing values.
    """

    generator: nn.Module
    discriminator: Discriminator
    encoder: Encoder

    def _build_networks(self) -> None:
        s, shape = self.settings, self.sample_shape
        self.generator = generator_for(s, shape, self.n_clusters, self._last_step(hides=True))
        trunk = trunk_for(s, shape, spectral=s.discriminator_spectral_norm)
        self.discriminator = discriminator_for(s, shape, trunk)
        self.encoder = encoder_for(s, shape, self._encoder_trunk(trunk))

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
