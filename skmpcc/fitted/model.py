"""A trained model behind arrays: codes of X, memberships of codes, decoded codes, all in batches."""

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import softmax
from sklearn.utils import gen_batches
from torch import Tensor
from torch.nn import functional

from skmpcc.data.imputation import Imputation
from skmpcc.data.inputs import InputFormat
from skmpcc.data.mixed import MixedFormat
from skmpcc.data.outliers import Outliers
from skmpcc.data.sliced import Rows, in_batches
from skmpcc.method import losses
from skmpcc.method.latent_model import LatentModel
from skmpcc.method.prior import divergences_from_gaussians
from skmpcc.method.variational import VaDEModel
from skmpcc.system.devices import at_most_threads, threads_for

# Values of one activation that a batch may hold.
_BATCH_VALUES = 2**24
_MAX_ROWS = 8192
# Fewer rows than this are padded: a product with one row rounds differently from one with many.
_MIN_ROWS = 16
# A call is worth a thread for so many operations that are.
_N_OPERATIONS = 16

# Samples whose reconstruction errors are measured, and whose scores are kept.
_MAX_RESIDUALS, _MAX_SCORES = 4096, 1024
# No input's residual variance is less than this share of the mean one.
_LEAST_RESIDUAL = 1e-3

_MAX_SEED = 2**31 - 1
# Times that what is missing is rebuilt.
_N_FILLINGS = 5

# Logarithms of memberships are divided by no more.
_MAX_TEMPERATURE = 1e4

# Of q(z | x), when codes are drawn from it. A training at rates far too high leaves an encoder with
# variances whose draws would not be finite.
_MAX_LOG_VARIANCE = 20.0

# What samples can be scored by; see `FittedLatentMixin.score_samples`.
SCORES = ("density", "information", "reconstruction", "both")

# Samples in the user's form, read at once or slice by slice, or already encoded.
Samples = Rows | Tensor


def _unchanged(x: Tensor) -> Tensor:
    return x


