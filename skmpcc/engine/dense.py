"""Forward and backward passes of the networks for tables, written out.

They take few operations and no bookkeeping by autograd, which costs as much as the products at
such sizes. They change the very parameters and buffers of the modules that they are made from.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from skmpcc.engine.flat import FlatParameters
from skmpcc.engine.projection import class_matrix, sum_by_class
from skmpcc.engine.spectral_norms import power_iteration
from skmpcc.method.networks.layers import ConditionalBatchNorm
from skmpcc.method.networks.vector import SLOPE, VectorDiscriminator, VectorEncoder, VectorGenerator

# Weights of a layer from which products in bfloat16 save more time than the casts take.
MIN_WEIGHTS = 32_768

Kind = TypeVar("Kind", bound=nn.Module)


def _of_kind(kind: type[Kind], modules: Iterable[nn.Module]) -> list[Kind]:
    return [module for module in modules if isinstance(module, kind)]


class _Dense:
    """A linear layer, spectrally normalized or not.

    With another `dtype` than the parameters', its products are taken in that; gradients and updates are
    always of the parameters' own.
    """

    def __init__(
        self, layer: nn.Linear, *groups: FlatParameters, dtype: torch.dtype | None = None
    ) -> None:
        # The spectral norm's u and v.
        self.vectors: tuple[Tensor, Tensor] | None = None
        if parametrize.is_parametrized(layer, "weight"):
            # Not by `layer.weight`, which would estimate the norm.
            weight = layer.get_parameter("parametrizations.weight.original")
            norm = layer.get_submodule("parametrizations.weight.0")
            self.vectors = norm.get_buffer("_u"), norm.get_buffer("_v")
        else:
            weight = layer.get_parameter("weight")
        gradients = {key: grad for group in groups for key, grad in group.gradients.items()}
        self.weight, self.bias = weight.detach(), layer.bias.detach()
        # A trunk that this network does not update has no place for gradients.
        self.weight_gradient = gradients.get(id(weight))
        self.bias_gradient = gradients.get(id(layer.bias))
        wide = weight.numel() >= MIN_WEIGHTS
        self.dtype = dtype if dtype is not None and wide else weight.dtype
        self.is_cast = self.dtype != weight.dtype
        self.cast_bias = torch.empty_like(self.bias, dtype=self.dtype) if self.is_cast else self.bias
        self.normalized_weight = self.weight
        if self.is_cast or self.vectors is not None:
            self.normalized_weight = torch.empty_like(self.weight, dtype=self.dtype)
        if self.vectors is not None:
            # Of a shared layer another pass may improve both before the backward of this one.
            self.vectors_then = [torch.empty_like(vector) for vector in self.vectors]
        # Views, which are made once.
        self.weight_t, self.normalized_weight_t = self.weight.T, self.normalized_weight.T

    def normalize(self, *, estimate: bool = True) -> None:
        """After an update: the weight over its spectral norm, by torch's power iteration."""
        if self.is_cast:
            self.cast_bias.copy_(self.bias)
        if self.vectors is None:
            if self.is_cast:
                self.normalized_weight.copy_(self.weight)
            return
        u, v = self.vectors
        if estimate:
            self.sigma = power_iteration(self.weight, self.weight_t, u, v)
        else:
            self.sigma = torch.dot(u, torch.mv(self.weight, v))
        for then, now in zip(self.vectors_then, self.vectors, strict=True):
            then.copy_(now)
        torch.div(self.weight, self.sigma, out=self.normalized_weight)

    def _cast(self, x: Tensor) -> Tensor:
        return x if x.dtype is self.dtype else x.to(self.dtype)

    def forward(self, x: Tensor) -> Tensor:
        self.x = self._cast(x)
        return torch.addmm(self.cast_bias, self.x, self.normalized_weight_t)

    def backward(self, y: Tensor) -> None:
        if self.weight_gradient is None:
            return
        gradient, y = self.weight_gradient, self._cast(y)
        if self.is_cast:
            gradient.copy_(torch.mm(y.T, self.x))
        else:
            torch.mm(y.T, self.x, out=gradient)
        torch.sum(y, 0, dtype=gradient.dtype, out=self.bias_gradient)
        if self.vectors is not None:
            u, v = self.vectors_then
            # d(W / sigma), sigma = u' W v with u and v held
            along = torch.dot(gradient.view(-1), self.weight.view(-1)).div_(self.sigma)
            gradient.addr_(u, v * along, alpha=-1.0).div_(self.sigma)

    def input_gradient(self, y: Tensor) -> Tensor:
        return torch.mm(self._cast(y), self.normalized_weight)


