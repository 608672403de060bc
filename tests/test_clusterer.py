import copy
import dataclasses
import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from scipy import stats
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.datasets import load_digits, make_blobs
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import adjusted_rand_score, silhouette_score
from sklearn.metrics.cluster import contingency_matrix
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmpcc import MPCCClusterer
from skmpcc.metrics import clustering_accuracy
from skmpcc.training import DivergedError
from skmpcc.views import deformed

QUICK = {
    "init_params": "kmeans",
    "max_iter": 100,
    "init_iter": 50,
    "width": 32,
    "learning_rate": 2e-3,
    "prior_learning_rate": 3e-2,
    "ema_decay": 0.9,
    "tol": 0.0,
}
BRIEF = {"max_iter": 3, "width": 8, "latent_dim": 4, "init_params": "random", "tol": 0.0}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def blobs():
    return make_blobs(200, 4, centers=3, random_state=0)


@pytest.fixture(scope="module")
def fitted(blobs):
    return MPCCClusterer(3, random_state=0, **QUICK).fit(blobs[0])


def images(shape, dtype=np.float64, seed=0):
    return (np.random.default_rng(seed).random(shape) * 200).astype(dtype)


# ---- what a fit gives


def test_recovers_separated_blobs(blobs, fitted):
    X, y = blobs
    assert clustering_accuracy(y, fitted.labels_) > 0.9
    assert silhouette_score(X, fitted.labels_) > 0.4


def test_fitted_attributes(blobs, fitted):
    X = blobs[0]
    latent = fitted.means_.shape[1]
    assert fitted.labels_.shape == (200,)
    assert fitted.labels_.dtype.kind == "i"
    assert fitted.means_.shape == fitted.covariances_.shape == (3, latent)
    np.testing.assert_allclose(fitted.weights_, 1 / 3, rtol=1e-6)
    assert (fitted.covariances_ >= 0.25).all()
    assert fitted.cluster_centers_.shape == (3, 4)
    assert fitted.n_iter_ == 100
    assert fitted.n_features_in_ == 4
    assert fitted.preset_ == "vectors_narrow"
    np.testing.assert_array_equal(fitted.labels_, fitted.predict(X))


def test_history(fitted):
    history = fitted.history_
    assert type(history) is dict
    assert {"iteration", "discriminator", "generator", "latent", "cluster", "prior_entropy"} < set(
        history
    )
    assert {"mean_std", "mean_norm"} < set(history)
    np.testing.assert_array_equal(history["iteration"], np.arange(1, 101))
    assert all(np.isfinite(values).all() for values in history.values())


def test_history_interval_is_a_hundredth_of_the_training(blobs):
    history = MPCCClusterer(3, **BRIEF | {"max_iter": 250}).fit(blobs[0]).history_
    np.testing.assert_array_equal(history["iteration"], [*range(3, 250, 3), 250])


def test_memberships_follow_from_the_mixture(blobs, fitted):
    """Equation 9 with scipy's densities at the codes."""
    X = blobs[0]
    codes = fitted.transform(X)
    density = np.stack(
        [
            stats.norm(mean, np.sqrt(variance)).logpdf(codes).sum(1)
            for mean, variance in zip(fitted.means_, fitted.covariances_, strict=True)
        ],
        axis=1,
    ) + np.log(fitted.weights_)
    log_density = np.logaddexp.reduce(density, axis=1)
    memberships = np.exp(density - log_density[:, None])
    np.testing.assert_allclose(fitted.predict_proba(X), memberships, atol=1e-9)
    np.testing.assert_allclose(fitted.score_samples(X), log_density, rtol=1e-8)
    np.testing.assert_array_equal(fitted.predict(X), memberships.argmax(1))


def test_score_is_the_mutual_information_of_neighbours_clusters(blobs, fitted):
    X = blobs[0]
    nearest = NearestNeighbors(n_neighbors=15).fit(X).kneighbors(return_distance=False)
    own, other = np.repeat(fitted.labels_, 15), fitted.labels_[nearest].ravel()
    shares = np.bincount(fitted.labels_) / len(X)
    pairs = contingency_matrix(own, other) / len(own)
    conditional = stats.entropy(pairs, axis=None) - stats.entropy(shares)
    # both of its features have about the same range, so that scaling keeps the neighbours
    np.testing.assert_allclose(fitted.score(X), stats.entropy(shares) - conditional, atol=0.02)
    with pytest.raises(ValueError, match="1 sample"):
        fitted.score(X[:1])


