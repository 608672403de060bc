"""VAE: what a user sees of it. Its losses and training are tested in tests/method."""

import copy
import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.datasets import load_digits, load_wine, make_blobs
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import scale
from support import Interrupting, images

from skmpcc import VAE
from skmpcc.settings import settings_of
from skmpcc.variational_presets import OF_CLUSTERS, VARIATIONAL_PRESETS, VariationalPreset

BRIEF = {"latent_dim": 3, "width": 8, "max_iter": 4, "random_state": 0}
RESTRICTIONS = ["posterior", "wasserstein", "mmd"]


@pytest.fixture(scope="module")
def fitted(blobs):
    return VAE(2, width=32, max_iter=400, random_state=0).fit(blobs[0])


@pytest.fixture(scope="module", params=RESTRICTIONS)
def each(request, blobs):
    """One of each restriction."""
    parameters = {"width": 32, "max_iter": 400, "random_state": 0}
    return VAE(2, restriction=request.param, **parameters).fit(blobs[0])


def test_reconstructions_keep_most_of_a_table(each, blobs):
    """Linear codes lose 0.035; "posterior" pays for the information in its codes."""
    X = blobs[0]
    lost = np.square(each.reconstruct(X) - X).sum() / np.square(X - X.mean(0)).sum()
    assert lost < (0.07 if each.restriction == "posterior" else 0.04)


def test_codes_of_moments_have_those_of_the_prior(each):
    mean, covariance = each.code_mean_, each.code_covariance_
    assert mean.shape == (2,)
    assert covariance.shape == (2, 2)
    if each.restriction == "wasserstein":
        assert np.all(np.abs(mean) < 0.1)
        assert np.all(np.abs(np.linalg.eigvalsh(covariance) - 1) < 0.1)
    assert np.all(np.abs(mean) < 0.5)
    assert np.all(np.linalg.eigvalsh(covariance) > 0.3)


def test_samples_are_like_the_data(each, blobs):
    X, new = blobs[0], each.sample(1000)
    assert new.shape == (1000, 4)
    assert np.all(np.abs(new.mean(0) - X.mean(0)) < 0.3 * X.std(0))
    assert np.all(np.abs(new.std(0) / X.std(0) - 1) < 0.3)
    assert_array_equal(new, each.sample(1000))


def test_score_is_a_bound_that_chooses_latent_dimensions():
    """Of rows that two numbers make up the bound rises up to two dimensions, and no further."""
    rng = np.random.default_rng(0)
    X = np.tanh(rng.normal(size=(600, 2)) @ rng.normal(size=(2, 6))) + 0.05 * rng.normal(size=(600, 6))
    search = GridSearchCV(
        VAE(width=32, max_iter=200, random_state=0), {"latent_dim": [1, 2, 4]}, cv=2
    ).fit(X)
    one, two, four = search.cv_results_["mean_test_score"]
    assert two > one + 1
    assert abs(four - two) < 0.3 * (two - one)


def test_score_is_below_the_likelihood_where_that_is_known():
    """Of Gaussian rows, whose density is known; the bound is in units that are scaled by one number."""
    rng = np.random.default_rng(0)
    W = rng.normal(size=(2, 5))
    X = rng.normal(size=(2000, 2)) @ W + 0.3 * rng.normal(size=(2000, 5))
    vae = VAE(2, width=32, max_iter=800, random_state=0).fit(X)
    units = vae._fitted.format.scale
    covariance = (W.T @ W + 0.09 * np.eye(5)) / np.outer(units, units)
    _, log_determinant = np.linalg.slogdet(covariance)
    exact = -0.5 * (5 * (1 + math.log(2 * math.pi)) + log_determinant)
    assert exact - 1.0 < vae.score(X) < exact + 0.05
    assert vae.score(X) == vae.score(X)


def test_score_samples_is_low_for_what_is_unlike_the_data(fitted, blobs):
    X = blobs[0]
    far = X.mean(0) + 4 * (X - X.mean(0))
    shuffled = np.random.default_rng(0).permuted(X, axis=0)
    for strange, least in ((far, 0.98), (shuffled, 0.75)):
        scores = np.append(fitted.score_samples(X), fitted.score_samples(strange))
        assert roc_auc_score(np.repeat([1, 0], len(X)), scores) > least


def test_reconstruct_is_decoding_of_codes(fitted, blobs):
    X = blobs[0]
    codes = fitted.transform(X)
    np.testing.assert_allclose(fitted.inverse_transform(codes), fitted.reconstruct(X), atol=1e-10)
    assert fitted.sample_posterior(X[:5], 3).shape == (5, 3, 4)


@pytest.mark.parametrize("restriction", RESTRICTIONS)
def test_images(restriction):
    X = images((20, 9, 8, 3), np.uint8)
    vae = VAE(restriction=restriction, **BRIEF).fit(X)
    assert vae.preset_ == "images_tiny"
    assert vae.transform(X).shape == (20, 3)
    for made in (vae.reconstruct(X), vae.sample(20), vae.inverse_transform(vae.transform(X))):
        assert made.shape == X.shape
        assert 0 <= made.min() <= made.max() <= 255
    assert np.isfinite(vae.score_samples(X)).all()
    assert np.isfinite(vae.score(X))
    again = pickle.loads(pickle.dumps(vae))
    assert_array_equal(again.reconstruct(X), vae.reconstruct(X))


