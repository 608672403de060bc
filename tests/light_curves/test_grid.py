"""LightCurveGrid: its columns, curves that come back, what it refuses, its place in scikit-learn."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from support import BRIEF

from skmpcc import VAE, MPCCClassifier, MPCCClusterer, NoveltyDetector
from skmpcc.light_curves import LightCurveGrid, LightCurves, make_light_curves
from skmpcc.light_curves.grid import DEFAULT_FEATURES, FEATURES

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

ALL = tuple(FEATURES)


@pytest.fixture(scope="module")
def labelled():
    return make_light_curves(48, classes=("RRab", "EA", "Cepheid"), random_state=0)


@pytest.fixture(scope="module")
def curves(labelled):
    return labelled[0][:6]


@pytest.fixture(scope="module")
def two_bands():
    made, _ = make_light_curves(5, n_bands=2, random_state=0)
    cut, names = made.splits[1:-1], np.array(["blue", "red"])[made.bands]
    points = (np.split(each, cut) for each in (made.times, made.values, made.errors, names))
    return LightCurves(*points, period=made.period)


def shape(phases):
    """Of level 0, with its first harmonic's maximum at phase 0."""
    angles = 2 * np.pi * phases
    return 0.3 * np.cos(angles) + 0.1 * np.sin(2 * angles)


def clean(periods=(0.7, 3.0), levels=(15.0, 12.0), n=200, bands=False):
    """Curves whose points have next to no errors; in the second band they are twice as large."""
    random = np.random.default_rng(0)
    times, values = [], []
    for period, level in zip(periods, levels, strict=True):
        times.append(random.uniform(0, 100, n))
        values.append(level + shape(times[-1] / period - 0.37))
    names = [np.arange(n) % 2] * len(periods)
    if bands:
        for i, level in enumerate(levels):
            second = names[i] == 1
            values[i][second] = level + 1.5 + 2 * (values[i][second] - level)
    errors = [np.full(n, 1e-3)] * len(periods)
    return LightCurves(times, values, errors, names if bands else None, period=periods)


# ---- Columns


def test_columns_of_one_band(curves):
    grid = LightCurveGrid(n_points=8)
    rows = grid.fit_transform(curves)
    of_curve = [f"phase_{k / 8:.4g}" for k in range(8)]
    wanted = of_curve + [name for name in DEFAULT_FEATURES if name != "difference"]
    assert grid.get_feature_names_out().tolist() == wanted
    assert rows.shape == (6, len(wanted))
    assert rows.dtype == np.float64
    np.testing.assert_array_equal(grid.fit(curves).transform(curves), rows)


def test_columns_of_two_bands_with_errors(two_bands):
    grid = LightCurveGrid(n_points=4, errors=True, features=ALL)
    rows = grid.fit_transform(two_bands)
    of_curve = [
        f"phase_{phase}_{band}" for band in ("blue", "red") for phase in ("0", "0.25", "0.5", "0.75")
    ]
    features = []
    for name in ALL:
        features += ["log_amplitude_blue", "log_amplitude_red"] if name == "log_amplitude" else [name]
    names = [*of_curve, *(f"std_{name}" for name in of_curve), *features]
    assert grid.get_feature_names_out().tolist() == names
    assert rows.shape == (5, len(names))
    assert grid.bands_ == ("blue", "red")
    assert grid.levels_.shape == grid.amplitudes_.shape == (2,)


@pytest.mark.parametrize("n_bands", [1, 2, 3])
@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize("errors", [True, False])
@pytest.mark.parametrize("features", [(), ("difference",), ["skew", "log_period"], ALL])
def test_names_are_as_many_as_columns_for_all_options(n_bands, fold, errors, features):
    curves, _ = make_light_curves(2, n_bands=n_bands, random_state=0)
    grid = LightCurveGrid(n_points=5, fold=fold, errors=errors, features=features)
    rows, names = grid.fit_transform(curves), grid.get_feature_names_out()
    assert rows.shape == (2, len(names))
    assert len(set(names)) == len(names)
    assert np.isfinite(rows).all()
    assert len(grid.inverse_transform(rows)) == 2


def test_features_come_in_their_order(curves):
    one = LightCurveGrid(features=("skew", "level")).fit_transform(curves)
    other = LightCurveGrid(features=["level", "skew"]).fit_transform(curves)
    np.testing.assert_array_equal(one[:, -1], other[:, -2])
    np.testing.assert_array_equal(one[:, -2], other[:, -1])


