"""Rows that belong to no cluster neither spoil the others' clusters nor look like them."""

import numpy as np
import pytest
from sklearn.datasets import load_digits, make_blobs, make_moons
from sklearn.metrics import adjusted_rand_score, roc_auc_score
from sklearn.neighbors import NearestNeighbors
from support import BRIEF

from skmpcc import AIM, VAE, MPCCClassifier, MPCCClusterer, VaDEClusterer

SQUARE = [[0, 0], [8, 0], [0, 8], [8, 8]]
SHAPES = {
    "blobs": lambda: make_blobs(1000, centers=SQUARE, random_state=0),
    "moons": lambda: make_moons(1000, noise=0.05, random_state=0),
}
WILD = {"one value": (0, [17], 1e6), "a sentinel": (1, np.arange(100, 105), -999.0)}
# Each is told from the others by a column of its own.
CENTRES = [[0, 0, 0, 0], [8, 0, 0, 0], [0, 8, 0, 0]]


@pytest.mark.parametrize(("column", "rows", "value"), WILD.values(), ids=WILD)
def test_wild_values_leave_the_other_rows_clusters_alone(column, rows, value):
    X, y = make_blobs(1000, centers=CENTRES, random_state=0)
    X[rows, column] = value
    clusterer = MPCCClusterer(3, labels_only=True, width=64, random_state=0).fit(X)
    others = np.delete(np.arange(len(X)), rows)
    assert adjusted_rand_score(y[others], clusterer.labels_[others]) == 1
    scores = clusterer.score_samples(X)
    assert scores[rows].max() < scores[others].min()


