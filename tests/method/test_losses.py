import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import softmax

from skmpcc.method import losses
from skmpcc.method.prior import GaussianMixturePrior

SEEDS = st.integers(0, 10_000)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_hinge_losses(seed):
    random = np.random.default_rng(seed)
    real, fake = random.normal(scale=2, size=(2, 9))
    f, g = np.minimum(0, real - 1), np.minimum(0, -fake - 1)
    loss = losses.discriminator_loss(torch.as_tensor(real), torch.as_tensor(fake))
    np.testing.assert_allclose(loss, -(f.mean() + g.mean()))
    np.testing.assert_allclose(losses.generator_loss(torch.as_tensor(fake)), -fake.mean())


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_relativistic_losses_are_of_differences(seed):
    real, fake = np.random.default_rng(seed).normal(scale=2, size=(2, 9))
    scores = torch.as_tensor(real), torch.as_tensor(fake)
    loss = losses.discriminator_loss(*scores, "relativistic")
    np.testing.assert_allclose(loss, -stats.logistic.logcdf(real - fake).mean())
    of_generator = losses.generator_loss(scores[1], scores[0])
    np.testing.assert_allclose(of_generator, -stats.logistic.logcdf(fake - real).mean())


def test_gradient_penalty_is_half_the_mean_square_norm():
    """Of a linear score, whose gradient is the same everywhere."""
    generator = torch.Generator().manual_seed(0)
    x, noise = torch.randn(2, 20_000, 7, generator=generator, dtype=torch.float64)
    weight = torch.randn(7, generator=generator, dtype=torch.float64)
    penalty = losses.gradient_penalty(x @ weight, (x + losses.PENALTY_STD * noise) @ weight)
    np.testing.assert_allclose(penalty, 0.5 * weight.square().sum(), rtol=0.05)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
@example(seed=4034)  # a log-variance below the least
def test_latent_loss_is_the_negative_log_density_of_the_encoder(seed):
    random = np.random.default_rng(seed)
    deviation, mean, log_variance = random.normal(size=(3, 8, 5))
    std = np.exp(0.5 * log_variance.clip(losses.MIN_LOG_VARIANCE))
    z = mean + deviation.clip(-losses.MAX_DEVIATION, losses.MAX_DEVIATION) * std
    density = stats.norm(mean, std).logpdf(z)
    loss = losses.latent_loss(*map(torch.as_tensor, (z, mean, log_variance)))
    np.testing.assert_allclose(loss, -density.sum(1).mean())


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_cluster_loss_is_the_cross_entropy(seed):
    random = np.random.default_rng(seed)
    logits = random.normal(scale=3, size=(8, 5))
    y = random.integers(5, size=8)
    expected = -np.log(softmax(logits, axis=1)[np.arange(8), y]).mean()
    loss = losses.cluster_loss(torch.log_softmax(torch.as_tensor(logits), 1), torch.as_tensor(y))
    np.testing.assert_allclose(loss, expected)


def test_prior_entropy_loss_against_scipys_entropies():
    random = np.random.default_rng(0)
    weights, variances = random.dirichlet(np.ones(4)), random.gamma(2, size=(4, 6))
    entropies = [stats.multivariate_normal(np.zeros(6), np.diag(v)).entropy() for v in variances]
    expected = (weights * (np.log(weights) - np.array(entropies) / 6)).sum()
    loss = losses.prior_entropy_loss(torch.as_tensor(weights), torch.as_tensor(variances))
    np.testing.assert_allclose(loss, expected)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_prior_entropy_loss_against_a_monte_carlo_estimate(seed):
    """E[log p(y)] + E[log p(z | y)] / J over draws of y and z."""
    torch.manual_seed(seed)
    prior = GaussianMixturePrior(5, 3).double()
    with torch.no_grad():
        prior.log_variances.normal_()
        prior.weights.copy_(torch.distributions.Dirichlet(torch.ones(5).double()).sample())
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        y = prior.draw_labels(200_000, generator)
        z = prior.sample(y, generator)
        draws = prior.weights.log()[y] + prior.component_log_density(z)[torch.arange(len(y)), y] / 3
        loss = losses.prior_entropy_loss(prior.weights, prior.variances)
    error = draws.std() / len(draws) ** 0.5
    assert abs(draws.mean() - loss) < 4 * error


@pytest.mark.parametrize("name", ["discriminator", "generator", "latent", "cluster", "prior_entropy"])
def test_gradients(name):
    torch.manual_seed(0)

    def leaf(*shape):
        return torch.randn(*shape, dtype=torch.float64, requires_grad=True)

    y = torch.tensor([0, 2, 1])
    function, inputs = {
        "discriminator": (losses.discriminator_loss, (leaf(6), leaf(6))),
        "generator": (losses.generator_loss, (leaf(6),)),
        "latent": (losses.latent_loss, (leaf(3, 4), leaf(3, 4), leaf(3, 4))),
        "cluster": (lambda t: losses.cluster_loss(torch.log_softmax(t, 1), y), (leaf(3, 3),)),
        "prior_entropy": (
            lambda v: losses.prior_entropy_loss(torch.full((3,), 1 / 3).double(), v.exp()),
            (leaf(3, 4),),
        ),
    }[name]
    assert torch.autograd.gradcheck(function, inputs)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_consistency_loss_is_the_mean_log_ratio(seed):
    """-log sum_k q_ik q_jk / p_k pair by pair; for several classifiers at once each by itself."""
    logits = np.random.default_rng(seed).normal(scale=3, size=(2, 4, 7, 3))
    q, r = softmax(logits, axis=-1)
    expected = []
    for some, other in zip(q, r, strict=True):
        share = np.concatenate([some, other]).mean(axis=0)
        ratios = [
            sum(a[k] * b[k] / share[k] for k in range(3)) for a, b in zip(some, other, strict=True)
        ]
        expected.append(-np.log(ratios).mean())
    loss = losses.consistency_loss(torch.as_tensor(q).log(), torch.as_tensor(r).log())
    np.testing.assert_allclose(loss, expected)


