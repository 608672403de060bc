"""Losses I, II and III of MPCC (equation 5), consistency of pairs, and losses of VAEs, as functions.

All are to be minimized, and are means over a batch where there is one.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from skmpcc.method.prior import LOG_TWO_PI, GaussianMixturePrior

# Of the encoder's q(z | x): a standard deviation of 0.14.
MIN_LOG_VARIANCE = -4.0
# Standard deviations of the encoder beyond which L_q grows no faster.
MAX_DEVIATION = 4.0
# Of the noise by which samples are moved to find how steep D is: images are from -1 to 1.
PENALTY_STD = 0.1
# Kernels of the maximum mean discrepancy, each four times as wide as the one before.
N_WIDTHS = 5


def discriminator_loss(real_scores: Tensor, fake_scores: Tensor, kind: str = "hinge") -> Tensor:
    """Loss I of the discriminator: the hinge of equation 6, or a relativistic loss.

    The hinge is the paper's ascent on min(0, D(x) - 1) + min(0, -D(x~) - 1), as a descent. The
    relativistic loss, -log s(D(x) - D(x~)) of pairs with the sigmoid s, is that of R3GAN (Huang et al.,
    2024): each real sample is told from a generated one, wherever the scores of both are.

    Parameters
    ----------
    real_scores, fake_scores : Tensor of shape (n,)
        D of real and of generated samples.
    kind : {"hinge", "relativistic"}

    Returns
    -------
    loss : Tensor of shape ()
    """
    if kind == "relativistic":
        return functional.softplus(fake_scores - real_scores).mean()
    return functional.relu(1.0 - real_scores).mean() + functional.relu(1.0 + fake_scores).mean()


def discriminator_gradient(scores: Tensor, n_real: int, kind: str = "hinge") -> Tensor:
    """Gradient of `discriminator_loss` with respect to scores, those of real samples first."""
    if kind == "relativistic":
        real, fake = scores.split([n_real, len(scores) - n_real])
        gradient = torch.sigmoid(fake - real).div_(n_real)
        return torch.cat([-gradient, gradient])
    side = torch.full_like(scores, 1.0 / (len(scores) - n_real))
    side[:n_real] = -1.0 / n_real
    # Beyond 1 of a real, and -1 of a generated sample, there is no gradient.
    return side.mul_(scores * side.sign() > -1.0)


def generator_loss(fake_scores: Tensor, real_scores: Tensor | None = None) -> Tensor:
    """Loss I of the generator and the prior: h = -D(x~) of equation 6, or -log s(D(x~) - D(x)).

    Parameters
    ----------
    fake_scores : Tensor of shape (n,)
    real_scores : Tensor of shape (n,), optional
        Those that a relativistic loss compares with.

    Returns
    -------
    loss : Tensor of shape ()
    """
    if real_scores is None:
        return -fake_scores.mean()
    return functional.softplus(real_scores - fake_scores).mean()


def generator_gradient(fake_scores: Tensor, real_scores: Tensor | None = None) -> Tensor:
    """Gradient of `generator_loss` with respect to the scores of generated samples."""
    if real_scores is None:
        return torch.full_like(fake_scores, -1.0 / len(fake_scores))
    return torch.sigmoid(real_scores - fake_scores).div_(-len(fake_scores))


def gradient_penalty(scores: Tensor, moved_scores: Tensor) -> Tensor:
    """Half the mean square norm of D's gradient, by its differences.

    Of a smooth D, (D(x + s e) - D(x))^2 / s^2 with standard normal e has the square norm as its
    expectation where s is small. Unlike the gradient, it needs no derivatives of derivatives.

    Parameters
    ----------
    scores, moved_scores : Tensor of shape (n,)
        D of samples, and of these moved by noise with the deviation `PENALTY_STD`.

    Returns
    -------
    penalty : Tensor of shape ()
    """
    return 0.5 * ((moved_scores - scores) / PENALTY_STD).square().mean()


def penalty_gradient(scores: Tensor, moved_scores: Tensor) -> Tensor:
    """Gradient of `gradient_penalty` by scores of moved samples; minus that by the others."""
    return (moved_scores - scores).div_(PENALTY_STD**2 * len(scores))


def log_discriminator_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """Loss of AIM's discriminator: -log s(D(x)) - log(1 - s(D(x~))) with the sigmoid s.

    Li et al. (2019), L_d of algorithm 1.

    Parameters
    ----------
    real_scores, fake_scores : Tensor of shape (n,)
        D of real and of generated samples, before the sigmoid.

    Returns
    -------
    loss : Tensor of shape ()
    """
    return functional.softplus(-real_scores).mean() + functional.softplus(fake_scores).mean()


def log_generator_loss(fake_scores: Tensor, power: float = 1.0) -> Tensor:
    """Loss of AIM's generator, the one that does not saturate: -log s(D(x~)) with the sigmoid s.

    Li et al. (2019), L_g of algorithm 1. With a power above 1, which is not of the paper, a sample
    counts the more, the surer the discriminator is that it is generated.

    Parameters
    ----------
    fake_scores : Tensor of shape (n,)
    power : float, default=1.0
        Power of each sample's part, before their mean.

    Returns
    -------
    loss : Tensor of shape ()
    """
    parts = functional.softplus(-fake_scores)
    return (parts if power == 1.0 else parts.pow(power)).mean()


def latent_loss(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Loss II, first term: L_q = -log q(z | x~), summed over J (equation 7).

    With the paper's constant log 2 pi; the authors' code has log pi, which no gradient sees. An encoder
    may be far too sure of a single sample, and its loss then is of any size, so that smaller
    log-variances than `MIN_LOG_VARIANCE` count as that. They keep a gradient, which brings them back.
    Codes farther from the mean than `MAX_DEVIATION` standard deviations count in proportion to their
    distance, by Huber's loss, which has the same gradient up to there: single samples that are encoded
    far away broke trainings of small tables.

    Parameters
    ----------
    z, mean, log_variance : Tensor of shape (n, J)
        The code that was decoded, and the encoder's output on the decoded sample.

    Returns
    -------
    loss : Tensor of shape ()
    """
    held = MIN_LOG_VARIANCE + (log_variance - log_variance.detach())
    log_variance = torch.where(log_variance < MIN_LOG_VARIANCE, held, log_variance)
    deviation = (z - mean) * torch.exp(-0.5 * log_variance)
    distance = functional.huber_loss(
        deviation, torch.zeros_like(deviation), reduction="none", delta=MAX_DEVIATION
    )
    return (0.5 * (LOG_TWO_PI + log_variance) + distance).sum(1).mean()


