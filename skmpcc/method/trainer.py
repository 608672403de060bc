"""The base of all trainings: optimizers, random stream, schedule of an iteration, state."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from skmpcc.method.latent_model import LatentModel
from skmpcc.method.optimizers import Adam, Optimizers
from skmpcc.settings import LoopSettingsOnData

# Share of the iterations so far that averages reach back over, by `ema_decay`.
AVERAGED = {"auto": 0.2, "late": 0.05}
# Rate at which learned weights follow the proportions in one batch of real samples, ...
WEIGHTS_RATE = 0.01
# ... from this share of the training on: before, a component that has few members would get fewer.
WEIGHTS_FROM = 0.5

Batch = tuple[Tensor, ...]
DrawBatch = Callable[[], Batch]


class Trainer:
    """One training of a model, iteration by iteration.

    A subclass names the parameters of each optimizer in `_parameters`, updates them in `_updates`, and
    may know signs of failure of its own.

    Parameters
    ----------
    model : LatentModel
        Trained in place.
    settings : LoopSettingsOnData
    rng : torch.Generator
        Source of what is drawn, on the model's device.
    """

    def __init__(self, model: LatentModel, settings: LoopSettingsOnData, rng: torch.Generator) -> None:
        self.model = model
        self.settings = settings
        self.rng = rng
        self.n_iter = 0
        self.wants_losses = True
        # Iteration from which averages reach back no further.
        self._averaged_from = 0
        self.optimizers = Optimizers(self._optimizers(), settings)
        # What changes with the iterations is in tensors on the device, beside the optimizers' rates: a
        # CUDA graph reads them where they are.
        self.averaging = model.prior.means.new_zeros(())
        # Listed once: to look for them takes as long as a small step.
        self._averaged = model.averaged_tensors()

    def _parameters(self) -> Mapping[str, list[nn.Parameter]]:
        """Parameters that the optimizer of each module updates, by the module's name."""
        raise NotImplementedError

    def _optimizers(self) -> dict[str, Adam]:
        """Make the optimizer of each module."""
        rate = self.settings.learning_rate
        return {name: Adam(tensors, rate) for name, tensors in self._parameters().items()}

    def _updates(self, draw_real: DrawBatch, draw_pairs: DrawBatch | None) -> dict[str, Tensor]:
        """Update the model once; return the losses, of the last step of each phase."""
        raise NotImplementedError

    def signs_of_failure(self, losses: Mapping[str, float]) -> dict[str, bool]:
        """Tell by the losses what is wrong with this kind of training, in words, and whether it is."""
        return {}

    def iteration(
        self, draw_real: DrawBatch, draw_pairs: DrawBatch | None = None, *, wants_losses: bool = True
    ) -> dict[str, Tensor]:
        """Run one iteration: of Algorithm 1 lines 7 to 28.

        Parameters
        ----------
        draw_real : callable
            Gives a batch of real samples, with known labels followed by these.
        draw_pairs : callable, optional
            Gives a batch of real samples and a partner of each, for consistency, with known labels
            followed by those of both.
        wants_losses : bool, default=True
            Whether the losses are wanted, which some trainings take no time for otherwise.

        Returns
        -------
        losses : dict of Tensor
            The losses of the last step of each phase.
        """
        self.wants_losses = wants_losses
        # A model in evaluation mode would train on stale spectral norms and batch statistics.
        if not self.model.training:
            self.model.train()
        self._set_schedule()
        out = self._updates(draw_real, draw_pairs)
        self.n_iter += 1
        return out

    def _set_schedule(self) -> None:
        """Write what this iteration's number decides to where the updates read it."""
        settings, n_iter = self.settings, self.n_iter
        self.optimizers.set_rates(n_iter)
        # Weight of the networks in the update of their moving averages.
        self.averaging.fill_(self._averaging() if n_iter + 1 >= settings.ema_start else 0.0)

    def _averaging(self) -> float:
        decay = self.settings.ema_decay
        if isinstance(decay, str):
            # Or to the last restart, whose networks are the first of so many.
            reach = min(AVERAGED[decay] * (self.n_iter + 1), self.n_iter - self._averaged_from + 2)
            return min(1.0, 1.0 / reach)
        return 1.0 - decay

    def restart_averages(self) -> None:
        """Make the averages, if they have begun, those of the networks from now on."""
        if self.model.has_averages:
            self._averaged_from = self.n_iter
            self.model.restart_averages()
            self.model.update_averages(1.0)

    def _update_averages(self) -> None:
        self.model.update_averages(self.averaging, self._averaged)

    def _noisy(self, x: Tensor) -> Tensor:
        """Add instance noise, where the settings ask for it, to what networks read."""
        if not self.settings.noise_std:
            return x
        return torch.add(x, self._draw_normal(x), alpha=self.settings.noise_std)

    def _draw_normal(self, like: Tensor) -> Tensor:
        """Draw from the standard normal distribution, in the shape of a batch."""
        return torch.randn(like.shape, generator=self.rng, device=like.device, dtype=like.dtype)

    def measured(self, losses: dict[str, Tensor]) -> dict[str, float]:
        """Return the losses of an iteration as numbers."""
        return {name: float(value) for name, value in losses.items()}

    # ---- Its state

    def state(self) -> dict[str, Any]:
        """Copy all that a training goes on from, as tensors and numbers, for an object built alike."""
        return {
            "n_iter": self.n_iter,
            "averaged_from": self._averaged_from,
            "model": copied(self.model),
            "optimizers": [[t.clone() for t in tensors] for tensors in self.optimizers.state()],
            "rng": self.rng.get_state(),
        }

    def load(self, state: dict[str, Any], *, rng: bool = True) -> None:
        """Go on from what `state` gave; without `rng` by other draws."""
        self.n_iter = state["n_iter"]
        self._averaged_from = state["averaged_from"]
        self.model.load_state_dict(state["model"])
        self.optimizers.load(state["optimizers"])
        if rng:
            self.rng.set_state(state["rng"].cpu())

    def slow_down(self, factor: float) -> None:
        """Multiply all rates from here on."""
        self.optimizers.slow_down(factor)

    def release(self) -> None:
        """Leave the model as any other; nothing to do here."""


def descend(loss: Tensor, *optimizers: Adam) -> None:
    """One step of the optimizers on `loss`; no other parameter gets a gradient."""
    backward(loss, *optimizers)
    step(*optimizers)


def backward(loss: Tensor, *optimizers: Adam, leaf: Tensor | None = None) -> None:
    """Compute the gradient of `loss` for the optimizers' parameters and for `leaf`.

    That of a parameter which the loss does not reach is zero, as where parameters lie end to end.
    """
    inputs = [p for optimizer in optimizers for p in optimizer.parameters]
    inputs += [] if leaf is None else [leaf]
    loss.backward(inputs=inputs)
    for p in inputs:
        if p.grad is None:
            p.grad = torch.zeros_like(p)


def step(*optimizers: Adam) -> None:
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()


def copied(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}
