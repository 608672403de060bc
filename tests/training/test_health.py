"""Convergence, lost components and trainings that cannot go on."""

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning
from support import normal, resolved, slow

from skmpcc import MPCCClusterer
from skmpcc.engine.fast import FastAlgorithm1
from skmpcc.method.algorithm import Algorithm1
from skmpcc.method.model import MPCCModel
from skmpcc.settings import NetworkSettings
from skmpcc.training import health as health_module
from skmpcc.training.health import TrainingHealth, is_settled
from skmpcc.training.loop import train

SETTINGS = NetworkSettings(latent_dim=4, conditioning="embedding", width=8, min_std=0.0)


def build(n_clusters=3, n=200, **training):
    """Health of a training after one iteration."""
    defaults = {
        "max_iter": 100,
        "batch_size": 16,
        "ema_start": 0,
        "ema_decay": 0.5,
        "n_iter_no_change": 2,
    }
    settings = resolved((6,), **defaults | training)
    model = MPCCModel(SETTINGS, (6,), n_clusters, 0)
    algorithm = FastAlgorithm1(model, settings, torch.Generator().manual_seed(0))
    data = torch.randn(n, 6, generator=torch.Generator().manual_seed(1))
    algorithm.iteration(lambda: (data[:16],))
    return TrainingHealth(algorithm, data, torch.Generator().manual_seed(2))


def test_change_is_the_share_of_memberships_that_moved():
    health = build()
    assert health.membership_change() == 1.0
    assert health.membership_change() == 0.0
    prior = health.model.prior
    before = prior.log_responsibilities(health.model.encode(health.x)[0]).exp()
    with torch.no_grad():
        prior.means.add_(torch.randn(prior.means.shape))
    after = prior.log_responsibilities(health.model.encode(health.x)[0]).exp()
    expected = 0.5 * np.abs((after - before).detach().numpy()).sum(1).mean()
    assert health.membership_change() == pytest.approx(expected, rel=1e-5)


def test_converged_after_checks_in_a_row():
    health = build(tol=0.1, n_iter_no_change=2)

    def converged(change, generation_change=0.0):
        return health._has_converged({"change": change, "generation_change": generation_change})

    # too early
    assert not any(converged(0.0) for _ in range(4))
    health.algorithm.n_iter = 60
    seen = [converged(change) for change in (0.05, 0.2, 0.05, 0.09, 0.05, 0.3)]
    assert seen == [False, False, False, True, True, False]


@pytest.mark.parametrize("labels_only", [False, True])
def test_generative_half_has_to_settle_unless_labels_alone_are_wanted(labels_only):
    entry = {"change": 0.01, "generation_change": 0.03}
    settings = resolved((6,), max_iter=10, tol=0.1, generation_tol=0.02, labels_only=labels_only)
    assert is_settled(entry, settings) is labels_only
    assert is_settled(entry | {"generation_change": 0.01}, settings)
    assert not is_settled(entry | {"change": 0.2}, settings)


def test_generation_change_is_of_deviations_and_of_reconstructions():
    """Means over as many checks as have to settle, against as many before."""
    health = build(n_iter_no_change=2, total_variance=6.0)
    assert health.generation_change() == 1.0
    health.membership_change()
    assert health.generation_change() == 1.0
    assert health.generation_change() == 0.0
    prior = health.model.prior
    before = prior.stds.detach().mean()
    with torch.no_grad():
        prior.log_variances.sub_(0.5)
    health.generation_change()
    expected = float(1.0 - prior.stds.detach().mean() / before)
    assert health.generation_change() == pytest.approx(expected, rel=1e-5)
    assert [health.generation_change() for _ in range(2)][-1] == 0.0
    output = health.model.averaged_generator.output
    with torch.no_grad():
        output.weight.zero_()
        output.bias.fill_(10.0)
    health.generation_change()
    codes, x = health.codes[:128], health.x[:128]
    error = float((10.0 - x).square().sum()) / (len(codes) * 6.0)
    assert health.generation_change() == pytest.approx(error, rel=0.1)


