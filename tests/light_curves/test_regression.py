"""Regression on the circle against scikit-learn's Gaussian processes with the kernel itself."""

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, ExpSineSquared

from skmpcc.light_curves import regression
from skmpcc.light_curves.regression import prior_variances, regress, waves

GRID = np.linspace(-0.3, 1.4, 41)
CHOICES = [(scale, share) for scale in regression.LENGTH_SCALES for share in regression.JITTERS]


def series(n=40, seed=0):
    """Phases, values and variances of noisy points of a curve of three harmonics."""
    random = np.random.default_rng(seed)
    phases, errors = random.random(n), random.uniform(0.05, 0.3, n)
    angles = 2 * np.pi * (phases + random.random())
    true = 15 + np.sin(angles) + 0.4 * np.cos(2 * angles) + 0.2 * np.sin(3 * angles)
    return phases, true + errors * random.standard_normal(n), errors**2


def joined(*many):
    splits = np.cumsum([0] + [len(each[0]) for each in many])
    return *(np.concatenate(columns) for columns in zip(*many, strict=True)), splits


def process(phases, values, variances, length_scale, share):
    """A fitted process around the mean level, that level, and the variance around it."""
    level = np.average(values, weights=1 / variances)
    spread = np.mean((values - level) ** 2)
    of_level = ConstantKernel(regression._LEVEL_VARIANCE * spread)
    kernel = ConstantKernel(spread) * ExpSineSquared(length_scale, 1.0) + of_level
    noise = variances + share * spread
    found = GaussianProcessRegressor(kernel, alpha=noise, optimizer=None)
    return found.fit(phases[:, None], values - level), level, spread


@pytest.mark.parametrize("length_scale", [*regression.LENGTH_SCALES, 0.12, 3.0])
def test_waves_with_prior_variances_are_the_kernel(length_scale):
    d = np.linspace(-1, 1, 101)
    kernel = np.exp(-2 * np.sin(np.pi * d) ** 2 / length_scale**2)
    many = 200
    cosines = waves(d, many)[:, : many + 1] @ prior_variances(length_scale, many)[: many + 1]
    np.testing.assert_allclose(cosines, kernel, atol=1e-12)
    # k(a, b) is the covariance of the sum of all waves at a and at b.
    a, b = np.random.default_rng(0).random((2, 5))
    between = (waves(a) * prior_variances(length_scale)) @ waves(b).T
    wanted = np.exp(-2 * np.sin(np.pi * (a[:, None] - b)) ** 2 / length_scale**2)
    lost = 1 - prior_variances(length_scale)[: regression.N_HARMONICS + 1].sum()
    np.testing.assert_allclose(between, wanted, atol=lost + 1e-12)
    if length_scale >= min(regression.LENGTH_SCALES):
        assert lost < 2e-4


@pytest.mark.parametrize(("length_scale", "share"), CHOICES)
def test_posterior_and_evidence_are_those_of_scikit_learn(length_scale, share, monkeypatch):
    monkeypatch.setattr(regression, "LENGTH_SCALES", (length_scale,))
    monkeypatch.setattr(regression, "JITTERS", (share,))
    points = series()
    found = regress(*points, np.array([0, 40]))
    wanted, level, spread = process(*points, length_scale, share)
    mean, std = wanted.predict(GRID[:, None], return_std=True)
    # What is beyond the last harmonic counts where points are sharp.
    lost = 1 - prior_variances(length_scale)[: regression.N_HARMONICS + 1].sum()
    tolerance = 1e-7 + 100 * lost
    np.testing.assert_allclose(found.mean(GRID)[0], mean + level, atol=tolerance)
    np.testing.assert_allclose(found.std(GRID)[0], std, atol=tolerance)
    # The evidence is that of values in units of their own spread.
    evidence = wanted.log_marginal_likelihood_value_ + 0.5 * 40 * np.log(spread)
    assert found.evidence[0] == pytest.approx(evidence, abs=1e-6 + 2000 * lost)
    assert found.length_scales[0] == length_scale
    assert found.jitters[0] == pytest.approx(share * spread)


