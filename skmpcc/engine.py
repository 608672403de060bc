"""Algorithm 1 with less work for the same result.

`FastAlgorithm1` does what `algorithm.Algorithm1` does, draw by draw and update by update, but

- fakes for all discriminator steps come from one pass of the generator, which does not change
  meanwhile, and so do those of the encoder steps after the first; batch-norm sees them batch by batch;
- perceptrons are passed forwards and backwards without autograd (`networks.passes`);
- the parameters that an optimizer moves lie end to end, so that its step is one fused kernel, and an
  average's too.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from skmpcc import losses
from skmpcc.algorithm import BETAS, Algorithm1, Recipe
from skmpcc.flat import FlatAdam, FlatParameters
from skmpcc.model import MPCCModel
from skmpcc.networks.passes import (
    AutogradDiscriminator,
    AutogradEncoder,
    AutogradGenerator,
    DenseDiscriminator,
    DenseEncoder,
    DenseGenerator,
)
from skmpcc.networks.vector import VectorGenerator

# The fused step of Adam rounds a little differently, by about 1e-7.
FUSED = True


def product_dtype(precision: str, like: Tensor) -> torch.dtype | None:
    """What the products of hidden layers are taken in; None for the parameters' own type.

    "auto" is bfloat16 where the device multiplies in it by itself, which is several times faster.
    Parameters, their gradients and updates, norms, losses and the last layers stay as they are.
    """
    if precision in ("float32", "tf32") or like.dtype != torch.float32:
        return None
    if precision == "bfloat16" or _multiplies_bfloat16(like.device):
        return torch.bfloat16
    return None


def _multiplies_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    # of torch 2.12 and later
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "sve_bf16"))


class FastAlgorithm1(Algorithm1):
    """Drop-in for `Algorithm1`, with the same parameters.

    From here on the model's parameters are views of common tensors, until `release`.
    """

    def __init__(
        self,
        model: MPCCModel,
        recipe: Recipe,
        generator: torch.Generator,
        *,
        guided: bool = False,
    ) -> None:
        self._flat = _Flat(model)
        super().__init__(model, recipe, generator, guided=guided)
        flat = self._flat
        self._has_averages = False
        shared = (flat.trunk,) if model.settings.sharing == "joint" else ()
        dtype = product_dtype(recipe.precision, model.prior.means)
        # A compiler has to see the modules' own forward passes.
        by_autograd = {"dtype": dtype, "compiled": recipe.compile}
        is_dense = isinstance(model.generator, VectorGenerator) and not recipe.compile
        of_d = partial(DenseDiscriminator, dtype=dtype)
        of_e = partial(DenseEncoder, dtype=dtype)
        of_g = partial(DenseGenerator, dtype=dtype)
        if not is_dense:
            of_d = partial(AutogradDiscriminator, **by_autograd)
            of_e = partial(AutogradEncoder, **by_autograd)
        if not is_dense or model.settings.conditioning != "embedding":
            of_g = partial(AutogradGenerator, **by_autograd)
        self._discriminator = of_d(model.discriminator, flat.trunk, flat.discriminator)
        self._encoder = of_e(model.encoder, *shared, flat.encoder)
        self._generator = of_g(model.generator, flat.generator)

    def _parameters(self) -> dict[str, list[nn.Parameter]]:
        return self._flat.optimized()

    def _adam(self, parameters: list[nn.Parameter], learning_rate: float) -> FlatAdam:
        return FlatAdam(parameters, lr=learning_rate, betas=BETAS, fused=FUSED)

    def release(self) -> None:
        """Give the model parameters of their own again."""
        self._flat.release()

    def iteration(
        self,
        draw_real: Callable[[], tuple[Tensor, ...]],
        draw_pairs: Callable[[], tuple[Tensor, ...]] | None = None,
    ) -> dict[str, Tensor]:
        if not self.model.training:
            self.model.train()
        self._schedule()
        out = self._updates(draw_real, draw_pairs)
        self.n_iter += 1
        return out

    @property
    def _averaging(self) -> str:
        """What this iteration does to the averages."""
        if self.n_iter + 1 < self.recipe.ema_start:
            return "none"
        # read once: on CUDA it waits for the device
        if not self._has_averages:
            self._has_averages = self.model.has_averages
        return "move" if self._has_averages else "copy"

    def _updates(
        self,
        draw_real: Callable[[], tuple[Tensor, ...]],
        draw_pairs: Callable[[], tuple[Tensor, ...]] | None,
    ) -> dict[str, Tensor]:
        """All that an iteration does on the device."""
        out = {"discriminator": self._discriminator_steps(draw_real)}
        out["generator"] = self.generator_step()
        out |= self._encoder_steps(draw_pairs)
        if self._averaging != "none":
            weight = 1.0 - self.model.settings.ema_decay if self._averaging == "move" else 1.0
            self._flat.update_averages(weight)
        return out

    def _draw_steps(
        self, n_steps: int, draw_more: Callable[[], None]
    ) -> tuple[list[Tensor], Tensor, Tensor]:
        """Labels, and all of z and fakes, for several steps of a phase.

        `draw_more` is called after each step's draws, so that the random stream is the plain loop's.
        """
        labels, noises = [], []
        for _ in range(n_steps):
            y, noise = self._draw_noise()
            labels.append(y)
            noises.append(noise)
            draw_more()
        y = torch.cat(labels)
        with torch.no_grad():
            z = self.model.prior.place(y, torch.cat(noises))
        return labels, z, self._generator.generate(z, y, n_steps)

    def _discriminator_steps(self, draw_real: Callable[[], tuple[Tensor, ...]]) -> Tensor:
        n_steps, n = self.recipe.discriminator_steps, self.recipe.batch_size
        reals, noises = [], []
        shape = (2 * n, *self.model.sample_shape)

        def draw_noise() -> None:
            noises.append(self._input_noise(shape))
            if len(reals) < n_steps:
                reals.append(draw_real())

        reals.append(draw_real())
        labels, _, fakes = self._draw_steps(n_steps, draw_noise)
        for real, y, fake, noise in zip(reals, labels, fakes.split(n), noises, strict=True):
            x = self._with(torch.cat([real[0], fake]), noise)
            scores, h = self._discriminator.forward(x)
            if len(real) > 1 and self._is_guided(real[1]):
                y = torch.cat([real[1], y])
                scores, *gradients = self._guided(
                    lambda s: losses.discriminator_loss(*s.split(n)),
                    scores,
                    h,
                    y,
                    self.projection.embedding,
                )
            else:
                gradients = [torch.cat(losses.discriminator_gradient(*scores.split(n))), None]
            self._discriminator.backward(*gradients)
            self._step(self.discriminator_optimizer)
        return losses.discriminator_loss(*scores.split(n))

    def generator_step(self) -> Tensor:
        """Lines 14 to 17: Loss I, descended by the generator and the prior."""
        y, noise = self._draw_noise()
        z = self.model.prior.place(y, noise)
        x = self._generator.forward(z.detach(), y)
        x = self._with(x, self._input_noise(x.shape))
        scores, h = self._discriminator.forward(x, to_input=True)
        if self._is_guided(y):
            scores, *gradients = self._guided(losses.generator_loss, scores, h, y)
        else:
            gradients = [torch.full_like(scores, -1.0 / len(scores)), None]
        gradient = self._generator.backward(self._discriminator.backward_to_input(*gradients))
        self._flat.prior.attach_gradients()
        z.backward(gradient, inputs=self._flat.prior.parameters)
        self._step(self.generator_optimizer, self.generator_prior_optimizer)
        return losses.generator_loss(scores)

    def _encoder_steps(self, draw_pairs: Callable[[], tuple[Tensor, ...]] | None) -> dict[str, Tensor]:
        n_steps, n = self.recipe.encoder_steps, self.recipe.batch_size
        out = self._first_encoder_step(draw_pairs)
        noises: list[Tensor | None] = []
        shape = (n, *self.model.sample_shape)
        if n_steps > 1:
            _, z, fakes = self._draw_steps(n_steps - 1, lambda: noises.append(self._input_noise(shape)))
            for code, x, noise in zip(z.split(n), fakes.split(n), noises, strict=True):
                moments = self._encoder.forward(self._with(x, noise))
                gradients = losses.latent_gradient(code, *moments)
                self._encoder.backward(*(g.mul_(self.latent_weight) for g in gradients))
                self._step(self.encoder_optimizer)
            out["latent"] = losses.latent_loss(code, *moments)
        return out

    def _first_encoder_step(
        self, draw_pairs: Callable[[], tuple[Tensor, ...]] | None
    ) -> dict[str, Tensor]:
        y, noise = self._draw_noise()
        z = self.model.prior.place(y, noise)
        x = self._generator.generate(z.detach(), y, 1)
        x = self._with(x, self._input_noise(x.shape))
        labels: Sequence[Tensor] = ()
        if self._wants_pairs(draw_pairs):
            first, second, *labels = draw_pairs()
            x = torch.cat([x, first, second])
        means, log_variances = (moments.requires_grad_() for moments in self._encoder.forward(x))
        loss, terms = self._encoder_loss(z, y, means, log_variances, labels, with_prior=True)
        self._flat.prior.attach_gradients()
        loss.backward(inputs=[means, log_variances, *self._flat.prior.parameters])
        self._encoder.backward(means.grad, log_variances.grad)
        self._step(self.encoder_optimizer, self.prior_optimizer)
        self._follow_shares()
        return {name: term.detach() for name, term in terms.items()}

    def _guided(
        self,
        loss_of: Callable[[Tensor], Tensor],
        scores: Tensor,
        h: Tensor,
        y: Tensor,
        *updated: nn.Parameter,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """D(x, y), and a loss's gradients by D(x) and by the features, and those of `updated`."""
        scores.requires_grad_()
        h = h.detach().requires_grad_()
        total = scores + self.projection(h, y)
        loss_of(total).backward(inputs=[scores, h, *updated])
        return total.detach(), scores.grad, h.grad

    def _input_noise(self, shape: tuple[int, ...]) -> Tensor | None:
        if not self.recipe.input_noise:
            return None
        means = self.model.prior.means
        return torch.randn(shape, generator=self.random, device=means.device, dtype=means.dtype)

    def _with(self, x: Tensor, noise: Tensor | None) -> Tensor:
        return x if noise is None else torch.add(x, noise, alpha=self.recipe.input_noise)

    def _step(self, *optimizers: FlatAdam) -> None:
        for optimizer in optimizers:
            optimizer.update()
        # The one parameter outside the flat tensors, whose gradients are written over.
        if self.projection is not None:
            self.projection.embedding.grad = None


