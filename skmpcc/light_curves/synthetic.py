"""Synthetic light curves of variable stars: shapes by class, nights and errors as surveys have."""

from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_scalar

from skmpcc.light_curves.curves import LightCurves

# Days: where Julian dates are now, and when a survey looks.
FIRST_NIGHT, N_YEARS, SEASON, NIGHT = 2_450_000, 5, 200, 0.35
# Points of each band, magnitudes of stars and of their whole amplitudes.
N_POINTS, MAGNITUDES, AMPLITUDES = (40, 200), (14.0, 18.0), (0.2, 1.0)
# Median errors of the brightest and of the faintest stars, the spread of their logarithm.
ERRORS, ERROR_SPREAD = (0.02, 0.1), 0.25
OUTLIER_SHARE, OUTLIER_SIGMAS = 0.01, 10
# Each band's amplitude over that of the one before.
AMPLITUDE_RATIO = 0.8

# Magnitudes, up to centre and scale, of cycles since some start. Large is faint.
Shape = Callable[[NDArray[np.float64]], NDArray[np.float64]]


class _Class(NamedTuple):
    """A class of stars: functions that draw the shape of one, and its period in days."""

    shape: Callable[[RandomState], Shape]
    period: Callable[[RandomState], float]


def _sawtooth(random: RandomState, n_harmonics: int, decay: tuple[float, float]) -> Shape:
    """A fast rise of the brightness and a slow fall, the softer the faster the harmonics decay."""
    k = np.arange(1, n_harmonics + 1)
    weights = random.uniform(*decay) ** (k - 1) / k * random.normal(1, 0.03, n_harmonics)
    return lambda cycles: -weights @ np.sin(2 * np.pi * np.outer(k, cycles))


def _sine(random: RandomState) -> Shape:
    second, phase = random.normal(0.1, 0.02), random.normal(0, 0.3)
    return lambda cycles: -np.sin(2 * np.pi * cycles) - second * np.sin(4 * np.pi * cycles + phase)


def _contact(random: RandomState) -> Shape:
    power = random.uniform(0.8, 1.2)
    return lambda cycles: -(np.abs(np.cos(2 * np.pi * cycles)) ** power)


def _detached(random: RandomState) -> Shape:
    widths, depth = random.uniform(0.05, 0.1, 2), random.uniform(0.25, 0.6)
    middles = 0, 0.5 + random.normal(0, 0.01)

    def shape(cycles: NDArray[np.float64]) -> NDArray[np.float64]:
        away = [(cycles - middle + 0.5) % 1 - 0.5 for middle in middles]
        first, second = (np.exp(-0.5 * (x / width) ** 2) for x, width in zip(away, widths, strict=True))
        return first + depth * second

    return shape


def _two_sines(random: RandomState) -> Shape:
    ratio, second, phase = random.uniform(1.3, 1.7), random.uniform(0.7, 1), random.uniform(0, 1)
    return lambda cycles: (
        np.sin(2 * np.pi * cycles) + second * np.sin(2 * np.pi * (ratio * cycles + phase))
    )


def _lognormal(median: float, spread: float) -> Callable[[RandomState], float]:
    return lambda random: median * np.exp(spread * random.standard_normal())


SAME_PERIOD = _lognormal(0.5, 0.4)
CLASSES = {
    "RRab": _Class(lambda random: _sawtooth(random, 8, (0.85, 0.95)), lambda r: r.normal(0.55, 0.07)),
    "RRc": _Class(_sine, lambda random: random.normal(0.32, 0.04)),
    "EW": _Class(_contact, _lognormal(0.35, 0.25)),
    "EA": _Class(_detached, _lognormal(1.2, 0.5)),
    "Cepheid": _Class(
        lambda random: _sawtooth(random, 4, (0.5, 0.65)),
        lambda random: float(np.exp(random.uniform(np.log(3), np.log(30)))),
    ),
    "outlier": _Class(_two_sines, SAME_PERIOD),
}