def test_decoding(blobs, fitted):
    X = blobs[0]
    codes = fitted.transform(X)
    np.testing.assert_allclose(fitted.reconstruct(X), fitted.inverse_transform(codes))
    np.testing.assert_allclose(
        fitted.inverse_transform(codes), fitted.inverse_transform(codes, fitted.predict(X))
    )
    np.testing.assert_allclose(
        fitted.inverse_transform(fitted.means_, np.arange(3)), fitted.cluster_centers_
    )
    np.testing.assert_allclose(
        fitted.inverse_transform(codes[:5], 1), fitted.inverse_transform(codes[:5], [1] * 5)
    )


def test_centres_lie_near_their_members(blobs, fitted):
    X, _ = blobs
    for k in range(3):
        members = X[fitted.labels_ == k]
        others = X[fitted.labels_ != k]
        centre = fitted.cluster_centers_[k]
        assert np.linalg.norm(members.mean(0) - centre) < np.linalg.norm(others.mean(0) - centre)


def test_sample(fitted):
    X, y = fitted.sample(500)
    assert X.shape == (500, 4)
    assert (np.diff(y) >= 0).all()
    assert np.bincount(y, minlength=3).min() > 100
    X, y = fitted.sample(7, cluster=2)
    assert (y == 2).all()
    np.testing.assert_array_equal(X, fitted.sample(7, cluster=2)[0])
    assert fitted.sample()[0].shape == (1, 4)


def test_sample_posterior(blobs, fitted):
    X = blobs[0][:6]
    neighbours = fitted.sample_posterior(X, 5)
    assert neighbours.shape == (6, 5, 4)
    assert np.ptp(neighbours, axis=1).min() > 0
    spread = np.linalg.norm(neighbours - X[:, None], axis=-1).mean()
    assert spread < np.linalg.norm(neighbours - X[::-1][:, None], axis=-1).mean() * 1.5


def test_inference_does_not_depend_on_the_batch(blobs, fitted, monkeypatch):
    X = blobs[0]
    whole = fitted.transform(X)
    monkeypatch.setattr("skmpcc.inference._BATCH_VALUES", 32 * 20)
    assert fitted._fitted.batch_size == 20
    np.testing.assert_allclose(fitted.transform(X), whole, atol=1e-10)
    np.testing.assert_allclose(fitted.transform(X[3:4]), whole[3:4], atol=1e-10)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Z", np.zeros((2, 99))),
        ("labels", [0]),
        ("labels", [0, 3]),
        ("labels", [-1, 0]),
        ("labels", [0.5, 1]),
    ],
)
def test_inverse_transform_errors(fitted, name, value):
    Z = np.zeros((2, fitted.means_.shape[1]))
    with pytest.raises(ValueError, match=name):
        fitted.inverse_transform(**{"Z": Z} | {name: value})


@pytest.mark.parametrize(
    ("arguments", "error", "name"),
    [
        ({"n_samples": 0}, ValueError, "n_samples"),
        ({"n_samples": 1.5}, TypeError, "n_samples"),
        ({"cluster": 3}, ValueError, "cluster"),
        ({"cluster": -1}, ValueError, "cluster"),
        ({"cluster": "a"}, TypeError, "cluster"),
    ],
)
def test_sample_errors(fitted, arguments, error, name):
    with pytest.raises(error, match=name):
        fitted.sample(**arguments)


@pytest.mark.parametrize(
    "call",
    [
        lambda e: e.predict([[1.0]]),
        lambda e: e.transform([[1.0]]),
        lambda e: e.sample(),
        lambda e: e.inverse_transform([[1.0]]),
        lambda e: e.sample_posterior([[1.0]]),
        lambda e: e.reconstruct([[1.0]]),
    ],
)
def test_unfitted(call):
    with pytest.raises(NotFittedError):
        call(MPCCClusterer())


# ---- images


