"""AIM's networks for images of one size (Li et al., 2019, tables 3 and 4), after DCGAN.

Weights are N(0, 0.02) and biases 0, as the tables say. Nothing is spectrally normalized. All channels
are in proportion to one width, that of the discriminator's first convolution. Images are in [-1, 1]
here; the sigmoid of table 3, whose images are in [0, 1], becomes the hyperbolic tangent of half its
input, which is the same function on the other scale.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from skmpcc.method.networks.layers import (
    INITIAL_STD,
    BatchNorm1d,
    BatchNorm2d,
    Discriminator,
    Encoder,
    linear,
)


@dataclass(frozen=True)
class Table:
    """Sizes and kinds of layers in one of the paper's tables of networks.

    Attributes
    ----------
    side : int
        Height and width of the images.
    slope : float
        Of the leaky ReLUs.
    n_trunk : int
        Convolutions that discriminator and encoder share, each of which halves the side.
    """

    side: int
    slope: float
    n_trunk: int

    @property
    def end(self) -> int:
        """Height and width of the feature maps that discriminator and encoder share."""
        return self.side >> self.n_trunk


TABLES = {"table3": Table(28, 0.1, 2), "table4": Table(64, 0.2, 4)}


def _initialized(layer: nn.Module) -> None:
    if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, std=INITIAL_STD)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _conv(
    n_in: int,
    n_out: int,
    kernel_size: int,
    stride: int,
    padding: int,
    slope: float,
    *,
    norm: bool = True,
) -> list[nn.Module]:
    norms = [BatchNorm2d(n_out)] if norm else []
    return [nn.Conv2d(n_in, n_out, kernel_size, stride, padding), *norms, nn.LeakyReLU(slope)]


def _up(n_in: int, n_out: int) -> list[nn.Module]:
    return [nn.ConvTranspose2d(n_in, n_out, 4, 2, 1), BatchNorm2d(n_out), nn.ReLU()]


class DCGANGenerator(nn.Module):
    """Generator x~ = G(z) in [-1, 1] of a table; the component `y` is not looked at.

    Parameters
    ----------
    table : {"table3", "table4"}
    channels, latent_dim, width : int
    """

    def __init__(self, table: str, channels: int, latent_dim: int, *, width: int) -> None:
        super().__init__()
        self._halves = table == "table3"
        end = TABLES[table].end
        if table == "table3":
            n_first, n_flat = 16 * width, 2 * width * end**2
            layers = [
                nn.Flatten(),
                *(nn.Linear(latent_dim, n_first), BatchNorm1d(n_first), nn.ReLU()),
                *(nn.Linear(n_first, n_flat), BatchNorm1d(n_flat), nn.ReLU()),
                nn.Unflatten(1, (2 * width, end, end)),
                *_up(2 * width, width),
                nn.ConvTranspose2d(width, channels, 4, 2, 1),
            ]
        else:
            layers = [nn.ConvTranspose2d(latent_dim, 8 * width, end), BatchNorm2d(8 * width), nn.ReLU()]
            for n_in in (8 * width, 4 * width, 2 * width):
                layers += _up(n_in, n_in // 2)
            layers.append(nn.ConvTranspose2d(width, channels, 4, 2, 1))
        self.layers = nn.Sequential(*layers)
        self.apply(_initialized)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        x = self.layers(z[:, :, None, None])
        return torch.tanh(0.5 * x if self._halves else x)


class DCGANTrunk(nn.Sequential):
    """D_feature of a table: the convolutions that the encoder reads."""

    def __init__(self, table: str, channels: int, *, width: int) -> None:
        sizes, slope = [width << i for i in range(TABLES[table].n_trunk)], TABLES[table].slope
        layers = _conv(channels, width, 4, 2, 1, slope, norm=False)
        for n_in in sizes[:-1]:
            layers += _conv(n_in, 2 * n_in, 4, 2, 1, slope)
        super().__init__(*layers)
        self.apply(_initialized)


class DCGANDiscriminator(Discriminator):
    """Discriminator D(x) of a table, before the sigmoid: the trunk and what comes after it."""

    def __init__(self, table: str, trunk: nn.Sequential, *, width: int) -> None:
        super().__init__()
        self.trunk = trunk
        end, slope, n_trunk = TABLES[table].end, TABLES[table].slope, TABLES[table].n_trunk
        n_features = (width << (n_trunk - 1)) * end**2
        layers: list[nn.Module] = [nn.Flatten()]
        if table == "table3":
            n_first = 16 * width
            layers += [nn.Linear(n_features, n_first), BatchNorm1d(n_first), nn.LeakyReLU(slope)]
            layers.append(nn.Linear(n_first, width))
            n_features = width
        self.body = nn.Sequential(*layers)
        self.body.apply(_initialized)
        # A convolution of table 4's 4x4 maps by a 4x4 kernel is this product.
        self.score = linear(n_features, 1, spectral=False)

    def features(self, x: Tensor) -> Tensor:
        return self.body(self.trunk(x))


class DCGANEncoder(Encoder):
    """Encoder q(z | x) of a table: the trunk, convolutions of its own, and two heads of two layers."""

    def __init__(self, table: str, trunk: nn.Sequential, latent_dim: int, *, width: int) -> None:
        super().__init__()
        self.trunk = trunk
        slope, end = TABLES[table].slope, TABLES[table].end
        if table == "table3":
            own = _conv(2 * width, width, 4, 2, 1, slope)
            n_flat = width * (end // 2) ** 2
        else:
            own = [
                *_conv(8 * width, 4 * width, 4, 2, 1, slope),
                *_conv(4 * width, 4 * width, 4, 2, 1, slope),
                # From 1x1 to 2x2, without which the table's 512 values would not be.
                *_conv(4 * width, 2 * width, 2, 1, 1, slope),
                *_conv(2 * width, width, 1, 1, 0, slope),
            ]
            n_flat = width * 2**2
        self.body = nn.Sequential(*own, nn.Flatten())
        self.mean = self._head(n_flat, latent_dim, slope)
        self.log_variance = self._head(n_flat, latent_dim, slope)
        for part in (self.body, self.mean, self.log_variance):
            part.apply(_initialized)

    @staticmethod
    def _head(n_flat: int, latent_dim: int, slope: float) -> nn.Sequential:
        return nn.Sequential(
            nn.Linear(n_flat, latent_dim),
            BatchNorm1d(latent_dim),
            nn.LeakyReLU(slope),
            nn.Linear(latent_dim, latent_dim),
        )


def n_places(table: str) -> int:
    """Places of the largest hidden layer."""
    return math.prod([TABLES[table].side // 2] * 2)
