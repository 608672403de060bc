"""Algorithm 1 by several processes, each with its share of every batch.

All processes draw the same whole batches from the same random stream, and each takes its rows. What is
not a mean over samples is put together: gradients before each update, the moments of batch-norms, the
mean membership of pairs. So an update is that of one process with the whole batch, but for rounding.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from skmpcc.engine.autograd import AutogradGenerator
from skmpcc.engine.dense import DenseConditionalNorm, DenseGenerator
from skmpcc.engine.fast import FastAlgorithm1
from skmpcc.engine.flat import FlatParameters
from skmpcc.engine.mixture import MixturePass
from skmpcc.method.model import MPCCModel
from skmpcc.method.networks.layers import BatchNorm, ConditionalBatchNorm, normalized_by
from skmpcc.method.optimizers import Adam
from skmpcc.method.prior import GaussianMixturePrior
from skmpcc.method.trainer import backward, step
from skmpcc.method.variational import VaDEModel, VariationalTraining
from skmpcc.settings import ResolvedSettings, VariationalSettingsOnData
from skmpcc.system.processes import Processes, Share


class DistributedAlgorithm1(FastAlgorithm1):
    """`FastAlgorithm1` by several processes.

    Parameters
    ----------
    model : MPCCModel
        Trained in place. It takes the first process's values.
    settings : ResolvedSettings
        With the size of the whole batch.
    rng : torch.Generator
        In the same state in all processes.
    processes : Processes

    Attributes
    ----------
    settings : ResolvedSettings
        With the size of this process's share of a batch.
    """

    def __init__(
        self,
        model: MPCCModel,
        settings: ResolvedSettings,
        rng: torch.Generator,
        processes: Processes,
    ) -> None:
        self.processes = processes
        self.share = processes.share(settings.batch_size)
        super().__init__(model, replace(settings, batch_size=self.share.sizes[processes.rank]), rng)
        modules: list[nn.Module] = [model] if self.projection is None else [model, self.projection]
        # Initial values may differ by rounding where processors do.
        processes.broadcast_([t for module in modules for t in module.state_dict().values()])

    def _passes(self) -> tuple[Callable, Callable, Callable]:
        of_discriminator, of_encoder, of_generator = super()._passes()
        moments = Moments(self.processes, self.share)
        if of_generator is DenseGenerator:
            norm = partial(_SynchronizedConditionalNorm, moments=moments)
            return of_discriminator, of_encoder, partial(DenseGenerator, make_norm=norm)
        return of_discriminator, of_encoder, partial(_SynchronizedGenerator, moments=moments)

    # ---- Draws of the whole batch

    def _draw_noise(self) -> tuple[Tensor, Tensor]:
        prior, n = self.model.prior, self.share.whole
        y = prior.draw_labels(n, self.rng)
        return self.share.take(y), self.share.take(prior.draw_noise(n, self.rng))

    def _draw_shape(self, shape: tuple[int, ...]) -> Tensor:
        n_batches = shape[0] // self.settings.batch_size
        return self.share.take(super()._draw_shape((n_batches * self.share.whole, *shape[1:])))

    # ---- What they put together

    def _step(self, *optimizers: Adam) -> None:
        """Update by the gradients of the whole batch.

        Parameters lie end to end, so that an update takes three messages at most.
        """
        _reduce_gradients(optimizers, self.processes, self.share)
        super()._step(*optimizers)

    def _mixture_pass(self) -> MixturePass:
        arguments = self.model.prior, self._flat.prior, self.settings
        return _MixtureOfAll(*arguments, self.processes, self.share)

    def _update_weights(self) -> None:
        if self._cluster_proportions is not None and self.settings.weights == "learned":
            self.processes.all_reduce(self._cluster_proportions.mul_(self.share.weight))
        super()._update_weights()

    def measured(self, losses: dict[str, Tensor]) -> dict[str, float]:
        """Return the losses of the whole batch."""
        return _measured_by_all(losses, self.processes, self.share)


class DistributedVariational(VariationalTraining):
    """`VariationalTraining` by several processes, for restrictions that are means over samples.

    Parameters
    ----------
    model : VaDEModel
        Trained in place. It takes the first process's values.
    settings : VariationalSettingsOnData
        With the size of the whole batch.
    rng : torch.Generator
        In the same state in all processes.
    processes : Processes
    """

    def __init__(
        self,
        model: VaDEModel,
        settings: VariationalSettingsOnData,
        rng: torch.Generator,
        processes: Processes,
    ) -> None:
        self.processes = processes
        self.share = processes.share(settings.batch_size)
        super().__init__(model, replace(settings, batch_size=self.share.sizes[processes.rank]), rng)
        self._moments = Moments(processes, self.share)
        processes.broadcast_(list(model.state_dict().values()))

    def _draw_normal(self, like: Tensor) -> Tensor:
        n_batches = len(like) // self.settings.batch_size
        whole = like.new_empty(()).expand(n_batches * self.share.whole, *like.shape[1:])
        return self.share.take(super()._draw_normal(whole))

    def _decode(self, z: Tensor) -> Tensor:
        with normalized_by(self.model.generator, partial(_normalized, self._moments)):
            return super()._decode(z)

    def _descend(self, loss: Tensor) -> None:
        optimizers = self.optimizers.all
        backward(loss, *optimizers)
        _reduce_gradients(optimizers, self.processes, self.share)
        step(*optimizers)

    def _log_mean_membership(self, log_q: Tensor) -> Tensor:
        own = super()._log_mean_membership(log_q)
        return _LogMeanOfAll.apply(own, self.processes, self.share)

    def _of_whole(self, mean: Tensor) -> Tensor:
        mean = mean * self.share.weight
        self.processes.all_reduce(mean)
        return mean

    def measured(self, losses: dict[str, Tensor]) -> dict[str, float]:
        """Return the losses of the whole batch."""
        return _measured_by_all(losses, self.processes, self.share)


def _reduce_gradients(optimizers: Iterable[Adam], processes: Processes, share: Share) -> None:
    """Turn the gradients of means over shares into those of means over whole batches."""
    gradients = [p.grad for each in optimizers for p in each.parameters if p.grad is not None]
    torch._foreach_mul_(gradients, share.weight)
    processes.all_reduce(*gradients)


def _measured_by_all(losses: dict[str, Tensor], processes: Processes, share: Share) -> dict[str, float]:
    whole = torch.stack(list(losses.values())) * share.weight
    processes.all_reduce(whole)
    return dict(zip(losses, whole.tolist(), strict=True))


class _LogMeanOfAll(torch.autograd.Function):
    """The logarithm of a mean over whole batches, from those over the processes' shares."""

    @staticmethod
    def forward(ctx: Any, log_mean: Tensor, processes: Processes, share: Share) -> Tensor:
        weighted = log_mean + math.log(share.weight)
        whole = torch.logsumexp(processes.gather(weighted), 0)
        ctx.save_for_backward(torch.exp(weighted - whole))
        ctx.processes, ctx.share = processes, share
        return whole

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        # Gradients are those of means over a share; their sum is of the whole batch.
        gradient = gradient * ctx.share.weight
        ctx.processes.all_reduce(gradient)
        return gradient * ctx.saved_tensors[0] / ctx.share.weight, None, None


