"""Losses of variational autoencoders against closed forms and slow ways, and their trainings."""

import math

import numpy as np
import pytest
import torch
from scipy import linalg, stats
from support import generator
from torch import distributions

from skmpcc.method import losses, variational
from skmpcc.method.prior import GaussianMixturePrior
from skmpcc.method.variational import VaDEModel, VAEModel, VariationalTraining
from skmpcc.settings import NetworkSettings, VariationalSettingsOnData

NETWORKS = NetworkSettings(
    latent_dim=4,
    conditioning="embedding",
    width=32,
    n_layers=2,
    generator_spectral_norm=False,
    encoder_spectral_norm=False,
    min_std=0.1,
    initial_log_variance=0.0,
)
TRAINING = {
    "max_iter": 300,
    "learning_rate": 3e-3,
    "ema_decay": "auto",
    "ema_start": 0,
    "batch_size": 64,
}


def normal_prior(latent_dim):
    prior = GaussianMixturePrior(1, latent_dim).double()
    prior.be_standard_normal()
    return prior


def mixture_prior(latent_dim=2):
    prior = GaussianMixturePrior(3, latent_dim, min_std=0.1).double()
    rng = np.random.default_rng(0)
    with torch.no_grad():
        prior.means.copy_(torch.as_tensor(rng.normal(size=(3, latent_dim))))
        prior.log_variances.copy_(torch.as_tensor(rng.normal(size=(3, latent_dim))))
        prior.weights.copy_(torch.tensor([0.2, 0.5, 0.3]))
    return prior


def codes(n, latent_dim, seed=0):
    rng = np.random.default_rng(seed)
    return torch.as_tensor(rng.normal(0.3, 1.5, (n, latent_dim)))


def vade_closed_form(mean, log_variance, gamma, prior):
    """The part of Jiang et al.'s equation 12 that is not the likelihood, for responsibilities gamma."""
    variances, means = prior.variances.detach(), prior.means.detach()
    spread = log_variance.exp()[:, None]
    of_components = 0.5 * (
        torch.log(2 * math.pi * variances) + (spread + (mean[:, None] - means) ** 2) / variances
    ).sum(2)
    weights = (gamma * (torch.log(prior.weights) - torch.log(gamma))).sum(1)
    entropy = 0.5 * (1 + math.log(2 * math.pi) + log_variance).sum(1)
    return (gamma * of_components).sum(1) - weights - entropy


def test_posterior_divergence_is_vades_five_terms():
    prior, n = mixture_prior(), 100_000
    mean, log_variance = torch.tensor([[0.4, -0.2]]).double(), torch.tensor([[-1.0, 0.3]]).double()
    noise = torch.randn(n, 2, generator=generator(), dtype=torch.float64)
    z = mean + torch.exp(0.5 * log_variance) * noise
    moments = mean.expand(n, 2), log_variance.expand(n, 2)
    with torch.no_grad():
        found = float(losses.posterior_divergence(*moments, z, prior))
        log_gamma = prior.log_responsibilities(z)
        # E[log q(z | x) + log q(y | z) - log p(y) - log p(z | y)], summed over y by q(y | z).
        joint = prior.joint_log_density(z)
        log_q = distributions.Normal(mean, torch.exp(0.5 * log_variance)).log_prob(z).sum(1)
        terms = log_q + (log_gamma.exp() * (log_gamma - joint)).sum(1)
    assert found == pytest.approx(float(terms.mean()), rel=1e-9)
    # The closed form takes one gamma for all draws, and so is an upper bound, tight at the best gamma.
    with torch.no_grad():
        gamma = torch.softmax(-prior.divergences(mean, log_variance) + prior.weights.log(), 1)
        bound = float(vade_closed_form(mean, log_variance, gamma, prior))
    assert found <= bound + 0.01
    # Where one component alone is near, they are the same.
    far = prior.means[:1].detach() * 40
    with torch.no_grad():
        prior.means[0] = far[0]
        z = far + torch.exp(0.5 * log_variance) * noise
        found = float(losses.posterior_divergence(far.expand(n, 2), moments[1], z, prior))
        gamma = torch.tensor([[1.0 - 2e-12, 1e-12, 1e-12]]).double()
        exact = float(vade_closed_form(far, log_variance, gamma, prior))
    assert found == pytest.approx(exact, rel=0.01)


