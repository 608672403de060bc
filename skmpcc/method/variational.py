"""Variational autoencoders: VAE with the standard normal as its prior, VaDE with a mixture.

They match encoder and decoder by the reverse divergence, KL(q(x, z) || p(x, z)), of which MPCC and AIM
take the forward one (Astorga's thesis, 2021, chapters 4 and 7). There is no game: one loss, one update.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from skmpcc.method import losses
from skmpcc.method.latent_model import LatentModel, channels_last
from skmpcc.method.networks.build import encoder_for, generator_for, trunk_for
from skmpcc.method.networks.layers import (
    INITIAL_STD,
    Encoder,
    frozen_spectral_norms,
    standing_statistics,
)
from skmpcc.method.optimizers import Adam
from skmpcc.method.trainer import WEIGHTS_FROM, WEIGHTS_RATE, DrawBatch, Trainer, descend
from skmpcc.settings import VariationalSettingsOnData
from skmpcc.system.devices import matmul_dtype

# The likelihood's variance is no less than this share of the data's: there is no bound to a likelihood
# of rows that are learned by heart.
LEAST_VARIANCE = 1e-4
# Share of the training over which the divergence of posteriors comes to its weight (Bowman et al.,
# 2016): at once it would often make codes that tell nothing of the data.
WARM_UP = 0.5
# Encoders' log-variances beyond these limits count as these.
MAX_LOG_VARIANCE = 10.0


class VaDEModel(LatentModel):
    """Encoder, decoder and mixture of VaDE (Jiang et al., 2017), in which x depends on z alone.

    Attributes
    ----------
    variance : Tensor of shape ()
        Of p(x | z): the mean square error of what is decoded from draws of codes of the data, once the
        model is prepared for inference.
    """

    variance: Tensor

    def _build_networks(self) -> None:
        self.register_buffer("variance", torch.ones(()))
        self.generator, self.encoder = self._decoder_and_encoder()
        # Codes begin near the prior: of large variances nothing can be decoded, and no moment of codes
        # brings them down.
        for head in (self.encoder.mean, self.encoder.log_variance):
            nn.init.normal_(next(head[-1].parameters()), std=INITIAL_STD)

    def _decoder_and_encoder(self) -> tuple[nn.Module, Encoder]:
        s, shape = self.settings, self.sample_shape
        trunk = trunk_for(s, shape, spectral=s.encoder_spectral_norm)
        decoder = generator_for(s, shape, 1, self._last_step(hides=False))
        return decoder, encoder_for(s, shape, trunk)

    def _embeddings(self) -> Iterable[Tensor]:
        return ()

    @torch.no_grad()
    def decode(self, z: Tensor, y: Tensor) -> Tensor:
        """Mean of p(x | z), by the averaged decoder."""
        return super().decode(z, torch.zeros_like(y))

    @torch.no_grad()
    def collect_standing_statistics(
        self, n_passes: int, batch_size: int, rng: torch.Generator, data: Tensor | None = None
    ) -> None:
        """Collect the averaged decoder's statistics, and the variance, from codes of the data."""
        decoder = self.averaged_generator
        decoder.eval()
        if data is None:
            return
        batches = []
        for _ in range(max(n_passes, 1)):
            rows = torch.randint(len(data), (batch_size,), generator=rng, device=rng.device)
            x = data[rows.to(data.device)].to(self.device)
            mean, log_variance = self.encode(x)
            noise = torch.randn(mean.shape, generator=rng, device=mean.device, dtype=mean.dtype)
            batches.append((x, reparameterized(mean, log_variance, noise), torch.zeros_like(rows)))
        if n_passes:
            with standing_statistics(decoder), frozen_spectral_norms(decoder):
                for _, z, y in batches:
                    decoder(z, y)
        errors = [self._mean_error(x, decoder(z, y)) for x, z, y in batches]
        self.variance.copy_(torch.stack(errors).mean().clamp_min(torch.finfo(torch.float32).tiny))

    def _mean_error(self, x: Tensor, rebuilt: Tensor) -> Tensor:
        """Mean square error of what is observed."""
        errors, observed = self.error(x, rebuilt), self.observed(x)
        return errors.mean() if observed is None else errors.sum() / observed.sum().clamp_min(1.0)


class VAEModel(VaDEModel):
    """Encoder and decoder of a VAE, whose prior is the standard normal."""

    def _build(self) -> None:
        super()._build()
        self.prior.be_standard_normal()


