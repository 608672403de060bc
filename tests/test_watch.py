"""Settled memberships, lost components and trainings that can't go on."""

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning
from torch.nn.utils import parametrize

from skmpcc import MPCCClusterer, training, watch
from skmpcc.algorithm import Recipe
from skmpcc.engine import FastAlgorithm1
from skmpcc.model import MPCCModel, NetworkSettings
from skmpcc.watch import Watch

SETTINGS = NetworkSettings(latent_dim=4, conditioning="embedding", width=8, min_std=0.0, ema_decay=0.5)


def build(n_clusters=3, n=200, **recipe):
    recipe = Recipe(
        **{"max_iter": 100, "batch_size": 16, "ema_start": 0, "n_iter_no_change": 2} | recipe
    )
    model = MPCCModel(SETTINGS, (6,), n_clusters, 0)
    algorithm = FastAlgorithm1(model, recipe, torch.Generator().manual_seed(0))
    data = torch.randn(n, 6, generator=torch.Generator().manual_seed(1))
    algorithm.iteration(lambda: (data[:16],))
    return Watch(algorithm, data, torch.Generator().manual_seed(2))


def test_change_is_the_share_of_memberships_that_moved():
    looker = build()
    assert looker.change() == 1.0
    assert looker.change() == 0.0
    prior = looker.model.prior
    before = prior.log_responsibilities(looker.model.encode(looker.x)[0]).exp()
    with torch.no_grad():
        prior.means.add_(torch.randn(prior.means.shape))
    after = prior.log_responsibilities(looker.model.encode(looker.x)[0]).exp()
    expected = 0.5 * np.abs((after - before).detach().numpy()).sum(1).mean()
    assert looker.change() == pytest.approx(expected, rel=1e-5)


def test_settled_after_looks_in_a_row():
    looker = build(tol=0.1, n_iter_no_change=2)
    # too early
    assert not any(looker.settled(0.0) for _ in range(4))
    looker.algorithm.n_iter = 60
    seen = [looker.settled(change) for change in (0.05, 0.2, 0.05, 0.09, 0.05, 0.3)]
    assert seen == [False, False, False, True, True, False]


@pytest.mark.parametrize("tol", [0.0, 1.5])
def test_fit_ends_when_memberships_have_settled(tol):
    X = np.random.default_rng(0).normal(size=(60, 3))
    clusterer = MPCCClusterer(
        3, tol=tol, n_iter_no_change=4, max_iter=20, init_params="random", width=8, random_state=0
    ).fit(X)
    # every change is below 1.5, and looked at from half of so short a training on
    assert clusterer.n_iter_ == (13 if tol else 20)
    assert len(clusterer.history_["change"]) == clusterer.n_iter_


def test_a_cap_that_comes_first_is_said():
    X = np.random.default_rng(0).normal(size=(60, 3))
    clusterer = MPCCClusterer(
        3, tol=1e-9, n_iter_no_change=4, max_iter=6, init_params="random", width=8, random_state=0
    )
    with pytest.warns(ConvergenceWarning, match=r"max_iter=6 iterations.*tol"):
        clusterer.fit(X)


@pytest.mark.parametrize("case", ["empty", "double"])
def test_lost_components_are_found_and_moved(case):
    looker = build(reseed=True, max_iter=1000)
    model = looker.model
    looker.change()
    means = looker.codes.mean(0) + torch.tensor([[-1.0], [0.0], [1.0]]) * looker.codes.std(0)
    with torch.no_grad():
        model.prior.log_variances.copy_((0.2 * looker.codes.std(0)).log() * 2)
        model.prior.means.copy_(means)
        model.prior.means[2] = means[2] + 100.0 if case == "empty" else means[1]
    looker.change()
    assert looker._lost(looker._before).sum() == 1
    lost = int(looker._lost(looker._before).nonzero())
    looker.algorithm.n_iter = 600
    n_moved = []
    for _ in range(watch.PATIENCE):
        n_moved.append(looker.mend())
        looker.change()
    assert n_moved == [0] * (watch.PATIENCE - 1) + [1]
    # now among the samples' codes, with as many members as it takes
    share = looker._before.mean(0)
    assert share[lost] > watch.LOST_SHARE / 3
    low, high = looker.codes.min(0).values, looker.codes.max(0).values
    assert ((model.prior.means[lost] >= low) & (model.prior.means[lost] <= high)).all()


def test_a_collapse_is_mended_within_a_fit():
    """A component that is thrown far away in mid-training has members again at its end."""
    X, _ = make_blobs(400, centers=[[-6, 0], [6, 0], [0, 9]], random_state=0)

    def fit(reseed):
        thrown = []

        def throw(self):
            if self.algorithm.n_iter == 200 and not thrown:
                thrown.append(True)
                with torch.no_grad():
                    self.model.prior.means[1] += 1000.0
            return mend(self)

        mend = Watch.mend
        with pytest.MonkeyPatch.context() as patch:
            if reseed:
                patch.setattr(Watch, "mend", throw)
            clusterer = MPCCClusterer(3, max_iter=600, reseed=reseed, random_state=0, width=32)
            return clusterer.fit(X)

    mended = fit(True)
    assert len(np.unique(mended.labels_)) == 3
    assert np.abs(mended.means_).max() < 100