@pytest.mark.full_history
@pytest.mark.parametrize("tol", [0.0, 1.5])
def test_fit_ends_when_memberships_have_converged(tol):
    X = np.random.default_rng(0).normal(size=(60, 3))
    clusterer = MPCCClusterer(
        3,
        tol=tol,
        preset_params={
            "n_iter_no_change": 4,
            "reseed": False,
            "generation_tol": 1.0,
            "learning_rate_decay": 0.3,
        },
        max_iter=20,
        pseudo_labels=None,
        width=8,
        random_state=0,
    ).fit(X)
    # every change is below 1.5, and looked at from half of so short a training on
    assert clusterer.n_iter_ == (13 if tol else 20)
    assert clusterer.converged_ == bool(tol)
    assert len(clusterer.history_["change"]) == clusterer.n_iter_


def test_a_cap_that_comes_first_is_said():
    X = np.random.default_rng(0).normal(size=(60, 3))
    clusterer = MPCCClusterer(3, tol=1e-9, max_iter=6, pseudo_labels=None, width=8, random_state=0)
    with pytest.warns(ConvergenceWarning, match=r"max_iter=6 iterations.*tol"):
        clusterer.fit(X)


def disturbed(encoder, size=1.0):
    """Codes of the encoder that are nothing but noise."""
    with torch.no_grad():
        for i, parameter in enumerate(encoder.mean.parameters()):
            parameter.add_(size * normal(*parameter.shape, seed=i))


def taught(health, encoder):
    """Let the labels be those by an encoder."""
    codes = health.model.encode_by(encoder, health.x)[0]
    health.y = health.model.prior.most_probable(codes)


HEALTHY = {"discriminator": 1.0, "generator": 0.1}


@pytest.mark.parametrize("with_labels", [True, False])
def test_averages_that_are_worse_than_the_encoder_restart(with_labels):
    """And those that are not stay. Later networks count as much as the first after the restart."""
    health = build(ema_decay="auto", max_iter=1000)
    model = health.model
    health.algorithm.n_iter = 500
    if with_labels:
        taught(health, model.encoder)
    generator = model.averaged_generator.output.bias.detach().clone().add_(1.0)
    with torch.no_grad():
        model.averaged_generator.output.bias.copy_(generator)
    assert health.check(dict(HEALTHY))
    assert torch.equal(model.averaged_generator.output.bias, generator)
    disturbed(model.averaged_encoder, 5.0)
    assert health.check(dict(HEALTHY))
    for name, value in model.encoder.state_dict().items():
        assert torch.equal(model.averaged_encoder.state_dict()[name], value), name
    assert torch.equal(model.averaged_generator.output.bias, model.generator.output.bias)
    seen = []
    for health.algorithm.n_iter in range(500, 503):
        health.algorithm._set_schedule()
        seen.append(float(health.algorithm.averaging))
    assert seen == pytest.approx([1 / 2, 1 / 3, 1 / 4])


def test_an_encoder_that_is_broken_itself_is_no_reason_to_restart():
    health = build()
    taught(health, health.model.averaged_encoder)
    disturbed(health.model.encoder, 5.0)
    assert not health.is_average_broken()
    assert health.diagnose(HEALTHY) is None
    with torch.no_grad():
        health.model.encoder.mean[-1].bias.fill_(1e6)
    assert health.diagnose(HEALTHY) == health_module.NOT_USABLE


