"""find_periods: shapes of all kinds, what must not change the answer, and what is refused."""

import warnings

import numpy as np
import pytest

from skmpcc.light_curves import LightCurves, find_periods, make_light_curves
from skmpcc.light_curves import periods as module

PERIOD = 0.7314
SHAPES = {
    "sine": lambda x: np.sin(2 * np.pi * x),
    "sawtooth": lambda x: x % 1,
    # Two dips in a period, which a sine sees as half of it.
    "unequal dips": lambda x: dip(x, 0) + 0.5 * dip(x, 0.5),
    "narrow dip": lambda x: dip(x, 0),
    # So alike that their sum is nearly that of half the period.
    "nearly equal dips": lambda x: dip(x, 0) + 0.8 * dip(x, 0.5),
    "contact": lambda x: -np.abs(np.cos(2 * np.pi * x)),
}


def dip(cycles, middle):
    return np.exp(-0.5 * (((cycles - middle + 0.5) % 1 - 0.5) / 0.06) ** 2)


def nights(random, n):
    return np.sort(random.choice(900, n, replace=False) + random.uniform(0, 0.35, n))


def table(shape, period=PERIOD, n=150, noise=0.05, seed=0):
    """Time, value, error and band, of one curve."""
    random = np.random.default_rng(seed)
    times = nights(random, n)
    errors = noise * random.uniform(0.5, 1.5, n)
    values = 15 + shape(times / period + 0.3) + errors * random.standard_normal(n)
    return np.column_stack([times, values, errors, np.zeros(n)])


def period_of(points, **parameters):
    return find_periods(LightCurves.of([points]), **parameters)[0]


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_of_all_kinds_have_their_period(shape):
    curves = LightCurves.of([table(SHAPES[shape], seed=seed) for seed in range(3)])
    dips = "high" if shape == "contact" else None
    np.testing.assert_allclose(find_periods(curves, dips=dips), PERIOD, rtol=1e-3)


@pytest.mark.parametrize("period", [0.13, 1.7, 40.0, 250.0])
def test_short_and_long_periods(period):
    found = period_of(table(SHAPES["sine"], period))
    assert abs(1 / found - 1 / period) < 0.1 / 900


def test_synthetic_stars_of_five_classes():
    curves, y = make_light_curves(60, n_bands=2, random_state=0)
    right = np.abs(find_periods(curves) / curves.period - 1) < 0.01
    assert right[y != "EW"].mean() >= 0.95
    # Stars whose dips are lost in the noise have half their period.
    assert right[y == "EW"].mean() >= 0.7


def test_two_bands_tell_more_than_one():
    """Neither shows the period for sure; zero points and amplitudes differ."""
    blue, red = (
        [table(SHAPES["sine"], n=22, noise=0.8, seed=seed + 50 * b) for seed in range(12)]
        for b in range(2)
    )
    both = []
    for one, other in zip(blue, red, strict=True):
        other = other * [1, 0.5, 0.5, 1] + [0, 9, 0, 1]
        both.append(np.concatenate([other, one]))
    share = [
        np.mean(np.abs(find_periods(LightCurves.of(each)) / PERIOD - 1) < 0.01)
        for each in (blue, red, both)
    ]
    assert max(share[:2]) < 0.8
    assert share[2] > max(share[:2])


@pytest.mark.parametrize("shape", ["sine", "sawtooth", "unequal dips"])
def test_outliers_do_no_harm(shape):
    points = table(SHAPES[shape])
    random = np.random.default_rng(1)
    at = random.choice(len(points), 8, replace=False)
    points[at, 1] += random.choice([-1, 1], 8) * random.uniform(1, 100, 8)
    assert period_of(points) == pytest.approx(PERIOD, rel=1e-3)


