"""Objectives of the classifiers of pseudo-labels, in addition to `losses.consistency_loss`."""

from torch import Tensor

from skmpcc.method.losses import log_mean_membership


def marginal_entropy(log_memberships: Tensor, log_shares: Tensor | None = None) -> Tensor:
    """Entropy of the mean membership, at most log K, where clusters are of equal size.

    Parameters
    ----------
    log_memberships : Tensor of shape (..., n, K)
    log_shares : Tensor of shape (K,), optional
        Logarithms of shares that clusters are expected to have. The entropy is then relative to them, at
        most 0, where the clusters have these shares.

    Returns
    -------
    entropy : Tensor of shape (...)
    """
    log_share = log_mean_membership(log_memberships)
    excess = log_share if log_shares is None else log_share - log_shares
    return -(log_share.exp() * excess).sum(-1)


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


def augmentation_loss(log_q: Tensor, log_q_view: Tensor) -> Tensor:
    """KL(q(y | x) || q(y | x')) of a sample and its augmented view, the first taken as given.

    Self-augmented training of W. Hu et al., "Learning Discrete Representations via Information
    Maximizing Self-Augmented Training", ICML 2017. No gradient goes through the sample's own
    memberships.

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
