import copy
import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.datasets import load_digits, make_blobs
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from support import Interrupting, images

from skmpcc import AIM
from skmpcc.aim_presets import AIM_PRESETS, AIMPreset
from skmpcc.settings import settings_of

BRIEF = {"latent_dim": 3, "width": 8, "max_iter": 4, "random_state": 0}


@pytest.fixture(scope="module")
def fitted(blobs):
    return AIM(2, width=64, max_iter=600, learning_rate=2e-3, random_state=0).fit(blobs[0])


def test_reconstructions_keep_most_of_a_table(fitted, blobs):
    """Nearly as well as as many linear codes, which lose 0.035; codes that are drawn lose 0.15."""
    X = blobs[0]
    error = np.square(fitted.reconstruct(X) - X).sum()
    assert error < 0.13 * np.square(X - X.mean(0)).sum()


def test_codes_are_about_standard_normal(fitted, blobs):
    Z = fitted.transform(blobs[0])
    assert np.all(np.abs(Z.mean(0)) < 0.6)
    assert np.all((Z.std(0) > 0.5) & (Z.std(0) < 1.6))


def test_samples_are_like_the_data(fitted, blobs):
    X, new = blobs[0], fitted.sample(1000)
    assert new.shape == (1000, 4)
    assert np.all(np.abs(new.mean(0) - X.mean(0)) < 0.2 * X.std(0))
    assert np.all(np.abs(new.std(0) / X.std(0) - 1) < 0.2)
    # Columns belong together as in the data, and every blob has new samples.
    assert np.abs(np.corrcoef(new.T) - np.corrcoef(X.T)).max() < 0.45
    centres = np.stack([X[blobs[1] == k].mean(0) for k in range(3)])
    nearest = np.square(new[:, None] - centres).sum(2).argmin(1)
    assert np.bincount(nearest, minlength=3).min() > 200
    assert_array_equal(new, fitted.sample(1000))


def test_sample_posterior_stays_near(fitted, blobs):
    X = blobs[0]
    near = fitted.sample_posterior(X, 5)
    assert near.shape == (200, 5, 4)
    total = np.square(X - X.mean(0)).sum(1).mean()
    error = np.square(fitted.reconstruct(X) - X).sum(1).mean()
    assert 1.1 * error < np.square(near - X[:, None]).sum(2).mean() < 0.25 * total


def test_score_samples_is_low_for_what_is_unlike_the_data(fitted, blobs):
    X = blobs[0]
    far = X.mean(0) + 4 * (X - X.mean(0))
    shuffled = np.random.default_rng(0).permuted(X, axis=0)
    for strange, least in ((far, 0.98), (shuffled, 0.8)):
        scores = np.append(fitted.score_samples(X), fitted.score_samples(strange))
        assert roc_auc_score(np.repeat([1, 0], len(X)), scores) > least


def test_reconstruct_is_decoding_of_codes(fitted, blobs):
    X = blobs[0]
    np.testing.assert_allclose(
        fitted.inverse_transform(fitted.transform(X)), fitted.reconstruct(X), atol=1e-10
    )
    with pytest.raises(ValueError, match="Z has 3 columns, but the latent space has 2"):
        fitted.inverse_transform(np.zeros((2, 3)))


@pytest.mark.parametrize("preset", ["images", "mnist", "cifar10"])
@pytest.mark.parametrize("covariance", ["diagonal", "identity"])
def test_images(preset, covariance):
    X = images((20, 9, 8, 3), np.uint8)
    aim = AIM(preset=preset, covariance=covariance, preset_params={"batch_size": 10}, **BRIEF).fit(X)
    assert aim.transform(X).shape == (20, 3)
    for made in (aim.reconstruct(X), aim.sample(20), aim.inverse_transform(aim.transform(X))):
        assert made.shape == X.shape
        assert 0 <= made.min() <= made.max() <= 255
    assert aim.sample_posterior(X[:3], 2).shape == (3, 2, 9, 8, 3)
    assert np.isfinite(aim.score_samples(X)).all()
    assert aim.preset_ == preset
    again = pickle.loads(pickle.dumps(aim))
    assert_array_equal(again.reconstruct(X), aim.reconstruct(X))


