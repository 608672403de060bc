"""Networks for folded series: interpolation of points to a grid, and a Gaussian process that is decoded.

Series are tensors of shape (n, n_bands, 3, n_points), whose channels are phase in cycles, value and
standard deviation of the error; places without a point have the error 0.
"""

import math

import torch
from torch import Tensor, nn

from skmpcc.method.networks.layers import Encoder
from skmpcc.method.networks.vector import VectorEncoder, VectorGenerator, VectorTrunk

PHASE, VALUE, ERROR = range(3)
# Points of a series, at most, that networks see at once.
MAX_POINTS = 256

# Length scales of the encoder's kernels, to begin with; see `circular`.
_LENGTH_SCALES = (0.2, 0.6)
# Points are taken for no more precise than this standard deviation, in units of a curve's amplitude.
_LEAST_ERROR = 0.1
# The process' shortest length scale, in distances of inducing points.
_SHORTEST = 0.8
# Variance of inducing values, at least, over the kernel's: K + D of a smooth kernel is singular.
_LEAST_NOISE = 1e-3


def circular(first: Tensor, second: Tensor) -> Tensor:
    """-2 sin^2(pi d) of all pairs of phases at a distance of d; (..., m, n) of (..., m) and (..., n)."""
    return torch.cos(2 * math.pi * (first[..., :, None] - second[..., None, :])) - 1.0


class CircularInterpolation(nn.Module):
    """Points to a grid of phases: weighted means by kernels of learned width, and how sure they are.

    The interpolation of Shukla and Marlin (2019) on the circle, with points weighed by their errors. For
    each band and kernel it gives sum_j w_j v_j / (1 + sum_j w_j) and 1 / sqrt(1 + sum_j w_j), where w_j
    is the kernel times the precision.

    Parameters
    ----------
    n_bands, n_points : int
        Bands, and phases of the grid.
    """

    phases: Tensor

    def __init__(self, n_bands: int, n_points: int) -> None:
        super().__init__()
        self.register_buffer("phases", torch.arange(n_points) / n_points)
        initial = torch.tensor(_LENGTH_SCALES).log().expand(n_bands, -1)
        self.log_length_scales = nn.Parameter(initial.clone())
        self.log_least_error = nn.Parameter(torch.full((n_bands, 1), math.log(_LEAST_ERROR)))

    @property
    def n_outputs(self) -> int:
        """Values of each series."""
        return 2 * self.log_length_scales.numel() * len(self.phases)

    def forward(self, series: Tensor) -> Tensor:
        error = series[:, :, ERROR]
        precision = (error > 0) / (error.square() + torch.exp(2.0 * self.log_least_error))
        distance = circular(self.phases.to(series), series[:, :, PHASE])
        scales = torch.exp(-2.0 * self.log_length_scales)
        outputs = []
        for k in range(scales.shape[1]):
            weights = torch.exp(distance * scales[:, k, None, None])
            of = torch.stack([precision * series[:, :, VALUE], precision], dim=-1)
            sums = weights @ of
            total = 1.0 + sums[..., 1]
            outputs += [sums[..., 0] / total, total.rsqrt()]
        return torch.stack(outputs, dim=2).flatten(1)


class SeriesEncoder(Encoder):
    """Encoder q(z, f | x) of a series x and of features f, whose codes are known but for a little noise.

    Parameters
    ----------
    interpolation : CircularInterpolation
    encoder : VectorEncoder
        Of what the interpolation gives.
    n_features : int
        Features, which are the first inputs and the last codes.
    log_variance : float
        Of their codes.
    """

    def __init__(
        self,
        interpolation: nn.Module,
        encoder: Encoder,
        n_bands: int,
        n_features: int,
        log_variance: float,
    ) -> None:
        super().__init__()
        self.interpolation = interpolation
        self.trunk, self.body = encoder.trunk, encoder.body
        self.mean, self.log_variance = encoder.mean, encoder.log_variance
        self.n_bands = n_bands
        self.n_features = n_features
        self.feature_log_variance = log_variance

    def forward(self, x: Tensor, n_spread: int | None = None) -> tuple[Tensor, Tensor]:
        features, series = unpacked(x, self.n_bands, self.n_features)
        mean, log_variance = super().forward(self.interpolation(series), n_spread)
        of_features = torch.full_like(features[:n_spread], self.feature_log_variance)
        return (
            torch.cat([mean, features.to(mean)], dim=1),
            torch.cat([log_variance, of_features.to(log_variance)], dim=1),
        )


