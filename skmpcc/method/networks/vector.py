"""Multi-layer perceptrons for tables (n, d), in the roles of the paper's image networks."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from skmpcc.method.networks.layers import (
    ConditionalBatchNorm,
    Conditioning,
    Discriminator,
    Encoder,
    init_kaiming,
    linear,
)
from skmpcc.method.networks.table import TableOutput

SLOPE = 0.2


class VectorGenerator(nn.Module):
    """Generator x~ = G(z, y): linear layers, each with a conditional batch-norm, and a linear output.

    Parameters
    ----------
    n_features, n_clusters, latent_dim, width : int
    n_layers : int
        Hidden layers; the first reads z.
    conditioning : {"split", "shared", "embedding"}
    spectral : bool
        Spectral norm on the linear layers.

    Attributes
    ----------
    last : TableOutput or None
        What makes rows of the outputs, where a table has categories or missing values; whoever makes
        the generator sets it.
    """

    last: TableOutput | None

    def __init__(
        self,
        n_features: int,
        n_clusters: int,
        latent_dim: int,
        *,
        width: int,
        n_layers: int,
        conditioning: str,
        spectral: bool,
    ) -> None:
        super().__init__()
        self.conditioning = Conditioning(
            conditioning, n_clusters, latent_dim, n_layers, spectral=spectral
        )
        sizes = [self.conditioning.first_dim] + [width] * n_layers
        self.layers = nn.ModuleList(linear(a, b, spectral=spectral) for a, b in pairwise(sizes))
        self.norms = nn.ModuleList(
            ConditionalBatchNorm(width, self.conditioning.map_to, n_dims=1) for _ in self.layers
        )
        self.output = linear(width, n_features, spectral=spectral, last=True)
        self.last = None

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        h, conditions = self.conditioning(z, y)
        for layer, norm, condition in zip(self.layers, self.norms, conditions, strict=False):
            h = functional.leaky_relu(norm(layer(h), condition), SLOPE)
        return self.output(h) if self.last is None else self.last(self.output(h), z)


class FourierFeatures(nn.Module):
    """Sines and cosines of random projections (Rahimi and Recht, 2007), which are not learned.

    Perceptrons learn functions that change within short distances late, and of such features early
    (Tancik et al., 2020).

    Parameters
    ----------
    n_features, width : int
        Inputs, and an upper bound of the outputs, whose number is even.
    frequency : float
        Standard deviation of the projections' weights.
    """

    projection: Tensor

    def __init__(self, n_features: int, width: int, frequency: float) -> None:
        super().__init__()
        self.register_buffer("projection", frequency * torch.randn(n_features, width // 2))

    @property
    def n_outputs(self) -> int:
        return 2 * self.projection.shape[1]

    def forward(self, x: Tensor) -> Tensor:
        angles = x @ self.projection
        return torch.cat([angles.sin(), angles.cos()], dim=1)


class FourierGenerator(VectorGenerator):
    """A generator that reads Fourier features of z, without spectral norm."""

    def __init__(
        self,
        n_features: int,
        latent_dim: int,
        frequency: float,
        *,
        width: int,
        n_layers: int,
    ) -> None:
        fourier = FourierFeatures(latent_dim, width, frequency)
        super().__init__(
            n_features,
            1,
            fourier.n_outputs,
            width=width,
            n_layers=n_layers,
            conditioning="embedding",
            spectral=False,
        )
        self.fourier = fourier
        self.apply(init_kaiming)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return super().forward(self.fourier(z), y)


def _hidden(sizes: list[int], spectral: bool = True) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in pairwise(sizes):
        layers += [linear(a, b, spectral=spectral), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers)


class VectorTrunk(nn.Sequential):
    """The discriminator's first layers, which the encoder shares: all hidden layers but the last."""

    def __init__(self, n_features: int, *, width: int, n_layers: int, spectral: bool = True) -> None:
        super().__init__(*_hidden([n_features] + [width] * max(1, n_layers - 1), spectral))
        if not spectral:
            self.apply(init_kaiming)


class VectorDiscriminator(Discriminator):
    """Discriminator D(x): the trunk, one layer of its own, a linear score."""

    def __init__(self, trunk: nn.Sequential, *, width: int, spectral: bool = True) -> None:
        super().__init__()
        self.trunk = trunk
        self.body = _hidden([width, width], spectral)
        if not spectral:
            self.body.apply(init_kaiming)
        self.score = linear(width, 1, spectral=spectral, last=True)

    def features(self, x: Tensor) -> Tensor:
        return self.body(self.trunk(x))


class VectorEncoder(Encoder):
    """Encoder q(z | x): the trunk, one layer of its own, two heads of two layers."""

    def __init__(self, trunk: nn.Sequential, latent_dim: int, *, width: int, spectral: bool) -> None:
        super().__init__()
        self.trunk = trunk
        self.body = _hidden([width, width], spectral)
        self.mean = self._head(width, latent_dim, spectral)
        self.log_variance = self._head(width, latent_dim, spectral)
        if not spectral:
            self.init_kaiming()

    @staticmethod
    def _head(width: int, latent_dim: int, spectral: bool) -> nn.Sequential:
        half = width // 2
        hidden = _hidden([width, half], spectral)
        return nn.Sequential(*hidden, linear(half, latent_dim, spectral=spectral, last=True))