def test_posterior_divergence_of_one_component_is_the_vaes():
    mean, log_variance = codes(7, 3), codes(7, 3, seed=1)
    found = losses.posterior_divergence(mean, log_variance, mean, normal_prior(3))
    wanted = distributions.kl_divergence(
        distributions.Normal(mean, torch.exp(0.5 * log_variance)), distributions.Normal(0.0, 1.0)
    )
    torch.testing.assert_close(found, wanted.sum(1).mean())


def test_wasserstein_is_the_distance_of_the_moments():
    mean = codes(50, 4)
    found = float(losses.wasserstein(mean, mean, mean, normal_prior(4)))
    m, S = mean.mean(0).numpy(), np.cov(mean.numpy().T)
    wanted = m @ m + np.trace(S + np.eye(4) - 2 * linalg.sqrtm(S).real)
    assert found == pytest.approx(wanted, rel=1e-5)
    assert losses.wasserstein(*[torch.zeros(50, 4)] * 3, None) == pytest.approx(4.0, rel=0.01)


def test_mmd_is_that_of_many_draws():
    z, n = codes(40, 3), 4000
    draws = torch.randn(n, 3, generator=generator(), dtype=torch.float64)
    widths = [3 * 4.0**power for power in range(losses.N_WIDTHS)]

    def kernel(a, b):
        return sum(torch.exp(torch.cdist(a, b) ** 2 / (-2 * width)) for width in widths) / len(widths)

    among = (kernel(z, z).sum() - losses.N_WIDTHS / len(widths) * len(z)) / (len(z) * (len(z) - 1))
    half = n // 2
    of_draws = kernel(draws[:half], draws[half:]).mean()
    wanted = float(among - 2 * kernel(z, draws).mean() + of_draws)
    assert float(losses.mmd(z, z, z, normal_prior(3))) == pytest.approx(wanted, abs=0.005)
    # Without bias: about zero, of either sign, for codes that are drawn from the prior.
    of_prior = [float(losses.mmd(*[draws[i : i + 100]] * 3, None)) for i in range(0, n, 100)]
    assert abs(np.mean(of_prior)) < 3 * stats.sem(of_prior)


@pytest.mark.parametrize("restriction", losses.RESTRICTIONS)
def test_gradients_of_restrictions(restriction):
    prior = mixture_prior() if restriction == "posterior" else normal_prior(2)
    noise = codes(6, 2, seed=2)

    def of_moments(mean, log_variance):
        z = mean + torch.exp(0.5 * log_variance) * noise
        return losses.RESTRICTIONS[restriction](mean, log_variance, z, prior)

    inputs = [codes(6, 2, seed=seed).requires_grad_() for seed in range(2)]
    assert torch.autograd.gradcheck(of_moments, inputs)


def training(model, **changes):
    settings = VariationalSettingsOnData(**TRAINING | {"total_variance": 8.0} | changes)
    return VariationalTraining(model, settings, generator())


def blobs(n=300):
    rng = np.random.default_rng(0)
    y = torch.as_tensor(rng.integers(3, size=n))
    centres = torch.as_tensor(rng.normal(0, 1.2, (3, 6))).float()
    return centres[y] + 0.1 * torch.as_tensor(rng.normal(size=(n, 6))).float(), y


def drawing(*data):
    rng = generator()

    def draw():
        rows = torch.randint(len(data[0]), (64,), generator=rng)
        return [each[rows] for each in data]

    return draw


@pytest.mark.parametrize("restriction", losses.RESTRICTIONS)
def test_a_vae_learns_to_reconstruct(restriction):
    x, _ = blobs()
    run = training(VAEModel(NETWORKS, (6,), 1), restriction=restriction)
    first = run.iteration(drawing(x))
    for _ in range(299):
        last = run.iteration(drawing(x))
    assert float(last["reconstruction"]) < 0.1 * float(first["reconstruction"])
    codes_now = run.model.encode(x)[0]
    if restriction != "posterior":
        assert abs(float(torch.linalg.eigvalsh(codes_now.T.cov()).mean()) - 1) < 0.5
    # N(0, I) is not learned.
    assert not run.model.prior.means.any()
    assert torch.equal(run.model.prior.stds, torch.ones(1, 4))


