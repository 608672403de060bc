import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from support import BRIEF, QUICK, Interrupting, images

from skmpcc import MPCCClassifier
from skmpcc.engine import choice
from skmpcc.engine.fast import FastAlgorithm1
from skmpcc.method.algorithm import Algorithm1
from skmpcc.plotting import ClustersDisplay
from skmpcc.presets import Preset
from skmpcc.settings import settings_of

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

WITHOUT = {"pseudo_labels"}
QUICK = {name: value for name, value in QUICK.items() if name not in WITHOUT} | {
    "preset_params": {"ema_decay": 0.9}
}
# Until the generator, too, tells the classes apart.
LONGER = QUICK | {"max_iter": 250}
BRIEF = {name: value for name, value in BRIEF.items() if name not in WITHOUT}


def partly(y, n, seed=0):
    """Labels of which `n` of each class are known."""
    rng = np.random.default_rng(seed)
    known = np.concatenate([rng.choice(np.flatnonzero(y == k), n, replace=False) for k in np.unique(y)])
    out = np.full(len(y), -1)
    out[known] = y[known]
    return out


@pytest.fixture(scope="module")
def named(blobs):
    """Names of the blobs' classes, in another order than their numbers, and of unequal sizes."""
    X, y = blobs
    chosen = np.r_[np.flatnonzero(y > 0), np.flatnonzero(y == 0)[:30]]
    return X[chosen], np.array(["red", "green", "blue"])[y[chosen]]


@pytest.fixture(scope="module")
def fitted(named):
    return MPCCClassifier(random_state=0, **LONGER).fit(*named)


def test_learns_known_classes(named, fitted):
    X, y = named
    assert fitted.score(X, y) > 0.95
    np.testing.assert_array_equal(fitted.classes_, ["blue", "green", "red"])
    np.testing.assert_array_equal(fitted.transduction_, y)
    for k, name in enumerate(fitted.classes_):
        members, others = X[y == name].mean(0), X[y != name].mean(0)
        centre = fitted.class_centers_[k]
        assert np.linalg.norm(members - centre) < np.linalg.norm(others - centre)


def test_classes_and_not_clusters_are_learned(blobs):
    """Halves of a blob, of which no clustering knows."""
    X, y = blobs
    y = np.where(X[:, 0] > np.median(X[:, 0]), 2, 0) + (y == 1)
    assert MPCCClassifier(random_state=0, **QUICK | {"max_iter": 300}).fit(X, y).score(X, y) > 0.9


def test_weights_are_the_shares_of_the_classes(named, fitted):
    _, y = named
    np.testing.assert_allclose(fitted.weights_, [np.mean(y == k) for k in fitted.classes_], rtol=1e-6)
    rare = np.array(["b"] * 190 + ["a"] * 2)
    X = np.random.default_rng(0).normal(size=(192, 3)) + (rare == "a")[:, None] * 9
    classifier = MPCCClassifier(random_state=0, **BRIEF).fit(X, rare)
    np.testing.assert_allclose(classifier.weights_, [2 / 192, 190 / 192], rtol=1e-5)


def test_probabilities_follow_from_the_mixture(named, fitted):
    """Equation 9 with scipy's densities at the codes."""
    X = named[0]
    codes = fitted.transform(X)[:, None]
    density = stats.norm(fitted.means_, np.sqrt(fitted.covariances_)).logpdf(codes).sum(2)
    joint = density + np.log(fitted.weights_)
    expected = joint - np.logaddexp.reduce(joint, axis=1, keepdims=True)
    np.testing.assert_allclose(fitted.predict_log_proba(X), expected, atol=1e-6)
    np.testing.assert_allclose(fitted.predict_proba(X), np.exp(expected), atol=1e-9)
    np.testing.assert_array_equal(fitted.decision_function(X), fitted.predict_log_proba(X))
    np.testing.assert_array_equal(fitted.predict(X), fitted.classes_[expected.argmax(1)])