class _Flat:
    """The parameters of a model by who moves them, and those of its averages."""

    def __init__(self, model: MPCCModel) -> None:
        self.model = model
        in_trunk = {id(p) for p in model.discriminator.trunk.parameters()}

        def rest(parameters: list[nn.Parameter]) -> FlatParameters:
            return FlatParameters(p for p in parameters if id(p) not in in_trunk)

        self.trunk = FlatParameters(model.discriminator.trunk.parameters())
        self.discriminator = rest(list(model.discriminator.parameters()))
        self.encoder = rest(list(model.encoder.parameters()))
        self.generator = FlatParameters(model.generator.parameters())
        self.prior = FlatParameters(model.prior.parameters())
        averages = (model.averaged_generator.module, model.averaged_encoder.module)
        self.averaged_generator, self.averaged_encoder = (
            FlatParameters(module.parameters()) for module in averages
        )
        # In the order of the encoder's parameters: a trunk that it shares comes first.
        shares = model.settings.sharing != "none"
        self.in_encoder = [*([self.trunk] if shares else []), self.encoder]
        self.buffers = [
            [*model.generator.buffers(), *model.encoder.buffers()],
            [buffer for module in averages for buffer in module.buffers()],
        ]

    def optimized(self) -> dict[str, list[nn.Parameter]]:
        trunk = [self.trunk.values]
        return {
            "discriminator": [*trunk, self.discriminator.values],
            "generator": [self.generator.values],
            "encoder": [*(trunk if self.model.settings.sharing == "joint" else []), self.encoder.values],
            "prior": [self.prior.values],
        }

    @torch.no_grad()
    def update_averages(self, weight: float) -> None:
        """`MPCCModel.update_averages`: a move by `weight` towards the networks."""
        self.averaged_generator.values.lerp_(self.generator.values, weight)
        start = 0
        for part in self.in_encoder:
            stop = start + part.values.numel()
            self.averaged_encoder.values[start:stop].lerp_(part.values, weight)
            start = stop
        torch._foreach_copy_(self.buffers[1], self.buffers[0])
        self.model.averaged_generator.n_averaged += 1
        self.model.averaged_encoder.n_averaged += 1

    def release(self) -> None:
        for flat in (
            self.trunk,
            self.discriminator,
            self.encoder,
            self.generator,
            self.prior,
            self.averaged_generator,
            self.averaged_encoder,
        ):
            flat.release()