class Moments:
    """Mean and variance over the whole batches of which the processes have their shares.

    Parameters
    ----------
    processes : Processes
    share : Share
    """

    def __init__(self, processes: Processes, share: Share) -> None:
        self.processes = processes
        self.share = share
        self._weights = torch.tensor(share.weights, device=processes.device).view(-1, 1, 1)

    def moments(self, batches: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Mean and biased variance of each channel in each whole batch; shape (n_batches, C)."""
        # By the pass of batch-norms, which is many times as fast as torch.var_mean on a CPU.
        own = [torch.stack(torch.batch_norm_update_stats(x, None, None, 0.0)) for x in batches]
        gathered = self.processes.gather(torch.stack(own, 1))
        means, variances = gathered.unbind(1)
        if self._weights.dtype != means.dtype:
            self._weights = means.new_tensor(self.share.weights).view(-1, 1, 1)
        mean = (self._weights * means).sum(0)
        return mean, (self._weights * (variances + (means - mean).square())).sum(0)

    def normalize(self, x: Tensor, n_batches: int, norm: BatchNorm) -> tuple[Tensor, Tensor, Tensor]:
        """Normalize several batches, and let the running statistics follow.

        Returns
        -------
        normalized : Tensor
        means, inverse_stds : Tensor of shape (n_batches, C)
        """
        batches = list(x.to(norm.running_mean.dtype).chunk(n_batches))
        means, variances = self.moments(batches)
        n_values = self.n_values(batches[0])
        parts = []
        for part, mean, variance in zip(batches, means, variances, strict=True):
            parts.append(functional.batch_norm(part, mean, variance, eps=norm.eps))
            self._follow(norm, mean, variance * (n_values / (n_values - 1)))
        normalized = torch.cat(parts) if n_batches > 1 else parts[0]
        return normalized.to(x.dtype), means, torch.rsqrt(variances + norm.eps)

    @staticmethod
    def _follow(norm: BatchNorm, mean: Tensor, variance: Tensor) -> None:
        # It is None only while standing statistics are collected.
        assert norm.momentum is not None
        norm.num_batches_tracked.add_(1)
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(variance, norm.momentum)

    def n_values(self, x: Tensor) -> int:
        """Values of a channel in the whole batches that x is a share of."""
        n_own = self.share.sizes[self.share.rank]
        return (x.numel() // x.shape[1]) * self.share.whole // n_own

    def input_gradient(self, gradient: Tensor, normalized: Tensor, inverse_std: Tensor) -> Tensor:
        """Turn the gradient of one normalized batch into that of the batch.

        Gradients are those of means over this process's share.
        """
        dtype = gradient.dtype
        gradient, normalized = gradient.to(inverse_std.dtype), normalized.to(inverse_std.dtype)
        # Sums of the gradient, and of its products with what is normalized already, in one pass.
        zeros, ones = torch.zeros_like(inverse_std), torch.ones_like(inverse_std)
        _, along, level = torch.ops.aten.native_batch_norm_backward(
            gradient, normalized, None, None, None, zeros, ones, True, 0.0, [False, True, True]
        )
        sums = torch.stack([along, level]).mul_(self.share.weight)
        self.processes.all_reduce(sums)
        # Over the whole batch, as this process's share counts in it.
        sums.mul_(inverse_std).div_(-self.n_values(gradient) * self.share.weight)
        shape = (1, -1, *[1] * (gradient.ndim - 2))
        along, level = (each.view(shape) for each in sums)
        out = torch.addcmul(level, normalized, along)
        return out.addcmul_(gradient, inverse_std.view(shape)).to(dtype)


class _SynchronizedConditionalNorm(DenseConditionalNorm):
    """A norm of whole batches, in networks for tables."""

    def __init__(self, module: ConditionalBatchNorm, group: FlatParameters, moments: Moments) -> None:
        super().__init__(module, group)
        self.moments = moments

    def _normalize(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        normalized, (mean,), (inverse_std,) = self.moments.normalize(x, 1, self.norm)
        return normalized, mean, inverse_std

    def _normalize_several(self, x: Tensor, n_chunks: int) -> Tensor:
        return self.moments.normalize(x, n_chunks, self.norm)[0]

    def _input_gradient(self, gradient: Tensor) -> Tensor:
        return self.moments.input_gradient(gradient, self.normed, self.inverse_std)


class _SynchronizedGenerator(AutogradGenerator):
    """Passes of any generator, with norms of whole batches."""

    def __init__(self, *arguments: Any, moments: Moments, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.moments = moments

    def _run(self, function: Callable[..., Any], *inputs: Any) -> Any:
        with normalized_by(self.module, partial(_normalized, self.moments)):
            return super()._run(function, *inputs)


def _normalized(moments: Moments, norm: BatchNorm, x: Tensor) -> Tensor:
    """Normalize a batch by the moments of whole batches, with the norm's gain and bias."""
    normalized = _Normalization.apply(x, norm, moments)
    if not norm.affine:
        return normalized
    shape = (1, -1, *[1] * (x.ndim - 2))
    return torch.addcmul(norm.bias.view(shape), normalized, norm.weight.view(shape))


class _Normalization(torch.autograd.Function):
    """A batch-norm without gain and bias, of whole batches."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, norm: BatchNorm, moments: Moments) -> Tensor:
        normalized, _, inverse_stds = moments.normalize(x, norm.n_chunks, norm)
        ctx.save_for_backward(normalized, inverse_stds)
        ctx.moments = moments
        return normalized

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        # Several batches at once are generated without a backward.
        normalized, (inverse_std,) = ctx.saved_tensors
        return ctx.moments.input_gradient(gradient, normalized, inverse_std), None, None


class _MixtureOfAll(MixturePass):
    """Passes of the mixture, with the mean membership of whole batches."""

    def __init__(
        self,
        prior: GaussianMixturePrior,
        group: FlatParameters,
        settings: ResolvedSettings,
        processes: Processes,
        share: Share,
    ) -> None:
        super().__init__(prior, group, settings)
        self.processes = processes
        self.share = share

    def _of_whole(self, log_share: Tensor) -> Tensor:
        weighted = log_share + math.log(self.share.weight)
        return torch.logsumexp(self.processes.gather(weighted), 0)

    def _to_own(self, gradient: Tensor) -> Tensor:
        # Gradients are those of means over a share; their sum is of the whole batch.
        gradient.mul_(self.share.weight)
        self.processes.all_reduce(gradient)
        return gradient