def test_decision_function_of_two_classes_is_the_log_odds(blobs):
    X, y = blobs
    classifier = MPCCClassifier(random_state=0, **BRIEF).fit(X, y > 0)
    log_p = classifier.predict_log_proba(X)
    np.testing.assert_allclose(classifier.decision_function(X), log_p[:, 1] - log_p[:, 0])
    np.testing.assert_array_equal(classifier.predict(X), classifier.decision_function(X) > 0)


def test_priors_are_those_of_bayes_rule(named, fitted):
    X, y = named
    priors = [0.7, 0.1, 0.2]
    shifted = MPCCClassifier(priors=priors, random_state=0, **LONGER).fit(X, y)
    np.testing.assert_array_equal(shifted.weights_, priors)
    odds = fitted.predict_proba(X) / fitted.weights_ * priors
    expected = odds / odds.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shifted.predict_proba(X), expected, atol=1e-5)
    _, drawn = shifted.sample(2000)
    assert np.mean(drawn == "blue") == pytest.approx(0.7, abs=0.04)


def test_sample(named, fitted):
    X = named[0]
    new, of = fitted.sample(400)
    shares = [np.mean(of == k) for k in fitted.classes_]
    np.testing.assert_allclose(shares, fitted.weights_, atol=0.08)
    new, of = fitted.sample(60, class_="red")
    assert set(of) == {"red"}
    assert np.mean(fitted.predict(new) == "red") > 0.9
    np.testing.assert_array_equal(new, fitted.sample(60, class_="red")[0])
    assert fitted.sample()[0].shape == (1, X.shape[1])


def test_picture_has_a_row_for_each_class(named, fitted):
    X, _ = named
    axes = ClustersDisplay.from_estimator(fitted, X).axes_
    low, span = X.min(axis=0), np.ptp(X, axis=0)
    assert [left.get_ylabel() for left, _ in axes] == ["blue", "green", "red"]
    for row, name in zip(axes, fitted.classes_, strict=True):
        # The last line is the mean.
        members, samples = ([line.get_ydata() for line in axis.lines[:-1]] for axis in row)
        of_class = (X[fitted.predict(X) == name] - low) / span
        assert all(np.isclose(of_class, each).all(axis=1).any() for each in members)
        expected = (fitted.sample(10, class_=name)[0] - low) / span
        np.testing.assert_allclose(samples, expected, rtol=1e-5, atol=1e-6)


def test_sample_like(named, fitted):
    X, y = named
    new = fitted.sample_like(y[::-1])
    assert new.shape == X.shape
    assert np.mean(fitted.predict(new) == y[::-1]) > 0.9
    assert fitted.sample_like(pd.Series(["red", "blue"])).shape == (2, X.shape[1])


def test_decoding(named, fitted):
    X, _ = named
    codes = fitted.transform(X)
    np.testing.assert_allclose(fitted.reconstruct(X), fitted.inverse_transform(codes))
    np.testing.assert_allclose(
        fitted.inverse_transform(codes, fitted.predict(X)), fitted.inverse_transform(codes)
    )
    np.testing.assert_allclose(
        fitted.inverse_transform(fitted.means_, fitted.classes_), fitted.class_centers_
    )
    np.testing.assert_array_equal(
        fitted.inverse_transform(codes[:3], "red"), fitted.inverse_transform(codes[:3], ["red"] * 3)
    )
    assert fitted.sample_posterior(X[:3], 2).shape == (3, 2, X.shape[1])
    assert np.median(fitted.score_samples(X)) > np.median(fitted.score_samples(X + 50 * X.std(0)))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda e: e.sample(0), ValueError, "n_samples"),
        (lambda e: e.sample(1.5), TypeError, "n_samples"),
        (lambda e: e.sample(1, class_="pink"), ValueError, "class_ has 'pink', but the classes are"),
        (lambda e: e.sample(1, class_=0), ValueError, "class_ has 0"),
        (lambda e: e.sample_like(["red", "pink"]), ValueError, "y has 'pink'"),
        (lambda e: e.sample_like([]), ValueError, "y is empty"),
        (lambda e: e.inverse_transform(np.zeros((2, 24)), ["red"]), ValueError, "labels has 1"),
        (lambda e: e.inverse_transform(np.zeros((1, 24)), ["pink"]), ValueError, "labels has 'pink'"),
        (lambda e: e.inverse_transform(np.zeros((1, 9))), ValueError, "Z has 9 columns"),
        (lambda e: e.predict([[1.0]]), ValueError, "features"),
    ],
)
def test_errors_of_methods(fitted, call, error, message):
    with pytest.raises(error, match=message):
        call(fitted)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function", "sample_like"])