def test_features_are_what_they_are_called():
    curves = clean(bands=True)
    grid = LightCurveGrid(features=ALL)
    rows = grid.fit_transform(curves)
    found = dict(zip(grid.get_feature_names_out(), rows.T, strict=True))
    np.testing.assert_allclose(found["log_period"], np.log([0.7, 3.0]))
    rms = np.sqrt(0.5 * (0.3**2 + 0.1**2))
    np.testing.assert_allclose(found["log_amplitude_0"], np.log(rms), atol=0.02)
    # By how much more in the second band than in the first.
    np.testing.assert_allclose(found["log_amplitude_1"], np.log(2), atol=0.02)
    np.testing.assert_allclose(found["level"], [15, 12], atol=0.01)
    np.testing.assert_allclose(found["difference"], 1.5, atol=0.02)
    of_shape = shape(np.arange(1000) / 1000) / rms
    np.testing.assert_allclose(found["skew"], np.mean(of_shape**3), atol=0.02)
    np.testing.assert_allclose(found["log_harmonics"], np.log(0.1 / 0.3), atol=0.05)
    assert (found["log_scatter"] <= np.log(0.051)).all()


def test_shapes_are_of_level_0_and_amplitude_1_and_aligned():
    rows = LightCurveGrid(n_points=20).fit_transform(clean())[:, :20]
    wanted = shape(np.arange(20) / 20) / np.sqrt(0.5 * (0.3**2 + 0.1**2))
    np.testing.assert_allclose(rows, [wanted] * 2, atol=0.02)


def test_standard_deviations_are_large_where_there_are_no_points():
    random = np.random.default_rng(0)
    phases = random.uniform(0.1, 0.6, 60)
    times = phases + np.arange(60)
    values = shape(phases) + 0.02 * random.standard_normal(60)
    curve = LightCurves([times], [values], [np.full(60, 0.02)], period=[1.0])
    rows = LightCurveGrid(n_points=20, errors=True, align=None).fit_transform(curve)
    first = phases[0]
    stds = dict(zip((np.arange(20) / 20 + first) % 1, rows[0, 20:40], strict=True))
    seen = [std for phase, std in stds.items() if 0.15 < phase < 0.55]
    unseen = [std for phase, std in stds.items() if phase > 0.75 or phase < 0.05]
    assert min(unseen) > 3 * max(seen)


# ---- Alignment


def equidistant(shift, n=100):
    """Points at the same phases; the curve is shifted against them by some of their distances."""
    phases = np.arange(n) / n
    values = shape(phases - 0.137 - shift / n) + 0.05 * np.cos(6 * np.pi * (phases - shift / n))
    return LightCurves([2 * phases], [values], [np.full(n, 0.01)], period=[2.0])


@pytest.mark.parametrize("align", ["phase", "max", "min"])
def test_shifted_curves_have_the_same_row(align):
    grid = LightCurveGrid(align=align, errors=True, features=ALL)
    rows = grid.fit_transform(equidistant(0))
    for shift in (1, 25, 77):
        np.testing.assert_allclose(grid.transform(equidistant(shift)), rows, atol=1e-6)


def test_without_alignment_they_are_shifted():
    grid = LightCurveGrid(n_points=20, align=None, features=())
    rows = [grid.fit_transform(equidistant(shift))[0] for shift in (0, 25)]
    np.testing.assert_allclose(rows[1], np.roll(rows[0], 5), atol=1e-6)
    assert np.abs(rows[1] - rows[0]).max() > 1


def test_what_is_at_phase_0():
    curves = [equidistant(20)]
    for align, best in (("max", np.argmax), ("min", np.argmin)):
        row = LightCurveGrid(n_points=64, align=align).fit_transform(curves)[0, :64]
        assert best(row) == 0
    row = LightCurveGrid(n_points=64, align="phase").fit_transform(curves)[0, :64]
    first = np.fft.fft(row)[1]
    assert abs(np.angle(first)) < 1e-6


def test_bands_are_aligned_together():
    """So that the delay of one band behind the other stays."""
    random = np.random.default_rng(0)
    times, bands = random.uniform(0, 100, 300), np.arange(300) % 2
    values = np.cos(2 * np.pi * (times - 0.2 * bands))
    curve = LightCurves([times], [values], [np.full(300, 0.01)], [bands], period=[1.0])
    row = LightCurveGrid(n_points=20).fit_transform(curve)[0, :40].reshape(2, 20)
    first, second = (np.angle(np.fft.fft(each)[1]) / (-2 * np.pi) for each in row)
    assert second - first == pytest.approx(0.2, abs=0.01)
    assert first == pytest.approx(-0.1, abs=0.01)


# ---- Back to curves