@pytest.mark.parametrize(
    ("shape", "image_shape"),
    [
        ((12, 8, 8), None),
        ((12, 64), (8, 8)),
        ((12, 3, 8, 16), None),
        ((12, 8, 16, 3), None),
        ((12, 300), (10, 10, 3)),
        ((12, 28, 28), None),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_images_come_back_as_they_came(shape, image_shape, dtype):
    X = images(shape, dtype)
    clusterer = MPCCClusterer(2, image_shape=image_shape, random_state=0, **BRIEF).fit(X)
    assert len(clusterer._fitted.model.sample_shape) == 3
    single = shape[1:]
    assert clusterer.n_features_in_ == np.prod(single)
    assert clusterer.cluster_centers_.shape == (2, *single)
    assert clusterer.reconstruct(X).shape == shape
    assert clusterer.sample(5)[0].shape == (5, *single)
    assert clusterer.sample_posterior(X[:3], 2).shape == (3, 2, *single)
    codes = clusterer.transform(X)
    assert codes.shape == (12, 4)
    assert clusterer.inverse_transform(codes).shape == shape
    assert codes.dtype == clusterer.sample()[0].dtype
    assert codes.dtype == (np.float32 if dtype == np.float32 else np.float64)
    assert clusterer.sample(50)[0].min() >= 0
    np.testing.assert_array_equal(clusterer.labels_, clusterer.predict(X))
    with pytest.raises(ValueError, match=r"shape|features"):
        clusterer.predict(X[:, :-1])


def test_images_as_vectors():
    X = images((20, 8, 8))
    clusterer = MPCCClusterer(2, preset="vectors", random_state=0, **BRIEF).fit(X)
    assert clusterer._fitted.model.sample_shape == (64,)
    assert clusterer.cluster_centers_.shape == (2, 8, 8)
    assert clusterer.predict(X).shape == (20,)


def test_image_preset_on_a_table_says_so(blobs):
    with pytest.warns(UserWarning, match="image_shape"):
        MPCCClusterer(2, preset="mnist", **BRIEF).fit(blobs[0])


def test_image_preset_on_a_table_looks_at_neighbors(blobs):
    """Of rows there are no views."""
    parameters = {"max_iter": 3, "width": 8, "tol": 0.0, "random_state": 0}
    with pytest.warns(UserWarning, match="image_shape"):
        given = MPCCClusterer(3, preset="grey", **parameters).fit(blobs[0])
    parameters |= {"init_params": "neighbors", "consistency": "neighbors"}
    with pytest.warns(UserWarning, match="image_shape"):
        explicit = MPCCClusterer(3, preset="grey", **parameters).fit(blobs[0])
    np.testing.assert_array_equal(given.means_, explicit.means_)


def test_score_of_images_is_the_mutual_information_of_views_clusters():
    X = load_digits().images[:400]
    clusterer = MPCCClusterer(4, random_state=0, **QUICK | {"max_iter": 20}).fit(X)
    fitted = clusterer._fitted
    views = deformed(fitted.format.encode_all(X), torch.Generator().manual_seed(0))
    X_views = fitted.format.decode(views).reshape(X.shape)
    pairs = contingency_matrix(clusterer.labels_, clusterer.predict(X_views))
    # of unordered pairs
    pairs = (pairs + pairs.T) / (2 * len(X))
    expected = 2 * stats.entropy(pairs.sum(0)) - stats.entropy(pairs, axis=None)
    assert expected > 0.1
    np.testing.assert_allclose(clusterer.score(X), expected, atol=1e-3)
    assert clusterer.score(X) == clusterer.score(X)
    with pytest.raises(ValueError, match="1 sample"):
        clusterer.score(X[:1])


def test_best_of_several_initializations_on_images():
    X = load_digits().images[:200]
    parameters = BRIEF | {"max_iter": 20, "random_state": 0}
    best = MPCCClusterer(3, n_init=3, **parameters).fit(X)
    assert best.score(X) >= MPCCClusterer(3, **parameters).fit(X).score(X)


def test_paper_preset_on_images():
    X = images((60, 28, 28), np.uint8)
    clusterer = MPCCClusterer(5, preset="mnist", max_iter=2, random_state=0).fit(X)
    assert clusterer.preset_ == "mnist"
    assert clusterer.means_.shape == (5, 24)
    assert all(np.isfinite(values).all() for values in clusterer.history_.values())
    assert clusterer.reconstruct(X).shape == X.shape


# ---- input


def as_memmap(X, path):
    file = np.memmap(path, dtype=X.dtype, mode="w+", shape=X.shape)
    file[:] = X
    file.flush()
    return np.memmap(path, dtype=X.dtype, mode="r", shape=X.shape)


def test_kinds_of_input_agree(blobs, tmp_path):
    X = blobs[0]
    expected = MPCCClusterer(3, random_state=0, **BRIEF).fit(X)
    for Y in (
        X.tolist(),
        pd.DataFrame(X),
        torch.as_tensor(X),
        as_memmap(X, tmp_path / "x"),
        np.asfortranarray(X),
        X.astype(object),
    ):
        clusterer = MPCCClusterer(3, random_state=0, **BRIEF).fit(Y)
        np.testing.assert_array_equal(clusterer.labels_, expected.labels_)
        # sums in another order round differently
        np.testing.assert_allclose(clusterer.transform(Y), expected.transform(X), atol=1e-9)


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int64, np.float16, np.float32, np.bool_])
def test_dtypes(dtype):
    X = images((30, 4), dtype)
    clusterer = MPCCClusterer(2, random_state=0, **BRIEF).fit(X)
    assert np.isfinite(clusterer.transform(X)).all()


