"""Small classifiers q(y | x) that pseudo-labels are found by."""

import math
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from skmpcc.devices import matmul_dtype

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
    """Perceptrons of two hidden layers with batch-norms, all restarts in the same batched products."""

    def __init__(self, n_restarts: int, n_features: int, n_clusters: int, rng: torch.Generator) -> None:
        def uniform(*shape: int) -> Tensor:
            values = torch.empty((n_restarts, *shape), device=rng.device)
            return values.uniform_(-1.0, 1.0, generator=rng)

        sizes = list(pairwise([n_features, WIDTH, WIDTH, n_clusters]))
        self.weights = [uniform(a, b).div_(math.sqrt(a)).requires_grad_() for a, b in sizes]
        # Biases of hidden layers come after the norm, which would take any other away.
        self.biases = [uniform(1, b).requires_grad_() for _, b in sizes]
        self.moments: list[tuple[Tensor, Tensor]] | None = None

    @property
    def parameters(self) -> list[Tensor]:
        return self.weights + self.biases

    def log_memberships(self, x: Tensor) -> Tensor:
        """log q(y | x), shape (n_restarts, n, K)."""
        return self._forward(x)[0]

    def keep_moments(self, x: Tensor) -> None:
        """Normalize by the activations' moments on `x` from now on, no longer by each batch's."""
        self.moments = self._forward(x)[1]

    def keep_only(self, index: int) -> None:
        """Forget all classifiers but one, whose moments have been kept."""
        assert self.moments is not None
        one = slice(index, index + 1)
        self.weights = [weight[one] for weight in self.weights]
        self.biases = [bias[one] for bias in self.biases]
        self.moments = [(mean[one], variance[one]) for mean, variance in self.moments]

    def _forward(self, x: Tensor) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        h, seen = x.expand(len(self.weights[0]), *x.shape), []
        for layer in (0, 1):
            h = torch.bmm(h, self.weights[layer])
            # torch.var_mean is many times slower here.
            mean = h.mean(1, keepdim=True) if self.moments is None else self.moments[layer][0]
            h = h - mean
            variance = (
                h.square().mean(1, keepdim=True) if self.moments is None else self.moments[layer][1]
            )
            seen.append((mean, variance))
            h = h * torch.rsqrt(variance + EPSILON)
            h = functional.relu(h + self.biases[layer])
        return torch.log_softmax(torch.baddbmm(self.biases[2], h, self.weights[2]), dim=2), seen


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
