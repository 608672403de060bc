import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import softmax
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score, silhouette_score
from sklearn.metrics.cluster import contingency_matrix
from sklearn.neighbors import kneighbors_graph
from support import BRIEF, QUICK, images

from skmpcc import MPCCClusterer
from skmpcc.metrics import clustering_accuracy
from skmpcc.pseudo_labels.augmentation import random_affine

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


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
    assert fitted.preset_ == "vectors_small"
    np.testing.assert_array_equal(fitted.labels_, fitted.predict(X))


def test_history(fitted):
    history = fitted.history_
    assert type(history) is dict
    assert {"iteration", "discriminator", "generator", "latent", "cluster", "prior_entropy"} < set(
        history
    )
    assert {"mean_std", "mean_norm"} < set(history)
    np.testing.assert_array_equal(history["iteration"], [*range(8, 100, 8), 100])
    assert all(np.isfinite(values).all() for values in history.values())


@pytest.mark.full_history
def test_history_interval(blobs):
    history = MPCCClusterer(3, **BRIEF | {"max_iter": 250}).fit(blobs[0]).history_
    np.testing.assert_array_equal(history["iteration"], [*range(8, 250, 8), 250])


@pytest.mark.full_history
@pytest.mark.parametrize("labels_only", [False, True])
def test_labels_only_ends_when_memberships_have_settled(blobs, labels_only):
    # Every change of memberships is below tol, and none of the generative half is below its own.
    params = {"n_iter_no_change": 4, "reseed": False, "generation_tol": 0.0, "learning_rate_decay": 0.3}
    clusterer = MPCCClusterer(
        3,
        labels_only=labels_only,
        **BRIEF | {"max_iter": 20, "tol": 1.5, "preset_params": params},
    ).fit(blobs[0])
    assert clusterer.converged_ is labels_only
    assert clusterer.n_iter_ == (13 if labels_only else 20)
    assert "reconstruction" in clusterer.history_
    assert "generation_change" in clusterer.history_


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
    np.testing.assert_array_equal(fitted.predict(X), memberships.argmax(1))
    # And of x given z, around its reconstruction, in the networks' units.
    residuals = (X - fitted.reconstruct(X)) / fitted._fitted.format.scale
    log_density += stats.norm(scale=np.sqrt(np.square(residuals).mean(0))).logpdf(residuals).sum(1)
    np.testing.assert_allclose(fitted.score_samples(X), log_density, rtol=1e-4)


def test_score_samples_is_low_for_samples_unlike_the_data(blobs, fitted):
    X = blobs[0]
    known = np.median(fitted.score_samples(X))
    assert np.all(fitted.score_samples(X[:20] + 50.0 * X.std(0)) < known)
    shuffled = np.random.default_rng(0).permuted(X, axis=0)
    scores = np.append(fitted.score_samples(X), fitted.score_samples(shuffled))
    assert roc_auc_score(np.repeat([1, 0], len(X)), scores) > 0.87  # 0.91, and 0.83 by codes alone


def test_three_variances_in_a_fit(blobs):
    """Of the authors' code: samples are drawn with wider components than memberships are taken with."""
    params = {"std_floor": "code", "min_std": 0.5, "averaged_encoder": False}
    fitted = MPCCClusterer(3, **BRIEF, preset_params=params, random_state=0).fit(blobs[0])
    free = np.sqrt(fitted.covariances_) - 0.5
    codes = fitted.transform(blobs[0])[:, None]
    density = stats.norm(fitted.means_, np.sqrt(free**2 + 0.25)).logpdf(codes).sum(2)
    np.testing.assert_allclose(fitted.predict_proba(blobs[0]), softmax(density, axis=1), atol=1e-9)


