"""make_light_curves: what its classes look like, and that nights, errors and periods are as it says."""

import numpy as np
import pytest
from scipy.stats import kstest, lognorm, loguniform, norm
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_score

from skmpcc.light_curves import make_light_curves
from skmpcc.light_curves.synthetic import CLASSES as shapes_of

CLASSES = ("RRab", "RRc", "EW", "EA", "Cepheid")
ALL = (*CLASSES, "outlier")
ORDERS = np.arange(1, 7)
FIELDS = ("times", "values", "errors", "bands", "splits", "period")
PERIODS = {
    "RRab": norm(0.55, 0.07),
    "RRc": norm(0.32, 0.04),
    "EW": lognorm(0.25, scale=0.35),
    "EA": lognorm(0.5, scale=1.2),
    "Cepheid": loguniform(3, 30),
    "outlier": lognorm(0.4, scale=0.5),
}


@pytest.fixture(scope="module")
def drawn():
    return make_light_curves(600, classes=ALL, random_state=0)


@pytest.fixture(scope="module")
def alike():
    """Of one law of periods for all classes."""
    return make_light_curves(600, classes=ALL, same_period=True, random_state=1)


def harmonics(curve):
    """Complex amplitudes by least squares that goes on without what is far off, and residuals."""
    phases = (curve.times - curve.times[0]) / curve.period[0]
    angles = 2 * np.pi * np.outer(phases, ORDERS)
    design = np.column_stack([np.ones(len(angles)), np.cos(angles), np.sin(angles)])
    values, weights = curve.values - curve.values.mean(), 1 / curve.errors**2
    for _ in range(4):
        normal = (design.T * weights) @ design + np.diag([0] + [10] * 2 * len(ORDERS))
        fitted = np.linalg.solve(normal, design.T @ (weights * values))
        residuals = (values - design @ fitted) / curve.errors
        weights = np.where(np.abs(residuals) > 4, 0.1, 1) / curve.errors**2
    return fitted[1:7] - 1j * fitted[7:], residuals


@pytest.fixture(scope="module")
def folded(alike):
    """Of each curve, harmonics with that of order 1 at phase 0, the largest as 1; and residuals."""
    amplitudes, residuals = zip(*map(harmonics, alike[0]), strict=True)
    turned = [z * np.exp(-1j * np.angle(z[0]) * ORDERS) for z in amplitudes]
    return np.array([z / np.abs(z).max() for z in turned]), residuals


def typical(folded, y, name):
    z = folded[0][y == name]
    return np.median(z.real, axis=0) + 1j * np.median(z.imag, axis=0)


def of_curves(curves, function):
    return np.array([function(curve) for curve in curves])


# ---- Shapes


def test_classes_have_the_harmonics_of_their_shapes(alike, folded):
    size = {name: np.median(np.abs(folded[0][alike[1] == name]), axis=0) for name in CLASSES}
    np.testing.assert_allclose(size["RRab"][:4], [1, 0.45, 0.27, 0.18], atol=0.04)  # 0.9^(k-1) / k
    np.testing.assert_allclose(size["RRc"], [1, 0.1, 0, 0, 0, 0], atol=0.05)
    np.testing.assert_allclose(size["EW"], [0, 1, 0, 0.2, 0, 0.1], atol=0.05)  # |cos|: 2 minima a period
    np.testing.assert_allclose(size["Cepheid"][:4], [1, 0.29, 0.11, 0.05], atol=0.03)
    assert (size["EA"][:4] > [0.5, 0.99, 0.2, 0.2]).all()  # dips of unequal depth: odd ones too


def test_pulsators_brighten_faster_than_they_fade(alike, folded):
    phases = np.linspace(0, 1, 400, endpoint=False)
    share = {}
    for name in ("RRab", "RRc", "Cepheid"):
        z = typical(folded, alike[1], name)
        magnitudes = (z @ np.exp(2j * np.pi * np.outer(ORDERS, phases))).real
        share[name] = np.mean(np.diff(magnitudes, append=magnitudes[0]) < 0)
    assert share["RRab"] < 0.25
    assert 0.28 < share["Cepheid"] < 0.38
    assert 0.42 < share["RRc"] < 0.5


def test_eclipses_are_dips_from_a_bright_top(alike):
    curves, y = alike
    above = {}
    for name in ("EA", "EW", "RRc"):
        low, middle, high = np.transpose(
            of_curves(curves[y == name], lambda curve: np.percentile(curve.values, [3, 50, 97]))
        )
        above[name] = np.median((high - middle) / (high - low))  # large is faint
    assert above["EA"] > 0.7
    assert 0.6 < above["EW"] < above["EA"]
    assert 0.45 < above["RRc"] < 0.55


def test_shapes_tell_classes_apart_where_periods_do_not(alike, folded):
    curves, y = alike
    known = y != "outlier"
    forest = RandomForestClassifier(100, random_state=0)
    features = np.column_stack([folded[0].real, folded[0].imag, np.abs(folded[0])])
    assert cross_val_score(forest, features[known], y[known], cv=5).mean() > 0.95
    period = np.log(curves.period)[:, None]
    assert cross_val_score(forest, period[known], y[known], cv=5).mean() < 0.3


@pytest.mark.parametrize("name", CLASSES)
def test_shapes_vary_a_little_within_a_class(name):
    phases = np.linspace(0, 1, 200)
    stars = [shapes_of[name].shape(np.random.RandomState(seed))(phases) for seed in range(50)]
    spread = np.std(stars, axis=0).mean() / np.ptp(np.mean(stars, axis=0))
    assert 0.01 < spread < 0.08


