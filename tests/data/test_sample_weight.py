"""Weights of rows, and rows in another order."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import config_context
from sklearn.callback import ScoringMonitor
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from support import BRIEF, QUICK, bars, images, stripes

from skmpcc import AIM, VAE, MPCCClassifier, MPCCClusterer, VaDEClusterer
from skmpcc.data.rows import drawn_copies, fitted_rows, sort_rows, whole_copies
from skmpcc.data.scaling import row_hashes

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def copies(weights, seed=0, order=None):
    """Numbers of copies; with `order`, of the same rows in another order, brought back."""
    weights = np.asarray(weights, dtype=np.float64)
    order = np.arange(len(weights)) if order is None else order
    rows = whole_copies(weights[order])
    if rows is None:
        hashes = row_hashes(np.arange(len(weights), dtype=float)[order])
        rows = drawn_copies(weights[order], hashes, np.random.RandomState(seed))
    assert np.all(np.diff(rows) >= 0)
    return np.bincount(order[rows], minlength=len(weights))


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([1, 2, 0, 3], [1, 2, 0, 3]),
        ([2, 4, 0, 6], [1, 2, 0, 3]),
        ([2, 3, 0, 3], [2, 3, 0, 3]),
        ([1, 1.5, 0, 1.5], [2, 3, 0, 3]),
        ([0.3, 0.3, 0.0, 0.3], [1, 1, 0, 1]),
        ([0.1, 0.2, 0.0, 0.3], [1, 2, 0, 3]),
        ([1e300, 1e300, 0.0], [1, 1, 0]),
        (np.array([0.1, 0.3, 0.2], dtype=np.float32), [1, 3, 2]),
    ],
)
def test_weights_of_whole_ratios_are_copies(weights, expected):
    np.testing.assert_array_equal(copies(weights), expected)


KINDS = {
    "mild": lambda random: random.uniform(1, 3, 50),
    "lognormal": lambda random: random.lognormal(sigma=2, size=50),
    "counts": lambda random: random.integers(0, 1000, 50).astype(float),
    "any": lambda random: 10.0 ** random.uniform(-300, 300, 50),
}


@pytest.mark.parametrize("kind", ["mild", "lognormal", "counts"])
def test_other_weights_are_met_on_average(kind):
    weights = KINDS[kind](np.random.default_rng(0))
    counts = np.array([copies(weights, seed) for seed in range(2000)])
    n_rows = np.count_nonzero(weights)
    if kind == "mild":  # the least one counts once, and no row is lost
        n_rows = int(np.ceil(weights.sum() / weights.min()))
        assert counts.min() == 1
    assert set(counts.sum(axis=1)) == {n_rows}
    expected = weights * n_rows / weights.sum()
    # Rounded up or down, never by more than one row.
    assert np.abs(counts - expected).max() < 1
    np.testing.assert_allclose(counts.mean(axis=0), expected, atol=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_copies_go_by_ratios_and_rows_alone(kind):
    random = np.random.default_rng(1)
    weights = KINDS[kind](random)
    expected = copies(weights)
    for factor in (0.5, 3.7, 1e-3):
        np.testing.assert_array_equal(copies(weights * factor), expected)
    np.testing.assert_array_equal(copies(weights, order=random.permutation(50)), expected)


@pytest.mark.parametrize("kind", [MPCCClusterer, MPCCClassifier, AIM, VAE, VaDEClusterer])
@pytest.mark.parametrize("weights", ["whole", "mild"])
def test_fits_go_by_ratios_in_any_order_of_rows(kind, weights):
    """Half the weights gave other clusters, those without any: copies were drawn in the rows' order."""
    random = np.random.default_rng(0)
    X, y = random.normal(size=(60, 3)), random.integers(-1, 3, 60)
    weights = np.tile([1.0, 2.0], 30) if weights == "whole" else random.uniform(1, 3, 60)
    parameters = {"max_iter": 3, "width": 8, "random_state": 0}
    parameters |= {"n_clusters": 2} if issubclass(kind, MPCCClusterer) else {}

    def codes(X, y, weights):
        return kind(**parameters).fit(X, y, sample_weight=weights).transform(X)

    expected, order = codes(X, y, weights), random.permutation(60)
    np.testing.assert_array_equal(codes(X, y, weights / 2), expected)
    np.testing.assert_array_equal(codes(X[order], y[order], 5 * weights[order]), expected[order])
    assert not np.array_equal(codes(X, y, None), expected)