def reparameterized(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """z ~ q(z | x) of standard normal noise, differentiable in both moments."""
    return mean + torch.exp(0.5 * log_variance.clamp_max(MAX_LOG_VARIANCE)) * noise


class VariationalTraining(Trainer):
    """One training of a VAE or of VaDE: by the likelihood of decoded draws, and a restriction of codes.

    The likelihood is Gaussian with one variance for all inputs. By default that is the batch's mean
    square error, its estimate of maximum likelihood (Rybkin et al., 2021), so that nothing weighs
    reconstructions against the restriction by hand; the thesis' sum of squares is a fixed variance of
    1/2.
    """

    model: VaDEModel
    settings: VariationalSettingsOnData

    def __init__(
        self, model: VaDEModel, settings: VariationalSettingsOnData, rng: torch.Generator
    ) -> None:
        # Convolutions take two thirds of the time where channels lie last.
        model.lay_channels_last()
        super().__init__(model, settings, rng)

    def _parameters(self) -> dict[str, list[nn.Parameter]]:
        """Parameters that the optimizer of each module updates."""
        modules = {name: getattr(self.model, name) for name in ("encoder", "generator", "prior")}
        learned = {k: [p for p in m.parameters() if p.requires_grad] for k, m in modules.items()}
        return {name: parameters for name, parameters in learned.items() if parameters}

    def _optimizers(self) -> dict[str, Adam]:
        """Make the optimizers; the prior's has a rate of its own."""
        made = super()._optimizers()
        if "prior" in made:
            made["prior"] = Adam(made["prior"].parameters, self.settings.prior_learning_rate)
        for optimizer in made.values():
            optimizer.beta1 = self.settings.beta1
        return made

    def _updates(self, draw_real: DrawBatch, draw_pairs: DrawBatch | None) -> dict[str, Tensor]:
        """One step of all on one loss."""
        settings, prior = self.settings, self.model.prior
        x, views, labels = self._draw(draw_real, draw_pairs)
        given, x = self._seen(x, views)
        dtype = matmul_dtype(settings.precision, prior.means)
        with torch.autocast(x.device.type, dtype, enabled=dtype is not None, cache_enabled=False):
            means, log_variance = self.model.encoder(given, len(x))
            mean = means[: len(x)]
            z = reparameterized(mean, log_variance, self._draw_normal(mean))
            rebuilt = self._decode(z)
        loss, error = self._reconstruction(x, rebuilt)
        divergence = losses.RESTRICTIONS[settings.restriction](mean, log_variance, z, prior)
        loss = loss + self._restriction_weight * divergence
        if prior.means.requires_grad:
            loss = loss + self._cluster_losses(prior.log_responsibilities(means), views, labels)
        self._descend(loss)
        self._update_averages()
        return {"reconstruction": error.detach(), "divergence": divergence.detach()}

    @property
    def _restriction_weight(self) -> float:
        """Weight of the restriction, which for posteriors grows: first codes have to tell something."""
        settings = self.settings
        warm_up = WARM_UP * settings.max_iter if settings.restriction == "posterior" else 0.0
        return (settings.restriction_weight or 0.0) * min(1.0, (self.n_iter + 1) / max(warm_up, 1.0))

    def _seen(self, x: Tensor, views: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return what the encoder reads, and what reconstructions are compared with."""
        return self._noisy(channels_last(torch.cat([x, *views]))), x

    def _reconstruction(self, x: Tensor, rebuilt: Tensor) -> tuple[Tensor, Tensor]:
        """Return -log p(x | z), but for a constant, and the error that the history shows."""
        observed = self.model.observed(x)
        error = losses.reconstruction_loss(rebuilt, x, self.settings.total_variance, observed)
        return self._likelihood_loss(error, self.model.n_outputs), error

    def _decode(self, z: Tensor) -> Tensor:
        return self.model.generator(z, torch.zeros_like(z[:, 0], dtype=torch.int64))

    def _descend(self, loss: Tensor) -> None:
        descend(loss, *self.optimizers.all)

    def _of_whole(self, mean: Tensor) -> Tensor:
        """Return the mean over a whole batch, of which several processes may each have a part."""
        return mean

    def _draw(
        self, draw_real: DrawBatch, draw_pairs: DrawBatch | None
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Draw samples, what should share their clusters if that is asked for, and labels of all."""
        n_samples = 1
        if self.settings.consistency_weight and draw_pairs is not None:
            draw_real, n_samples = draw_pairs, 2
        x, *others = draw_real()
        views, labels = others[: n_samples - 1], others[n_samples - 1 :]
        return x, views, labels if self.n_iter < self.settings.supervised_iter else []

    def _cluster_losses(self, log_q: Tensor, views: list[Tensor], labels: list[Tensor]) -> Tensor:
        """Losses of memberships: of their labels, and of pairs. Learned weights follow memberships."""
        settings, loss = self.settings, log_q.new_zeros(())
        if labels:
            loss = loss + settings.label_weight * losses.cluster_loss(log_q, torch.cat(labels))
        if views:
            first, second = log_q.chunk(2)
            pairs = losses.consistency_loss(first, second, self._log_mean_membership(log_q))
            loss = loss + settings.consistency_weight * pairs
        if settings.weights == "learned" and self.n_iter >= WEIGHTS_FROM * settings.max_iter:
            shares = self._of_whole(log_q.detach().exp().mean(0))
            self.model.prior.update_weights(shares, WEIGHTS_RATE)
        return loss

    def _log_mean_membership(self, log_q: Tensor) -> Tensor:
        return losses.log_mean_membership(log_q)

    def _likelihood_loss(self, error: Tensor, n_inputs: int) -> Tensor:
        """-log p(x | z), but for a constant, of a square error that is relative to the data's variance.

        Of a learned variance it has the value and the gradient of d / 2 log(variance).
        """
        settings = self.settings
        if settings.likelihood_std is not None:
            return 0.5 * settings.total_variance / settings.likelihood_std**2 * error
        variance = self._of_whole(error.detach()) + LEAST_VARIANCE
        return 0.5 * n_inputs * (error / variance + torch.log(variance) - 1.0)
