"""Spectral norms of a whole network: layers of one shape in one batched power iteration.

A deep network has dozens of them, each of many small operations in every forward pass.
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from skmpcc.method.networks.layers import Conv2d, Linear

Layer = Linear | Conv2d

# Of functional.normalize.
TINY = 1e-12


class SpectralNorms:
    """The spectrally normalized layers of a network.

    Parameters
    ----------
    module : nn.Module
    dtype : torch.dtype, optional
        Type in which the layers multiply, if it is not the parameters'.
    """

    def __init__(self, module: nn.Module, dtype: torch.dtype | None = None) -> None:
        groups: dict[torch.Size, list[Layer]] = defaultdict(list)
        for layer in module.modules():
            if isinstance(layer, Layer) and parametrize.is_parametrized(layer, "weight"):
                groups[_original(layer).shape].append(layer)
        self.groups = [_Group(layers, dtype) for layers in groups.values()]

    @contextmanager
    def applied(self, *, estimate: bool) -> Iterator[None]:
        """Context manager with normalized weights; `estimate` takes a step of power iteration before."""
        for group in self.groups:
            group.apply(estimate=estimate)
        try:
            yield
        finally:
            for group in self.groups:
                for layer in group.layers:
                    layer.normalized = None


class _Group:
    """Layers whose weights have one shape."""

    def __init__(self, layers: list[Layer], dtype: torch.dtype | None) -> None:
        self.layers = layers
        # Last layers multiply in the parameters' type.
        self.dtype = None if any(layer.is_last for layer in layers) else dtype
        self.weights = [_original(layer) for layer in layers]
        norms = [layer.get_submodule("parametrizations.weight.0") for layer in layers]
        self.left = [norm.get_buffer("_u") for norm in norms]
        self.right = [norm.get_buffer("_v") for norm in norms]

    def apply(self, *, estimate: bool) -> None:
        """Give the layers weights of spectral norm 1, as torch's parametrization does one by one."""
        stacked = torch.stack([_channels_last(weight) for weight in self.weights])
        matrices = stacked.flatten(2)
        # The vectors are those of torch, whose matrices have their channels first.
        shape = self.weights[0].shape[1:]
        left = torch.stack(self.left)
        right = _channels_last(torch.stack(self.right).view(-1, *shape)).flatten(1)
        with torch.no_grad():
            if estimate:
                left = functional.normalize(_product(matrices, right), dim=1)
                right = _product(matrices.mT, left)
                # With the second vector W'u / |W'u| the norm is the length of W'u.
                norms = torch.linalg.vector_norm(right, dim=1)
                right = right / norms.clamp_min(TINY).unsqueeze(1)
                torch._foreach_copy_(self.left, list(left))
                first = _channels_first(right.view(-1, *_channels_last_shape(shape))).flatten(1)
                torch._foreach_copy_(self.right, list(first))
            else:
                norms = (left * _product(matrices, right)).sum(1)
        normalized = _Normalized.apply(stacked, left, right, norms, self.dtype)
        for layer, weight in zip(self.layers, normalized, strict=True):
            layer.normalized = _channels_first(weight)


class _Normalized(torch.autograd.Function):
    """Weights over their norms u'Wv, whose vectors are taken as given.

    Autograd would keep and pass several times as many tensors.
    """

    @staticmethod
    def forward(
        ctx: Any,
        weights: Tensor,
        left: Tensor,
        right: Tensor,
        norms: Tensor,
        dtype: torch.dtype | None,
    ) -> Tensor:
        inverse = norms.reciprocal().view(-1, *[1] * (weights.ndim - 1))
        normalized = weights * inverse
        ctx.save_for_backward(normalized, left, right, inverse)
        return normalized if dtype is None else normalized.to(dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        normalized, left, right, inverse = ctx.saved_tensors
        gradient = gradients[0].to(normalized.dtype)
        along = torch.linalg.vecdot(gradient.flatten(1), normalized.flatten(1))
        of_norm = (along.unsqueeze(1) * left).unsqueeze(2) * right.unsqueeze(1)
        return (gradient - of_norm.view_as(gradient)) * inverse, None, None, None, None


def power_iteration(weight: Tensor, weight_t: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Improve u and v in place by one step, and return the spectral norm's estimate, u' W v.

    `weight_t` is the transposed view of the weight.
    """
    torch.mv(weight, v, out=u)
    u.div_(torch.linalg.vector_norm(u))
    torch.mv(weight_t, u, out=v)
    # With v = W'u / |W'u| it is the length of W'u.
    norm = torch.linalg.vector_norm(v)
    v.div_(norm)
    return norm


def _original(layer: Layer) -> Tensor:
    """The parameter, before its norm."""
    return layer.get_parameter("parametrizations.weight.original")


def _product(matrices: Tensor, vectors: Tensor) -> Tensor:
    return torch.bmm(matrices, vectors.unsqueeze(2)).squeeze(2)


def _channels_last(weights: Tensor) -> Tensor:
    """(n, C, h, w) to (n, h, w, C), which is how they lie; weights of linear layers as they are."""
    return weights.movedim(1, -1) if weights.ndim == 4 else weights


def _channels_first(weights: Tensor) -> Tensor:
    return weights.movedim(-1, 1) if weights.ndim == 4 else weights


def _channels_last_shape(shape: torch.Size) -> tuple[int, ...]:
    return (*shape[1:], shape[0])
