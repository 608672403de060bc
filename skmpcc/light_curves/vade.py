"""LightCurveVaDE: LC-VaDE behind scikit-learn's interface."""

import copy
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.callback import CallbackSupportMixin
from sklearn.utils import Tags, check_array, check_scalar
from sklearn.utils.validation import check_is_fitted, column_or_1d
from torch import Tensor

from skmpcc._base import FittedLatentMixin
from skmpcc._parameters import OF_CLASSES, check_given_once, given_fields
from skmpcc._sklearn import Interval, fit_context
from skmpcc.data.classes import KnownClasses, labels_of, warn_of_minus_one
from skmpcc.data.inputs import InputFormat, Layout
from skmpcc.data.rows import RowMap, sort_rows
from skmpcc.fitted.light_curves import (
    CURVE_SCORES,
    KERNEL_ATTRIBUTES,
    Kernels,
    curves_of_codes,
    log_probabilities,
)
from skmpcc.fitted.saving import FIT_ATTRIBUTES
from skmpcc.light_curves.curves import LightCurves
from skmpcc.light_curves.folding import FoldedCurves
from skmpcc.light_curves.grid import DEFAULT_FEATURES, LightCurveGrid
from skmpcc.settings import constraints_of, parameter_docs, settings_of
from skmpcc.system.devices import resolve_device
from skmpcc.system.processes import Processes
from skmpcc.system.random import random_state_of
from skmpcc.training.fit import Seeds, run_fit
from skmpcc.training.fit_data import FitData
from skmpcc.training.fit_mixture import mixture_fit
from skmpcc.training.start import open_checkpoint
from skmpcc.variational_presets import LIGHT_CURVES, LightCurvePreset

_PRESET_FIELDS = ("latent_dim", "width", "max_iter", "learning_rate")
_GRID = ("fold", "period", "align", "features", "min_period", "n_jobs")
# Fields that the curves give.
_RESERVED = ("n_bands", "n_features", "pseudo_labels", "scaling")
# What a fit learns of curves before it trains.
_OF_GRID = ("period_", "levels_", "amplitudes_")
_LEARNED = (*_OF_GRID, "bands_", "feature_centers_", "feature_scales_")
# Features are within so many standard deviations, as robust ones.
_MAX_FEATURE = 10.0
# The same, where known classes spread to neighbours: in features alone, as few known curves do not
# tell shapes apart.
_MAX_SPREAD = 5.0
# Of a class's log-probability, beside the information of a single code.
_CONFIDENCE_WEIGHT = 3.0
# Phases of a decoded curve, and of shapes in which pseudo-labels are found.
_N_PHASES = 64