def test_constant_features_and_duplicates():
    X = np.zeros((40, 3))
    X[:20, 1] = 1
    X[:, 2] = 0.1
    clusterer = MPCCClusterer(2, random_state=0, **QUICK).fit(X)
    assert adjusted_rand_score(clusterer.labels_, X[:, 1]) == 1
    np.testing.assert_array_equal(clusterer.sample(9)[0][:, 2], 0.1)


def test_data_frames_and_set_output(blobs):
    X = pd.DataFrame(blobs[0], columns=list("abcd"))
    clusterer = MPCCClusterer(3, random_state=0, **BRIEF).set_output(transform="pandas").fit(X)
    np.testing.assert_array_equal(clusterer.feature_names_in_, list("abcd"))
    codes = clusterer.transform(X)
    assert list(codes.columns) == [f"mpccclusterer{j}" for j in range(4)]
    assert list(clusterer.get_feature_names_out()) == list(codes.columns)
    assert codes.index.equals(X.index)
    with pytest.raises(ValueError, match="feature names"):
        clusterer.predict(X[list("dcba")])
    clusterer.fit(X.to_numpy())
    assert not hasattr(clusterer, "feature_names_in_")


@pytest.mark.parametrize(
    ("X", "parameters", "message"),
    [
        (np.array([[1.0, np.nan]] * 9), {}, "NaN"),
        (np.array([[1.0, np.inf]] * 9), {}, "infinity"),
        (images((9, 8, 8)) * np.nan, {}, "NaN"),
        (images((2, 4)), {"n_clusters": 3}, r"n_samples=2 should be >= n_clusters=3"),
        (images((1, 4)), {"n_clusters": 1}, "minimum of 2"),
        (images((9, 4)), {"n_clusters": 0}, "n_clusters"),
        (images((9, 4)), {"preset": "imagenet"}, "preset"),
        (images((9, 4)), {"device": "abacus"}, "device='abacus'"),
        (images((9, 4)), {"device": "mps"}, "device='mps'"),
        (images((9, 4)), {"device": "cuda:99"}, "device='cuda:99'"),
        (images((9, 4)), {"conditioning": "magic"}, "conditioning"),
        (images((9, 4)), {"learning_rate": -1.0}, "learning_rate"),
        (images((9, 4)), {"batch_size": 1}, "batch_size"),
        (images((9, 4)), {"init_params": "views"}, "init_params='views' needs images"),
        (images((9, 8, 8)), {"consistency": "views", "preset": "vectors"}, "consistency='views' needs"),
        (images((9, 4)), {"image_shape": (2, 3)}, "image_shape"),
        (images((9, 4)), {"image_shape": "square"}, "image_shape"),
        (images((9, 4)), {"conditioning": "split", "latent_dim": 2}, "latent_dim=2"),
        (images((9, 4, 4)), {}, "too small"),
        (images((9, 16, 16, 16)), {}, "image_shape"),
        (images(9), {}, "1D array"),
        (np.array([["a", "b"]] * 9), {}, "(?i)string"),
        (np.array(["2020-01-01"] * 18, dtype="datetime64[D]").reshape(9, 2), {}, "dtype"),
        (images((9, 4)) * 1j, {}, "Complex"),
        (scipy.sparse.eye_array(9).tocsr(), {}, "Sparse"),
    ],
)
def test_bad_input_is_named_before_any_training(X, parameters, message, monkeypatch):
    monkeypatch.setattr("skmpcc.runs.train", lambda *_: pytest.fail("trained"))
    clusterer = MPCCClusterer(**{"n_clusters": 2} | parameters)
    before = dict(vars(clusterer))
    with pytest.raises((ValueError, TypeError), match=message):
        clusterer.fit(X)
    assert vars(clusterer) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is here")
