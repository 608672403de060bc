"""Folding: what it takes from curves and gives back, and what its results do not depend on."""

import numpy as np
import pytest

from skmpcc.light_curves import LightCurveGrid, LightCurves, LightCurveVaDE, make_light_curves
from skmpcc.light_curves.folding import MAX_POINTS, fold
from skmpcc.light_curves.grid import FEATURES
from skmpcc.light_curves.regression import waves

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

BRIEF = {"max_iter": 10, "width": 16, "latent_dim": 3, "random_state": 0}
OF_VADE = ("information", "class", "reconstruction", "both", "density")


def columns(curves):
    """Times, values, errors and names of bands of each curve."""
    cut, names = curves.splits[1:-1], np.array(curves.band_names)[curves.bands]
    return [np.split(each, cut) for each in (curves.times, curves.values, curves.errors, names)]


def changed(curves, times=None, values=None, errors=None, repeats=1):
    """The same curves, of which functions change the points of each; they get its number."""
    parts = []
    for column, change in zip(columns(curves), (times, values, errors, None), strict=True):
        new = column if change is None else [change(x, i) for i, x in enumerate(column)]
        parts.append([np.tile(x, repeats) for x in new])
    return LightCurves(*parts, period=curves.period)


def shuffled(curves):
    random = np.random.default_rng(1)
    rows = [random.permutation(n) for n in curves.n_points]
    parts = [[x[row] for x, row in zip(column, rows, strict=True)] for column in columns(curves)]
    return LightCurves(*parts, period=curves.period)


def given_twice(curves):
    return changed(curves, errors=lambda x, _: np.sqrt(2) * x, repeats=2)


def whole_periods(curves):
    """Of single points, the first one of each curve among them."""
    random = np.random.default_rng(2)
    return changed(curves, lambda t, i: t + curves.period[i] * random.integers(-300, 300, len(t)))


def level_shifted(curves):
    return changed(curves, values=lambda v, i: v + 7.3 - 2.0 * i)


def scaled(curves):
    return changed(curves, None, *[lambda x, _: 1.2 * x] * 2)


def julian_dates(curves):
    return changed(curves, lambda t, _: t + 2_450_000)


def in_other_units(curves):
    hours = changed(curves, lambda t, _: 24 * t)
    return hours.with_period(24 * curves.period)


def padded(curves):
    tables = [np.column_stack(each) for each in zip(*columns(curves), strict=True)]
    array = np.full((len(curves), curves.n_points.max() + 3, 4), np.nan)
    for row, table in zip(array, tables, strict=True):
        row[: len(table)] = table
    return LightCurves.of(array).with_period(curves.period)


SAME = [shuffled, given_twice, whole_periods, level_shifted, julian_dates, padded]


@pytest.fixture(scope="module", params=[1, 2], ids=["band", "bands"])
def curves(request):
    """From day 0 on, one of them with more points than networks see, one with noise alone."""
    made, _ = make_light_curves(
        12 // request.param,
        classes=("RRab", "EA", "RRc", "Cepheid"),
        n_bands=request.param,
        random_state=0,
    )
    times, values, errors, bands = columns(changed(made, lambda t, _: t - 2_450_000))
    random = np.random.default_rng(3)
    n = 2 * MAX_POINTS
    times[2], bands[2] = random.uniform(0, 900, n), np.arange(n) % request.param
    errors[2] = random.uniform(0.02, 0.1, n)
    values[2] = 15 + np.sin(times[2] / made.period[2] * 2 * np.pi) + errors[2] * random.normal(size=n)
    values[4] = 15 + errors[4] * random.normal(size=len(errors[4]))
    return LightCurves(times, values, errors, bands, period=made.period)


@pytest.fixture(scope="module")
def model(curves):
    # Of fewer curves in each class information would be of nearly singular covariances.
    return LightCurveVaDE(**BRIEF).fit(curves, np.arange(len(curves)) % 2)


def results_of(model, curves):
    scores = {by: model.score_samples(curves, by=by) for by in OF_VADE}
    return scores | {"codes": model.transform(curves), "classes": model.predict_proba(curves)}


@pytest.fixture(scope="module")
def results(model, curves):
    return results_of(model, curves)


@pytest.mark.parametrize(
    ("align", "change"),
    [
        *[("phase", change) for change in SAME],
        # An extreme that is looked for on a grid would depend on where the first point is.
        *[(align, change) for align in ("max", "min") for change in (given_twice, whole_periods)],
    ],
)
def test_rows_of_the_grid_do_not_depend_on(align, change, curves):
    grid = LightCurveGrid(align=align, errors=True)
    rows = grid.fit_transform(curves)
    np.testing.assert_allclose(grid.transform(change(curves)), rows, rtol=0, atol=1e-6)


