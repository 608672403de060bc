"""A trained model behind arrays: codes of X, memberships of codes, decoded codes, all in batches."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import gen_batches
from torch import Tensor

from skmpcc.inputs import InputFormat
from skmpcc.model import MPCCModel

# Values of one activation that a batch may hold.
_BATCH_VALUES = 2**24
_MAX_ROWS = 8192
# Fewer rows than this are padded: a product with one row rounds differently from one with many.
_MIN_ROWS = 16


@dataclass(frozen=True)
class FittedModel:
    """A model that `training.finish` has readied, and the format of the data that it knows."""

    model: MPCCModel
    format: InputFormat

    def on(self, device: torch.device) -> "FittedModel":
        """The same, moved to `device`."""
        if self.model.device.type != device.type or device.index not in (
            None,
            self.model.device.index,
        ):
            self.model.to(device)
        return self

    @property
    def dtype(self) -> torch.dtype:
        """Of the networks; the prior is in double precision."""
        return next(self.model.averaged_encoder.parameters()).dtype

    @property
    def batch_size(self) -> int:
        """Rows for which the largest activation stays within bounds."""
        values = self.model.settings.width * math.prod(self.model.sample_shape[1:])
        return max(_MIN_ROWS, min(_MAX_ROWS, _BATCH_VALUES // values))

    def _rows(self, n_samples: int) -> Iterator[slice]:
        # Memberships of a batch are an activation too.
        return gen_batches(
            n_samples, max(1, min(self.batch_size, _BATCH_VALUES // self.model.n_clusters))
        )

    def _there(self, batch: Tensor) -> Tensor:
        """On the model's device; to a GPU while the host goes on."""
        if self.model.device.type == "cuda":
            return batch.pin_memory().to(self.model.device, non_blocking=True)
        return batch

    @torch.no_grad()
    def _each(
        self,
        X: NDArray,
        function: Callable[[Tensor, Tensor], tuple[Tensor, ...]],
        view: Callable[[Tensor], Tensor] = lambda x: x,
    ) -> Iterator[tuple[slice, list[NDArray]]]:
        """What `function` makes of the mean and log-variance of q(z | x), batch by batch.

        In double precision, of the batches as `view` shows them. A batch is prepared while the one
        before is computed.
        """
        waiting = None
        for rows in self._rows(len(X)):
            x = view(self.format.encode(X[rows], self.dtype))
            moments = self.model.encode(self._there(_padded(x)))
            results = rows, function(*(moment[: len(x)].double() for moment in moments))
            if waiting is not None:
                yield _fetched(*waiting)
            waiting = results
        if waiting is not None:
            yield _fetched(*waiting)

    def _gathered(
        self,
        X: NDArray,
        out: NDArray,
        function: Callable[[Tensor], Tensor],
        view: Callable[[Tensor], Tensor] = lambda x: x,
    ) -> NDArray:
        """`function` of all codes, in `out`."""
        for rows, (values,) in self._each(X, lambda mean, _: (function(mean),), view):
            out[rows] = values
        return out

    def codes(self, X: NDArray) -> NDArray:
        """The encoder's means, shape (n, J), of the data's floating type."""
        shape = (len(X), self.model.settings.latent_dim)
        return self._gathered(X, np.empty(shape, self.format.dtype), lambda z: z)

    def labels(self, X: NDArray, view: Callable[[Tensor], Tensor] = lambda x: x) -> NDArray[np.int64]:
        """The most probable component of each code, shape (n,); of the batches that `view` shows."""
        prior = self.model.prior
        return self._gathered(
            X, np.empty(len(X), np.int64), lambda z: prior.joint_log_density(z).argmax(1), view
        )

    def memberships(self, X: NDArray) -> NDArray[np.float64]:
        """q(y | z), shape (n, K)."""
        out = np.empty((len(X), self.model.n_clusters))
        return self._gathered(X, out, lambda z: self.model.prior.log_responsibilities(z).exp())

    def log_density(self, X: NDArray) -> NDArray[np.float64]:
        """log p(z), shape (n,)."""
        return self._gathered(X, np.empty(len(X)), self.model.prior.log_density)

    @torch.no_grad()
    def labels_of_codes(self, Z: NDArray) -> NDArray[np.int64]:
        """The most probable component at Z, shape (n,)."""
        out = np.empty(len(Z), np.int64)
        for rows in self._rows(len(Z)):
            z = torch.as_tensor(np.ascontiguousarray(Z[rows]), dtype=torch.float64)
            joint = self.model.prior.joint_log_density(z.to(self.model.device))
            out[rows] = joint.argmax(1).cpu()
        return out

    def decode(self, Z: NDArray, labels: NDArray) -> NDArray:
        """G(z, y) in the user's form, shape (n, ...)."""
        out = np.empty((len(Z), *self.format.layout.shape), self.format.dtype)
        device = self.model.device
        for rows in self._rows(len(Z)):
            z = torch.as_tensor(np.ascontiguousarray(Z[rows]), dtype=torch.float64)
            y = torch.as_tensor(np.ascontiguousarray(labels[rows]), dtype=torch.int64)
            out[rows] = self.format.decode(self._decode(z.to(device), y.to(device)))
        return out

    def _decode(self, z: Tensor, y: Tensor) -> Tensor:
        """G(z, y) as the networks see it."""
        return self.model.decode(_padded(z.to(self.dtype)), _padded(y))[: len(z)]

    def reconstructed(self, X: NDArray) -> NDArray:
        """G at each code and its most probable component, shape (n, ...)."""
        out = np.empty((len(X), *self.format.layout.shape), self.format.dtype)
        prior = self.model.prior

        def decoded(z: Tensor, _: Tensor) -> tuple[Tensor, ...]:
            return (self._decode(z, prior.joint_log_density(z).argmax(1)),)

        for rows, (values,) in self._each(X, decoded):
            out[rows] = self.format.decode(torch.from_numpy(values))
        return out

    def drawn(self, X: NDArray, n_draws: int, random: np.random.RandomState) -> NDArray:
        """Decoded draws from q(z | x), each in its own most probable component; (n, n_draws, ...)."""
        out = np.empty((len(X), n_draws, *self.format.layout.shape), self.format.dtype)
        for rows, (means, stds) in self._each(X, lambda m, v: (m, torch.exp(0.5 * v))):
            n = len(means)
            noise = random.standard_normal((n, n_draws, means.shape[1]))
            codes = (means[:, None] + stds[:, None] * noise).reshape(n * n_draws, -1)
            decoded = self.decode(codes, self.labels_of_codes(codes))
            out[rows] = decoded.reshape(n, n_draws, *decoded.shape[1:])
        return out


def _padded(batch: Tensor) -> Tensor:
    missing = _MIN_ROWS - len(batch)
    if missing <= 0:
        return batch
    return torch.cat([batch, batch[:1].expand(missing, *batch.shape[1:])])


def _fetched(rows: slice, results: tuple[Tensor, ...]) -> tuple[slice, list[NDArray]]:
    return rows, [result.cpu().numpy() for result in results]
