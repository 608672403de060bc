import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from skmpcc.method import losses
from skmpcc.method.prior import GaussianMixturePrior


def random_prior(n_clusters=4, latent_dim=3, seed=0, **kwargs):
    prior = GaussianMixturePrior(n_clusters, latent_dim, **kwargs).double()
    random = np.random.default_rng(seed)
    with torch.no_grad():
        prior.means.copy_(torch.as_tensor(3 * random.normal(size=(n_clusters, latent_dim))))
        prior.log_variances.copy_(torch.as_tensor(random.normal(size=(n_clusters, latent_dim))))
        prior.weights.copy_(torch.as_tensor(random.dirichlet(np.ones(n_clusters))))
    return prior


def scipy_components(prior):
    means = prior.means.detach().numpy()
    variances = prior.variances.detach().numpy()
    return [
        stats.multivariate_normal(mean, np.diag(variance))
        for mean, variance in zip(means, variances, strict=True)
    ]


@settings(max_examples=25, deadline=None)
@given(
    n_clusters=st.integers(1, 7),
    latent_dim=st.integers(1, 6),
    offset=st.floats(-50, 50),
    seed=st.integers(0, 10_000),
    std_floor=st.sampled_from(["additive", "threshold", "code"]),
)
def test_densities_and_responsibilities_are_scipys(n_clusters, latent_dim, offset, seed, std_floor):
    prior = random_prior(n_clusters, latent_dim, seed, std_floor=std_floor)
    with torch.no_grad():
        prior.means += offset
    z = torch.as_tensor(offset + 4 * np.random.default_rng(seed + 1).normal(size=(11, latent_dim)))
    components = scipy_components(prior)
    logpdf = np.stack([c.logpdf(z.numpy()) for c in components], axis=-1).reshape(11, n_clusters)
    np.testing.assert_allclose(prior.component_log_density(z).detach(), logpdf, rtol=1e-8)

    weighted = prior.weights.numpy() * np.exp(logpdf)
    np.testing.assert_allclose(
        prior.log_density(z).detach(), np.log(weighted.sum(1)), rtol=1e-8, atol=1e-10
    )
    np.testing.assert_allclose(
        prior.log_responsibilities(z).exp().detach(),
        weighted / weighted.sum(1, keepdims=True),
        rtol=1e-6,
        atol=1e-12,
    )


def test_responsibilities_survive_where_densities_underflow():
    prior = random_prior()
    z = torch.full((2, 3), 1e4, dtype=torch.float64)
    log_responsibilities = prior.log_responsibilities(z)
    assert torch.isfinite(log_responsibilities.logsumexp(1)).all()
    torch.testing.assert_close(log_responsibilities.exp().sum(1), torch.ones(2).double())


def test_component_log_density_in_single_precision_far_from_the_origin():
    prior = random_prior()
    with torch.no_grad():
        prior.means += 1000
    z = prior.means.detach().repeat(3, 1) + 0.1
    exact = prior.component_log_density(z)
    prior.float()
    torch.testing.assert_close(
        prior.component_log_density(z.float()).double(), exact, rtol=1e-3, atol=1e-2
    )


def test_sample_has_the_component_moments():
    prior = random_prior()
    y = torch.arange(4).repeat(50_000)
    z = prior.sample(y, torch.Generator().manual_seed(0)).detach()
    for k in range(4):
        torch.testing.assert_close(z[y == k].mean(0), prior.means[k].detach(), atol=0.05, rtol=0)
        torch.testing.assert_close(z[y == k].std(0), prior.stds[k].detach(), atol=0.05, rtol=0.02)


def test_sample_is_reparameterised():
    prior = random_prior()
    y = torch.tensor([2, 2, 0])
    z = prior.sample(y, torch.Generator().manual_seed(1))
    noise = ((z - prior.means[y]) / prior.stds[y]).detach()
    z.sum().backward()
    expected = torch.zeros_like(prior.means)
    expected[2], expected[0] = 2.0, 1.0
    torch.testing.assert_close(prior.means.grad, expected)
    # d sigma / d v = exp(v / 2) / 2 for the additive floor
    slope = 0.5 * torch.exp(0.5 * prior.log_variances.detach())
    torch.testing.assert_close(prior.log_variances.grad[2], (noise[0] + noise[1]) * slope[2])


def test_labels_follow_the_weights():
    prior = random_prior()
    y = prior.draw_labels(100_000, torch.Generator().manual_seed(0))
    frequencies = torch.bincount(y, minlength=4) / len(y)
    torch.testing.assert_close(frequencies.double(), prior.weights, atol=0.01, rtol=0)


@pytest.mark.parametrize(
    ("floor", "log_variance", "std"),
    [
        ("additive", 1.0, np.exp(0.5) + 0.5),
        ("threshold", 1.0, np.exp(0.5)),
        ("additive", -20.0, 0.5 + np.exp(-10)),
        ("threshold", -20.0, 0.5),
    ],
)
def test_floor_of_sigma(floor, log_variance, std):
    prior = GaussianMixturePrior(2, 3, min_std=0.5, std_floor=floor).double()
    with torch.no_grad():
        prior.log_variances.fill_(log_variance)
    np.testing.assert_allclose(prior.stds.detach(), np.full((2, 3), std))
    np.testing.assert_allclose(prior.variances.detach(), np.full((2, 3), std**2))
    np.testing.assert_allclose(prior.entropy_variances.detach(), np.full((2, 3), std**2))


