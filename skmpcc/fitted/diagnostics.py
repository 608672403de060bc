"""Information that codes carry, and how near they are to the prior; see `metrics.latent_diagnostics`."""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp

from skmpcc.data.sliced import Rows
from skmpcc.fitted.model import FittedModel
from skmpcc.method import losses
from skmpcc.method.prior import LOG_TWO_PI

# Rows whose codes are compared with each other, and draws from the prior that are decoded.
MAX_PAIRS = 2048
# Variance of the means above which a dimension is in use (Burda et al., 2016).
ACTIVE = 0.01


def information_of_moments(means: NDArray, log_variances: NDArray) -> float:
    """Upper bound of I(x, z): entropy of a Gaussian with the moments of all codes, less that of each.

    By the law of total covariance, S = Cov(means) + D with D = diag(E[variances]). log|S| is taken as
    log|D| + log|I + D^-1/2 Cov D^-1/2|, which no dimension without information spoils.
    """
    spread = np.exp(log_variances).mean(axis=0)
    signal = (means - means.mean(axis=0)) / np.sqrt(spread)
    eigenvalues = np.linalg.eigvalsh(signal.T @ signal / len(means)).clip(min=0.0)
    unequal = (np.log(spread) - log_variances.mean(axis=0)).sum()
    return 0.5 * float(np.log1p(eigenvalues).sum() + max(unequal, 0.0))


def information_of_pairs(means: NDArray, log_variances: NDArray, noise: NDArray) -> float:
    """Lower bound of I(x, z) by the codes of n rows, at most log n (Poole et al., 2019, equation 12)."""
    codes = means + np.exp(0.5 * log_variances) * noise
    centre, precisions = means.mean(axis=0), np.exp(-log_variances)
    codes, means = codes - centre, means - centre
    # log q(z_i | x_j), but for a constant, by matrix products.
    squares = codes**2 @ precisions.T - 2 * codes @ (means * precisions).T
    densities = -0.5 * (squares + (means**2 * precisions + log_variances).sum(axis=1))
    mixture = logsumexp(densities, axis=1) - math.log(len(means))
    return float((densities.diagonal() - mixture).mean())


def _posterior_divergence(
    fitted: FittedModel, means: NDArray, log_variances: NDArray, n_draws: int, rng: Any
) -> float:
    """E[log q(z | x) - log p(z)]: in closed form of one component, otherwise by draws."""
    device = fitted.model.device
    mean, log_variance = (torch.as_tensor(each, device=device) for each in (means, log_variances))
    total = 0.0
    for _ in range(n_draws):
        noise = torch.as_tensor(rng.standard_normal(means.shape), device=device)
        z = mean + torch.exp(0.5 * log_variance) * noise
        divergences = losses.divergence_of_codes(mean, log_variance, z, fitted.model.prior)
        total += float(divergences.mean())
    return total / n_draws


@torch.no_grad()
def diagnostics(
    fitted: FittedModel, X: Rows, n_draws: int, rng: np.random.RandomState
) -> dict[str, float]:
    """Compute the figures of `metrics.latent_diagnostics`, by their names."""
    means, log_variances, error = fitted.posterior(X)
    n, latent_dim = means.shape
    some = rng.permutation(n)[:MAX_PAIRS]
    noise = rng.standard_normal((n_draws, len(some), latent_dim))
    pairs = [information_of_pairs(means[some], log_variances[some], each) for each in noise]
    information = information_of_moments(means, log_variances)
    divergence = _posterior_divergence(fitted, means, log_variances, n_draws, rng)
    prior = fitted.model.prior
    weights = prior.weights.double().cpu().numpy()
    labels = rng.choice(len(weights), MAX_PAIRS, p=weights / weights.sum())
    spread = prior.stds.cpu().numpy()[labels] * rng.standard_normal((MAX_PAIRS, latent_dim))
    codes = prior.means.cpu().numpy()[labels] + spread
    again = fitted.codes(fitted.decode(codes, labels))
    return {
        "information": information,
        # An estimate by few rows: its noise may carry it beyond the other bound.
        "information_low": min(float(np.mean(pairs)), information),
        "posterior_divergence": divergence,
        "marginal_divergence": divergence - information,
        "encoder_entropy": 0.5 * float((1.0 + LOG_TWO_PI + log_variances).sum(axis=1).mean()),
        "active_dims": int((means.var(axis=0) > ACTIVE).sum()),
        "reconstruction": error,
        "code_error": float(np.square(again - codes).mean()),
    }
