"""VaDEClusterer: what a user sees of it. Its losses and training are tested in tests/method."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import scale
from support import images

from skmpcc import MPCCClusterer, VaDEClusterer
from skmpcc.presets import PRESETS
from skmpcc.settings import settings_of
from skmpcc.variational_presets import VARIATIONAL_PRESETS, VariationalPreset

BRIEF = {"latent_dim": 4, "width": 8, "max_iter": 6, "pseudo_labels": "kmeans", "random_state": 0}


@pytest.fixture(scope="module")
def fitted(blobs):
    return VaDEClusterer(3, width=32, max_iter=300, random_state=0).fit(blobs[0])


def test_labels_are_the_blobs(fitted, blobs):
    X, y = blobs
    assert adjusted_rand_score(y, fitted.labels_) == 1
    assert_array_equal(fitted.labels_, fitted.pseudo_labels_)
    assert_array_equal(fitted.predict(X), fitted.labels_)
    memberships = fitted.predict_proba(X)
    np.testing.assert_allclose(memberships.sum(1), 1)
    assert_array_equal(memberships.argmax(1), fitted.labels_)
    # Of clusters that are well apart there is no doubt.
    assert memberships.max(1).min() > 0.9


def test_reconstructions_and_samples_are_like_the_data(fitted, blobs):
    X = blobs[0]
    lost = np.square(fitted.reconstruct(X) - X).sum() / np.square(X - X.mean(0)).sum()
    assert lost < 0.08
    new, y = fitted.sample(600)
    assert_array_equal(np.unique(y), [0, 1, 2])
    assert np.mean(fitted.predict(new) == y) > 0.98
    for cluster in range(3):
        own, drawn = X[fitted.labels_ == cluster], fitted.sample(300, cluster=cluster)[0]
        assert np.all(np.abs(own.mean(0) - drawn.mean(0)) < 0.5 * own.std(0))
        # Means of p(x | z) vary less than what they are means of.
        assert np.all((drawn.std(0) / own.std(0) > 0.2) & (drawn.std(0) / own.std(0) < 1.3))


def test_codes_decode_alike_in_every_cluster(fitted, blobs):
    """x depends on its code alone."""
    Z = fitted.transform(blobs[0])
    by_cluster = [fitted.inverse_transform(Z, labels=cluster) for cluster in range(3)]
    assert_array_equal(by_cluster[0], by_cluster[2])
    assert_array_equal(by_cluster[0], fitted.inverse_transform(Z))
    assert fitted.cluster_centers_.shape == (3, 4)


def test_scores_are_low_for_what_is_unlike_the_data(fitted, blobs):
    X = blobs[0]
    far = X.mean(0) + 3 * (X - X.mean(0))
    for by in ("density", "information", "reconstruction", "both"):
        own = np.median(fitted.score_samples(X, by=by))
        assert np.median(fitted.score_samples(far, by=by)) < own


@pytest.mark.full_pseudo_labels
def test_labels_of_real_tables_stay_those_of_the_search():
    X, y = load_iris(return_X_y=True)
    clusterer = VaDEClusterer(3, max_iter=200, random_state=0).fit(scale(X))
    assert np.mean(clusterer.labels_ == clusterer.pseudo_labels_) > 0.98
    assert adjusted_rand_score(y, clusterer.labels_) > 0.85


def test_from_a_random_start_it_finds_blobs_too(blobs):
    found = [
        VaDEClusterer(3, pseudo_labels=None, width=32, max_iter=400, random_state=seed).fit(blobs[0])
        for seed in range(3)
    ]
    assert found[0].pseudo_labels_ is None
    assert max(adjusted_rand_score(blobs[1], each.labels_) for each in found) > 0.5


@pytest.mark.parametrize("shape", [(40, 5), (24, 9, 8)])
def test_saved_estimators_come_back(shape, tmp_path):
    X = images(shape)
    clusterer = VaDEClusterer(2, **BRIEF).fit(X)
    clusterer.save(tmp_path / "vade")
    for again in (VaDEClusterer.load(tmp_path / "vade"), pickle.loads(pickle.dumps(clusterer))):
        for name in ("predict_proba", "transform", "reconstruct", "score_samples"):
            assert_array_equal(getattr(again, name)(X), getattr(clusterer, name)(X))
        assert again.settings_ == clusterer.settings_
    with pytest.raises(ValueError, match="it holds an estimator of the class VaDEClusterer"):
        MPCCClusterer.load(tmp_path / "vade")


def test_warm_start_goes_on(blobs):
    X = blobs[0]
    clusterer = VaDEClusterer(3, warm_start=True, **BRIEF | {"max_iter": 60, "width": 32}).fit(X)
    before = clusterer.history_["reconstruction"][-1]
    clusterer.fit(X)
    assert clusterer.history_["reconstruction"][-1] < before
    with pytest.raises(ValueError, match="latent_dim=5 instead of 4"):
        clone(clusterer).fit(X).set_params(latent_dim=5).fit(X)


def test_several_initializations(blobs):
    clusterer = VaDEClusterer(3, n_init=2, **BRIEF).fit(blobs[0])
    assert np.isfinite(clusterer.score(blobs[0]))


def test_labels_only_takes_fewer_iterations(blobs):
    X, y = blobs
    clusterer = VaDEClusterer(3, labels_only=True, random_state=0).fit(X)
    assert clusterer.n_iter_ <= VARIATIONAL_PRESETS["vectors"].labels_only_max_iter
    assert adjusted_rand_score(y, clusterer.labels_) == 1


def test_rows_of_pixels_are_images_beside_image_shape():
    X = load_digits().data[:60]
    clusterer = VaDEClusterer(2, image_shape=(8, 8), **BRIEF).fit(X)
    assert clusterer.preset_ == "images_tiny"
    assert clusterer.sample(3)[0].shape == (3, 64)
    with pytest.warns(UserWarning, match="preset='images' is meant for images, but X is a table"):
        VaDEClusterer(2, preset="images", **BRIEF).fit(X)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"preset": "grey"}, "preset"),
        ({"preset": PRESETS["vectors"]}, "preset"),
        ({"preset_params": {"discriminator_steps": 2}}, "preset_params has 'discriminator_steps'"),
        ({"pseudo_labels": "augmentation"}, "needs images"),
        ({"preset_params": {"restriction": "mmd"}}, "restriction='mmd' compares codes with N"),
        ({"n_clusters": 0}, "n_clusters"),
    ],
)
def test_bad_parameters_are_errors_before_training(blobs, parameters, message, monkeypatch):
    monkeypatch.setattr("skmpcc.training.initialization.train", lambda *_: pytest.fail("training began"))
    with pytest.raises(ValueError, match=message):
        VaDEClusterer(**{"n_clusters": 3} | parameters).fit(blobs[0])


def test_it_has_the_clusterers_face():
    own, other = VaDEClusterer.__doc__.split("Other Parameters\n    ----")
    assert VaDEClusterer().get_params().keys() == MPCCClusterer().get_params().keys()
    for name in VaDEClusterer().get_params():
        assert f"\n    {name} : " in own
    for name in set(settings_of(VariationalPreset)) - set(VaDEClusterer().get_params()):
        assert f"\n    {name} : " in other
    assert "discriminator_steps" not in VaDEClusterer.__doc__
    assert "skmpcc.presets" not in VaDEClusterer.__doc__