@pytest.mark.parametrize("change", SAME)
def test_results_of_lc_vade_do_not_depend_on(change, model, curves, results):
    for name, found in results_of(model, change(curves)).items():
        np.testing.assert_allclose(found, results[name], rtol=0, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("change", [shuffled, whole_periods, level_shifted, julian_dates])
def test_without_errors_rows_do_not_depend_on(change, curves):
    def without(curves):
        times, values, _, bands = columns(curves)
        return LightCurves(times, values, None, bands, period=curves.period)

    grid = LightCurveGrid(errors=True)
    rows = grid.fit_transform(without(curves))
    np.testing.assert_allclose(grid.transform(without(change(curves))), rows, rtol=0, atol=1e-6)


def test_the_level_alone_is_shifted_with_values(curves):
    grid = LightCurveGrid(features=("log_amplitude", "level", "difference"))
    before, after = grid.fit_transform(curves), grid.transform(level_shifted(curves))
    wanted = np.zeros_like(before)
    wanted[:, list(grid.get_feature_names_out()).index("level")] = 7.3 - 2.0 * np.arange(len(curves))
    np.testing.assert_allclose(after - before, wanted, atol=1e-6)


def test_the_first_log_amplitude_alone_is_shifted_with_units_of_values(curves, model):
    grid = LightCurveGrid(errors=True, features=("log_period", "log_amplitude", "skew", "log_scatter"))
    before, after = grid.fit_transform(curves), grid.transform(scaled(curves))
    wanted = np.zeros_like(before)
    wanted[:, 2 * 32 * len(grid.bands_) + 1] = np.log(1.2)
    np.testing.assert_allclose(after - before, wanted, atol=1e-6)
    # As features of LC-VaDE, among which colours are of magnitudes.
    names = LightCurveGrid().fit(curves).get_feature_names_out()[32 * len(grid.bands_) :]
    codes = model.transform(scaled(curves)) - model.transform(curves)
    shifts = codes[:, BRIEF["latent_dim"] :] * model.feature_scales_
    for name, shift in zip(names, shifts.T, strict=True):
        if name != "difference":
            wanted = np.log(1.2) if name in ("log_amplitude", "log_amplitude_0") else 0.0
            np.testing.assert_allclose(shift, wanted, atol=1e-6, err_msg=name)


def test_without_an_amplitude_no_result_depends_on_units_of_values(curves):
    features = ("log_period", "skew", "log_harmonics")
    model = LightCurveVaDE(features=features, **BRIEF).fit(curves, np.arange(len(curves)) % 2)
    for name in ("transform", "predict_proba", "score_samples"):
        found, wanted = (getattr(model, name)(each) for each in (scaled(curves), curves))
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6, err_msg=name)


def test_the_log_period_alone_depends_on_the_unit_of_times(curves):
    grid = LightCurveGrid()
    before, after = grid.fit_transform(curves), grid.transform(in_other_units(curves))
    wanted = np.zeros_like(before)
    wanted[:, 32 * len(grid.bands_)] = np.log(24)
    np.testing.assert_allclose(after - before, wanted, atol=1e-6)


def test_curves_do_not_depend_on_what_is_beside_them(curves, model):
    """Longer ones have them padded where networks look at them."""
    grid = LightCurveGrid().fit(curves)
    rows, codes = grid.transform(curves), model.transform(curves)
    for i in (0, 2, 4):
        np.testing.assert_allclose(grid.transform(curves[i])[0], rows[i], atol=1e-9)
        np.testing.assert_allclose(model.transform(curves[i])[0], codes[i], atol=1e-9)
    order = np.random.default_rng(0).permutation(len(curves))
    np.testing.assert_allclose(model.transform(curves[order]), codes[order], atol=1e-9)


# ---- Series that have no shape


@pytest.mark.parametrize("with_errors", [True, False])
@pytest.mark.parametrize("align", ["phase", "max", "min", None])
def test_equal_values_make_no_nan(align, with_errors):
    values = [np.full(9, value) for value in (0.0, 1.0, 15.3, 0.1, -1e5)]
    times = [np.arange(9.0)] * 5
    errors = [np.full(9, 0.1)] * 5 if with_errors else None
    flat = LightCurves(times, values, errors, period=np.full(5, 2.3))
    grid = LightCurveGrid(align=align, errors=True, features=tuple(FEATURES))
    rows = grid.fit_transform(flat)
    assert np.isfinite(rows).all()
    names = list(grid.get_feature_names_out())
    np.testing.assert_allclose(rows[:, names.index("level")], [0.0, 1.0, 15.3, 0.1, -1e5], atol=1e-4)
    back = grid.inverse_transform(rows)
    np.testing.assert_allclose(back.values, np.repeat([0.0, 1.0, 15.3, 0.1, -1e5], 32), atol=1e-4)
    assert np.isfinite(grid.set_params(fold=False).fit_transform(flat)).all()


