"""Curves of a fitted LC-VaDE at phases that are asked for, and how sure it is of classes."""

from dataclasses import astuple, dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import rbf_kernel
from torch import Tensor

from skmpcc.fitted.model import SCORES, FittedModel
from skmpcc.method.light_curves import LightCurveModel
from skmpcc.method.networks.series import MAX_POINTS

# What curves can be scored by; "class" adds the confidence of `Kernels`.
CURVE_SCORES = (*SCORES, "class")
# Kernels, at most, and inverse strength of the regularization of their coefficients.
_MAX_KERNELS, _C = 300, 30.0


@dataclass(frozen=True)
class Kernels:
    """A logistic regression by Gaussian kernels exp(-|x - c|^2 / 2J) of features x in units of scales.

    Away from all that it has seen it goes to what its intercept says, where linear ones are ever surer.
    Features are the last codes; those of shapes, which the networks learn, would be too sure.

    Attributes
    ----------
    centers : ndarray of shape (n_kernels, J)
    scales : ndarray of shape (J,)
    coef : ndarray of shape (K, n_kernels)
    intercept : ndarray of shape (K,)
    """

    centers: NDArray[np.float64]
    scales: NDArray[np.float64]
    coef: NDArray[np.float64]
    intercept: NDArray[np.float64]

    @classmethod
    def learned(cls, codes: NDArray[np.float64], labels: NDArray[np.int64], n_features: int) -> Self:
        """Learn classes 0 to K - 1 by kernels around some samples; by all codes without features."""
        codes = codes[:, -n_features:] if n_features else codes
        rows = np.linspace(0, len(codes) - 1, min(len(codes), _MAX_KERNELS)).round().astype(int)
        scales = codes.std(axis=0)
        scales[scales == 0] = 1.0
        centers = codes[rows]
        found = LogisticRegression(C=_C, max_iter=1000).fit(_kernels(codes, centers, scales), labels)
        coef, intercept = found.coef_, found.intercept_
        if len(coef) == 1:
            coef, intercept = np.vstack([0 * coef, coef]), np.append([0.0], intercept)
        return cls(centers, scales, coef, intercept)

    def log_probabilities(self, codes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Logarithms of the classes' probabilities, (n, K)."""
        kernels = _kernels(codes[:, -len(self.scales) :], self.centers, self.scales)
        return log_softmax(kernels @ self.coef.T + self.intercept, axis=1)

    def attributes(self) -> dict[str, NDArray[np.float64]]:
        """Fitted attributes that the estimator has of it."""
        return dict(zip(KERNEL_ATTRIBUTES, astuple(self), strict=True))


def log_probabilities(fitted: FittedModel, X: Tensor, kernels: Kernels | None) -> NDArray[np.float64]:
    """Logarithms of memberships (n, K), or of their geometric mean with those of kernels, normalized."""
    of_mixture = fitted.log_memberships(X)
    if kernels is None:
        return of_mixture
    return log_softmax(0.5 * (of_mixture + kernels.log_probabilities(fitted.codes(X))), axis=1)


KERNEL_ATTRIBUTES = ("kernel_centers_", "kernel_scales_", "kernel_coef_", "kernel_intercept_")


def _kernels(
    codes: NDArray[np.float64], centers: NDArray[np.float64], scales: NDArray[np.float64]
) -> NDArray[np.float64]:
    return rbf_kernel(codes / scales, centers / scales, gamma=0.5 / codes.shape[1])


@torch.no_grad()
def curves_of_codes(
    fitted: FittedModel, codes: NDArray[np.float64], phases: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means and standard deviations of decoded curves at phases (n, n_bands, m), of that shape."""
    mean, std = np.empty(phases.shape), np.empty(phases.shape)
    assert isinstance(fitted.model, LightCurveModel)
    device = fitted.model.device
    # Batches are of a size for so many phases.
    size = max(1, fitted.batch_size * MAX_POINTS // max(MAX_POINTS, phases.shape[2]))
    for begin in range(0, len(codes), size):
        rows = slice(begin, begin + size)
        z = torch.as_tensor(codes[rows], device=device)
        decoded = fitted.model.decode(z, torch.zeros(len(z), dtype=torch.int64, device=device))
        found = fitted.model.curve(decoded, torch.as_tensor(phases[rows], device=device))
        mean[rows], std[rows] = found[0].cpu(), found[1].sqrt().cpu()
    return mean, std