def test_errors_say_which_points_count():
    points = table(SHAPES["sine"])
    bad = np.random.default_rng(1).random(len(points)) < 0.5
    points[bad, 1] += np.random.default_rng(2).normal(0, 1, bad.sum())
    points[bad, 2] = 1.0
    with_errors = module._bands(LightCurves.of([points]))
    without = module._bands(LightCurves.of([points[:, :2]]))
    at = np.array([1 / PERIOD])
    gain = [module._periodogram(list(b), at[0], 2)[0][1] for b in (with_errors, without)]
    assert gain[0] > gain[1] + 20
    assert period_of(points) == pytest.approx(PERIOD, rel=1e-3)


def test_slow_changes_are_no_period_of_a_day():
    """At the same part of each night, 1 / day - 1 / 300 days looks as 1 / 300 days does."""
    random = np.random.default_rng(0)
    times = np.sort(random.choice(900, 200, replace=False) + random.uniform(0, 0.05, 200))
    wander = np.cumsum(random.standard_normal(200)) / 10 + np.sin(2 * np.pi * times / 300)
    assert find_periods([np.column_stack([times, wander + random.normal(0, 0.05, 200)])])[0] > 50


def test_dips_may_be_low_or_of_no_meaning():
    magnitudes = table(SHAPES["contact"])
    fluxes = magnitudes * [1, -1, 1, 1]
    for points, dips, factor in (
        *((magnitudes, "high", 1), (magnitudes, "low", 0.5), (magnitudes, None, 0.5)),
        *((fluxes, "low", 1), (fluxes, "high", 0.5)),
    ):
        assert period_of(points, dips=dips) == pytest.approx(factor * PERIOD, rel=1e-3)


