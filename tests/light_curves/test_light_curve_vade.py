"""LightCurveVaDE: what a user sees of it. Its networks and losses are tested in tests/method."""

import copy
import os
import pickle
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import log_softmax
from sklearn.base import clone, is_classifier
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from support import Interrupting, assert_same_fit

from skmpcc import MPCCClusterer, NoveltyDetector
from skmpcc.fitted import light_curves as fitted_curves
from skmpcc.fitted.light_curves import KERNEL_ATTRIBUTES, Kernels, curves_of_codes
from skmpcc.fitted.model import FittedModel
from skmpcc.light_curves import LightCurveGrid, LightCurves, LightCurveVaDE, make_light_curves
from skmpcc.method import light_curves as model_module
from skmpcc.method.networks.series import posterior
from skmpcc.method.trainer import Trainer
from skmpcc.settings import settings_of
from skmpcc.training import checkpoint as _checkpoint
from skmpcc.variational_presets import LightCurvePreset

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# Fits of next to nothing, and of a few seconds.
BRIEF = {"max_iter": 4, "width": 8, "latent_dim": 3, "random_state": 0}
QUICK = {"max_iter": 120, "width": 32, "latent_dim": 4, "learning_rate": 1e-2, "random_state": 0}
BY = ("information", "class", "reconstruction", "both", "density")


@pytest.fixture(scope="module")
def data():
    return make_light_curves(60, classes=("RRab", "EA", "RRc"), random_state=0)


@pytest.fixture(scope="module")
def few(data):
    """Four of each class, in turn, of which a fit takes little time."""
    curves, y = data
    rows = np.stack([np.flatnonzero(y == name)[:4] for name in np.unique(y)], axis=1).ravel()
    return curves[rows], y[rows]


@pytest.fixture(scope="module")
def fitted(data):
    return LightCurveVaDE(**QUICK).fit(data[0][:48], data[1][:48])


@pytest.fixture(scope="module")
def two_bands():
    made, _ = make_light_curves(12, n_bands=2, random_state=1)
    cut, names = made.splits[1:-1], np.array(["blue", "red"])[made.bands]
    points = (np.split(each, cut) for each in (made.times, made.values, made.errors, names))
    curves = LightCurves(*points, period=made.period)
    return LightCurveVaDE(**BRIEF).fit(curves, np.arange(12) % 2), curves


def results(model, curves):
    """All that it says of curves, as arrays."""
    mean, std = model.predict_curve(curves, [2_450_000.0, 2_450_000.3])
    found = {"predict": model.predict(curves), "mean": mean, "std": std}
    for name in ("predict_proba", "transform"):
        found[name] = getattr(model, name)(curves)
    for by in BY:
        if by != "class" or model.kernel_centers_ is not None:
            found[by] = model.score_samples(curves, by=by)
    for name, curves_found in (
        ("reconstruct", model.reconstruct(curves)),
        ("inverse", model.inverse_transform(found["transform"])),
        ("sample", model.sample(5)[0]),
    ):
        for field in ("times", "values", "errors", "bands", "splits"):
            found[f"{name}.{field}"] = getattr(curves_found, field)
    return found


def assert_same_results(model, other, curves):
    one, two = results(model, curves), results(other, curves)
    assert one.keys() == two.keys()
    for name in one:
        assert_array_equal(two[name], one[name], err_msg=name)


# ---- What it learns


def test_it_tells_classes_of_new_curves(fitted, data):
    curves, y = data
    assert_array_equal(fitted.classes_, ["EA", "RRab", "RRc"])
    assert np.mean(fitted.labels_ == y[:48]) > 0.95
    assert fitted.score(curves[48:], y[48:]) > 0.8
    probabilities = fitted.predict_proba(curves)
    assert probabilities.shape == (60, 3)
    assert_allclose(probabilities.sum(1), 1)
    assert_array_equal(fitted.classes_[probabilities.argmax(1)], fitted.predict(curves))
    assert_array_equal(fitted.predict(curves[:48]), fitted.labels_)


def test_decoded_curves_are_like_the_data(fitted, data):
    curves = data[0][:48]
    rebuilt = fitted.reconstruct(curves)
    at = np.repeat(np.arange(48), curves.n_points)
    spread = np.array([one.values.std() for one in curves])
    level = np.array([np.median(one.values) for one in curves])
    lost = np.median(np.abs(rebuilt.values - curves.values) / spread[at])
    assert lost < 0.6 * np.median(np.abs(curves.values - level[at]) / spread[at])
    assert (rebuilt.errors < 3 * spread[at]).all()


def test_samples_of_a_class_are_of_it(fitted):
    for label in fitted.classes_:
        drawn, labels = fitted.sample(30, label=label)
        assert set(labels) == {label}
        assert np.mean(fitted.predict(drawn) == label) > 0.8