def test_cuda_asked_for_and_absent():
    with pytest.raises(ValueError, match="device='cuda'"):
        MPCCClusterer(2, device="cuda").fit(images((9, 4)))


@pytest.mark.parametrize("X", [images((5, 3)), images((5, 4, 1)), images(4)])
def test_wrong_shape_at_predict(fitted, X):
    with pytest.raises(ValueError, match=r"features|dim|1D"):
        fitted.predict(X)


def test_batch_larger_than_the_data(blobs):
    clusterer = MPCCClusterer(2, **BRIEF | {"batch_size": 10_000}).fit(blobs[0])
    assert clusterer.n_iter_ == 3


# ---- reproducibility, state, failure


def test_same_seed_same_result(blobs):
    X = blobs[0]
    first, second = (MPCCClusterer(3, random_state=7, **QUICK).fit(X) for _ in range(2))
    np.testing.assert_array_equal(first.labels_, second.labels_)
    np.testing.assert_array_equal(first.transform(X), second.transform(X))
    np.testing.assert_array_equal(first.sample(9)[0], second.sample(9)[0])
    other = MPCCClusterer(3, random_state=8, **QUICK).fit(X)
    assert not np.array_equal(first.transform(X), other.transform(X))


@pytest.mark.parametrize("random_state", [0, None])
def test_global_random_states_are_untouched(blobs, random_state):
    numpy_before = np.random.get_state()  # noqa: NPY002
    torch_before = torch.get_rng_state()
    clusterer = MPCCClusterer(3, random_state=random_state, **BRIEF).fit(blobs[0])
    clusterer.sample(3)
    clusterer.sample_posterior(blobs[0][:2])
    pickle.loads(pickle.dumps(clusterer))
    assert torch.equal(torch.get_rng_state(), torch_before)
    after = np.random.get_state()  # noqa: NPY002
    assert all(np.array_equal(a, b) for a, b in zip(after, numpy_before, strict=True))


@pytest.mark.parametrize("random_state", [None, np.random.RandomState(0)])
def test_other_random_states_differ_from_call_to_call(blobs, random_state):
    clusterer = MPCCClusterer(3, random_state=random_state, **BRIEF).fit(blobs[0])
    assert not np.array_equal(clusterer.sample(5)[0], clusterer.sample(5)[0])


@pytest.mark.parametrize(
    "copied",
    [lambda e: pickle.loads(pickle.dumps(e)), copy.deepcopy, lambda e: e],
    ids=["pickle", "deepcopy", "itself"],
)
def test_pickle(blobs, fitted, copied):
    X = blobs[0]
    restored = copied(fitted)
    np.testing.assert_array_equal(restored.transform(X), fitted.transform(X))
    np.testing.assert_array_equal(restored.sample(5)[0], fitted.sample(5)[0])
    np.testing.assert_array_equal(restored.predict_proba(X), fitted.predict_proba(X))


def test_joblib(blobs, fitted, tmp_path):
    joblib.dump(fitted, tmp_path / "fitted")
    restored = joblib.load(tmp_path / "fitted")
    np.testing.assert_array_equal(restored.transform(blobs[0]), fitted.transform(blobs[0]))


def test_image_model_pickles():
    X = images((20, 8, 8))
    clusterer = MPCCClusterer(2, random_state=0, **BRIEF).fit(X)
    restored = pickle.loads(pickle.dumps(clusterer))
    np.testing.assert_array_equal(restored.transform(X), clusterer.transform(X))


def test_estimator_fitted_on_cuda_infers_where_there_is_none(blobs, fitted):
    restored = pickle.loads(pickle.dumps(fitted)).set_params(device="cuda:99")
    np.testing.assert_array_equal(restored.predict(blobs[0]), fitted.labels_)


def test_clone(fitted):
    cloned = clone(fitted)
    assert cloned.get_params() == fitted.get_params()
    assert not hasattr(cloned, "labels_")


class Interrupting:
    """A callback that raises at the second entry of the history."""

    def __init__(self, error):
        self.error = error
        self.seen = 0

    def setup(self, estimator, context): ...
    def teardown(self, estimator, context): ...
    def on_fit_task_begin(self, estimator, context): ...
    def on_fit_task_end(self, estimator, context):
        self.seen += 1
        if self.seen == 2:
            raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("out of memory")])
