"""AIM, Adversarial Inference by Matching priors and conditionals (Li et al., 2019): MPCC's ancestor.

AIM is MPCC with one component, the standard normal, and no prior to learn. The adversarial loss is
logarithmic, and the generator minimizes L_q as the encoder does.
"""

import math

import torch
from torch import Tensor, nn

from skmpcc.method import losses
from skmpcc.method.adversarial import AdversarialTrainer
from skmpcc.method.model import MPCCModel
from skmpcc.method.networks import dcgan
from skmpcc.method.networks.layers import batch_norms, chunked, standing_statistics
from skmpcc.method.networks.vector import (
    FourierFeatures,
    FourierGenerator,
    VectorDiscriminator,
    VectorEncoder,
    VectorTrunk,
)
from skmpcc.method.trainer import DrawBatch, descend
from skmpcc.settings import AIMNetworkSettings, AIMSettingsOnData

# Of the Fourier features that networks="fourier" reads: of codes, whose deviation is 1, and of rows,
# whose total deviation is 8.
CODE_FREQUENCY = 0.4
DATA_FREQUENCY = 0.7
# Updates of the discriminator for one with a gradient penalty, which then counts as often (Karras et
# al., 2020).
PENALTY_INTERVAL = 4


class _Zeros(nn.Module):
    """Log-variances of an encoder whose covariance is the identity."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim

    def forward(self, h: Tensor) -> Tensor:
        return h.new_zeros(len(h), self.latent_dim)


class AIMModel(MPCCModel):
    """Generator, discriminator and encoder of AIM, and the standard normal as the only component.

    Parameters
    ----------
    settings : AIMNetworkSettings
    sample_shape : tuple of int
        (d,) for tables, (c, h, w) for images, of the side of the table whose networks are asked for.
    n_clusters : int
        1.
    seed : int
        Seed of the initial parameters. torch's global random state is left as it was.
    table : TableInputs, optional
        What the inputs are, of a table that has categories or missing values.
    """

    settings: AIMNetworkSettings

    def _build(self) -> None:
        super()._build()
        self.prior.be_standard_normal()
        if self.settings.covariance == "identity":
            for encoder in (self.encoder, self.averaged_encoder):
                encoder.log_variance = nn.Sequential(_Zeros(self.settings.latent_dim))

    def _build_networks(self) -> None:
        networks, shape = self.settings.networks, self.sample_shape
        if networks == "general":
            super()._build_networks()
        elif networks == "fourier":
            self._build_on_fourier_features(shape[0])
        else:
            self._build_by_table(networks, shape[0])

    def _build_on_fourier_features(self, n_features: int) -> None:
        s = self.settings
        # Wider than the others: between small places it has to change fast.
        generator = FourierGenerator(
            self.n_outputs, s.latent_dim, CODE_FREQUENCY, width=2 * s.width, n_layers=s.n_layers
        )
        generator.last = self._last_step(hides=True)
        self.generator = generator
        fourier = FourierFeatures(n_features, s.width, DATA_FREQUENCY)
        hidden = VectorTrunk(fourier.n_outputs, width=s.width, n_layers=s.n_layers, spectral=False)
        trunk = nn.Sequential(fourier, *hidden)
        self.discriminator = VectorDiscriminator(trunk, width=s.width, spectral=False)
        self.encoder = VectorEncoder(
            self._encoder_trunk(trunk), s.latent_dim, width=s.width, spectral=False
        )

    def _build_by_table(self, table: str, channels: int) -> None:
        s = self.settings
        trunk = dcgan.DCGANTrunk(table, channels, width=s.width)
        self.generator = dcgan.DCGANGenerator(table, channels, s.latent_dim, width=s.width)
        self.discriminator = dcgan.DCGANDiscriminator(table, trunk, width=s.width)
        self.encoder = dcgan.DCGANEncoder(table, self._encoder_trunk(trunk), s.latent_dim, width=s.width)

    @torch.no_grad()
    def collect_standing_statistics(
        self, n_passes: int, batch_size: int, rng: torch.Generator, data: Tensor | None = None
    ) -> None:
        """Collect those of the averaged encoder, too, where it has batch-norms, from generated samples.

        The running ones are of the networks in training, and of real and generated samples mixed.
        """
        super().collect_standing_statistics(n_passes, batch_size, rng)
        if n_passes == 0 or not batch_norms(self.averaged_encoder):
            return
        with standing_statistics(self.averaged_encoder):
            for _ in range(n_passes):
                y = self.prior.draw_labels(batch_size, rng)
                self.averaged_encoder(self.averaged_generator(self.prior.sample(y, rng), y))

    @property
    def n_places(self) -> int:
        """Places of the largest hidden layer."""
        networks = self.settings.networks
        return dcgan.n_places(networks) if networks in dcgan.TABLES else super().n_places


class AIMTraining(AdversarialTrainer):
    """One training by algorithm 1 of AIM, in plain torch.

    The discriminator's step and that of generator and encoder see the same generated samples, the
    latter after the former. In `settings.discriminator_steps` beyond the first, which the paper has
    not, the discriminator alone sees others.
    """

    settings: AIMSettingsOnData

    def __init__(self, model: MPCCModel, settings: AIMSettingsOnData, rng: torch.Generator) -> None:
        super().__init__(model, settings, rng)
        for optimizer in self.optimizers.all:
            optimizer.beta1 = settings.beta1

    def _set_schedule(self) -> None:
        super()._set_schedule()
        if self.settings.learning_rate_schedule == "epochs":
            epoch = 1 + self.n_iter // (self.settings.n_samples // self.settings.batch_size)
            for optimizer in self.optimizers.all:
                optimizer.rate.fill_(optimizer.base_rate / math.sqrt(epoch))

    @property
    def _noise_left(self) -> float:
        """Share of the instance noise that is left."""
        decay = self.settings.input_noise_decay * self.settings.max_iter
        return max(0.0, 1.0 - self.n_iter / decay) if decay else float(self.settings.noise_std > 0)

    def _noisy(self, x: Tensor) -> Tensor:
        """Add what is left of the instance noise to what discriminator and encoder read."""
        left = self._noise_left
        noisy = super()._noisy(x) if left > 0 else x
        return x if noisy is x else torch.lerp(x, noisy, left)

    def _generator_loss(self, scores: Tensor) -> Tensor:
        """L_g; its power is for samples that are near the data, and not for laying them out."""
        return losses.log_generator_loss(
            scores, 1.0 if self._noise_left else self.settings.generator_power
        )

    def _updates(self, draw_real: DrawBatch, draw_pairs: DrawBatch | None) -> dict[str, Tensor]:
        """Lines 3 to 11 of algorithm 1."""
        for _ in range(self.settings.discriminator_steps - 1):
            y, z = self.draw()
            self._update_discriminator(draw_real, self._generate(z, y))
        y, z = self.draw()
        fake = self.model.generator(z, y)
        out = {"discriminator": self._update_discriminator(draw_real, fake.detach())}
        read = self._noisy(fake)
        adversarial = self._generator_loss(self.model.discriminator(read))
        latent = losses.latent_loss(z, *self.model.encoder(read))
        # The trunk is the discriminator's: with sharing="discriminator" no optimizer here has it.
        descend(
            adversarial + self.settings.latent_loss_weight * latent,
            self.optimizers["generator"],
            self.optimizers["encoder"],
        )
        self._update_averages()
        return out | {"generator": adversarial.detach(), "latent": latent.detach()}

    def _update_discriminator(self, draw_real: DrawBatch, fake: Tensor) -> Tensor:
        """Descend on L_d; batch-norms see real and generated samples one after the other."""
        real = draw_real()[0]
        x = self._noisy(torch.cat([real, fake])).requires_grad_(self._penalizes)
        with chunked(self.model.discriminator, 2):
            scores = self.model.discriminator(x)
        loss = losses.log_discriminator_loss(*scores.split([len(real), len(fake)]))
        descend(loss + self._penalty(scores, x), self.optimizers["discriminator"])
        return loss.detach()

    @property
    def _penalizes(self) -> bool:
        return self.settings.gradient_penalty > 0 and self.n_iter % PENALTY_INTERVAL == 0

    def _penalty(self, scores: Tensor, x: Tensor) -> Tensor | float:
        """Penalize gradients of the scores at x, in the iterations that are for it.

        Not of the paper: with it the game of generator and discriminator settles (Mescheder et al.,
        2018).
        """
        if not self._penalizes:
            return 0.0
        (gradient,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
        left = 1.0 - self.n_iter / self.settings.max_iter
        weight = PENALTY_INTERVAL * left * self.settings.gradient_penalty
        return 0.5 * weight * gradient.flatten(1).square().sum(1).mean()
