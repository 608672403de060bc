"""The base of adversarial trainings, MPCC's and AIM's: of generator, discriminator and encoder."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from skmpcc.method.model import MPCCModel
from skmpcc.method.networks.layers import frozen_spectral_norms
from skmpcc.method.optimizers import Adam
from skmpcc.method.trainer import Trainer
from skmpcc.settings import AIMSettingsOnData, ResolvedSettings

# A discriminator has won if its loss is below this.
WON_LOSS = 0.01
DISCRIMINATOR_WON = "the discriminator tells all generated samples from real ones"


class AdversarialTrainer(Trainer):
    """A training of generator, discriminator and encoder, which read samples with instance noise.

    Parameters
    ----------
    model : MPCCModel
        Trained in place.
    settings : ResolvedSettings or AIMSettingsOnData
    rng : torch.Generator
        Source of y, eps and noise, on the model's device.
    """

    model: MPCCModel
    settings: ResolvedSettings | AIMSettingsOnData

    def _parameters(self) -> dict[str, list[nn.Parameter]]:
        """Parameters that the optimizer of each module updates."""
        return {
            "discriminator": list(self.model.discriminator.parameters()),
            "generator": list(self.model.generator.parameters()),
            "encoder": self.model.encoder_parameters(),
        }

    def _trunk(self) -> list[nn.Parameter]:
        """Parameters that encoder and discriminator may share."""
        return list(self.model.discriminator.trunk.parameters())

    def _optimizers(self) -> dict[str, Adam]:
        """Make the optimizers; a trunk's steps are clipped apart from those of what is on it."""
        made = super()._optimizers()
        for name in ("discriminator", "encoder"):
            made[name].clip_apart(self._trunk())
        return made

    def signs_of_failure(self, losses: Mapping[str, float]) -> dict[str, bool]:
        """Tell whether the discriminator has won the game."""
        return {DISCRIMINATOR_WON: losses["discriminator"] < WON_LOSS}

    def draw(self) -> tuple[Tensor, Tensor]:
        """Lines 9 and 10 of MPCC's algorithm: y ~ p(y), z ~ p(z | y), differentiable in the prior."""
        y, noise = self._draw_noise()
        return y, self.model.prior.reparameterize(y, noise)

    def _draw_noise(self) -> tuple[Tensor, Tensor]:
        """Draw y, and the standard normal eps of z = mu_y + sigma_y * eps."""
        prior = self.model.prior
        y = prior.draw_labels(self.settings.batch_size, self.rng)
        return y, prior.draw_noise(len(y), self.rng)

    @torch.no_grad()
    def _generate(self, z: Tensor, y: Tensor) -> Tensor:
        """Generate without a gradient, by a generator whose spectral norms stay as they are."""
        with frozen_spectral_norms(self.model.generator):
            return self.model.generator(z, y)
