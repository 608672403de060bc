"""Small classifiers q(y | x) that pseudo-labels are found by."""

import math
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from skmpcc.system.devices import matmul_dtype

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)

WIDTH = 64
EPSILON = 1e-5
CHANNELS = 16
MAX_CHANNELS = 128
# Shorter sides from which on patches are taken as places, and on which convolutions end.
LARGE_SIDE = 17
LAST_SIDE = 4
PATCH_SIZE = 4


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
    """Convolutions with batch-norms that halve the sides down to 4 or less, and a linear layer.

    Of large images the first sees patches of 4x4 as places, which costs half as much as halving twice.
    The convolutions are in bfloat16 where the device multiplies in it natively.

    Parameters
    ----------
    sample_shape : tuple of int
        Channels, height and width; sides of large images are multiples of 4, as those of a `Grid` are.
    n_clusters : int
    rng : torch.Generator
        Source of the initial values, on the device of the module.
    """

    def __init__(self, sample_shape: tuple[int, ...], n_clusters: int, rng: torch.Generator) -> None:
        super().__init__()
        n_in, *sides = sample_shape
        n_out, stride = CHANNELS, 1
        layers: list[nn.Module] = []
        if min(sides) >= LARGE_SIDE:
            layers.append(nn.PixelUnshuffle(PATCH_SIZE))
            n_in, n_out = n_in * PATCH_SIZE**2, 2 * n_out
            sides = [side // PATCH_SIZE for side in sides]
        while min(sides) > LAST_SIDE or stride == 1:
            layers += [
                _initialized(nn.Conv2d, rng, n_in, n_out, 3, stride, 1, bias=False),
                nn.BatchNorm2d(n_out, device=rng.device),
                nn.ReLU(),
            ]
            sides = [-(-side // stride) for side in sides]
            n_in, n_out, stride = n_out, min(2 * n_out, MAX_CHANNELS), 2
        self.hidden = nn.Sequential(*layers, nn.Flatten())
        nn.utils.convert_conv2d_weight_memory_format(self.hidden, torch.channels_last)
        self.last = _initialized(nn.Linear, rng, n_in * math.prod(sides), n_clusters)
        self.dtype = matmul_dtype("auto", self.last.weight)

    def log_memberships(self, x: Tensor) -> Tensor:
        """log q(y | x), shape (n, K)."""
        narrow = self.dtype is not None
        with torch.autocast(x.device.type, self.dtype, enabled=narrow, cache_enabled=False):
            h = self.hidden(x.contiguous(memory_format=torch.channels_last))
        return torch.log_softmax(self.last(h.to(x.dtype)), dim=1)


@torch.no_grad()
def _initialized(cls: type[Layer], rng: torch.Generator, *args: Any, **kwargs: Any) -> Layer:
    """Make a layer with torch's usual initial values, drawn from `rng`, not from the global stream."""
    layer = nn.utils.skip_init(cls, *args, device=rng.device, **kwargs)
    bound = 1.0 / math.sqrt(math.prod(layer.weight.shape[1:]))
    for parameter in layer.parameters():
        parameter.uniform_(-bound, bound, generator=rng)
    return layer