def test_trouble_is_named():
    looker = build(max_iter=1000)
    healthy = {"discriminator": 1.0, "generator": 0.1}
    assert looker.trouble(healthy) is None
    assert "not finite" in looker.trouble(healthy | {"generator": math.nan})
    won = [looker.trouble(healthy | {"discriminator": 0.0}) for _ in range(watch.PATIENCE)]
    assert won[:-1] == [None] * (watch.PATIENCE - 1)
    assert "tells all generated" in won[-1]
    with torch.no_grad():
        for module in looker.model.averaged_generator.module.norms:
            module.bias.weight.zero_()
            module.gain.weight.fill_(-1.0)
    assert [looker.trouble(healthy) for _ in range(watch.PATIENCE)] == [None] * watch.PATIENCE
    looker.algorithm.n_iter = 250
    constant = [looker.trouble(healthy) for _ in range(watch.PATIENCE)]
    assert constant[:-1] == [None] * (watch.PATIENCE - 1)
    assert "always the same" in constant[-1]


def test_an_encoder_that_sees_no_difference_is_trouble():
    looker = build(max_iter=1000)
    healthy = dict.fromkeys(("discriminator", "generator"), 1.0)
    looker.algorithm.n_iter = 250
    looker.model.update_averages()
    looker.change()
    assert [looker.trouble(healthy) for _ in range(5)] == [None] * 5
    with torch.no_grad():
        # the last layer of the mean's head: nothing but its bias is left
        head = looker.model.averaged_encoder.module.mean[-1]
        parametrize.remove_parametrizations(head, "weight")
        head.weight.zero_()
    looker.change()
    found = [looker.trouble(healthy) for _ in range(watch.PATIENCE)]
    assert found[:-1] == [None] * (watch.PATIENCE - 1)
    assert "same code" in found[-1]
    # at first it is no wonder
    looker.algorithm.n_iter = 5
    assert [looker.trouble(healthy) for _ in range(2 * watch.PATIENCE)] == [None] * 2 * watch.PATIENCE


@pytest.mark.parametrize("n_bad", [1, 100])
def test_a_diverging_training_is_rolled_back_at_lower_rates(n_bad, monkeypatch):
    """Once in trouble it goes on; always in trouble it ends as it last was, and says so."""
    X = np.random.default_rng(0).normal(size=(60, 3))
    rates, bad = [], []
    trouble = Watch.trouble

    def look(self, losses):
        rates.append(self.algorithm.generator_optimizer.param_groups[0]["lr"])
        if losses["iteration"] == 8 and len(bad) < n_bad:
            bad.append(True)
            with torch.no_grad():
                self.model.prior.means.fill_(math.nan)
        return trouble(self, losses)

    monkeypatch.setattr(Watch, "trouble", look)
    clusterer = MPCCClusterer(
        3,
        max_iter=12,
        learning_rate=1e-3,
        learning_rate_decay=0.0,
        init_params="random",
        width=8,
        random_state=0,
        tol=0.0,
    )
    if n_bad == 1:
        clusterer.fit(X)
        assert clusterer.n_iter_ == 12
        assert rates == [1e-3] * 8 + [5e-4] * 5
    else:
        with pytest.warns(ConvergenceWarning, match=r"after iteration 7: .* not finite"):
            clusterer.fit(X)
        assert len(bad) == training.MAX_ROLLBACKS + 1
        assert rates[-1] == 1e-3 / 2**training.MAX_ROLLBACKS
    assert np.isfinite(clusterer.means_).all()
    np.testing.assert_array_equal(clusterer.history_["iteration"], np.arange(1, clusterer.n_iter_ + 1))
    assert np.isfinite(clusterer.predict_proba(X)).all()


def test_learned_weights_follow_the_data():
    """Of blobs of sizes 10 to 1, which equal weights cannot make."""
    X, _ = make_blobs([1000, 100], centers=[[-6, 0], [6, 0]], random_state=0)
    learned = MPCCClusterer(2, weights="learned", random_state=0).fit(X)
    np.testing.assert_allclose(np.sort(learned.weights_), [1 / 11, 10 / 11], atol=0.02)
    np.testing.assert_array_equal(np.sort(np.bincount(learned.labels_)), [100, 1000])
    drawn = learned.sample(2000)[1]
    np.testing.assert_allclose(np.bincount(drawn) / 2000, learned.weights_, atol=0.03)
    uniform = MPCCClusterer(2, weights="uniform", max_iter=5, random_state=0).fit(X)
    np.testing.assert_array_equal(uniform.weights_, [0.5, 0.5])
