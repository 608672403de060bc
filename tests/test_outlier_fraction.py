"""Fits with `outlier_fraction`: rows of no cluster in all that an estimator does."""

import copy
import pickle

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.callback import ScoringMonitor
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from support import BRIEF, QUICK, Interrupting, assert_same_fit, images

from skmpcc import MPCCClusterer, VaDEClusterer
from skmpcc.data import sliced as _sliced
from skmpcc.training import checkpoint as _checkpoint

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

KINDS = [MPCCClusterer, VaDEClusterer]
N, N_NOISE = 180, 20
FAR = [[500.0, 500.0], [-400.0, 0.0]]


def noisy(seed=0):
    """Three clusters and random places around them, and the clusters' numbers, -1 of the places."""
    X, y = make_blobs(N, centers=[[-8, 0], [8, 0], [0, 9]], cluster_std=0.7, random_state=seed)
    noise = np.random.default_rng(seed).uniform(-16, 16, (N_NOISE, 2))
    order = np.random.default_rng(seed).permutation(N + N_NOISE)
    return np.vstack([X, noise])[order], np.append(y, np.full(N_NOISE, -1))[order]


X, Y = noisy()


def fitted(given=X, kind=MPCCClusterer, n_clusters=3, fit_params=None, **parameters):
    parameters = QUICK | {"outlier_fraction": 0.1, "random_state": 0} | parameters
    return kind(n_clusters, **parameters).fit(given, **fit_params or {})


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.__name__)
def estimator(request):
    return fitted(kind=request.param, **{"max_iter": 100} if request.param is VaDEClusterer else {})


def assert_consistent(clusterer, given, n_outside=None):
    """Labels, memberships and pseudo-labels tell of the same rows that they belong to no cluster."""
    labels = np.asarray(clusterer.labels_)
    outside = labels == -1
    np.testing.assert_array_equal(np.asarray(clusterer.predict(given)), labels)
    memberships = np.asarray(clusterer.predict_proba(given))
    assert not memberships[outside].any()
    np.testing.assert_allclose(memberships[~outside].sum(axis=1), 1.0)
    np.testing.assert_array_equal(memberships[~outside].argmax(axis=1), labels[~outside])
    if clusterer.pseudo_labels_ is not None:
        np.testing.assert_array_equal(clusterer.pseudo_labels_[outside], -1)
    if n_outside is not None:
        assert outside.sum() == n_outside


# ---- What is found


def test_noise_belongs_to_no_cluster_and_the_rest_to_its_own(estimator):
    assert_consistent(estimator, X, N_NOISE)
    assert np.sum((estimator.labels_ < 0) & (Y < 0)) > 0.75 * N_NOISE
    inside = (estimator.labels_ >= 0) & (Y >= 0)
    assert adjusted_rand_score(Y[inside], estimator.labels_[inside]) > 0.95
    # The fit saw all others.
    np.testing.assert_array_equal(estimator.pseudo_labels_ < 0, estimator.labels_ < 0)


def test_new_rows_are_told_apart(estimator):
    np.testing.assert_array_equal(estimator.predict(FAR), -1)
    assert not estimator.predict_proba(FAR).any()
    centres = estimator.predict([[-8.0, 0.0], [8.0, 0.0], [0.0, 9.0]])
    assert sorted(centres) == [0, 1, 2]


def test_the_highest_memberships(estimator):
    clusters, memberships = estimator.predict_proba(X, top=2)
    outside = estimator.labels_ < 0
    assert not memberships[outside].any()
    np.testing.assert_array_equal(clusters[~outside, 0], estimator.labels_[~outside])
    expected = np.sort(estimator.predict_proba(X), axis=1)[:, :-3:-1]
    np.testing.assert_allclose(memberships, expected)


def test_samples_are_of_clusters(estimator):
    _, labels = estimator.sample(60)
    assert set(labels) <= {0, 1, 2}
    with pytest.raises(ValueError, match="cluster"):
        estimator.sample(3, cluster=-1)