@dataclass(frozen=True)
class FittedModel:
    """A model that is prepared for inference, and what it knows of the data.

    Methods take samples in the user's form, an array, or encoded by `format`, a tensor.

    Attributes
    ----------
    model : LatentModel
        After `prepare_for_inference`.
    format : InputFormat or MixedFormat
    n_neighbors : int
        Neighbours of each sample that the score of a table looks at.
    residual_variances : Tensor of shape (n_inputs,) or None
        Mean square errors of reconstructions of the training data, by input; see `with_residuals`.
    training_scores : Tensor of shape (n_kept, 2) or None
        Information scores and log-likelihoods of training data, each sorted; see `with_residuals`.
    training_moments : Tensor of shape (3, n_inputs) or None
        Means and variances of a table's inputs in the training data, and in how many rows each is there;
        None of images, of rows that are rotated, and of files of earlier versions.
    code_means, code_covariances : Tensor of shape (K, J) and (K, J, J), or None
        Of the components' codes, where the information score compares with these Gaussians, and not
        with the components, which are diagonal and have to tell clusters apart; see `with_residuals`.
    imputation : Imputation or None
        What missing values are filled in by, of a table that had some in the fit, or has categories.
    outliers : Outliers or None
        What tells rows that belong to no cluster, where the fit looked for some.
    temperature : float
        What logarithms of memberships are divided by; see `with_confidence`.
    """

    model: LatentModel
    format: InputFormat | MixedFormat
    n_neighbors: int
    residual_variances: Tensor | None = None
    training_scores: Tensor | None = None
    code_means: Tensor | None = None
    code_covariances: Tensor | None = None
    imputation: Imputation | None = None
    outliers: Outliers | None = None
    temperature: float = 1.0
    training_moments: Tensor | None = None
    _copies: dict[torch.device, "FittedModel"] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def on(self, device: torch.device) -> "FittedModel":
        """Return this on `device`: itself if it is there, otherwise a copy, which is made once."""
        here = self.model.device
        if here.type == device.type and device.index in (None, here.index):
            return self
        if device not in self._copies:
            self._copies[device] = replace(self, model=copy.deepcopy(self.model).to(device))
        return self._copies[device]

    def renumbered(self, order: NDArray[np.int64]) -> "FittedModel":
        """Return a copy whose k-th cluster is the order[k]-th of this."""
        model = copy.deepcopy(self.model)
        model.permute_clusters(torch.as_tensor(order, device=model.device))
        if self.code_means is None or self.code_covariances is None:
            return replace(self, model=model)
        of_clusters = self.code_means[order], self.code_covariances[order]
        return replace(self, model=model, code_means=of_clusters[0], code_covariances=of_clusters[1])

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_copies": {}}

    @property
    def dtype(self) -> torch.dtype:
        """Type of the networks' parameters; the prior's are double precision."""
        return next(self.model.averaged_encoder.parameters()).dtype

    @property
    def batch_size(self) -> int:
        """Rows for which the largest activation stays within bounds."""
        values = max(
            self.model.settings.width * self.model.n_places, math.prod(self.format.layout.shape)
        )
        return max(_MIN_ROWS, min(_MAX_ROWS, _BATCH_VALUES // values))

    def _threads(self, n_samples: int) -> AbstractContextManager[None]:
        """Limit threads by the work of a whole call; a short one gains nothing from them."""
        return at_most_threads(threads_for(self.model.hidden_flops(n_samples) / _N_OPERATIONS))

    def _batches(self, n_samples: int) -> Iterator[slice]:
        # Memberships of a batch are an activation too.
        rows = max(1, min(self.batch_size, _BATCH_VALUES // self.model.n_clusters))
        return gen_batches(n_samples, rows)

    def _encoded(self, X: Samples, batches: list[slice]) -> Iterator[Tensor]:
        if isinstance(X, Tensor):
            encoded = (X[rows] for rows in batches)
        else:
            encoded = (self.filled(self.format.encode(values)) for values in in_batches(X, batches))
        return (x.to(self.dtype) for x in encoded)

    @torch.no_grad()
    def filled(self, x: Tensor) -> Tensor:
        """Fill in encoded rows of a table what is missing in columns in which nothing was in the fit.

        Networks have never seen its absence. They begin from the mean, and take what they rebuild.
        """
        missing = x.isnan() if x.ndim == 2 else None
        if missing is None or not missing.any():
            return x
        if self.imputation is not None:
            completed = self.completed(x)
            found = functional.pad(completed, (0, x.shape[1] - completed.shape[1]))
            return torch.where(missing, found, x)
        prior, found = self.model.prior, torch.zeros_like(x)
        for _ in range(_N_FILLINGS):
            given = self._to_device(torch.where(missing, found, x).to(self.dtype))
            codes = self.model.encode(_padded(given))[0][: len(x)].double()
            found = self._decode(codes, prior.most_probable(codes)).to(x)
        return torch.where(missing, found, x)

    def completed(self, x: Tensor) -> Tensor:
        """Outputs of encoded rows of a table, with what is missing filled in; (n, n_outputs)."""
        table = self.model.table
        if table is None or self.imputation is None:
            return self.filled(x)
        values = table.without_absences(x).double().cpu().numpy()
        return torch.from_numpy(self.imputation.completed(values)).to(x)

    def _to_device(self, batch: Tensor) -> Tensor:
        """Move a batch to the model's device; to a GPU while the host goes on."""
        if self.model.device.type == "cuda" and batch.device.type == "cpu":
            return batch.pin_memory().to(self.model.device, non_blocking=True)
        return batch.to(self.model.device)

    @torch.no_grad()
    def _encoded_batches(
        self,
        X: Samples,
        function: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, ...]],
        augment: Callable[[Tensor], Tensor] = _unchanged,
    ) -> Iterator[tuple[slice, list[NDArray]]]:
        """Yield `function` of the mean and log-variance of q(z | x), and of x, batch by batch.

        The first two are in double precision. All are of the batch after `augment`. A batch is prepared
        while the one before is computed.
        """
        waiting = None
        batches = list(self._batches(len(X)))
        for rows, encoded in zip(batches, self._encoded(X, batches), strict=True):
            x = self._to_device(_padded(augment(encoded)))
            n = rows.stop - rows.start
            mean, log_variance = (moment[:n].double() for moment in self.model.encode(x))
            results = rows, function(mean, log_variance, x[:n])
            if waiting is not None:
                yield _to_numpy(*waiting)
            waiting = results
        if waiting is not None:
            yield _to_numpy(*waiting)

    def _collect(
        self,
        X: Samples,
        out: NDArray,
        function: Callable[[Tensor, Tensor], Tensor],
        augment: Callable[[Tensor], Tensor] = _unchanged,
    ) -> NDArray:
        """Fill `out` with `function` of all codes and their samples."""
        with self._threads(len(X)):
            for rows, (values,) in self._encoded_batches(X, lambda z, _, x: (function(z, x),), augment):
                out[rows] = values
        return out

    def codes(self, X: Samples) -> NDArray:
        """Encoder's means, shape (n, J), of the data's floating type."""
        shape = (len(X), self.model.settings.latent_dim)
        return self._collect(X, np.empty(shape, self.format.dtype), lambda z, _: z)

    def posterior(self, X: Samples) -> tuple[NDArray, NDArray, float]:
        """Means and log-variances of q(z | x), (n, J), and the relative error of reconstructions.

        That is the mean square error over the variance, of samples as the networks see them.
        """
        moments, sums = np.empty((2, len(X), self.model.settings.latent_dim)), []

        def of_batch(z: Tensor, log_variance: Tensor, x: Tensor) -> tuple[Tensor, ...]:
            rebuilt = self._decode(z, self.model.prior.most_probable(z))
            error, observed = self.model.error(x, rebuilt, torch.float64).sum(0), self.model.observed(x)
            x = x.flatten(1).double()
            of = torch.ones_like(x) if observed is None else observed.double()
            sums = torch.stack([error, (of * x).sum(0), (of * x.square()).sum(0), of.sum(0)])
            return z, _within_limits(log_variance), sums

        with self._threads(len(X)):
            for rows, (means, log_variances, of_inputs) in self._encoded_batches(X, of_batch):
                moments[:, rows] = means, log_variances
                sums.append(of_inputs)
        errors, totals, squares, counts = np.sum(sums, axis=0)
        variance = (squares - totals**2 / np.maximum(counts, 1.0)).sum()
        return moments[0], moments[1], float(errors.sum() / variance) if variance > 0 else math.nan

    def distributions(self, X: Samples) -> NDArray[np.float64]:
        """Means and log-variances of q(z | x), (2, n, J)."""
        moments = np.empty((2, len(X), self.model.settings.latent_dim))
        with self._threads(len(X)):
            for rows, each in self._encoded_batches(X, lambda m, v, _: (m, _within_limits(v))):
                moments[:, rows] = each
        return moments

    def labels(self, X: Samples, augment: Callable[[Tensor], Tensor] = _unchanged) -> NDArray[np.int64]:
        """Most probable component of each code, shape (n,); with `augment`, of augmented batches."""
        prior = self.model.prior
        return self._collect(X, np.empty(len(X), np.int64), lambda z, _: prior.most_probable(z), augment)

    def outlying(self, X: Samples) -> NDArray[np.bool_]:
        """Whether samples belong to no cluster, shape (n,)."""
        out = np.zeros(len(X), dtype=bool)
        if self.outliers is not None:
            batches = list(self._batches(len(X)))
            for rows, x in zip(batches, self._encoded(X, batches), strict=True):
                out[rows] = self.outliers.are_far(self.completed(x))
        return out

    def memberships(self, X: Samples) -> NDArray[np.float64]:
        """q(y | z), shape (n, K)."""
        out = np.empty((len(X), self.model.n_clusters))
        return self._collect(X, out, lambda z, _: self._log_memberships(z).exp())

    def with_confidence(self, data: Tensor, confidence: float) -> "FittedModel":
        """Return this with memberships whose highest is at most so large in the mean of the data.

        By a temperature, as in C. Guo et al., "On Calibration of Modern Neural Networks", ICML 2017,
        which changes no label.
        """
        known = replace(self, temperature=1.0)
        logs = known.log_memberships(_some(data, _MAX_RESIDUALS))

        def too_sure(log_temperature: float) -> float:
            highest = softmax(logs / math.exp(log_temperature), axis=1).max(axis=1)
            return float(highest.mean()) - confidence

        # Not a number after a training that diverged, which is told later.
        if not too_sure(0.0) > 0.0:
            return known
        hottest = math.log(_MAX_TEMPERATURE)
        if too_sure(hottest) >= 0.0:
            return replace(known, temperature=_MAX_TEMPERATURE)
        return replace(known, temperature=math.exp(brentq(too_sure, 0.0, hottest)))

    def _log_memberships(self, z: Tensor) -> Tensor:
        logs = self.model.prior.log_responsibilities(z)
        return logs if self.temperature == 1.0 else torch.log_softmax(logs / self.temperature, dim=1)

    def top_memberships(self, X: Samples, top: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Components of the highest q(y | z), and these, (n, top); of equal ones the first numbers.

        Batch by batch, so that there is never an array of (n, K).
        """
        top = min(top, self.model.n_clusters)
        clusters, memberships = np.empty((len(X), top), np.int64), np.empty((len(X), top))

        def highest(z: Tensor, *_: Tensor) -> tuple[Tensor, ...]:
            of_all = self._log_memberships(z).exp()
            # `topk` would leave the order of equal ones open.
            values, order = of_all.sort(dim=1, descending=True, stable=True)
            return order[:, :top], values[:, :top]

        with self._threads(len(X)):
            for rows, (order, values) in self._encoded_batches(X, highest):
                clusters[rows], memberships[rows] = order, values
        return clusters, memberships

    def log_memberships(self, X: Samples) -> NDArray[np.float64]:
        """log q(y | z), shape (n, K)."""
        out = np.empty((len(X), self.model.n_clusters))
        return self._collect(X, out, lambda z, _: self._log_memberships(z))

    def with_residuals(self, data: Tensor) -> "FittedModel":
        """Return this with errors of reconstructions and scores of the training data, or some of it."""
        total = torch.zeros(self.model.n_errors, dtype=torch.float64)
        n_rows = torch.zeros_like(total)
        chosen = _some(data, _MAX_RESIDUALS)

        def squares(z: Tensor, _: Tensor, x: Tensor) -> tuple[Tensor, ...]:
            rebuilt = self._decode(z, self.model.prior.most_probable(z))
            errors, observed = self.model.error(x, rebuilt, torch.float64), self.model.observed(x)
            return errors, torch.ones_like(errors) if observed is None else observed

        with self._threads(len(chosen)):
            for _, (errors, observed) in self._encoded_batches(chosen, squares):
                total += torch.from_numpy(errors).sum(0)
                n_rows += torch.from_numpy(observed).sum(0)
        variances = total / n_rows.clamp_min(1.0)
        least = max(_LEAST_RESIDUAL * float(variances.mean()), torch.finfo(torch.float32).tiny)
        known = replace(self, residual_variances=variances.clamp_min(least))
        if self.model.has_full_gaussians:
            means, covariances = known.code_moments(data, known.labels(data), shrinking=True)
            known = replace(
                known,
                code_means=torch.from_numpy(means),
                code_covariances=torch.from_numpy(covariances),
            )
        some = _some(chosen, _MAX_SCORES)
        with self._threads(len(some)):
            parts = known._encoded_batches(some, known._parts)
            scores = np.concatenate([np.stack(of_x, axis=1) for _, (_, *of_x) in parts])
        known = replace(known, training_scores=torch.from_numpy(np.sort(scores, axis=0)))
        # Of light curves there are points beside the inputs.
        if not self.has_columns or data.shape[1:] != self.model.sample_shape:
            return known
        return replace(known, training_moments=torch.from_numpy(self.input_moments(data)))

    @property
    def has_columns(self) -> bool:
        """Whether inputs are columns of a table, or what categories and gaps of them become."""
        return len(self.format.tensor_shape) == 1 and self.format.rotation is None

    def input_moments(self, X: Samples, inside: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
        """Means and variances of the inputs, and in how many samples each is there; (3, n_inputs).

        They are those that the networks see, but nothing is filled in. With `inside`, they are of the
        samples where it is true.
        """
        n_inputs, batches = math.prod(self.model.sample_shape), list(self._batches(len(X)))
        sums = torch.zeros(3, n_inputs, dtype=torch.float64)
        if isinstance(X, Tensor):
            encoded = (X[rows] for rows in batches)
        else:
            encoded = (self.format.encode(values) for values in in_batches(X, batches))
        for rows, x in zip(batches, encoded, strict=True):
            there = ~x.flatten(1).isnan()
            if inside is not None:
                there &= torch.from_numpy(inside[rows]).to(there.device)[:, None]
            if self.model.table is not None:
                n_outputs = self.model.table.n_outputs
                there[:, :n_outputs] &= self.model.table.observed(x)[:, :n_outputs] > 0
            x = torch.where(there, x.flatten(1), 0.0).double()
            sums += torch.stack([x.sum(0), x.square().sum(0), there.double().sum(0)]).cpu()
        total, squares, counts = sums.numpy()
        means = total / np.maximum(counts, 1.0)
        variances = np.maximum(squares / np.maximum(counts, 1.0) - means**2, 0.0)
        return np.stack([means, variances, counts])

    def is_usable(self, data: Tensor) -> bool:
        """Whether the training data are rebuilt with finite errors, and codes of some lie near."""
        if self.residual_variances is None or not self.residual_variances.isfinite().all():
            return False
        some = self._to_device(data[: self.batch_size].to(self.dtype))
        return self.model.is_usable(some)

    def _parts(self, z: Tensor, log_variance: Tensor, x: Tensor) -> tuple[Tensor, ...]:
        """log p(z), the information score, and log p(x | z) at each code z; three of shape (n,)."""
        assert self.residual_variances is not None
        prior, variances = self.model.prior, self.residual_variances.to(self.model.device)
        joint = prior.joint_log_density(z)
        log_variance = _within_limits(log_variance)
        if self.code_means is None or self.code_covariances is None:
            divergences = prior.divergences(z, log_variance)
        else:
            gaussians = self.code_means.to(z), self.code_covariances.to(z)
            divergences = divergences_from_gaussians(z, log_variance, *gaussians)
        information = -(torch.softmax(joint, 1) * divergences).sum(1)
        likelihood = self.model.log_likelihood(x, self._decode(z, joint.argmax(1)), variances)
        return torch.logsumexp(joint, 1), information, likelihood

    def novelty_scores(self, X: Samples) -> NDArray[np.float64]:
        """Information scores and log-likelihoods of samples, as `training_scores` has them; (n, 2)."""
        return self._score_parts(X)[1:].T

    @torch.no_grad()
    def _score_parts(self, X: Samples) -> NDArray[np.float64]:
        """log p(z), the information score and log p(x | z) of all samples; shape (3, n).

        The encoder sees outliers within limits, p(x | z) sees them where they are.
        """
        assert self.residual_variances is not None
        # Of a column that is rotated with others. In the rows of the fit there is nothing beyond.
        n_columns = 1 if self.format.rotation is None else self.format.rotation.shape[1]
        of_column = float(self.residual_variances.sum()) / n_columns
        out, batches = np.empty((3, len(X))), list(self._batches(len(X)))
        if isinstance(X, Tensor):
            with self._threads(len(X)):
                for rows, parts in self._encoded_batches(X, self._parts):
                    out[:, rows] = parts
            return out
        with self._threads(len(X)):
            for rows, values in zip(batches, in_batches(X, batches), strict=True):
                x = given = self._to_device(self.filled(self.format.encode(values)).to(self.dtype))
                if self.format.limits is not None:
                    given = self.filled(self.format.encode(values, limited=False)).to(x)
                moments = self.model.encode(_padded(x))
                mean, log_variance = (moment[: len(x)].double() for moment in moments)
                out[:, rows] = torch.stack(self._parts(mean, log_variance, given)).cpu()
                out[2, rows] -= 0.5 * self.format.beyond(values) / of_column
        return out

    def code_moments(
        self, X: Samples, labels: NDArray[np.int64], *, shrinking: bool = False
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Means (K, J) and covariances (K, J, J) of draws from q(z | x) of each component's samples.

        By the law of total covariance: that of the encoder's means, and the mean of its variances. A
        component without samples has its own. With `shrinking` a correlation of J codes in n samples
        is n / (n + J) of what it is in these.
        """
        prior, n_codes = self.model.prior, self.model.settings.latent_dim
        moments = self.distributions(X)
        moments[1] = np.exp(moments[1])
        means = prior.means.detach().double().cpu().numpy().copy()
        covariances = np.stack([np.diag(each) for each in prior.variances.detach().cpu().numpy()])
        for k in np.unique(labels):
            codes, variances = moments[:, labels == k]
            means[k] = codes.mean(0)
            within = np.cov(codes.T, ddof=0).reshape(n_codes, -1) if len(codes) > 1 else 0.0
            covariances[k] = within + np.diag(variances.mean(0))
            if shrinking:
                kept = len(codes) / (len(codes) + n_codes)
                diagonal = np.diag(np.diag(covariances[k]))
                covariances[k] = kept * covariances[k] + (1 - kept) * diagonal
        return means, covariances

    def evidence_bounds(self, X: Rows, rng: np.random.RandomState) -> NDArray[np.float64]:
        """E log p(x | z) - KL(q(z | x) || p(z)) of each sample of a VAE, at one draw z; shape (n,)."""
        assert isinstance(self.model, VaDEModel)
        prior = self.model.prior
        variances = self.model.variance.double().expand(math.prod(self.model.sample_shape))

        def bounds(mean: Tensor, log_variance: Tensor, x: Tensor) -> tuple[Tensor, ...]:
            log_variance = _within_limits(log_variance)
            noise = torch.as_tensor(rng.standard_normal(mean.shape), device=mean.device)
            z = mean + torch.exp(0.5 * log_variance) * noise
            likelihood = self.model.log_likelihood(x, self._decode(z, prior.most_probable(z)), variances)
            return (likelihood - losses.divergence_of_codes(mean, log_variance, z, prior),)

        out = np.empty(len(X))
        with self._threads(len(X)):
            for rows, (values,) in self._encoded_batches(X, bounds):
                out[rows] = values
        return out

    def scores(self, X: Samples, by: str = "density") -> NDArray[np.float64]:
        """Scores of samples, by one of SCORES, shape (n,); see `FittedLatentMixin.score_samples`."""
        if by == "both" and self.training_scores is None:
            raise ValueError(
                "by='both' compares with scores of the training data, which this model, of a file of an "
                "earlier version, does not have. Fit again, or choose another."
            )
        of_code, information, likelihood = self._score_parts(X)
        if by == "density":
            return of_code + likelihood
        if by == "information":
            return information
        if self.training_scores is None or by == "reconstruction":
            assert self.residual_variances is not None
            return likelihood / len(self.residual_variances)
        of_training = self.training_scores.numpy()
        return _ranks(information, of_training[:, 0]) + _ranks(likelihood, of_training[:, 1])

    @torch.no_grad()
    def labels_of_codes(self, Z: NDArray) -> NDArray[np.int64]:
        """Most probable component at each code, shape (n,)."""
        out = np.empty(len(Z), np.int64)
        for rows in self._batches(len(Z)):
            z = torch.as_tensor(np.ascontiguousarray(Z[rows]), dtype=torch.float64)
            out[rows] = self.model.prior.most_probable(z.to(self.model.device)).cpu()
        return out

    def decode(self, Z: NDArray, labels: NDArray, rng: np.random.RandomState | None = None) -> NDArray:
        """G(z, y) in the user's form, shape (n, ...); categories are drawn if there is an `rng`."""
        out = np.empty((len(Z), *self.format.layout.shape), self.format.dtype)
        device = self.model.device
        with self._threads(len(Z)):
            for rows in self._batches(len(Z)):
                z = torch.as_tensor(np.ascontiguousarray(Z[rows]), dtype=torch.float64)
                y = torch.as_tensor(np.ascontiguousarray(labels[rows]), dtype=torch.int64)
                out[rows] = self.format.decode(self._decode(z.to(device), y.to(device)), rng)
        return out

    def _decode(self, z: Tensor, y: Tensor) -> Tensor:
        """G(z, y) as the networks see it."""
        return self.model.decode(_padded(z.to(self.dtype)), _padded(y))[: len(z)]

    def reconstruct(self, X: Samples) -> NDArray:
        """G at each code and its most probable component, shape (n, ...)."""
        out = np.empty((len(X), *self.format.layout.shape), self.format.dtype)
        prior = self.model.prior

        def decoded(z: Tensor, *_: Tensor) -> tuple[Tensor, ...]:
            return (self._decode(z, prior.most_probable(z)),)

        with self._threads(len(X)):
            for rows, (values,) in self._encoded_batches(X, decoded):
                out[rows] = self.format.decode(torch.from_numpy(values))
        return out

    def imputed(self, X: NDArray, n_draws: int | None, rng: np.random.RandomState) -> list[NDArray]:
        """Rows of a table with their gaps filled in by means, once, or `n_draws` times by draws."""
        encoded = self.format.encode(X)
        if self.imputation is not None and isinstance(self.format, MixedFormat):
            values = self.format.outputs(X).double().numpy()
            if n_draws is None:
                found = [self.imputation.completed(values)]
            else:
                generator = np.random.default_rng(rng.randint(_MAX_SEED))
                found = list(self.imputation.draws(values, n_draws, generator))
            n_more = encoded.shape[1] - values.shape[1]
            rows = [functional.pad(torch.from_numpy(each), (0, n_more)) for each in found]
            decoded = [self.format.decode(each) for each in rows]
        elif n_draws is None:
            decoded = [self.format.decode(self.filled(encoded))]
        else:
            drawn = self.posterior_samples(self.filled(encoded), n_draws, rng)
            assert self.residual_variances is not None
            stds = self.residual_variances.sqrt().numpy()
            noise = [torch.from_numpy(stds * rng.standard_normal(encoded.shape)) for _ in range(n_draws)]
            decoded = [
                self.format.decode(self.format.encode(each).double() + moved)
                for each, moved in zip(drawn.swapaxes(0, 1), noise, strict=True)
            ]
        columns = self.format.columns_given
        if columns is not None:
            decoded = [columns.within_ranges(each) for each in decoded]
        return [np.where(np.isnan(X), each, X).astype(self.format.dtype) for each in decoded]

    def posterior_samples(self, X: Samples, n_draws: int, rng: np.random.RandomState) -> NDArray:
        """Decoded draws from q(z | x), each in its own most probable component; (n, n_draws, ...)."""
        out = np.empty((len(X), n_draws, *self.format.layout.shape), self.format.dtype)
        with self._threads(len(X) * n_draws):
            for rows, (means, stds) in self._encoded_batches(
                X, lambda m, v, _: (m, torch.exp(0.5 * _within_limits(v)))
            ):
                n = len(means)
                noise = rng.standard_normal((n, n_draws, means.shape[1]))
                codes = (means[:, None] + stds[:, None] * noise).reshape(n * n_draws, -1)
                decoded = self.decode(codes, self.labels_of_codes(codes), rng)
                out[rows] = decoded.reshape(n, n_draws, *decoded.shape[1:])
        return out


def _padded(batch: Tensor) -> Tensor:
    missing = _MIN_ROWS - len(batch)
    if missing <= 0:
        return batch
    return torch.cat([batch, batch[:1].expand(missing, *batch.shape[1:])])


def _some(data: Tensor, number: int) -> Tensor:
    """Return rows at even distances, or all."""
    rows = torch.linspace(0, len(data) - 1, min(len(data), number), dtype=torch.float64)
    return data[rows.round().long().to(data.device)]


def _within_limits(log_variance: Tensor) -> Tensor:
    return log_variance.clamp(-_MAX_LOG_VARIANCE, _MAX_LOG_VARIANCE)


def _ranks(scores: NDArray, of_training: NDArray) -> NDArray[np.float64]:
    """Ranks of scores among sorted ones, between 0 and 1.

    Below all of them they go on by the logarithm of the distance, so that outliers stay in order.
    """
    least = of_training[0]
    spread = max(of_training[len(of_training) // 2] - least, 1e-9 * (1.0 + abs(least)))
    below = np.log1p(np.maximum(least - scores, 0.0) / spread)
    return np.interp(scores, of_training, np.linspace(0.0, 1.0, len(of_training))) - below


def _to_numpy(rows: slice, results: tuple[Tensor, ...]) -> tuple[slice, list[NDArray]]:
    return rows, [result.cpu().numpy() for result in results]
