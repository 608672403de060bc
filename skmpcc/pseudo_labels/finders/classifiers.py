"""Small classifiers q(y | x) that pseudo-labels are found by."""

import math
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from skmpcc.system.devices import matmul_dtype

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)

CHANNELS = 16
MAX_CHANNELS = 128
# Shorter sides from which on patches are taken as places, and on which convolutions end.
LARGE_SIDE = 17
# Shorter side from which on images are averaged first.
LARGER_SIDE = 48
LAST_SIDE = 4
PATCH_SIZE = 4


class ConvNet(nn.Module):
    """Convolutions with batch-norms that halve the sides down to 4 or less, and a linear layer.

    Of large images the first sees patches of 4x4 as places, which costs half as much as halving twice;
    of larger ones at half of their resolution, or less.
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
        while min(sides) >= LARGER_SIDE and not any(side % (2 * PATCH_SIZE) for side in sides):
            layers.append(nn.AvgPool2d(2))
            sides = [side // 2 for side in sides]
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
        self.hidden = nn.Sequential(*layers)
        nn.utils.convert_conv2d_weight_memory_format(self.hidden, torch.channels_last)
        self.last = _initialized(nn.Linear, rng, n_in * math.prod(sides), n_clusters)
        self.dtype = matmul_dtype("auto", self.last.weight)

    def log_memberships(self, x: Tensor) -> Tensor:
        """log q(y | x), shape (n, K)."""
        narrow = self.dtype is not None
        with torch.autocast(x.device.type, self.dtype, enabled=narrow, cache_enabled=False):
            h = self.hidden(x.contiguous(memory_format=torch.channels_last))
        if h.requires_grad:
            # Else it comes back with its channels first, in which ReLU and convolution are far slower.
            h.register_hook(partial(torch.Tensor.contiguous, memory_format=torch.channels_last))
        return torch.log_softmax(self.last(h.flatten(1).to(x.dtype)), dim=1)


@torch.no_grad()
def _initialized(cls: type[Layer], rng: torch.Generator, *args: Any, **kwargs: Any) -> Layer:
    """Make a layer with torch's usual initial values, drawn from `rng`, not from the global stream."""
    layer = nn.utils.skip_init(cls, *args, device=rng.device, **kwargs)
    bound = 1.0 / math.sqrt(math.prod(layer.weight.shape[1:]))
    for parameter in layer.parameters():
        parameter.uniform_(-bound, bound, generator=rng)
    return layer