@pytest.mark.parametrize("share", [0.005, 0.0126, 0.1, 0.5])
def test_the_share_is_as_asked(share):
    assert_consistent(fitted(outlier_fraction=share, **BRIEF), X, round(share * len(X)))


@pytest.mark.parametrize("share", [None, 1e-6])
def test_no_outliers_where_none_are_asked_for(share):
    clusterer = fitted(outlier_fraction=share, **BRIEF)
    assert_consistent(clusterer, X, 0)
    assert (clusterer.predict(FAR) >= 0).all()
    plain = fitted(outlier_fraction=None, **BRIEF)
    np.testing.assert_array_equal(clusterer.means_, plain.means_)


def test_auto_finds_a_share():
    clusterer = fitted(outlier_fraction="auto", **BRIEF)
    outside = clusterer.labels_ < 0
    assert_consistent(clusterer, X)
    assert 0.04 < outside.mean() < 0.12
    assert (Y[outside] < 0).mean() > 0.8
    assert (fitted(X[Y >= 0], outlier_fraction="auto", **BRIEF).labels_ >= 0).mean() >= 0.98


def test_outliers_do_not_scale_the_data():
    """Clusters beside two rows at the end of the world are found as if these were not there."""
    inside = X[Y >= 0]
    given = np.vstack([inside, [[1e7, 1e7], [-1e7, 3e6]]])
    clusterer = fitted(given, outlier_fraction=2 / len(given))
    np.testing.assert_array_equal(np.flatnonzero(clusterer.labels_ < 0), [len(inside), len(inside) + 1])
    assert adjusted_rand_score(Y[Y >= 0], clusterer.pseudo_labels_[:-2]) > 0.95
    alone = fitted(inside, outlier_fraction=None)
    np.testing.assert_allclose(clusterer._fitted.format.scale, alone._fitted.format.scale)


# ---- Forms of the data


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("as_tensor", [False, True], ids=["array", "tensor"])
def test_arrays_and_tensors(dtype, as_tensor):
    given = torch.from_numpy(X.astype(dtype)) if as_tensor else X.astype(dtype)
    clusterer = fitted(given, **BRIEF)
    assert_consistent(clusterer, given, N_NOISE)
    assert isinstance(clusterer.predict(given), torch.Tensor if as_tensor else np.ndarray)
    clusters, memberships = clusterer.predict_proba(given, top=1)
    assert isinstance(memberships, torch.Tensor if as_tensor else np.ndarray)
    assert ((np.asarray(memberships)[:, 0] == 0) == (clusterer.labels_ < 0)).all()
    assert len(clusters) == len(X)


@pytest.mark.parametrize("kind", KINDS)
def test_images(kind):
    given = images((60, 8, 8))
    given[:5] *= 20.0
    clusterer = fitted(given, kind, 2, outlier_fraction=5 / 60, max_iter=3, width=8, pseudo_labels=None)
    assert_consistent(clusterer, given, 5)
    assert (clusterer.labels_[:5] == -1).all()
    assert np.isfinite(clusterer.score(given))


def people(n=100):
    """A frame of two kinds with a tenth of its values missing; the last row is far from all."""
    random = np.random.default_rng(0)
    kind = np.arange(n) % 2
    frame = pd.DataFrame(
        {
            "age": random.normal(30.0 + 30.0 * kind, 2.0),
            "size": random.normal(150.0 + 30.0 * kind, 3.0),
            "town": np.array(["Ulm", "Bonn"])[kind],
        }
    )
    for name in frame:
        frame.loc[random.random(n) < 0.1, name] = None
    frame.loc[n - 1, ["age", "size"]] = [900.0, 2.0]
    return frame


@pytest.mark.parametrize("kind", KINDS)
def test_mixed_frames(kind):
    given = people()
    clusterer = fitted(given, kind, 2, outlier_fraction=0.05, **BRIEF)
    assert_consistent(clusterer, given, 5)
    assert clusterer.labels_[-1] == -1
    assert not clusterer.sample(20)[0].isna().any(axis=None)