def test_rows_of_pixels_are_images_beside_image_shape():
    X = load_digits().data[:50]
    aim = AIM(image_shape=(8, 8), **BRIEF).fit(X)
    assert aim.preset_ == "images"
    assert aim.sample(2).shape == (2, 64)
    assert AIM(preset="vectors", **BRIEF).fit(load_digits().images[:50]).sample().shape == (1, 8, 8)


def test_identity_covariance_draws_by_the_unit_normal(blobs):
    X = blobs[0]
    aim = AIM(covariance="identity", **BRIEF).fit(X)
    log_variance = aim._fitted.model.encode(torch.zeros(2, 4, dtype=torch.float64))[1]
    assert not log_variance.any()
    learned = AIM(**BRIEF).fit(X)
    assert not np.array_equal(aim.transform(X), learned.transform(X))


def test_same_seed_same_result(blobs):
    X = blobs[0]
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    first, second = (AIM(**BRIEF).fit(X) for _ in range(2))
    assert_array_equal(first.transform(X), second.transform(X))
    assert_array_equal(first.sample_posterior(X), second.sample_posterior(X))
    other = AIM(**BRIEF | {"random_state": 1}).fit(X)
    assert not np.array_equal(first.transform(X), other.transform(X))
    assert_array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[1])


@pytest.mark.parametrize("copied", [lambda e: pickle.loads(pickle.dumps(e)), copy.deepcopy])
def test_copies_are_the_same(fitted, blobs, copied):
    X = blobs[0]
    assert_array_equal(copied(fitted).transform(X), fitted.transform(X))
    assert_array_equal(copied(fitted).score_samples(X), fitted.score_samples(X))


@pytest.mark.parametrize(
    ("shape", "parameters"),
    [
        ((12, 4), {"preset": "grid"}),
        ((12, 4), {"preset": replace(AIM_PRESETS["vectors"], name="own", n_layers=2)}),
        ((12, 9, 8), {"preset": "images", "covariance": "identity"}),
        ((12, 9, 8), {"preset": "mnist"}),
    ],
)
def test_saved_estimators_come_back(shape, parameters, tmp_path):
    X = images(shape) if len(shape) > 2 else np.random.default_rng(0).normal(size=shape)
    aim = AIM(**BRIEF | parameters).fit(X)
    aim.save(tmp_path / "aim.safetensors")
    again = AIM.load(tmp_path / "aim.safetensors")
    assert again.get_params() == aim.get_params()
    assert_array_equal(again.transform(X), aim.transform(X))
    assert_array_equal(again.sample(3), aim.sample(3))
    assert_array_equal(again.score_samples(X), aim.score_samples(X))


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interruption_leaves_the_last_fit_or_none(blobs, error):
    X = blobs[0]
    aim = AIM(**BRIEF)
    aim.set_callbacks(Interrupting(error()))
    with pytest.raises(error):
        aim.fit(X)
    with pytest.raises(NotFittedError):
        aim.transform(X)
    aim.set_callbacks()
    codes = aim.fit(X).transform(X)
    aim.set_callbacks(Interrupting(error()))
    with pytest.raises(error):
        aim.set_params(latent_dim=5).fit(X[:, :2])
    assert_array_equal(aim.transform(X), codes)
    assert aim.n_features_in_ == 4


def test_training_stops_when_reconstructions_settle(blobs):
    settings = BRIEF | {"max_iter": 1000, "width": 16}
    params = {"n_iter_no_change": 2}
    aim = AIM(tol=10.0, preset_params=params, **settings).fit(blobs[0])
    assert aim.converged_
    assert aim.n_iter_ < 1000
    with pytest.warns(ConvergenceWarning, match=r"had not converged after max_iter=4 .* tol is 1e-09"):
        AIM(tol=1e-9, **BRIEF).fit(blobs[0])


