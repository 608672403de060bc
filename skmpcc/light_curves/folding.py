"""Series brought to one period, level, amplitude and phase, with what was taken from them."""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from skmpcc.light_curves.curves import LightCurves
from skmpcc.light_curves.regression import CircularRegression, regress, waves
from skmpcc.method.networks.series import MAX_POINTS

# Points that are further from the smooth curve than this many robust standard deviations are left out.
_CLIP = 5.0
# Standard deviation of normal values over their median absolute deviation.
MAD = 1.4826
# Places among which the extreme of a curve is looked for.
_FINE = 512
# From there to the extreme itself.
_N_STEPS = 6


@dataclass(frozen=True)
class FoldedCurves:
    """Series of points at phases in cycles, one of each curve and band, in the curves' own units.

    Attributes
    ----------
    phases, values, variances : ndarray of shape (n_points,)
        What is left of the points, end to end. Phases start at the curve's alignment; variances are of
        the errors.
    splits : ndarray of shape (n * n_bands + 1,)
        Series i, of curve i // n_bands, has the points `splits[i]` to `splits[i + 1]`.
    regression : CircularRegression
        Of each series, at phases before the alignment.
    shifts : ndarray of shape (n,)
        Phases of the alignment.
    starts, periods : ndarray of shape (n,)
        What was taken from times, and what they were divided by.
    """

    phases: NDArray[np.float64]
    values: NDArray[np.float64]
    variances: NDArray[np.float64]
    splits: NDArray[np.int64]
    regression: CircularRegression
    shifts: NDArray[np.float64]
    starts: NDArray[np.float64]
    periods: NDArray[np.float64]

    @property
    def n_bands(self) -> int:
        """Number of bands."""
        return (len(self.splits) - 1) // len(self.periods)

    @property
    def levels(self) -> NDArray[np.float64]:
        """Mean over the phases of each curve and band, (n, n_bands)."""
        return self.regression.coefficients[:, 0].reshape(-1, self.n_bands)

    @cached_property
    def amplitudes(self) -> NDArray[np.float64]:
        """Root mean square of each curve and band around its level, (n, n_bands)."""
        spread = np.square(self.regression.roots).sum(1) + np.square(self.regression.coefficients)
        return np.sqrt(0.5 * spread[:, 1:].sum(1)).reshape(-1, self.n_bands)

    def excess(self) -> NDArray[np.float64]:
        """Root mean square distance from the smooth curve that errors do not explain; (n, n_bands).

        What chance may add to them, of two standard deviations, counts as theirs: otherwise the noisier
        a curve is, the more it would scatter.
        """
        counts = np.diff(self.splits)
        phases = self.phases + np.repeat(np.repeat(self.shifts, self.n_bands), counts)
        squares = np.square(self.values - _smooth(phases, self.splits, self.regression))
        squares, noise = (
            np.add.reduceat(each, self.splits[:-1]) / counts for each in (squares, self.variances)
        )
        chance = 1.0 + 2.0 * np.sqrt(2.0 / counts)
        return np.sqrt(np.maximum(squares - chance * noise, 0.0)).reshape(-1, self.n_bands)

    @cached_property
    def _together(self) -> NDArray[np.float64]:
        return _of_all_bands(self.regression, self.n_bands)

    def skews(self) -> NDArray[np.float64]:
        """Skewness of the smooth curve over the phases, (n,)."""
        curve = self._together[:, 1:] @ waves(_grid(_FINE))[:, 1:].T
        return _ratio((curve**3).mean(1), np.square(curve).mean(1) ** 1.5)

    def harmonics(self) -> NDArray[np.float64]:
        """Amplitude of the second harmonic over that of the first, (n,)."""
        coefficients = self._together
        n = coefficients.shape[1] // 2
        first, second = (np.hypot(coefficients[:, k], coefficients[:, k + n]) for k in (1, 2))
        return _ratio(second, first)

    def shapes(self, phases: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation of aligned curves of level 0 and amplitude 1, (n, n_bands, m)."""
        at = np.repeat(phases + self.shifts[:, None], self.n_bands, axis=0)
        level, amplitude = self.levels[..., None], self.amplitudes[..., None]
        shape = (len(self.periods), self.n_bands, -1)
        mean, std = self.regression.mean(at).reshape(shape), self.regression.std(at).reshape(shape)
        return (mean - level) / amplitude, std / amplitude

    def packed(self) -> NDArray[np.float64]:
        """Phases, values and errors of the points, (n, n_bands, 3, m), of level 0 and amplitude 1.

        Where a series has fewer than m points, its last errors are 0. A series of more than `MAX_POINTS`
        has as many bins of phase, whose points are averaged by their errors.
        """
        n_series = len(self.splits) - 1
        series = np.repeat(np.arange(n_series), np.diff(self.splits))
        dense = np.diff(self.splits)[series] > MAX_POINTS
        # Each point of other series is a bin of its own.
        bins = np.where(dense, np.floor(self.phases * MAX_POINTS), np.arange(len(series)))
        order = np.lexsort((bins, series))
        starts = np.flatnonzero(
            np.diff(series[order], prepend=-1) + np.diff(bins[order], prepend=-1.0) != 0
        )
        weights = 1 / self.variances[order]
        total = np.add.reduceat(weights, starts)
        phases, values = (
            np.add.reduceat(weights * each[order], starts) / total for each in (self.phases, self.values)
        )
        series = series[order][starts]
        level, amplitude = self.levels.ravel()[series], self.amplitudes.ravel()[series]
        counts = np.bincount(series, minlength=n_series)
        place = np.arange(len(series)) - np.repeat(np.cumsum(counts) - counts, counts)
        packed = np.zeros((n_series, 3, counts.max()))
        packed[series, :, place] = np.stack(
            [phases, (values - level) / amplitude, 1 / (np.sqrt(total) * amplitude)], axis=1
        )
        return packed.reshape(len(self.periods), self.n_bands, 3, -1)


def fold(curves: LightCurves, periods: NDArray[np.float64] | None, align: str | None) -> FoldedCurves:
    """Fold curves by their periods, or bring each to half a cycle if there are none.

    Parameters
    ----------
    curves : LightCurves
    periods : ndarray of shape (n,) or None
    align : {"phase", "min", "max"} or None
        Where phase 0 is: where the first harmonic has its maximum, the curve its least or largest
        value, or the first point.

    Returns
    -------
    folded : FoldedCurves
    """
    n_bands = len(curves.band_names)
    n_series = len(curves) * n_bands
    series, since, values, variances = observations(curves)
    first = np.minimum.reduceat(curves.times, curves.splits[:-1])
    repeats = True
    if periods is None:
        # Half of the circle, so that the two ends are as far from one another as can be.
        align, repeats = None, False
        periods = 2 * (np.maximum.reduceat(curves.times, curves.splits[:-1]) - first)
    phases = since / periods[series // n_bands] % 1.0
    splits = _splits(series, n_series)
    if curves.errors is None:
        variances = variances * _variances_by_neighbors(phases, values, splits, repeats)
    kept = _near(phases, values, variances, splits)
    series, phases = series[kept], phases[kept]
    values, variances = values[kept], variances[kept]
    splits = _splits(series, n_series)
    regression = regress(phases, values, variances, splits)
    shifts = _shifts(regression, n_bands, align)
    phases = (phases - shifts[series // n_bands]) % 1.0
    return FoldedCurves(phases, values, variances, splits, regression, shifts, first, periods)


def _splits(series: NDArray[np.int64], n_series: int) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(np.bincount(series, minlength=n_series))])


def observations(curves: LightCurves) -> tuple[NDArray, ...]:
    """Return points, those of one time and band together: number of the series, time, value, variance.

    Series i is of curve i // n_bands, times are since the curve's first point. Values are averaged by
    their errors, and variances are of these means; without errors one point has the variance 1.
    """
    of_curve = np.repeat(np.arange(len(curves)), curves.n_points)
    first = np.minimum.reduceat(curves.times, curves.splits[:-1])
    times = curves.times - first[of_curve]
    series = of_curve * len(curves.band_names) + curves.bands
    precisions = np.ones(len(times)) if curves.errors is None else 1 / np.square(curves.errors)
    new = np.concatenate([[True], (np.diff(series) != 0) | (np.diff(times) != 0)])
    starts = np.flatnonzero(new)
    total = np.add.reduceat(precisions, starts)
    values = np.add.reduceat(curves.values * precisions, starts) / total
    return series[starts], times[starts], values, 1 / total


def _variances_by_neighbors(
    phases: NDArray[np.float64],
    values: NDArray[np.float64],
    splits: NDArray[np.int64],
    repeats: bool,
) -> NDArray[np.float64]:
    """Variances of the points' noise, one for each series, by differences of neighbours in phase.

    The last and the first point are neighbours if series repeat.
    """
    found = np.empty(len(values))
    for start, stop in pairwise(splits):
        v = values[start:stop][np.argsort(phases[start:stop], kind="stable")]
        steps = np.diff(v, append=v[:1] if repeats else v[:0])
        noise = MAD * np.median(np.abs(steps)) / np.sqrt(2) if len(steps) else 0.0
        # Of series without any noise, as far as float64 can tell.
        found[start:stop] = max(noise, 1e-3 * np.std(v), 1e-9 * np.abs(v).max(), 1e-100) ** 2
    return found


def _near(
    phases: NDArray[np.float64],
    values: NDArray[np.float64],
    variances: NDArray[np.float64],
    splits: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Tell which points are near a first smooth curve, in units of their errors."""
    regression = regress(phases, values, variances, splits)
    spread = np.sqrt(variances + np.repeat(regression.jitters, np.diff(splits)))
    z = np.abs(values - _smooth(phases, splits, regression)) / spread
    kept = np.empty(len(phases), bool)
    for start, stop in pairwise(splits):
        kept[start:stop] = z[start:stop] <= _CLIP * max(MAD * np.median(z[start:stop]), 1e-9)
    return kept


def _smooth(
    phases: NDArray[np.float64], splits: NDArray[np.int64], regression: CircularRegression
) -> NDArray[np.float64]:
    """Smooth curves at the points of all series."""
    found = np.empty(len(phases))
    for i, (start, stop) in enumerate(pairwise(splits)):
        found[start:stop] = waves(phases[start:stop]) @ regression.coefficients[i]
    return found


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """part / whole, 0 where curves are flat."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _grid(n: int) -> NDArray[np.float64]:
    return np.arange(n) / n


def _of_all_bands(regression: CircularRegression, n_bands: int) -> NDArray[np.float64]:
    """Coefficients of one curve of all bands, which count by how well they are known; (n, n_waves)."""
    spread = np.sqrt(np.square(regression.roots).sum(1)[:, 1:].mean(1))
    coefficients = regression.coefficients / spread[:, None]
    return coefficients.reshape(-1, n_bands, coefficients.shape[1]).sum(1)


def _shifts(regression: CircularRegression, n_bands: int, align: str | None) -> NDArray[np.float64]:
    """Phase of each curve that becomes 0; bands count by how well they are known."""
    n_curves = len(regression.evidence) // n_bands
    if align is None:
        return np.zeros(n_curves)
    coefficients = _of_all_bands(regression, n_bands)
    n_harmonics = coefficients.shape[1] // 2
    if align == "phase":
        return np.arctan2(coefficients[:, 1 + n_harmonics], coefficients[:, 1]) / (2 * np.pi)
    return _peaks(-coefficients if align == "min" else coefficients)


def _peaks(coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
    """Phases of the largest values of curves, (n,)."""
    at = (coefficients @ waves(_grid(_FINE)).T).argmax(1) / _FINE
    around = at - 1 / _FINE, at + 1 / _FINE
    n_harmonics = coefficients.shape[1] // 2
    frequencies = 2 * np.pi * np.arange(1, n_harmonics + 1)
    a, b = frequencies * coefficients[:, 1:].reshape(len(at), 2, -1).swapaxes(0, 1)
    # Newton's method, as the place among those of the grid depends on where the first point is.
    for _ in range(_N_STEPS):
        cosines, sines = waves(at)[:, 1:].reshape(len(at), 2, -1).swapaxes(0, 1)
        slope = (b * cosines - a * sines).sum(1)
        bend = (frequencies * (a * cosines + b * sines)).sum(1)
        step = np.divide(slope, bend, out=np.zeros_like(at), where=bend > 0)
        at = np.clip(at + step, *around)
    return at