def test_a_component_is_not_lost_that_the_encoder_itself_holds(monkeypatch):
    health = build(reseed=True, max_iter=1000)
    health.algorithm.n_iter = 600
    lost = {"encoder": [1], "average": [1]}

    def lost_components(memberships):
        which = "average" if memberships is health._memberships else "encoder"
        return torch.isin(torch.arange(3), torch.tensor(lost[which]))

    monkeypatch.setattr(health, "_lost_components", lost_components)
    for lost["encoder"], moved in (([0], False), ([1, 2], True)):
        for _ in range(health_module.PATIENCE):
            health.membership_change()
            assert not health._n_lost.any() or moved
            was_moved = health.reseed_lost_component()
        assert was_moved is moved


@pytest.mark.parametrize("n_lost", [5, 60])
def test_labels_that_are_forgotten_again_leave_the_state_before(n_lost):
    """Of 200 rows, if they are more than a tenth."""
    health = build()
    model, algorithm = health.model, health.algorithm
    taught(health, model.averaged_encoder)
    assert health.check(dict(HEALTHY))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    health.y[:n_lost] = (health.y[:n_lost] + 1) % 3
    algorithm.n_iter += 1
    with torch.no_grad():
        model.generator.output.bias.add_(1.0)
    assert health.check(dict(HEALTHY))
    health.end()
    assert algorithm.n_iter == (2 if n_lost == 5 else 1)
    same = [torch.equal(value, before[name]) for name, value in model.state_dict().items()]
    assert all(same) is (n_lost != 5)


@pytest.mark.parametrize("case", ["empty", "double"])
def test_lost_components_are_found_and_moved(case):
    health = build(reseed=True, max_iter=1000)
    model = health.model
    health.membership_change()
    means = health.codes.mean(0) + torch.tensor([[-1.0], [0.0], [1.0]]) * health.codes.std(0)
    with torch.no_grad():
        model.prior.log_variances.copy_((0.2 * health.codes.std(0)).log() * 2)
        model.prior.means.copy_(means)
        model.prior.means[2] = means[2] + 100.0 if case == "empty" else means[1]
    health.membership_change()
    assert health._lost_components(health._memberships).sum() == 1
    lost = int(health._lost_components(health._memberships).nonzero())
    health.algorithm.n_iter = 600
    n_moved = []
    for _ in range(health_module.PATIENCE):
        n_moved.append(health.reseed_lost_component())
        health.membership_change()
    assert n_moved == [False] * (health_module.PATIENCE - 1) + [True]
    # now among the samples' codes, with as many members as it takes
    share = health._memberships.mean(0)
    assert share[lost] > health_module.LOST_SHARE / 3
    low, high = health.codes.min(0).values, health.codes.max(0).values
    assert ((model.prior.means[lost] >= low) & (model.prior.means[lost] <= high)).all()


@pytest.mark.parametrize("reseed", [True, False])
def test_a_lost_component_is_reseeded_within_a_fit(reseed, monkeypatch):
    """One that is thrown far away in mid-training has members again at its end; without, it has none."""
    X, _ = make_blobs(400, centers=[[-6, 0], [6, 0], [0, 9]], random_state=0)
    thrown, check = [], TrainingHealth.check

    def throw(self, entry):
        if self.algorithm.n_iter >= 100 and not thrown:
            thrown.append(True)
            with torch.no_grad():
                self.model.prior.means[1] += 1000.0
        return check(self, entry)

    monkeypatch.setattr(TrainingHealth, "check", throw)
    monkeypatch.setattr("skmpcc.training.loop.N_INTERVALS", 25)
    # A faster encoder, or one without the norm, follows a component anywhere.
    params = {"reseed": reseed, "encoder_spectral_norm": True, "learning_rate": 5e-4}
    # Labels that teach to the end would be learned wherever components are.
    params["pseudo_label_share"] = 0.99
    clusterer = MPCCClusterer(3, max_iter=300, tol=0.0, preset_params=params, random_state=0, width=32)
    if not reseed:
        with pytest.warns(ConvergenceWarning, match="no sample"):
            clusterer.fit(X)
        assert len(np.unique(clusterer.labels_)) == 2
        assert np.abs(clusterer.means_).max() > 900
        return
    clusterer.fit(X)
    assert thrown
    assert len(np.unique(clusterer.labels_)) == 3
    assert np.abs(clusterer.means_).max() < 100


