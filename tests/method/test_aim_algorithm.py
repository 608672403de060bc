"""AIM's losses, networks and algorithm against closed forms and a loop written out by hand."""

import math

import numpy as np
import pytest
import torch
from scipy.special import expit
from support import generator, normal
from torch import nn

from skmpcc.method import losses
from skmpcc.method.aim import PENALTY_INTERVAL, AIMModel, AIMTraining
from skmpcc.method.networks import dcgan
from skmpcc.method.networks.layers import batch_norms
from skmpcc.method.networks.vector import FourierFeatures
from skmpcc.settings import AIMNetworkSettings, AIMSettingsOnData


def network_settings(**values):
    return AIMNetworkSettings(
        **{
            "latent_dim": 3,
            "width": 8,
            "conditioning": "embedding",
            "sharing": "discriminator",
            "min_std": 0.0,
            "generator_spectral_norm": False,
            "encoder_spectral_norm": False,
        }
        | values
    )


def model(shape=(4,), **values):
    return AIMModel(network_settings(**values), shape, 1)


BRIEF = {"max_iter": 10, "batch_size": 6, "ema_decay": 0.9999, "ema_start": 1000}


def training(model, **values):
    default = {"latent_loss_weight": 1.0 / model.sample_shape[0]}
    return AIMTraining(model, AIMSettingsOnData(**default | BRIEF | values), generator())


def draw():
    rng = generator(5)
    return lambda: (torch.randn((6, 4), generator=rng),)


def test_losses_are_logarithms_of_probabilities():
    real, fake = normal(50, seed=1) * 3, normal(50, seed=2) * 3
    p, q = expit(real.double().numpy()), expit(fake.double().numpy())
    expected = -np.log(p).mean() - np.log(1 - q).mean()
    assert float(losses.log_discriminator_loss(real, fake)) == pytest.approx(expected, rel=1e-5)
    assert float(losses.log_generator_loss(fake)) == pytest.approx(-np.log(q).mean(), rel=1e-5)
    squares = np.log(q) ** 2
    assert float(losses.log_generator_loss(fake, 2.0)) == pytest.approx(squares.mean(), rel=1e-5)


def test_the_prior_is_standard_normal_and_stays():
    m = model()
    assert float(m.prior.means.abs().max()) == 0.0
    assert torch.equal(m.prior.stds, torch.ones(1, 3))
    training(m).iteration(draw())
    assert float(m.prior.means.abs().max()) == 0.0
    assert torch.equal(m.prior.stds, torch.ones(1, 3))
    # log N(0; 0, I) in three dimensions
    density = float(m.prior.log_density(torch.zeros(1, 3)).detach())
    assert density == pytest.approx(-1.5 * math.log(2 * math.pi))


def test_one_iteration_is_that_of_the_paper():
    """The same as plain autograd and torch's own Adam, on networks without spectral norm."""
    shape, kwargs = (1, 28, 28), {"networks": "table3", "width": 4}
    rate, weight, x = 1e-3, 1 / 3, normal(6, *shape, seed=3).clamp(-1, 1)
    one, other = (model(shape, **kwargs) for _ in range(2))
    found = training(one, learning_rate=rate, latent_loss_weight=weight)
    out = found.iteration(lambda: (x,))

    trunk = {id(p) for p in other.discriminator.trunk.parameters()}
    own = [p for p in other.encoder.parameters() if id(p) not in trunk]
    # Algorithm1 draws y first, of which there is one.
    rng = generator()
    torch.rand(6, generator=rng)
    z = torch.randn((6, 3), generator=rng)
    d_adam = torch.optim.Adam(other.discriminator.parameters(), rate, betas=(0.5, 0.999))
    g_adam = torch.optim.Adam([*other.generator.parameters(), *own], rate, betas=(0.5, 0.999))
    other.train()
    fake = other.generator(z, None)
    bce = nn.functional.binary_cross_entropy_with_logits
    d_real, d_fake = other.discriminator(x), other.discriminator(fake.detach())
    d_loss = bce(d_real, torch.ones(6)) + bce(d_fake, torch.zeros(6))
    d_adam.zero_grad()
    d_loss.backward()
    d_adam.step()
    mean, log_variance = other.encoder(fake)
    latent = -torch.distributions.Normal(mean, torch.exp(0.5 * log_variance)).log_prob(z).sum(1).mean()
    g_loss = bce(other.discriminator(fake), torch.ones(6))
    g_adam.zero_grad()
    (g_loss + weight * latent).backward()
    g_adam.step()

    assert float(out["discriminator"]) == pytest.approx(d_loss.item(), rel=1e-4)
    assert float(out["generator"]) == pytest.approx(g_loss.item(), rel=1e-4)
    assert float(out["latent"]) == pytest.approx(latent.item(), rel=1e-4)
    for name in ("generator", "discriminator", "encoder"):
        for p, q in zip(getattr(one, name).parameters(), getattr(other, name).parameters(), strict=True):
            # Adam's first step is the rate times a sign, which rounding decides where a bias before a
            # batch-norm has no gradient.
            difference = (p - q).detach().abs().flatten()
            assert float(difference.max()) <= 2.1 * rate, name
            assert float(difference.median()) < 1e-5 or p.ndim == 1, name


