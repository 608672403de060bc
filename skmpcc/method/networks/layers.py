"""Roles, layers and conditioning on (z, y) that networks for images and for tables share."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import ParametrizationList

INITIAL_STD = 0.02

Layer = TypeVar("Layer", bound=nn.Linear | nn.Conv2d | nn.Embedding)


class Discriminator(nn.Module):
    """Discriminator D(x): features, which begin with the trunk's, and a linear score of them."""

    trunk: nn.Sequential
    score: nn.Linear

    def features(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return self.score(self.features(x)).squeeze(1)


class Encoder(nn.Module):
    """Encoder q(z | x): the trunk, a body, and a head each for mean and log-variance."""

    trunk: nn.Sequential
    body: nn.Sequential
    mean: nn.Sequential
    log_variance: nn.Sequential

    def forward(self, x: Tensor, n_spread: int | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of samples; the latter of the first `n_spread` alone, if given."""
        h = self.body(self.trunk(x))
        return self.mean(h), self.log_variance(h[:n_spread])

    def init_kaiming(self) -> None:
        """Initialize the encoder's own layers, where nothing normalizes them; see `init_kaiming`."""
        for part in (self.body, self.mean, self.log_variance):
            part.apply(init_kaiming)


class _OutsideAutocast(nn.Module):
    """A layer whose spectral norm is outside autocast; a network's last layer is as a whole.

    Autocast would round the norm's estimate, and what leaves the network.

    Attributes
    ----------
    normalized : Tensor or None
        The weight over its spectral norm, in the type that it multiplies in, where an engine has it
        already.
    """

    weight: Tensor
    is_last = False
    normalized: Tensor | None = None

    def _product(self, x: Tensor, weight: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            weight = self.weight if self.normalized is None else self.normalized
            if self.is_last:
                return self._product(x.to(weight.dtype), weight)
        return self._product(x, weight)


class Linear(_OutsideAutocast, nn.Linear):
    """A linear layer."""

    def _product(self, x: Tensor, weight: Tensor) -> Tensor:
        return functional.linear(x, weight, self.bias)


class Conv2d(_OutsideAutocast, nn.Conv2d):
    """A convolution.

    Attributes
    ----------
    is_pooled : bool
        Whether means of 2x2 places are wanted of what a 3x3 convolution gives. One of 4x4 at every
        other place gives them at once, with less than half of the products.
    """

    is_pooled = False

    def _product(self, x: Tensor, weight: Tensor) -> Tensor:
        if not self.is_pooled:
            return self._conv_forward(x, weight, self.bias)
        if torch.jit.is_tracing():
            # ONNX knows no convolution whose weights are computed.
            return functional.avg_pool2d(self._conv_forward(x, weight, self.bias), 2)
        weight = functional.avg_pool2d(functional.pad(weight, (1, 1, 1, 1)), 2, stride=1)
        return functional.conv2d(x, weight, self.bias, stride=2, padding=1)


def _initialized(layer: Layer, spectral: bool) -> Layer:
    nn.init.normal_(layer.weight, std=INITIAL_STD)
    if not isinstance(layer, nn.Embedding) and layer.bias is not None:
        nn.init.zeros_(layer.bias)
    if spectral:
        spectral_norm(layer)
    return layer


def linear(
    n_in: int, n_out: int, *, spectral: bool = True, bias: bool = True, last: bool = False
) -> Linear:
    """A linear layer, N(0, 0.02) weights, zero bias, spectrally normalized by default."""
    layer = Linear(n_in, n_out, bias=bias)
    layer.is_last = last
    return _initialized(layer, spectral)


def conv(
    n_in: int,
    n_out: int,
    kernel_size: int,
    *,
    spectral: bool = True,
    last: bool = False,
    pooled: bool = False,
) -> Conv2d:
    """A convolution that keeps sizes, or halves them, initialized and normalized like `linear`."""
    layer = Conv2d(n_in, n_out, kernel_size, padding=kernel_size // 2)
    layer.is_last, layer.is_pooled = last, pooled
    return _initialized(layer, spectral)


def init_kaiming(layer: nn.Module) -> None:
    """Initialize a layer that nothing normalizes so that ReLUs before it keep the scale."""
    if isinstance(layer, nn.Linear | nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight)


def draw_biases(layer: nn.Module) -> None:
    """Initialize a layer's bias as torch does by default, from U(-b, b) with b = fan_in ** -0.5."""
    if isinstance(layer, nn.Linear | nn.Conv2d) and layer.bias is not None:
        bound = layer.weight[0].numel() ** -0.5
        nn.init.uniform_(layer.bias, -bound, bound)


def embedding(n_clusters: int, n_out: int) -> nn.Embedding:
    """A row per cluster. Not spectrally normalized: its rows are looked up, not multiplied."""
    return _initialized(nn.Embedding(n_clusters, n_out), spectral=False)


class ClassProjection(nn.Module):
    """Embed(y) . h, which a projection discriminator adds to its score; the embedding's norm is 1.

    The norm is estimated by one power iteration in each forward pass. torch's parametrization does the
    same, but would draw its first vectors from the global random stream.

    Parameters
    ----------
    n_clusters, n_features : int
    rng : torch.Generator
        Source of the initial values, on the device of the module.
    dtype : torch.dtype
    """

    left: Tensor
    right: Tensor

    def __init__(
        self, n_clusters: int, n_features: int, rng: torch.Generator, dtype: torch.dtype
    ) -> None:
        super().__init__()

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=rng, device=rng.device, dtype=dtype)

        self.embedding = nn.Parameter(normal(n_clusters, n_features))
        self.register_buffer("left", functional.normalize(normal(n_clusters), dim=0))
        self.register_buffer("right", functional.normalize(normal(n_features), dim=0))
        for _ in range(15):
            self._estimate()

    @torch.no_grad()
    def _estimate(self) -> None:
        self.left.copy_(functional.normalize(self.embedding @ self.right, dim=0))
        self.right.copy_(functional.normalize(self.embedding.T @ self.left, dim=0))

    def forward(self, h: Tensor, y: Tensor) -> Tensor:
        self._estimate()
        # autograd keeps both for the backward pass, the next estimate is in place
        left, right = self.left.clone(), self.right.clone()
        norm = torch.dot(left, self.embedding @ right)
        return ((h @ self.embedding.T) / norm).gather(1, y.unsqueeze(1)).squeeze(1)


class BatchNorm(nn.modules.batchnorm._BatchNorm):
    """A batch-norm that can take several batches at once, each normalized by its own moments.

    Attributes
    ----------
    n_chunks : int
    normalize : callable or None
        What normalizes a batch in training, in the place of torch's own.
    """

    n_chunks = 1
    normalize: Callable[[Tensor], Tensor] | None = None

    # Not None, as torch has it for norms that keep no statistics.
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def forward(self, x: Tensor) -> Tensor:
        if self.normalize is not None and self.training:
            return self.normalize(x)
        if self.n_chunks == 1 or not self.training:
            return super().forward(x)
        return torch.cat([super(BatchNorm, self).forward(chunk) for chunk in x.chunk(self.n_chunks)])


class BatchNorm1d(BatchNorm, nn.BatchNorm1d):
    """For (n, C)."""


class BatchNorm2d(BatchNorm, nn.BatchNorm2d):
    """For (n, C, h, w)."""


class ConditionalBatchNorm(nn.Module):
    """Batch-norm whose gain and bias depend on the condition of its place.

    Parameters
    ----------
    n_features : int
    condition : callable
        Makes the map from the condition to `n_features` values; see `Conditioning.map_to`.
    n_dims : {1, 2}
        1 for (n, C), 2 for (n, C, h, w).
    """

    def __init__(
        self, n_features: int, condition: Callable[[int], nn.Linear | nn.Embedding], *, n_dims: int
    ) -> None:
        super().__init__()
        norm = BatchNorm1d if n_dims == 1 else BatchNorm2d
        self.norm = norm(n_features, affine=False)
        self.gain = condition(n_features)
        self.bias = condition(n_features)
        self._trailing = (1,) * (0 if n_dims == 1 else 2)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        shape = (x.shape[0], -1, *self._trailing)
        # In the type of what is normalized: autocast has none of its own for this.
        gain = (1.0 + self.gain(condition)).view(shape).to(x.dtype)
        bias = self.bias(condition).view(shape).to(x.dtype)
        return torch.addcmul(bias, self.norm(x), gain)


class Conditioning(nn.Module):
    """The three ways to feed (z, y) to a generator of one linear layer and several blocks.

    - "split": z in equal chunks, the first (with the remainder) to the linear layer, each of the
      others, together with a shared Embed(y), to one block's batch-norms through linear maps.
    - "shared": the same, but every place gets the whole of z.
    - "embedding": z goes to the linear layer alone; each batch-norm has an embedding of y of its own.

    Supplement, appendix C.
    """

    def __init__(
        self, mode: str, n_clusters: int, latent_dim: int, n_blocks: int, *, spectral: bool
    ) -> None:
        super().__init__()
        self.mode = mode
        self.n_clusters = n_clusters
        self.spectral = spectral
        if mode == "split":
            chunk = latent_dim // (n_blocks + 1)
            if chunk == 0:
                raise ValueError(
                    f"latent_dim={latent_dim} cannot be split into {n_blocks + 1} chunks: "
                    f"conditioning='split' needs latent_dim >= {n_blocks + 1} here."
                )
            self.chunks = [latent_dim - chunk * n_blocks] + [chunk] * n_blocks
            self.first_dim = self.chunks[0]
        else:
            chunk = latent_dim
            self.first_dim = latent_dim
        self.condition_dim = chunk + latent_dim
        # Embed(y) has J entries (supplement, table 1).
        self.shared_embedding = embedding(n_clusters, latent_dim) if mode != "embedding" else None

    def map_to(self, n_features: int) -> nn.Linear | nn.Embedding:
        """The map from a place's condition to one value per feature."""
        if self.mode == "embedding":
            return embedding(self.n_clusters, n_features)
        return linear(self.condition_dim, n_features, spectral=self.spectral, bias=False)

    def forward(self, z: Tensor, y: Tensor) -> tuple[Tensor, Iterator[Tensor]]:
        """Input of the linear layer, and the blocks' conditions in their order."""
        if self.shared_embedding is None:
            return z, _repeat(y)
        embedded = self.shared_embedding(y)
        if self.mode == "shared":
            return z, _repeat(torch.cat([z, embedded], dim=1))
        first, *others = z.split(self.chunks, dim=1)
        return first, (torch.cat([chunk, embedded], dim=1) for chunk in others)


def _repeat(condition: Tensor) -> Iterator[Tensor]:
    while True:
        yield condition


def batch_norms(module: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """Every batch-norm inside `module`."""
    return [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]


@contextmanager
def chunked(module: nn.Module, n_chunks: int) -> Iterator[None]:
    """Context manager in which `module` sees the `n_chunks` parts of a batch one after the other."""
    norms = [m for m in module.modules() if isinstance(m, BatchNorm)]
    for norm in norms:
        norm.n_chunks = n_chunks
    try:
        yield
    finally:
        for norm in norms:
            norm.n_chunks = 1


@contextmanager
def normalized_by(module: nn.Module, normalize: Callable[[BatchNorm, Tensor], Tensor]) -> Iterator[None]:
    """Context manager in which `normalize` does the work of batch-norms in training."""
    norms = [m for m in module.modules() if isinstance(m, BatchNorm)]
    for norm in norms:
        norm.normalize = partial(normalize, norm)
    try:
        yield
    finally:
        for norm in norms:
            norm.normalize = None


@contextmanager
def frozen_spectral_norms(module: nn.Module) -> Iterator[None]:
    """Context manager in which forward passes do not improve the estimates of the spectral norms."""
    norms = [m for m in module.modules() if isinstance(m, ParametrizationList) and m.training]
    for norm in norms:
        norm.train(False)
    try:
        yield
    finally:
        for norm in norms:
            norm.train(True)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Context manager in which forward passes change no spectral norms and no batch-norm statistics."""
    training = [part for part in module.modules() if part.training]
    for part in training:
        part.training = False
    try:
        yield
    finally:
        for part in training:
            part.training = True


@contextmanager
def standing_statistics(module: nn.Module) -> Iterator[None]:
    """Context manager that averages forward passes into new batch-norm statistics, which then stay.

    BigGAN's standing statistics: each pass counts the same, unlike the training's moving average.
    `module` is left in evaluation mode.
    """
    norms = batch_norms(module)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's cumulative average
    module.train()
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        module.eval()