def test_unfitted(method):
    with pytest.raises(NotFittedError):
        getattr(MPCCClassifier(), method)([[1.0]])
    with pytest.raises(NotFittedError):
        MPCCClassifier().sample()


# ---- Classes of which some are unknown


def test_unknown_classes_of_a_table_are_found(blobs):
    X, y = blobs
    some = partly(y, 2)
    classifier = MPCCClassifier(random_state=0, **QUICK).fit(X, some)
    unknown = some == -1
    np.testing.assert_array_equal(classifier.transduction_[~unknown], y[~unknown])
    assert np.mean(classifier.transduction_[unknown] == y[unknown]) > 0.9
    assert classifier.score(X[unknown], y[unknown]) > 0.9
    shares = np.bincount(classifier.transduction_) / len(y)
    np.testing.assert_allclose(classifier.weights_, shares, rtol=1e-5)


@pytest.mark.full_pseudo_labels
def test_unknown_classes_of_images_are_found(monkeypatch):
    monkeypatch.setattr("skmpcc.pseudo_labels.finders.images.N_IMAGE_RESTARTS", 1)
    monkeypatch.setattr("skmpcc.pseudo_labels.finders.images.IMAGE_MAX_ITER", 100)
    digits = load_digits()
    some = partly(digits.target, 10)
    classifier = MPCCClassifier(random_state=0, **BRIEF).fit(digits.images, some)
    unknown = some == -1
    np.testing.assert_array_equal(classifier.transduction_[~unknown], some[~unknown])
    # A nearest neighbour among the pixels of the known ones is right in 0.87.
    assert np.mean(classifier.transduction_[unknown] == digits.target[unknown]) > 0.9


def test_unknown_classes_of_images_by_neighbors():
    digits = load_digits()
    some = partly(digits.target[:500], 5)
    X = digits.images[:500]
    by_neighbors = MPCCClassifier(pseudo_labels="neighbors", random_state=0, **BRIEF).fit(X, some)
    assert np.mean(by_neighbors.transduction_ == digits.target[:500]) > 0.9
    assert by_neighbors._fitted.model.sample_shape == (1, 8, 8)


def test_names_beside_unknown(named):
    X, y = named
    some = y.astype(object)
    some[::3] = -1
    classifier = MPCCClassifier(random_state=0, **BRIEF).fit(X, some)
    np.testing.assert_array_equal(classifier.classes_, ["blue", "green", "red"])
    assert np.mean(classifier.transduction_ == y) > 0.9
    as_series = MPCCClassifier(random_state=0, **BRIEF).fit(X, pd.Series(some))
    np.testing.assert_array_equal(as_series.means_, classifier.means_)


def test_labels_of_a_tensor(blobs):
    X, y = blobs
    expected = MPCCClassifier(random_state=0, **BRIEF).fit(X, y)
    given = MPCCClassifier(random_state=0, **BRIEF).fit(torch.as_tensor(X), torch.as_tensor(y))
    np.testing.assert_array_equal(given.means_, expected.means_)