@pytest.mark.parametrize("bands", [False, True])
@pytest.mark.parametrize("errors", [False, True])
def test_curves_come_back(bands, errors):
    curves = clean(bands=bands)
    features = ("log_period", "log_amplitude", "level", "difference")
    grid = LightCurveGrid(n_points=40, errors=errors, features=features)
    back = grid.inverse_transform(grid.fit_transform(curves))
    np.testing.assert_allclose(back.period, curves.period)
    assert back.band_names == curves.band_names
    assert back.n_points.tolist() == [40 * (1 + bands)] * 2
    assert (back.errors is not None) == errors
    for i, (period, level) in enumerate([(0.7, 15.0), (3.0, 12.0)]):
        one = back[i]
        first = one.bands == 0
        np.testing.assert_allclose(one.times[first], np.arange(40) / 40 * period)
        wanted = shape(one.times / period)
        wanted = np.where(first, level + wanted, level + 1.5 + 2 * wanted)
        np.testing.assert_allclose(one.values, wanted, atol=0.01)
    if errors:
        assert back.errors.max() < 0.02


def test_rows_of_what_comes_back_are_nearly_the_rows(curves):
    grid = LightCurveGrid(n_points=64, errors=True)
    rows = grid.fit_transform(curves)
    again = grid.transform(grid.inverse_transform(rows))
    assert np.square(again - rows)[:, :64].mean() < 0.01
    np.testing.assert_allclose(again[:, 128:130], rows[:, 128:130], atol=0.1)


def test_what_no_column_tells_is_typical():
    curves = clean(periods=(0.5, 1.0, 4.0), levels=(15.0, 16.0, 10.0))
    grid = LightCurveGrid(features=()).fit(curves)
    back = grid.inverse_transform(grid.transform(curves))
    assert grid.period_ == 1.0
    np.testing.assert_allclose(back.period, 1.0)
    assert grid.levels_[0] == pytest.approx(15.0, abs=0.01)
    for one in back:
        assert one.values.mean() == pytest.approx(grid.levels_[0], abs=0.01)
        assert one.values.std() == pytest.approx(grid.amplitudes_[0], rel=0.01)


def test_curves_that_are_not_folded_come_back_over_their_span():
    """As of a star that brightens once."""
    random = np.random.default_rng(0)
    spans = np.array([30.0, 80.0])
    times = [np.sort(np.append([0, span], random.uniform(0, span, 80))) for span in spans]
    values = [12 - 2 * np.exp(-0.5 * ((t / t.max() - 0.4) / 0.1) ** 2) for t in times]
    curves = LightCurves([2_450_000 + t for t in times], values, [np.full(82, 0.01)] * 2)
    features = ("log_period", "log_amplitude", "level")
    grid = LightCurveGrid(n_points=21, fold=False, features=features)
    rows = grid.fit_transform(curves)
    back = grid.inverse_transform(rows)
    assert back.period is None
    for one, span in zip(back, spans, strict=True):
        np.testing.assert_allclose(one.times, np.linspace(0, 1, 21) * span, atol=1e-6)
        wanted = 12 - 2 * np.exp(-0.5 * ((one.times / span - 0.4) / 0.1) ** 2)
        np.testing.assert_allclose(one.values, wanted, atol=0.05)
    # Ends are no neighbours, and there is nothing to align.
    np.testing.assert_array_equal(grid.set_params(align="max").fit_transform(curves), rows)


def test_errors_that_come_back_are_in_the_unit_of_values(curves):
    cut = curves.splits[1:-1]
    parts = [
        np.split(each, cut) for each in (curves.times, 1e-20 * curves.values, 1e-20 * curves.errors)
    ]
    small = LightCurves(*parts, period=curves.period)
    one, other = (
        grid.inverse_transform(grid.fit_transform(each))
        for grid, each in ((LightCurveGrid(errors=True), each) for each in (curves, small))
    )
    np.testing.assert_allclose(1e20 * other.errors, one.errors, rtol=1e-6)
    # A decoded standard deviation may be below 0.
    grid = LightCurveGrid(errors=True)
    rows = grid.fit_transform(curves)
    rows[:, 32:64] = -1
    assert (grid.inverse_transform(rows).errors > 0).all()


# ---- Periods


def test_periods_are_found_where_they_are_unknown_or_it_is_asked_for(curves, monkeypatch):
    asked = []

    def found(given, **options):
        asked.append((given.period, options))
        return np.full(len(given), 2.0)

    monkeypatch.setattr("skmpcc.light_curves.grid.find_periods", found)
    unknown, twos = curves.with_period(None), curves.with_period(np.full(6, 2.0))
    rows = LightCurveGrid().fit_transform(twos)
    assert not asked
    grid = LightCurveGrid(min_period=0.3, n_jobs=1)
    np.testing.assert_array_equal(grid.fit_transform(unknown), rows)
    grid.set_params(period="find")
    np.testing.assert_array_equal(grid.fit_transform(curves), rows)
    np.testing.assert_array_equal(grid.transform(curves), rows)
    assert [options for _, options in asked] == [{"min_period": 0.3, "n_jobs": 1}] * 3
    LightCurveGrid(fold=False).fit(unknown)
    assert len(asked) == 3