def test_lc_vade_takes_flat_curves_among_others():
    curves, _ = make_light_curves(12, random_state=0)
    flat = LightCurves([np.arange(9.0)] * 2, [np.full(9, v) for v in (0, 15.3)], [np.full(9, 0.1)] * 2)
    both = LightCurves.of([curves, flat.with_period([1.0, 2.0])])
    model = LightCurveVaDE(**BRIEF).fit(both, np.arange(14) % 2)
    for by in OF_VADE:
        assert np.isfinite(model.score_samples(both, by=by)).all(), by
    mean, std = model.predict_curve(both, [0.0, 0.5])
    np.testing.assert_allclose(mean[-2:, 0], [[0, 0], [15.3, 15.3]], atol=1e-3)
    assert np.isfinite(std).all()


@pytest.mark.parametrize("n_points", [1, 2])
def test_a_band_may_have_few_points(n_points):
    random = np.random.default_rng(0)
    times, values = random.uniform(0, 90, (2, 40 + n_points))
    bands = np.repeat([0, 1], [40, n_points])
    curve = LightCurves([times], [values], [np.ones(len(times))], [bands], period=[3.0])
    rows = LightCurveGrid(errors=True, features=tuple(FEATURES)).fit_transform(curve)
    assert np.isfinite(rows).all()


# ---- What is taken from curves


def sine(n=60, period=0.7, amplitude=0.4, level=15.0, error=0.01, seed=0):
    """One curve with its maximum at phase 0.3 after day 0, where its first point is."""
    random = np.random.default_rng(seed)
    times = np.append(0.0, random.uniform(0, 50, n - 1))
    values = level + amplitude * np.cos(2 * np.pi * (times / period - 0.3))
    values += error * random.standard_normal(n)
    return LightCurves([times], [values], [np.full(n, error)], period=[period])


def test_level_amplitude_and_alignment_are_those_of_the_curve():
    curve = sine()
    folded = fold(curve, curve.period, "phase")
    assert folded.levels[0, 0] == pytest.approx(15.0, abs=0.01)
    assert folded.amplitudes[0, 0] == pytest.approx(0.4 / np.sqrt(2), abs=0.01)
    assert folded.shifts[0] == pytest.approx(0.3, abs=0.01)
    assert folded.starts[0] == 0
    assert folded.n_bands == 1
    np.testing.assert_allclose(folded.phases, (curve.times / 0.7 - folded.shifts[0]) % 1, atol=1e-9)
    assert folded.skews()[0] == pytest.approx(0.0, abs=0.1)
    assert folded.harmonics()[0] < 0.05
    for align, phase in (("max", 0.3), ("min", 0.8), (None, 0.0)):
        shift = fold(curve, curve.period, align).shifts[0]
        assert abs((shift - phase + 0.5) % 1 - 0.5) < 0.02, align


def test_amplitude_and_shapes_are_those_of_draws_from_the_posterior():
    curve = sine(12, error=0.2)
    folded = fold(curve, curve.period, "phase")
    regression = folded.regression
    random, n = np.random.default_rng(0), 20_000
    noise = random.standard_normal((n, regression.roots.shape[1]))
    draws = regression.coefficients[0] + noise @ regression.roots[0]
    phases = np.arange(64) / 64
    values = draws @ waves(phases + folded.shifts[0]).T
    around = values - draws[:, :1]
    amplitude = folded.amplitudes[0, 0]
    assert amplitude == pytest.approx(np.sqrt(np.square(around).mean()), rel=0.01)
    mean, std = folded.shapes(phases)
    assert mean.shape == std.shape == (1, 1, 64)
    scaled = (values - folded.levels[0, 0]) / amplitude
    np.testing.assert_allclose(mean[0, 0], scaled.mean(0), atol=0.05)
    np.testing.assert_allclose(std[0, 0], scaled.std(0), rtol=0.05)