@pytest.mark.parametrize("warm_start", [False, True])
def test_interruption_leaves_the_estimator_as_it_was(blobs, error, warm_start):
    X = blobs[0]
    unfitted = MPCCClusterer(3, random_state=0, warm_start=warm_start, **BRIEF)
    unfitted.set_callbacks(Interrupting(error))
    before = dict(vars(unfitted))
    with pytest.raises(type(error)):
        unfitted.fit(X)
    assert vars(unfitted) == before

    clusterer = MPCCClusterer(3, random_state=0, warm_start=warm_start, **BRIEF).fit(X)
    before, codes = dict(vars(clusterer)), clusterer.transform(X)
    clusterer.set_callbacks(Interrupting(error))
    with pytest.raises(type(error)):
        clusterer.fit(X if warm_start else X[:50, :2])
    clusterer.set_callbacks()
    assert vars(clusterer).keys() == before.keys()
    assert all(value is before[name] for name, value in vars(clusterer).items())
    np.testing.assert_array_equal(clusterer.transform(X), codes)


def test_divergence_is_an_error(blobs):
    clusterer = MPCCClusterer(3, random_state=0, **BRIEF | {"learning_rate": 1e38})
    with pytest.raises(FloatingPointError, match="learning_rate"):
        clusterer.fit(blobs[0])
    assert not hasattr(clusterer, "labels_")


def test_empty_clusters_are_the_last(blobs, monkeypatch):
    """Components that no sample is assigned to move behind the others, in every attribute."""
    X = blobs[0]
    clusterer = MPCCClusterer(6, random_state=0, **QUICK)
    from skmpcc import clusterer as module

    finish = module.finish
    before, every = [], torch.arange(6)

    def with_lost_components(model, *args):
        finish(model, *args)
        with torch.no_grad():
            model.prior.means[[0, 3]] += 1000.0
        before.append((model.prior.means.detach().clone(), model.decode(model.prior.means, every)))

    monkeypatch.setattr(module, "finish", with_lost_components)
    with pytest.warns(ConvergenceWarning, match="of n_clusters=6 clusters have no sample"):
        clusterer.fit(X)
    present = np.unique(clusterer.labels_)
    np.testing.assert_array_equal(present, np.arange(len(present)))
    assert len(present) <= 4
    np.testing.assert_array_equal(clusterer.predict(X), clusterer.labels_)
    far = np.abs(clusterer.means_).max(axis=1) > 500
    assert far.sum() == 2
    assert not far[: len(present)].any()
    # the generator's embeddings moved along: each component decodes as it did under its old number
    ((means, decoded),) = before
    model = clusterer._fitted.model
    order = [int((means == mean).all(dim=1).nonzero()) for mean in model.prior.means]
    assert sorted(order) == list(range(6))
    np.testing.assert_allclose(model.prior.means.detach(), clusterer.means_)
    np.testing.assert_allclose(
        clusterer.cluster_centers_, clusterer._fitted.format.decode(decoded[order]), rtol=1e-6
    )


def test_permuted_clusters_decode_as_before(fitted):
    model = copy.deepcopy(fitted._fitted.model)
    z = torch.randn(5, model.settings.latent_dim, dtype=torch.float64)
    order = torch.tensor([2, 0, 1])
    before = [model.decode(z, torch.full((5,), k)) for k in range(3)]
    means = model.prior.means.detach().clone()
    model.permute_clusters(order)
    for k in range(3):
        torch.testing.assert_close(model.decode(z, torch.full((5,), k)), before[order[k]])
    torch.testing.assert_close(model.prior.means.detach(), means[order])


@pytest.mark.parametrize("start", ["neighbors", "kmeans"])
def test_start_is_found_without_labels_and_let_go(blobs, start):
    X, y = blobs
    parameters = QUICK | {
        "max_iter": 60,
        "init_iter": 30,
        "init_params": start,
        "consistency_weight": 0.0,
    }
    guided = MPCCClusterer(3, random_state=0, **parameters).fit(X)
    assert clustering_accuracy(y, guided.labels_) > 0.95
    with_labels = MPCCClusterer(3, random_state=0, **parameters).fit(X, y)
    np.testing.assert_array_equal(with_labels.transform(X), guided.transform(X))
    random = MPCCClusterer(3, random_state=0, **parameters | {"init_params": "random"}).fit(X)
    assert not np.array_equal(random.transform(X), guided.transform(X))
    assert "consistency" not in guided.history_