def test_rows_of_found_periods_are_those_of_known_ones():
    times = np.random.default_rng(0).uniform(0, 20, 100)
    values = 15 + shape(times / 1.37)
    curve = LightCurves([times], [values], [np.full(100, 0.01)])
    grid = LightCurveGrid(min_period=0.5)
    rows = grid.fit_transform(curve)
    assert grid.period_ == pytest.approx(1.37, rel=1e-3)
    np.testing.assert_allclose(rows, grid.transform(curve.with_period([1.37])), atol=0.1)


# ---- What it refuses


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"features": ("level", "colour")}, ValueError, "features has 'colour', which is none of"),
        ({"features": "level"}, ValueError, "'features' parameter"),
        ({"n_points": 3}, ValueError, "'n_points' parameter"),
        ({"align": "middle"}, ValueError, "'align' parameter"),
        ({"period": "known"}, ValueError, "'period' parameter"),
        ({"period": 0.7}, ValueError, "'period' parameter"),
        ({"fold": 2}, ValueError, "'fold' parameter"),
        ({"min_period": 0}, ValueError, "'min_period' parameter"),
    ],
)
def test_bad_parameters_are_errors_that_name_them(parameters, error, message, curves):
    grid = LightCurveGrid(**parameters)
    for fit in (grid.fit, grid.fit_transform):
        with pytest.raises(error, match=message):
            fit(curves)
    assert not hasattr(grid, "bands_")


POINTS = np.column_stack([np.arange(5.0), [1.0, 2, 1, 3, 2], np.full(5, 0.1)])
BAD = [
    ([POINTS, POINTS[:2]], ValueError, "Curve 1: at least 3 points"),
    ([POINTS * [1, 1, -1]], ValueError, "Curve 0: errors must be finite and above 0"),
    ([POINTS, POINTS * [0, 1, 1]], ValueError, "Curve 1: all times are 0"),
    ([POINTS + np.array([np.inf, 0, 0])], ValueError, "Curve 0: times must be finite"),
    ([], ValueError, "X has no curves"),
    (["V1", "V2"], ValueError, "Curve 0: an array of shape"),
    ("V1", TypeError, "X must be a sequence of curves, got str"),
    ([POINTS.astype(str)], TypeError, "must hold numbers, got text"),
    (np.ones((4, 5)), ValueError, "Curve 0: an array of shape"),
]


@pytest.mark.parametrize(("bad", "error", "message"), BAD)
def test_bad_curves_are_errors_that_name_them(bad, error, message):
    with pytest.raises(error, match=message):
        LightCurveGrid().fit(bad)
    grid = LightCurveGrid().fit(LightCurves.of([POINTS]).with_period([2.0]))
    with pytest.raises(error, match=message):
        grid.transform(bad)


def test_a_curve_without_points_in_a_band_is_named(two_bands):
    cut = two_bands.splits[1:-1]
    names = np.array(two_bands.band_names)[two_bands.bands]
    parts = [np.split(each, cut) for each in (two_bands.times, two_bands.values, two_bands.errors)]
    bands = np.split(names, cut)
    bands[3] = np.full(len(bands[3]), "blue")
    lacking = LightCurves(*parts, bands, period=two_bands.period)
    grid = LightCurveGrid()
    with pytest.raises(ValueError, match="no point of curve 3 in band 'red'"):
        grid.fit(lacking)
    with pytest.raises(ValueError, match="no point of curve 3 in band 'red'"):
        grid.fit(two_bands).transform(lacking)


def test_other_bands_are_errors(two_bands, curves):
    grid = LightCurveGrid().fit(two_bands)
    with pytest.raises(ValueError, match=r"band 0 is unknown, wanted one of \('blue', 'red'\)"):
        grid.transform(curves)
    # But not another order of them.
    turned = two_bands.with_bands(("red", "blue"))
    np.testing.assert_allclose(grid.transform(turned), grid.transform(two_bands))


def test_rows_of_another_width_are_errors(curves):
    grid = LightCurveGrid().fit(curves)
    with pytest.raises(ValueError, match=r"X has 5 columns, but the grid has \d+"):
        grid.inverse_transform(np.zeros((2, 5)))
    with pytest.raises(ValueError, match="NaN"):
        grid.inverse_transform(np.full(grid.transform(curves).shape, np.nan))


