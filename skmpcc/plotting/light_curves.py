"""Picture of folded light curves, of their bands of uncertainty, and of new ones."""

from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_consistent_length, check_scalar
from sklearn.utils.validation import check_is_fitted

from skmpcc.light_curves import LightCurveGrid, LightCurves, LightCurveVaDE
from skmpcc.plotting._drawing import as_text, colours, grid_of_axes, name_row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# A curve's points (4, n_points), its bands (3, n_bands, m) and its period.
Drawn = tuple[NDArray[np.float64], NDArray[np.float64], float | None]
_PLACES = np.linspace(0, 1, 101)


class LightCurvesDisplay:
    """Folded curves of each class or cluster with bands of two standard deviations, and new curves.

    Use `from_curves` or `from_estimator` to create one and draw it. All parameters are kept as
    attributes.

    Parameters
    ----------
    members, samples : list of list of tuple (points, smooth, period)
        Curves of each class, and new ones. `points`, of shape (4, n_points), are phases, values, errors
        and numbers of bands; `smooth`, of shape (3, n_bands, m), phases, means and standard deviations.
        Curves that are not folded have the period None, and shares of their time in place of phases.
    names : list
        The classes, or numbers of the clusters.
    band_names : tuple
        What the bands are called.
    invert_values : bool, default=True
        Whether small values are above large ones.

    Attributes
    ----------
    axes_ : ndarray of Axes of shape (n_classes, n_columns)
        A row for each class, curves on the left, new ones on the right.
    bounding_ax_ : matplotlib.axes.Axes or None
        The axes that were divided, if any were given.
    figure_ : matplotlib.figure.Figure
        The figure of `axes_`.

    Examples
    --------
    >>> from skmpcc.light_curves import LightCurveVaDE, make_light_curves
    >>> from skmpcc.plotting import LightCurvesDisplay
    >>> curves, y = make_light_curves(60, classes=["RRab", "EA"], random_state=0)
    >>> LightCurvesDisplay.from_curves(curves, y, n_samples=4).axes_.shape
    (2, 4)
    >>> model = LightCurveVaDE(max_iter=20, random_state=0).fit(curves, y)
    >>> LightCurvesDisplay.from_estimator(model, curves).axes_.shape
    (2, 6)
    """

    axes_: NDArray
    bounding_ax_: "Axes | None"
    figure_: "Figure"

    def __init__(
        self,
        *,
        members: list[list[Drawn]],
        samples: list[list[Drawn]],
        names: list,
        band_names: tuple,
        invert_values: bool = True,
    ) -> None:
        self.members = members
        self.samples = samples
        self.names = names
        self.band_names = band_names
        self.invert_values = invert_values

    @classmethod
    def from_curves(
        cls,
        curves: Any,
        labels: ArrayLike | None = None,
        *,
        grid: LightCurveGrid | None = None,
        n_samples: int = 3,
        invert_values: bool = True,
        ax: "Axes | None" = None,
        **kwargs: Any,
    ) -> "LightCurvesDisplay":
        """Fold the first curves of each class, and draw them with the Gaussian process of the grid.

        Parameters
        ----------
        curves : LightCurves or what `LightCurves.of` takes
        labels : array-like of shape (n_curves,), default=None
            What the curves are sorted by, such as classes; None is one name for all.
        grid : LightCurveGrid, default=None
            What folds and aligns the curves, and leaves outliers out; None is `LightCurveGrid()`.
        n_samples : int, default=3
            Curves of each class, at most.
        invert_values : bool, default=True
            Whether small values are above large ones, as for magnitudes, which are large where a star is
            faint.
        ax : matplotlib.axes.Axes, default=None
            Axes to divide; None makes a new figure.
        **kwargs : dict
            Passed to `matplotlib.axes.Axes.errorbar`, which draws the points.

        Returns
        -------
        display : LightCurvesDisplay

        Raises
        ------
        TypeError, ValueError
            There are no curves that can be used, or another number of labels, `n_samples` is not an
            integer of at least 1, or `ax` cannot be divided.
        """
        curves, grid = LightCurves.of(curves), LightCurveGrid() if grid is None else grid
        labels = np.full(len(curves), "curves") if labels is None else np.asarray(labels)
        names = np.unique(labels).tolist()
        display = cls(
            members=[_folded(part, grid) for part in _first(curves, labels, names, n_samples)],
            samples=[[] for _ in names],
            names=names,
            band_names=curves.band_names,
            invert_values=invert_values,
        )
        return display.plot(ax=ax, **kwargs)

    @classmethod
    def from_estimator(
        cls,
        estimator: LightCurveVaDE,
        X: Any,
        labels: ArrayLike | None = None,
        *,
        n_samples: int = 3,
        invert_values: bool = True,
        ax: "Axes | None" = None,
        **kwargs: Any,
    ) -> "LightCurvesDisplay":
        """Draw the first curves of each class with the band of `predict_curve`, and new curves.

        Parameters
        ----------
        estimator : LightCurveVaDE
            Fitted.
        X : LightCurves or what `LightCurves.of` takes
            Curves in the bands that `fit` saw.
        labels : array-like of shape (n_curves,), default=None
            What the curves are sorted by; None is `estimator.predict(X)`. There are new curves of names
            that are classes of the estimator.
        n_samples : int, default=3
            New curves of each class, and at most so many of X.
        invert_values, ax, **kwargs
            As of `from_curves`.

        Returns
        -------
        display : LightCurvesDisplay

        Raises
        ------
        TypeError, ValueError
            `estimator` is no LightCurveVaDE, or as of `from_curves`.
        NotFittedError
            The estimator is not fitted.
        """
        if not isinstance(estimator, LightCurveVaDE):
            kind = type(estimator).__name__
            raise TypeError(f"estimator must be a fitted LightCurveVaDE, got an object of type {kind}.")
        check_is_fitted(estimator)
        grid, known = estimator._grid, estimator.classes_.tolist()
        curves = grid.check_curves(X)
        names = known if labels is None else np.unique(labels).tolist()
        labels = estimator.predict(curves) if labels is None else np.asarray(labels)
        chosen = _first(curves, labels, names, n_samples)
        display = cls(
            members=[_folded(part, grid, estimator) for part in chosen],
            samples=[_new(estimator, name, n_samples) if name in known else [] for name in names],
            names=names,
            band_names=curves.band_names,
            invert_values=invert_values,
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: "Axes | None" = None, **kwargs: Any) -> "LightCurvesDisplay":
        """Draw each curve in axes of its own, and each band in a colour.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to divide; None makes a new figure.
        **kwargs : dict
            Passed to `matplotlib.axes.Axes.errorbar`, which draws the points.

        Returns
        -------
        display : LightCurvesDisplay
            This one, with the attributes above.
        """
        from matplotlib.ticker import MaxNLocator

        counts = [max(map(len, each)) for each in (self.members, self.samples)]
        size = 1.9 * sum(counts) + 0.8, 1.4 * len(self.names) + 0.6
        axes = grid_of_axes(ax, len(self.names), sum(counts), size)
        for axis in axes.flat:
            axis.set(xlim=(0, 1), xticks=[], yticks=[])
        parts = {"curves": (axes, self.members), "new curves": (axes[:, counts[0] :], self.samples)}
        for title, (places, drawn) in parts.items():
            for row, curves in zip(places, drawn, strict=True):
                for axis, curve in zip(row, curves, strict=False):
                    self._draw(axis, curve, kwargs)
                    axis.yaxis.set_major_locator(MaxNLocator(3))
                    axis.tick_params(axis="y", labelsize="small")
            if any(drawn):
                places[0, 0].set_title(f"{title}\n", loc="left", fontsize="medium")
        for name, axis in zip(self.names, axes[:, 0], strict=True):
            name_row(axis, name)
        folded = any(period is not None for curves in self.members for *_, period in curves)
        axes[-1, 0].set_xlabel("phase" if folded else "share of the time")
        for axis in axes[-1]:
            axis.set_xticks([0, 0.5, 1], ["0", "0.5", "1"], fontsize="small")
        if len(self.band_names) > 1:
            lines = next(axis for axis in axes.flat if axis.lines).get_legend_handles_labels()
            axes[0, -1].legend(*lines, loc="center left", bbox_to_anchor=(1, 0.5))
        self.axes_, self.bounding_ax_, self.figure_ = axes, ax, axes[0, 0].figure
        return self

    def _draw(self, ax: "Axes", curve: Drawn, kwargs: dict[str, Any]) -> None:
        """Draw one curve."""
        points, smooth, period = curve
        colour = colours(len(self.band_names))
        for k, name in enumerate(self.band_names):
            at, mean, std = smooth[:, k]
            ax.plot(at, mean, color=colour[k], linewidth=1, label=as_text(name))
            ax.fill_between(at, mean - 2 * std, mean + 2 * std, color=colour[k], alpha=0.3, linewidth=0)
            style: dict[str, Any] = {"fmt": ".", "markersize": 3, "elinewidth": 0.6, "alpha": 0.6}
            x, values, errors = points[:3, points[3] == k]
            ax.errorbar(x, values, errors, **({"color": colour[k], "zorder": 1} | style | kwargs))
        if self.invert_values:
            ax.invert_yaxis()
        if period is not None:
            ax.set_title(f"period {period:.3g}", loc="right", fontsize="small")


