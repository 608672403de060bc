"""Algorithm 1 of MPCC, by its phases: discriminator, generator and prior, encoder (and prior).

Spectral norms are estimated anew, by one power iteration, in every forward pass whose weights have been
updated since; the generator's not again in passes for the others, in which it stays the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from skmpcc import losses
from skmpcc.model import MPCCModel
from skmpcc.networks.layers import ClassProjection, frozen_norms

BETAS = (0.0, 0.999)
# Of the prior's learned weights, to the shares in one batch of neighbours.
WEIGHTS_RATE = 0.01
# Of the training, when they begin to be.
WEIGHTS_FROM = 0.5


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How the modules are trained. Fields are described at `skmpcc.MPCCClusterer`'s parameters."""

    max_iter: int
    batch_size: int = 50
    discriminator_steps: int = 4
    encoder_steps: int = 4
    learning_rate: float = 2e-4
    prior_learning_rate: float = 1.6e-3
    generator_prior_rate: str = "prior"
    prior_latent_gradient: bool = True
    latent_weight: float | str = "dimension"
    prior_entropy_weight: float = 0.01
    input_noise: float = 0.0
    init_params: str = "random"
    init_iter: int = 500
    n_neighbors: int = 15
    consistency: str = "neighbors"
    consistency_weight: float = 0.0
    learning_rate_decay: float = 0.0
    ema_start: int = 1000
    weights: str = "uniform"
    tol: float = 0.0
    n_iter_no_change: int = 10
    reseed: bool = False
    precision: str = "float32"
    compile: bool = False
    standing_passes: int = 16

    def adapted_to(self, data: Tensor) -> "Recipe":
        """The same for given data: batches of no more than all samples, noise as a deviation.

        The recipe's noise is in units of Scott's bandwidth, sigma n ** (-1 / (d + 4)), which a kernel
        density estimate would smooth such data by; sigma is the root mean variance of the inputs.
        """
        n_samples, n_inputs = len(data), data[0].numel()
        bandwidth = 0.0
        if self.input_noise:
            sigma = data.flatten(1).var(0, correction=0).mean().sqrt()
            bandwidth = float(sigma) * n_samples ** (-1.0 / (n_inputs + 4))
        return replace(
            self,
            batch_size=min(self.batch_size, n_samples),
            input_noise=self.input_noise * bandwidth,
        )