def test_minus_one_and_one_are_two_classes(blobs):
    X, y = blobs
    signs = np.where(y == 0, -1, 1)
    classifier = MPCCClassifier(random_state=0, **QUICK).fit(X, signs)
    np.testing.assert_array_equal(classifier.classes_, [-1, 1])
    assert classifier.score(X, signs) > 0.95


@pytest.mark.parametrize(
    ("y", "parameters", "message"),
    [
        ([-1] * 9, {}, "no known label"),
        ([3] * 9, {}, "1 class, 3"),
        ([0] * 4 + [-1] * 5, {}, "1 class, 0"),
        (["a", "b", -1] * 3, {}, "dtype object"),
        (np.linspace(0, 1, 9), {}, "Unknown label type"),
        ([0.0, 1.0, np.nan] * 3, {}, "y has 3 missing labels .*-1"),
        ([0, 1, None] * 3, {}, "y has 3 missing labels .*-1"),
        (["a", "b", None] * 3, {}, "y has 3 missing labels .*-1"),
        (["a", "b", np.nan] * 3, {}, "y has 3 missing labels .*-1"),
        (pd.array([0, 1, pd.NA] * 3, dtype="Int64"), {}, "y has 3 missing labels .*-1"),
        (pd.Series(["a", "b", None] * 3, dtype="string"), {}, "y has 3 missing labels .*-1"),
        (pd.Categorical(["a", "b", None] * 3), {}, "y has 3 missing labels .*-1"),
        (torch.tensor([0.0, 1.0, torch.nan] * 3), {}, "y has 3 missing labels .*-1"),
        (None, {}, "requires y"),
        ([0, 1] * 4, {}, "inconsistent"),
        (np.zeros((9, 2)), {}, "1d array"),
        ([0, 1, 2] * 3, {"priors": [0.5, 0.5]}, "priors must be 3"),
        ([0, 1, 2] * 3, {"priors": [0.5, 0.6, -0.1]}, "priors"),
        ([0, 1, 2] * 3, {"priors": [0.5, 0.5, 0.5]}, "priors"),
        ([0, 1, 2] * 3, {"priors": ["a", "b", "c"]}, "priors"),
        ([0, 1, 2] * 3, {"pseudo_labels": "augmentation"}, "needs images"),
        ([0, 1, 2] * 3, {"pseudo_labels": "search"}, "pseudo_labels"),
        ([0, 1, 2] * 3, {"preset_params": {"pseudo_labels": "search"}}, "'pseudo_labels'"),
        ([0, 1, 2] * 3, {"preset_params": {"pseudo_label_share": 0.0}}, "'pseudo_label_share'"),
        ([0, 1, 2] * 3, {"preset_params": {"min_st": 0.0}}, "min_st"),
        ([0, 1, 2] * 3, {"image_shape": (8, 8)}, "image_shape"),
        ([0, 1, 2] * 3, {"device": "tpu"}, "device"),
    ],
)
def test_bad_input_is_named_before_any_training(y, parameters, message, monkeypatch):
    monkeypatch.setattr("skmpcc.training.initialization.train", lambda *_: pytest.fail("trained"))
    classifier = MPCCClassifier(**parameters)
    before = dict(vars(classifier))
    with pytest.raises((ValueError, TypeError), match=message):
        classifier.fit(images((9, 4)), y)
    assert vars(classifier) == before


# ---- Training


@pytest.mark.parametrize("shape", [(60, 5), (60, 8, 8)])
def test_both_engines_learn_known_classes_alike(shape, monkeypatch):
    """The readable algorithm and the fast one, but for rounding."""
    X, y = images(shape), np.arange(60) % 3
    X[y == 1] += 200.0
    parameters = BRIEF | {"max_iter": 5, "preset_params": {"precision": "float32"}}
    fast = MPCCClassifier(random_state=0, **parameters).fit(X, y)
    used = []

    class Plain(Algorithm1):
        def __init__(self, *args):
            used.append(self)
            super().__init__(*args)

    monkeypatch.setattr(choice, "FastAlgorithm1", Plain)
    plain = MPCCClassifier(random_state=0, device="cpu", **parameters).fit(X, y)
    assert len(used) == 1
    assert not issubclass(Plain, FastAlgorithm1)
    np.testing.assert_allclose(fast.means_, plain.means_, atol=1e-3)
    np.testing.assert_allclose(fast.transform(X), plain.transform(X), rtol=2e-2, atol=1e-2)


