"""Losses of the mixture and their gradients, written out: autograd takes several times as long."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from skmpcc.engine.flat import FlatParameters
from skmpcc.engine.projection import class_matrix, sum_by_class
from skmpcc.method import losses
from skmpcc.method.prior import LOG_TWO_PI, GaussianMixturePrior
from skmpcc.settings import ResolvedSettings


@dataclass(frozen=True)
class Draw:
    """Codes of one step, z = mu_y + sigma_y * eps.

    Attributes
    ----------
    y : Tensor of shape (n,)
    noise, z : Tensor of shape (n, J)
        eps and z.
    """

    y: Tensor
    noise: Tensor
    z: Tensor


class _Components:
    """Standard deviations and variances of the mixture, as they are between two updates of it.

    Attributes
    ----------
    free, stds, slope : Tensor of shape (K, J)
        exp(v / 2), sigma of what is sampled, and d sigma / d v.
    variances, variance_slope : Tensor of shape (K, J)
        Those of the densities, and their derivatives by v.
    """

    def __init__(self, prior: GaussianMixturePrior) -> None:
        self.free = torch.exp(0.5 * prior.log_variances.detach())
        self.stds = prior.floored(self.free)
        self.slope = 0.5 * self.free
        if prior.std_floor == "threshold":
            self.slope.mul_(self.free >= prior.min_std)
        if prior.std_floor == "code":
            squares = self.free.square()
            self.variances, self.variance_slope = squares + prior.min_std**2, squares
        else:
            self.variances = self.stds.square()
            self.variance_slope = (self.stds * self.slope).mul_(2.0)


@dataclass
class EncoderLosses:
    """Gradients and losses of an encoder's step with the mixture, beside the mixture's own gradient.

    Attributes
    ----------
    means, log_variances : Tensor
        Gradients with respect to the encoder's means, and to its log-variances of generated samples.
    terms : dict of Tensor
        The losses themselves, where they are wanted.
    proportions : Tensor of shape (K,) or None
        Mean memberships of the real samples, where weights follow them.
    """

    means: Tensor
    log_variances: Tensor
    terms: dict[str, Tensor]
    proportions: Tensor | None = None


class MixturePass:
    """Passes of the mixture by Losses I, II and III of Algorithm 1, which set its gradient.

    Parameters
    ----------
    prior : GaussianMixturePrior
    group : FlatParameters
        The prior's parameters.
    settings : ResolvedSettings
    """

    def __init__(
        self, prior: GaussianMixturePrior, group: FlatParameters, settings: ResolvedSettings
    ) -> None:
        self.prior = prior
        self.settings = settings
        self.to_means = group.gradients[id(prior.means)]
        self.to_log_variances = group.gradients[id(prior.log_variances)]
        self.all_classes = torch.arange(len(prior.means), device=prior.means.device)
        self.renew()

    def renew(self) -> None:
        """See that the mixture has been updated."""
        self.now = _Components(self.prior)

    def draw(self, y: Tensor, noise: Tensor) -> Draw:
        """Make codes of labels and of standard normal noise."""
        means = torch.index_select(self.prior.means.detach(), 0, y)
        z = torch.addcmul(means, torch.index_select(self.now.stds, 0, y), noise)
        return Draw(y, noise, z)

    def backward(self, draw: Draw, gradient: Tensor) -> None:
        """Set the mixture's gradient by that of drawn codes."""
        classes = class_matrix(draw.y, self.all_classes, gradient.dtype)
        sum_by_class(gradient, classes, self.to_means)
        sum_by_class(gradient * draw.noise, classes, self.to_log_variances)
        self.to_log_variances.mul_(self.now.slope)

    @torch.no_grad()
    def encoder_losses(
        self,
        draw: Draw,
        means: Tensor,
        log_variances: Tensor,
        labels: Sequence[Tensor],
        supervision: Tensor,
        *,
        wants_losses: bool,
    ) -> EncoderLosses:
        """Losses II and III, and those of real samples, of the encoder's first step.

        They are those of `Algorithm1`.

        Parameters
        ----------
        draw : Draw
            The codes that were decoded.
        means : Tensor of shape (n + m, J)
            The encoder's, of the decoded samples and of real ones, if there are any.
        log_variances : Tensor of shape (n, J)
            Of the decoded samples.
        labels : sequence of Tensor
            Of the real samples, which are pairs if consistency has a weight or labels have none.
        supervision : Tensor of shape ()
            What the weight of labels is multiplied by.
        wants_losses : bool
            Whether the losses themselves are wanted.
        """
        settings, n = self.settings, len(draw.z)
        moments = means[:n], log_variances
        to_means, to_log_variances = losses.latent_gradient(draw.z, *moments)
        to_means.mul_(settings.latent_loss_weight)
        to_log_variances.mul_(settings.latent_loss_weight)
        rows, n_generated = [draw.z, means[n:]], 0
        if settings.generated_cluster_weight:
            rows.append(means[:n])
            n_generated = n
        joint = _JointDensity(self.prior, self.now)
        log_q = joint.log_responsibilities(torch.cat(rows))
        of_codes, of_real, of_generated = log_q.split([n, len(means) - n, n_generated])
        gradients = [self._of_labels(of_codes.exp(), draw.y, of_codes.new_full((), 1.0 / n))]
        found = EncoderLosses(to_means, to_log_variances, {})
        if len(of_real):
            strength = supervision * (settings.label_weight / len(of_real))
            gradients.append(self._of_real(of_real, labels, strength, found, wants_losses=wants_losses))
        if n_generated:
            weight = of_generated.new_full((), settings.generated_cluster_weight / n)
            gradients.append(self._of_labels(of_generated.exp(), draw.y, weight))
        to_rows = joint.backward(torch.cat(gradients))
        to_z, to_real, to_generated = to_rows.split([n, len(means) - n, n_generated])
        if settings.prior_latent_gradient:
            to_z = to_z - to_means
        if n_generated:
            to_means.add_(to_generated)
        found.means = torch.cat([to_means, to_real])
        self.backward(draw, to_z)
        self.to_means.add_(joint.to_means)
        self.to_log_variances.add_(joint.to_log_variances)
        self._add_entropy()
        if wants_losses:
            found.terms |= {
                "latent": losses.latent_loss(draw.z, *moments),
                "cluster": losses.cluster_loss(of_codes, draw.y),
                "prior_entropy": losses.prior_entropy_loss(
                    self.prior.weights, self.prior.entropy_variances
                ),
            }
            if n_generated:
                found.terms["generated_cluster"] = losses.cluster_loss(of_generated, draw.y)
        return found

    @staticmethod
    def _of_labels(q: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        """Gradient of a cross-entropy with respect to log-densities."""
        index = y.unsqueeze(1)
        return torch.mul(q, weight).scatter_add_(1, index, -weight.expand(index.shape))

    def _of_real(
        self,
        log_q: Tensor,
        labels: Sequence[Tensor],
        strength: Tensor,
        found: EncoderLosses,
        *,
        wants_losses: bool,
    ) -> Tensor:
        """Gradient of what real samples add, by labels or as pairs, with respect to log-densities."""
        settings, q = self.settings, log_q.exp()
        if settings.weights == "learned":
            found.proportions = q.mean(0)
        paired = settings.consistency_weight or not (labels and settings.label_weight)
        if not paired:
            return self._of_labels(q, torch.cat(list(labels)), strength)
        out, loss = self._consistency(log_q, q, wants_losses=wants_losses)
        found.terms |= loss
        return out.add_(self._of_labels(q, torch.cat(list(labels)), strength)) if labels else out

    def _consistency(
        self, log_q: Tensor, q: Tensor, *, wants_losses: bool
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Gradient of `losses.consistency_loss` with respect to log-densities, and the loss."""
        n = len(log_q) // 2
        weight = self.settings.consistency_weight / n
        log_share = self._of_whole(losses.log_mean_membership(log_q))
        first, second = log_q.split(n)
        agreeing = torch.add(first, second).sub_(log_share)
        both = torch.softmax(agreeing, 1).mul_(weight)
        # By p(k), of which every row is a part.
        to_share = self._to_own(both.sum(0)).div_(2 * n)
        out = torch.exp(log_q - log_share).mul_(to_share)
        # As the gradient by log q goes on to log-densities.
        out.addcmul_(q, out.sum(1, keepdim=True).sub_(weight), value=-1.0)
        out.view(2, n, -1).sub_(both)
        if not wants_losses:
            return out, {}
        return out, {"consistency": -torch.logsumexp(agreeing, 1).mean()}

    def _of_whole(self, log_share: Tensor) -> Tensor:
        """log p(k) of the whole batch, of that of this process's share of it."""
        return log_share

    def _to_own(self, gradient: Tensor) -> Tensor:
        """The gradient of the whole batch's p(k), of that by this process's share."""
        return gradient

    def _add_entropy(self) -> None:
        """Add the gradient of Loss III."""
        prior, now = self.prior, self.now
        weights = prior.weights.mul(-self.settings.prior_entropy_weight / now.stds.shape[1])
        if prior.std_floor == "code":
            self.to_log_variances.add_(0.5 * weights.unsqueeze(1))
        else:
            self.to_log_variances.addcmul_(now.slope / now.stds, weights.unsqueeze(1))


class _JointDensity:
    """log phi_k + log N(z | mu_k, sigma_k^2) of rows of codes, as the prior has it, and its backward.

    Attributes
    ----------
    to_means, to_log_variances : Tensor of shape (K, J)
        After `backward`: gradients with respect to the mixture's parameters.
    """

    def __init__(self, prior: GaussianMixturePrior, now: _Components) -> None:
        means = prior.means.detach()
        self.centre = means.mean(0)
        self.means = means - self.centre
        self.variances, self.variance_slope = now.variances, now.variance_slope
        self.precisions = self.variances.reciprocal()
        self.scaled = self.means * self.precisions
        # Half the precisions, with the sign of the exponent, beside what z itself is multiplied by.
        self.factors = torch.cat([-0.5 * self.precisions, self.scaled], 1)
        exponent = torch.addcmul(self.variances.log(), self.means, self.scaled).sum(1)
        constant = 0.5 * LOG_TWO_PI * means.shape[1]
        self.constants = (prior.weights.log() - constant).sub_(exponent, alpha=0.5)

    def log_responsibilities(self, z: Tensor) -> Tensor:
        """log q(y | z), shape (n, K)."""
        z = z - self.centre
        self.z = torch.cat([z.square(), z], 1)
        return torch.log_softmax(torch.addmm(self.constants, self.z, self.factors.T), 1)

    def backward(self, gradient: Tensor) -> Tensor:
        """Turn the gradient with respect to log-densities into that with respect to z."""
        n_dims = self.means.shape[1]
        squares, level = torch.mm(gradient.T, self.z).split(n_dims, 1)
        total = gradient.sum(0).unsqueeze(1)
        along = torch.addcmul(level, self.means, total, value=-1.0)
        self.to_means = along * self.precisions
        # d / d variance = precision^2 (sum of p (z - mu)^2 - p variance) / 2
        spread = torch.addcmul(squares, self.means, level + along, value=-1.0)
        spread.addcmul_(self.variances, total, value=-1.0)
        slope = self.variance_slope * self.precisions.square()
        self.to_log_variances = spread.mul_(slope).mul_(0.5)
        twice, linear = torch.mm(gradient, self.factors).split(n_dims, 1)
        return torch.addcmul(linear, twice, self.z[:, n_dims:], value=2.0)