def test_scores_are_low_for_other_curves(fitted, data):
    cepheids, _ = make_light_curves(20, classes=("Cepheid",), random_state=0)
    # Points that are no curve.
    folded_wrong = data[0].with_period(1.37 * data[0].period)
    for by in BY:
        other = folded_wrong if by == "reconstruction" else cepheids
        own = np.median(fitted.score_samples(data[0], by=by))
        assert np.median(fitted.score_samples(other, by=by)) < own, by


def test_clusters_are_found_without_classes(data):
    curves, y = data
    model = LightCurveVaDE(3, **QUICK | {"max_iter": 40}).fit(curves)
    assert_array_equal(model.classes_, [0, 1, 2])
    assert set(model.labels_) <= {0, 1, 2}
    assert_array_equal(model.predict(curves), model.labels_)
    assert set(model.pseudo_labels_) == {0, 1, 2}
    assert set(model.pseudo_label_choice_) == {"kind", "margin", "agreement"}
    assert adjusted_rand_score(y, model.labels_) > 0.3


def test_unknown_classes_are_clusters(few):
    curves, _ = few
    found = [LightCurveVaDE(3, **BRIEF).fit(curves, y) for y in (None, np.full(12, -1), [-1] * 12)]
    assert_same_fit(found[1], found[0])
    assert_same_fit(found[2], found[0])


# ---- Labels


def test_fitted_attributes(fitted):
    n_codes = QUICK["latent_dim"] + len(fitted.feature_centers_)
    assert fitted.means_.shape == fitted.covariances_.shape == (3, n_codes)
    assert fitted.code_means_.shape == (3, n_codes)
    assert fitted.code_covariances_.shape == (3, n_codes, n_codes)
    assert (np.linalg.eigvalsh(fitted.code_covariances_) > 0).all()
    assert_allclose(fitted.weights_.sum(), 1)
    assert fitted.feature_scales_.shape == fitted.feature_centers_.shape
    assert (fitted.feature_scales_ > 0).all()
    assert fitted.bands_.tolist() == [0]
    assert fitted.levels_.shape == fitted.amplitudes_.shape == (1,)
    assert fitted.period_ > 0
    assert fitted.n_iter_ <= QUICK["max_iter"]
    assert fitted.settings_["width"] == QUICK["width"]
    assert {"iteration", "reconstruction", "divergence"} <= fitted.history_.keys()
    assert fitted.pseudo_label_choice_ is None


def test_labels_may_be_a_column(few):
    curves, y = few
    with pytest.warns(DataConversionWarning, match="column-vector"):
        found = LightCurveVaDE(**BRIEF).fit(curves, y[:, None])
    assert_same_fit(found, LightCurveVaDE(**BRIEF).fit(curves, y))


@pytest.mark.parametrize("kind", ["text", "numbers", "objects"])
def test_some_classes_may_be_known(kind, few):
    curves, y = few
    names = {"text": ["a", "b", "c"], "numbers": [7, 3, 5], "objects": ["a", "b", "c"]}[kind]
    labels = np.array(names, dtype=object if kind != "numbers" else int)
    labels = labels[np.unique(y, return_inverse=True)[1]]
    if kind != "text":
        labels[8:] = -1
    model = LightCurveVaDE(**BRIEF).fit(curves, labels if kind != "text" else labels.astype(str))
    assert_array_equal(model.classes_, sorted(names))
    assert set(model.labels_) | set(model.predict(curves)) <= set(names)
    known = labels != -1
    assert_array_equal(model.pseudo_labels_[known], labels[known])
    assert set(model.pseudo_labels_) <= set(names)
    assert model.pseudo_label_choice_ is None
    drawn, of = model.sample(6, label=names[1])
    assert set(of) == {names[1]}
    assert len(drawn) == 6
    assert is_classifier(model)


def test_one_cluster(few):
    curves, _ = few
    model = LightCurveVaDE(1, **BRIEF).fit(curves)
    assert (model.labels_ == 0).all()
    assert_array_equal(model.predict_proba(curves), 1)
    assert model.pseudo_labels_ is None
    for by in ("information", "reconstruction", "both", "density"):
        assert np.isfinite(model.score_samples(curves, by=by)).all()
    with pytest.raises(ValueError, match="by='class' needs several classes"):
        model.score_samples(curves, by="class")
    assert model.kernel_centers_ is None


