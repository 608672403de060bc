"""LightCurveGrid: irregular, noisy series as rows of a table."""

from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags, check_array
from sklearn.utils.validation import check_is_fitted

from skmpcc._sklearn import Interval, StrOptions, fit_context
from skmpcc.light_curves.curves import LightCurves
from skmpcc.light_curves.folding import FoldedCurves, fold
from skmpcc.light_curves.periods import find_periods

# Logarithms are taken of ratios that are no less than this.
_LEAST_RATIO = 0.05


def _stepwise(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values of the first band, and differences of the others from the band before."""
    return np.diff(values, axis=1, prepend=0.0)


def _log(ratios: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log(np.maximum(ratios, _LEAST_RATIO))


# Features by name, of which a curve has one or several.
FEATURES: dict[str, Callable[[FoldedCurves], NDArray[np.float64]]] = {
    "log_period": lambda folded: np.log(folded.periods)[:, None],
    "log_amplitude": lambda folded: _stepwise(np.log(folded.amplitudes)),
    "level": lambda folded: folded.levels[:, :1],
    "difference": lambda folded: np.diff(folded.levels, axis=1),
    "skew": lambda folded: folded.skews()[:, None],
    "log_harmonics": lambda folded: _log(folded.harmonics())[:, None],
    "log_scatter": lambda folded: _log((folded.excess() / folded.amplitudes).mean(1))[:, None],
}


DEFAULT_FEATURES = (
    *("log_period", "log_amplitude", "difference", "skew", "log_harmonics", "log_scatter"),
)


class LightCurveGrid(TransformerMixin, BaseEstimator):
    """Rows of a table from irregularly sampled, noisy series, such as light curves of variable stars.

    Each curve is folded by its period. In each band a Gaussian process on the circle, which knows the
    points' errors, gives the curve at phases on a grid; outliers are left out. Curves are aligned, and
    brought to level 0 and amplitude 1, so that the grid tells the shape alone; period, amplitude and
    others are columns of their own. Any estimator for tables then takes light curves.

    Parameters
    ----------
    n_points : int, default=32
        Phases on the grid, in each band.
    fold : bool, default=True
        Whether curves repeat. If not, a curve's time from its first point to its last one is its grid,
        and "log_period" is the logarithm of twice that.
    period : {"auto", "find"}, default="auto"
        "auto" takes the curves' own periods, and finds them if they have none. "find" finds them always;
        see `find_periods`.
    align : {"phase", "max", "min"} or None, default="phase"
        What is at phase 0 of curves that are folded, as where their first points are is chance: the
        maximum of their first harmonic, their largest or their least value. None leaves the first point
        there.
    errors : bool, default=False
        Whether the standard deviations of the curves on the grid are columns as well.
    features : sequence of str, default=("log_period", "log_amplitude", "difference", "skew", \
            "log_harmonics", "log_scatter")
        Columns after the grid's. "log_period"; "log_amplitude", of the root mean square around the
        level, in the first band, and by how much it is larger in each other band than in the one
        before; "level" of the first band, the mean over the phases; "difference" of each other band's
        level from the one before, a colour if values are magnitudes; "skew" of the smooth curve,
        "log_harmonics", of its second harmonic's amplitude over the first one's, and "log_scatter", of
        the points' distances from it beyond their errors, over its amplitude, all three of the bands
        together. Logarithms are natural, and those of ratios at least log 0.05.
    min_period : float, default=0.1
        The shortest period to look for, in the unit of times.
    n_jobs : int, default=None
        Processes that look for periods, as in scikit-learn.

    Attributes
    ----------
    bands_ : tuple
        Names of the bands.
    period_ : float
        Median period of the curves that `fit` saw, in the unit of times.
    levels_, amplitudes_ : ndarray of shape (n_bands,)
        Medians of the levels and amplitudes.

    See Also
    --------
    skmpcc.light_curves.LightCurveVaDE : Learns from the points themselves: bands of uncertainty, and
        new curves at any times.
    skmpcc.light_curves.find_periods : Periods alone.

    Notes
    -----
    The process has the covariance a^2 exp(-2 sin^2(pi d) / l^2) of phases at a distance of d, with the
    length scale l and a variance beside that of the errors by the largest marginal likelihood, a few
    values of each. Times and phases are of double precision, as times like Julian dates need it.
    Points of one time and band are averaged by their errors.

    The result does not depend on the order of points, on whole periods that are added to times, on a
    constant that is added to times or values ("level" apart), or on the unit of values.

    References
    ----------
    .. [1] D. MacKay, "Introduction to Gaussian Processes", 1998.
    .. [2] N. Astorga, "Modelos generativos-inferenciales: teoria y aplicaciones", thesis, Universidad
       de Chile, 2021, chapter 9.

    Examples
    --------
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> from skmpcc.light_curves import LightCurveGrid, make_light_curves
    >>> curves, y = make_light_curves(100, random_state=0)
    >>> LightCurveGrid().fit_transform(curves).shape
    (100, 37)
    >>> model = make_pipeline(LightCurveGrid(), RandomForestClassifier(random_state=0))
    >>> model.fit(curves[:80], y[:80]).predict(curves[80:]).shape
    (20,)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_points": [Interval(Integral, 4, None, closed="left")],
        "fold": ["boolean"],
        "period": [StrOptions({"auto", "find"})],
        "align": [StrOptions({"phase", "max", "min"}), None],
        "errors": ["boolean"],
        "features": [tuple, list],
        "min_period": [Interval(Real, 0, None, closed="neither")],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        n_points: int = 32,
        *,
        fold: bool = True,
        period: str = "auto",
        align: str | None = "phase",
        errors: bool = False,
        features: Sequence[str] = DEFAULT_FEATURES,
        min_period: float = 0.1,
        n_jobs: int | None = None,
    ) -> None:
        self.n_points = n_points
        self.fold = fold
        self.period = period
        self.align = align
        self.errors = errors
        self.features = features
        self.min_period = min_period
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the bands, and what is typical of the curves.

        Parameters
        ----------
        X : LightCurves or what `LightCurves.of` takes
            Curves.
        y : Ignored

        Returns
        -------
        self : LightCurveGrid

        Raises
        ------
        ValueError, TypeError
            X holds no curves that can be used; the message names the curve.
        """
        self.fit_transform(X)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X: Any, y: Any = None) -> NDArray[np.float64]:
        """Learn as `fit` does, and return the rows of X.

        Parameters
        ----------
        X : LightCurves or what `LightCurves.of` takes
        y : Ignored

        Returns
        -------
        rows : ndarray of shape (n, n_bands * n_points + n_features)
            See `transform`.
        """
        return self.rows_of(self.fit_curves(X))

    def fit_curves(self, X: Any) -> FoldedCurves:
        """Learn as `fit` does, and return the folded curves."""
        unknown = [name for name in self.features if name not in FEATURES]
        if unknown:
            raise ValueError(f"features has {unknown[0]!r}, which is none of {sorted(FEATURES)}.")
        curves = LightCurves.of(X)
        folded = self.fold_curves(curves)
        self.bands_ = curves.band_names
        self.period_ = float(np.median(folded.periods))
        self.levels_ = np.median(folded.levels, axis=0)
        self.amplitudes_ = np.median(folded.amplitudes, axis=0)
        return folded

    def transform(self, X: Any) -> NDArray[np.float64]:
        """Return the rows of curves.

        Parameters
        ----------
        X : LightCurves or what `LightCurves.of` takes
            Curves in the bands that `fit` saw.

        Returns
        -------
        rows : ndarray of shape (n, n_bands * n_points + n_features)
            Shapes on the grid, band after band; with `errors` their standard deviations, in the same
            order; and the features.

        Raises
        ------
        ValueError, TypeError
            X holds no curves that can be used, or other bands than those of the fit.
        """
        return self.rows_of(self.fold_curves(self.check_curves(X)))

    def inverse_transform(self, X: ArrayLike) -> LightCurves:
        """Return the curves of rows, one point at each phase of the grid.

        Parameters
        ----------
        X : array-like of shape (n, n_bands * n_points + n_features)
            Rows as of `transform`, or decoded ones.

        Returns
        -------
        curves : LightCurves
            Times from 0 to the period, or over the span without `fold`, in the units of the fitted
            curves. What no column tells is taken from `period_`, `levels_` and `amplitudes_`. With
            `errors` the curves have them.
        """
        check_is_fitted(self)
        rows = check_array(X, dtype=np.float64)
        n_bands, n_columns = len(self.bands_), len(self.get_feature_names_out())
        if rows.shape[1] != n_columns:
            raise ValueError(f"X has {rows.shape[1]} columns, but the grid has {n_columns}.")
        n = n_bands * self.n_points
        shapes = rows[:, :n].reshape(len(rows), n_bands, -1)
        stds = rows[:, n : 2 * n].reshape(len(rows), n_bands, -1) if self.errors else None
        scales = self.scales_of(rows[:, n * (1 + self.errors) :])
        times = np.multiply.outer(scales[0], self._cycles())
        return self.curves_of(times, shapes, None if stds is None else np.maximum(stds, 1e-12), scales)

    def curves_of(
        self,
        times: NDArray[np.float64],
        shapes: NDArray[np.float64],
        stds: NDArray[np.float64] | None,
        scales: tuple[NDArray[np.float64], ...],
    ) -> LightCurves:
        """Return curves at times (n, m), of shapes and deviations (n, n_bands, m) and `scales_of`."""
        periods, levels, amplitudes = scales
        amplitude, (n_curves, n_bands, n_times) = amplitudes[..., None], shapes.shape
        values = levels[..., None] + amplitude * shapes
        return LightCurves(
            list(np.tile(times, n_bands)),
            list(values.reshape(n_curves, -1)),
            None if stds is None else list((amplitude * stds).reshape(n_curves, -1)),
            [np.repeat(self.bands_, n_times)] * n_curves,
            period=periods if self.fold else None,
        )

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Names of the columns.

        Parameters
        ----------
        input_features : Ignored

        Returns
        -------
        names : ndarray of str of shape (n_columns,)
            Phases, such as "phase_0.25", and features, with the band's name after them if there are
            several.
        """
        check_is_fitted(self)
        several = len(self.bands_) > 1
        ends = [f"_{band}" if several else "" for band in self.bands_]
        names = [f"phase_{phase:.4g}{end}" for end in ends for phase in self._phases()]
        if self.errors:
            names += [f"std_{name}" for name in names]
        for name, size in zip(self.features, self._sizes(), strict=True):
            names += [name] if size == 1 else [f"{name}{end}" for end in ends[len(ends) - size :]]
        return np.array(names, dtype=object)

    def check_curves(self, X: Any) -> LightCurves:
        """Return X as curves in the bands of the fit."""
        check_is_fitted(self)
        return LightCurves.of(X).with_bands(self.bands_)

    def fold_curves(self, curves: LightCurves) -> FoldedCurves:
        """Return curves as series of aligned points, with their regression."""
        counts = np.zeros((len(curves), len(curves.band_names)), np.int64)
        np.add.at(counts, (np.repeat(np.arange(len(curves)), np.diff(curves.splits)), curves.bands), 1)
        if not counts.all():
            i, band = np.argwhere(counts == 0)[0]
            raise ValueError(
                f"X has no point of curve {i} in band {curves.band_names[band]!r}; each curve needs "
                "points in every band."
            )
        if not self.fold:
            return fold(curves, None, None)
        periods = curves.period
        if periods is None or self.period == "find":
            periods = find_periods(curves, min_period=self.min_period, n_jobs=self.n_jobs)
        return fold(curves, periods, self.align)

    def rows_of(self, folded: FoldedCurves) -> NDArray[np.float64]:
        """Return the rows of folded curves."""
        means, stds = folded.shapes(self._cycles())
        blocks = [means, stds] if self.errors else [means]
        flat = [block.reshape(len(means), -1) for block in blocks]
        return np.concatenate([*flat, self.features_of(folded)], axis=1)

    def features_of(self, folded: FoldedCurves) -> NDArray[np.float64]:
        """Return the features of folded curves, (n, n_features)."""
        none = np.empty((len(folded.periods), 0))
        return np.concatenate([none, *(FEATURES[name](folded) for name in self.features)], axis=1)

    def scales_of(self, features: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
        """Periods (n,), and levels and amplitudes (n, n_bands), that features tell, or the medians."""
        of = dict(zip(self.features, np.split(features, np.cumsum(self._sizes()), axis=1), strict=False))
        n = len(features)
        level = of.get("level", np.full((n, 1), self.levels_[0]))
        steps = of.get("difference", np.tile(np.diff(self.levels_), (n, 1)))
        amplitudes = of.get("log_amplitude", np.tile(_stepwise(np.log(self.amplitudes_)[None]), (n, 1)))
        periods = of.get("log_period", np.full((n, 1), np.log(self.period_)))
        levels = np.cumsum(np.concatenate([level, steps], axis=1), axis=1)
        return np.exp(periods[:, 0]), levels, np.exp(np.cumsum(amplitudes, axis=1))

    def _phases(self) -> NDArray[np.float64]:
        return np.linspace(0, 1, self.n_points, endpoint=not self.fold)

    def _cycles(self) -> NDArray[np.float64]:
        """Phases on the circle, of which series that are not folded have half."""
        return self._phases() / (1 if self.fold else 2)

    def _sizes(self) -> list[int]:
        """Number of columns of each feature."""
        n_bands = len(self.bands_)
        of_bands = {"log_amplitude": n_bands, "difference": n_bands - 1}
        return [of_bands.get(name, 1) for name in self.features]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        return tags