@pytest.mark.full_pseudo_labels
@pytest.mark.parametrize(
    ("labels_only", "shape", "least_auc"),
    [
        pytest.param(True, "blobs", 0.95, marks=pytest.mark.slow),
        pytest.param(True, "moons", 0.85, marks=pytest.mark.slow),
        pytest.param(False, "blobs", 0.95, marks=pytest.mark.slow),
        pytest.param(False, "moons", 0.93, marks=pytest.mark.slow),
    ],
)
def test_scores_point_out_noise(labels_only, shape, least_auc):
    """A tenth of rows are uniform noise, of which those count that lie clearly off the shapes.

    That is twice as far from them as 99 of 100 of their own rows are from the next.
    """
    X, y = SHAPES[shape]()
    low, high = X.min(axis=0), X.max(axis=0)
    margin, n = 0.1 * (high - low), len(X)
    noise = np.random.default_rng(0).uniform(low - margin, high + margin, (n // 10, 2))
    finder = NearestNeighbors(n_neighbors=1).fit(X)
    reach = 2 * np.quantile(finder.kneighbors()[0], 0.99)
    is_off = finder.kneighbors(noise)[0][:, 0] > reach
    assert is_off.sum() >= 20

    noisy = np.concatenate([X, noise])
    clusterer = MPCCClusterer(len(np.unique(y)), labels_only=labels_only, random_state=0).fit(noisy)
    assert adjusted_rand_score(y, clusterer.labels_[:n]) >= 0.95
    memberships = clusterer.predict_proba(noisy)
    assert np.all(memberships >= 0)
    np.testing.assert_allclose(memberships.sum(axis=1), 1, rtol=1e-6)
    scores = clusterer.score_samples(noisy)
    counted = np.append(np.ones(n, bool), is_off)
    is_noise = np.arange(len(noisy)) >= n
    assert roc_auc_score(is_noise[counted], -scores[counted]) >= least_auc


ESTIMATORS = {
    MPCCClusterer: BRIEF | {"n_clusters": 2, "random_state": 0},
    MPCCClassifier: {"max_iter": 3, "width": 8, "random_state": 0},
    AIM: {"max_iter": 3, "width": 8, "random_state": 0},
    VAE: {"max_iter": 3, "width": 8, "random_state": 0},
    VaDEClusterer: BRIEF | {"n_clusters": 2, "random_state": 0},
}


@pytest.mark.parametrize("kind", ESTIMATORS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("data", ["table", "with an outlier", "images", "float32", "wide"])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_values_far_outside_have_finite_results_and_the_lowest_score(kind, data, sign):
    shape = {"images": (40, 8, 8), "wide": (30, 1100)}.get(data, (40, 3))
    X, y = np.random.default_rng(0).normal(size=shape), np.arange(shape[0]) % 2
    if data == "with an outlier":  # for which there are limits, within which both look alike
        X[7, 1] = 1e4 * sign
    if data == "float32":
        X = X.astype(np.float32)
    estimator = kind(**ESTIMATORS[kind]).fit(X, y)
    others = estimator.score_samples(X)
    methods = ("predict_proba", "score_samples", "transform", "reconstruct", "sample_posterior")
    for size in (1e12, 3e38, 3.4e38, 1e308, 1.7e308):
        new = X[:3].copy()
        new[1].flat[1] = sign * (np.minimum(size, 3.4e38) if data == "float32" else size)
        found = {name: getattr(estimator, name)(new) for name in methods if hasattr(estimator, name)}
        for name, values in found.items():
            assert np.isfinite(values).all(), (name, size)
        scores = np.append(others, found["score_samples"])
        assert np.argsort(scores)[0] == len(others) + 1, size
        if kind not in (AIM, VAE):
            np.testing.assert_allclose(found["predict_proba"].sum(axis=1), 1)


@pytest.mark.slow
@pytest.mark.full_pseudo_labels
@pytest.mark.parametrize(
    ("labels_only", "dtype"), [(True, np.float64), (True, np.uint16), (False, np.uint16)]
)
def test_a_hot_pixel_leaves_the_clusters_of_images_alone(labels_only, dtype):
    X, y = load_digits(n_class=3, return_X_y=True)
    X = X.reshape(-1, 8, 8).astype(dtype)
    X[11, 3, 3] = 4095
    clusterer = MPCCClusterer(3, labels_only=labels_only, random_state=0).fit(X)
    assert adjusted_rand_score(y, clusterer.labels_) >= 0.95
    assert clusterer.sample(50)[0].max() <= 16
    scores = clusterer.score_samples(X)
    assert scores.argmin() == 11


@pytest.mark.slow
@pytest.mark.full_pseudo_labels
@pytest.mark.parametrize("dtype", [np.uint8, bool])
def test_images_of_few_levels_are_clustered(dtype):
    X, y = load_digits(n_class=3, return_X_y=True)
    X = X.reshape(-1, 8, 8)
    X = (X > 8) if dtype is bool else X.astype(dtype)
    for levels in (X, X.astype(np.uint8)):
        found = [
            MPCCClusterer(3, labels_only=True, random_state=seed).fit_predict(levels)
            for seed in range(3)
        ]
        # Classifiers of few pixels of few levels end in a worse place from some seeds.
        assert np.median([adjusted_rand_score(y, labels) for labels in found]) >= 0.95


@pytest.mark.parametrize("kind", ESTIMATORS, ids=lambda kind: kind.__name__)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scores_of_wide_tables_see_what_is_beyond_their_rows(kind):
    """Rows of 3,000 columns are rotated into the space of the 60 rows of the fit."""
    random = np.random.default_rng(0)
    centres, y = random.normal(size=(3, 3000)), np.arange(60) % 3
    X, new = (centres[y] + 0.3 * random.normal(size=(60, 3000)) for _ in range(2))
    wild, noisy = new.copy(), new + random.normal(size=new.shape)
    wild[:, 5] = 100
    parameters = {"max_iter": 50, "width": 32, "random_state": 0}
    parameters |= {"n_clusters": 3, "pseudo_labels": "kmeans"} if kind is MPCCClusterer else {}
    estimator = kind(**parameters).fit(X, y)
    assert estimator._fitted.format.rotation is not None
    held_out = estimator.score_samples(new)
    assert np.median(estimator.score_samples(X)) > np.median(held_out)
    for worse in (noisy, wild):
        assert estimator.score_samples(worse).max() < held_out.min()