def test_three_variances_of_the_authors_code():
    prior = random_prior(min_std=0.5, std_floor="code")
    v = prior.log_variances.detach()
    torch.testing.assert_close(prior.stds.detach(), torch.exp(v / 2) + 0.5)
    torch.testing.assert_close(prior.variances.detach(), torch.exp(v) + 0.25)
    torch.testing.assert_close(prior.entropy_variances.detach(), torch.exp(v))


def gradient_of_sigma(std_floor, sigma, d, latent_dim):
    """d/dv of L_q / d + 0.01 Loss III at sigma, with the best encoder of samples that tell only y."""
    prior = GaussianMixturePrior(3, latent_dim, std_floor=std_floor).double()
    with torch.no_grad():
        prior.log_variances.fill_(2.0 * np.log(sigma - 0.5))
    y = torch.arange(3).repeat(2)
    # Two draws of eps with the moments of a standard normal.
    noise = torch.ones(6, latent_dim).double()
    noise[3:] = -1.0
    z = prior.reparameterize(y, noise)
    log_variance = prior.stds[y].square().log().detach()
    loss = losses.latent_loss(z, prior.means[y].detach(), log_variance) / d
    loss = loss + 0.01 * losses.prior_entropy_loss(prior.weights, prior.entropy_variances)
    (gradient,) = torch.autograd.grad(loss, prior.log_variances)
    return gradient


@pytest.mark.parametrize(
    ("d", "latent_dim", "sigma"), [(1024, 24, 0.872), (1024, 16, 1.389), (3072, 128, 0.658)]
)
def test_sigma_has_an_equilibrium_by_the_authors_three_variances(d, latent_dim, sigma):
    """0.5 / (1 - 0.01 d / J), for MNIST, Fashion-MNIST and CIFAR-10; one sigma for all falls forever."""
    assert sigma == pytest.approx(0.5 / (1 - 0.01 * d / latent_dim), abs=1e-3)
    assert (gradient_of_sigma("code", sigma - 0.01, d, latent_dim) < 0).all()
    assert (gradient_of_sigma("code", sigma + 0.01, d, latent_dim) > 0).all()
    for anywhere in (0.51, 0.8, 1.5, 3.0):
        assert (gradient_of_sigma("additive", anywhere, d, latent_dim) > 0).all()


@pytest.mark.parametrize("shape", [(3, 8), (8, 3), (5, 5)])
def test_initial_means_are_orthogonal(shape):
    means = GaussianMixturePrior(*shape).double().means.detach()
    gram = means @ means.T if shape[0] <= shape[1] else means.T @ means
    torch.testing.assert_close(gram, torch.eye(min(shape)).double(), atol=1e-6, rtol=0)


def test_initial_weights_are_uniform():
    np.testing.assert_allclose(GaussianMixturePrior(7, 2).weights, 1 / 7, rtol=1e-6)


def test_memory_of_memberships_has_no_n_k_j_tensor():
    """1000 x 1000 x 256 in double precision would be 2 GB; the largest tensor may be n x K."""
    prior = GaussianMixturePrior(1000, 256).double()
    z = torch.zeros(1000, 256).double()
    largest = 0

    class Recorder(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                largest = max(largest, out.numel())
            return out

    with Recorder(), torch.no_grad():
        prior.log_responsibilities(z)
    assert largest == 1000 * 1000


def test_weights_follow_shares_and_keep_a_tenth():
    prior = GaussianMixturePrior(4, 2)
    shares = torch.tensor([0.5, 0.3, 0.2, 0.0])
    prior.update_weights(shares, 0.5)
    torch.testing.assert_close(prior.weights, 0.5 * shares + 0.125)
    for _ in range(50):
        prior.update_weights(shares, 0.5)
    expected = torch.tensor([0.5, 0.3, 0.2, 0.025])
    torch.testing.assert_close(prior.weights, expected / expected.sum(), rtol=1e-2, atol=1e-2)
    assert prior.weights[3] > 0.02
    assert prior.weights.sum() == pytest.approx(1.0)


def test_weights_are_set_to_proportions():
    prior = GaussianMixturePrior(4, 2)
    shares = torch.tensor([0.7, 0.299, 0.001, 0.0])
    prior.set_weights(shares)
    torch.testing.assert_close(prior.weights, shares, atol=1e-6, rtol=1e-6)
    assert (prior.weights > 0).all()


def test_weights_stay_at_rate_zero():
    """Bit for bit: neither the floor nor the sum is looked at."""
    prior = GaussianMixturePrior(4, 2)
    prior.weights.copy_(torch.tensor([0.7, 0.3, 0.1, 0.001]))
    before = prior.weights.clone()
    prior.update_weights(torch.tensor([0.1, 0.2, 0.3, 0.4]), torch.tensor(0.0))
    assert torch.equal(prior.weights, before)
    prior.update_weights(torch.tensor([0.1, 0.2, 0.3, 0.4]), torch.tensor(0.01))
    assert not torch.equal(prior.weights, before)


def test_divergences_are_torchs():
    prior, rng = random_prior(), np.random.default_rng(1)
    mean, log_variance = (torch.as_tensor(rng.normal(size=(5, 3))) for _ in range(2))
    of_codes = torch.distributions.Normal(mean.unsqueeze(1), (0.5 * log_variance).exp().unsqueeze(1))
    components = torch.distributions.Normal(prior.means, prior.variances.sqrt())
    wanted = torch.distributions.kl_divergence(of_codes, components).sum(2)
    torch.testing.assert_close(prior.divergences(mean, log_variance), wanted)
    # None of a component from itself.
    own = prior.divergences(prior.means, prior.variances.log())
    assert own.diagonal().abs().max() < 1e-12