def test_vade_learns_the_labels_that_it_is_told():
    x, y = blobs()
    run = training(VaDEModel(NETWORKS, (6,), 3), supervised_iter=300, label_weight=10.0)
    for _ in range(300):
        run.iteration(drawing(x, y))
    codes_now = run.model.encode(x)[0]
    assert float((run.model.prior.most_probable(codes_now) == y).float().mean()) > 0.98
    rebuilt = run.model.decode(codes_now, y)
    assert float((rebuilt - x).square().mean() / x.var()) < 0.05
    # x depends on z alone.
    assert torch.equal(rebuilt, run.model.decode(codes_now, (y + 1) % 3))


def test_labels_teach_for_so_many_iterations_alone(monkeypatch):
    x, y = blobs()
    told = []
    original = losses.cluster_loss
    monkeypatch.setattr(
        losses, "cluster_loss", lambda log_q, y: told.append(len(y)) or original(log_q, y)
    )
    run = training(VaDEModel(NETWORKS, (6,), 3), supervised_iter=2)
    for _ in range(5):
        run.iteration(drawing(x, y))
    assert told == [64, 64]


def test_a_fixed_variance_weighs_the_error():
    """-log p(x | z) of the thesis' 1/2 is the sum of squares, that of a learned one its logarithm."""
    error, n_inputs = torch.tensor(0.3), 6
    run = training(VAEModel(NETWORKS, (6,), 1), likelihood_std=math.sqrt(0.5))
    assert float(run._likelihood_loss(error, n_inputs)) == pytest.approx(0.3 * 8.0)
    run = training(VAEModel(NETWORKS, (6,), 1))
    found = float(run._likelihood_loss(error, n_inputs))
    assert found == pytest.approx(3 * math.log(0.3), rel=1e-3)


def test_standing_statistics_are_those_of_codes_of_the_data():
    x, _ = blobs()
    run = training(VAEModel(NETWORKS, (6,), 1))
    for _ in range(100):
        run.iteration(drawing(x))
    model = run.model
    model.prepare_for_inference(32, 128, generator(), x)
    norm = model.averaged_generator.norms[0].norm
    mean, log_variance = model.encode(x.double())
    noise = torch.randn(mean.shape, generator=generator(), dtype=torch.float64)
    z = variational.reparameterized(mean, log_variance, noise)
    hidden = model.averaged_generator.layers[0](z).detach()
    scale = hidden.std(0).mean()
    torch.testing.assert_close(norm.running_mean, hidden.mean(0), atol=0.1 * scale, rtol=0.0)
    torch.testing.assert_close(norm.running_var, hidden.var(0), atol=0.0, rtol=0.1)
    # Of draws from the prior, which training never saw, they would differ.
    of_prior = model.averaged_generator.layers[0](torch.randn(4096, 4, dtype=torch.float64))
    assert (of_prior.var(0) / norm.running_var - 1).abs().max() > 0.1


def test_learned_weights_follow_memberships():
    x, y = blobs()
    x, y = x[y != 2], y[y != 2]
    run = training(VaDEModel(NETWORKS, (6,), 3), supervised_iter=300, weights="learned")
    for _ in range(300):
        run.iteration(drawing(x, y))
    assert float(run.model.prior.weights[2]) < 0.15


def test_state_goes_on_bit_for_bit():
    x, y = blobs()
    run = training(VaDEModel(NETWORKS, (6,), 3), supervised_iter=300)
    draw = drawing(x, y)
    for _ in range(3):
        run.iteration(draw)
    state, batches = run.state(), [draw() for _ in range(3)]
    results = []
    for each in (run, training(VaDEModel(NETWORKS, (6,), 3, seed=5), supervised_iter=300)):
        each.load(state)
        stream = iter(batches)
        for _ in range(3):
            each.iteration(lambda stream=stream: next(stream))
        results.append(each.model.own_state())
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])
