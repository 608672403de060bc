"""A trained model behind arrays: codes of X, memberships of codes, decoded codes, all in batches."""

import math
from collections.abc import Iterator
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

    def _batches(self, n_samples: int) -> Iterator[slice]:
        return gen_batches(n_samples, self.batch_size)

    def posterior(self, X: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Means and standard deviations of q(z | x), each of shape (n, J)."""
        shape = (len(X), self.model.settings.latent_dim)
        means, stds = np.empty(shape), np.empty(shape)
        for rows in self._batches(len(X)):
            x = self.format.encode(X[rows], self.dtype)
            mean, log_variance = self.model.encode(_padded(x).to(self.model.device))
            means[rows] = mean[: len(x)].double().cpu()
            stds[rows] = torch.exp(0.5 * log_variance[: len(x)].double()).cpu()
        return means, stds

    def codes(self, X: NDArray) -> NDArray[np.float64]:
        """The encoder's means, shape (n, J)."""
        return self.posterior(X)[0]

    @torch.no_grad()
    def joint_log_density(self, Z: NDArray) -> NDArray[np.float64]:
        """log p(y = k) p(z | y = k), shape (n, K)."""
        out = np.empty((len(Z), self.model.n_clusters))
        for rows in gen_batches(len(Z), _MAX_ROWS):
            z = torch.as_tensor(Z[rows], dtype=torch.float64, device=self.model.device)
            out[rows] = self.model.prior.joint_log_density(z).cpu()
        return out

    def decode(self, Z: NDArray, labels: NDArray) -> NDArray:
        """G(z, y) in the user's form, shape (n, ...)."""
        out = np.empty((len(Z), *self.format.layout.shape), dtype=self.format.dtype)
        device = self.model.device
        for rows in self._batches(len(Z)):
            z = torch.as_tensor(np.ascontiguousarray(Z[rows])).to(device, self.dtype)
            y = torch.as_tensor(np.ascontiguousarray(labels[rows])).to(device, torch.int64)
            x = self.model.decode(_padded(z), _padded(y))
            out[rows] = self.format.decode(x[: len(z)])
        return out


def _padded(batch: Tensor) -> Tensor:
    missing = _MIN_ROWS - len(batch)
    if missing <= 0:
        return batch
    return torch.cat([batch, batch[:1].expand(missing, *batch.shape[1:])])
