"""Small classifiers q(y | x) that pseudo-labels are found by."""

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTH = 64
EPSILON = 1e-5
CHANNELS = 16
MAX_CHANNELS = 128
# Sides at which convolutions begin by halving, and end.
LARGE_SIDE = 17
LAST_SIDE = 4


class BatchedMLP:
    """Perceptrons of two hidden layers with batch-norms, all restarts in the same batched products.

    Activations have their samples last, so that a layer-norm over them, which is one pass over memory,
    is the batch-norm.
    """

    def __init__(self, n_restarts: int, n_features: int, n_clusters: int, rng: torch.Generator) -> None:
        def uniform(*shape: int) -> Tensor:
            values = torch.empty((n_restarts, *shape), device=rng.device)
            return values.uniform_(-1.0, 1.0, generator=rng)

        sizes = list(pairwise([n_features, WIDTH, WIDTH, n_clusters]))
        self.weights = [uniform(b, a).div_(math.sqrt(a)).requires_grad_() for a, b in sizes]
        # Biases of hidden layers come after the norm, which would take any other away.
        self.biases = [uniform(b, 1).requires_grad_() for _, b in sizes]
        self.moments: list[tuple[Tensor, Tensor]] | None = None

    def __len__(self) -> int:
        return len(self.weights[0])

    @property
    def parameters(self) -> list[Tensor]:
        return self.weights + self.biases

    def log_memberships(self, x: Tensor) -> Tensor:
        """log q(y | x), shape (n_restarts, n, K)."""
        h = x.T.expand(len(self), -1, -1)
        for layer in (0, 1):
            h = self._normalized(torch.bmm(self.weights[layer], h), layer)
            h = functional.relu(h + self.biases[layer], inplace=True)
        scores = torch.baddbmm(self.biases[2], self.weights[2], h)
        return torch.log_softmax(scores, dim=1).transpose(1, 2)

    def keep_moments(self, x: Tensor) -> None:
        """Normalize by the activations' moments on `x` from now on, no longer by each batch's."""
        self.moments = None
        moments, h = [], x.T.expand(len(self), -1, -1)
        for layer in (0, 1):
            h = torch.bmm(self.weights[layer], h)
            variance, mean = torch.var_mean(h, 2, correction=0, keepdim=True)
            moments.append((mean, variance))
            h = functional.relu(self._normalized(h, layer) + self.biases[layer])
        self.moments = moments

    def keep_only(self, chosen: list[int]) -> None:
        """Forget all classifiers but some, in that order."""
        self.weights, self.biases = (
            [tensor.detach()[chosen].requires_grad_() for tensor in tensors]
            for tensors in (self.weights, self.biases)
        )
        if self.moments is not None:
            self.moments = [(mean[chosen], variance[chosen]) for mean, variance in self.moments]

    def _normalized(self, h: Tensor, layer: int) -> Tensor:
        if self.moments is None:
            return functional.layer_norm(h, h.shape[2:], eps=EPSILON)
        mean, variance = self.moments[layer]
        return (h - mean) * torch.rsqrt(variance + EPSILON)


class ConvNet(nn.Module):
    """Convolutions with batch-norms that halve the sides down to 4 or less, and a linear layer."""

    def __init__(self, sample_shape: tuple[int, ...], n_clusters: int, rng: torch.Generator) -> None:
        super().__init__()
        n_in, *sides = sample_shape
        layers: list[nn.Module] = []
        n_out = CHANNELS
        while min(sides) > LAST_SIDE or not layers:
            first, small = not layers, min(sides) < LARGE_SIDE
            stride, kernel = (1, 3) if first and small else (2, 5 if first else 3)
            layers += [
                _initialized(nn.Conv2d, rng, n_in, n_out, kernel, stride, kernel // 2, bias=False),
                nn.BatchNorm2d(n_out, device=rng.device),
                nn.ReLU(),
            ]
            sides = [-(-side // stride) for side in sides]
            n_in, n_out = n_out, min(2 * n_out, MAX_CHANNELS)
        last = _initialized(nn.Linear, rng, n_in * math.prod(sides), n_clusters)
        self.layers = nn.Sequential(*layers, nn.Flatten(), last)

    def log_memberships(self, x: Tensor) -> Tensor:
        """log q(y | x), shape (n, K)."""
        return torch.log_softmax(self.layers(x), dim=1)


@torch.no_grad()
def _initialized(cls: type[nn.Module], rng: torch.Generator, *args: Any, **kwargs: Any) -> nn.Module:
    """Make a layer with torch's usual initial values, drawn from `rng`, not from the global stream."""
    layer = nn.utils.skip_init(cls, *args, device=rng.device, **kwargs)
    bound = 1.0 / math.sqrt(math.prod(layer.weight.shape[1:]))
    for parameter in layer.parameters():
        parameter.uniform_(-bound, bound, generator=rng)
    return layer
