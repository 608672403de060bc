"""Losses I, II and III of MPCC (equation 5) as functions of tensors.

Signs are those of quantities to minimise, batch means where there is a batch.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from skmpcc.prior import LOG_TWO_PI


def discriminator_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """Loss I as the discriminator sees it: the hinge of equation 6.

    The paper's ascent on min(0, D(x) - 1) + min(0, -D(x~) - 1), as a descent.
    """
    return functional.relu(1.0 - real_scores).mean() + functional.relu(1.0 + fake_scores).mean()


def discriminator_gradient(real_scores: Tensor, fake_scores: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of `discriminator_loss` by the real and the fake scores."""
    real = (real_scores < 1.0).to(real_scores.dtype).div_(-len(real_scores))
    fake = (fake_scores > -1.0).to(fake_scores.dtype).div_(len(fake_scores))
    return real, fake


def generator_loss(fake_scores: Tensor) -> Tensor:
    """Loss I as the generator and the prior see it: h = -D(x~) of equation 6."""
    return -fake_scores.mean()


def latent_loss(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Loss II, first term: L_q = -log q(z | x~), summed over J (equation 7).

    With the paper's constant log 2 pi; the authors' code has log pi, which no gradient sees.

    Parameters
    ----------
    z, mean, log_variance : Tensor of shape (n, J)
        The code that was decoded, and the encoder's output on the decoded sample.
    """
    scaled = (z - mean).square() * torch.exp(-log_variance)
    return 0.5 * (LOG_TWO_PI + log_variance + scaled).sum(1).mean()


def latent_gradient(z: Tensor, mean: Tensor, log_variance: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of `latent_loss` by the encoder's mean and log-variance."""
    error = mean - z
    mean_gradient = (error * torch.exp(-log_variance)).div_(len(z))
    return mean_gradient, (error * mean_gradient).mul_(-0.5).add_(0.5 / len(z))


def cluster_loss(log_responsibilities: Tensor, y: Tensor) -> Tensor:
    """Loss II, second term: L_c, the cross-entropy between y and q(y | z) (equation 8)."""
    return functional.nll_loss(log_responsibilities, y)


def prior_entropy_loss(weights: Tensor, variances: Tensor) -> Tensor:
    """Loss III: L_p, the mixture's negative entropy bound (equation 10).

    The entropies of the components are averaged over the J dimensions, as section 3.3 balances them.

    Parameters
    ----------
    weights : Tensor of shape (K,)
    variances : Tensor of shape (K, J)
    """
    component_entropy = 0.5 * (1.0 + LOG_TWO_PI + variances.log()).mean(1)
    return (weights * (weights.log() - component_entropy)).sum()


def cluster_entropy(log_memberships: Tensor) -> Tensor:
    """Entropy of the mean membership, at most log K, where clusters are of equal size.

    Parameters
    ----------
    log_memberships : Tensor of shape (..., n, K)

    Returns
    -------
    entropy : Tensor of shape (...)
    """
    log_share = _log_share(log_memberships)
    return -(log_share.exp() * log_share).sum(-1)


def neighbor_loss(log_q: Tensor, log_q_neighbor: Tensor) -> Tensor:
    """Disagreement of neighbours on their cluster: -log sum_k q(k | x) q(k | x') / p(k).

    With p(k) the mean membership this is minus the logarithm of the ratio p(x, x') / p(x) p(x') if
    neighbours share their component and are else independent. All samples in one cluster give 0,
    K clusters of equal size and of no doubt -log K. Not of the paper, which names consistency as a
    complement.

    Parameters
    ----------
    log_q, log_q_neighbor : Tensor of shape (..., n, K)
        log q(y | x) of samples and of a neighbour of each.

    Returns
    -------
    loss : Tensor of shape (...)
    """
    log_share = _log_share(torch.cat([log_q, log_q_neighbor], dim=-2))
    agreement = torch.logsumexp(log_q + log_q_neighbor - log_share.unsqueeze(-2), dim=-1)
    return -agreement.mean(-1)


def conditional_entropy(log_memberships: Tensor) -> Tensor:
    """Mean entropy of the memberships of one sample.

    Parameters
    ----------
    log_memberships : Tensor of shape (..., n, K)

    Returns
    -------
    entropy : Tensor of shape (...)
    """
    return -(log_memberships.exp() * log_memberships).sum(-1).mean(-1)


def view_loss(log_q: Tensor, log_q_view: Tensor) -> Tensor:
    """What a view's memberships lack of the sample's: KL(q(y | x) || q(y | x')), the first given.

    Self-augmented training of W. Hu et al., "Learning Discrete Representations via Information
    Maximizing Self-Augmented Training", ICML 2017. No gradient goes through the sample's own.

    Parameters
    ----------
    log_q, log_q_view : Tensor of shape (..., n, K)
        log q(y | x) of samples and of a view of each.

    Returns
    -------
    loss : Tensor of shape (...)
    """
    given = log_q.detach()
    return (given.exp() * (given - log_q_view)).sum(-1).mean(-1)


def _log_share(log_memberships: Tensor) -> Tensor:
    """log p(k) by the batch, shape (..., K)."""
    return torch.logsumexp(log_memberships, dim=-2) - math.log(log_memberships.shape[-2])