@pytest.mark.parametrize(
    ("n_clusters", "y", "message"),
    [
        (None, None, "no known class: pass n_clusters"),
        (None, [-1] * 12, "no known class: pass n_clusters"),
        (None, ["a", "b"] * 5, "y has 10 labels for 12 curves"),
        (None, "a", "y has 1 labels for 12 curves"),
        (None, ["a"] * 12, "1 class, 'a'"),
        (None, ["-1"] * 6 + ["a"] * 6, "as text"),
        (None, [np.nan] * 6 + [1.0] * 6, "6 missing labels"),
        (3, ["a", "b"] * 6, "n_clusters=3, but y has 2 classes"),
        (13, None, "n_clusters=13 are more than the 12 curves"),
        (0, None, "'n_clusters' parameter"),
        (2.0, None, "'n_clusters' parameter"),
    ],
)
def test_bad_labels_are_errors_before_training(n_clusters, y, message, few, monkeypatch):
    monkeypatch.setattr("skmpcc.training.initialization.train", lambda *_: pytest.fail("training began"))
    model = LightCurveVaDE(n_clusters, **BRIEF)
    before = dict(vars(model))
    with pytest.raises(ValueError, match=message):
        model.fit(few[0], y)
    assert vars(model) == before


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"features": ("colour",)}, "features has 'colour'"),
        ({"align": "middle"}, "'align' parameter"),
        ({"period": "known"}, "'period' parameter"),
        ({"width": 0}, "'width' parameter"),
        ({"preset_params": {"discriminator_steps": 2}}, "preset_params has 'discriminator_steps'"),
        ({"preset_params": {"n_bands": 2}}, "preset_params has 'n_bands', which the curves give"),
        ({"preset_params": {"left_out": 2.0}}, "left_out"),
        ({"preset_params": {"width": 9}}, "width"),
        ({"device": "gpu"}, "gpu"),
    ],
)
def test_bad_parameters_are_errors_before_training(parameters, message, few, monkeypatch):
    monkeypatch.setattr("skmpcc.training.initialization.train", lambda *_: pytest.fail("training began"))
    model = LightCurveVaDE(**BRIEF | parameters)
    before = dict(vars(model))
    with pytest.raises(ValueError, match=message):
        model.fit(*few)
    assert vars(model) == before


def test_its_parameters_are_documented():
    own, other = LightCurveVaDE.__doc__.split("Other Parameters\n    ----")
    for name in LightCurveVaDE().get_params():
        assert name in own.split("Attributes\n")[0]
    reserved = {"n_bands", "n_features", "pseudo_labels", "scaling"}
    fields = set(settings_of(LightCurvePreset)) - set(LightCurveVaDE().get_params()) - reserved
    assert {"left_out", "likelihood_weight", "n_inducing"} <= fields
    for name in fields:
        assert f"\n    {name} : " in other
    for name in reserved:
        assert f"\n    {name} : " not in other


# ---- Curves that it refuses

POINTS = np.column_stack([np.arange(5.0), [1.0, 2, 1, 3, 2], np.full(5, 0.1)])


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        ([POINTS, POINTS[:2]], ValueError, "Curve 1: at least 3 points"),
        ([POINTS, POINTS * [1, 1, 0]], ValueError, "Curve 1: errors must be finite and above 0"),
        ([POINTS, POINTS * [0, 1, 1]], ValueError, "Curve 1: all times are 0"),
        ([], ValueError, "X has no curves"),
        ("V1", TypeError, "X must be a sequence of curves"),
        (np.ones((4, 5)), ValueError, "Curve 0: an array of shape"),
    ],
)
def test_bad_curves_are_errors_that_name_them(bad, error, message, fitted):
    with pytest.raises(error, match=message):
        LightCurveVaDE(2, **BRIEF).fit(bad)
    for method in ("predict", "predict_proba", "transform", "score_samples", "reconstruct"):
        with pytest.raises(error, match=message):
            getattr(fitted, method)(bad)
    with pytest.raises(error, match=message):
        fitted.predict_curve(bad, [0.0])


def test_other_bands_are_errors(two_bands, few, fitted):
    model, curves = two_bands
    with pytest.raises(ValueError, match=r"band 0 is unknown, wanted one of \('blue', 'red'\)"):
        model.predict(few[0])
    with pytest.raises(ValueError, match="band 'blue' is unknown"):
        fitted.predict(curves)
    blue = LightCurves([[0.0, 1, 2]], [[1.0, 2, 1]], [[0.1] * 3], [["blue"] * 3], period=[2.0])
    with pytest.raises(ValueError, match="no point of curve 0 in band 'red'"):
        model.transform(blue)


def test_before_the_fit(few):
    for method in ("predict", "predict_proba", "transform", "score_samples", "reconstruct"):
        with pytest.raises(NotFittedError):
            getattr(LightCurveVaDE(), method)(few[0])
    for call in (
        lambda model: model.sample(3),
        lambda model: model.predict_curve(few[0], [0.0]),
        lambda model: model.inverse_transform(np.zeros((2, 3))),
        lambda model: model.save("nowhere"),
    ):
        with pytest.raises(NotFittedError):
            call(LightCurveVaDE())


def test_scores_by_other_names_are_errors(fitted, few):
    with pytest.raises(ValueError, match=r"by should be one of .*'class'"):
        fitted.score_samples(few[0], by="likelihood")


# ---- Codes