class LightCurveVaDE(FittedLatentMixin, ClassifierMixin, CallbackSupportMixin, BaseEstimator):
    """Classes, clusters, codes, novelty and new curves of irregularly sampled, noisy series.

    LC-VaDE [1]_ is VaDE for series such as light curves of variable stars. An encoder sees the folded
    points by way of an interpolation that knows their errors; a decoder gives a Gaussian process,
    which says how the curve goes on between the points, and how surely. A mixture of Gaussians over
    codes z and features f (period, amplitude, ...) tells classes or clusters from one another.

    Parameters
    ----------
    n_clusters : int, default=None
        Number of clusters, if `fit` is not told any class.
    {of_grid}
    latent_dim : int, default=None
        Dimensions of the codes of shapes; None is 10.
    width : int, default=None
        Hidden units of the networks; None is 128.
    max_iter : int, default=None
        Number of iterations; None is {max_iter}.
    learning_rate : float, default=None
        Adam learning rate of encoder and decoder; None is 2e-3.
    preset_params : dict, default=None
        Values that replace other settings, by the name of the field, such as `{"batch_size": 256}`;
        see Other Parameters.
    device : str or torch.device, default="auto"
        "auto" (CUDA if there is, otherwise the CPU), "cpu", "cuda" or "cuda:1".
    random_state : int, RandomState instance or None, default=None
        Determines initial parameters, batches and draws. With an int, fits on the same CPU with the
        same number of threads are identical.
    verbose : int, default=0
        1 prints the iteration at every entry of `history_`, 2 its time and losses too.
    checkpoint : str or path-like, default=None
        File that `fit` keeps its state in while it trains, from which a `fit` with the same data and
        parameters goes on.

    Other Parameters
    ----------------
    {preset_params}

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Classes, or numbers of clusters.
    labels_ : ndarray of shape (n,)
        Class or cluster of each curve that `fit` saw, as `predict` finds it.
    pseudo_labels_ : ndarray of shape (n,) or None
        What the networks learned from: known classes, and what was found for the other curves.
    pseudo_label_choice_ : dict or None
        What found clusters, and how sure the choice was; see `MPCCClusterer`.
    means_, covariances_ : ndarray of shape (n_classes, n_codes)
        Means and variances of the mixture's components, over the codes that `transform` gives.
    weights_ : ndarray of shape (n_classes,)
        Weights of the components.
    code_means_ : ndarray of shape (n_classes, n_codes)
        Means of the classes' codes, draws of the encoder for the curves that `fit` saw.
    code_covariances_ : ndarray of shape (n_classes, n_codes, n_codes)
        Their covariance matrices, whose correlations are a little smaller than the codes', the more
        so the fewer these are. `sample` and the information score go by these.
    kernel_centers_, kernel_scales_, kernel_coef_, kernel_intercept_ : ndarray or None
        A logistic regression of the classes by Gaussian kernels around scaled features of some curves,
        (n_kernels, n_features), in units of the scales. `predict_proba` of known classes and
        `score_samples(by="class")` ask it. None of one cluster alone.
    bands_ : ndarray of shape (n_bands,)
        Names of the bands.
    feature_centers_, feature_scales_ : ndarray of shape (n_features,)
        What features are shifted by and divided by.
    period_, levels_, amplitudes_ : float and ndarray of shape (n_bands,)
        Medians of the curves, as of `LightCurveGrid`.
    n_iter_, converged_, history_, settings_, preset_, device_
        As of `VaDEClusterer`. In `history_` "reconstruction" is the points' mean square deviation from
        decoded curves, in standard deviations.

    See Also
    --------
    LightCurveGrid : Rows of a table, for any other estimator.
    skmpcc.MPCCClassifier : After `LightCurveGrid`, a classifier of the same data.
    skmpcc.NoveltyDetector : Calls curves outliers by their scores.

    Notes
    -----
    Corrections to the thesis: kernels and interpolation are on the circle, so that phase 1 is phase 0;
    the likelihood of a point knows its error, so that the band is that of the curve and not of noisy
    observations; period and amplitude are logarithms; curves are aligned; and in training the encoder
    sees some of the points, at random, and the decoder has to tell all of them.

    References
    ----------
    .. [1] N. Astorga, "Modelos generativos-inferenciales: teoria y aplicaciones", thesis, Universidad
       de Chile, 2021, chapter 9.
    .. [2] S. Shukla, B. Marlin, "Interpolation-Prediction Networks for Irregularly Sampled Time Series",
       ICLR 2019.

    Examples
    --------
    >>> from skmpcc.light_curves import LightCurveVaDE, make_light_curves
    >>> curves, y = make_light_curves(100, random_state=0)
    >>> model = LightCurveVaDE(max_iter=50, random_state=0).fit(curves[:80], y[:80])
    >>> model.predict(curves[80:]).shape
    (20,)
    >>> mean, std = model.predict_curve(curves[80:], [2450000.0, 2450000.1])
    >>> mean.shape
    (20, 1, 2)
    >>> new, classes = model.sample(3, label="EA")
    >>> len(new)
    3
    """

    _saved_attributes: ClassVar[dict[str, Any]] = {
        name: kind for name, kind in FIT_ATTRIBUTES.items() if "feature" not in name
    } | {
        "classes_": ("any", "n_clusters"),
        "labels_": ("any", "n_samples"),
        "pseudo_labels_": (None, "any", "n_samples"),
        "pseudo_label_choice_": (None, dict),
        "means_": ("float64", "n_clusters", "latent_dim"),
        "covariances_": ("float64", "n_clusters", "latent_dim"),
        "weights_": ("float64", "n_clusters"),
        "code_means_": ("float64", "n_clusters", "latent_dim"),
        "code_covariances_": ("float64", "n_clusters", "latent_dim", "latent_dim"),
        "kernel_centers_": (None, "float64", "n_kernels", "n_kernel_codes"),
        "kernel_scales_": (None, "float64", "n_kernel_codes"),
        "kernel_coef_": (None, "float64", "n_clusters", "n_kernels"),
        "kernel_intercept_": (None, "float64", "n_clusters"),
        "bands_": ("any", "n_bands"),
        "feature_centers_": ("float64", "n_curve_features"),
        "feature_scales_": ("float64", "n_curve_features"),
        "period_": float,
        "levels_": ("float64", "n_bands"),
        "amplitudes_": ("float64", "n_bands"),
    }
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_clusters": [Interval(Integral, 1, None, closed="left"), None],
        **{name: LightCurveGrid._parameter_constraints[name] for name in _GRID},
        **{name: [*constraints_of(LightCurvePreset)[name], None] for name in _PRESET_FIELDS},
        "preset_params": [dict, None],
        "device": [str, torch.device],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        "checkpoint": [str, os.PathLike, None],
    }
    classes_: NDArray
    bands_: NDArray
    feature_centers_: NDArray[np.float64]
    feature_scales_: NDArray[np.float64]

    def __init__(
        self,
        n_clusters: int | None = None,
        *,
        fold: bool = True,
        period: str = "auto",
        align: str | None = "phase",
        features: Sequence[str] = DEFAULT_FEATURES,
        min_period: float = 0.1,
        n_jobs: int | None = None,
        latent_dim: int | None = None,
        width: int | None = None,
        max_iter: int | None = None,
        learning_rate: float | None = None,
        preset_params: dict[str, Any] | None = None,
        device: str | torch.device = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.fold = fold
        self.period = period
        self.align = align
        self.features = features
        self.min_period = min_period
        self.n_jobs = n_jobs
        self.latent_dim = latent_dim
        self.width = width
        self.max_iter = max_iter
        self.learning_rate = learning_rate
        self.preset_params = preset_params
        self.device = device
        self.random_state = random_state
        self.verbose = verbose
        self.checkpoint = checkpoint

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: ArrayLike | None = None) -> Self:
        """Learn classes or clusters of curves.

        Parameters
        ----------
        X : LightCurves or what `LightCurves.of` takes
            Curves, with points in every band each.
        y : array-like of shape (n,), default=None
            Class of each curve, -1 where it is unknown; see `MPCCClassifier.fit`. None, or -1 alone:
            clusters are found.

        Returns
        -------
        self : LightCurveVaDE

        Raises
        ------
        ValueError, TypeError
            The parameters or the data cannot be used, or the file at `checkpoint` is of another fit or
            damaged; before any training.
        FloatingPointError
            The training diverged from the beginning.

        Notes
        -----
        After an exception or an interruption the estimator is as it was before the call.
        """
        # On this copy, so that self changes at the very end or not at all.
        validated = copy.copy(self)
        curves = LightCurves.of(X)
        known = self._known(len(curves), y)
        preset = self._preset(known)
        folded = validated._learn(curves)
        features = validated._features(folded)
        rows = _rows(folded, features)
        numbers = None if known is None else known.numbers.numpy()
        checkpoint = open_checkpoint(validated, X=rows, y=numbers)
        n_bands, n_features = folded.n_bands, features.shape[1]
        preset = replace(
            preset,
            n_bands=n_bands,
            n_features=n_features,
            latent_dim=preset.latent_dim + n_features,
        )
        table = features.clip(-_MAX_SPREAD, _MAX_SPREAD)
        if known is None or not n_features:
            table = validated._table(folded, features)
        learned = {name: getattr(validated, name) for name in _LEARNED}
        # The networks take any number of points.
        data = _data(rows, table, known, n_features + 3 * n_bands, learned)
        seeds = Seeds.draw(random_state_of(validated.random_state), 1)
        n_components = int(self.n_clusters or 1) if known is None else len(known.classes)
        processes = Processes(device=resolve_device(self.device))
        fit = mixture_fit(data, preset, n_components, seeds, processes)
        run_fit(self, fit, fit.looking_at_neighbors(data), y, checkpoint, given=curves)
        return self

    def _known(self, n_curves: int, y: ArrayLike | None) -> KnownClasses | None:
        """Return the classes that `fit` was told; None if clusters are to be found."""
        labels = None if y is None else column_or_1d(np.atleast_1d(labels_of(y)), warn=True)
        if labels is not None and len(labels) != n_curves:
            raise ValueError(f"y has {len(labels)} labels for {n_curves} curves.")
        if labels is None or (labels.dtype.kind not in "US" and np.all(labels == -1)):
            if self.n_clusters is None:
                raise ValueError(
                    "y has no known class: pass n_clusters, by which clusters are found, or classes."
                )
            if n_curves < self.n_clusters:
                raise ValueError(f"n_clusters={self.n_clusters} are more than the {n_curves} curves.")
            return None
        warn_of_minus_one(labels)
        known = KnownClasses.from_labels(labels)
        if self.n_clusters not in (None, len(known.classes)):
            raise ValueError(
                f"n_clusters={self.n_clusters}, but y has {len(known.classes)} classes. Leave it None."
            )
        return known

    def _preset(self, known: KnownClasses | None) -> LightCurvePreset:
        """Settings of the fit, but for the sizes that the curves give."""
        if known is not None:
            preset = LIGHT_CURVES.override(
                OF_CLASSES | {"pseudo_labels": "neighbors"}, type(self).__name__
            )
        else:
            pseudo_labels = "search" if self.n_clusters != 1 else None
            preset = LIGHT_CURVES.override({"pseudo_labels": pseudo_labels}, type(self).__name__)
        params, given = self.preset_params or {}, given_fields(self, _PRESET_FIELDS)
        check_given_once(given, params)
        for name in _RESERVED:
            if name in params:
                raise ValueError(f"preset_params has {name!r}, which the curves give.")
        return preset.override(params, "preset_params").override(given, type(self).__name__)

    def _learn(self, curves: LightCurves) -> FoldedCurves:
        """Fold curves, and learn of them what the grid and the scaling of features need."""
        grid = LightCurveGrid(**{name: getattr(self, name) for name in _GRID})
        folded = grid.fit_curves(curves)
        for name in _OF_GRID:
            setattr(self, name, getattr(grid, name))
        self.bands_ = np.array(grid.bands_)
        low, centers, high = np.percentile(grid.features_of(folded), [16, 50, 84], axis=0)
        self.feature_centers_ = centers
        spread = (high - low) / 2
        self.feature_scales_ = np.where(spread > 0, spread, 1.0)
        return folded

    @property
    def _grid(self) -> LightCurveGrid:
        """The grid that curves were folded by."""
        grid = LightCurveGrid(**{name: getattr(self, name) for name in _GRID})
        for name in _OF_GRID:
            setattr(grid, name, getattr(self, name))
        grid.bands_ = tuple(self.bands_.tolist())
        return grid

    def _features(self, folded: FoldedCurves) -> NDArray[np.float64]:
        features = (self._grid.features_of(folded) - self.feature_centers_) / self.feature_scales_
        return features.clip(-_MAX_FEATURE, _MAX_FEATURE)

    def _table(self, folded: FoldedCurves, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return rows in which clusters are found: features, and shapes that weigh as much as they."""
        # Curves that are not folded have points in half of the circle.
        shapes, _ = folded.shapes(np.arange(_N_PHASES) / _N_PHASES / (1 if self.fold else 2))
        shapes = shapes.reshape(len(shapes), -1)
        weight = np.sqrt(max(features.shape[1], 1) / shapes.shape[1])
        return np.concatenate([features, weight * shapes], axis=1)

    def _check_X(self, X: Any) -> Tensor:
        return self._folded(X)[1]

    def _folded(self, X: Any) -> tuple[FoldedCurves, Tensor]:
        """Return curves folded, and as the networks see them."""
        check_is_fitted(self)
        grid = self._grid
        folded = grid.fold_curves(grid.check_curves(X))
        return folded, torch.from_numpy(_rows(folded, self._features(folded)))

    def predict(self, X: Any) -> NDArray:
        """Predict the most probable class or cluster of each curve.

        Parameters
        ----------
        X : LightCurves or what `LightCurves.of` takes
            Curves in the bands that `fit` saw.

        Returns
        -------
        labels : ndarray of shape (n,)
        """
        numbers = self._log_probabilities(X).argmax(axis=1)
        return self.classes_[numbers]

    def fit_predict(self, X: Any, y: ArrayLike | None = None) -> NDArray:
        """Learn as `fit` does, and return `labels_`.

        Parameters
        ----------
        X : LightCurves or what `LightCurves.of` takes
        y : array-like of shape (n,), default=None

        Returns
        -------
        labels : ndarray of shape (n,)
        """
        return self.fit(X, y).labels_

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Predict probabilities of the classes or clusters.

        Of clusters they are q(y | z, f), by the mixture. Of classes they are the normalized geometric
        mean of this and of what the classifier by kernels says, which is a little better than either.

        Parameters
        ----------
        X : LightCurves or what `LightCurves.of` takes

        Returns
        -------
        probabilities : ndarray of shape (n, n_classes)
            In the order of `classes_`. Rows sum to one.
        """
        return np.exp(self._log_probabilities(X))

    def _log_probabilities(self, X: Any) -> NDArray[np.float64]:
        """Logarithms of what `predict_proba` returns."""
        fitted, rows = self._fitted_model(), self._check_X(X)
        # Only clusters have a choice of what found them.
        kernels = None if self.pseudo_label_choice_ is not None else self._kernels
        return log_probabilities(fitted, rows, kernels)

    @property
    def _kernels(self) -> Kernels | None:
        if self.kernel_centers_ is None:
            return None
        return Kernels(*(getattr(self, name) for name in KERNEL_ATTRIBUTES))

    def score_samples(self, X: Any, by: str = "information") -> NDArray[np.float64]:
        """Score how much each curve is like those that `fit` saw; low for those unlike them.

        Parameters
        ----------
        X : LightCurves or what `LightCurves.of` takes
        by : {"information", "class", "reconstruction", "both", "density"}, default="information"
            "information" is the Information Anomaly Score of codes and features,
            - sum_k q(k | z, f) KL(q(z, f | x) || p(z, f | k)), in which p(z, f | k) is the Gaussian of
            the class's codes. It does not look at how far points are from the curve. "class" adds how
            sure the class is, by a classifier of features whose sureness does not grow away from what it
            has seen: low for what fits no class, and for what is between two; best where classes are
            known. "reconstruction" is minus half the mean square deviation of points from the decoded
            curve, in standard deviations: low for curves of another shape, with a larger scatter, or of
            the wrong period. "both" is the sum of the ranks of "information" and this. "density" is the
            sum of this and of log p(z, f).

        Returns
        -------
        scores : ndarray of shape (n,)

        Raises
        ------
        ValueError
            `by` is none of these, or is "class" and there is one cluster alone.
        """
        if by not in CURVE_SCORES:
            raise ValueError(f"by should be one of {CURVE_SCORES}, got {by!r}.")
        if by != "class":
            return super().score_samples(X, by)
        fitted, rows = self._fitted_model(), self._check_X(X)
        if self._kernels is None:
            raise ValueError("by='class' needs several classes, but there is 1 with curves.")
        confidence = self._kernels.log_probabilities(fitted.codes(rows)).max(axis=1)
        information = fitted.scores(rows, "information")
        return information / self._n_features_out + _CONFIDENCE_WEIGHT * confidence

    def predict_curve(self, X: Any, times: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Predict curves at any times, with their uncertainty.

        Parameters
        ----------
        X : LightCurves or what `LightCurves.of` takes
            Curves that are known at some points.
        times : array-like of shape (m,) or (n, m)
            The same for all curves, or some for each, in the unit of the curves' times.

        Returns
        -------
        mean, std : ndarray of shape (n, n_bands, m)
            Of the curves, in the unit of their values. An observation scatters around the mean with
            the variance std^2 and that of its error.

        Raises
        ------
        ValueError
            Times are not of such a shape, or not finite.
        """
        fitted = self._fitted_model()
        folded, rows = self._folded(X)
        wanted: NDArray = check_array(times, dtype=np.float64, ensure_2d=False, input_name="times")
        if wanted.ndim not in (1, 2) or (wanted.ndim == 2 and len(wanted) != len(rows)):
            raise ValueError(
                f"times must be of shape (m,) or ({len(rows)}, m), got one of {wanted.shape}."
            )
        phases = (wanted - folded.starts[:, None]) / folded.periods[:, None] - folded.shifts[:, None]
        at = np.repeat(phases[:, None] % 1.0, folded.n_bands, axis=1)
        mean, std = curves_of_codes(fitted, fitted.codes(rows), at)
        levels, amplitudes = folded.levels[..., None], folded.amplitudes[..., None]
        return levels + amplitudes * mean, amplitudes * std

    def reconstruct(self, X: Any) -> LightCurves:
        """Predict curves at their own times.

        Parameters
        ----------
        X : LightCurves or what `LightCurves.of` takes

        Returns
        -------
        curves : LightCurves
            With the times of X, means as values, and standard deviations of the curves as errors.
        """
        check_is_fitted(self)
        curves = self._grid.check_curves(X)
        most = int(curves.n_points.max())
        place = np.arange(len(curves.times)) - np.repeat(curves.splits[:-1], curves.n_points)
        of_curve = np.repeat(np.arange(len(curves)), curves.n_points)
        times = np.repeat(curves.times[curves.splits[:-1], None], most, axis=1)
        times[of_curve, place] = curves.times
        mean, std = (each[of_curve, curves.bands, place] for each in self.predict_curve(curves, times))
        cut = curves.splits[1:-1]
        names = np.array(curves.band_names)[curves.bands]
        return LightCurves(
            *(np.split(each, cut) for each in (curves.times, mean, std, names)), period=curves.period
        )

    def inverse_transform(self, Z: ArrayLike, times: ArrayLike | None = None) -> LightCurves:
        """Decode codes to curves.

        Parameters
        ----------
        Z : array-like of shape (n, n_codes)
            Codes, as `transform` gives them: of shapes, and scaled features.
        times : array-like of shape (m,), default=None
            In the unit of the curves' times, from where the alignment is. None: 64 in each period.

        Returns
        -------
        curves : LightCurves
            In all bands, with periods, means as values, and standard deviations as errors.

        Raises
        ------
        ValueError
            Z has another number of columns, or times are not of that shape.
        """
        fitted = self._fitted_model()
        codes, grid = self._check_codes(Z), self._grid
        n_features = len(self.feature_centers_)
        scaled = codes[:, codes.shape[1] - n_features :].clip(-_MAX_FEATURE, _MAX_FEATURE)
        scales = grid.scales_of(scaled * self.feature_scales_ + self.feature_centers_)
        periods = scales[0]
        if times is None:
            at = np.multiply.outer(periods, np.arange(_N_PHASES) / _N_PHASES)
            at = at if self.fold else at / 2
        else:
            wanted = check_array(times, dtype=np.float64, ensure_2d=False, input_name="times")
            if wanted.ndim != 1:
                raise ValueError(f"times must be of shape (m,), got one of {wanted.shape}.")
            at = np.tile(wanted, (len(codes), 1))
        phases = np.repeat((at / periods[:, None])[:, None] % 1.0, len(self.bands_), axis=1)
        return grid.curves_of(at, *curves_of_codes(fitted, codes, phases), scales)

    def sample(
        self, n_samples: int = 1, label: Any = None, times: ArrayLike | None = None
    ) -> tuple[LightCurves, NDArray]:
        """Draw new curves: a class by its weight, a code by those of its class, and its curve.

        Parameters
        ----------
        n_samples : int, default=1
        label : object, default=None
            Draw from this class, or number of a cluster, alone.
        times : array-like of shape (m,), default=None
            See `inverse_transform`.

        Returns
        -------
        curves : LightCurves
            With periods, means as values, and standard deviations of the curves as errors.
        labels : ndarray of shape (n_samples,)
            The class of each curve.

        Raises
        ------
        ValueError, TypeError
            `n_samples` is below 1 or not an integer, or `label` is not one of the classes.
        """
        self._fitted_model()
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        rng = random_state_of(self.random_state)
        known = self.classes_.tolist()
        if label is None:
            components = np.repeat(np.arange(len(known)), rng.multinomial(n_samples, self.weights_))
        elif label in known:
            components = np.full(n_samples, known.index(label))
        else:
            raise ValueError(f"label={label!r} is not one of the classes {known!r}.")
        codes = np.empty((n_samples, self._n_features_out))
        for k in np.unique(components):
            moments = self.code_means_[k], self.code_covariances_[k]
            n = int(np.sum(components == k))
            codes[components == k] = rng.multivariate_normal(*moments, n, "ignore")
        return self.inverse_transform(codes, times), self.classes_[components]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.target_tags.required = False
        return tags


def _rows(folded: FoldedCurves, features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Features and points, as the networks see them."""
    points = folded.packed()
    return np.concatenate([features, points.reshape(len(points), -1)], axis=1)


def _data(
    rows: NDArray,
    table: NDArray,
    known: KnownClasses | None,
    n_inputs: int,
    learned: dict[str, Any],
) -> FitData:
    """Put the data of a fit together, in an order that does not depend on that of the curves."""
    encoded = torch.from_numpy(rows).float()
    # This sorts them where they are.
    order = sort_rows(encoded, None if known is None else known.numbers.numpy())
    as_they_are = InputFormat(
        np.zeros(n_inputs), np.ones(n_inputs), layout=Layout((n_inputs,)), dtype=np.dtype(np.float64)
    )
    return FitData(
        torch.from_numpy(rows),
        as_they_are,
        encoded,
        RowMap(order, len(rows)),
        learned,
        None if known is None else replace(known, numbers=known.numbers[order]),
        table=torch.from_numpy(table[order]).float(),
    )


if LightCurveVaDE.__doc__ is not None:  # it is None with python -OO
    _OTHER = [
        name for name in settings_of(LightCurvePreset) if name not in (*_PRESET_FIELDS, *_RESERVED)
    ]
    _GRID_DOC = (LightCurveGrid.__doc__ or "").split("Attributes\n    ---")[0]
    _OF_GRID_DOC = [
        found[0].strip()
        for name in _GRID
        if (found := re.search(rf"    {name} : .*(\n     .*)*", _GRID_DOC))
    ]
    LightCurveVaDE.__doc__ = (
        LightCurveVaDE.__doc__.replace("{preset_params}", parameter_docs(LightCurvePreset, _OTHER))
        .replace("{of_grid}", "\n    ".join(_OF_GRID_DOC))
        .replace("{max_iter}", str(LIGHT_CURVES.max_iter))
    )