def make_light_curves(
    n_curves: int = 500,
    *,
    classes: Sequence[str] = ("RRab", "RRc", "EW", "EA", "Cepheid"),
    same_period: bool = False,
    n_bands: int = 1,
    random_state: Any = None,
) -> tuple[LightCurves, NDArray[np.str_]]:
    """Synthetic light curves of variable stars, with their periods and classes.

    A star of magnitude 14 to 18 varies by 0.2 to 1 mag. It is seen in 40 to 200 nights at random, in
    five years with a season of 200 days each. Errors are lognormal, around 0.02 mag for the brightest
    and 0.1 mag for the faintest; one point in a hundred is off by ten of them.

    Parameters
    ----------
    n_curves : int, default=500
        Number of curves.
    classes : sequence of str, default=("RRab", "RRc", "EW", "EA", "Cepheid")
        Which classes there are, each of them with as many curves as the others, or one more. Shapes
        vary a little within each.

        - "RRab": a sawtooth of 8 harmonics that brightens fast; periods N(0.55, 0.07) days.
        - "RRc": a sine with 10 % of the second harmonic; N(0.32, 0.04) days.
        - "EW": -abs(cos), two equal minima; lognormal with median 0.35 days.
        - "EA": two Gaussian dips of unequal depth, standard deviation 0.05 to 0.1 of the period;
          lognormal with median 1.2 days.
        - "Cepheid": a softer sawtooth of 4 harmonics; 3 to 30 days.
        - "outlier": two sines of incommensurate periods, of which the longer one is given; lognormal
          with median 0.5 days.
    same_period : bool, default=False
        Draw the periods of all classes from the same law, lognormal with median 0.5 days, so that
        shapes alone tell classes apart.
    n_bands : int, default=1
        Number of bands, 0 to `n_bands` - 1. Each has nights of its own, and 0.8 times the amplitude of
        the one before.
    random_state : int, RandomState instance or None, default=None
        Seed of what is drawn, for the same curves in each call.

    Returns
    -------
    curves : LightCurves of `n_curves`
        Times in days near the Julian date 2,450,000, values and errors in magnitudes, so that large is
        faint, and periods in days.
    y : ndarray of shape (n_curves,)
        Names of the classes.

    Raises
    ------
    ValueError, TypeError
        A parameter is out of its range, or a class is unknown.

    Examples
    --------
    >>> from skmpcc.light_curves import make_light_curves
    >>> curves, y = make_light_curves(10, random_state=0)
    >>> curves
    LightCurves(10 curves, 1129 points, bands=(0,), with errors, with periods)
    >>> y[:3].tolist(), curves.period[:3].round(2).tolist()
    (['EW', 'EA', 'Cepheid'], [0.48, 1.3, 3.43])
    """
    check_scalar(n_curves, "n_curves", Integral, min_val=1)
    check_scalar(n_bands, "n_bands", Integral, min_val=1)
    if isinstance(classes, str) or not len(classes) or not set(classes) <= set(CLASSES):
        raise ValueError(f"classes must be some of {list(CLASSES)}, got {classes!r}.")
    random = check_random_state(random_state)
    y = np.resize(np.array(classes), n_curves)
    random.shuffle(y)
    stars = [_star(random, CLASSES[name], same_period, n_bands) for name in y.tolist()]
    times, values, errors, bands, period = map(list, zip(*stars, strict=True))
    return LightCurves(times, values, errors, bands, period=period), y


def _star(
    random: RandomState, kind: _Class, same_period: bool, n_bands: int
) -> tuple[NDArray, NDArray, NDArray, NDArray, float]:
    """Times, values, errors, bands and the period of one star."""
    shape, period = kind.shape(random), (SAME_PERIOD if same_period else kind.period)(random)
    all_cycles = shape(np.linspace(0, 20, 2000))
    low, height = all_cycles.min(), np.ptp(all_cycles)
    magnitude, amplitude = random.uniform(*MAGNITUDES), random.uniform(*AMPLITUDES)
    start, points = random.uniform(0, period), []
    for band in range(n_bands):
        times = _nights(random)
        relative = (shape((times - FIRST_NIGHT - start) / period) - low) / height
        true = magnitude + amplitude * AMPLITUDE_RATIO**band * (relative - 0.5)
        faintness = (true - MAGNITUDES[0]) / np.ptp(MAGNITUDES)
        median = ERRORS[0] * (ERRORS[1] / ERRORS[0]) ** faintness
        errors = median * np.exp(ERROR_SPREAD * random.standard_normal(len(times)))
        off = (random.uniform(size=len(times)) < OUTLIER_SHARE) * random.choice([-1, 1], len(times))
        noise = random.standard_normal(len(times)) + OUTLIER_SIGMAS * off
        points.append((times, true + noise * errors, errors, np.full(len(times), band)))
    return *map(np.concatenate, zip(*points, strict=True)), period  # type: ignore[return-value]


def _nights(random: RandomState) -> NDArray[np.float64]:
    """Times of single points in different nights, in order."""
    n = random.randint(N_POINTS[0], N_POINTS[1] + 1)
    year, day = np.divmod(random.choice(N_YEARS * SEASON, n, replace=False), SEASON)
    # Whole days: nights stay at the same part of the day, which periods near a day have to cope with.
    return np.sort(FIRST_NIGHT + 365 * year + day + random.uniform(0, NIGHT, n))
