"""GAN, ALI, ALICE and VEEGAN on AIM's own networks, optimizers and schedule, to compare AIM with.

Each is a training by other losses, and AIM does all the rest: the scaling of the data, the moving
averages, what a fitted estimator does. Encoders of ALI, ALICE and VEEGAN have the first layers for
themselves, because a discriminator of pairs (x, z) does not look at x alone. It is AIM's with the code
beside its features, and one hidden layer more.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skmpcc import AIM
from skmpcc.method import losses
from skmpcc.method.aim import AIMModel, AIMTraining
from skmpcc.method.networks.layers import chunked
from skmpcc.method.trainer import DrawBatch, descend
from skmpcc.training.fit import Fit
from skmpcc.training.fit_data import FitData

# Weight of ALICE's mean square error of reconstructions: the one of its authors' code for Gaussians in
# the plane (github.com/ChunyuanLI/ALICE, toy_data/ALICE_l2.py). They tell that it is to be tuned: the
# higher, the nearer the reconstructions and the more blurred.
RECONSTRUCTION_WEIGHT = 1.0


class GAN(AIMTraining):
    """Goodfellow et al. (2014): the adversarial game alone, with the loss that does not saturate."""

    def _updates(self, draw_real: DrawBatch, draw_pairs: DrawBatch | None) -> dict[str, Tensor]:
        y, z = self.draw()
        fake = self.model.generator(z, y)
        out = {"discriminator": self._update_discriminator(draw_real, fake.detach())}
        loss = self._generator_loss(self.model.discriminator(self._noisy(fake)))
        descend(loss, self.optimizers["generator"])
        self._update_averages()
        return out | {"generator": loss.detach()}


class ALI(AIMTraining):
    """Dumoulin et al. (2017), adversarially learned inference: a game on pairs of sample and code."""

    by_draws = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        model = self.model
        n_features, width = model.discriminator.score.in_features, model.settings.width
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.rng.initial_seed())
            self.pair = nn.Sequential(
                nn.Linear(n_features + model.settings.latent_dim, width),
                nn.LeakyReLU(0.2),
                nn.Linear(width, 1),
            ).to(model.device)
        for parameter in self.pair.parameters():
            self.optimizers["discriminator"].add(parameter)

    def _scores(self, x: Tensor, z: Tensor | None) -> Tensor:
        assert z is not None
        h = self.model.discriminator.features(x)
        return self.pair(torch.cat([h, z], dim=1)).squeeze(1)

    def _encode(self, x: Tensor) -> Tensor:
        mean, log_variance = self.model.encoder(x)
        if not self.by_draws:
            return mean
        noise = torch.randn(mean.shape, generator=self.rng, device=mean.device)
        return mean + torch.exp(0.5 * log_variance) * noise

    def _updates(self, draw_real: DrawBatch, draw_pairs: DrawBatch | None) -> dict[str, Tensor]:
        real = draw_real()[0]
        y, z = self.draw()
        n, optimizers = len(real), self.optimizers
        fake = self.model.generator(z, y)
        x = self._noisy(torch.cat([real, fake]))
        codes = self._encode(x[:n])
        d_loss = self._update_pairs(x.detach(), torch.cat([codes.detach(), z]))
        with chunked(self.model.discriminator, 2):
            scores = self._scores(x, torch.cat([codes, z]))
        loss = self._loss(scores[:n], scores[n:], real, codes, fake, z)
        descend(loss, optimizers["generator"], optimizers["encoder"])
        self._update_averages()
        return {"discriminator": d_loss, "generator": loss.detach()}

    def _update_pairs(self, x: Tensor, z: Tensor) -> Tensor:
        """Descend on the discriminator's loss, the first half of the pairs real."""
        x.requires_grad_(self._penalizes)
        with chunked(self.model.discriminator, 2):
            scores = self._scores(x, z)
        loss = losses.log_discriminator_loss(*scores.chunk(2))
        descend(loss + self._penalty(scores, x), self.optimizers["discriminator"])
        return loss.detach()

    def state(self) -> dict[str, Any]:
        return super().state() | {
            "pair": {name: tensor.clone() for name, tensor in self.pair.state_dict().items()}
        }

    def load(self, state: dict[str, Any], *, rng: bool = True) -> None:
        super().load(state, rng=rng)
        self.pair.load_state_dict(state["pair"])

    def _loss(
        self, real: Tensor, fake: Tensor, x: Tensor, codes: Tensor, new: Tensor, z: Tensor
    ) -> Tensor:
        """Loss of generator and encoder, with the scores of real and of generated pairs."""
        return self._generator_loss(fake) + self._generator_loss(-real)


class ALICE(ALI):
    """Li et al. (2017): ALI with a reconstruction loss, so that codes tell what they are of."""

    def _loss(
        self, real: Tensor, fake: Tensor, x: Tensor, codes: Tensor, new: Tensor, z: Tensor
    ) -> Tensor:
        y = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        error = (self.model.generator(codes, y) - x).square().mean()
        return super()._loss(real, fake, x, codes, new, z) + RECONSTRUCTION_WEIGHT * error


class VEEGAN(ALI):
    """Srivastava et al. (2017): a reconstructor from samples to codes, learned from generated samples.

    Its loss is the square error of the codes. The generator minimizes it too, and the log-ratio that
    the discriminator of pairs estimates.
    """

    by_draws = False

    def _loss(
        self, real: Tensor, fake: Tensor, x: Tensor, codes: Tensor, new: Tensor, z: Tensor
    ) -> Tensor:
        # Real pairs score high here, so that the log-ratio of generated to real ones is -fake. They
        # move nothing but the discriminator: the reconstructor learns from generated samples.
        error = (self._encode(new) - z).square().sum(1).mean()
        return -fake.mean() + error


ENGINES: dict[str, Callable[..., AIMTraining]] = {
    "GAN": GAN,
    "ALI": ALI,
    "ALICE": ALICE,
    "VEEGAN": VEEGAN,
}


def trained_otherwise(rival: "Rival", X: NDArray) -> tuple[Fit, FitData]:
    """Replace the trainer in a fit of AIM, and where it needs that the model."""
    fit, data = AIM._fit_of(rival, X)
    model = fit.model
    if rival.method != "GAN":
        settings = replace(model.settings, sharing="none")
        model = AIMModel(settings, model.sample_shape, 1, fit.seeds[0].model)
    return replace(fit, model=model, engine=ENGINES[rival.method]), data


class Rival(AIM):
    """One of `ENGINES` in the place of AIM's training.

    Attributes
    ----------
    method : str
        To be set before `fit`.
    """

    method: str
    _fit_of = trained_otherwise


def made(method: str, **parameters: Any) -> AIM:
    """Make an estimator that learns by one of "AIM", "AIM-" and `ENGINES`."""
    if method in ENGINES:
        rival = Rival(**parameters)
        rival.method = method
        return rival
    return AIM(covariance="identity" if method == "AIM-" else "diagonal", **parameters)
