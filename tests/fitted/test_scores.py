"""What samples can be scored by: their density, information, reconstruction, or two of them together."""

import json

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, load_iris, make_blobs
from sklearn.exceptions import NotFittedError
from support import BRIEF
from torch.distributions import Independent, Normal, kl_divergence

from skmpcc import AIM, MPCCClassifier, MPCCClusterer
from skmpcc.fitted import model as fitted_model
from skmpcc.fitted import saving

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = load_iris(return_X_y=True)
SMALL = {"max_iter": 30, "width": 16, "random_state": 0}
KINDS = {
    "clusterer": lambda: MPCCClusterer(3, **BRIEF | SMALL),
    "the authors' floor": lambda: MPCCClusterer(
        3, **BRIEF | SMALL, preset_params={"std_floor": "code"}, weights="learned"
    ),
    "classifier": lambda: MPCCClassifier(**SMALL),
    "AIM": lambda: AIM(latent_dim=3, **SMALL),
}


@pytest.fixture(scope="module", params=KINDS)
def estimator(request):
    return KINDS[request.param]().fit(X, Y)


def posterior(estimator, X):
    """Mean and log-variance of q(z | x)."""
    fitted = estimator._fitted
    return fitted.model.encode(fitted.format.encode(X).double())


def test_information_is_the_negative_divergence_from_the_components(estimator):
    mean, log_variance = posterior(estimator, X)
    prior = estimator._fitted.model.prior
    of_sample = Independent(Normal(mean[:, None], torch.exp(0.5 * log_variance)[:, None]), 1)
    components = Independent(Normal(prior.means, prior.variances.sqrt()), 1)
    memberships = prior.log_responsibilities(mean).exp()
    wanted = -(memberships * kl_divergence(of_sample, components)).sum(1)
    found = estimator.score_samples(X, by="information")
    np.testing.assert_allclose(found, wanted.detach(), rtol=1e-8, atol=1e-8)
    assert found.max() <= 0
    if "AIM" in type(estimator).__name__:  # the standard normal
        exact = 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum(1)
        np.testing.assert_allclose(found, -exact.detach(), rtol=1e-8)


def test_density_is_that_of_code_and_reconstruction(estimator):
    mean, _ = posterior(estimator, X)
    of_code = estimator._fitted.model.prior.log_density(mean).detach().numpy()
    reconstruction = estimator.score_samples(X, by="reconstruction")
    density = estimator.score_samples(X)
    np.testing.assert_allclose(of_code + X.shape[1] * reconstruction, density)
    np.testing.assert_array_equal(density, estimator.score_samples(X, by="density"))


def test_both_is_the_sum_of_ranks(estimator):
    parts = [estimator.score_samples(X, by=by) for by in ("information", "reconstruction")]
    ranks = [[(part < value).mean() for value in part] for part in parts]
    found = estimator.score_samples(X, by="both")
    np.testing.assert_allclose(found, np.sum(ranks, axis=0), atol=4 / len(X))
    assert found.min() >= 0
    assert found.max() <= 2


@pytest.mark.parametrize("by", ["reconstruction", "both"])
def test_what_is_farther_off_has_the_lower_score(estimator, by):
    distances = np.geomspace(1e2, 1e30, 15)
    far = np.tile(X[:1], (len(distances), 1))
    far[:, 2] = distances
    scores = estimator.score_samples(far, by=by)
    assert np.isfinite(scores).all()
    assert scores[0] < estimator.score_samples(X, by=by).min()
    # The format has a bound, beyond which all is equally far.
    assert (np.diff(scores) <= 0).all()
    assert (np.diff(scores[:3]) < 0).all()


def test_ranks_go_on_below_the_least():
    of_training = np.array([-3.0, -1.0, 0.0, 2.0, 2.0])
    scores = np.array([-1e300, -9.0, -3.001, -3.0, -2.0, 0.0, 2.0, 9.0])
    ranks = fitted_model._ranks(scores, of_training)
    np.testing.assert_allclose(ranks[3:6], [0, 0.125, 0.5])
    assert (np.diff(ranks[:6]) > 0).all()
    assert abs(ranks[2]) < 1e-3
    assert ranks[-1] == 1
    same = fitted_model._ranks(np.array([-1.0, 5.0]), np.full(4, 5.0))
    assert np.isfinite(same).all()
    assert same[0] < same[1]