def test_last_codes_are_the_scaled_features(fitted, data):
    curves = data[0][48:]
    grid = LightCurveGrid(features=fitted.features).fit(data[0][:48])
    n = len(fitted.feature_centers_)
    features = grid.transform(curves)[:, -n:]
    wanted = ((features - fitted.feature_centers_) / fitted.feature_scales_).clip(-10, 10)
    codes = fitted.transform(curves)
    assert codes.shape == (12, QUICK["latent_dim"] + n)
    assert codes.dtype == np.float64
    assert_allclose(codes[:, -n:], wanted)
    of_training = grid.transform(data[0][:48])[:, -n:]
    assert_allclose(fitted.feature_centers_, np.median(of_training, axis=0))
    low, high = np.percentile(of_training, [16, 84], axis=0)
    assert_allclose(fitted.feature_scales_, np.where(high > low, (high - low) / 2, 1))


def test_scales_are_no_less_where_a_feature_is_the_same_in_all_curves(few):
    curves, y = few
    model = LightCurveVaDE(**BRIEF).fit(curves.with_period(np.full(12, 0.7)), y)
    assert np.isfinite(model.transform(curves)).all()
    assert model.feature_scales_[0] == 1
    assert np.exp(model.feature_centers_[0]) == pytest.approx(0.7)


def test_features_far_off_count_as_limits(fitted, few):
    slow = few[0].with_period(1e9 * few[0].period)
    codes = fitted.transform(slow)
    assert np.abs(codes[:, QUICK["latent_dim"] :]).max() == 10
    assert np.isfinite(fitted.score_samples(slow)).all()


def test_without_features(few):
    curves, y = few
    model = LightCurveVaDE(features=(), **BRIEF).fit(curves, y)
    assert model.transform(curves).shape == (12, 3)
    back = model.inverse_transform(model.transform(curves))
    assert_allclose(back.period, np.median(curves.period))
    phases = np.tile(np.arange(64) / 64, (12, 1, 1))
    mean, _ = curves_of_codes(model._fitted, model.transform(curves), phases)
    assert_allclose(back.values, (model.levels_[0] + model.amplitudes_[0] * mean).ravel(), rtol=1e-9)
    folded = LightCurveGrid().fit(curves).fold_curves(curves)
    assert_allclose(model.levels_, np.median(folded.levels, axis=0))
    assert_allclose(model.amplitudes_, np.median(folded.amplitudes, axis=0))
    assert model.predict_curve(curves, [2_450_000.0])[0].shape == (12, 1, 1)


def test_set_output_and_names(few):
    pandas = pytest.importorskip("pandas")
    curves, y = few
    model = LightCurveVaDE(**BRIEF).set_output(transform="pandas").fit(curves, y)
    frame = model.transform(curves)
    assert isinstance(frame, pandas.DataFrame)
    assert frame.columns.tolist() == model.get_feature_names_out().tolist()
    assert len(set(frame.columns)) == frame.shape[1] == len(model.means_[0])


# ---- Curves at times


def test_predicted_curves_are_of_the_shape_of_times(two_bands):
    model, curves = two_bands
    same = 2_450_000 + np.linspace(0, 3, 5)
    mean, std = model.predict_curve(curves, same)
    assert mean.shape == std.shape == (12, 2, 5)
    assert (std > 0).all()
    each = np.tile(same, (12, 1))
    each[3] += 0.17
    other = model.predict_curve(curves, each)
    changed = np.arange(12) == 3
    for one, two in zip((mean, std), other, strict=True):
        assert_allclose(two[~changed], one[~changed])
        assert np.abs(two[changed] - one[changed]).max() > 1e-6
    # Times in a list, whole cycles later, and one alone.
    later = each + 100 * curves.period[:, None]
    for one, two in zip(other, model.predict_curve(curves, later.tolist()), strict=True):
        assert_allclose(two, one, atol=1e-6)
    assert_allclose(model.predict_curve(curves, [same[2]])[0][:, :, 0], mean[:, :, 2])
    assert_allclose(model.predict_curve(curves[4], same)[0][0], mean[4])


def test_predicted_curves_are_those_of_codes(two_bands):
    model, curves = two_bands
    folded = LightCurveGrid().fit(curves).fold_curves(curves)
    times = curves.times.min() + np.linspace(0, 30, 7)
    mean, std = model.predict_curve(curves, times)
    phases = (times - folded.starts[:, None]) / curves.period[:, None] - folded.shifts[:, None]
    at = np.repeat(phases[:, None], 2, axis=1)
    of_codes = curves_of_codes(model._fitted, model.transform(curves), at)
    levels, amplitudes = folded.levels[..., None], folded.amplitudes[..., None]
    assert_allclose(mean, levels + amplitudes * of_codes[0], rtol=1e-6)
    assert_allclose(std, amplitudes * of_codes[1], rtol=1e-6)


