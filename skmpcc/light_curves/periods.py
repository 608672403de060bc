"""Periods of irregular, noisy series: a periodogram proposes, a periodic Gaussian process decides."""

from collections.abc import Iterator
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy.signal import argrelmax
from sklearn.utils.validation import check_scalar

from skmpcc.light_curves.curves import LightCurves
from skmpcc.light_curves.folding import MAD, observations
from skmpcc.light_curves.regression import prior_variances

Array = NDArray[np.float64]

# Frequencies of the periodogram in each 1 / span, and how many of them at most: memory.
OVERSAMPLING, MAX_FREQUENCIES = 6, 2**23
# Values are clipped here, in robust standard deviations.
CLIP = 5.0
# Peaks of the periodogram that are looked at; of them and of their halves, those looked at twice.
N_PEAKS, N_FINALISTS = 20, 5
# Peaks of the spectral window are above this, and at so many cycles.
WINDOW, FIRST_WINDOW = 0.6, 20
# Cycles for each harmonic: in a few cycles any curve is periodic with enough of them.
CYCLES_OF_HARMONIC = 4
# A double period repeats so often, and is so much likelier than the single one (log).
CYCLES_OF_DOUBLE, MARGIN_OF_DOUBLE = 15, 4.0


class _Band(NamedTuple):
    """Points of one curve in one band: weighted mean 0 and variance 1, mean weight 1."""

    times: Array
    values: Array
    weights: Array