def test_the_generator_s_step_leaves_the_shared_layers():
    m = model()
    algorithm = training(m)
    m.train()
    before = [p.detach().clone() for p in m.encoder.trunk.parameters()]
    own = [p.detach().clone() for p in m.encoder.mean.parameters()]
    algorithm._update_discriminator = lambda *_: torch.zeros(())
    algorithm.iteration(draw())
    assert all(torch.equal(a, b) for a, b in zip(before, m.encoder.trunk.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(own, m.encoder.mean.parameters(), strict=True))


def test_the_generator_minimizes_the_latent_loss_too():
    def moved(weight):
        m = model()
        training(m, latent_loss_weight=weight).iteration(draw())
        return m.generator.output.weight.detach()

    assert not torch.equal(moved(0.0), moved(10.0))


def test_rates_fall_with_the_root_of_the_epoch():
    algorithm = training(model(), learning_rate_schedule="epochs", n_samples=12, learning_rate=1e-2)
    rates = []
    for _ in range(5):
        algorithm.iteration(draw())
        rates.append(float(algorithm.optimizers["generator"].rate))
    expected = [1e-2 / math.sqrt(t) for t in (1, 1, 2, 2, 3)]
    assert rates == pytest.approx(expected)


def test_a_training_goes_on_from_its_state():
    draws = draw()
    algorithm = training(model(), discriminator_steps=2)
    algorithm.iteration(draws)
    state = algorithm.state()
    rng = generator(9)
    again = torch.randn((2, 6, 4), generator=rng)

    def batches():
        rows = iter(again)
        return lambda: (next(rows),)

    first = algorithm.iteration(batches())
    algorithm.load(state)
    second = algorithm.iteration(batches())
    assert first == second


def test_the_penalty_is_that_of_a_linear_score_s_gradient():
    """The gradient of w . x is w everywhere."""
    algorithm = training(model(), gradient_penalty=0.5)
    weights, x = normal(4, seed=1), normal(6, 4, seed=2).requires_grad_()
    assert float(algorithm._penalty(x @ weights, x)) == pytest.approx(
        0.5 * 0.5 * PENALTY_INTERVAL * float(weights.square().sum())
    )
    algorithm.n_iter = PENALTY_INTERVAL
    assert float(algorithm._penalty(x @ weights, x)) == pytest.approx(
        # of ten iterations
        (1 - PENALTY_INTERVAL / 10) * 0.25 * PENALTY_INTERVAL * float(weights.square().sum())
    )
    algorithm.n_iter = 1
    assert algorithm._penalty(x @ weights, x) == 0.0


def test_the_penalty_changes_the_discriminator():
    def moved(penalty):
        m = model(networks="fourier")
        training(m, gradient_penalty=penalty).iteration(draw())
        return m.discriminator.score.weight.detach()

    assert not torch.equal(moved(0.0), moved(10.0))


def test_the_power_is_for_when_the_noise_is_gone():
    algorithm = training(model(), input_noise_decay=0.5, generator_power=2.0, noise_std=0.3)
    scores = normal(50, seed=2)
    plain, squares = (losses.log_generator_loss(scores, power) for power in (1.0, 2.0))
    for n_iter, expected in ((0, plain), (4, plain), (5, squares)):
        algorithm.n_iter = n_iter
        assert algorithm._generator_loss(scores) == expected
    kept = training(model(), generator_power=2.0)
    assert kept._generator_loss(scores) == squares


def test_instance_noise_falls_to_nothing():
    algorithm = training(model(), input_noise_decay=0.8, noise_std=0.3)
    x = torch.zeros(5000, 4)
    stds = []
    for n_iter in (0, 4, 8, 9):
        algorithm.n_iter = n_iter
        stds.append(float(algorithm._noisy(x).std()))
    assert stds == pytest.approx([0.3, 0.15, 0, 0], rel=0.05)
    kept = training(model(), noise_std=0.3)
    kept.n_iter = 9
    assert float(kept._noisy(x).std()) == pytest.approx(0.3, rel=0.05)


def test_fourier_features_approximate_a_gaussian_kernel():
    """The mean product of features is exp(-frequency^2 |x - y|^2 / 2) (Rahimi and Recht, 2007)."""
    torch.manual_seed(0)
    features = FourierFeatures(3, 20_000, frequency=0.5)
    x, y = normal(7, 3, seed=1), normal(7, 3, seed=2)
    found = (features(x) * features(y)).mean(1) * 2
    expected = torch.exp(-0.5 * (0.5**2) * (x - y).square().sum(1))
    assert torch.allclose(found, expected, atol=0.03)
    assert FourierFeatures(3, 9, 1.0)(x).shape == (7, FourierFeatures(3, 9, 1.0).n_outputs) == (7, 8)


def test_without_sharing_the_encoder_has_layers_of_its_own():
    for shape, networks in (((4,), "fourier"), ((1, 28, 28), "table3")):
        m = model(shape, networks=networks, sharing="none")
        of_discriminator = {id(p) for p in m.discriminator.parameters()}
        assert not any(id(p) in of_discriminator for p in m.encoder.parameters())


def test_standing_statistics_of_the_encoder_are_those_of_generated_samples():
    """After one pass they are the batch's own, whatever the running ones were."""
    m = model((1, 28, 28), networks="table3", width=4)
    for norm in batch_norms(m.averaged_encoder):
        norm.running_mean.fill_(50.0)
    m.collect_standing_statistics(1, 64, generator(3))
    rng = generator(3)
    for _ in range(2):  # the generator's pass, and the encoder's
        y = m.prior.draw_labels(64, rng)
        z = m.prior.sample(y, rng)
    x = m.decode(z, y)
    settled = m.encode(x)[0]
    m.averaged_encoder.train()
    expected = m.averaged_encoder(x)[0]
    # Running variances are unbiased, those of a batch are not.
    assert torch.allclose(settled, expected, atol=0.05 * float(expected.detach().std()))


def test_identity_covariance():
    m = model(covariance="identity")
    training(m).iteration(draw())
    for encoder in (m.encoder, m.averaged_encoder):
        assert torch.equal(encoder(normal(5, 4))[1], torch.zeros(5, 3))


@pytest.mark.parametrize(
    ("table", "channels", "width", "latent_dim"), [("table3", 1, 64, 32), ("table4", 3, 128, 64)]
)
def test_networks_are_those_of_the_tables(table, channels, width, latent_dim):
    side = dcgan.TABLES[table].side
    m = model((channels, side, side), networks=table, width=width, latent_dim=latent_dim)
    layers = [
        [
            (type(layer).__name__, tuple(layer.weight.shape))
            for layer in module.modules()
            if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)
        ]
        for module in (m.generator, m.discriminator, m.encoder.body, m.encoder.mean)
    ]
    expected = {
        "table3": [
            [
                ("Linear", (1024, 32)),
                ("Linear", (6272, 1024)),
                ("ConvTranspose2d", (128, 64, 4, 4)),
                ("ConvTranspose2d", (64, 1, 4, 4)),
            ],
            [
                ("Conv2d", (64, 1, 4, 4)),
                ("Conv2d", (128, 64, 4, 4)),
                ("Linear", (1024, 6272)),
                ("Linear", (64, 1024)),
                ("Linear", (1, 64)),
            ],
            [("Conv2d", (64, 128, 4, 4))],
            [("Linear", (32, 576)), ("Linear", (32, 32))],
        ],
        "table4": [
            [
                ("ConvTranspose2d", (64, 1024, 4, 4)),
                ("ConvTranspose2d", (1024, 512, 4, 4)),
                ("ConvTranspose2d", (512, 256, 4, 4)),
                ("ConvTranspose2d", (256, 128, 4, 4)),
                ("ConvTranspose2d", (128, 3, 4, 4)),
            ],
            [
                ("Conv2d", (128, 3, 4, 4)),
                ("Conv2d", (256, 128, 4, 4)),
                ("Conv2d", (512, 256, 4, 4)),
                ("Conv2d", (1024, 512, 4, 4)),
                ("Linear", (1, 1024 * 4 * 4)),
            ],
            [
                ("Conv2d", (512, 1024, 4, 4)),
                ("Conv2d", (512, 512, 4, 4)),
                ("Conv2d", (256, 512, 2, 2)),
                ("Conv2d", (128, 256, 1, 1)),
            ],
            [("Linear", (64, 512)), ("Linear", (64, 64))],
        ],
    }[table]
    assert [
        [(name.removeprefix("Parametrized"), shape) for name, shape in part] for part in layers
    ] == expected
    x = m.generator(normal(2, latent_dim), None)
    assert x.shape == (2, channels, side, side)
    assert m.discriminator(x).shape == (2,)
    assert m.encoder(x)[0].shape == m.encoder(x)[1].shape == (2, latent_dim)


@pytest.mark.parametrize("table", ["table3", "table4"])
def test_a_look_at_codes_leaves_the_statistics_of_batch_norms(table):
    """A health check of a training in progress moved those of the encoder."""
    m = model((1, dcgan.TABLES[table].side, dcgan.TABLES[table].side), networks=table, width=4)
    m.train()
    before = {name: tensor.clone() for name, tensor in m.state_dict().items()}
    m.is_usable(normal(8, *m.sample_shape))
    assert all(torch.equal(tensor, before[name]) for name, tensor in m.state_dict().items())
    assert all(part.training for part in m.serving_encoder.modules())
