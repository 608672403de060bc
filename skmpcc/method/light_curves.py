"""LC-VaDE: VaDE of irregular, noisy series, with a Gaussian process as its decoder.

Chapter 9 of Astorga's thesis (2021). A sample is a row of features f and of points (`networks.series`).
Codes are those of the series followed by the features, so that the density of a code under the mixture
is p(z | y) p(f | y), and memberships are q(y | z, f).
"""

import math

import torch
from torch import Tensor, nn

from skmpcc.method.networks.layers import Encoder
from skmpcc.method.networks.series import (
    ERROR,
    MAX_POINTS,
    PHASE,
    VALUE,
    SeriesDecoder,
    packed,
    posterior,
    series_encoder,
    unpacked,
    with_points,
)
from skmpcc.method.prior import LOG_TWO_PI
from skmpcc.method.variational import VaDEModel, VariationalTraining
from skmpcc.settings import LightCurveNetworkSettings, LightCurveSettingsOnData

# Points that are farther from a decoded curve than so many standard deviations count as these.
_MAX_DEVIATION = 5.0
# Samples, at most, by which variances are calibrated, and share of their points that is held out.
_MAX_CALIBRATING, _LEFT_OUT = 1024, 0.2


class LightCurveModel(VaDEModel):
    """Encoder, decoder and mixture of LC-VaDE.

    Attributes
    ----------
    variance : Tensor of shape ()
        What variances of decoded curves are multiplied by, 1 in training; once the model is prepared for
        inference, by which points that the encoder does not see are as far off as they should be.
    """

    has_full_gaussians = True
    settings: LightCurveNetworkSettings

    @property
    def n_errors(self) -> int:
        return 1

    @property
    def n_places(self) -> int:
        # Of the kernel between inducing phases and points, in units of a hidden layer.
        s = self.settings
        return max(1, s.n_bands * s.n_inducing * MAX_POINTS // s.width)

    def hidden_flops(self, n: int) -> int:
        return 2 * n * self.settings.width**2

    def _decoder_and_encoder(self) -> tuple[nn.Module, Encoder]:
        s = self.settings
        n_codes = s.latent_dim - s.n_features
        layers = {"width": s.width, "n_layers": s.n_layers}
        decoder = SeriesDecoder(n_codes, s.n_bands, s.n_inducing, **layers)
        log_variance = 2 * math.log(s.feature_std)
        return decoder, series_encoder(
            n_codes, s.n_bands, s.n_features, s.n_points, log_variance, **layers
        )

    def unpacked(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features and series of samples."""
        return unpacked(x, self.settings.n_bands, self.settings.n_features)

    @torch.no_grad()
    def collect_standing_statistics(
        self, n_passes: int, batch_size: int, rng: torch.Generator, data: Tensor | None = None
    ) -> None:
        """Collect the averaged decoder's statistics, and calibrate its variances, on data.

        The encoder is not shown `_LEFT_OUT` of the points, at random, of which the mean square deviation
        shall be 1.
        """
        self.variance.fill_(1.0)
        super().collect_standing_statistics(n_passes, batch_size, rng, data)
        self.variance.fill_(1.0)
        if data is None:
            return
        parts = []
        rows = torch.randperm(len(data), generator=rng, device=rng.device)[:_MAX_CALIBRATING]
        for some in rows.to(data.device).split(batch_size):
            features, series = self.unpacked(data[some].to(self.device))
            error = series[:, :, ERROR]
            held_out = torch.rand(error.shape, generator=rng, device=rng.device).to(error) < _LEFT_OUT
            mean, _ = self.encode(packed(features, with_points(series, ~held_out)))
            decoded = self.decode(mean, torch.zeros(len(mean), dtype=torch.int64, device=self.device))
            squares, variance, _ = self.deviations(packed(features, series), decoded)
            chosen = held_out & (error > 0)
            noise = error.square()[chosen]
            parts.append(torch.stack([squares[chosen], variance[chosen] - noise, noise]))
        squares, variance, noise = torch.cat(parts, dim=1)
        factors = torch.logspace(-1.5, 1.0, 51, device=self.device)
        off = torch.stack([_mean_deviation(squares, f * variance + noise) for f in factors])
        self.variance.copy_(factors[(off - 1.0).abs().argmin()])

    def curve(self, decoded: Tensor, phases: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of decoded curves at phases (n, n_bands, n_points), of that shape."""
        mean, variance = posterior(decoded, phases)
        return mean, self.variance.to(variance) * variance

    def deviations(self, x: Tensor, rebuilt: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Square residuals of points, variances s^2 + e^2 of curve and errors, and where points are."""
        _, series = self.unpacked(x)
        mean, variance = self.curve(rebuilt, series[:, :, PHASE])
        error = series[:, :, ERROR]
        residual = series[:, :, VALUE] - mean
        return residual.square(), variance + error.square(), (error > 0).to(mean)

    def likelihood_of_points(self, x: Tensor, rebuilt: Tensor) -> Tensor:
        """Mean over a curve's points of log N(v; m, s^2 + e^2), (n,): the exact one of a noisy point.

        The thesis (equation 9.7) takes the mean of log N(v'; m, s^2) over v' ~ N(v, e^2), for which s
        has to explain the noise as well.
        """
        squares, variance, there = self.deviations(x, rebuilt)
        return -0.5 * _mean(torch.log(variance) + squares / variance + LOG_TWO_PI, there)

    def error(self, x: Tensor, rebuilt: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Mean over a curve's points of their square deviation in standard deviations, (n, 1)."""
        squares, variance, there = self.deviations(x, rebuilt)
        deviations = (squares / variance).clamp_max(_MAX_DEVIATION**2)
        return _mean(deviations, there)[:, None].to(dtype or x.dtype)

    def log_likelihood(self, x: Tensor, rebuilt: Tensor, variances: Tensor) -> Tensor:
        """Log-likelihood but for what the errors' sizes alone make of it, (n,).

        Square deviations in standard deviations are near 1 for a curve that is decoded well, however
        noisy it is.
        """
        return -0.5 * self.error(x, rebuilt, variances.dtype)[:, 0]


def _mean_deviation(squares: Tensor, variance: Tensor) -> Tensor:
    """Mean square deviation, without what is too far off to be noise."""
    deviations = squares / variance
    near = deviations < _MAX_DEVIATION**2
    return (deviations * near).sum() / near.sum().clamp_min(1)


def _mean(values: Tensor, there: Tensor) -> Tensor:
    """Mean over the points that are there, of all bands."""
    return (values * there).flatten(1).sum(1) / there.flatten(1).sum(1).clamp_min(1.0)


class LightCurveTraining(VariationalTraining):
    """One training of LC-VaDE: by the likelihood of points of which the encoder sees some."""

    model: LightCurveModel
    settings: LightCurveSettingsOnData

    def _seen(self, x: Tensor, views: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Draw the points that the likelihood looks at, and of these what the encoder sees."""
        features, series = self.model.unpacked(x)
        error = series[:, :, ERROR]
        order = self._uniform(error.shape) + (error <= 0)
        n_points = min(self.settings.points_at_once, series.shape[3])
        index = order.topk(n_points, largest=False).indices
        series = series.gather(3, index[:, :, None].expand(-1, -1, 3, -1))
        left_out = self.settings.left_out * self._uniform((len(x), 1, 1))
        seen = self._uniform(series[:, :, ERROR].shape) >= left_out
        return packed(features, with_points(series, seen)), packed(features, series)

    def _uniform(self, shape: tuple[int, ...]) -> Tensor:
        return torch.rand(shape, generator=self.rng, device=self.model.device)

    def _reconstruction(self, x: Tensor, rebuilt: Tensor) -> tuple[Tensor, Tensor]:
        loss = -self.settings.likelihood_weight * self.model.likelihood_of_points(x, rebuilt).mean()
        return loss, self.model.error(x, rebuilt).mean()
