"""Parameters laid end to end, so that a step of Adam, an average or a copy is one operation."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.adam import adam


class FlatParameters:
    """One tensor that holds the values of several parameters, and one that holds their gradients.

    The parameters themselves become views: what changes here changes in their modules. Those of
    convolutions lie with their channels last, which makes the activations lie so too.

    Attributes
    ----------
    values : Parameter of shape (n_values,)
        With `grad` allocated for good.
    gradients : dict
        From a parameter's id to the view of the gradient that belongs to it.
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
        self.values.grad.zero_()
        for p in self.parameters:
            p.grad = self.gradients[id(p)]

    def release(self) -> None:
        """Parameters of their own again, without gradients."""
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


class FlatAdam(Adam):
    """torch's Adam, fused, with a step that skips what `Optimizer.step` looks after each time.

    On few large parameters its checks and hooks take longer than the update.
    """

    @torch.no_grad()
    def update(self) -> None:
        """One step on the parameters that have a gradient."""
        if not self.state or not self.defaults["fused"]:
            self.step()
            return
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if not parameters:
                continue
            states = [self.state[p] for p in parameters]
            beta1, beta2 = group["betas"]
            adam(
                parameters,
                [p.grad for p in parameters],
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                [state["step"] for state in states],
                fused=True,
                amsgrad=False,
                beta1=beta1,
                beta2=beta2,
                lr=group["lr"],
                weight_decay=0.0,
                eps=group["eps"],
                maximize=False,
            )