def test_classes_without_a_prediction_keep_their_numbers(blobs):
    """Clusters without a sample would be numbered last."""
    X, y = blobs
    y = np.where(y == 0, 0, y + 1)
    y[np.flatnonzero(y == 2)[0]] = 1
    priors = [0.0, 0.2, 0.4, 0.4]
    with pytest.warns(ConvergenceWarning, match="of the 4 classes are predicted for no training"):
        classifier = MPCCClassifier(priors=priors, random_state=0, **QUICK).fit(X, y)
    np.testing.assert_array_equal(classifier.weights_, priors)
    assert not np.any(classifier.predict(X) == 0)
    others = y >= 2
    assert classifier.score(X[others], y[others]) > 0.9


def test_same_seed_same_result(blobs):
    X, y = blobs
    y = partly(y, 5)
    first, second, other = (MPCCClassifier(random_state=seed, **BRIEF).fit(X, y) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first.transform(X), second.transform(X))
    np.testing.assert_array_equal(first.sample(9)[0], second.sample(9)[0])
    assert not np.array_equal(first.transform(X), other.transform(X))


@pytest.mark.parametrize("random_state", [0, None])
def test_global_random_states_are_untouched(blobs, random_state):
    X, y = blobs
    numpy_before = np.random.get_state()  # noqa: NPY002
    torch_before = torch.get_rng_state()
    classifier = MPCCClassifier(random_state=random_state, **BRIEF).fit(X, partly(y, 5))
    classifier.sample(3)
    classifier.sample_like(y[:3])
    assert torch.equal(torch.get_rng_state(), torch_before)
    after = np.random.get_state()  # noqa: NPY002
    assert all(np.array_equal(a, b) for a, b in zip(after, numpy_before, strict=True))


@pytest.mark.parametrize("copied", [lambda e: pickle.loads(pickle.dumps(e)), copy.deepcopy])
def test_copies_predict_the_same(named, fitted, copied):
    restored = copied(fitted)
    np.testing.assert_array_equal(restored.predict_proba(named[0]), fitted.predict_proba(named[0]))
    np.testing.assert_array_equal(restored.sample(5)[0], fitted.sample(5)[0])
    assert clone(fitted).get_params() == fitted.get_params()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("out of memory")])
def test_interruption_leaves_the_estimator_as_it_was(blobs, error):
    X, y = blobs
    unfitted = MPCCClassifier(random_state=0, **BRIEF).set_callbacks(Interrupting(error))
    before = dict(vars(unfitted))
    with pytest.raises(type(error)):
        unfitted.fit(X, y)
    assert vars(unfitted) == before

    classifier = MPCCClassifier(random_state=0, **BRIEF).fit(X, y)
    before, codes = dict(vars(classifier)), classifier.transform(X)
    classifier.set_callbacks(Interrupting(error))
    with pytest.raises(type(error)):
        classifier.fit(X[:, :2], y > 0)
    classifier.set_callbacks()
    assert all(value is before[name] for name, value in vars(classifier).items())
    np.testing.assert_array_equal(classifier.transform(X), codes)


def test_divergence_is_an_error(blobs):
    classifier = MPCCClassifier(random_state=0, **BRIEF | {"learning_rate": 1e38})
    with pytest.raises(FloatingPointError, match="learning_rate"):
        classifier.fit(*blobs)
    assert not hasattr(classifier, "classes_")


def test_labels_only_is_shorter(blobs):
    X, y = blobs
    parameters = {"width": 16, "random_state": 0}
    short = MPCCClassifier(labels_only=True, **parameters).fit(X, y)
    assert short.n_iter_ <= 350
    assert short.score(X, y) > 0.95