@pytest.mark.parametrize("shape", [(60, 3), (60, 8, 8)])
def test_no_class_with_a_weight_is_lost(shape):
    X, y = images(shape), np.repeat([3, 0, 7], [30, 28, 2])
    weights = np.where(y == 7, 1e-4, np.random.default_rng(0).uniform(0.5, 1, 60))
    parameters = {"max_iter": 3, "width": 8, "random_state": 0}
    fitted = MPCCClassifier(**parameters, priors=[0.2, 0.5, 0.3]).fit(X, y, sample_weight=weights)
    np.testing.assert_array_equal(fitted.classes_, [0, 3, 7])
    np.testing.assert_allclose(fitted.weights_, [0.2, 0.5, 0.3])
    # Without any weight it is no class of this fit.
    weights[y == 7] = 0
    fitted = MPCCClassifier(**parameters, priors=[0.2, 0.8]).fit(X, y, sample_weight=weights)
    np.testing.assert_array_equal(fitted.classes_, [0, 3])
    weights[y == 0] = 0
    with pytest.raises(ValueError, match="y has 1 class among the rows that have a weight, 3"):
        MPCCClassifier(**parameters).fit(X, y, sample_weight=weights)


def test_without_weights_nothing_is_copied(tmp_path):
    X = np.memmap(tmp_path / "x", dtype=np.float32, mode="w+", shape=(20, 3))
    seen, rows = fitted_rows(X, None, 0)
    assert seen is X
    assert rows is None


@pytest.mark.parametrize("shape", [(500, 3), (300, 2, 8, 8)])
def test_sorted_rows_are_the_same_in_any_order(shape, monkeypatch):
    data = torch.as_tensor(np.random.default_rng(0).integers(0, 3, shape).astype(np.float32))
    shuffled = np.random.default_rng(1).permutation(len(data))
    first, second = data.clone(), data[shuffled].clone()
    order = sort_rows(first)
    monkeypatch.setattr("skmpcc.data.scaling.CHUNK", 64)  # several chunks and blocks
    monkeypatch.setattr("skmpcc.data.rows._VALUES", 1000)
    assert torch.equal(data[shuffled][sort_rows(second)], second)
    assert torch.equal(first, second)
    assert torch.equal(data[order], first)


def test_equal_rows_are_sorted_by_ties():
    ties = np.array([3, 1, 2, 0])
    np.testing.assert_array_equal(sort_rows(torch.ones(4, 2), ties), [3, 1, 2, 0])


@pytest.mark.parametrize("kind", ["table", "images"])
def test_fit_does_not_depend_on_the_order_of_rows(kind):
    X = stripes(80)[0].numpy() * 1.1 if kind == "table" else images((40, 8, 8))
    shuffled = np.random.default_rng(0).permutation(len(X))
    parameters = BRIEF | {"pseudo_labels": "auto", "random_state": 0}
    one = MPCCClusterer(2, **parameters).fit(X)
    other = MPCCClusterer(2, **parameters).fit(X[shuffled])
    np.testing.assert_array_equal(other.means_, one.means_)
    np.testing.assert_array_equal(other.labels_, one.labels_[shuffled])
    np.testing.assert_array_equal(other.pseudo_labels_, one.pseudo_labels_[shuffled])
    np.testing.assert_array_equal(one.labels_, one.predict(X))


@pytest.mark.parametrize("shape", [(40, 3), (24, 8, 8)])
@pytest.mark.parametrize("kind", [MPCCClusterer, MPCCClassifier, AIM, VAE, VaDEClusterer])
def test_weights_are_copies_of_rows(kind, shape):
    X, random = images(shape), np.random.default_rng(0)
    weights, y = random.integers(0, 4, len(X)), random.integers(-1, 2, len(X))
    shuffled = random.permutation(len(X))
    parameters = {"max_iter": 3, "width": 8, "random_state": 0}
    parameters |= {"n_clusters": 2, "n_init": 2} if issubclass(kind, MPCCClusterer) else {}
    of_copies = kind(**parameters).fit(X.repeat(weights, axis=0), y.repeat(weights))
    weighted = kind(**parameters).fit(X[shuffled], y[shuffled], sample_weight=weights[shuffled])
    np.testing.assert_array_equal(weighted.transform(X), of_copies.transform(X))
    if issubclass(kind, MPCCClusterer):
        np.testing.assert_array_equal(weighted.labels_, of_copies.predict(X[shuffled]))
        np.testing.assert_array_equal(weighted.pseudo_labels_ < 0, weights[shuffled] == 0)
        np.testing.assert_array_equal(
            weighted.fit_predict(X, sample_weight=weights), weighted.predict(X)
        )
    if kind is MPCCClassifier:
        expected = np.empty(len(X), dtype=int)
        expected[np.repeat(np.arange(len(X)), weights)] = of_copies.transduction_
        left_out = weights == 0
        expected[left_out] = of_copies.predict(X[left_out])
        np.testing.assert_array_equal(weighted.transduction_, expected[shuffled])