class Algorithm1:
    """One object per training: the optimizers, the random stream and the phases.

    Parameters
    ----------
    model : MPCCModel
    recipe : Recipe
    generator : torch.Generator
        Source of y and eps, on the model's device.
    guided : bool
        Whether the first `recipe.init_iter` iterations are the paper's supervised variant, with the
        labels that come beside the real samples: Embed(y) . h is added to the discriminator's score.
    """

    def __init__(
        self,
        model: MPCCModel,
        recipe: Recipe,
        generator: torch.Generator,
        *,
        guided: bool = False,
    ) -> None:
        self.model = model
        self.recipe = recipe
        self.random = generator
        self.n_iter = 0
        self._shares: Tensor | None = None
        # Loss II's first term over the dimension of x, as section 3.3 balances it with Loss I.
        weight = recipe.latent_weight
        self.latent_weight = 1.0 / model.n_inputs if weight == "dimension" else float(weight)

        rate = recipe.learning_rate
        parameters = self._parameters()
        self.discriminator_optimizer = self._adam(parameters["discriminator"], rate)
        self.generator_optimizer = self._adam(parameters["generator"], rate)
        # The shared trunk belongs to two optimizers, each with moments of its own, as in the
        # authors' code.
        self.encoder_optimizer = self._adam(parameters["encoder"], rate)
        self.prior_optimizer = self._adam(parameters["prior"], recipe.prior_learning_rate)
        self.projection: ClassProjection | None = None
        if guided:
            n_hidden = model.discriminator.score.in_features
            dtype = model.prior.means.dtype
            self.projection = ClassProjection(model.n_clusters, n_hidden, generator, dtype)
            self.discriminator_optimizer.add_param_group({"params": [self.projection.embedding]})
        # Line 17 of Algorithm 1 moves the prior at eta; the authors' code at eta_p, by the
        # prior's one optimizer.
        self.generator_prior_optimizer = (
            self.prior_optimizer
            if recipe.generator_prior_rate == "prior"
            else self._adam(parameters["prior"], rate)
        )
        self._base_rates = {
            id(group): (group, float(group["lr"]))
            for optimizer in self.optimizers
            for group in optimizer.param_groups
        }

    def _parameters(self) -> dict[str, list[nn.Parameter]]:
        """What the optimizer of each module moves."""
        model = self.model
        return {
            "discriminator": list(model.discriminator.parameters()),
            "generator": list(model.generator.parameters()),
            "encoder": model.encoder_parameters(),
            "prior": list(model.prior.parameters()),
        }

    def _adam(self, parameters: list[nn.Parameter], learning_rate: float) -> Adam:
        return Adam(parameters, lr=learning_rate, betas=BETAS)

    def release(self) -> None:
        """Leave the model as any other; nothing to do here."""

    def state(self) -> dict[str, Any]:
        """All that a training goes on from, as tensors and numbers; for an object built alike."""
        return {
            "n_iter": self.n_iter,
            "model": self.model.state_dict(),
            "projection": self.projection.state_dict() if self.projection else None,
            "moments": [[optimizer.state.get(p, {}) for p in ps] for optimizer, ps in self._moved()],
            "random": self.random.get_state(),
        }

    def restore(self, state: dict[str, Any], *, random: bool = True) -> None:
        """Go on from what `state` gave; without `random` by other draws."""
        self.n_iter = state["n_iter"]
        self.model.load_state_dict(state["model"])
        if self.projection is not None:
            self.projection.load_state_dict(state["projection"])
        for (optimizer, parameters), moments in zip(self._moved(), state["moments"], strict=True):
            for p, values in zip(parameters, moments, strict=True):
                # Adam's count of steps lies beside its moments only if the step is fused.
                count_on = p.device if optimizer.defaults["fused"] else torch.device("cpu")
                kept = optimizer.state[p]
                for name, value in values.items():
                    if name in kept:  # a recording holds on to these tensors
                        kept[name].copy_(value)
                    else:
                        kept[name] = value.to(count_on if name == "step" else p.device, copy=True)
        if random:
            self.random.set_state(state["random"].cpu())

    def slow_down(self, factor: float) -> None:
        """Multiply all rates from here on."""
        for key, (group, rate) in self._base_rates.items():
            self._base_rates[key] = group, rate * factor
            self._set_rate(group, rate * factor)

    def _moved(self) -> list[tuple[Optimizer, list[nn.Parameter]]]:
        return [(o, [p for group in o.param_groups for p in group["params"]]) for o in self.optimizers]

    @property
    def optimizers(self) -> list[Optimizer]:
        return [
            self.discriminator_optimizer,
            self.generator_optimizer,
            self.encoder_optimizer,
            self.prior_optimizer,
            self.generator_prior_optimizer,
        ]

    def iteration(
        self,
        draw_real: Callable[[], tuple[Tensor, ...]],
        draw_pairs: Callable[[], tuple[Tensor, ...]] | None = None,
    ) -> dict[str, Tensor]:
        """Lines 7 to 28 of Algorithm 1; the losses of the last step of each phase.

        `draw_real` gives a batch of real samples, in a guided training with their labels;
        `draw_pairs` one and a neighbour of each sample in it, for consistency, likewise.
        """
        # A model in evaluation mode would train on stale spectral norms and batch statistics.
        self.model.train()
        self._schedule()
        out = {}
        for _ in range(self.recipe.discriminator_steps):
            out["discriminator"] = self.discriminator_step(*draw_real())
        out["generator"] = self.generator_step()
        for step in range(self.recipe.encoder_steps):
            out |= self.encoder_step(draw_pairs if step == 0 else None, with_prior=step == 0)
        self.n_iter += 1
        if self.n_iter >= self.recipe.ema_start:
            self.model.update_averages()
        return out

    def draw(self) -> tuple[Tensor, Tensor]:
        """Lines 9 and 10: y ~ p(y), z ~ p(z | y), differentiable in the prior."""
        y, noise = self._draw_noise()
        return y, self.model.prior.place(y, noise)

    def _draw_noise(self) -> tuple[Tensor, Tensor]:
        """y, and the standard normal eps of z = mu_y + sigma_y * eps."""
        prior = self.model.prior
        y = prior.draw_labels(self.recipe.batch_size, self.random)
        return y, prior.draw_noise(len(y), self.random)

    @torch.no_grad()
    def _generated(self, z: Tensor, y: Tensor) -> Tensor:
        """Fakes without a gradient, by a generator whose spectral norms stay as they are."""
        with frozen_norms(self.model.generator):
            return self.model.generator(z, y)

    def _noisy(self, x: Tensor) -> Tensor:
        """What discriminator and encoder read: instance noise, where the recipe asks for it."""
        if not self.recipe.input_noise:
            return x
        noise = torch.randn(x.shape, generator=self.random, device=x.device, dtype=x.dtype)
        return torch.add(x, noise, alpha=self.recipe.input_noise)

    @property
    def guiding(self) -> bool:
        """Whether the iteration is one of the first, that labels guide."""
        return self.projection is not None and self.n_iter < self.recipe.init_iter

    @property
    def following(self) -> bool:
        """Whether weights are learned by now.

        Not from the beginning: a component that has found few members yet would find fewer.
        """
        late = self.n_iter >= WEIGHTS_FROM * self.recipe.max_iter
        return late and self.recipe.weights == "learned"

    def _is_guided(self, y: Tensor | None) -> bool:
        return y is not None and self.guiding

    def _scores(self, x: Tensor, y: Tensor | None) -> Tensor:
        """D(x), while guided D(x, y)."""
        h = self.model.discriminator.features(self._noisy(x))
        scores = self.model.discriminator.score(h).squeeze(1)
        return scores + self.projection(h, y) if self._is_guided(y) else scores

    def discriminator_step(self, real: Tensor, y_real: Tensor | None = None) -> Tensor:
        """Lines 8 to 12: Loss I, ascended by the discriminator."""
        with torch.no_grad():
            y, z = self.draw()
            fake = self._generated(z, y)
        labels = None if y_real is None else torch.cat([y_real, y])
        scores = self._scores(torch.cat([real, fake]), labels)
        loss = losses.discriminator_loss(*scores.split([len(real), len(fake)]))
        _descend(loss, self.discriminator_optimizer)
        return loss.detach()

    def generator_step(self) -> Tensor:
        """Lines 14 to 17: Loss I, descended by the generator and the prior."""
        y, z = self.draw()
        loss = losses.generator_loss(self._scores(self.model.generator(z, y), y))
        _descend(loss, self.generator_optimizer, self.generator_prior_optimizer)
        return loss.detach()

    def encoder_step(
        self,
        draw_pairs: Callable[[], tuple[Tensor, ...]] | None = None,
        *,
        with_prior: bool,
    ) -> dict[str, Tensor]:
        """Lines 19 to 27: L_q by the encoder; in the first step L_c and Loss III by the prior."""
        y, z = self.draw()
        x = [self._noisy(self._generated(z, y))]
        labels: tuple[Tensor, ...] = ()
        if self._wants_pairs(draw_pairs):
            first, second, *labels = draw_pairs()
            x += [first, second]
        moments = self.model.encoder(torch.cat(x))
        loss, terms = self._encoder_loss(z, y, *moments, labels, with_prior=with_prior)
        _descend(loss, self.encoder_optimizer, *([self.prior_optimizer] if with_prior else []))
        self._follow_shares()
        return {name: term.detach() for name, term in terms.items()}

    def _wants_pairs(self, draw_pairs: Callable | None) -> bool:
        recipe = self.recipe
        return draw_pairs is not None and bool(recipe.consistency_weight or recipe.weights == "learned")

    def _follow_shares(self) -> None:
        """Learned weights follow the memberships of the real samples in the step before."""
        if self._shares is not None and self.following:
            self.model.prior.follow(self._shares, WEIGHTS_RATE)
        self._shares = None

    def _encoder_loss(
        self,
        z: Tensor,
        y: Tensor,
        means: Tensor,
        log_variances: Tensor,
        labels: Sequence[Tensor] = (),
        *,
        with_prior: bool,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum of an encoder step's losses, and each of them.

        In the paper the prior's gradient is that of L_c + lambda_p L_p. In the authors' code z is not
        detached in L_q, which then pulls the prior as well: `prior_latent_gradient`.

        Consistency is not of the paper: pairs of real samples, neighbours or views, whose means follow
        those of the fakes if there are any, are to share their component, by encoder and prior.
        """
        n, prior, recipe = len(z), self.model.prior, self.recipe
        code = z if with_prior and recipe.prior_latent_gradient else z.detach()
        terms = {"latent": losses.latent_loss(code, means[:n], log_variances[:n])}
        loss = self.latent_weight * terms["latent"]
        if with_prior:
            terms["cluster"] = losses.cluster_loss(prior.log_responsibilities(z), y)
            terms["prior_entropy"] = losses.prior_entropy_loss(prior.weights, prior.variances)
            loss = loss + terms["cluster"] + recipe.prior_entropy_weight * terms["prior_entropy"]
        if len(means) > n:
            log_q = prior.log_responsibilities(means[n:])
            self._shares = log_q.detach().exp().mean(0)
            terms["consistency"] = losses.neighbor_loss(*log_q.chunk(2))
            loss = loss + recipe.consistency_weight * terms["consistency"]
            if labels and self.guiding:
                loss = loss + losses.cluster_loss(log_q, torch.cat(list(labels)))
        return loss, terms

    def _schedule(self) -> None:
        """Rates fall linearly to zero over the last `learning_rate_decay` of the training."""
        decay = self.recipe.learning_rate_decay * self.recipe.max_iter
        if decay:
            factor = min(1.0, (self.recipe.max_iter - self.n_iter) / decay)
            for group, rate in self._base_rates.values():
                self._set_rate(group, rate * factor)

    def _set_rate(self, group: dict[str, Any], rate: float) -> None:
        group["lr"] = rate


def _descend(loss: Tensor, *optimizers: Optimizer) -> None:
    """One step of the optimizers on `loss`; no other parameter gets a gradient."""
    parameters = [p for o in optimizers for group in o.param_groups for p in group["params"]]
    loss.backward(inputs=parameters)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()