@pytest.mark.parametrize(("shape", "image_shape"), [((12, 8, 8), None), ((12, 64), (8, 8))])
def test_images_come_back_as_they_came(shape, image_shape):
    X, y = images(shape, np.uint8), np.arange(12) % 2
    classifier = MPCCClassifier(image_shape=image_shape, random_state=0, **BRIEF).fit(X, y)
    assert len(classifier._fitted.model.sample_shape) == 3
    assert classifier.class_centers_.shape == (2, *shape[1:])
    assert classifier.sample_like([1, 1, 0]).shape == (3, *shape[1:])
    assert classifier.reconstruct(X).shape == shape
    assert classifier.predict(X).shape == (12,)


def test_paper_preset():
    """The conditional variant of the paper, whose encoder learns from generated samples alone."""
    X, y = images((12, 28, 28), np.uint8), np.arange(12) % 3
    classifier = MPCCClassifier(preset="mnist", max_iter=2, width=8, random_state=0).fit(X, y)
    assert classifier.preset_ == "mnist"
    assert "consistency" not in classifier.history_
    with pytest.warns(UserWarning, match="image_shape"):
        MPCCClassifier(preset="mnist", random_state=0, **BRIEF).fit(images((12, 4)), y)


def test_every_parameter_is_documented():
    own, other = MPCCClassifier.__doc__.split("Other Parameters\n    ----")
    parameters = MPCCClassifier().get_params()
    for name in parameters:
        assert own.count(f"\n    {name} : ") == 1, name
    for name in set(settings_of(Preset)) - {"pseudo_label_share"}:
        assert f"\n    {name} : " in (own if name in parameters else other), name
    assert "pseudo_label_share" not in other
    assert "{" + "settings}" not in own


# ---- Beside scikit-learn


def test_grid_search_and_cross_validation(blobs):
    X, y = blobs
    quick = MPCCClassifier(random_state=0, **QUICK | {"max_iter": 40})
    search = GridSearchCV(quick, {"width": [8, 32]}, cv=2).fit(X, y)
    assert search.best_score_ > 0.8
    pipeline = make_pipeline(StandardScaler(), quick)
    assert cross_val_score(pipeline, X, y, cv=2, scoring="roc_auc_ovr").min() > 0.9


def test_self_training(blobs):
    X, y = blobs
    some = partly(y, 10)
    quick = MPCCClassifier(random_state=0, **QUICK)
    training = SelfTrainingClassifier(quick, max_iter=2).fit(X, some)
    assert np.sum(training.transduction_ != -1) > 30
    assert training.score(X, y) > 0.9


@pytest.mark.parametrize("kind", [int, float, list, object])
def test_labels_of_minus_one_zero_and_one_are_warned_of(kind):
    """-1 may be meant as a class there, and is not taken for one."""
    X, y = np.random.default_rng(0).normal(size=(30, 2)), np.arange(30) % 3 - 1
    y = y.tolist() if kind is list else y.astype(kind)
    classifier = MPCCClassifier(max_iter=3, width=8, tol=0.0, random_state=0)
    with pytest.warns(UserWarning, match="-1, 0 and 1, of which -1 is taken for unknown") as caught:
        classifier.fit(X, y)
    assert caught[0].filename == __file__
    assert classifier.classes_.tolist() == [0, 1]


@pytest.mark.parametrize("labels", [[-1, 1], [-1, 0, 2], [0, 1, 2], [-1, 0, 1, 2], ["a", "b"]])
def test_other_labels_are_not_warned_of(labels, recwarn):
    X, y = np.random.default_rng(0).normal(size=(24, 2)), np.resize(labels, 24)
    MPCCClassifier(max_iter=3, width=8, tol=0.0, random_state=0).fit(X, y)
    assert not [each for each in recwarn if "taken for unknown" in str(each.message)]