def test_what_is_no_class_does_not_fold(alike, folded):
    away = np.array([np.median(residuals**2) for residuals in folded[1]])
    known = alike[1] != "outlier"
    assert 0.35 < np.median(away[known]) < 0.5  # 0.455 of a chi-square, less what was fitted
    assert np.median(away[~known]) > 1.5


# ---- Periods, nights and errors


def test_periods_follow_their_laws(drawn, alike):
    for name in ALL:
        assert kstest(drawn[0].period[drawn[1] == name], PERIODS[name].cdf).pvalue > 0.01
        assert kstest(alike[0].period[alike[1] == name], PERIODS["outlier"].cdf).pvalue > 0.01


def test_nights_are_those_of_five_seasons(drawn):
    curves, _ = drawn
    assert {curves.n_points.min(), curves.n_points.max()} == {40, 200}
    year, day = np.divmod(curves.times - 2_450_000, 365)
    assert set(year) == {0, 1, 2, 3, 4}
    assert set(np.floor(day)) == {*range(200)}
    assert 0.34 < (day % 1).max() < 0.35
    for curve in curves:
        assert len(np.unique(np.floor(curve.times))) == len(curve.times)


def test_magnitudes_and_amplitudes(drawn):
    curves, _ = drawn
    middle = of_curves(curves, lambda curve: np.median(curve.values))
    assert 13.4 < middle.min() < 14.3
    assert 17.7 < middle.max() < 18.6
    spread = of_curves(curves, lambda curve: np.ptp(np.percentile(curve.values, [2, 98])))
    assert 0.15 < np.quantile(spread, 0.02) < 0.35
    assert 0.85 < np.quantile(spread, 0.98) < 1.3
    noise = of_curves(curves, lambda curve: np.median(curve.errors))
    assert 8 < np.median(spread / noise) < 20


def test_errors_are_lognormal_and_those_of_faint_stars_larger(drawn):
    curves, _ = drawn
    middle, noise = (
        of_curves(curves, lambda curve, name=name: np.median(getattr(curve, name)))
        for name in ("values", "errors")
    )
    slope, start = np.polyfit(middle - 14, np.log(noise), 1)
    assert abs(np.exp(start) - 0.02) < 0.001
    assert abs(np.exp(start + 4 * slope) - 0.1) < 0.005
    spread = of_curves(curves, lambda curve: np.std(np.log(curve.errors)))
    assert 0.24 < np.median(spread) < 0.33


def test_one_point_in_a_hundred_is_off(alike, folded):
    residuals = np.concatenate([r for r, name in zip(folded[1], alike[1], strict=True) if name == "RRc"])
    assert 0.006 < np.mean(np.abs(residuals) > 6) < 0.014
    assert 9 < np.median(np.abs(residuals[np.abs(residuals) > 6])) < 11
    assert abs(np.mean(residuals[np.abs(residuals) > 6] > 0) - 0.5) < 0.15


def test_each_band_has_nights_and_an_amplitude_of_its_own():
    curves, _ = make_light_curves(60, n_bands=3, classes=("RRc",), random_state=0)
    assert curves.band_names == (0, 1, 2)
    spreads = []
    for curve in curves:
        parts = [curve.bands == band for band in range(3)]
        assert all(40 <= part.sum() <= 200 for part in parts)
        assert len(np.unique(np.floor(curve.times))) > max(part.sum() for part in parts)
        spreads.append([np.ptp(np.percentile(curve.values[part], [3, 97])) for part in parts])
    ratios = np.median(np.array(spreads)[:, 1:] / np.array(spreads)[:, :-1], axis=0)
    np.testing.assert_allclose(ratios, 0.8, atol=0.06)


# ---- What is drawn


@pytest.mark.parametrize("n_curves", [1, 7, 600])
def test_classes_are_balanced_and_in_no_order(n_curves):
    curves, y = make_light_curves(n_curves, random_state=0)
    assert len(curves) == len(y) == n_curves
    counts = [np.sum(y == name) for name in CLASSES]
    assert sum(counts) == n_curves
    assert max(counts) - min(counts) <= 1
    if n_curves == 600:
        halves = [np.mean(y[:300] == name) for name in CLASSES]
        assert np.allclose(halves, 0.2, atol=0.07)
        assert np.mean(y[1:] == y[:-1]) < 0.3


def test_the_same_seed_draws_the_same():
    before = np.random.get_state()[1].tolist(), np.random.get_state()[2]  # noqa: NPY002
    first, y = make_light_curves(20, random_state=3)
    for seed, same in ((3, True), (np.random.RandomState(3), True), (4, False)):
        other, z = make_light_curves(20, random_state=seed)
        assert np.array_equal(y, z) == same
        for name in FIELDS:
            assert np.array_equal(getattr(first, name), getattr(other, name)) == same or name == "bands"
    after = np.random.get_state()[1].tolist(), np.random.get_state()[2]  # noqa: NPY002
    assert before == after
    one, other = make_light_curves(5), make_light_curves(5)
    assert not np.array_equal(one[0].period, other[0].period)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"n_curves": 0}, ValueError, "n_curves == 0, must be >= 1"),
        ({"n_curves": 2.5}, TypeError, "n_curves must be an instance of"),
        ({"n_bands": 0}, ValueError, "n_bands == 0, must be >= 1"),
        ({"classes": ()}, ValueError, r"classes must be some of \['RRab'.*\], got \(\)"),
        (
            {"classes": ("RRab", "Mira")},
            ValueError,
            r"classes must be some of .*, got \('RRab', 'Mira'\)",
        ),
        ({"classes": "RRab"}, ValueError, "classes must be some of .*, got 'RRab'"),
        ({"random_state": "x"}, ValueError, "cannot be used to seed"),
    ],
)
def test_bad_parameters_are_named(parameters, error, message):
    with pytest.raises(error, match=message):
        make_light_curves(**parameters)