@pytest.mark.parametrize(
    ("times", "error", "message"),
    [
        ([1.0, np.nan], ValueError, "times contains NaN"),
        ([1.0, np.inf], ValueError, "times contains infinity"),
        (np.zeros((3, 2)), ValueError, r"shape \(m,\) or \(12, m\), got one of \(3, 2\)"),
        (np.zeros((12, 2, 2)), ValueError, "dim 3"),
        ([], ValueError, "0 sample"),
        (5.0, TypeError, "scalar|at least 1 dim"),
        (["now"], ValueError, "could not convert string to float"),
    ],
)
def test_bad_times_are_errors(times, error, message, fitted, few):
    with pytest.raises(error, match=message):
        fitted.predict_curve(few[0], times)


def test_predicted_curves_go_with_the_points(fitted, data):
    curves = data[0][:48]
    found = [fitted.predict_curve(one, one.times)[0][0, 0] for one in curves]
    agree = [np.corrcoef(mean, one.values)[0, 1] for mean, one in zip(found, curves, strict=True)]
    assert np.median(agree) > 0.7
    for mean, one in zip(found, curves, strict=True):
        assert abs(mean.mean() - one.values.mean()) < one.values.std()


def test_reconstructions_keep_times(two_bands):
    model, curves = two_bands
    rebuilt = model.reconstruct(curves)
    for name in ("times", "bands", "splits", "period"):
        assert_array_equal(getattr(rebuilt, name), getattr(curves, name))
    assert rebuilt.band_names == curves.band_names
    for i in (0, 7):
        one = curves[i]
        mean, std = model.predict_curve(one, one.times)
        at = one.bands, np.arange(len(one.times))
        assert_allclose(rebuilt[i].values, mean[0][at])
        assert_allclose(rebuilt[i].errors, std[0][at])


def test_curves_of_codes_come_back(two_bands):
    model, curves = two_bands
    codes = model.transform(curves)
    assert np.abs(codes[:, BRIEF["latent_dim"] :]).max() < 10  # where features end
    back = model.inverse_transform(codes)
    assert_allclose(back.period, curves.period)
    assert back.band_names == ("blue", "red")
    assert_array_equal(back.n_points, 128)
    assert_allclose(back.times.reshape(12, 2, 64)[:, 1], curves.period[:, None] * np.arange(64) / 64)
    # Amplitudes and colours are features, levels are not.
    folded = LightCurveGrid().fit(curves).fold_curves(curves)
    levels = model.levels_[0] + folded.levels - folded.levels[:, :1]
    phases = np.tile(np.arange(64) / 64, (12, 2, 1))
    mean, std = curves_of_codes(model._fitted, codes, phases)
    amplitudes = folded.amplitudes[..., None]
    wanted = levels[..., None] + amplitudes * mean
    assert_allclose(back.values.reshape(12, 2, 64), wanted, rtol=1e-9)
    assert_allclose(back.errors.reshape(12, 2, 64), amplitudes * std, rtol=1e-9)
    given = model.inverse_transform(codes, times=[0.0, 0.5, 1.0, 7.25])
    assert_array_equal(given[0].times, [0.0, 0.5, 1.0, 7.25] * 2)
    at = np.array([0.0, 0.5, 1.0, 7.25]) / curves.period[:, None] % 1
    mean = curves_of_codes(model._fitted, codes, np.repeat(at[:, None], 2, axis=1))[0]
    wanted = levels[..., None] + amplitudes * mean
    assert_allclose(given.values.reshape(12, 2, 4), wanted, rtol=1e-9)


def test_bad_codes_are_errors(fitted):
    with pytest.raises(ValueError, match="Z has 4 columns, but the latent space has"):
        fitted.inverse_transform(np.zeros((2, 4)))
    with pytest.raises(ValueError, match="NaN"):
        fitted.inverse_transform(np.full(fitted.means_.shape, np.nan))


def test_variances_are_calibrated_by_points_that_the_encoder_does_not_see(fitted, few, monkeypatch):
    model, data = fitted._fitted.model, fitted._check_X(few[0])
    found = []
    for factor in (1.0, 4.0):

        def wider(decoded, phases, factor=factor):
            mean, variance = posterior(decoded, phases)
            return mean, factor * variance

        monkeypatch.setattr(model_module, "posterior", wider)
        again = copy.deepcopy(model)
        again.collect_standing_statistics(0, 64, torch.Generator().manual_seed(0), data)
        found.append(float(again.variance))
    step = 10 ** (2.5 / 50)
    assert_allclose(found[0] / found[1], 4.0, rtol=step - 0.99)
    assert 10**-1.5 < found[1] < found[0] < 10.0