RANDOM = np.random.default_rng(0)
NUMBERS = {"age": RANDOM.normal(size=100), "size": RANDOM.normal(size=100)}
GAPS = {
    "no other gaps": NUMBERS,
    "gaps in another column": {
        "age": np.where(RANDOM.random(100) < 0.2, np.nan, NUMBERS["age"]),
        "size": NUMBERS["size"],
        "town": ["Ulm", "Bonn"] * 50,
    },
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("columns", GAPS.values(), ids=GAPS)
def test_gaps_may_be_in_outliers_alone(columns, kind):
    """The form of the data is learned from the other rows, which have no such gap."""
    given = pd.DataFrame(columns)
    given.loc[99] = [500.0, np.nan, *["Ulm"][: given.shape[1] - 2]]
    clusterer = fitted(given, kind, 2, outlier_fraction=0.02, **BRIEF)
    assert_consistent(clusterer, given, 2)
    assert clusterer.labels_[99] == -1
    assert np.isfinite(clusterer.means_).all()


@pytest.mark.parametrize("as_category", [False, True], ids=["number", "category"])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_may_differ_in_what_no_other_row_has(kind, as_category):
    """A column in which all rows of clusters are the same is not left out for that."""
    inside = X[Y >= 0]
    mark = np.arange(N) < 4
    columns = {"a": inside[:, 0], "b": inside[:, 1], "mark": mark.astype(float)}
    given = pd.DataFrame(columns | ({"mark": np.where(mark, "yes", "no")} if as_category else {}))
    clusterer = fitted(given, kind, outlier_fraction=4 / N)
    np.testing.assert_array_equal(np.flatnonzero(clusterer.labels_ < 0), range(4))
    assert_consistent(clusterer, given, 4)
    # It tells new rows as well.
    new = given.iloc[10:13].copy()
    assert (clusterer.predict(new) >= 0).all()
    new["mark"] = given["mark"].iloc[0]
    np.testing.assert_array_equal(clusterer.predict(new), -1)


def test_equal_rows_beside_a_few_others():
    given = np.vstack([np.ones((76, 2)), [[9.0, 0.0], [-8.0, 3.0], [0.0, 20.0], [5.0, -9.0]]])
    clusterer = fitted(given, n_clusters=1, outlier_fraction=0.05, **BRIEF)
    assert_consistent(clusterer, given, 4)
    assert (clusterer.labels_[76:] == -1).all()


def test_weights_are_copies_of_rows():
    weights = np.where(np.arange(len(X)) % 3, 1.0, 2.0)
    clusterer = fitted(fit_params={"sample_weight": weights}, **BRIEF)
    assert_consistent(clusterer, X)
    rows = np.repeat(np.arange(len(X)), weights.astype(int))
    copied = fitted(X[rows], **BRIEF)
    np.testing.assert_array_equal(copied.labels_, clusterer.labels_[rows])
    np.testing.assert_array_equal(copied.means_, clusterer.means_)
    # Copies are as far as each other.
    assert abs(np.sum(copied.labels_ < 0) - 0.1 * len(rows)) <= 1


def test_rows_without_weight_are_told_apart_as_new_ones_are():
    given = np.vstack([X, FAR, [[8.0, 0.0]]])
    weights = np.append(np.ones(len(X)), np.zeros(3))
    clusterer = fitted(given, fit_params={"sample_weight": weights}, **BRIEF)
    np.testing.assert_array_equal(clusterer.predict(given), clusterer.labels_)
    assert (clusterer.labels_[-3:] < 0).tolist() == [True, True, False]
    np.testing.assert_array_equal(clusterer.labels_[:-3], fitted(**BRIEF).labels_)


@pytest.mark.parametrize("given", [X, np.random.default_rng(0).normal(size=(80, 300))])
def test_the_order_of_rows_plays_no_part(given):
    order = np.random.default_rng(1).permutation(len(given))
    clusterer, other = fitted(given, **BRIEF), fitted(given[order], **BRIEF)
    np.testing.assert_array_equal(other.labels_, clusterer.labels_[order])
    np.testing.assert_array_equal(other.means_, clusterer.means_)


@pytest.mark.parametrize("stored", ["memmap", "hdf5"])
def test_data_on_disk_are_fitted_in_part_and_labelled_as_a_whole(stored, tmp_path, monkeypatch):
    given = X.astype(np.float32)
    row = given.shape[1] * (4 + _sliced.ENCODED)
    monkeypatch.setattr(_sliced, "MAX_BYTES", len(given) // 2 * row)
    monkeypatch.setattr(_sliced, "_CHUNK", 30 * row)
    if stored == "memmap":
        on_disk = np.memmap(tmp_path / "x", dtype=given.dtype, mode="w+", shape=given.shape)
        on_disk[:] = given
    else:
        on_disk = h5py.File(tmp_path / "x", "w").create_dataset("X", data=given)
    clusterer = fitted(on_disk)
    np.testing.assert_array_equal(clusterer.predict(given), clusterer.labels_)
    np.testing.assert_array_equal(clusterer.predict(on_disk), clusterer.labels_)
    seen = clusterer.pseudo_labels_ >= 0
    assert seen.sum() == 90
    assert (clusterer.labels_[seen] >= 0).all()
    # Of the other half noise is told apart, too.
    assert np.sum((clusterer.labels_ < 0) & (Y < 0)) > 0.6 * N_NOISE
    assert np.mean(clusterer.labels_[Y >= 0] < 0) < 0.1


# ---- What a fit may do


@pytest.mark.slow
def test_initializations_side_by_side_are_the_same():
    one, other = (fitted(n_init=2, n_jobs=n_jobs, **BRIEF) for n_jobs in (1, 2))
    assert_consistent(one, X, N_NOISE)
    assert_same_fit(other, one)


def test_fits_go_on_with_other_outliers():
    clusterer = fitted(warm_start=True, **BRIEF)
    threshold = clusterer._fitted.outliers.threshold
    clusterer.set_params(outlier_fraction=0.2).fit(X)
    assert_consistent(clusterer, X, 2 * N_NOISE)
    assert clusterer._fitted.outliers.threshold < threshold
    clusterer.set_params(outlier_fraction=None).fit(X)
    assert_consistent(clusterer, X, 0)
    assert (clusterer.predict(FAR) >= 0).all()


def test_interrupted_fits_go_on(tmp_path, monkeypatch):
    monkeypatch.setattr(_checkpoint, "SECONDS", 0.0)
    given = {"checkpoint": tmp_path / "fit", "pseudo_labels": "kmeans", "max_iter": 8}
    expected = fitted(**given)
    unfinished = clone(expected).set_callbacks(Interrupting(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        unfinished.fit(X)
    with pytest.raises(ValueError, match="outlier_fraction"):
        clone(expected).set_params(outlier_fraction=0.2).fit(X)
    found = clone(expected).fit(X)
    assert_same_fit(found, expected)
    assert_consistent(found, X, N_NOISE)


def test_callbacks_see_rows_of_no_cluster():
    monitor = ScoringMonitor(scoring="adjusted_rand_score")
    clusterer = MPCCClusterer(3, outlier_fraction=0.1, random_state=0, **QUICK).set_callbacks(monitor)
    labels = clusterer.fit_predict(X, Y)
    assert monitor.get_logs().data[-1]["adjusted_rand_score"] == adjusted_rand_score(Y, labels)
    assert np.sum(labels < 0) == N_NOISE


def through_file(estimator, folder):
    estimator.save(folder / "model")
    return type(estimator).load(folder / "model")


COPIES = {
    "file": through_file,
    "pickle": lambda estimator, _: pickle.loads(pickle.dumps(estimator)),
    "deepcopy": lambda estimator, _: copy.deepcopy(estimator),
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_copies_and_files(estimator, copied, tmp_path):
    restored = copied(estimator, tmp_path)
    assert_consistent(restored, X, N_NOISE)
    np.testing.assert_array_equal(restored.labels_, estimator.labels_)
    np.testing.assert_array_equal(restored.predict_proba(X), estimator.predict_proba(X))
    np.testing.assert_array_equal(restored.predict(FAR), -1)
    assert restored.score(X) == estimator.score(X)


def test_files_of_wide_rows(tmp_path):
    given = make_blobs(100, 300, centers=2, random_state=0)[0]
    given[:3] *= 20.0
    clusterer = fitted(given, n_clusters=2, outlier_fraction=0.03, **BRIEF)
    assert clusterer._fitted.outliers.axes is not None
    restored = through_file(clusterer, tmp_path)
    assert_consistent(restored, given, 3)
    assert (restored.labels_[:3] == -1).all()


def test_files_of_mixed_frames(tmp_path):
    given = people()
    clusterer = fitted(given, n_clusters=2, outlier_fraction=0.05, **BRIEF)
    assert_consistent(through_file(clusterer, tmp_path), given, 5)


def test_clones(estimator):
    cloned = clone(estimator)
    assert cloned.get_params() == estimator.get_params()
    assert not hasattr(cloned, "labels_")


def test_pipelines_and_searches():
    clusterer = MPCCClusterer(random_state=0, pseudo_labels="kmeans", max_iter=5, width=8, tol=0.0)
    pipeline = make_pipeline(StandardScaler(), clusterer)
    grid = {"mpccclusterer__outlier_fraction": [0.1, "auto"], "mpccclusterer__n_clusters": [2, 3]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(X)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    best = search.best_estimator_
    np.testing.assert_array_equal(best.predict(X), best[-1].labels_)
    assert (best.predict(np.array(FAR)) == -1).all()


def test_together_with_a_number_of_clusters_that_is_looked_for():
    clusterer = fitted(n_clusters="auto", outlier_fraction="auto")
    assert clusterer.n_clusters_ == 3
    assert_consistent(clusterer, X)
    assert 0 < np.sum(clusterer.labels_ < 0) < 1.2 * N_NOISE


def test_scores_are_of_rows_in_clusters(estimator):
    inside = X[estimator.labels_ >= 0]
    assert estimator.score(X) == estimator.score(inside)
    assert estimator.score(np.vstack([inside, FAR])) == estimator.score(inside)
    for given, message in ((FAR, "has no sample that"), ([*FAR, [8.0, 0.0]], "has 1 sample that")):
        with pytest.raises(ValueError, match=f"X {message} belongs to a cluster; at least 2"):
            estimator.score(given)


# ---- What cannot be


@pytest.mark.parametrize("value", [0, 0.6, -0.1, np.nan, "many", True, [0.1]])
def test_other_values_are_errors(value):
    with pytest.raises(ValueError, match="'outlier_fraction' parameter of MPCCClusterer"):
        MPCCClusterer(3, outlier_fraction=value, **BRIEF).fit(X)


@pytest.mark.parametrize("kind", KINDS)
def test_fewer_rows_than_clusters_are_an_error_before_any_training(kind, monkeypatch):
    monkeypatch.setattr("skmpcc.training.initialization.Initialization.run", None)
    clusterer = kind(10, outlier_fraction=0.5, random_state=0)
    before = dict(vars(clusterer))
    with pytest.raises(ValueError, match=r"outlier_fraction=0\.5 leaves 8 samples, but n_clusters=10"):
        clusterer.fit(X[:16])
    assert vars(clusterer) == before


def test_a_second_fit_leaves_nothing_of_the_first():
    clusterer = fitted(n_clusters="auto", n_resamplings=2, **BRIEF)
    assert clusterer.n_clusters_curve_ is not None
    assert clusterer.cluster_stability_.shape == (clusterer.n_clusters_,)
    clusterer.set_params(n_clusters=2, n_resamplings=0, outlier_fraction=None).fit(X)
    plain = fitted(n_clusters=2, outlier_fraction=None, **BRIEF)
    assert vars(clusterer).keys() == vars(plain).keys()
    assert clusterer.n_clusters_curve_ is clusterer.cluster_stability_ is None
    assert clusterer.n_clusters_ == 2
    assert_same_fit(clusterer, plain)