class _Kernel(NamedTuple):
    """Periodic Gaussian processes of all these lengths and variances, up to a harmonic.

    With `odd`, of curves that repeat almost twice in a period: odd harmonics are that much smaller.
    """

    n_harmonics: int
    lengths: tuple[float, ...]
    variances: tuple[float, ...]
    odd: tuple[float, ...] = ()

    @property
    def priors(self) -> Array:
        """Variance of each Fourier coefficient, of shape (processes, 2 * n_harmonics)."""
        harmonic = np.arange(1, self.n_harmonics + 1)
        kernels = np.array([prior_variances(length, self.n_harmonics) for length in self.lengths])
        spectrum = kernels[:, (harmonic + 1) // 2 if self.odd else harmonic] / 2
        spectrum = np.maximum(spectrum, 1e-12)
        spectrum /= spectrum.sum(axis=1, keepdims=True)
        of_all = np.array(self.variances)[:, None, None] * spectrum
        if self.odd:
            of_all = 2 * of_all * np.where(harmonic % 2, np.array(self.odd)[:, None, None, None] ** 2, 1)
        return np.tile(of_all.reshape(-1, self.n_harmonics), 2)


COARSE = _Kernel(6, (0.3, 0.6, 1.2), (3.0, 100.0))
FINE = _Kernel(12, (0.15, 0.3, 0.6, 1.2), (1.0, 10.0, 100.0, 1000.0))
DOUBLE = _Kernel(24, FINE.lengths, FINE.variances, odd=(0.03, 0.1, 0.3))


class _Range(NamedTuple):
    """Frequencies of one curve: what is asked for, and what its times can tell."""

    lowest: float
    highest: float
    span: float
    windows: Array = np.empty(0)

    def cycles(self, frequency: Array) -> Array:
        """Cycles in the span, as slow as a frequency looks beside a peak of the spectral window."""
        away = np.abs(frequency[:, None] - self.windows)
        return self.span * np.minimum(frequency, away.min(axis=1, initial=np.inf))


def find_periods(
    curves: Any,
    *,
    min_period: float = 0.1,
    max_period: float | None = None,
    dips: str | None = "high",
    n_jobs: int | None = None,
) -> Array:
    r"""Period of each curve.

    The weighted Lomb-Scargle periodogram with a floating mean [1]_, of all bands together, proposes
    periods: its highest peaks and their doubles. Among them, the marginal likelihood of a periodic
    Gaussian process decides, whose kernel :math:`\exp(-2 \sin^2(\pi \Delta\phi) / l^2)` of phases is a
    sum of harmonics with variances :math:`2 e^{-1/l^2} I_k(1/l^2)` [2]_. So a shape of any kind counts,
    such as two unequal dips in one period, where the periodogram sees half of it. Lengths l, the
    variance of the curve, and the scale of the errors are those that suit each band best, and the prior
    of the period is flat in its logarithm.

    A curve without a period gets the one that fits best.

    Parameters
    ----------
    curves : LightCurves, or what `LightCurves.of` takes
        Points of n curves. Without errors, all points of a band count alike.
    min_period : float, default=0.1
        Shortest period, in the unit of the times. Work grows with the time from the first point to the
        last over `min_period`.
    max_period : float or None, default=None
        Longest period. None: the time from the first point to the last, for each curve.
    dips : {"high", "low"} or None, default="high"
        Where the dips of eclipses are: at high values, as in magnitudes, or at low ones, as in fluxes.
        Dips of equal depth repeat twice in each period of two stars, which no likelihood can tell. So
        a shape like `abs(cos)`, symmetric in time with dips sharper than what is between them, is
        taken as half of a period. None: it is a whole one.
    n_jobs : int or None, default=None
        Processes that share the curves, as joblib counts them.

    Returns
    -------
    period : ndarray of shape (n_curves,)
        In the unit of the times.

    Raises
    ------
    ValueError, TypeError
        A parameter is out of its range, `min_period` is too long or too short for the times of a curve,
        or `curves` are none.

    Notes
    -----
    Points of the same band and time are averaged. Outliers are clipped at 5 robust standard deviations,
    first from the median of their band, then from the best curve.

    Nearly any curve is periodic with few cycles and many harmonics: there is one harmonic for each four
    cycles. Where all points come at about the same part of a day, slow changes look as if they had a
    period near a day. So cycles count from the nearest peak of the spectral window.

    For the best frequency f, the double period is looked at once more, by a process whose odd harmonics
    of f / 2 are small, as two dips of nearly the same depth have it.

    References
    ----------
    .. [1] M. Zechmeister and M. Kürster, "The generalised Lomb-Scargle periodogram", Astronomy and
       Astrophysics 496, 2009.
    .. [2] A. Solin and S. Särkkä, "Explicit Link Between Periodic Covariance Functions and State Space
       Models", AISTATS 2014.

    Examples
    --------
    >>> from skmpcc.light_curves import find_periods, make_light_curves
    >>> curves, _ = make_light_curves(6, classes=["RRab", "EA", "Cepheid"], random_state=1)
    >>> (find_periods(curves) / curves.period).round(2)
    array([1., 1., 1., 1., 1., 1.])
    """
    curves = LightCurves.of(curves)
    for name, value in (("min_period", min_period), ("max_period", max_period)):
        if value is not None:
            check_scalar(value, name, Real, min_val=0, include_boundaries="neither")
            if not np.isfinite(value):
                raise ValueError(f"{name} must be finite, got {value}.")
    if dips not in ("high", "low", None):
        raise ValueError(f"dips must be 'high', 'low' or None, got {dips!r}.")
    sign = {"high": 1, "low": -1, None: 0}[dips]
    ranges = [_range(i, curve, min_period, max_period) for i, curve in enumerate(curves)]
    found = Parallel(n_jobs=n_jobs)(
        delayed(_period)(curve, limits, sign) for curve, limits in zip(curves, ranges, strict=True)
    )
    return np.array(found)


def _range(i: int, curve: LightCurves, min_period: float, max_period: float | None) -> _Range:
    """Lowest and highest frequency of curve i."""
    span = float(np.ptp(curve.times))
    longest = span if max_period is None else max_period
    if longest <= min_period:
        what = f"the {span:g} from its first point to its last" if max_period is None else "max_period"
        raise ValueError(f"Curve {i}: min_period={min_period} must be less than {what}.")
    if span / min_period * OVERSAMPLING > MAX_FREQUENCIES:
        raise ValueError(
            f"Curve {i}: min_period={min_period} is too short for times over {span:g}, at least "
            f"{span * OVERSAMPLING / MAX_FREQUENCIES:.3g} is wanted."
        )
    return _Range(1 / longest, 1 / min_period, span)


def _period(curve: LightCurves, within: _Range, sign: int) -> float:
    bands = list(_bands(curve))
    peaks, windows = _peaks(bands, within)
    within = within._replace(windows=windows)
    halves = peaks[_may_double(peaks, within)] / 2
    candidates = np.concatenate([peaks, halves])
    handicap = np.repeat([0, MARGIN_OF_DOUBLE], [len(peaks), len(halves)])
    # Steps in 1 / span that are fine enough for the harmonics.
    candidates, handicap = _best(bands, candidates, handicap, within, COARSE, 0.05, N_FINALISTS)
    candidates, handicap = _best(bands, candidates, handicap, within, FINE, 0.0125, 1)
    # Only now: what does not repeat by a wrong period looks like outliers.
    bands = [_without_outliers(band, candidates, within.cycles(candidates), FINE) for band in bands]
    candidates, _ = _best(bands, candidates, handicap, within, FINE, 0.003, 1)
    if _may_double(candidates, within)[0]:
        cycles = within.cycles(candidates)
        twice = _log_evidence(bands, candidates / 2, 2 * cycles, DOUBLE)
        gain = twice + np.log(2) - _log_evidence(bands, candidates, cycles, FINE)
        if gain[0] > MARGIN_OF_DOUBLE or _equal_dips(bands, candidates, sign):
            candidates = candidates / 2
    return float(1 / candidates[0])


def _may_double(frequency: Array, within: _Range) -> NDArray[np.bool_]:
    """Whether the period may be twice that long."""
    return (within.cycles(frequency) >= 2 * CYCLES_OF_DOUBLE) & (frequency / 2 >= within.lowest)


def _best(
    bands: list[_Band],
    frequency: Array,
    handicap: Array,
    within: _Range,
    kernel: _Kernel,
    step: float,
    n: int,
) -> tuple[Array, Array]:
    """The n best frequencies, each the best of nine around one, with their handicaps."""
    grid = frequency[:, None] + np.arange(-4, 5) * step / within.span
    grid = np.clip(grid, within.lowest, within.highest)
    evidence = _log_evidence(bands, grid.ravel(), within.cycles(grid.ravel()), kernel)
    score = evidence.reshape(grid.shape) - np.log(grid) - handicap[:, None]
    first = np.argsort(-score.max(axis=1), kind="stable")[:n]
    return grid[first, score.argmax(axis=1)[first]], handicap[first]


def _bands(curve: LightCurves) -> Iterator[_Band]:
    """Each band with three times or more, which have one point each."""
    series, of_all, means, variances = observations(curve)
    for band in np.unique(series):
        times, values, noise = (each[series == band] for each in (of_all, means, variances))
        if len(times) < 3:
            continue
        # No model is exact: the most precise points must not be all that counts.
        weights = 1 / (noise + np.median(noise))
        weights /= weights.mean()
        values -= np.median(values)
        scale = CLIP * MAD * np.median(np.abs(values)) or np.abs(values).max()
        values = np.clip(values, -scale, scale)
        values -= np.average(values, weights=weights)
        deviation = np.sqrt(np.average(values**2, weights=weights))
        yield _Band(times, values / (deviation or 1), weights)


def _periodogram(bands: list[_Band], step: float, n: int) -> tuple[Array, Array]:
    """Gain of the fit of a sine at n multiples of `step`, and the spectral window."""
    width = int(np.ceil(np.sqrt(n)))
    power, window = np.zeros(n), np.zeros(n, dtype=complex)
    for times, values, weights in bands:
        # exp(i w t) of all frequencies as products of those of a block and those of its start.
        start = np.exp(2j * np.pi * step * width * np.outer(np.arange(-(-n // width)), times))
        block = np.exp(2j * np.pi * step * np.outer(times, np.arange(width)))
        weights = weights / weights.sum()
        first = ((start * weights) @ block).ravel()[:n]
        second = ((start**2 * weights) @ block**2).ravel()[:n]
        product = ((start * (weights * values)) @ block).ravel()[:n]
        c, s, yc, ys = first.real, first.imag, product.real, product.imag
        cc, ss, cs = (
            (1 + second.real) / 2 - c * c,
            (1 - second.real) / 2 - s * s,
            second.imag / 2 - c * s,
        )
        determinant = cc * ss - cs * cs
        explained = ss * yc**2 + cc * ys**2 - 2 * cs * yc * ys
        share = np.where(determinant > 1e-9, explained / np.maximum(determinant, 1e-9), 0)
        power -= len(times) * np.log(np.maximum(1 - share, 1e-3))
        window += len(times) * first
    return power, np.abs(window) / max(sum(len(band.times) for band in bands), 1)


def _peaks(bands: list[_Band], within: _Range) -> tuple[Array, Array]:
    """Frequencies of the highest peaks of the periodogram, and of those of the spectral window."""
    step = 1 / (within.span * OVERSAMPLING)
    n = int(within.highest / step) + 2
    power, window = _periodogram(bands, step, n)
    grid = np.arange(n) * step
    window[(window < WINDOW) | (grid < FIRST_WINDOW / within.span)] = 0
    inside = grid >= within.lowest
    at = argrelmax(np.where(inside, power, 0))[0]
    at = at[inside[at - 1]]
    at = at[np.argsort(-power[at], kind="stable")[:N_PEAKS]]
    left, middle, right = power[at - 1], power[at], power[at + 1]
    peaks = (at + 0.5 * (left - right) / (left - 2 * middle + right)) * step
    peaks = peaks if len(at) else np.array([within.lowest])
    return np.clip(peaks, within.lowest, within.highest), grid[argrelmax(window)[0]]


def _harmonics(band: _Band, frequency: Array, n: int) -> Array:
    """Columns 1, cos, sin and values, times the root of the weights; (frequencies, points, 2 n + 2)."""
    cycles = np.outer(frequency, band.times)
    root = np.sqrt(band.weights)
    turn = np.exp(2j * np.pi * (cycles - np.floor(cycles)))
    columns = np.empty((*cycles.shape, 2 * n + 2))
    columns[..., 0], columns[..., -1] = root, root * band.values
    power = root * turn
    for k in range(1, n + 1):
        columns[..., k], columns[..., n + k] = power.real, power.imag
        power = power * turn
    return columns


def _log_evidence(bands: list[_Band], frequency: Array, cycles: Array, kernel: _Kernel) -> Array:
    """Log marginal likelihood of each frequency, by the best process for each band."""
    total = np.zeros(len(frequency))
    for band in bands:
        rows = max(1, 2**21 // (len(band.times) * (2 * kernel.n_harmonics + 2)))
        for i in range(0, len(frequency), rows):
            part = slice(i, i + rows)
            total[part] += _regression(band, frequency[part], cycles[part], kernel)[0].max(axis=1)
    return total


def _regression(
    band: _Band, frequency: Array, cycles: Array, kernel: _Kernel
) -> tuple[Array, Array, Array]:
    """Log evidence and normal equations of each frequency and process, and the columns of these.

    Fourier coefficients have Gaussian priors P, the mean is flat. With the scale s of the errors fitted,
    log N(y; 0, s^2 (W^-1 + F P F')) = -log|P^-1 + F'WF| / 2 - log|P| / 2 - (n - 1) log(residual) + ...
    One Cholesky factor of (F, y)'W(F, y) + P^-1 holds both determinant and residual.
    """
    n, k = len(band.times), np.tile(np.arange(1, kernel.n_harmonics + 1), 2)
    allowed = k <= np.maximum(1, cycles[:, None, None] / CYCLES_OF_HARMONIC)
    priors = np.where(allowed, kernel.priors, 1e-9)
    columns = _harmonics(band, frequency, kernel.n_harmonics)
    gram = np.swapaxes(columns, 1, 2) @ columns
    gram[:, -1, -1] += 1e-9 * n
    gram = np.repeat(gram[:, None], priors.shape[1], axis=1)
    inner = np.arange(1, len(k) + 1)
    gram[..., inner, inner] += 1 / priors
    logs = np.log(np.diagonal(np.linalg.cholesky(gram), axis1=-2, axis2=-1))
    volume = logs[..., 1:-1].sum(axis=-1) + np.log(priors).sum(axis=-1) / 2
    return -volume - (n - 1) * logs[..., -1], gram, columns


def _without_outliers(band: _Band, frequency: Array, cycles: Array, kernel: _Kernel) -> _Band:
    """The band with its values clipped around the curve of one frequency."""
    evidence, gram, columns = _regression(band, frequency, cycles, kernel)
    normal, design = gram[0, evidence[0].argmax()], columns[0, :, :-1]
    fit = design @ np.linalg.solve(normal[:-1, :-1], normal[:-1, -1])
    residual = columns[0, :, -1] - fit
    limit = CLIP * MAD * np.median(np.abs(residual))
    return band._replace(values=(fit + np.clip(residual, -limit, limit)) / np.sqrt(band.weights))


def _equal_dips(bands: list[_Band], frequency: Array, sign: int) -> bool:
    """Whether the shape is that of abs(cos): symmetric, the dips sharper than what is between them.

    Then the second harmonic is in phase with the first, which has its maximum at the dip, with
    0.2 of its amplitude; eclipses are a little sharper, those of detached stars far more.
    """
    n, ratio, precision = 4, 0j, 0.0
    for band in bands:
        columns = _harmonics(band, frequency, n)[0]
        design, values = columns[:, :-1], columns[:, -1]
        freedom = len(values) - design.shape[1]
        if freedom < 1:
            continue
        inverse = np.linalg.inv(design.T @ design + 1e-6 * len(values) * np.eye(design.shape[1]))
        fit = inverse @ (design.T @ values)
        noise = np.sum((values - design @ fit) ** 2) / freedom
        one, two = fit[[1, 2]] + 1j * fit[[n + 1, n + 2]]
        variance = noise * (inverse[2, 2] + inverse[n + 2, n + 2]) / 2 / abs(one) ** 2
        ratio += two * np.conj(one / abs(one)) ** 2 / abs(one) / variance
        precision += 1 / variance
    if not sign or not precision:
        return False
    cosine, sine, error = sign * ratio.real / precision, ratio.imag / precision, precision**-0.5
    return bool(max(0.1, 3 * error) < cosine < 0.45 and abs(sine) < max(0.3 * cosine, 2 * error))
