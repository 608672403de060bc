"""The mixture prior p(z) = sum_y p(y) p(z | y) of MPCC, with learnable means and variances.

The weights p(y) can be learned as well, which the paper leaves to future work.
"""

import math

import torch
from torch import Tensor, nn

LOG_TWO_PI = math.log(2.0 * math.pi)


class GaussianMixturePrior(nn.Module):
    """Mixture of diagonal Gaussians with learnable means and variances, and fixed or learned weights.

    Parameters
    ----------
    n_clusters, latent_dim : int
        K and J of the paper.
    min_std : float
        Floor of the standard deviations, 0.5 in the paper.
    std_floor : {"code", "additive", "threshold"}
        How the floor acts. The paper speaks of a minimum threshold: sigma = max(exp(v / 2), floor),
        whose gradient dies below the floor. The authors' code adds it: sigma = exp(v / 2) + floor.
        "threshold" and "additive" take this sigma everywhere, so that all losses are those of the
        distribution that is sampled. "code" has three variances, as the authors' code: it samples with
        the sum, takes densities with exp(v) + floor^2, and has exp(v) alone in Loss III.
    initial_log_variance : float
        Initial v; 1 in the authors' code.
    """

    weights: Tensor

    def __init__(
        self,
        n_clusters: int,
        latent_dim: int,
        *,
        min_std: float = 0.5,
        std_floor: str = "additive",
        initial_log_variance: float = 1.0,
    ) -> None:
        super().__init__()
        self.min_std = min_std
        self.std_floor = std_floor
        self.means = nn.Parameter(torch.empty(n_clusters, latent_dim))
        self.log_variances = nn.Parameter(
            torch.full((n_clusters, latent_dim), float(initial_log_variance))
        )
        # phi = 1 / K is not learned in the paper (section 3.3); here by `update_weights`.
        self.register_buffer("weights", torch.full((n_clusters,), 1.0 / n_clusters))
        # Orthonormal rows while K <= J, orthonormal columns beyond.
        nn.init.orthogonal_(self.means)

    @torch.no_grad()
    def be_standard_normal(self) -> None:
        """Make all components N(0, I), not to be learned."""
        self.min_std = 0.0
        for parameter in self.parameters():
            parameter.zero_()
        self.requires_grad_(False)

    @property
    def stds(self) -> Tensor:
        """sigma of what is sampled, shape (K, J)."""
        return self.floored(torch.exp(0.5 * self.log_variances))

    def floored(self, free: Tensor) -> Tensor:
        """sigma, of free standard deviations exp(v / 2)."""
        if self.std_floor == "threshold":
            return free.clamp_min(self.min_std)
        return free + self.min_std

    @property
    def variances(self) -> Tensor:
        """Variances of the densities, and so of the responsibilities and of L_c; shape (K, J)."""
        if self.std_floor == "code":
            return self.log_variances.exp() + self.min_std**2
        return self.stds.square()

    @property
    def entropy_variances(self) -> Tensor:
        """Variances in Loss III, shape (K, J).

        Those of "code" have no floor. Loss III then pushes each log-variance up by the same force
        wherever it is, and finds an equilibrium with the pull of L_q above the floor.
        """
        return self.log_variances.exp() if self.std_floor == "code" else self.stds.square()

    def reset_weights(self) -> None:
        """Make all weights 1 / K."""
        self.weights.fill_(1.0 / len(self.weights))

    @torch.no_grad()
    def set_weights(self, proportions: Tensor) -> None:
        """Take the proportions of labels as the weights, none of them zero, which has no logarithm."""
        tiny = torch.finfo(self.weights.dtype).eps
        self.weights.copy_(proportions.clamp_min(tiny))
        self.weights.div_(self.weights.sum())

    @torch.no_grad()
    def update_weights(self, proportions: Tensor, rate: Tensor | float) -> None:
        """Move the weights towards the clusters' proportions in real data, as phi in EM.

        No loss could do it, because all samples that the losses see are drawn by the weights
        themselves. No weight falls below a tenth of 1 / K, so that a component is never lost for good.
        At rate 0 nothing changes, not by rounding either.
        """
        before = self.weights
        rate = torch.as_tensor(rate, dtype=before.dtype, device=before.device)
        weights = before.lerp(proportions.to(before.dtype), rate).clamp_min_(0.1 / len(before))
        weights.div_(weights.sum())
        before.copy_(torch.where(rate > 0, weights, before))

    def draw_labels(self, n: int, rng: torch.Generator | None = None) -> Tensor:
        """Draw y ~ p(y), shape (n,), by the inverse of the cumulated weights."""
        weights = self.weights
        uniform = torch.rand(n, generator=rng, device=weights.device, dtype=weights.dtype)
        bounds = weights.cumsum(0)
        return torch.searchsorted(bounds[:-1], uniform * bounds[-1], right=True)

    def draw_noise(self, n: int, rng: torch.Generator | None = None) -> Tensor:
        """Draw eps ~ N(0, I), shape (n, J)."""
        means = self.means
        shape = (n, means.shape[1])
        return torch.randn(shape, generator=rng, device=means.device, dtype=means.dtype)

    def reparameterize(self, y: Tensor, noise: Tensor) -> Tensor:
        """z = mu_y + sigma_y * eps, differentiable in mu and sigma; shape (n, J)."""
        return self.means[y] + self.stds[y] * noise

    def sample(self, y: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """Draw z ~ p(z | y), shape (n, J)."""
        return self.reparameterize(y, self.draw_noise(len(y), rng))

    def component_log_density(self, z: Tensor) -> Tensor:
        """log N(z | mu_k, sigma_k^2) for every component; shape (n, K).

        The square is expanded into two matrix products, so that time and memory are linear in K and
        no (n, K, J) tensor exists. All is taken from the means' centre: the expansion cancels badly
        far from the origin.
        """
        centre = self.means.detach().mean(0)
        z, means = z - centre, self.means - centre
        precisions = self.variances.reciprocal()
        quadratic = (
            z.square() @ precisions.T
            - 2.0 * z @ (means * precisions).T
            + (means.square() * precisions).sum(1)
        )
        log_normaliser = (LOG_TWO_PI + self.variances.log()).sum(1)
        return -0.5 * (quadratic + log_normaliser)

    def joint_log_density(self, z: Tensor) -> Tensor:
        """log phi_k + log N(z | mu_k, sigma_k^2); shape (n, K)."""
        return self.weights.log() + self.component_log_density(z)

    def log_responsibilities(self, z: Tensor) -> Tensor:
        """log q(y = k | z), equation 9 by log-sum-exp; shape (n, K)."""
        return torch.log_softmax(self.joint_log_density(z), dim=1)

    def most_probable(self, z: Tensor) -> Tensor:
        """argmax_k q(y = k | z), shape (n,)."""
        return self.joint_log_density(z).argmax(1)

    def log_density(self, z: Tensor) -> Tensor:
        """log p(z) under the mixture; shape (n,)."""
        return torch.logsumexp(self.joint_log_density(z), dim=1)

    def divergences(self, mean: Tensor, log_variance: Tensor) -> Tensor:
        """KL(N(mean, exp(log_variance)) || N(mu_k, sigma_k^2)) for every component; shape (n, K).

        In closed form, and by matrix products as in `component_log_density`: the expected log-density of
        a draw, and the entropy of what it is drawn from.
        """
        spread = log_variance.exp() @ self.variances.reciprocal().T
        entropy = 0.5 * (1.0 + LOG_TWO_PI + log_variance).sum(1, keepdim=True)
        return 0.5 * spread - self.component_log_density(mean) - entropy


def divergences_from_gaussians(
    mean: Tensor, log_variance: Tensor, means: Tensor, covariances: Tensor
) -> Tensor:
    """KL(N(mean, exp(log_variance)) || N(m_k, S_k)) for Gaussians of full covariance; shape (n, K)."""
    factors = torch.linalg.cholesky(covariances)
    apart = (mean[:, None] - means).movedim(0, 2)
    quadratic = torch.linalg.solve_triangular(factors, apart, upper=False).square().sum(1).T
    precisions = torch.cholesky_inverse(factors).diagonal(dim1=1, dim2=2)
    spread = log_variance.exp() @ precisions.T
    log_determinant = 2.0 * factors.diagonal(dim1=1, dim2=2).log().sum(1)
    return 0.5 * (quadratic + spread + log_determinant - (1.0 + log_variance).sum(1, keepdim=True))