def latent_gradient(z: Tensor, mean: Tensor, log_variance: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of `latent_loss` with respect to the encoder's mean and log-variance."""
    error = mean - z
    precision = torch.exp(-0.5 * log_variance.clamp_min(MIN_LOG_VARIANCE))
    mean_gradient = (error * precision).clamp_(-MAX_DEVIATION, MAX_DEVIATION) * precision.div_(len(z))
    return mean_gradient, (error * mean_gradient).mul_(-0.5).add_(0.5 / len(z))


def reconstruction_loss(
    rebuilt: Tensor, x: Tensor, total_variance: float, observed: Tensor | None = None
) -> Tensor:
    """Square error of reconstructions G(E(x), y), relative to the data's variance.

    1 for a generator that knows nothing but the data's mean. Not of the paper: ALICE (Li et al., 2017)
    adds it to an adversarial model for the same reason, that what is decoded should be what was encoded.

    Parameters
    ----------
    rebuilt, x : Tensor of shape (n, ...)
    total_variance : float
        Sum of the inputs' variances.
    observed : Tensor of shape (n, ...), optional
        1 for the values that count, 0 for others; by default all count.

    Returns
    -------
    loss : Tensor of shape ()
    """
    return _differences(rebuilt, x, observed).square().sum() / (len(x) * total_variance)


def reconstruction_gradient(
    rebuilt: Tensor, x: Tensor, total_variance: float, observed: Tensor | None = None
) -> Tensor:
    """Gradient of `reconstruction_loss` with respect to the reconstructions."""
    return _differences(rebuilt, x, observed).mul_(2.0 / (len(x) * total_variance))


def _differences(rebuilt: Tensor, x: Tensor, observed: Tensor | None) -> Tensor:
    return rebuilt - x if observed is None else (rebuilt - x) * observed


def cluster_loss(log_responsibilities: Tensor, y: Tensor) -> Tensor:
    """Loss II, second term: L_c, the cross-entropy between y and q(y | z) (equation 8).

    Parameters
    ----------
    log_responsibilities : Tensor of shape (n, K)
        log q(y | z) of equation 9.
    y : Tensor of int64 of shape (n,)

    Returns
    -------
    loss : Tensor of shape ()
    """
    return functional.nll_loss(log_responsibilities, y)


def prior_entropy_loss(weights: Tensor, variances: Tensor) -> Tensor:
    """Loss III: L_p, the mixture's negative entropy bound (equation 10).

    The entropies of the components are averaged over the J dimensions, as section 3.3 balances them.

    Parameters
    ----------
    weights : Tensor of shape (K,)
    variances : Tensor of shape (K, J)

    Returns
    -------
    loss : Tensor of shape ()
    """
    component_entropy = 0.5 * (1.0 + LOG_TWO_PI + variances.log()).mean(1)
    return (weights * (weights.log() - component_entropy)).sum()


def consistency_loss(log_q: Tensor, log_q_other: Tensor, log_share: Tensor | None = None) -> Tensor:
    """Disagreement of pairs of samples on their cluster: -log sum_k q(k | x) q(k | x') / p(k).

    With p(k) the mean membership this is minus the logarithm of the ratio p(x, x') / p(x) p(x') for
    pairs that share their component and are otherwise independent. It is 0 if all samples are in one
    cluster, and -log K for K clusters of equal size without doubt. The paper names consistency as a
    complement, without a loss.

    Parameters
    ----------
    log_q, log_q_other : Tensor of shape (..., n, K)
        log q(y | x) of the first and of the second of each pair.
    log_share : Tensor of shape (..., K), optional
        log p(k), by default that of these pairs.

    Returns
    -------
    loss : Tensor of shape (...)
    """
    if log_share is None:
        log_share = log_mean_membership(torch.cat([log_q, log_q_other], dim=-2))
    agreement = torch.logsumexp(log_q + log_q_other - log_share.unsqueeze(-2), dim=-1)
    return -agreement.mean(-1)


def log_mean_membership(log_memberships: Tensor) -> Tensor:
    """log p(k), the mean over a batch of shape (..., n, K); shape (..., K)."""
    return torch.logsumexp(log_memberships, dim=-2) - math.log(log_memberships.shape[-2])


# ---- What holds the codes of a variational autoencoder to the prior: functions of mean and log-variance
# of q(z | x), a draw z from it, and the prior; means over a batch, or of a batch as a whole. The latter
# look at means, as the thesis does: draws that are noise alone would have the prior's distribution, too.


def posterior_divergence(
    mean: Tensor, log_variance: Tensor, z: Tensor, prior: GaussianMixturePrior
) -> Tensor:
    """KL(q(z | x) || p(z)) of a VAE (Kingma and Welling, 2014), and with a mixture of VaDE.

    With q(y | z) = p(y | z) the terms of VaDE (Jiang et al., 2017) add up to log q(z | x) - log p(z) at
    a draw z. Of a single component the divergence has a closed form.

    Parameters
    ----------
    mean, log_variance, z : Tensor of shape (n, J)
    prior : GaussianMixturePrior

    Returns
    -------
    loss : Tensor of shape ()
        In nats.
    """
    return divergence_of_codes(mean, log_variance, z, prior).mean()


def divergence_of_codes(
    mean: Tensor, log_variance: Tensor, z: Tensor, prior: GaussianMixturePrior
) -> Tensor:
    """`posterior_divergence` of each sample; shape (n,)."""
    if len(prior.weights) == 1:
        return prior.divergences(mean, log_variance).squeeze(1)
    return gaussian_log_density(z, mean, log_variance) - prior.log_density(z)


def gaussian_log_density(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """log N(z | mean, exp(log_variance)), of diagonal covariances; shape (n,)."""
    square = (z - mean).square() * torch.exp(-log_variance)
    return -0.5 * (LOG_TWO_PI + log_variance + square).sum(1)


def wasserstein(mean: Tensor, log_variance: Tensor, z: Tensor, prior: GaussianMixturePrior) -> Tensor:
    """Square 2-Wasserstein distance of N(0, I) from the Gaussian of a batch of codes.

    Equation 6.5 of Astorga's thesis (2021), |m|^2 + Tr(S + I - 2 S^(1/2)), by the eigenvalues of S.
    """
    centre = mean.mean(0)
    codes = mean - centre
    covariance = codes.T @ codes / (len(mean) - 1)
    # Eigenvalues that are equal have no gradient.
    roots = torch.linalg.eigvalsh(covariance + 1e-6 * torch.eye(len(covariance)).to(mean)).clamp_min(0)
    return centre.square().sum() + (roots.sqrt() - 1.0).square().sum()


def mmd(mean: Tensor, log_variance: Tensor, z: Tensor, prior: GaussianMixturePrior) -> Tensor:
    """Square maximum mean discrepancy of a batch of codes from N(0, I), without bias.

    The kernel is the mean of exp(-|z - z'|^2 / (2 w)) over widths w from J on, wider ones of which see
    codes that are far off. Its expectations over the normal have closed forms, as in the test of
    normality of Baringhaus and Henze (1988), so that nothing is drawn. Info-VAE (Zhao et al., 2019).
    """
    n, n_codes = mean.shape
    lengths = mean.square().sum(1)
    squares = lengths.unsqueeze(1) + lengths - 2.0 * mean @ mean.T
    terms = []
    for width in (n_codes * 4.0**power for power in range(N_WIDTHS)):
        among = (torch.exp(squares / (-2.0 * width)).sum() - n) / (n * (n - 1))
        to_normal = torch.exp(lengths / (-2.0 * (width + 1.0))).mean()
        of_normal = (width / (width + 2.0)) ** (0.5 * n_codes)
        scale = (width / (width + 1.0)) ** (0.5 * n_codes)
        terms.append(among - 2.0 * scale * to_normal + of_normal)
    return torch.stack(terms).mean()


RESTRICTIONS = {"posterior": posterior_divergence, "wasserstein": wasserstein, "mmd": mmd}