def test_trouble_is_named():
    health = build(max_iter=1000)
    healthy = {"discriminator": 1.0, "generator": 0.1}
    assert health.diagnose(healthy) is None
    assert "not finite" in health.diagnose(healthy | {"generator": math.nan})
    won = healthy | {"discriminator": 0.0}
    # At first it is no wonder.
    assert [health.diagnose(won) for _ in range(2 * health_module.PATIENCE)] == [
        None
    ] * 2 * health_module.PATIENCE
    health.algorithm.n_iter = 250
    won = [health.diagnose(won) for _ in range(health_module.PATIENCE)]
    assert won[:-1] == [None] * (health_module.PATIENCE - 1)
    assert "tells all generated" in won[-1]
    with torch.no_grad():
        for module in health.model.averaged_generator.norms:
            module.bias.weight.zero_()
            module.gain.weight.fill_(-1.0)
    health.algorithm.n_iter = 5
    assert [health.diagnose(healthy) for _ in range(health_module.PATIENCE)] == [
        None
    ] * health_module.PATIENCE
    health.algorithm.n_iter = 250
    constant = [health.diagnose(healthy) for _ in range(health_module.PATIENCE)]
    assert constant[:-1] == [None] * (health_module.PATIENCE - 1)
    assert "the same sample every time" in constant[-1]


def test_an_encoder_that_sees_no_difference_is_trouble():
    health = build(max_iter=1000)
    healthy = dict.fromkeys(("discriminator", "generator"), 1.0)
    health.algorithm.n_iter = 250
    health.model.update_averages(0.5)
    health.membership_change()
    assert [health.diagnose(healthy) for _ in range(5)] == [None] * 5
    health.model.averaged_encoder.mean[-1].register_forward_hook(
        lambda *seen: torch.zeros_like(seen[-1])
    )
    health.membership_change()
    found = [health.diagnose(healthy) for _ in range(health_module.PATIENCE)]
    assert found[:-1] == [None] * (health_module.PATIENCE - 1)
    assert "same code" in found[-1]
    # at first it is no wonder
    health.algorithm.n_iter = 5
    assert [health.diagnose(healthy) for _ in range(2 * health_module.PATIENCE)] == [
        None
    ] * 2 * health_module.PATIENCE


@pytest.mark.parametrize("module", ["encoder", "generator"])
def test_codes_far_off_and_reconstructions_not_finite_are_trouble(module):
    health = build()
    health.model.update_averages(0.5)
    healthy = {"discriminator": 1.0, "generator": 0.1}
    assert health.diagnose(healthy) is None
    with torch.no_grad():
        if module == "encoder":
            health.model.averaged_encoder.mean[-1].bias.fill_(1e6)
        else:
            health.model.averaged_generator.norms[0].norm.running_mean.fill_(math.nan)
    assert "far from the mixture" in health.diagnose(healthy)


def far_rates(**parameters):
    X = np.random.default_rng(0).normal(size=(2, 2, 8, 8))
    X[0] += 40
    brief = {"max_iter": 3, "width": 8, "latent_dim": 4, "tol": 0.0, "random_state": 0}
    return MPCCClusterer(2, learning_rate=10.0, **brief | parameters), X


@pytest.mark.parametrize("n_init", [1, 2])
@pytest.mark.parametrize("looked_at", [True, False])
def test_rates_that_leave_no_usable_model_are_an_error(looked_at, n_init, monkeypatch):
    """Also where nothing is noticed before the end: averages may begin after the last check."""
    if not looked_at:
        monkeypatch.setattr(TrainingHealth, "diagnose", lambda self, losses: None)
    clusterer, X = far_rates(n_init=n_init)
    with pytest.raises(FloatingPointError, match=r"diverged.*codes are far.*Lower learning_rate"):
        clusterer.fit(X)
    assert not hasattr(clusterer, "labels_")


