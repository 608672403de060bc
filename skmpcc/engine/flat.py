"""Parameters laid end to end, so that a step of Adam, an average or a copy is one operation."""

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor, nn

from skmpcc.method.latent_model import AveragedTensors
from skmpcc.method.model import MPCCModel


class FlatParameters:
    """One tensor that holds the values of several parameters, and one that holds their gradients.

    The parameters themselves become views: what changes here changes in their modules. Those of
    convolutions lie with their channels last, which makes the activations lie so too.

    Attributes
    ----------
    values : Parameter of shape (n_values,)
        Its `grad` is allocated once and for all.
    gradients : dict
        Maps a parameter's id to the view of the gradient that belongs to it.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self.parameters = list(parameters)
        flat = torch.cat([_laid_out(p.detach()).flatten() for p in self.parameters])
        self.values = nn.Parameter(flat)
        self.values.grad = torch.zeros_like(flat)
        self.gradients: dict[int, Tensor] = {}
        start = 0
        for p in self.parameters:
            span = slice(start, start + p.numel())
            p.data = _as_parameter(self.values.data[span], p.shape)
            self.gradients[id(p)] = _as_parameter(self.values.grad[span], p.shape)
            start = span.stop

    def attach_gradients(self) -> None:
        """Let autograd add to `gradients`, which start from zero."""
        assert self.values.grad is not None
        self.values.grad.zero_()
        for p in self.parameters:
            p.grad = self.gradients[id(p)]

    def release(self) -> None:
        """Give parameters storage of their own again, without gradients."""
        for p in self.parameters:
            p.data = p.data.clone(memory_format=torch.contiguous_format)
            p.grad = None


def _laid_out(p: Tensor) -> Tensor:
    return p.movedim(1, -1) if p.ndim == 4 else p


def _as_parameter(span: Tensor, shape: torch.Size) -> Tensor:
    if len(shape) < 4:
        return span.view(shape)
    n_out, n_in, height, width = shape
    return span.view(n_out, height, width, n_in).movedim(-1, 1)


class FlatModel:
    """Parameters of a model, and of its averages, laid end to end by who updates them."""

    def __init__(self, model: MPCCModel) -> None:
        self.sharing = model.settings.sharing
        in_trunk = {id(p) for p in model.discriminator.trunk.parameters()}

        def outside_trunk(module: nn.Module) -> FlatParameters:
            return FlatParameters(p for p in module.parameters() if id(p) not in in_trunk)

        self.trunk = FlatParameters(model.discriminator.trunk.parameters())
        self.discriminator = outside_trunk(model.discriminator)
        self.encoder = outside_trunk(model.encoder)
        self.generator = FlatParameters(model.generator.parameters())
        self.prior = FlatParameters(model.prior.parameters())
        self.averaged_generator = FlatParameters(model.averaged_generator.parameters())
        self.averaged_encoder = FlatParameters(model.averaged_encoder.parameters())
        self.averaged = self._averaged(model)

    def optimized(self) -> dict[str, list[nn.Parameter]]:
        """Parameters that the optimizer of each module updates."""
        trunk = [self.trunk.values]
        return {
            "discriminator": [*trunk, self.discriminator.values],
            "generator": [self.generator.values],
            "encoder": [*(trunk if self.sharing == "joint" else []), self.encoder.values],
            "prior": [self.prior.values],
        }

    def _averaged(self, model: MPCCModel) -> AveragedTensors:
        """Averages and what they follow: parameters end to end, buffers as they are."""
        encoder = [*([self.trunk] if self.sharing != "none" else []), self.encoder]
        # In the order of the encoder's parameters: a trunk that it shares comes first.
        lengths = [part.values.numel() for part in encoder]
        averages = [
            self.averaged_generator.values,
            *self.averaged_encoder.values.detach().split(lengths),
        ]
        return replace(
            model.averaged_tensors(),
            averages=averages,
            parameters=[part.values for part in (self.generator, *encoder)],
        )

    def release(self) -> None:
        """Give all parameters storage of their own again."""
        for part in vars(self).values():
            if isinstance(part, FlatParameters):
                part.release()
