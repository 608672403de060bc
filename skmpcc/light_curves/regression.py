"""Regression of folded series by a Gaussian process on the circle, of many series at once.

The kernel k(d) = exp(-2 sin^2(pi d) / l^2) of two phases at a distance of d is a Fourier series whose
coefficients are Bessel functions (MacKay, 1998; Solin and Sarkka, 2014). The process is therefore a
linear regression on sines and cosines with these coefficients as prior variances, which takes about as
long for ten thousand points as for ten.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import ive

# Of the series; the shortest length scale has 1e-4 of its variance beyond.
N_HARMONICS = 24
# Length scales l among which the evidence chooses, for sharp dips to sinusoids.
LENGTH_SCALES = (0.18, 0.35, 0.7, 1.4)
# Variance beside that of the errors, as shares of the series' own.
JITTERS = (1e-4, 0.02, 0.1, 0.4)
# Of the level, which is not that of a process around 0, in units of the series' variance.
_LEVEL_VARIANCE = 10.0
# Series at once, for their matrices to stay within some tens of megabytes.
_CHUNK = 64


@dataclass(frozen=True)
class CircularRegression:
    """Posterior of curves on the circle, in the units of the values.

    Attributes
    ----------
    coefficients : ndarray of shape (n, 2 * N_HARMONICS + 1)
        Posterior means of the level, of the cosines and of the sines.
    roots : ndarray of shape (n, 2 * N_HARMONICS + 1, 2 * N_HARMONICS + 1)
        Matrices R whose products R'R are the posterior covariances.
    length_scales, jitters, evidence : ndarray of shape (n,)
        Chosen length scale, variance beside the errors', and the logarithm of the marginal likelihood.
    """

    coefficients: NDArray[np.float64]
    roots: NDArray[np.float64]
    length_scales: NDArray[np.float64]
    jitters: NDArray[np.float64]
    evidence: NDArray[np.float64]

    def mean(self, phases: NDArray[np.float64]) -> NDArray[np.float64]:
        """Posterior means at phases of shape (m,), or (n, m) if those of the curves differ; (n, m)."""
        return np.einsum("...mk,...k->...m", waves(phases), self.coefficients)

    def std(self, phases: NDArray[np.float64]) -> NDArray[np.float64]:
        """Posterior standard deviations of the curves, without noise; (n, m)."""
        spread = np.einsum("...mk,...lk->...ml", waves(phases), self.roots)
        return np.sqrt(np.square(spread).sum(-1))


def waves(phases: NDArray[np.float64], n_harmonics: int = N_HARMONICS) -> NDArray[np.float64]:
    """One, cosines and sines at some phases, in a new last axis."""
    angles = 2 * np.pi * phases[..., None] * np.arange(1, n_harmonics + 1)
    return np.concatenate([np.ones_like(phases)[..., None], np.cos(angles), np.sin(angles)], axis=-1)


def prior_variances(length_scale: float, n_harmonics: int = N_HARMONICS) -> NDArray[np.float64]:
    """Variances of level, cosines and sines for which their sum has the kernel, of variance 1."""
    precision = length_scale**-2.0
    series = ive(np.arange(n_harmonics + 1), precision)
    return np.concatenate([series[:1], 2 * series[1:], 2 * series[1:]])


def regress(
    phases: NDArray[np.float64],
    values: NDArray[np.float64],
    variances: NDArray[np.float64],
    splits: NDArray[np.int64],
) -> CircularRegression:
    """Find the posterior of each series, of the length scale and jitter of the largest evidence.

    Parameters
    ----------
    phases, values, variances : ndarray of shape (n_points,)
        Points of all series end to end: phases in cycles, values, variances of their errors.
    splits : ndarray of shape (n + 1,)
        Series i has the points `splits[i]` to `splits[i + 1]`, of which there is one at least.

    Returns
    -------
    regression : CircularRegression
    """
    parts = [
        _of_chunk(phases, values, variances, splits[start : start + _CHUNK + 1])
        for start in range(0, len(splits) - 1, _CHUNK)
    ]
    return CircularRegression(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def _of_chunk(
    phases: NDArray[np.float64],
    values: NDArray[np.float64],
    variances: NDArray[np.float64],
    splits: NDArray[np.int64],
) -> tuple[NDArray[np.float64], ...]:
    n_jitters, n_waves = len(JITTERS), 2 * N_HARMONICS + 1
    harmonics = np.arange(2 * N_HARMONICS + 1)
    shape = (len(splits) - 1, n_jitters)
    # Of each series and jitter: moments of the points' weights, weighted sums of values times waves,
    # and what of the evidence does not depend on the length scale.
    moments = np.empty((*shape, 2 * N_HARMONICS + 1), complex)
    targets = np.empty((*shape, n_waves))
    constants = np.empty(shape)
    spreads, levels = np.empty(len(splits) - 1), np.empty(len(splits) - 1)
    for i, (start, stop) in enumerate(pairwise(splits)):
        v, s2 = values[start:stop], variances[start:stop]
        levels[i] = np.average(v, weights=1 / s2)
        spreads[i] = max(np.mean(np.square(v - levels[i])), 1e-12 * np.mean(s2))
        weights = spreads[i] / (s2 + spreads[i] * np.array(JITTERS)[:, None])
        v = (v - levels[i]) / np.sqrt(spreads[i])
        turns = np.exp(2j * np.pi * np.multiply.outer(phases[start:stop], harmonics))
        moments[i] = weights @ turns
        sums = (weights * v) @ turns[:, : N_HARMONICS + 1]
        targets[i] = np.concatenate([sums.real, sums.imag[:, 1:]], axis=1)
        constants[i] = np.log(weights).sum(1) - weights @ np.square(v) - len(v) * np.log(2 * np.pi)
    priors = np.array([prior_variances(length_scale) for length_scale in LENGTH_SCALES])
    priors[:, 0] += _LEVEL_VARIANCE
    prior_roots = np.sqrt(priors)
    # Of each length scale, series and jitter.
    gram = _gram(moments)
    factors = np.stack(
        [np.linalg.cholesky(np.eye(n_waves) + gram * root * root[:, None]) for root in prior_roots]
    )
    solved = np.linalg.solve(factors, (targets * prior_roots[:, None, None])[..., None])[..., 0]
    evidence = 0.5 * (constants + np.square(solved).sum(-1))
    evidence -= np.log(np.diagonal(factors, axis1=-2, axis2=-1)).sum(-1)
    best = np.moveaxis(evidence, 1, 0).reshape(len(evidence[0]), -1).argmax(1)
    scale, jitter = np.divmod(best, n_jitters)
    chosen = scale, np.arange(len(best)), jitter
    roots = np.linalg.solve(factors[chosen], prior_roots[scale][:, :, None] * np.eye(n_waves))
    roots *= np.sqrt(spreads)[:, None, None]
    coefficients = np.einsum("nlk,nl->nk", roots, solved[chosen])
    coefficients[:, 0] += levels
    jitters = np.array(JITTERS)[jitter] * spreads
    return coefficients, roots, np.array(LENGTH_SCALES)[scale], jitters, evidence[chosen]


def _gram(moments: NDArray[np.complex128]) -> NDArray[np.float64]:
    """Weighted inner products of all waves, of the moments sum_j w_j exp(2 pi i m phase_j)."""
    k = np.arange(N_HARMONICS + 1)
    total, difference = np.add.outer(k, k), np.subtract.outer(k, k)
    sums, apart = moments[..., total], moments[..., np.abs(difference)]
    sign = np.sign(difference)
    cos_cos, sin_sin = 0.5 * (apart.real + sums.real), 0.5 * (apart.real - sums.real)
    # Rows are cosines, columns are sines.
    cos_sin = 0.5 * (sums.imag - sign * apart.imag)
    return np.concatenate(
        [
            np.concatenate([cos_cos, cos_sin[..., 1:]], axis=-1),
            np.concatenate([np.swapaxes(cos_sin, -1, -2), sin_sin[..., 1:]], axis=-1)[..., 1:, :],
        ],
        axis=-2,
    )
