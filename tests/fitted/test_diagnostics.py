"""Bounds of the information in codes, and the other measures of them without labels."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import NotFittedError
from support import BRIEF

from skmpcc import AIM, MPCCClassifier, MPCCClusterer
from skmpcc.fitted import diagnostics
from skmpcc.fitted.diagnostics import information_of_moments, information_of_pairs
from skmpcc.metrics import latent_diagnostics

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = load_iris(return_X_y=True)
SMALL = {"max_iter": 20, "width": 16, "random_state": 0}
KINDS = {
    "clusterer": MPCCClusterer(3, **BRIEF | SMALL),
    "classifier": MPCCClassifier(**SMALL),
    "AIM": AIM(latent_dim=3, **SMALL),
}
FLOATS = st.floats(-20, 20)


@settings(max_examples=50, deadline=None)
@given(arrays(float, (12, 3), elements=FLOATS), arrays(float, (12, 3), elements=FLOATS))
def test_information_is_never_negative_and_the_lower_bound_never_above_log_n(means, log_variances):
    assert information_of_moments(means, log_variances) >= 0
    noise = np.random.default_rng(0).standard_normal(means.shape)
    assert information_of_pairs(means, log_variances, noise) <= math.log(12) + 1e-9


def linear_gaussian(n=20_000, J=4):
    """Codes W x + s eps of x ~ N(0, I), and their mutual information."""
    rng = np.random.default_rng(0)
    W, s = rng.normal(size=(J, 6)), np.array([0.3, 0.5, 1.0, 2.0])
    means = rng.normal(size=(n, 6)) @ W.T
    exact = 0.5 * (np.linalg.slogdet(W @ W.T + np.diag(s**2))[1] - np.log(s**2).sum())
    return means, np.tile(2 * np.log(s), (n, 1)), exact


def test_the_upper_bound_is_exact_for_a_linear_gaussian_encoder():
    means, log_variances, exact = linear_gaussian()
    assert information_of_moments(means, log_variances) == pytest.approx(exact, rel=5e-3)


def test_dead_dimensions_carry_no_information():
    """By the means alone these are what drives the determinant to nothing."""
    means, log_variances, _ = linear_gaussian()
    dead = np.zeros((len(means), 3))
    found = information_of_moments(np.hstack([means, dead]), np.hstack([log_variances, dead]))
    assert found == pytest.approx(information_of_moments(means, log_variances), abs=1e-9)
    assert information_of_moments(dead, dead) == 0


def bounds(means, log_variances, n_draws=20):
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((n_draws, *means.shape))
    lower = np.mean([information_of_pairs(means, log_variances, each) for each in noise])
    return lower, information_of_moments(means, log_variances)


def test_the_bounds_hold_the_information_between_them():
    means, log_variances, _ = linear_gaussian(1000)
    lower, upper = bounds(0.3 * means, log_variances + 1.0)  # little, so that the batch is large enough
    assert lower == pytest.approx(upper, abs=0.02)  # normal codes
    lower, upper = bounds(means, log_variances - 12)  # more than the logarithm of the batch's size
    assert math.log(1000) - 0.1 < lower <= math.log(1000) < upper
    two_places = np.where(np.arange(400) % 2, 9.0, -9.0)[:, None]
    lower, upper = bounds(two_places, np.zeros((400, 1)))
    assert lower == pytest.approx(math.log(2))
    assert upper == pytest.approx(0.5 * math.log(1 + 9.0**2))


@pytest.fixture(scope="module", params=KINDS)
def estimator(request):
    return KINDS[request.param].fit(X, Y)


def test_measures_of_fitted_estimators(estimator):
    found = latent_diagnostics(estimator, X, n_draws=400, random_state=0)
    assert 0 <= found["information_low"] <= min(math.log(len(X)), found["information"] + 0.05)
    fitted = estimator._fitted
    mean, log_variance = (
        moment.double().numpy() for moment in fitted.model.encode(fitted.format.encode(X).double())
    )
    entropy = 0.5 * (np.log(2 * np.pi * np.e) + log_variance).sum(1).mean()
    assert found["encoder_entropy"] == pytest.approx(entropy)
    assert found["active_dims"] == (mean.var(0) > 0.01).sum()
    assert found["marginal_divergence"] == found["posterior_divergence"] - found["information"]
    scaled = [each / fitted.format.scale for each in (X, estimator.reconstruct(X))]
    error = ((scaled[0] - scaled[1]) ** 2).sum() / ((scaled[0] - scaled[0].mean(0)) ** 2).sum()
    assert found["reconstruction"] == pytest.approx(error, rel=0.01)
    assert found["code_error"] > 0
    assert {type(value) for value in found.values()} == {int, float}
    assert found == latent_diagnostics(estimator, X, n_draws=400, random_state=0)


def test_divergence_in_closed_form_and_by_draws(monkeypatch):
    """That of one component by draws, which are those of a mixture otherwise."""
    aim = KINDS["AIM"].fit(X)
    exact = latent_diagnostics(aim, X, random_state=0)
    # The score of each sample is its divergence from the only component.
    assert exact["posterior_divergence"] == pytest.approx(-aim.score_samples(X, "information").mean())
    assert exact["marginal_divergence"] >= 0
    monkeypatch.setattr(type(aim._fitted.model), "n_clusters", 2, raising=False)
    drawn = latent_diagnostics(aim, X, n_draws=400, random_state=0)["posterior_divergence"]
    assert drawn == pytest.approx(exact["posterior_divergence"], rel=0.05)


def test_images_and_more_rows_than_are_compared(monkeypatch):
    monkeypatch.setattr(diagnostics, "MAX_PAIRS", 30)
    images = load_digits().images[:90]
    found = latent_diagnostics(AIM(max_iter=3, width=8, random_state=0).fit(images), images)
    assert found["information_low"] <= math.log(30)
    assert np.isfinite(list(found.values())).all()


def test_equal_samples_have_no_relative_error():
    found = latent_diagnostics(KINDS["AIM"].fit(X), np.repeat(X[:1], 5, axis=0))
    assert math.isnan(found.pop("reconstruction"))
    assert np.isfinite(list(found.values())).all()
    assert found["active_dims"] == 0
    assert found["information"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("parameters", "error", "match"),
    [
        ({"estimator": "AIM"}, TypeError, "estimator"),
        ({"X": X[:1]}, ValueError, "X should have at least 2 samples"),
        ({"X": X[:, :2]}, ValueError, "features"),
        ({"n_draws": 0}, ValueError, "n_draws"),
        ({"n_draws": 1.5}, TypeError, "n_draws"),
        ({"random_state": "one"}, ValueError, "one"),
    ],
)
def test_what_cannot_be_used_is_an_error(parameters, error, match):
    with pytest.raises(error, match=match):
        latent_diagnostics(**{"estimator": KINDS["AIM"].fit(X), "X": X} | parameters)


def test_before_the_fit():
    with pytest.raises(NotFittedError):
        latent_diagnostics(AIM(), X)
