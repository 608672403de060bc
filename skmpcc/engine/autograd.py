"""Forward and backward passes of any network, through autograd."""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from skmpcc.engine.flat import FlatParameters
from skmpcc.engine.spectral_norms import SpectralNorms
from skmpcc.method.networks.layers import Discriminator, Encoder, chunked

Network = TypeVar("Network", bound=nn.Module)


def gradient_of(x: Tensor) -> Tensor:
    """The gradient that a backward pass has left at `x`."""
    assert x.grad is not None
    return x.grad


class _AutogradPass(Generic[Network]):
    """Common part of the passes; with a `dtype`, products and convolutions are autocast to it.

    A backward pass forgets what its forward pass kept, so that the memory can serve the next one. While
    a CUDA graph is captured, what is kept would stay in its pool for good.
    """

    def __init__(
        self, module: Network, *groups: FlatParameters, dtype: torch.dtype | None = None
    ) -> None:
        self.module = module
        self.groups = groups
        self.dtype = dtype
        self.norms = SpectralNorms(module, dtype)

    def _run(self, function: Callable[..., Any], x: Tensor, *inputs: Any) -> Any:
        if self.dtype is None:
            return function(x, *inputs)
        with torch.autocast(x.device.type, self.dtype, cache_enabled=False):
            return function(x, *inputs)

    def _backward(self, outputs: Sequence[Tensor], gradients: Sequence[Tensor], *inputs: Tensor) -> None:
        for group in self.groups:
            group.attach_gradients()
            inputs += tuple(group.parameters)
        torch.autograd.backward(outputs, gradients, inputs=inputs)


class AutogradDiscriminator(_AutogradPass[Discriminator]):
    """`DiscriminatorPass` of any discriminator."""

    @torch.enable_grad()
    def forward(self, x: Tensor, *, wants_input: bool = False) -> tuple[Tensor, Tensor]:
        self.x = x.detach().requires_grad_(wants_input)
        with self.norms.applied(estimate=True):
            self.features = self._run(self.module.features, self.x).to(x.dtype)
            self.scores = self.module.score(self.features).squeeze(1)
        return self.scores.detach(), self.features.detach()

    def _take_ends(
        self, scores: Tensor, features: Tensor | None
    ) -> tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return the input, and outputs with their gradients, and forget what was kept."""
        x, *outputs = self.x, self.scores, self.features
        del self.x, self.scores, self.features
        if features is None:
            return x, tuple(outputs[:1]), (scores,)
        return x, tuple(outputs), (scores, features)

    def backward(self, scores: Tensor, features: Tensor | None) -> None:
        _, outputs, gradients = self._take_ends(scores, features)
        self._backward(outputs, gradients)

    def backward_to_input(self, scores: Tensor, features: Tensor | None) -> Tensor:
        x, outputs, gradients = self._take_ends(scores, features)
        torch.autograd.backward(outputs, gradients, inputs=[x])
        return gradient_of(x)


class AutogradEncoder(_AutogradPass[Encoder]):
    """`EncoderPass` of any encoder."""

    def forward(
        self, x: Tensor, n_spread: int | None = None, *, wants_backward: bool = True
    ) -> tuple[Tensor, Tensor]:
        with torch.set_grad_enabled(wants_backward), self.norms.applied(estimate=True):
            outputs = [moments.to(x.dtype) for moments in self._run(self.module, x, n_spread)]
        if wants_backward:
            self.outputs = outputs
        mean, log_variance = outputs
        return mean.detach(), log_variance.detach()

    def backward(self, mean: Tensor, log_variance: Tensor) -> None:
        outputs = self.outputs
        del self.outputs
        self._backward(outputs, [mean, log_variance])


class AutogradGenerator(_AutogradPass[nn.Module]):
    """`GeneratorPass` of any generator."""

    @torch.no_grad()
    def generate(self, z: Tensor, y: Tensor, n_chunks: int) -> Tensor:
        with self.norms.applied(estimate=False):
            if z.device.type == "cpu":
                # Activations of several batches would not fit into a processor's cache.
                parts = zip(z.chunk(n_chunks), y.chunk(n_chunks), strict=True)
                return torch.cat([self._run(self.module, *part).to(z.dtype) for part in parts])
            with chunked(self.module, n_chunks):
                return self._run(self.module, z, y).to(z.dtype)

    @torch.enable_grad()
    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        self.z = z.detach().requires_grad_()
        with self.norms.applied(estimate=True):
            self.x = self._run(self.module, self.z, y).to(z.dtype)
        return self.x.detach()

    def backward(self, x: Tensor) -> Tensor:
        z, out = self.z, self.x
        del self.z, self.x
        self._backward([out], [x], z)
        return gradient_of(z)