def test_before_the_fit(curves):
    for method in ("transform", "inverse_transform", "get_feature_names_out"):
        with pytest.raises(NotFittedError):
            getattr(LightCurveGrid(), method)(curves)


# ---- With scikit-learn


def test_set_output(two_bands):
    pandas = pytest.importorskip("pandas")
    grid = LightCurveGrid(errors=True).set_output(transform="pandas")
    frame = grid.fit_transform(two_bands)
    assert isinstance(frame, pandas.DataFrame)
    assert frame.columns.tolist() == grid.get_feature_names_out().tolist()
    pandas.testing.assert_frame_equal(grid.transform(two_bands), frame)
    back = grid.inverse_transform(frame)
    wanted = LightCurveGrid(errors=True).fit(two_bands).inverse_transform(frame.to_numpy())
    np.testing.assert_array_equal(back.values, wanted.values)


def test_clone_pickle_and_parameters(curves):
    grid = LightCurveGrid(12, align="max", errors=True, features=("skew",), n_jobs=1).fit(curves)
    restored = pickle.loads(pickle.dumps(grid))
    np.testing.assert_array_equal(restored.transform(curves), grid.transform(curves))
    assert clone(grid).get_params() == grid.get_params()
    assert not hasattr(clone(grid), "bands_")
    assert set(grid.get_params()) >= {"n_points", "fold", "period", "align", "errors", "features"}
    assert not get_tags(grid).input_tags.two_d_array


def test_forms_of_curves_are_the_same(curves):
    tables = [np.column_stack([c.times, c.values, c.errors]) for c in curves]
    grid = LightCurveGrid(fold=False)
    wanted = grid.fit_transform(curves)
    np.testing.assert_array_equal(grid.fit_transform(tables), wanted)
    np.testing.assert_array_equal(grid.fit_transform(list(curves)), wanted)


def test_searches_and_scores_of_a_pipeline(labelled):
    curves, y = labelled
    pipeline = make_pipeline(LightCurveGrid(), StandardScaler(), LogisticRegression())
    assert cross_val_score(pipeline, curves, y, cv=3).mean() > 0.9
    grid = {"lightcurvegrid__n_points": [8, 16], "lightcurvegrid__align": ["phase", None]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(curves, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    best = search.best_estimator_[0]
    assert best.get_params()["n_points"] == search.best_params_["lightcurvegrid__n_points"]
    assert search.score(curves, y) > 0.9


@pytest.mark.parametrize(
    "last",
    [
        MPCCClusterer(3, **BRIEF, random_state=0),
        MPCCClassifier(**BRIEF | {"pseudo_labels": "neighbors"}, random_state=0),
        VAE(latent_dim=4, width=8, max_iter=3, random_state=0),
    ],
    ids=lambda each: type(each).__name__,
)
@pytest.mark.parametrize("errors", [False, True])
def test_generative_estimators_end_a_pipeline(last, errors, labelled):
    curves, y = labelled
    pipeline = make_pipeline(LightCurveGrid(errors=errors), clone(last)).fit(curves, y)
    rows = pipeline[0].transform(curves)
    if hasattr(last, "predict"):
        np.testing.assert_array_equal(pipeline.predict(curves), pipeline[1].predict(rows))
        assert set(pipeline.predict(curves)) <= set(np.unique(y)) | {0, 1, 2}
    np.testing.assert_array_equal(pipeline.transform(curves), pipeline[1].transform(rows))
    drawn = pipeline[1].sample(7)
    drawn = pipeline[0].inverse_transform(drawn[0] if isinstance(drawn, tuple) else drawn)
    assert isinstance(drawn, LightCurves)
    assert len(drawn) == 7
    assert (drawn.errors is not None) == errors
    rebuilt = pipeline[0].inverse_transform(pipeline[1].reconstruct(rows))
    assert len(rebuilt) == len(curves)
    # They are curves like any others.
    assert pipeline.transform(drawn).shape == (7, 4)


def test_novelty_of_curves(labelled):
    curves = labelled[0]
    detector = NoveltyDetector(MPCCClusterer(3, **BRIEF, random_state=0), by="information")
    kinds = make_pipeline(LightCurveGrid(), detector).fit(curves).predict(curves)
    assert set(kinds) == {-1, 1}
    around = NoveltyDetector(make_pipeline(LightCurveGrid(), detector.estimator), cv=2)
    scores = around.fit(curves).score_samples(curves)
    assert scores.shape == (len(curves),)
    assert np.isfinite(scores).all()