def test_batches_of_curves_are_as_all_at_once(fitted, few, monkeypatch):
    codes, phases = fitted.transform(few[0]), np.random.default_rng(0).random((12, 1, 700))
    wanted = curves_of_codes(fitted._fitted, codes, phases)
    monkeypatch.setattr(FittedModel, "batch_size", 5)
    for one, other in zip(wanted, curves_of_codes(fitted._fitted, codes, phases), strict=True):
        assert_allclose(other, one)


# ---- New curves


def test_samples(two_bands):
    model, _ = two_bands
    drawn, labels = model.sample(40)
    assert len(drawn) == len(labels) == 40
    assert set(labels) == {0, 1}
    assert drawn.band_names == ("blue", "red")
    assert drawn.n_points.tolist() == [128] * 40
    assert (drawn.period > 0).all()
    assert (drawn.errors > 0).all()
    again = model.sample(40)[0]
    assert_array_equal(again.values, drawn.values)
    of_one, labels = model.sample(3, label=1, times=[0.0, 5.0])
    assert labels.tolist() == [1, 1, 1]
    assert_array_equal(of_one.times, [0.0, 5.0] * 6)
    assert model.predict(drawn).shape == (40,)
    other = pickle.loads(pickle.dumps(model)).set_params(random_state=1)
    assert not np.array_equal(other.sample(40)[0].values, drawn.values)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"label": "Mira"},
            ValueError,
            r"label='Mira' is not one of the classes \['EA', 'RRab', 'RRc'\]",
        ),
        ({"label": 0}, ValueError, "label=0 is not one of the classes"),
        ({"n_samples": 0}, ValueError, "n_samples == 0, must be >= 1"),
        ({"n_samples": 2.5}, TypeError, "n_samples must be an instance of int"),
        ({"times": [0.0, np.nan, 1.0]}, ValueError, "times contains NaN"),
        (
            {"times": [[0.0, 1.0, 2.0]]},
            ValueError,
            r"times must be of shape \(m,\), got one of \(1, 3\)",
        ),
    ],
)
def test_bad_samples_are_errors(arguments, error, message, fitted):
    with pytest.raises(error, match=message):
        fitted.sample(**arguments)


# ---- Series that do not repeat


def test_curves_that_are_not_folded(few):
    curves, y = few
    model = LightCurveVaDE(fold=False, **BRIEF).fit(curves, y)
    span = np.array([np.ptp(one.times) for one in curves])
    back = model.inverse_transform(model.transform(curves))
    assert back.period is None
    last = np.maximum.reduceat(back.times, back.splits[:-1])
    assert_allclose(last, span * 63 / 64)
    assert_array_equal(model.reconstruct(curves).times, curves.times)
    drawn, _ = model.sample(4)
    assert drawn.period is None
    # Periods do not count.
    assert_array_equal(model.transform(curves), model.transform(curves.with_period(None)))


def test_periods_are_found_where_they_are_unknown(few, monkeypatch):
    curves, y = few
    known = LightCurveVaDE(**BRIEF).fit(curves, y)
    asked = []

    def found(given, **options):
        asked.append(options)
        return curves.period

    monkeypatch.setattr("skmpcc.light_curves.grid.find_periods", found)
    model = LightCurveVaDE(min_period=0.2, **BRIEF).fit(curves.with_period(None), y)
    assert_array_equal(model.transform(curves.with_period(None)), known.transform(curves))
    assert asked == [{"min_period": 0.2, "n_jobs": None}] * 2
    model.set_params(period="find").predict(curves)
    assert len(asked) == 3


# ---- Probabilities of classes


def test_classes_are_told_by_mixture_and_kernels_and_clusters_by_the_mixture(fitted, few):
    curves, _ = few
    clusters = LightCurveVaDE(3, **BRIEF).fit(curves)
    for model, with_kernels in ((fitted, True), (clusters, False)):
        found, rows = model._fitted, model._check_X(curves)
        wanted = found.memberships(rows)
        if with_kernels:
            kernels = Kernels(*(getattr(model, name) for name in KERNEL_ATTRIBUTES))
            wanted = np.sqrt(wanted * np.exp(kernels.log_probabilities(found.codes(rows))))
            wanted /= wanted.sum(axis=1, keepdims=True)
        assert_allclose(model.predict_proba(curves), wanted, atol=1e-9)
        assert_array_equal(model.predict(curves), model.classes_[wanted.argmax(1)])


# ---- Kernels


@pytest.mark.parametrize("n_classes", [2, 4])
def test_kernels_are_a_logistic_regression(n_classes):
    random = np.random.default_rng(0)
    labels = random.integers(n_classes, size=80)
    codes = random.normal(size=(80, 3)) * [1, 10, 0.1] + labels[:, None]
    codes[:, 1] *= 3
    kernels = Kernels.learned(codes, labels, 0)
    assert kernels.coef.shape == (n_classes, 80)
    scaled = codes / codes.std(0)
    table = rbf_kernel(scaled, scaled, gamma=0.5 / 3)
    wanted = LogisticRegression(C=fitted_curves._C, max_iter=1000).fit(table, labels)
    found = kernels.log_probabilities(codes)
    assert_allclose(found, wanted.predict_log_proba(table), rtol=1e-3, atol=1e-3)
    # Far away nothing is known of classes but the intercept.
    far = kernels.log_probabilities(codes + 1e6)
    assert_allclose(far, np.tile(far[:1], (80, 1)))
    assert_allclose(far[0], log_softmax(kernels.intercept))


