"""Residual networks for images: at 32x32 the paper's (supplement, tables 1 to 3), else by one rule."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from skmpcc.method.networks.layers import (
    BatchNorm2d,
    ConditionalBatchNorm,
    Conditioning,
    Discriminator,
    Encoder,
    conv,
    init_kaiming,
    linear,
)

MIN_SIDE = 8


@dataclass(frozen=True)
class Grid:
    """The resolution that the networks work at.

    Attributes
    ----------
    bottom : tuple of int
        Height and width of the generator's first feature map, about 4 on the shorter side.
    n_blocks : int
        Up-sampling blocks; each doubles the sides.
    """

    bottom: tuple[int, int]
    n_blocks: int

    @classmethod
    def for_image(cls, height: int, width: int) -> "Grid":
        """Find the grid nearest above (height, width): 28x28 gives 4 * 2**3 = 32, as in the paper.

        Raises
        ------
        ValueError
            The shorter side has fewer than `MIN_SIDE` pixels.
        """
        shorter = min(height, width)
        if shorter < MIN_SIDE:
            raise ValueError(
                f"Images of {height}x{width} are too small: the shorter side must be at least "
                f"{MIN_SIDE} pixels. Pass them as vectors, shape (n_samples, n_features)."
            )
        n_blocks = max(1, round(math.log2(shorter / 4)))
        bottom = (math.ceil(height / 2**n_blocks), math.ceil(width / 2**n_blocks))
        grid = cls(bottom, n_blocks)
        # Rounding up may have passed the size at which another block is due: 14x11 becomes 14x12,
        # whose grid is 16x12.
        return grid if grid.size == (height, width) else cls.for_image(*grid.size)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width that the generator makes and the discriminator reads."""
        return self.bottom[0] * 2**self.n_blocks, self.bottom[1] * 2**self.n_blocks

    def on_patches(self, patch_size: int) -> "Grid":
        """Return the grid of square patches, of which each is one place.

        A block less for each halving, as long as one is left.
        """
        n_halvings = min(int(math.log2(patch_size)), self.n_blocks - 1)
        return Grid(self.bottom, self.n_blocks - n_halvings)

    @property
    def n_trunk_downs(self) -> int:
        """Pooling blocks of the discriminator, which ends on the second grid from the bottom."""
        return max(1, self.n_blocks - 1)

    @property
    def n_encoder_downs(self) -> int:
        """Pooling blocks that the encoder adds, down to half the bottom grid."""
        return self.n_blocks + 1 - self.n_trunk_downs

    @property
    def encoder_end(self) -> tuple[int, int]:
        """Height and width before the encoder flattens: 2x2 for a 4x4 bottom."""
        height, width = self.size
        n_downs = self.n_blocks + 1
        return height // 2**n_downs, width // 2**n_downs


class GeneratorBlock(nn.Module):
    """Up-sampling block: conditional BN, ReLU, up, 3x3, conditional BN, ReLU, 3x3; shortcut up, 1x1.

    The paper up-samples bilinearly, the authors' code by the nearest neighbour: `upsampling`.
    """

    def __init__(
        self, channels: int, conditioning: Conditioning, *, upsampling: str, spectral: bool
    ) -> None:
        super().__init__()
        self.upsampling = upsampling
        self.norm1 = ConditionalBatchNorm(channels, conditioning.map_to, n_dims=2)
        self.norm2 = ConditionalBatchNorm(channels, conditioning.map_to, n_dims=2)
        self.conv1 = conv(channels, channels, 3, spectral=spectral)
        self.conv2 = conv(channels, channels, 3, spectral=spectral)
        self.shortcut = conv(channels, channels, 1, spectral=spectral)

    def _up(self, x: Tensor) -> Tensor:
        align = False if self.upsampling == "bilinear" else None
        return functional.interpolate(x, scale_factor=2, mode=self.upsampling, align_corners=align)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        # In place where what comes in is not needed again: large maps take longer to write than to find.
        h = self.conv1(self._up(functional.relu_(self.norm1(x, condition))))
        h = self.conv2(functional.relu_(self.norm2(h, condition)))
        # A 1x1 convolution commutes with up-sampling, and is four times cheaper before it.
        return h + self._up(self.shortcut(x))


class ImageGenerator(nn.Module):
    """Generator x~ = G(z, y) in [-1, 1]: linear to the bottom grid, blocks, BN-ReLU-3x3-tanh.

    `grid` is that of the patches, each of which the last convolution makes as one place.
    """

    def __init__(
        self,
        grid: Grid,
        image_channels: int,
        n_clusters: int,
        latent_dim: int,
        *,
        patch_size: int,
        width: int,
        conditioning: str,
        upsampling: str,
        spectral: bool,
    ) -> None:
        super().__init__()
        self.conditioning = Conditioning(
            conditioning, n_clusters, latent_dim, grid.n_blocks, spectral=spectral
        )
        self.first_shape = (width, *grid.bottom)
        self.first = linear(self.conditioning.first_dim, math.prod(self.first_shape), spectral=spectral)
        self.blocks = nn.ModuleList(
            GeneratorBlock(width, self.conditioning, upsampling=upsampling, spectral=spectral)
            for _ in range(grid.n_blocks)
        )
        self.norm = BatchNorm2d(width)
        self.output = conv(width, image_channels * patch_size**2, 3, spectral=spectral, last=True)
        self.patch_size = patch_size

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        h, conditions = self.conditioning(z, y)
        h = self.first(h).view(-1, *self.first_shape).contiguous(memory_format=torch.channels_last)
        for block, condition in zip(self.blocks, conditions, strict=False):
            h = block(h, condition)
        h = self.output(functional.relu_(self.norm(h)))
        return torch.tanh(functional.pixel_shuffle(h, self.patch_size))