def test_consistency_is_in_the_history_where_it_is_asked_for(blobs):
    X = blobs[0]
    clusterer = MPCCClusterer(3, consistency_weight=0.5, **BRIEF).fit(X)
    assert clusterer.history_["consistency"].shape == (3,)
    clusterer.set_params(consistency_weight=0.0).fit(X)
    assert "consistency" not in clusterer.history_


def test_warm_start_goes_on(blobs):
    X = blobs[0]
    cold = MPCCClusterer(3, random_state=0, **BRIEF).fit(X)
    warm = MPCCClusterer(3, random_state=0, warm_start=True, **BRIEF).fit(X)
    np.testing.assert_array_equal(cold.means_, warm.means_)
    first = warm.means_
    warm.set_params(learning_rate=1e-9, prior_learning_rate=1e-9).fit(X)
    np.testing.assert_allclose(np.sort(warm.means_, 0), np.sort(first, 0), atol=1e-5)
    with pytest.raises(ValueError, match="warm_start"):
        warm.set_params(width=16).fit(X)
    with pytest.raises(ValueError, match="warm_start"):
        warm.set_params(width=8, n_clusters=2).fit(X)


def test_n_clusters_1(blobs):
    clusterer = MPCCClusterer(1, random_state=0, **BRIEF).fit(blobs[0])
    assert (clusterer.labels_ == 0).all()
    np.testing.assert_array_equal(clusterer.predict_proba(blobs[0]), 1)


def test_many_clusters():
    """A hundred clusters of images, as in Omniglot."""
    X = images((120, 32, 32), np.uint8)
    clusterer = MPCCClusterer(100, random_state=0, max_iter=2, width=8).fit(X)
    assert clusterer.predict_proba(X).shape == (120, 100)


# ---- beside scikit-learn


def test_callbacks(blobs, capsys):
    X, y = blobs
    monitor = ScoringMonitor(scoring="adjusted_rand_score")
    clusterer = MPCCClusterer(3, random_state=0, **QUICK | {"max_iter": 30})
    clusterer.set_callbacks(ProgressBar(), monitor).fit(X, y)
    scores = [row["adjusted_rand_score"] for row in monitor.get_logs().data]
    assert len(scores) == 31  # every entry of the history, and the end
    assert scores[-1] == adjusted_rand_score(y, clusterer.labels_)
    assert "MPCCClusterer" in capsys.readouterr().out
    # looking on changes nothing, and neither does y
    alone = MPCCClusterer(3, random_state=0, **QUICK | {"max_iter": 30}).fit(X)
    np.testing.assert_array_equal(alone.transform(X), clusterer.transform(X))


class Stopping(Interrupting):
    def on_fit_task_end(self, estimator, context):
        return len(context.parent._children_map) == 4 if context.parent else None


def test_callback_may_stop_the_training(blobs):
    clusterer = MPCCClusterer(3, **BRIEF | {"max_iter": 20}).set_callbacks(Stopping(None))
    assert clusterer.fit(blobs[0]).n_iter_ == 4


def test_verbose(blobs, capsys):
    MPCCClusterer(3, verbose=1, **BRIEF).fit(blobs[0])
    out = capsys.readouterr().out
    assert "Initialization 0" in out
    assert "  Iteration 3\n" in out
    MPCCClusterer(3, verbose=2, **BRIEF).fit(blobs[0])
    assert "time lapse" in capsys.readouterr().out
    MPCCClusterer(3, **BRIEF).fit(blobs[0])
    assert capsys.readouterr().out == ""


def test_pipeline(blobs):
    X, y = blobs
    pipeline = make_pipeline(StandardScaler(), PCA(3), MPCCClusterer(3, random_state=0, **QUICK)).fit(X)
    assert adjusted_rand_score(y, pipeline.predict(X)) > 0.8
    assert pipeline.transform(X).shape[0] == 200
    assert np.isfinite(pipeline.score(X))


@pytest.mark.parametrize("scoring", ["adjusted_rand_score", None])
def test_grid_search(blobs, scoring):
    X, y = blobs
    quick = MPCCClusterer(random_state=0, **QUICK | {"max_iter": 60})
    monitor = ScoringMonitor(scoring="adjusted_rand_score")
    search = GridSearchCV(
        quick.set_callbacks(monitor), {"n_clusters": [2, 3]}, scoring=scoring, cv=2, n_jobs=2
    )
    search.set_callbacks(ProgressBar())
    search.fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert monitor.get_logs()
    if scoring:
        assert search.best_params_ == {"n_clusters": 3}
    assert search.predict(X).shape == (200,)