CHANGES = {
    "order": lambda p: np.random.default_rng(3).permutation(p),
    "shift": lambda p: np.add(p, [0, 1234.5, 0, 0]),
    "scale": lambda p: p * [1, 37.0, 37.0, 1],
    "julian dates": lambda p: np.add(p, [2_450_000, 0, 0, 0]),
    "each point twice": lambda p: np.repeat(p, 2, axis=0) * [1, 1, np.sqrt(2), 1],
    "names of bands": lambda p: np.add(p, [0, 0, 0, 7]),
    "missing values": lambda p: np.concatenate([p, [[500.2, np.nan, 0.1, 0]]]),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("shape", ["sawtooth", "unequal dips", "contact"])
def test_what_changes_no_shape_changes_no_period(shape, change):
    two = np.concatenate(
        [table(SHAPES[shape], n=60), np.add(table(SHAPES[shape], n=60, seed=5), [0, 2, 0, 1])]
    )
    assert period_of(CHANGES[change](two)) == pytest.approx(period_of(two), rel=1e-6)


def test_unit_of_times():
    points = table(SHAPES["sawtooth"])
    hours = period_of(points * [24, 1, 1, 1], min_period=2.4)
    assert hours == pytest.approx(24 * period_of(points), rel=1e-6)


def test_without_errors_all_count_alike():
    points = table(SHAPES["sawtooth"])
    points[:, 2] = 0.1
    assert period_of(points[:, :2]) == pytest.approx(period_of(points[:, :3]), rel=1e-9)


def test_limits_are_kept():
    points = table(SHAPES["unequal dips"])
    for limits in ((0.1, 0.5), (0.8, 3.0), (1.0, None), (2.0, 2000.0)):
        found = period_of(points, min_period=limits[0], max_period=limits[1])
        assert limits[0] * (1 - 1e-12) <= found <= (limits[1] or np.ptp(points[:, 0])) * (1 + 1e-12)


def test_processes_find_the_same():
    curves, _ = make_light_curves(6, random_state=0)
    np.testing.assert_array_equal(find_periods(curves, n_jobs=2), find_periods(curves))


@pytest.mark.parametrize(
    "points",
    [
        np.column_stack([[0.0, 1.0, 3.0], [1.0, 2.0, 1.0]]),
        np.column_stack([np.arange(30.0), np.zeros(30)]),  # constant
        np.column_stack([np.arange(30.0), np.arange(30) == 7]),  # median deviation 0
        np.column_stack([np.arange(30.0), np.arange(30.0)]),
        np.column_stack([[0.0, 1.0, 3.0], [1.0, 2.0, 1.0], [0.1, 0.1, 0.1], [0, 1, 2]]),
        np.column_stack([np.repeat([0.0, 5.0], 10), np.random.default_rng(0).normal(size=20)]),
    ],
)
def test_curves_that_tell_nothing_have_some_period(points):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = period_of(points)
    assert 0.1 <= found <= np.ptp(points[:, 0]) * (1 + 1e-12)


def test_periodogram_is_the_weighted_fit_of_a_sine_with_a_mean():
    bands = list(module._bands(LightCurves.of([table(SHAPES["sawtooth"], n=40)])))
    power, window = module._periodogram(bands, 0.01, 250)
    times, values, weights = bands[0]
    root = np.sqrt(weights)
    for k in (7, 100, 137, 249):
        turn = 2 * np.pi * 0.01 * k * times
        design = np.column_stack([np.ones(len(times)), np.cos(turn), np.sin(turn)]) * root[:, None]
        residual = np.linalg.lstsq(design, values * root)[1][0]
        assert power[k] == pytest.approx(-len(times) * np.log(residual / np.sum(weights * values**2)))
        assert window[k] == pytest.approx(np.abs(np.average(np.exp(1j * turn), weights=weights)))


@pytest.mark.parametrize("odd", [(), (0.2,)])
def test_evidence_is_that_of_a_gaussian_process(odd):
    """Against the density of a Gaussian, up to a constant, with a mean of nearly flat prior."""
    bands = list(module._bands(LightCurves.of([table(SHAPES["sawtooth"], n=40)])))
    times, values, weights = bands[0]
    kernel, n = module._Kernel(12, (0.8,), (7.0,), odd), len(times)
    found, exact = [], []
    for frequency in (1 / PERIOD, 1.1, 0.2):
        cycles = frequency * np.subtract.outer(times, times)
        k, priors = np.arange(1, 13), kernel.priors[0, :12]
        covariance = np.diag(1 / weights) + np.cos(2 * np.pi * cycles[..., None] * k) @ priors + 1e6
        if not odd:  # the sum of harmonics is this kernel, but for its mean
            shape = np.exp(-2 * np.sin(np.pi * cycles) ** 2 / 0.8**2)
            mean = np.exp(-1 / 0.8**2) * np.i0(1 / 0.8**2)
            np.testing.assert_allclose(
                covariance - np.diag(1 / weights) - 1e6, 7 * (shape - mean) / (1 - mean), atol=1e-6
            )
        scale = values @ np.linalg.solve(covariance, values)
        exact.append(-np.linalg.slogdet(covariance)[1] / 2 - (n - 1) / 2 * np.log(scale))
        arguments = bands, np.array([frequency]), np.array([1e9]), kernel
        found.append(module._log_evidence(*arguments)[0])
    np.testing.assert_allclose(np.diff(found), np.diff(exact), rtol=1e-4)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"min_period": 0}, ValueError, "min_period"),
        ({"min_period": np.nan}, ValueError, "min_period must be finite"),
        ({"min_period": "0.1"}, TypeError, "min_period"),
        ({"max_period": -1.0}, ValueError, "max_period"),
        ({"max_period": np.inf}, ValueError, "max_period must be finite"),
        ({"max_period": 0.1}, ValueError, r"Curve 0: min_period=0.1 must be less than max_period"),
        ({"min_period": 1e4}, ValueError, r"Curve 0: min_period=10000.0 must be less than the \d+"),
        ({"min_period": 1e-5}, ValueError, r"Curve 0: min_period=1e-05 is too short .* at least 0.000"),
        ({"dips": "up"}, ValueError, "dips must be 'high', 'low' or None, got 'up'"),
    ],
)
def test_bad_parameters_are_refused_by_name(parameters, error, message):
    with pytest.raises(error, match=message):
        period_of(table(SHAPES["sine"]), **parameters)


def test_what_is_no_curve_is_refused():
    with pytest.raises(ValueError, match="Curve 1"):
        find_periods([table(SHAPES["sine"]), np.zeros((2, 3))])