def test_the_score_by_class_adds_how_sure_kernels_are(fitted, data):
    curves = data[0]
    kernels = Kernels(*(getattr(fitted, name) for name in KERNEL_ATTRIBUTES))
    confidence = kernels.log_probabilities(fitted.transform(curves)).max(axis=1)
    information = fitted.score_samples(curves, by="information") / fitted.means_.shape[1]
    added = fitted.score_samples(curves, by="class") - information
    slope = added[0] / confidence[0]
    assert slope > 0
    assert_allclose(added, slope * confidence, atol=1e-9)


def test_kernels_are_no_more_than_so_many_and_take_equal_codes(monkeypatch):
    random = np.random.default_rng(0)
    codes, labels = random.normal(size=(90, 2)), np.arange(90) % 2
    codes[:, 1] = 3.0
    monkeypatch.setattr(fitted_curves, "_MAX_KERNELS", 7)
    kernels = Kernels.learned(np.hstack([random.normal(size=(90, 3)), codes]), labels, 2)
    assert kernels.centers.shape == (7, 2)
    assert np.isfinite(kernels.log_probabilities(codes)).all()
    # They are some of the codes.
    assert all((codes == center).all(1).any() for center in kernels.centers)


# ---- State


@pytest.mark.parametrize("copied", ["save", "pickle"])
@pytest.mark.parametrize("kind", ["classes", "clusters", "one cluster", "bands"])
def test_copies_say_the_same(kind, copied, few, fitted, two_bands, tmp_path):
    curves, _ = few
    model = fitted
    if kind == "bands":
        model, curves = two_bands
    elif kind != "classes":
        model = LightCurveVaDE(1 + 2 * (kind == "clusters"), features=["skew"], **BRIEF).fit(curves)
    if copied == "save":
        model.save(tmp_path / "model")
        again = LightCurveVaDE.load(tmp_path / "model")
        with pytest.raises(ValueError, match="it holds an estimator of the class LightCurveVaDE"):
            MPCCClusterer.load(tmp_path / "model")
    else:
        again = pickle.loads(pickle.dumps(model))
    assert_same_results(model, again, curves)
    assert_same_fit(again, model)
    assert again.settings_ == model.settings_


def test_fits_of_one_seed_are_the_same_and_leave_global_states_alone(few):
    curves, y = few
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    one = LightCurveVaDE(**BRIEF).fit(curves, y)
    assert_same_fit(LightCurveVaDE(**BRIEF).fit(curves, y), one)
    state = np.random.RandomState(0)
    assert_same_fit(LightCurveVaDE(**BRIEF).set_params(random_state=0).fit(curves, y), one)
    of_state = LightCurveVaDE(**BRIEF | {"random_state": state}).fit(curves, y)
    assert_array_equal(of_state.means_, one.means_)
    results(one, curves)
    other = LightCurveVaDE(**BRIEF | {"random_state": 1}).fit(curves, y)
    assert not np.array_equal(other.means_, one.means_)
    assert_array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[1])


def test_a_fit_does_not_depend_on_the_order_of_curves(few):
    curves, y = few
    order = np.random.default_rng(0).permutation(12)
    one = LightCurveVaDE(**BRIEF).fit(curves, y)
    other = LightCurveVaDE(**BRIEF).fit(curves[order], y[order])
    assert_array_equal(other.labels_, one.labels_[order])
    assert_allclose(other.transform(curves), one.transform(curves), atol=1e-9)


def test_another_fit_replaces_the_first(few, two_bands):
    _, curves = two_bands
    model = LightCurveVaDE(**BRIEF).fit(*few)
    model.fit(curves, np.arange(12) % 2)
    assert_same_fit(model, two_bands[0])


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("out of memory")])
def test_exceptions_leave_the_estimator_as_it_was(error, few, two_bands):
    unfitted = LightCurveVaDE(**BRIEF).set_callbacks(Interrupting(error))
    before = dict(vars(unfitted))
    with pytest.raises(type(error)):
        unfitted.fit(*few)
    assert vars(unfitted) == before
    with pytest.raises(NotFittedError):
        unfitted.predict(few[0])
    model, curves = two_bands
    model = pickle.loads(pickle.dumps(model))
    before, wanted = dict(vars(model)), results(model, curves)
    model.set_callbacks(Interrupting(error))
    with pytest.raises(type(error)):
        model.fit(*few)
    model.set_callbacks()
    assert vars(model).keys() == before.keys()
    assert all(value is before[name] for name, value in vars(model).items())
    for name, found in results(model, curves).items():
        assert_array_equal(found, wanted[name], err_msg=name)