def test_heavy_rows_get_the_clusters():
    """Three groups, two clusters: those of the two that count."""
    random = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], 60)
    X = random.normal(size=(180, 2)) + np.array([[0, 0], [6, 0], [40, 0]])[y]
    clusterer = MPCCClusterer(2, random_state=0, **QUICK)
    assert adjusted_rand_score(y == 2, clusterer.fit_predict(X)) == 1
    of_two = clusterer.fit_predict(X, sample_weight=np.where(y == 2, 1e-6, 1.0))
    assert adjusted_rand_score(y[y < 2], of_two[y < 2]) > 0.9


def test_weights_show_in_the_weights_of_clusters():
    X, y = stripes(200)
    clusterer = MPCCClusterer(
        2, weights="learned", random_state=0, **QUICK | {"pseudo_labels": "spectral"}
    )
    clusterer.fit(X, sample_weight=np.where(y == 1, 3.0, 1.0))
    assert sorted(clusterer.weights_) == pytest.approx([0.25, 0.75], abs=0.05)
    heavy = clusterer.predict(X[y == 1][:1])[0]
    assert clusterer.weights_[heavy] == clusterer.weights_.max()


def test_images_take_weights():
    X, y = bars(60)
    clusterer = MPCCClusterer(2, random_state=0, **BRIEF)
    assert clusterer.fit(X, sample_weight=torch.as_tensor(y + 1)).labels_.shape == (60,)


@pytest.mark.parametrize("kind", [MPCCClusterer, MPCCClassifier, AIM, VAE, VaDEClusterer])
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.zeros(20), "sample_weight is zero for all of 20 samples"),
        (np.eye(20)[0], "sample_weight is zero for all but one of 20"),
        (-np.ones(20), "`sample_weight`"),
        (np.full(20, np.nan), "sample_weight contains NaN"),
        (np.ones(19), "sample_weight.shape"),
    ],
)
def test_bad_weights_are_named_before_any_training(kind, weights, message, monkeypatch):
    monkeypatch.setattr("skmpcc.training.initialization.train", lambda *_: pytest.fail("trained"))
    estimator = kind(2) if issubclass(kind, MPCCClusterer) else kind()
    before = dict(vars(estimator))
    with pytest.raises(ValueError, match=message):
        estimator.fit(images((20, 3)), np.arange(20) % 2, sample_weight=weights)
    assert vars(estimator) == before


def test_too_few_rows_that_count():
    with pytest.raises(ValueError, match="n_samples=3 should be >= n_clusters=4"):
        MPCCClusterer(4).fit(images((20, 3)), sample_weight=np.arange(20) < 3)


def test_routing(blobs):
    X, weights = blobs[0], np.arange(200) % 3
    clusterer = MPCCClusterer(3, random_state=0, **BRIEF)
    with config_context(enable_metadata_routing=True):
        clusterer.set_fit_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        pipeline = make_pipeline(scaler, clusterer).fit(X, sample_weight=weights)
        expected = clusterer.fit(StandardScaler().fit_transform(X), sample_weight=weights)
        np.testing.assert_array_equal(pipeline[-1].means_, expected.means_)
        labels = pipeline.fit_predict(X, sample_weight=weights)
        np.testing.assert_array_equal(labels, expected.labels_)
        search = GridSearchCV(clusterer, {"n_clusters": [2, 3]}, cv=2)
        search.fit(X, sample_weight=pd.Series(weights))
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()
        best = clusterer.set_params(**search.best_params_).fit(X, sample_weight=weights)
        np.testing.assert_array_equal(search.best_estimator_.means_, best.means_)


def test_callbacks_see_all_rows(blobs):
    X, y = blobs
    monitor = ScoringMonitor(scoring="adjusted_rand_score")
    clusterer = MPCCClusterer(3, random_state=0, **BRIEF).set_callbacks(monitor)
    clusterer.fit(X, y, sample_weight=np.arange(200) % 3)
    assert monitor.get_logs().data[-1]["adjusted_rand_score"] == adjusted_rand_score(
        y, clusterer.labels_
    )
