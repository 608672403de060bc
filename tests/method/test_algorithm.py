import copy

import numpy as np
import pytest
import torch
from support import resolved

from skmpcc.method import losses
from skmpcc.method.algorithm import Algorithm1
from skmpcc.method.model import MPCCModel
from skmpcc.settings import NetworkSettings

SETTINGS = {"latent_dim": 4, "conditioning": "embedding", "width": 8}
SHAPES = [(6,), (1, 8, 8)]


def build(shape=(6,), seed=0, network=(), **training):
    model = MPCCModel(NetworkSettings(**SETTINGS | dict(network)), shape, 3, seed)
    settings = resolved(shape, **{"max_iter": 10, "batch_size": 16, "ema_start": 1} | training)
    return Algorithm1(model, settings, torch.Generator().manual_seed(seed))


def real(algorithm, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (algorithm.settings.batch_size, *algorithm.model.sample_shape)
    return torch.randn(shape, generator=generator)


def changed(model, before):
    """Names of the trained parameters that differ from `before`, the averages left out."""
    return {
        name
        for name, value in model.named_parameters()
        if not name.startswith("averaged_") and not torch.equal(value, before[name])
    }


def names(model, *modules):
    return {
        name
        for name, _ in model.named_parameters()
        if any(name.startswith(module + ".") for module in modules)
    }


def snapshot(model):
    return {name: value.detach().clone() for name, value in model.named_parameters()}


PHASES = {
    "discriminator": (lambda a: a.discriminator_phase(lambda: (real(a),)), {"discriminator"}),
    "generator": (lambda a: a.generator_phase(lambda: (real(a),)), {"generator", "prior"}),
    "encoder": (lambda a: a.encoder_step(None, with_prior=False), {"encoder"}),
    "encoder and prior": (lambda a: a.encoder_step(None, with_prior=True), {"encoder", "prior"}),
    "consistency": (
        lambda a: a.encoder_step(lambda: (real(a), real(a, 1)), with_prior=True),
        {"encoder", "prior"},
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("sharing", ["joint", "discriminator", "none"])
def test_each_phase_updates_its_parameters_and_no_others(shape, phase, sharing):
    algorithm = build(shape, network={"sharing": sharing}, discriminator_steps=1, consistency_weight=1.0)
    model = algorithm.model
    model.train()
    # Off centre, where the hinge holds back some samples: else the score's bias has gradient 1 - 1.
    score = model.discriminator.score
    torch.nn.init.constant_(score.bias, 1.0)
    step, modules = PHASES[phase]
    expected = names(model, *modules)
    if "encoder" in modules:
        # named_parameters() lists a shared trunk once, with the discriminator
        if sharing == "joint":
            expected |= names(model, "discriminator.trunk")
        assert sharing != "none" or names(model, "encoder.trunk") <= expected
    before = snapshot(model)
    step(algorithm)
    assert changed(model, before) == expected
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("sharing", ["joint", "discriminator", "none"])
def test_reconstruction_moves_the_encoder_only_where_asked(shape, sharing):
    for by_encoder in (False, True):
        algorithm = build(
            shape,
            network={"sharing": sharing},
            reconstruction_weight=1.0,
            reconstruction_by_encoder=by_encoder,
        )
        model = algorithm.model.train()
        before = snapshot(model)
        out = algorithm.generator_phase(lambda: (real(algorithm),))  # noqa: B023
        assert out.keys() == {"generator", "reconstruction"}
        # The log-variance has no part in a reconstruction.
        expected = names(model, "generator", "prior")
        if by_encoder:
            expected |= names(model, "encoder") - names(model, "encoder.log_variance")
            if sharing == "joint":
                expected |= names(model, "discriminator.trunk")
            elif sharing == "discriminator":
                expected -= names(model, "encoder.trunk")
        assert changed(model, before) == expected
        assert all(p.grad is None for p in model.parameters())


def test_reconstruction_is_learned():
    """The error of what is decoded falls, from about the variance, when it has a weight."""
    errors = {}
    for weight in (0.0, 10.0):
        algorithm = build(
            reconstruction_weight=weight,
            reconstruction_by_encoder=True,
            total_variance=6.0,
            learning_rate=3e-3,
        )
        x = real(algorithm)
        for _ in range(150 if weight else 1):
            out = algorithm.iteration(lambda: (x,))  # noqa: B023
        errors[weight] = out.get("reconstruction")
    assert errors[0.0] is None
    assert errors[10.0] < 0.5


@pytest.mark.parametrize("rate", ["prior", "networks"])
def test_rates_of_the_prior_in_the_generators_update(rate):
    """Adam's first step is of the size of the rate, wherever the gradient is not small."""
    algorithm = build(generator_prior_rate=rate, learning_rate=1e-3, prior_learning_rate=1e-1)
    before = algorithm.model.prior.means.detach().clone()
    algorithm.model.train()
    algorithm.generator_phase(lambda: (real(algorithm),))
    step = (algorithm.model.prior.means.detach() - before).abs().max()
    np.testing.assert_allclose(step, {"prior": 1e-1, "networks": 1e-3}[rate], rtol=0.01)


def expected_prior_gradient(algorithm, through_z):
    """The first encoder step's gradient on the prior, from the losses' definitions."""
    model = copy.deepcopy(algorithm.model).train()
    state = algorithm.rng.get_state()
    generator = torch.Generator()
    generator.set_state(state)
    y = model.prior.draw_labels(algorithm.settings.batch_size, generator)
    z = model.prior.sample(y, generator)
    fake = model.generator(z, y).detach()
    mean, log_variance = model.encoder(fake)
    code = z if through_z else z.detach()
    total = algorithm.settings.latent_loss_weight * losses.latent_loss(code, mean, log_variance)
    total = total + torch.nn.functional.cross_entropy(model.prior.joint_log_density(z), y)
    entropy = losses.prior_entropy_loss(model.prior.weights, model.prior.variances)
    total = total + algorithm.settings.prior_entropy_weight * entropy
    return torch.autograd.grad(total, [model.prior.means, model.prior.log_variances])


@pytest.mark.parametrize("through_z", [True, False])
def test_prior_gradient_of_the_first_encoder_step(through_z):
    algorithm = build(prior_latent_gradient=through_z, prior_entropy_weight=0.3)
    expected = expected_prior_gradient(algorithm, through_z)
    algorithm.model.train()
    seen = []
    step = algorithm.optimizers["prior"].step

    def see_gradients():
        seen.extend(p.grad.clone() for p in algorithm.model.prior.parameters())
        step()

    algorithm.optimizers["prior"].step = see_gradients
    algorithm.encoder_step(None, with_prior=True)
    for gradient, wanted in zip(seen, expected, strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-3, atol=1e-6)


def test_the_fakes_are_no_path_for_the_encoders_gradient():
    algorithm = build()
    algorithm.model.train()
    before = snapshot(algorithm.model)
    algorithm.encoder_step(None, with_prior=True)
    assert not changed(algorithm.model, before) & names(algorithm.model, "generator")


def test_consistency_is_asked_of_real_neighbors_in_the_first_encoder_step():
    algorithm = build(consistency_weight=0.5, encoder_steps=3)
    model, prior = algorithm.model, algorithm.model.prior
    drawn = []

    def draw_pairs():
        drawn.append((real(algorithm, 1), real(algorithm, 2)))
        return drawn[-1]

    expected = {}
    encoder_step = algorithm.encoder_step

    def spy(*args, **kwargs):
        if kwargs["with_prior"]:
            with torch.no_grad():
                codes = [model.encoder(real(algorithm, seed))[0] for seed in (1, 2)]
                log_q = [prior.log_responsibilities(z) for z in codes]
                expected["consistency"] = losses.consistency_loss(*log_q)
        return encoder_step(*args, **kwargs)

    algorithm.encoder_step = spy
    out = algorithm.iteration(lambda: (real(algorithm),), draw_pairs)
    assert len(drawn) == 1
    torch.testing.assert_close(out["consistency"], expected["consistency"], atol=1e-4, rtol=1e-4)
    off = build(consistency_weight=0.0)
    assert "consistency" not in off.iteration(lambda: (real(off),), draw_pairs)
    assert len(drawn) == 1


@pytest.mark.parametrize("weight", [0.0, 5.0])
def test_labels_of_real_samples_teach_by_their_weight(weight):
    def losses_of(label_weight):
        algorithm = build(consistency_weight=0.5, supervised_iter=2, label_weight=label_weight)
        algorithm._set_schedule()
        y, z = algorithm.draw()
        means, log_variances = algorithm.model.encoder(torch.cat([real(algorithm, k) for k in range(3)]))
        labels = (y, y.flip(0))
        loss, _ = algorithm._encoder_loss(z, y, means, log_variances, labels, with_prior=True)
        log_q = algorithm.model.prior.log_responsibilities(means[len(y) :])
        return loss, losses.cluster_loss(log_q, torch.cat(labels))

    loss, of_labels = losses_of(1.0)
    torch.testing.assert_close(losses_of(weight)[0], loss + (weight - 1.0) * of_labels)


def test_iteration_runs_the_phases_of_algorithm_1(monkeypatch):
    algorithm = build(discriminator_steps=3, encoder_steps=2)
    calls, batches = [], []

    def draw_real():
        batches.append(real(algorithm))
        return (batches[-1],)

    for name in ("discriminator_phase", "generator_phase", "encoder_step"):
        method = getattr(algorithm, name)

        def wrapped(*args, _name=name, _method=method, **kwargs):
            calls.append((_name, *kwargs.values()))
            return _method(*args, **kwargs)

        monkeypatch.setattr(algorithm, name, wrapped)
    algorithm.model.train()
    algorithm.iteration(draw_real)
    assert len(batches) == 3
    # Updates of the optimizers: the prior's are those of the generator and of the first encoder step.
    n_updates = [{float(n) for n in optimizer.state()[2::3]} for optimizer in algorithm.optimizers.all]
    assert n_updates == [{3.0}, {1.0}, {2.0}, {2.0}]
    assert calls == [
        ("discriminator_phase",),
        ("generator_phase",),
        ("encoder_step", True),
        ("encoder_step", False),
    ]


@pytest.mark.parametrize("shape", SHAPES)
def test_supervised_scores_add_the_projection_of_the_label(shape):
    """D(x, y) = D(x) + Embed(y) . h with an Embed of spectral norm 1, for supervised_iter iterations."""
    algorithm = build(shape, supervised_iter=2)
    model = algorithm.model.eval()
    x, y = real(algorithm), torch.arange(16) % 3
    embedding = algorithm.projection.embedding.detach()
    embedding = embedding / torch.linalg.svdvals(embedding)[0]
    for _ in range(100):  # to the end of the power iteration
        algorithm.projection._estimate()
    expected = model.discriminator(x) + (embedding[y] * model.discriminator.features(x)).sum(1)
    algorithm._set_schedule()
    torch.testing.assert_close(algorithm._scores(x, y), expected)
    torch.testing.assert_close(algorithm._scores(x, None), model.discriminator(x))
    algorithm.n_iter = 2
    algorithm._set_schedule()
    torch.testing.assert_close(algorithm._scores(x, y), model.discriminator(x))


def test_supervised_steps_learn_the_projection():
    algorithm = build(supervised_iter=2)
    seen = []
    for _ in range(4):
        seen.append(algorithm.projection.embedding.detach().clone())
        algorithm.iteration(lambda: (real(algorithm), torch.arange(16) % 3))
    assert not torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[1], seen[2])
    # no gradient, no step
    assert torch.equal(seen[2], seen[3])


@pytest.mark.parametrize("shape", SHAPES)
def test_averages_against_a_plain_loop(shape):
    """From ema_start on: copied once, then decay * average + (1 - decay) * weights."""
    algorithm = build(shape, ema_decay=0.8, ema_start=3)
    model = algorithm.model
    model.train()
    average = None
    for iteration in range(1, 8):
        algorithm.iteration(lambda: (real(algorithm),))
        now = {n: p.detach().clone() for n, p in model.generator.named_parameters()}
        if iteration == 3:
            average = now
        elif iteration > 3:
            average = {n: 0.8 * average[n] + 0.2 * now[n] for n in now}
    for name, value in model.averaged_generator.named_parameters():
        torch.testing.assert_close(value.detach(), average[name], rtol=1e-4, atol=1e-6)


def test_second_moments_decay_as_the_settings_say():
    assert {optimizer.beta2 for optimizer in build(beta2=0.9).optimizers.all} == {0.9}


@pytest.mark.parametrize(("decay", "share"), [("auto", 0.2), ("late", 0.05)])
def test_averages_by_name_reach_back_over_a_share_of_the_training(decay, share):
    """A weight that is constant from the start on is the running mean's of its last part or so."""
    algorithm = build(ema_decay=decay, ema_start=0)
    seen = []
    for n_iter in range(400):
        algorithm.n_iter = n_iter
        algorithm._set_schedule()
        seen.append(float(algorithm.averaging))
    assert seen[0] == 1.0
    weights = np.array(seen) * np.cumprod(np.append(1.0, 1.0 - np.array(seen[:0:-1])))[::-1]
    np.testing.assert_allclose(weights.sum(), 1.0, rtol=1e-5)
    age = (weights * np.arange(399, -1, -1)).sum()
    assert 0.5 * share * 400 < age < share * 400


@pytest.mark.parametrize(("shape", "n_iter"), [((6,), 100), ((1, 8, 8), 30)])
def test_normalised_weights_have_unit_spectral_norm_after_training(shape, n_iter):
    """Within what one power iteration per step leaves while the weights are still moving fast."""
    algorithm = build(shape, network={"width": 16})
    model = algorithm.model
    model.train()
    for _ in range(n_iter):
        algorithm.iteration(lambda: (real(algorithm),))
    model.eval()
    checked = 0
    for network in (model.generator, model.discriminator, model.encoder):
        for module in network.modules():
            if hasattr(module, "parametrizations"):
                largest = torch.linalg.matrix_norm(module.weight.detach().flatten(1), ord=2)
                assert 0.99 < largest < 1.25
                checked += 1
    assert checked > 10


def test_input_noise_is_for_discriminator_and_encoder():
    algorithm = build(noise_std=0.5)
    x = torch.zeros(1000, 6)
    noisy = algorithm._noisy(x)
    assert abs(noisy.std() - 0.5) < 0.02
    assert build()._noisy(x) is x