def _first(curves: LightCurves, labels: NDArray, names: list, n: int) -> list[LightCurves]:
    """The first n curves of each name."""
    check_scalar(n, "n_samples", Integral, min_val=1)
    check_consistent_length(curves, labels)
    return [curves[np.flatnonzero(labels == name)[:n]] for name in names]


def _folded(
    curves: LightCurves, grid: LightCurveGrid, estimator: LightCurveVaDE | None = None
) -> list[Drawn]:
    """Curves as the grid folds them, and as it or the estimator sees them."""
    if not len(curves):
        return []
    folded = grid.fold_curves(curves)
    half = 1 if grid.fold else 2
    if estimator is None:
        means, stds = folded.shapes(_PLACES / half)
        means = folded.levels[..., None] + folded.amplitudes[..., None] * means
        stds = folded.amplitudes[..., None] * stds
    else:
        cycles = folded.shifts[:, None] + _PLACES / half
        times = folded.starts[:, None] + folded.periods[:, None] * cycles
        means, stds = estimator.predict_curve(curves.with_period(folded.periods), times)
    series = np.repeat(np.arange(len(folded.splits) - 1), np.diff(folded.splits))
    errors, bands = np.sqrt(folded.variances), series % folded.n_bands
    points = np.stack([folded.phases * half, folded.values, errors, bands])
    parts = np.split(points, folded.splits[folded.n_bands : -1 : folded.n_bands], axis=1)
    at = np.broadcast_to(_PLACES, means.shape)
    periods = folded.periods.tolist() if grid.fold else [None] * len(curves)
    return list(zip(parts, np.stack([at, means, stds], axis=1), periods, strict=True))


def _new(estimator: LightCurveVaDE, name: Any, n: int) -> list[Drawn]:
    """New curves of a class."""
    curves = estimator.sample(n, name)[0].with_bands(estimator.bands_.tolist())
    periods = [None] * n if curves.period is None else curves.period.tolist()
    drawn = []
    for curve, period in zip(curves, periods, strict=True):
        places = curve.times / (curve.times.max() if period is None else period)
        smooth = np.array([places, curve.values, curve.errors])
        drawn.append((np.empty((4, 0)), smooth.reshape(3, len(curves.band_names), -1), period))
    return drawn