def test_score_of_a_table_is_the_quality_of_its_clusters(blobs, fitted):
    """By its definition."""
    X, labels = blobs[0], fitted.labels_
    lost = []
    for n_neighbors in (5, 10, 15):
        edges = kneighbors_graph(X, n_neighbors).toarray()
        own, other = (labels[ends] for ends in np.nonzero(edges * edges.T))
        pairs = contingency_matrix(own, other)
        of_own = stats.entropy(pairs.sum(axis=1))
        lost.append(stats.entropy(pairs, axis=None) / of_own - 1.0)
    entropy = stats.entropy(np.bincount(labels))
    scaled = fitted._fitted.format.encode_all(X).numpy()
    density = [
        np.log(np.mean(labels == k))
        + stats.multivariate_normal(members.mean(0), np.cov(members.T)).logpdf(x)
        for k in range(3)
        for members in [scaled[labels == k]]
        for x in members
    ]
    told = -np.log(np.array(lost) + 0.03).mean()
    expected = told + 1.8 * np.log(entropy / np.log(3)) + 0.3 * np.mean(density)
    np.testing.assert_allclose(fitted.score(X), expected, atol=0.1)
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
    # About as near as the reconstructions, and half as far as from samples of other clusters.
    X, y = blobs
    drawn = fitted.sample_posterior(X, 5)

    def distance(other):
        return np.linalg.norm(drawn - other[:, None], axis=-1).mean()

    assert distance(X) < 1.2 * np.linalg.norm(fitted.reconstruct(X) - X, axis=-1).mean()
    order = np.argsort(y, kind="stable")
    others = np.empty_like(X)
    others[order] = X[np.roll(order, len(X) // 3)]
    assert distance(X) < 0.5 * distance(others)
    assert np.mean(fitted.predict(drawn.reshape(-1, 4)) == np.repeat(fitted.labels_, 5)) > 0.8


def test_inference_does_not_depend_on_the_batch(blobs, fitted, monkeypatch):
    X = blobs[0]
    whole = fitted.transform(X)
    monkeypatch.setattr("skmpcc.fitted.model._BATCH_VALUES", 32 * 20)
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


@pytest.mark.parametrize("preset", ["mnist", "fashion_mnist", "cifar10"])
def test_image_preset_on_a_table_says_so(blobs, preset):
    X = blobs[0]
    with pytest.warns(UserWarning, match="image_shape"):
        clusterer = MPCCClusterer(2, preset=preset, **BRIEF | {"latent_dim": 8}).fit(X)
    assert clusterer._fitted.model.sample_shape == (4,)
    assert clusterer.reconstruct(X).shape == X.shape


def test_image_preset_on_a_table_looks_at_neighbors(blobs):
    """Rows have no augmented views."""
    parameters = {"max_iter": 3, "width": 8, "tol": 0.0, "random_state": 0}
    with pytest.warns(UserWarning, match="image_shape"):
        given = MPCCClusterer(3, preset="grey", **parameters).fit(blobs[0])
    parameters |= {"pseudo_labels": "search", "preset_params": {"consistency": "neighbors"}}
    with pytest.warns(UserWarning, match="image_shape"):
        explicit = MPCCClusterer(3, preset="grey", **parameters).fit(blobs[0])
    np.testing.assert_array_equal(given.means_, explicit.means_)


def test_score_of_images_is_the_mutual_information_of_views_clusters():
    X = load_digits().images[:200]
    clusterer = MPCCClusterer(4, random_state=0, **QUICK | {"max_iter": 40, "width": 16}).fit(X)
    fitted = clusterer._fitted
    views = random_affine(fitted.format.encode_all(X), torch.Generator().manual_seed(0))
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
    X = load_digits().images[:100]
    parameters = BRIEF | {"max_iter": 5}
    best = MPCCClusterer(3, n_init=3, random_state=2, **parameters).fit(X)
    # One stream of seeds, of which three fits take what one of three initializations takes.
    state = np.random.RandomState(2)
    scores = [MPCCClusterer(3, random_state=state, **parameters).fit(X).score(X) for _ in range(3)]
    assert scores[0] < max(scores) > scores[-1]  # so that neither the first nor the last would do
    np.testing.assert_allclose(best.score(X), max(scores))


def test_paper_preset_on_images():
    """A fit runs by what the paper says, and has nothing that it does not have."""
    X = images((60, 28, 28), np.uint8)
    clusterer = MPCCClusterer(5, preset="mnist", max_iter=2, width=8, random_state=0).fit(X)
    assert clusterer.preset_ == "mnist"
    assert clusterer.means_.shape == (5, 24)
    # All learns from generated samples alone.
    assert clusterer.pseudo_labels_ is None
    assert {"consistency", "reconstruction"}.isdisjoint(clusterer.history_)
    wanted = {"learning_rate": 2e-4, "prior_learning_rate": 1.6e-3, "batch_size": 50}
    wanted |= {"discriminator_steps": 4, "encoder_steps": 4, "prior_entropy_weight": 0.01}
    wanted |= {"min_std": 0.5, "averaged_encoder": False, "conditioning": "embedding"}
    assert {name: clusterer.settings_[name] for name in wanted} == wanted
    model = clusterer._fitted.model
    assert model.serving_encoder is model.encoder
    # Adam moves a mean by about its rate in each of the eight steps of four phases at most, and does.
    moved = np.abs(
        clusterer.means_
        - MPCCClusterer(5, preset="mnist", max_iter=1, width=8, random_state=0).fit(X).means_
    ).max()
    assert 0 < moved < 0.1
    assert clusterer.reconstruct(X).shape == X.shape