def test_latent_loss_of_an_encoder_that_is_far_too_sure_is_bounded():
    z, mean = torch.tensor([[3.0, 0.0]]), torch.zeros(1, 2)
    sure = torch.tensor([[-70.0, -70.0]]).requires_grad_()
    floor = torch.full((1, 2), losses.MIN_LOG_VARIANCE)
    loss = losses.latent_loss(z, mean, sure)
    torch.testing.assert_close(loss, losses.latent_loss(z, mean, floor))
    loss.backward()
    # Back up where the mean is wrong, and not where it is right.
    assert sure.grad[0, 0] < 0 < sure.grad[0, 1]
    torch.testing.assert_close(sure.grad, losses.latent_gradient(z, mean, sure.detach())[1])


def test_latent_loss_of_codes_that_are_encoded_far_away_grows_with_their_distance():
    """Up to there it is the negative log-density; beyond, its slope stays."""
    limit, log_variance = losses.MAX_DEVIATION, torch.tensor([[np.log(0.25)]])
    z = torch.tensor([[0.5 * limit]])
    near, at, far, farther = (
        float(losses.latent_loss(factor * z, torch.zeros(1, 1), log_variance))
        for factor in (0.5, 1.0, 2.0, 3.0)
    )
    assert near == pytest.approx(-stats.norm(scale=0.5).logpdf(0.25 * limit))
    assert at == pytest.approx(-stats.norm(scale=0.5).logpdf(0.5 * limit))
    assert far - at == pytest.approx(limit**2)
    assert farther - far == pytest.approx(limit**2)


def test_consistency_loss_of_one_cluster_and_of_certain_ones():
    one = torch.tensor([[0.0, -1000.0]]).expand(6, 2)
    assert abs(float(losses.consistency_loss(one, one))) < 1e-6
    certain = torch.where(torch.eye(4, dtype=torch.bool), 0.0, -1000.0).repeat(3, 1)
    np.testing.assert_allclose(losses.consistency_loss(certain, certain), -np.log(4), rtol=1e-6)
    # neighbours in different clusters cost more than one cluster for all
    assert losses.consistency_loss(certain, certain.roll(1, 0)) > 0


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_written_out_gradients_are_autograds(seed):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        values = 2 * torch.randn(shape, generator=generator, dtype=torch.float64)
        return values.requires_grad_()

    def of_discriminator(real, fake):
        return losses.discriminator_gradient(torch.cat([real, fake]), len(real)).split(
            [len(real), len(fake)]
        )

    def relativistic(real, fake):
        return losses.discriminator_loss(real, fake, "relativistic")

    def of_relativistic(real, fake):
        return losses.discriminator_gradient(torch.cat([real, fake]), 7, "relativistic").split(7)

    def of_generator(*scores):
        return (losses.generator_gradient(*scores),)

    def of_penalty(scores, moved):
        gradient = losses.penalty_gradient(scores, moved)
        return -gradient, gradient

    for loss, gradient, fixed, variables in (
        (losses.discriminator_loss, of_discriminator, (), (normal(9), normal(7))),
        (relativistic, of_relativistic, (), (normal(7), normal(7))),
        (losses.generator_loss, of_generator, (), (normal(7),)),
        (
            lambda real, fake: losses.generator_loss(fake, real),
            lambda real, fake: of_generator(fake, real),
            (normal(7),),
            (normal(7),),
        ),
        (losses.gradient_penalty, of_penalty, (), (normal(7), normal(7))),
        (losses.latent_loss, losses.latent_gradient, (normal(8, 3),), (normal(8, 3), normal(8, 3))),
    ):
        expected = torch.autograd.grad(loss(*fixed, *variables), variables)
        with torch.no_grad():
            torch.testing.assert_close(gradient(*fixed, *variables), expected)


def test_reconstruction_is_relative_to_the_variance():
    x = torch.randn(200, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2.0
    variance = float(x.var(0, correction=0).sum())
    of_mean = losses.reconstruction_loss(x.mean(0).expand_as(x), x, variance)
    torch.testing.assert_close(float(of_mean), 1.0)
    rebuilt = (x + 1.0).requires_grad_()
    losses.reconstruction_loss(rebuilt, x, variance).backward()
    torch.testing.assert_close(
        rebuilt.grad, losses.reconstruction_gradient(rebuilt.detach(), x, variance)
    )
