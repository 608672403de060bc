"""Losses I, II and III of MPCC (equation 5) as functions of tensors.

Signs are those of quantities to minimise, batch means where there is a batch.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

LOG_TWO_PI = math.log(2.0 * math.pi)


def discriminator_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """Loss I as the discriminator sees it: the hinge of equation 6.

    The paper's ascent on min(0, D(x) - 1) + min(0, -D(x~) - 1), as a descent.
    """
    return functional.relu(1.0 - real_scores).mean() + functional.relu(1.0 + fake_scores).mean()


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