class FirstBlock(nn.Module):
    """The discriminator's first block: 3x3, ReLU, 3x3, pool; shortcut pool, 1x1; no first ReLU."""

    def __init__(self, image_channels: int, channels: int, *, spectral: bool = True) -> None:
        super().__init__()
        self.conv1 = conv(image_channels, channels, 3, spectral=spectral)
        self.conv2 = conv(channels, channels, 3, spectral=spectral, pooled=True)
        self.shortcut = conv(image_channels, channels, 1, spectral=spectral)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv2(functional.relu_(self.conv1(x)))
        return h + self.shortcut(functional.avg_pool2d(x, 2))


class DownBlock(nn.Module):
    """Pooling block: ReLU, 3x3, ReLU, 3x3, pool; shortcut 1x1, pool."""

    def __init__(self, channels: int, *, spectral: bool = True) -> None:
        super().__init__()
        self.conv1 = conv(channels, channels, 3, spectral=spectral)
        self.conv2 = conv(channels, channels, 3, spectral=spectral, pooled=True)
        self.shortcut = conv(channels, channels, 1, spectral=spectral)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv2(functional.relu_(self.conv1(functional.relu(x))))
        # A 1x1 convolution commutes with pooling, and is four times cheaper after it.
        return h + self.shortcut(functional.avg_pool2d(x, 2))


class SameBlock(nn.Module):
    """Size-keeping block: ReLU, 3x3, ReLU, 3x3; the shortcut is the input itself."""

    def __init__(self, channels: int, *, spectral: bool = True) -> None:
        super().__init__()
        self.conv1 = conv(channels, channels, 3, spectral=spectral)
        self.conv2 = conv(channels, channels, 3, spectral=spectral)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(functional.relu_(self.conv1(functional.relu(x))))


class ImageTrunk(nn.Sequential):
    """The discriminator's blocks that the encoder shares: all but its last, three at 32x32.

    `grid` is that of the patches, each of which the first convolution sees as one place.
    """

    def __init__(
        self, grid: Grid, image_channels: int, *, patch_size: int, width: int, spectral: bool = True
    ) -> None:
        patches = [nn.PixelUnshuffle(patch_size)] if patch_size > 1 else []
        first = FirstBlock(image_channels * patch_size**2, width, spectral=spectral)
        downs = [DownBlock(width, spectral=spectral) for _ in range(grid.n_trunk_downs - 1)]
        super().__init__(*patches, first, *downs, SameBlock(width, spectral=spectral))
        if not spectral:
            self.apply(init_kaiming)


class ImageDiscriminator(Discriminator):
    """Discriminator D(x): the trunk, one same block, ReLU, global sum pooling, a linear score."""

    def __init__(self, trunk: nn.Sequential, *, width: int, spectral: bool = True) -> None:
        super().__init__()
        self.trunk = trunk
        self.last = SameBlock(width, spectral=spectral)
        if not spectral:
            self.last.apply(init_kaiming)
        self.score = linear(width, 1, spectral=spectral, last=True)

    def features(self, x: Tensor) -> Tensor:
        return functional.relu_(self.last(self.trunk(x))).sum(dim=(2, 3))


class ImageEncoder(Encoder):
    """Encoder q(z | x): the trunk, one same block, two down blocks, two heads of two layers.

    The same block is in the authors' code and not in the supplement's table 3; the code is followed.
    """

    def __init__(
        self, grid: Grid, trunk: nn.Sequential, latent_dim: int, *, width: int, spectral: bool
    ) -> None:
        super().__init__()
        self.trunk = trunk
        downs = [DownBlock(width, spectral=spectral) for _ in range(grid.n_encoder_downs)]
        self.body = nn.Sequential(SameBlock(width, spectral=spectral), *downs, nn.Flatten())
        n_flat = width * math.prod(grid.encoder_end)
        self.mean = self._head(n_flat, latent_dim, spectral)
        self.log_variance = self._head(n_flat, latent_dim, spectral)
        if not spectral:
            self.init_kaiming()

    @staticmethod
    def _head(n_flat: int, latent_dim: int, spectral: bool) -> nn.Sequential:
        half = n_flat // 2
        return nn.Sequential(
            linear(n_flat, half, spectral=spectral),
            nn.ReLU(),
            linear(half, latent_dim, spectral=spectral, last=True),
        )