def unpacked(x: Tensor, n_bands: int, n_features: int) -> tuple[Tensor, Tensor]:
    """Features and series of samples, which are rows of both."""
    return x[:, :n_features], x[:, n_features:].view(len(x), n_bands, 3, -1)


def packed(features: Tensor, series: Tensor) -> Tensor:
    """Invert `unpacked`."""
    return torch.cat([features, series.flatten(1)], dim=1)


def with_points(series: Tensor, seen: Tensor) -> Tensor:
    """Series with those of their points alone for which `seen` (n, n_bands, n_points) is true."""
    return torch.cat([series[:, :, :ERROR], (series[:, :, ERROR] * seen)[:, :, None]], dim=2)


class SeriesDecoder(nn.Module):
    """Decoder of a code to a Gaussian process on the circle, by inducing values.

    It gives for each band the means and log-variances of a curve at phases k / m, and the logarithms of
    amplitude and length scale of the kernel by which they are put together; see `posterior`.

    Parameters
    ----------
    latent_dim, n_bands, n_inducing : int
    width, n_layers : int
        Of the hidden layers.
    """

    def __init__(
        self, latent_dim: int, n_bands: int, n_inducing: int, *, width: int, n_layers: int
    ) -> None:
        super().__init__()
        self.n_codes = latent_dim
        self.network = VectorGenerator(
            n_bands * (2 * n_inducing + 2),
            1,
            latent_dim,
            width=width,
            n_layers=n_layers,
            conditioning="embedding",
            spectral=False,
        )
        with torch.no_grad():
            bias = self.network.output.bias.view(n_bands, -1)
            bias[:, n_inducing : 2 * n_inducing] = -3.0

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return self.network(z[:, : self.n_codes], torch.zeros_like(y))


def posterior(decoded: Tensor, phases: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of decoded curves at phases (n, n_bands, n_points), of that shape.

    Of a Gaussian process that was seen at the inducing phases, with the decoded values and variances of
    noise: K_oi (K_ii + D)^-1 mu, and the diagonal of K_oo - K_oi (K_ii + D)^-1 K_io (section 9.3 of the
    thesis, with a kernel on the circle).
    """
    n, n_bands, _ = phases.shape
    decoded = decoded.view(n, n_bands, -1).to(phases.dtype)
    m = decoded.shape[2] // 2 - 1
    means, noise = decoded[..., :m], torch.exp(decoded[..., m : 2 * m].clamp(-12.0, 6.0))
    variance = torch.exp(decoded[..., 2 * m].clamp(-6.0, 4.0))[..., None, None]
    shortest = _SHORTEST * 2 * math.pi / m
    scale = shortest + torch.nn.functional.softplus(decoded[..., 2 * m + 1] + 0.0)[..., None, None]
    inducing = torch.arange(m, device=phases.device, dtype=phases.dtype) / m
    within = variance * torch.exp(circular(inducing, inducing) / scale.square())
    across = variance * torch.exp(circular(inducing, phases) / scale.square())
    noise = noise + _LEAST_NOISE * variance[..., 0]
    factor = torch.linalg.cholesky(within + torch.diag_embed(noise))
    both = torch.linalg.solve_triangular(
        factor, torch.cat([across, means[..., None]], dim=-1), upper=False
    )
    across, means = both[..., :-1], both[..., -1:]
    mean = (across * means).sum(-2)
    spread = variance[..., 0] - across.square().sum(-2)
    return mean, spread.clamp_min(1e-6)


def series_encoder(
    latent_dim: int,
    n_bands: int,
    n_features: int,
    n_points: int,
    feature_log_variance: float,
    *,
    width: int,
    n_layers: int,
) -> SeriesEncoder:
    """Make the encoder of series, interpolated to `n_points` phases, and of features."""
    interpolation = CircularInterpolation(n_bands, n_points)
    trunk = VectorTrunk(interpolation.n_outputs, width=width, n_layers=n_layers, spectral=False)
    encoder = VectorEncoder(trunk, latent_dim, width=width, spectral=False)
    return SeriesEncoder(interpolation, encoder, n_bands, n_features, feature_log_variance)
