"""Parameters laid end to end, so that an optimizer, an average or a copy is one operation."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class FlatParameters:
    """One tensor that holds the values of several parameters, and one that holds their gradients.

    The parameters themselves become views: what changes here changes in their modules.

    Attributes
    ----------
    values : Parameter of shape (n_values,)
        With `grad` allocated for good.
    gradients : dict
        From a parameter's id to the view of the gradient that belongs to it.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self.parameters = list(parameters)
        flat = torch.cat([p.detach().flatten() for p in self.parameters])
        self.values = nn.Parameter(flat)
        self.values.grad = torch.zeros_like(flat)
        self.gradients: dict[int, Tensor] = {}
        start = 0
        for p in self.parameters:
            span = slice(start, start + p.numel())
            p.data = self.values.data[span].view(p.shape)
            self.gradients[id(p)] = self.values.grad[span].view(p.shape)
            start = span.stop

    def attach_gradients(self) -> None:
        """Let autograd add to `gradients`, which start from zero."""
        self.values.grad.zero_()
        for p in self.parameters:
            p.grad = self.gradients[id(p)]

    def release(self) -> None:
        """Parameters of their own again, without gradients."""
        for p in self.parameters:
            p.data = p.data.clone()
            p.grad = None