@contextmanager
def interrupted_before(monkeypatch, *stops):
    """Within, trainings are interrupted before these iterations, in this order."""
    iteration, left = Trainer.iteration, list(stops)

    def interrupted(self, *draws, **options):
        if left[:1] == [self.n_iter]:
            left.pop(0)
            raise KeyboardInterrupt
        return iteration(self, *draws, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "iteration", interrupted)
        yield
    assert not left


@pytest.mark.parametrize("kind", ["classes", "some", "clusters"])
def test_an_interrupted_fit_goes_on_from_its_checkpoint(kind, few, tmp_path, monkeypatch):
    monkeypatch.setattr(_checkpoint, "SECONDS", 0.0)
    monkeypatch.setattr(_checkpoint, "SHARE", np.inf)
    curves, y = few
    n_clusters, data = None, (curves, y)
    if kind == "clusters":
        n_clusters, data = 3, (curves,)
    elif kind == "some":
        data = curves, np.where(np.arange(12) < 8, 3 + np.unique(y, return_inverse=True)[1], -1)
    model = LightCurveVaDE(n_clusters, **BRIEF | {"max_iter": 8})
    expected = clone(model).fit(*data)
    path = tmp_path / "fit.ckpt"
    model.set_params(checkpoint=path)
    before = dict(vars(model))
    with interrupted_before(monkeypatch, 2, 5):
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                model.fit(*data)
            assert vars(model) == before
            assert path.exists()
        with pytest.raises(ValueError, match="of another fit: X was"):
            model.fit(make_light_curves(12, random_state=5)[0], *data[1:])
        with pytest.raises(ValueError, match="max_iter was 8 and is 9"):
            clone(model).set_params(max_iter=9).fit(*data)
        model.fit(*data)
    assert_same_fit(model, expected)
    assert os.listdir(tmp_path) == []


# ---- With scikit-learn


def test_clone(fitted):
    cloned = clone(fitted)
    assert cloned.get_params() == fitted.get_params()
    assert not hasattr(cloned, "labels_")


def test_searches_and_scores(few):
    curves, y = few
    model = LightCurveVaDE(**BRIEF)
    scores = cross_val_score(model, curves, y, cv=2)
    assert scores.shape == (2,)
    assert ((scores >= 0) & (scores <= 1)).all()
    probabilities = cross_val_predict(model, curves, y, cv=2, method="predict_proba")
    assert_allclose(probabilities.sum(1), 1)
    search = GridSearchCV(model, {"width": [8, 9]}, cv=2).fit(curves, y)
    assert search.best_estimator_.settings_["width"] == search.best_params_["width"]
    assert search.predict(curves).shape == (12,)


def test_fit_predict_and_fit_transform(few):
    curves, y = few
    model = LightCurveVaDE(**BRIEF)
    assert_array_equal(model.fit_predict(curves, y), model.labels_)
    codes = clone(model).fit_transform(curves, y)
    assert_array_equal(codes, model.transform(curves))


def test_callbacks(few, capsys):
    curves, y = few
    monitor = ScoringMonitor(scoring="accuracy")
    model = LightCurveVaDE(**BRIEF).set_callbacks(ProgressBar(), monitor).fit(curves, y)
    scores = [row["accuracy"] for row in monitor.get_logs().data]
    assert len(scores) == len(model.history_["iteration"]) + 1
    assert scores[-1] == np.mean(model.labels_ == y)
    assert "LightCurveVaDE" in capsys.readouterr().out
    # Looking on changes nothing.
    assert_array_equal(LightCurveVaDE(**BRIEF).fit(curves, y).means_, model.means_)
    LightCurveVaDE(**BRIEF, verbose=1).fit(curves, y)
    assert "Iteration" in capsys.readouterr().out


@pytest.mark.parametrize("by", BY)
def test_novelty(by, few, data):
    curves, y = few
    detector = NoveltyDetector(LightCurveVaDE(**BRIEF), by=by, contamination=0.2).fit(curves, y)
    alone = LightCurveVaDE(**BRIEF).fit(curves, y)
    scores = alone.score_samples(curves, by=by)
    assert_array_equal(detector.score_samples(curves), scores)
    assert detector.offset_ == np.quantile(scores, 0.2)
    assert set(detector.predict(data[0])) <= {-1, 1}
    assert (detector.predict(curves) == -1).sum() == 3


def test_novelty_by_held_out_curves(few):
    detector = NoveltyDetector(LightCurveVaDE(**BRIEF), by="class", cv=2).fit(*few)
    assert np.isfinite(detector.offset_)
    assert detector.predict(few[0]).shape == (12,)
