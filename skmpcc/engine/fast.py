"""Algorithm 1 with less work for the same result.

`FastAlgorithm1` does what `skmpcc.method.algorithm.Algorithm1` does, draw by draw and update by
update, but

- generated samples for all discriminator steps come from one pass of the generator, which does not
  change meanwhile, and so do those of the encoder steps after the first; batch-norm sees them batch
  by batch;
- networks for tables, the projection of labels and the mixture are passed forwards and backwards
  without autograd (`dense`, `projection`, `mixture`);
- the encoder finds log-variances, and losses are computed, where they are wanted alone;
- the parameters that an optimizer updates lie end to end (`flat`), so that its step is one fused
  kernel, and an average's too.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from skmpcc.engine.autograd import AutogradDiscriminator, AutogradEncoder, AutogradGenerator
from skmpcc.engine.dense import DenseDiscriminator, DenseEncoder, DenseGenerator
from skmpcc.engine.flat import FlatModel
from skmpcc.engine.mixture import Draw, MixturePass
from skmpcc.engine.passes import DiscriminatorPass, EncoderPass, GeneratorPass
from skmpcc.engine.projection import ProjectionPass
from skmpcc.method import losses
from skmpcc.method.algorithm import Algorithm1
from skmpcc.method.model import MPCCModel
from skmpcc.method.networks.vector import VectorGenerator
from skmpcc.method.optimizers import Adam
from skmpcc.method.trainer import Batch, DrawBatch
from skmpcc.settings import ResolvedSettings
from skmpcc.system.devices import matmul_dtype


class FastAlgorithm1(Algorithm1):
    """Drop-in for `Algorithm1`, with the same parameters.

    From here on the model's parameters are views of common tensors, until `release`.
    """

    def __init__(self, model: MPCCModel, settings: ResolvedSettings, rng: torch.Generator) -> None:
        self._flat = FlatModel(model)
        super().__init__(model, settings, rng)
        flat = self._flat
        dtype = matmul_dtype(settings.precision, model.prior.means)
        shared = (flat.trunk,) if model.settings.sharing == "joint" else ()
        of_discriminator, of_encoder, of_generator = self._passes()
        self._discriminator: DiscriminatorPass = of_discriminator(
            model.discriminator, flat.trunk, flat.discriminator, dtype=dtype
        )
        self._encoder: EncoderPass = of_encoder(model.encoder, *shared, flat.encoder, dtype=dtype)
        self._generator: GeneratorPass = of_generator(model.generator, flat.generator, dtype=dtype)
        self._projection = None if self.projection is None else ProjectionPass(self.projection)
        self._mixture = self._mixture_pass()

    def _mixture_pass(self) -> MixturePass:
        return MixturePass(self.model.prior, self._flat.prior, self.settings)

    def _passes(self) -> tuple[Callable, Callable, Callable]:
        """Passes for the model's discriminator, encoder and generator."""
        if not isinstance(self.model.generator, VectorGenerator):
            return AutogradDiscriminator, AutogradEncoder, AutogradGenerator
        by_embedding = self.model.settings.conditioning == "embedding"
        is_dense = by_embedding and self.model.table is None
        return DenseDiscriminator, DenseEncoder, DenseGenerator if is_dense else AutogradGenerator

    def _parameters(self) -> dict[str, list[nn.Parameter]]:
        return self._flat.optimized()

    def _trunk(self) -> list[nn.Parameter]:
        return [self._flat.trunk.values]

    def release(self) -> None:
        """Give the model parameters of their own again."""
        self._flat.release()

    def _update_averages(self) -> None:
        self.model.update_averages(self.averaging, self._flat.averaged)

    # ---- The phases

    def _updates(self, draw_real: DrawBatch, draw_pairs: DrawBatch | None) -> dict[str, Tensor]:
        out = super()._updates(draw_real, draw_pairs)
        return out if self.wants_losses else {}

    def discriminator_phase(self, draw_real: DrawBatch) -> Tensor:
        settings, penalized = self.settings, self._penalized_steps
        n_steps, n = settings.discriminator_steps, settings.batch_size
        reals: list[Batch] = []
        noises: list[Tensor | None] = []
        moves: list[Tensor | None] = []
        shape = (2 * n, *self.model.sample_shape)

        def draw_noise() -> None:
            noises.append(self._input_noise(shape))
            moves.append(self._draw_shape(shape) if len(moves) in penalized else None)
            if len(reals) < n_steps:
                reals.append(draw_real())

        reals.append(draw_real())
        self._mixture.renew()
        labels, _, fakes = self._draw_steps(n_steps, draw_noise)
        for real, y, fake, noise, move in zip(reals, labels, fakes.split(n), noises, moves, strict=True):
            x = self._add_noise(torch.cat([real[0], fake]), noise)
            known = [real[1], y] if len(real) > 1 else []
            if move is not None:
                x, known = torch.cat([x, torch.add(x, move, alpha=losses.PENALTY_STD)]), 2 * known
            scores = self._update_discriminator(x, torch.cat(known) if known else None, n)
        self._compared_scores = scores[:n] if self._is_relativistic else None
        # Where losses are not wanted nobody looks at it.
        if not self.wants_losses:
            return scores
        return losses.discriminator_loss(scores[:n], scores[n:], settings.adversarial_loss)

    def _update_discriminator(self, x: Tensor, y: Tensor | None, n: int) -> Tensor:
        """Update by n real and n generated samples, and maybe moved ones; return scores of the 2n."""
        scores, h = self._discriminator.forward(x)
        projection, to_features = self._projection, None
        if y is None:
            projection = None
        elif projection is not None:
            scores = scores + self.supervision * projection.forward(h, y)
        scores, moved = scores[: 2 * n], scores[2 * n :]
        gradient = losses.discriminator_gradient(scores, n, self.settings.adversarial_loss)
        if len(moved):
            of_moved = losses.penalty_gradient(scores, moved).mul_(self._penalty_weight)
            gradient = torch.cat([gradient - of_moved, of_moved])
        if projection is not None:
            projected = self.supervision * gradient
            projection.backward(projected)
            to_features = projection.input_gradient(projected)
        self._discriminator.backward(gradient, to_features)
        self._step(self.optimizers["discriminator"])
        return scores

    def generator_phase(self, draw_real: DrawBatch) -> dict[str, Tensor]:
        settings, optimizers = self.settings, self.optimizers
        draw = self._draw_codes()
        y, codes, n = draw.y, draw.z, len(draw.y)
        clusters = y
        by_encoder = settings.reconstruction_by_encoder
        if settings.reconstruction_weight:
            real, *known = draw_real()
            means, no_log_variances = self._encoder.forward(real, 0, wants_backward=by_encoder)
            codes = torch.cat([codes, means])
            clusters = torch.cat([y, self._clusters_of(means, known)])
        decoded = self._generator.forward(codes, clusters)
        x = self._add_noise(decoded[:n], self._input_noise(decoded[:n].shape))
        scores, h = self._discriminator.forward(x, wants_input=True)
        to_features, compared = None, self._compared_scores
        if self._projection is not None:
            scores = scores + self.supervision * self._projection.forward(h, y)
        gradient = losses.generator_gradient(scores, compared)
        if self._projection is not None:
            to_features = self._projection.input_gradient(self.supervision * gradient)
        gradient = self._discriminator.backward_to_input(gradient, to_features)
        out = {"generator": losses.generator_loss(scores, compared)} if self.wants_losses else {}
        if settings.reconstruction_weight:
            rebuilt, scale = decoded[n:], settings.total_variance
            compared_with = real, scale, self.model.observed(real, rebuilt)
            if self.wants_losses:
                out["reconstruction"] = losses.reconstruction_loss(rebuilt, *compared_with)
            to_rebuilt = losses.reconstruction_gradient(rebuilt, *compared_with)
            gradient = torch.cat([gradient, to_rebuilt.mul_(settings.reconstruction_weight)])
        to_codes = self._generator.backward(gradient)
        self._mixture.backward(draw, to_codes[:n])
        updated = [optimizers["generator"], optimizers["generator_prior"]]
        if settings.reconstruction_weight and by_encoder:
            self._encoder.backward(to_codes[n:].contiguous(), torch.zeros_like(no_log_variances))
            updated.append(optimizers["encoder"])
        self._step(*updated)
        return out

    def encoder_phase(self, draw_real: DrawBatch | None) -> dict[str, Tensor]:
        n_steps, n = self.settings.encoder_steps, self.settings.batch_size
        self._mixture.renew()
        out = self._first_encoder_step(draw_real)
        noises: list[Tensor | None] = []
        shape = (n, *self.model.sample_shape)
        if n_steps > 1:
            self._mixture.renew()
            _, z, fakes = self._draw_steps(n_steps - 1, lambda: noises.append(self._input_noise(shape)))
            for code, x, noise in zip(z.split(n), fakes.split(n), noises, strict=True):
                moments = self._encoder.forward(self._add_noise(x, noise))
                mean, log_variance = losses.latent_gradient(code, *moments)
                weight = self.settings.latent_loss_weight
                self._encoder.backward(mean.mul_(weight), log_variance.mul_(weight))
                self._step(self.optimizers["encoder"])
            if self.wants_losses:
                out["latent"] = losses.latent_loss(code, *moments)
        return out

    def _first_encoder_step(self, draw_real: DrawBatch | None) -> dict[str, Tensor]:
        draw = self._draw_codes()
        x = self._generator.generate(draw.z, draw.y, 1)
        n, x = len(x), self._add_noise(x, self._input_noise(x.shape))
        labels: Sequence[Tensor] = ()
        if draw_real is not None:
            real, labels = self._samples_and_labels(draw_real())
            x = torch.cat([x, *real])
        moments = self._encoder.forward(x, n)
        taught = labels if self.projection is not None else ()
        found = self._mixture.encoder_losses(
            draw,
            *moments,
            taught,
            self.supervision,
            wants_losses=self.wants_losses,
        )
        self._encoder.backward(found.means, found.log_variances)
        self._step(self.optimizers["encoder"], self.optimizers["prior"])
        self._cluster_proportions = found.proportions
        self._update_weights()
        return found.terms

    # ---- Their parts

    def _draw_codes(self) -> Draw:
        return self._mixture.draw(*self._draw_noise())

    def _draw_steps(
        self, n_steps: int, draw_more: Callable[[], None]
    ) -> tuple[list[Tensor], Tensor, Tensor]:
        """Draw labels by step, and all codes and generated samples, for several steps of a phase.

        `draw_more` is called after each step's draws, so that the random stream is the plain loop's.
        """
        labels, noises = [], []
        for _ in range(n_steps):
            y, noise = self._draw_noise()
            labels.append(y)
            noises.append(noise)
            draw_more()
        y = torch.cat(labels)
        z = self._mixture.draw(y, torch.cat(noises)).z
        return labels, z, self._generator.generate(z, y, n_steps)

    def _input_noise(self, shape: tuple[int, ...]) -> Tensor | None:
        return self._draw_shape(shape) if self.settings.noise_std else None

    def _draw_shape(self, shape: tuple[int, ...]) -> Tensor:
        """Draw from the standard normal distribution for whole batches."""
        means = self.model.prior.means
        return torch.randn(shape, generator=self.rng, device=means.device, dtype=means.dtype)

    def _add_noise(self, x: Tensor, noise: Tensor | None) -> Tensor:
        return x if noise is None else torch.add(x, noise, alpha=self.settings.noise_std)

    def _step(self, *optimizers: Adam) -> None:
        for optimizer in optimizers:
            optimizer.step()