def test_extreme_variances_of_codes_have_finite_scores(monkeypatch):
    estimator = KINDS["AIM"]().fit(X)
    model = estimator._fitted.model
    for log_variance in (-1e4, 1e4, np.inf):
        broken = lambda x, v=log_variance: (x[:, :3], torch.full_like(x[:, :3], v))  # noqa: E731
        monkeypatch.setattr(type(model), "encode", lambda _, x, broken=broken: broken(x))
        assert np.isfinite(estimator.score_samples(X, by="information")).all()


def test_images_and_wide_tables_have_all_scores():
    images = load_digits().images[:60].astype(np.float32)
    wide = np.random.default_rng(0).normal(size=(30, 1100))
    for data in (images, wide):
        aim = AIM(max_iter=3, width=8, random_state=0).fit(data)
        for by in fitted_model.SCORES:
            assert np.isfinite(aim.score_samples(data, by=by)).all()
    assert aim._fitted.format.rotation is not None


def test_scores_of_training_data_are_few(monkeypatch):
    monkeypatch.setattr(fitted_model, "_MAX_SCORES", 20)
    aim = KINDS["AIM"]().fit(X)
    kept = aim._fitted.training_scores
    assert kept.shape == (20, 2)
    assert (kept.diff(dim=0) >= 0).all()


def test_a_file_keeps_what_both_needs(estimator, tmp_path):
    estimator.save(tmp_path / "model.safetensors")
    restored = type(estimator).load(tmp_path / "model.safetensors")
    for by in fitted_model.SCORES:
        found, wanted = (each.score_samples(X, by=by) for each in (restored, estimator))
        np.testing.assert_array_equal(found, wanted)


def of_an_earlier_version(path):
    """Write a file again, as versions did that kept no scores of training data."""
    header, tensors = saving.read(path)
    fields = header["fitted"]["FittedModel"]
    del tensors[fields.pop("training_scores")["tensor"]]
    path.write_bytes(saving.to_bytes(json.loads(json.dumps(header)), tensors))


def test_files_of_earlier_versions_load(tmp_path):
    aim, path = KINDS["AIM"]().fit(X), tmp_path / "model.safetensors"
    aim.save(path)
    of_an_earlier_version(path)
    restored = AIM.load(path)
    for by in fitted_model.SCORES[:-1]:
        np.testing.assert_array_equal(restored.score_samples(X, by=by), aim.score_samples(X, by=by))
    with pytest.raises(ValueError, match="Fit again"):
        restored.score_samples(X, by="both")


def test_scores_of_training_data_are_checked_in_files(tmp_path):
    aim, path = KINDS["AIM"]().fit(X), tmp_path / "model.safetensors"
    aim.save(path)
    header, tensors = saving.read(path)
    name = header["fitted"]["FittedModel"]["training_scores"]["tensor"]
    for wrong in (tensors[name][:, :1].clone(), tensors[name].float(), tensors[name][:0].clone()):
        path.write_bytes(saving.to_bytes(header, tensors | {name: wrong}))
        with pytest.raises(ValueError, match="training_scores"):
            AIM.load(path)


def test_tensors_for_tensors():
    aim = KINDS["AIM"]().fit(X)
    found = aim.score_samples(torch.from_numpy(X), by="both")
    assert isinstance(found, torch.Tensor)
    np.testing.assert_array_equal(found, aim.score_samples(X, by="both"))


@pytest.mark.parametrize("by", ["likelihood", None, ["density"], ""])
def test_an_unknown_score_is_an_error(estimator, by):
    with pytest.raises(ValueError, match="by should be one of"):
        estimator.score_samples(X, by=by)
    with pytest.raises(NotFittedError):
        KINDS["AIM"]().score_samples(X, by=by)


def test_noise_far_outside_is_told_by_every_score_that_sees_where_it_is():
    """The encoder, and so the information, sees it clipped."""
    blobs, _ = make_blobs(300, centers=[[0, 0, 0], [9, 0, 0], [0, 9, 0]], random_state=0)
    noise = np.random.default_rng(0).uniform(20, 40, (30, 3))
    clusterer = MPCCClusterer(3, **BRIEF | {"max_iter": 150, "width": 32, "random_state": 0}).fit(blobs)
    for by in ("density", "reconstruction", "both"):
        inliers, outliers = (clusterer.score_samples(each, by=by) for each in (blobs, noise))
        assert outliers.max() < inliers.min(), by