class _Hidden(_Dense):
    """A linear layer and its leaky ReLU."""

    def forward(self, x: Tensor) -> Tensor:
        self.y = functional.leaky_relu_(super().forward(x), SLOPE)
        return self.y

    def activation_backward(self, y: Tensor) -> Tensor:
        """The gradient before the leaky ReLU, whose result has the sign of its argument."""
        return torch.ops.aten.leaky_relu_backward(self._cast(y), self.y, SLOPE, True)


def _hidden(layers: nn.Sequential, *groups: FlatParameters, dtype: torch.dtype | None) -> list[_Hidden]:
    return [_Hidden(layer, *groups, dtype=dtype) for layer in _of_kind(nn.Linear, layers)]


class _DenseChain:
    """Hidden layers one after another."""

    def __init__(self, *parts: list[_Hidden]) -> None:
        self.layers = [layer for part in parts for layer in part]

    def normalize(self) -> None:
        for layer in self.layers:
            layer.normalize()

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, h: Tensor) -> None:
        for index in reversed(range(len(self.layers))):
            layer = self.layers[index]
            h = layer.activation_backward(h)
            layer.backward(h)
            if all(before.weight_gradient is None for before in self.layers[:index]):
                return
            h = layer.input_gradient(h)

    def input_gradient(self, h: Tensor) -> Tensor:
        for layer in reversed(self.layers):
            h = layer.input_gradient(layer.activation_backward(h))
        return h


class DenseDiscriminator:
    """`DiscriminatorPass` of a `VectorDiscriminator`."""

    def __init__(
        self, module: VectorDiscriminator, *groups: FlatParameters, dtype: torch.dtype | None = None
    ) -> None:
        layers = (_hidden(part, *groups, dtype=dtype) for part in (module.trunk, module.body))
        self.hidden = _DenseChain(*layers)
        self.score = _Dense(module.score, *groups)

    def forward(self, x: Tensor, *, wants_input: bool = False) -> tuple[Tensor, Tensor]:
        self.hidden.normalize()
        self.score.normalize()
        h = self.hidden.forward(x)
        return self.score.forward(h).squeeze(1), h.to(self.score.dtype)

    def _to_features(self, scores: Tensor, features: Tensor | None) -> Tensor:
        h = self.score.input_gradient(scores.unsqueeze(1))
        return h if features is None else h.add_(features)

    def backward(self, scores: Tensor, features: Tensor | None) -> None:
        self.score.backward(scores.unsqueeze(1))
        self.hidden.backward(self._to_features(scores, features))

    def backward_to_input(self, scores: Tensor, features: Tensor | None) -> Tensor:
        gradient = self.hidden.input_gradient(self._to_features(scores, features))
        return gradient.to(self.score.dtype)


class DenseEncoder:
    """`EncoderPass` of a `VectorEncoder`."""

    def __init__(
        self, module: VectorEncoder, *groups: FlatParameters, dtype: torch.dtype | None = None
    ) -> None:
        layers = (_hidden(part, *groups, dtype=dtype) for part in (module.trunk, module.body))
        self.hidden = _DenseChain(*layers)
        self.heads = [
            (_Hidden(first, *groups, dtype=dtype), _Dense(last, *groups))
            for first, last in (_of_kind(nn.Linear, head) for head in (module.mean, module.log_variance))
        ]

    def forward(
        self, x: Tensor, n_spread: int | None = None, *, wants_backward: bool = True
    ) -> tuple[Tensor, Tensor]:
        self.hidden.normalize()
        h = self.hidden.forward(x)
        for layer in (layer for head in self.heads for layer in head):
            layer.normalize()
        mean, log_variance = (
            last.forward(first.forward(rows))
            for (first, last), rows in zip(self.heads, (h, h[:n_spread]), strict=True)
        )
        return mean, log_variance

    def backward(self, mean: Tensor, log_variance: Tensor) -> None:
        (to_mean, inner), (to_spread, inner_spread) = (
            (first, self._head_backward(first, last, gradient))
            for (first, last), gradient in zip(self.heads, (mean, log_variance), strict=True)
        )
        h = to_mean.input_gradient(inner)
        h[: len(inner_spread)].addmm_(inner_spread, to_spread.normalized_weight)
        self.hidden.backward(h)

    @staticmethod
    def _head_backward(first: _Hidden, last: _Dense, gradient: Tensor) -> Tensor:
        """Pass a head backwards, up to the activation of its first layer."""
        last.backward(gradient)
        inner = first.activation_backward(last.input_gradient(gradient))
        first.backward(inner)
        return inner