def test_cross_validation(blobs):
    X, y = blobs
    scores = cross_validate(
        MPCCClusterer(3, random_state=0, **QUICK), X, y, scoring="normalized_mutual_info_score"
    )
    assert scores["test_score"].min() > 0.5


def test_fit_predict_and_fit_transform(blobs):
    X = blobs[0]
    fitted = MPCCClusterer(3, random_state=0, **BRIEF).fit(X)
    again = MPCCClusterer(3, random_state=0, **BRIEF)
    np.testing.assert_array_equal(again.fit_predict(X), fitted.labels_)
    np.testing.assert_array_equal(again.fit_transform(X), fitted.transform(X))


def test_no_warning_by_itself(blobs):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MPCCClusterer(2, random_state=0, **QUICK).fit(blobs[0]).predict(blobs[0])


# ---- several initializations


def test_best_of_several_initializations_is_the_one_of_the_highest_score(blobs):
    X = blobs[0]
    parameters = BRIEF | {"max_iter": 20}
    best = MPCCClusterer(3, n_init=4, random_state=0, **parameters).fit(X)
    first = MPCCClusterer(3, random_state=0, **parameters).fit(X)
    again = MPCCClusterer(3, n_init=4, random_state=0, **parameters).fit(X)
    np.testing.assert_array_equal(best.means_, again.means_)
    assert best.score(X) >= first.score(X)
    single = []
    seeds = np.random.RandomState(0).randint(np.iinfo(np.int32).max, size=(4, 4))

    class Given(np.random.RandomState):
        def randint(self, *args, **kwargs):
            return self.drawn

    for row in seeds:
        state = Given(0)
        state.drawn = row[None]
        single.append(MPCCClusterer(3, random_state=state, **parameters).fit(X).score(X))
    assert len(set(single)) == 4
    np.testing.assert_allclose(best.score(X), max(single))


def test_initializations_side_by_side_are_the_same(blobs):
    X = blobs[0]
    one = MPCCClusterer(3, n_init=3, random_state=0, **BRIEF).fit(X)
    two = MPCCClusterer(3, n_init=3, n_jobs=2, random_state=0, **BRIEF).fit(X)
    # processes with another number of threads round differently
    np.testing.assert_allclose(one.means_, two.means_, atol=1e-4)
    np.testing.assert_array_equal(two.labels_, two.predict(X))


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_diverging_initialization_leaves_the_others(blobs, monkeypatch, n_jobs):
    from skmpcc import clusterer as module

    X = blobs[0]
    runs = module.MPCCClusterer._runs

    def with_a_bad_one(*args):
        for index, run in enumerate(runs(*args)):
            if index != 1:
                error = DivergedError("The training diverged")
                run = dataclasses.replace(run, outcome=error)
            yield run

    monkeypatch.setattr(module.MPCCClusterer, "_runs", with_a_bad_one)
    fitted = MPCCClusterer(3, n_init=3, n_jobs=n_jobs, random_state=0, **BRIEF).fit(X)
    assert fitted.labels_.shape == (len(X),)
    with pytest.raises(FloatingPointError, match="diverged"):
        MPCCClusterer(3, n_init=1, random_state=0, **BRIEF).fit(X)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_callbacks_hear_of_every_initialization(blobs, n_jobs, capsys):
    X, y = blobs
    scoring = ScoringMonitor(scoring="adjusted_rand_score")
    clusterer = MPCCClusterer(3, n_init=2, n_jobs=n_jobs, random_state=0, verbose=1, **BRIEF)
    clusterer.set_callbacks(scoring).fit(X, y)
    out = capsys.readouterr().out
    assert "Initialization 0 ended" in out
    assert "Initialization 1 ended" in out
    assert len(clusterer.history_["iteration"]) == 3


def test_a_fit_that_goes_on_has_one_initialization(blobs):
    X = blobs[0]
    warm = MPCCClusterer(3, n_init=3, random_state=0, warm_start=True, **BRIEF).fit(X)
    means = warm.means_
    warm.set_params(learning_rate=1e-9, prior_learning_rate=1e-9).fit(X)
    np.testing.assert_allclose(np.sort(warm.means_, 0), np.sort(means, 0), atol=1e-5)