@pytest.mark.parametrize("seed", range(4))
def test_the_choice_has_the_largest_evidence(seed):
    points = series(30, seed)
    found = regress(*points, np.array([0, 30]))
    evidences = [process(*points, *each)[0].log_marginal_likelihood_value_ for each in CHOICES]
    best = CHOICES[int(np.argmax(evidences))]
    spread = process(*points, *best)[2]
    assert (found.length_scales[0], found.jitters[0] / spread) == pytest.approx(best)


def test_sharp_curves_get_short_length_scales_and_scatter_a_jitter():
    random = np.random.default_rng(0)
    phases, s2 = random.random(150), np.full(150, 1e-4)
    dip = np.exp(-0.5 * ((phases - 0.5) / 0.03) ** 2)
    sine = np.sin(2 * np.pi * phases)
    scattered = sine + 0.5 * random.standard_normal(150)
    found = regress(*joined(*((phases, v, s2) for v in (dip, sine, scattered))))
    assert found.length_scales[0] < found.length_scales[1] == max(regression.LENGTH_SCALES)
    assert found.jitters[1] < 1e-3
    assert found.jitters[2] == pytest.approx(0.25, rel=0.5)


def test_many_series_at_once_are_as_each_alone():
    """More than fit into a chunk, of different lengths and in other units."""
    many = [series(5 + i % 40, seed=i) for i in range(2 * regression._CHUNK + 3)]
    many[7] = many[7][0], 1e6 * many[7][1], 1e12 * many[7][2]
    many[70] = many[70][0], 1e-20 * many[70][1], 1e-40 * many[70][2]
    found = regress(*joined(*many))
    for i in (0, 7, regression._CHUNK - 1, regression._CHUNK, 70, len(many) - 1):
        alone = regress(*many[i], np.array([0, len(many[i][0])]))
        for name in ("length_scales", "jitters", "evidence"):
            assert getattr(found, name)[i] == pytest.approx(getattr(alone, name)[0], rel=1e-9), name
        scale = np.ptp(many[i][1])
        np.testing.assert_allclose(found.mean(GRID)[i], alone.mean(GRID)[0], atol=1e-9 * scale)
        np.testing.assert_allclose(found.std(GRID)[i], alone.std(GRID)[0], atol=1e-9 * scale)


def test_phases_may_differ_between_curves():
    found = regress(*joined(series(seed=0), series(seed=1)))
    phases = np.random.default_rng(0).random((2, 9))
    for i in range(2):
        np.testing.assert_allclose(found.mean(phases)[i], found.mean(phases[i])[i])
        np.testing.assert_allclose(found.std(phases)[i], found.std(phases[i])[i])


def test_it_is_on_the_circle():
    found = regress(*series(), np.array([0, 40]))
    np.testing.assert_allclose(found.mean(GRID), found.mean(GRID + 3))
    np.testing.assert_allclose(found.std(GRID), found.std(GRID + 3))


def test_units_and_levels_of_values_are_of_no_matter():
    phases, values, variances = series()
    splits = np.array([0, 40])
    one = regress(phases, values, variances, splits)
    other = regress(phases, 7 - 3e5 * values, 9e10 * variances, splits)
    np.testing.assert_allclose(other.mean(GRID), 7 - 3e5 * one.mean(GRID), rtol=1e-9)
    np.testing.assert_allclose(other.std(GRID), 3e5 * one.std(GRID), rtol=1e-9)
    assert other.evidence[0] == pytest.approx(one.evidence[0])


def test_one_point_says_what_the_level_is():
    found = regress(np.array([0.3]), np.array([15.0]), np.array([0.04]), np.array([0, 1]))
    np.testing.assert_allclose(found.mean(GRID), 15.0, atol=1e-6)
    std = found.std(np.array([0.3, 0.8]))[0]
    assert np.isfinite(std).all()
    assert std[0] < std[1]


@pytest.mark.parametrize("value", [0.0, 15.3, -1e5])
def test_equal_values_are_a_flat_curve(value):
    phases, _, variances = series()
    found = regress(phases, np.full(40, value), variances, np.array([0, 40]))
    np.testing.assert_allclose(found.mean(GRID), value, atol=1e-9 * max(1, abs(value)))
    assert (found.std(GRID) > 0).all()
    assert np.isfinite(found.evidence).all()