class DenseConditionalNorm:
    """A `ConditionalBatchNorm` with embeddings of y, and the leaky ReLU behind it."""

    def __init__(self, module: ConditionalBatchNorm, group: FlatParameters) -> None:
        self.norm = module.norm
        # It is None only while standing statistics are collected.
        assert self.norm.momentum is not None
        self.momentum = self.norm.momentum
        self.gain, self.bias = module.gain.weight.detach(), module.bias.weight.detach()
        self.gain_gradient = group.gradients[id(module.gain.weight)]
        self.bias_gradient = group.gradients[id(module.bias.weight)]

    def _normalize(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Like nn.BatchNorm1d in training: the normalized batch, its mean, one over its deviation."""
        norm = self.norm
        norm.num_batches_tracked.add_(1)
        return torch.native_batch_norm(
            x, None, None, norm.running_mean, norm.running_var, True, self.momentum, norm.eps
        )

    def _condition(self, normed: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The layer's output, and the gain of each row, which is 1 + this."""
        gain = torch.index_select(self.gain, 0, y)
        out = torch.index_select(self.bias, 0, y).add_(normed).addcmul_(normed, gain)
        return functional.leaky_relu_(out, SLOPE), gain

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        self.x = x
        self.normed, self.mean, self.inverse_std = self._normalize(x)
        self.out, self.rows_gain = self._condition(self.normed, y)
        return self.out

    def backward(self, gradient: Tensor, classes: Tensor) -> Tensor:
        gradient = torch.ops.aten.leaky_relu_backward(gradient, self.out, SLOPE, True)
        sum_by_class(gradient, classes, self.bias_gradient)
        sum_by_class(gradient * self.normed, classes, self.gain_gradient)
        return self._input_gradient(gradient.addcmul_(gradient, self.rows_gain))

    def _input_gradient(self, gradient: Tensor) -> Tensor:
        """Turn the gradient of the normalized batch into that of the batch."""
        return torch.ops.aten.native_batch_norm_backward(
            gradient,
            self.x,
            None,
            None,
            None,
            self.mean,
            self.inverse_std,
            True,
            self.norm.eps,
            [True, False, False],
        )[0]

    def apply(self, x: Tensor, y: Tensor, n_chunks: int) -> Tensor:
        """Like `forward`, but for several batches at once and without a backward."""
        return self._condition(self._normalize_several(x, n_chunks), y)[0]

    def _normalize_several(self, x: Tensor, n_chunks: int) -> Tensor:
        parts = [self._normalize(chunk)[0] for chunk in x.chunk(n_chunks)]
        return torch.cat(parts) if n_chunks > 1 else parts[0]


class DenseGenerator:
    """`GeneratorPass` of a `VectorGenerator` whose norms have embeddings of y.

    `make_norm` makes the passes of a norm.
    """

    def __init__(
        self,
        module: VectorGenerator,
        group: FlatParameters,
        dtype: torch.dtype | None = None,
        *,
        make_norm: Callable[[ConditionalBatchNorm, FlatParameters], DenseConditionalNorm] = (
            DenseConditionalNorm
        ),
    ) -> None:
        self.layers = [_Dense(layer, group, dtype=dtype) for layer in _of_kind(nn.Linear, module.layers)]
        norms = _of_kind(ConditionalBatchNorm, module.norms)
        self.norms = [make_norm(norm, group) for norm in norms]
        self.output = _Dense(module.output, group)
        self.all_classes = torch.arange(module.conditioning.n_clusters, device=self.output.bias.device)

    def _normalize(self, *, estimate: bool) -> None:
        for layer in (*self.layers, self.output):
            layer.normalize(estimate=estimate)

    @torch.no_grad()
    def generate(self, z: Tensor, y: Tensor, n_chunks: int) -> Tensor:
        self._normalize(estimate=False)
        h = z
        for layer, norm in zip(self.layers, self.norms, strict=True):
            h = norm.apply(layer.forward(h).to(z.dtype), y, n_chunks)
        return self.output.forward(h)

    @torch.no_grad()
    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        self._normalize(estimate=True)
        self.classes = class_matrix(y, self.all_classes, z.dtype)
        h = z
        for layer, norm in zip(self.layers, self.norms, strict=True):
            h = norm.forward(layer.forward(h).to(z.dtype), y)
        return self.output.forward(h)

    @torch.no_grad()
    def backward(self, x: Tensor) -> Tensor:
        self.output.backward(x)
        h = self.output.input_gradient(x)
        for layer, norm in zip(reversed(self.layers), reversed(self.norms), strict=True):
            h = norm.backward(h.to(x.dtype), self.classes).to(layer.dtype)
            layer.backward(h)
            h = layer.input_gradient(h)
        return h.to(x.dtype)