def test_rows_of_pixels_are_images_beside_image_shape():
    X = load_digits().data[:50]
    vae = VAE(image_shape=(8, 8), **BRIEF).fit(X)
    assert vae.preset_ == "images_tiny"
    assert vae.sample(2).shape == (2, 64)
    assert VAE(preset="vectors", **BRIEF).fit(load_digits().images[:50]).sample().shape == (1, 8, 8)


def test_a_table_is_reconstructed_with_its_details():
    X = scale(load_wine().data)
    vae = VAE(random_state=0).fit(X)
    assert np.square(vae.reconstruct(X) - X).sum() < 0.1 * np.square(X).sum()
    assert vae.preset_ == "vectors"


@pytest.mark.parametrize("parameters", [{}, {"restriction": "mmd"}])
def test_saved_estimators_come_back(parameters, tmp_path, blobs):
    vae = VAE(**BRIEF | parameters).fit(blobs[0])
    vae.save(tmp_path / "vae.safetensors")
    for again in (VAE.load(tmp_path / "vae.safetensors"), copy.deepcopy(vae)):
        assert again.get_params() == vae.get_params()
        for name in ("transform", "score_samples", "score", "reconstruct"):
            assert_array_equal(getattr(again, name)(blobs[0]), getattr(vae, name)(blobs[0]))
        assert_array_equal(again.sample(3), vae.sample(3))
        assert_array_equal(again.code_covariance_, vae.code_covariance_)


def test_an_interruption_leaves_an_unfitted_estimator(blobs):
    vae = VAE(**BRIEF)
    vae.set_callbacks(Interrupting(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        vae.fit(blobs[0])
    with pytest.raises(NotFittedError):
        vae.transform(blobs[0])


def test_training_stops_when_reconstructions_settle(blobs):
    settings = BRIEF | {"max_iter": 400, "width": 16, "tol": 10.0}
    params = {"n_iter_no_change": 2, "learning_rate_decay": 0.3}
    vae = VAE(preset_params=params, **settings).fit(blobs[0])
    assert vae.converged_
    assert vae.n_iter_ < 400
    with pytest.warns(ConvergenceWarning, match=r"had not converged after max_iter=4 .* tol is 1e-09"):
        VAE(tol=1e-9, **BRIEF).fit(blobs[0])


def test_history_and_settings(fitted, each):
    assert set(fitted.history_) == {
        "iteration",
        "reconstruction",
        "divergence",
        "clipped_steps",
        "generation_change",
    }
    reconstruction = fitted.history_["reconstruction"]
    assert reconstruction[-1] < 0.2 * reconstruction[0]
    weights = {"posterior": 1.0, "wasserstein": 50.0, "mmd": 1000.0}
    assert "pseudo_labels" not in each.settings_
    assert each.settings_["restriction_weight"] == weights[each.restriction]


def test_a_heavy_restriction_collapses_and_is_warned_of(blobs):
    vae = VAE(2, restriction_weight=1e3, width=16, max_iter=100, random_state=0)
    with pytest.warns(ConvergenceWarning, match="the posterior has collapsed"):
        vae.fit(blobs[0])
    assert np.isfinite(vae.reconstruct(blobs[0])).all()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"latent_dim": 0}, "latent_dim"),
        ({"restriction": "jeffreys"}, "restriction"),
        ({"restriction_weight": -1.0}, "restriction_weight"),
        ({"preset": "grey"}, "preset"),
        ({"preset": "images"}, "preset='images' is not for tables"),
        ({"preset_params": {"discriminator_steps": 3}}, "preset_params has 'discriminator_steps'"),
        ({"preset_params": {"pseudo_labels": "search"}}, "'pseudo_labels', which is for clusters"),
        ({"preset_params": {"width": 8}, "width": 8}, "preset_params has 'width', which the parameter"),
        ({"restriction": "mmd", "latent_dim": 101}, r"takes 2 \* latent_dim=202 rows, but .* 128"),
        ({"image_shape": (3, 3)}, "image_shape"),
        ({"device": "tpu0"}, "device"),
    ],
)
def test_bad_parameters_are_errors_before_training(blobs, parameters, message, monkeypatch):
    monkeypatch.setattr("skmpcc.training.initialization.train", lambda *_: pytest.fail("training began"))
    with pytest.raises(ValueError, match=message):
        VAE(**{"random_state": 0} | parameters).fit(blobs[0])


def test_presets():
    for name, preset in VARIATIONAL_PRESETS.items():
        assert preset.name == name
        assert preset.without_clusters().pseudo_labels is None
    own = replace(VARIATIONAL_PRESETS["vectors"], name="own", width=8, max_iter=4)
    assert VAE(2, preset=own).fit(np.eye(5)).preset_ == "own"


def test_every_parameter_is_documented():
    own, other = VAE.__doc__.split("Other Parameters\n    ----")
    for name in VAE().get_params():
        assert f"\n    {name} : " in own
    for name in set(settings_of(VariationalPreset)) - set(VAE().get_params()):
        assert (f"\n    {name} : " in other) == (name not in OF_CLUSTERS), name
    assert "{" + "rate}" not in VAE.__doc__


def test_few_and_constant_samples():
    X = make_blobs(2, 3, random_state=0)[0]
    assert VAE(**BRIEF).fit(X).sample(3).shape == (3, 3)
    assert np.isfinite(VAE(**BRIEF).fit(np.ones((5, 3))).reconstruct(np.ones((5, 3)))).all()