@pytest.mark.full_history
@pytest.mark.parametrize("n_bad", [1, 100])
def test_a_diverging_training_is_rolled_back_at_lower_rates(n_bad, monkeypatch):
    """Once in trouble it goes on; always in trouble it ends as it last was, and says so."""
    X = np.random.default_rng(0).normal(size=(60, 3))
    rates, bad = [], []
    diagnose = TrainingHealth.diagnose

    def look(self, losses):
        rates.append(float(self.algorithm.optimizers["generator"].rate))
        if losses["iteration"] == 8 and len(bad) < n_bad:
            bad.append(True)
            with torch.no_grad():
                self.model.prior.means.fill_(math.nan)
        return diagnose(self, losses)

    monkeypatch.setattr(TrainingHealth, "diagnose", look)
    clusterer = MPCCClusterer(
        3,
        max_iter=12,
        learning_rate=1e-3,
        preset_params={"learning_rate_decay": 0.0},
        pseudo_labels=None,
        width=8,
        random_state=0,
        tol=0.0,
    )
    if n_bad == 1:
        clusterer.fit(X)
        assert clusterer.n_iter_ == 12
        assert rates == pytest.approx([1e-3] * 8 + [5e-4] * 5)
    else:
        with pytest.warns(ConvergenceWarning, match=r"after iteration 7: .* not finite"):
            clusterer.fit(X)
        assert len(bad) == health_module.MAX_ROLLBACKS + 1
        assert rates[-1] == pytest.approx(1e-3 / 2**health_module.MAX_ROLLBACKS)
    assert np.isfinite(clusterer.means_).all()
    np.testing.assert_array_equal(clusterer.history_["iteration"], np.arange(1, clusterer.n_iter_ + 1))
    assert np.isfinite(clusterer.predict_proba(X)).all()


def test_learned_weights_follow_the_data():
    """Equal weights cannot make blobs of sizes 10 to 1."""
    X, _ = make_blobs([1000, 100], centers=[[-6, 0], [6, 0]], random_state=0)
    learned = MPCCClusterer(2, weights="learned", max_iter=200, width=64, random_state=0).fit(X)
    np.testing.assert_allclose(np.sort(learned.weights_), [1 / 11, 10 / 11], atol=0.02)
    np.testing.assert_array_equal(np.sort(np.bincount(learned.labels_)), [100, 1000])
    drawn = learned.sample(2000)[1]
    np.testing.assert_allclose(np.bincount(drawn) / 2000, learned.weights_, atol=0.03)
    uniform = MPCCClusterer(2, weights="uniform", max_iter=5, random_state=0).fit(X)
    np.testing.assert_array_equal(uniform.weights_, [0.5, 0.5])


@pytest.mark.full_history
@pytest.mark.parametrize("ema_start", [0, 6])
def test_a_rollback_before_the_first_entry_recovers(ema_start, monkeypatch):
    """Moments and averages go back, too: nothing that is not finite is left."""
    X = np.random.default_rng(0).normal(size=(60, 3))
    diagnose, bad = TrainingHealth.diagnose, []

    def look(self, losses):
        if not bad:
            bad.append(True)
            for tensors in self.algorithm.optimizers.state():
                for tensor in tensors:
                    tensor.fill_(math.nan)
            with torch.no_grad():
                self.model.prior.means.fill_(math.nan)
                for parameter in self.model.averaged_encoder.parameters():
                    parameter.fill_(math.nan)
        return diagnose(self, losses)

    monkeypatch.setattr(TrainingHealth, "diagnose", look)
    clusterer = MPCCClusterer(
        3,
        max_iter=12,
        pseudo_labels=None,
        width=8,
        tol=0.0,
        preset_params={"ema_start": ema_start},
        random_state=0,
    ).fit(X)
    assert clusterer.n_iter_ == 12
    assert np.isfinite(clusterer.predict_proba(X)).all()
    assert np.isfinite(clusterer.sample(5)[0]).all()