def test_outliers_are_left_out():
    curve = sine()
    values = curve.values.copy()
    values[[7, 20]] += [1.5, -1.5]
    off = LightCurves([curve.times], [values], [curve.errors], period=curve.period)
    folded = fold(off, off.period, None)
    left = np.delete(curve.times / 0.7 % 1, [7, 20])
    np.testing.assert_allclose(np.sort(folded.phases), np.sort(left))
    rows, wanted = (LightCurveGrid().fit_transform(each) for each in (off, curve))
    np.testing.assert_allclose(rows[:, :32], wanted[:, :32], atol=0.05)


def test_scatter_is_what_errors_do_not_tell():
    random = np.random.default_rng(0)
    curve = sine(400, error=0.05)
    noisy = changed(curve, values=lambda v, _: v + 0.1 * random.standard_normal(len(v)))
    folded = [fold(each, each.period, "phase") for each in (curve, noisy)]
    assert folded[0].excess()[0, 0] < 0.025
    assert folded[1].excess()[0, 0] == pytest.approx(0.1, rel=0.2)


def test_unknown_errors_are_estimated_from_neighbours():
    curve = sine(400, error=0.05)
    unknown = LightCurves([curve.times], [curve.values], period=curve.period)
    folded = fold(unknown, unknown.period, "phase")
    np.testing.assert_allclose(np.sqrt(folded.variances), 0.05, rtol=0.2)
    assert np.ptp(folded.variances) == 0


def test_curves_that_are_not_folded_take_half_of_the_circle():
    curve = sine()
    folded = fold(curve, None, "phase")
    span = np.ptp(curve.times)
    assert folded.periods[0] == 2 * span
    assert folded.shifts[0] == 0
    np.testing.assert_allclose(folded.phases, 0.5 * curve.times / span)


# ---- What networks see


def test_packed_points_are_the_curves_in_their_own_units():
    curve = sine(20)
    long = sine(30, period=0.9, level=3.0, seed=1)
    both = LightCurves.of([curve, long])
    folded = fold(both, both.period, "phase")
    packed = folded.packed()
    assert packed.shape == (2, 1, 3, 30)
    for i, each in enumerate((curve, long)):
        n = each.n_points[0]
        phases, values, errors = packed[i, 0]
        assert not packed[i, 0, :, n:].any()
        np.testing.assert_allclose(phases[:n], (each.times / each.period - folded.shifts[i]) % 1)
        back = folded.levels[i, 0] + folded.amplitudes[i, 0] * values[:n]
        np.testing.assert_allclose(back, each.values)
        np.testing.assert_allclose(folded.amplitudes[i, 0] * errors[:n], 0.01)


def test_points_of_one_time_are_one():
    curve = sine(20)
    times = np.tile(curve.times, 2)
    values = np.concatenate([curve.values - 0.01, curve.values + 0.03])
    errors = np.repeat([0.01, 0.02], 20)
    twice = LightCurves([times], [values], [errors], period=curve.period)
    packed = fold(twice, twice.period, None).packed()
    assert packed.shape == (1, 1, 3, 20)
    folded = fold(twice, twice.period, None)
    mean = (4 * (curve.values - 0.01) + curve.values + 0.03) / 5
    np.testing.assert_allclose(folded.values, mean)
    np.testing.assert_allclose(folded.variances, 1e-4 / 1.25)


def test_many_points_are_put_together_by_their_precisions():
    random = np.random.default_rng(0)
    n = MAX_POINTS + 150
    curve = sine(n, error=0.05)
    curve = changed(curve, errors=lambda x, _: x * random.uniform(0.5, 2.0, n))
    few = sine(30, period=1.1, seed=1)
    both = LightCurves.of([few, curve])
    folded = fold(both, both.period, "phase")
    packed = folded.packed()
    assert packed.shape[3] <= MAX_POINTS
    kept = slice(*folded.splits[1:3])
    phases, values, variances = (each[kept] for each in (folded.phases, folded.values, folded.variances))
    bins = np.floor(phases * MAX_POINTS)
    found = packed[1, 0][:, packed[1, 0, 2] > 0]
    assert found.shape[1] == len(np.unique(bins)) > MAX_POINTS / 2
    level, amplitude = folded.levels[1, 0], folded.amplitudes[1, 0]
    for column, place in zip(found.T, np.unique(bins), strict=True):
        inside = bins == place
        weights = 1 / variances[inside]
        wanted = [
            np.average(phases[inside], weights=weights),
            (np.average(values[inside], weights=weights) - level) / amplitude,
            1 / np.sqrt(weights.sum()) / amplitude,
        ]
        np.testing.assert_allclose(column, wanted)
    # The other curve has all of its points.
    assert (packed[0, 0, 2] > 0).sum() == np.diff(folded.splits)[0]