def test_networks_without_spectral_norm(blobs):
    aim = AIM(preset="grid", **BRIEF).fit(blobs[0])
    state = aim._fitted.model.state_dict()
    assert not any("parametrizations" in name for name in state)
    assert aim.sample(5).shape == (5, 4)
    # What Fourier features project by is not learned.
    other = AIM(preset="grid", **BRIEF | {"max_iter": 1}).fit(blobs[0])._fitted.model.state_dict()
    projections = [name for name in state if name.endswith("projection")]
    assert projections
    assert all(torch.equal(state[name], other[name]) for name in projections)


def test_history(fitted):
    assert set(fitted.history_) == {
        "iteration",
        "discriminator",
        "generator",
        "latent",
        "clipped_steps",
        "generation_change",
    }
    assert fitted.history_["iteration"][-1] == fitted.n_iter_ == 600


def test_feature_names_and_pipelines(blobs):
    X = pd.DataFrame(blobs[0], columns=list("abcd"))
    aim = AIM(**BRIEF).set_output(transform="pandas").fit(X)
    assert list(aim.transform(X)) == ["aim0", "aim1", "aim2"]
    assert list(aim.feature_names_in_) == list("abcd")
    pipeline = make_pipeline(StandardScaler(), AIM(**BRIEF)).fit(X)
    assert pipeline.transform(X).shape == (200, 3)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"latent_dim": 0}, "latent_dim"),
        ({"covariance": "full"}, "covariance"),
        ({"preset": "grey"}, "preset"),
        ({"preset_params": {"n_clusters": 3}}, "preset_params has 'n_clusters'"),
        ({"preset_params": {"width": 8}, "width": 8}, "preset_params has 'width', which the parameter"),
        ({"preset_params": {"beta1": 1.0}}, "beta1"),
        ({"preset": "mnist"}, "preset='mnist' .* is not for tables"),
        ({"preset_params": {"networks": "table4"}}, "networks='table4' is not for tables"),
        ({"image_shape": (3, 3)}, "image_shape"),
        ({"device": "tpu0"}, "device"),
    ],
)
def test_bad_parameters_are_errors_before_training(blobs, parameters, message, monkeypatch):
    monkeypatch.setattr("skmpcc.training.initialization.train", lambda *_: pytest.fail("training began"))
    with pytest.raises(ValueError, match=message):
        AIM(**{"random_state": 0} | parameters).fit(blobs[0])


def test_networks_for_tables_take_no_images():
    with pytest.raises(ValueError, match="networks='fourier' is not for images"):
        AIM(preset_params={"networks": "fourier"}, **BRIEF).fit(images((12, 8, 8)))


@pytest.mark.parametrize("n_samples", [0, -1])
def test_bad_numbers_of_samples(fitted, blobs, n_samples):
    with pytest.raises(ValueError, match="n_samples"):
        fitted.sample(n_samples)
    with pytest.raises(ValueError, match="n_samples"):
        fitted.sample_posterior(blobs[0], n_samples)
    with pytest.raises(TypeError, match="n_samples"):
        fitted.sample(1.5)


def test_presets():
    for name, preset in AIM_PRESETS.items():
        assert preset.name == name
        assert preset.network_settings().sharing == "discriminator"
    paper = AIM_PRESETS["mnist"]
    assert (paper.learning_rate, paper.beta1, paper.batch_size) == (2e-4, 0.5, 100)
    # 1 / d, of the latent dimension
    assert paper.training_settings().latent_weight == 1 / 32
    assert replace(paper, latent_weight=2.0).training_settings().latent_weight == 2.0
    with pytest.raises(ValueError, match="kind must be"):
        replace(paper, kind="table")


def test_every_parameter_is_documented():
    own, other = AIM.__doc__.split("Other Parameters\n    ----")
    for name in AIM().get_params():
        assert f"\n    {name} : " in own
    for name in set(settings_of(AIMPreset)) - set(AIM().get_params()):
        assert f"\n    {name} : " in other
    assert "{" + "settings}" not in AIM.__doc__


def test_few_and_constant_samples():
    X = make_blobs(2, 3, random_state=0)[0]
    assert AIM(**BRIEF).fit(X).sample(3).shape == (3, 3)
    assert np.isfinite(AIM(**BRIEF).fit(np.ones((5, 3))).reconstruct(np.ones((5, 3)))).all()