def poisoned(engine, place, at):
    """An engine that meets, once, what is not finite."""
    met = []

    class Poisoned(engine):
        def iteration(self, draw_real, draw_pairs=None, **options):
            if self.n_iter != at or met:
                return super().iteration(draw_real, draw_pairs, **options)
            met.append(place)
            if place == "batch":
                return super().iteration(
                    lambda: tuple(t * math.nan if t.is_floating_point() else t for t in draw_real()),
                    draw_pairs,
                    **options,
                )
            found = (
                [tensor for tensors in self.optimizers.state() for tensor in tensors]
                if place == "moments"
                else [t for name, t in self.model.state_dict().items() if name.startswith(place)]
            )
            assert found
            for tensor in found:
                if tensor.is_floating_point():
                    tensor.fill_(math.nan)
            return super().iteration(draw_real, draw_pairs, **options)

    return Poisoned, met


@pytest.mark.parametrize("at", [slow(0), 3, slow(7)])
@pytest.mark.parametrize(
    "place",
    ["generator", "discriminator", "encoder", "prior", "averaged_", "moments", "batch"],
)
@pytest.mark.parametrize(
    ("engine", "shape"),
    [(Algorithm1, (6,)), (FastAlgorithm1, (6,)), (FastAlgorithm1, (1, 8, 8))],
    ids=["plain", "fast", "images"],
)
def test_what_is_not_finite_is_overcome_wherever_it_comes_from(engine, shape, place, at):
    """Before the first check, while labels teach, and after."""
    settings = resolved(
        shape,
        max_iter=10,
        batch_size=16,
        discriminator_steps=1,
        encoder_steps=1,
        ema_start=0,
        ema_decay=0.5,
        tol=0.0,
        supervised_iter=5,
    )
    model = MPCCModel(SETTINGS, shape, 3, 0)
    data = torch.randn(60, *shape, generator=torch.Generator().manual_seed(1))
    factory, met = poisoned(engine, place, at)
    outcome = train(
        model,
        settings,
        data,
        torch.Generator().manual_seed(0),
        pseudo_labels=torch.arange(60) % 3,
        engine=factory,
    )
    assert met
    assert outcome.failure is None
    assert outcome.history["iteration"][-1] == 10
    assert all(torch.isfinite(tensor).all() for tensor in model.state_dict().values())
    assert all(np.isfinite(values).all() for values in outcome.history.values())


def test_averages_start_afresh_after_a_rollback_to_before_they_began():
    health = build(ema_start=3)
    algorithm, model = health.algorithm, health.model

    def iterate(n):
        for _ in range(n):
            algorithm.iteration(lambda: (health.x[:16],))

    iterate(3)
    assert model.has_averages
    assert not health.check({"discriminator": 1.0, "generator": math.nan})
    assert not model.has_averages
    iterate(2)
    assert model.has_averages
    for average, parameter in zip(
        model.averaged_generator.parameters(), model.generator.parameters(), strict=True
    ):
        assert torch.equal(average, parameter)


@pytest.mark.parametrize("as_images", [False, True])
def test_constant_data_are_fitted(as_images):
    X = np.full((60, 8, 8), 3.0) if as_images else np.full((60, 4), 3.0)
    clusterer = MPCCClusterer(2, max_iter=20, width=8, random_state=0)
    with pytest.warns(ConvergenceWarning, match="have no sample"):
        clusterer.fit(X)
    assert len(np.unique(clusterer.labels_)) == 1
    np.testing.assert_array_equal(clusterer.cluster_centers_, 3.0)
    np.testing.assert_array_equal(clusterer.sample(5)[0], 3.0)
