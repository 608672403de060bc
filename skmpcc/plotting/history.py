"""Picture of a training's course."""

from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from skmpcc.plotting._drawing import AnyEstimator, check_estimator, grid_of_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

# Entries of `history_` that are not losses, by the panel in which they are drawn.
MIXTURE = {"mean_std": "standard deviation, mean", "mean_norm": "norm of the means, mean"}
CHANGE = {"change": "memberships", "generation_change": "reconstructions or mixture"}
STEPS = {"clipped_steps": "clipped steps"}

# Losses differ by magnitudes, and changes end at thousandths: both are drawn logarithmically, but
# linearly around 0, which losses cross and changes reach.
LINEAR_BELOW = {"loss": 1.0, "change": 1e-3}


class HistoryDisplay:
    """Course of a training: losses, the mixture's standard deviations, and what still changes.

    Use `from_estimator` to create one and draw it. All parameters are kept as attributes.

    Parameters
    ----------
    history : dict of ndarray
        As the attribute `history_` of a fitted estimator.

    Attributes
    ----------
    axes_ : ndarray of Axes of shape (4, 1), or (3, 1) for AIM and VAE
        Losses, the mixture (AIM and VAE have none), changes between entries, and the share of clipped
        steps, over the iterations.
    bounding_ax_ : matplotlib.axes.Axes or None
        The axes that were divided, if any were given.
    figure_ : matplotlib.figure.Figure
        The figure of `axes_`.
    lines_ : dict of matplotlib.lines.Line2D
        The line of each entry of the history except "iteration".

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmpcc import MPCCClusterer
    >>> from skmpcc.plotting import HistoryDisplay
    >>> X = load_iris().data
    >>> clusterer = MPCCClusterer(
    ...     3, max_iter=10, width=16, tol=0.0, pseudo_labels="kmeans", random_state=0
    ... ).fit(X)
    >>> display = HistoryDisplay.from_estimator(clusterer)
    >>> float(display.lines_["mean_std"].get_xdata()[-1])
    10.0
    """

    axes_: NDArray
    bounding_ax_: "Axes | None"
    figure_: "Figure"
    lines_: "dict[str, Line2D]"

    def __init__(self, *, history: dict[str, NDArray]) -> None:
        self.history = history

    @classmethod
    def from_estimator(
        cls, estimator: AnyEstimator, *, ax: "Axes | None" = None, **kwargs: Any
    ) -> "HistoryDisplay":
        """Draw the history of a fit.

        Parameters
        ----------
        estimator : any of this package's
            Fitted.
        ax : matplotlib.axes.Axes, default=None
            Axes to divide; None makes a new figure.
        **kwargs : dict
            Passed to `matplotlib.axes.Axes.plot`.

        Returns
        -------
        display : HistoryDisplay

        Raises
        ------
        TypeError, ValueError
            `estimator` is not one of this package's, or `ax` cannot be divided.
        NotFittedError
            The estimator is not fitted.
        """
        check_estimator(estimator, AnyEstimator)
        return cls(history=estimator.history_).plot(ax=ax, **kwargs)

    def plot(self, ax: "Axes | None" = None, **kwargs: Any) -> "HistoryDisplay":
        """Draw the panels, losses and changes on scales that are logarithmic except around 0.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to divide; None makes a new figure.
        **kwargs : dict
            Passed to `matplotlib.axes.Axes.plot`.

        Returns
        -------
        display : HistoryDisplay
            This one, with the attributes above.
        """
        from matplotlib.ticker import SymmetricalLogLocator

        others = {"iteration", *MIXTURE, *CHANGE, *STEPS}
        losses = {name: name.replace("_", " ") for name in self.history if name not in others}
        panels = {"loss": losses, "mixture": MIXTURE, "change": CHANGE, "share": STEPS}
        panels = {title: labels for title, labels in panels.items() if set(labels) & set(self.history)}
        axes = grid_of_axes(ax, len(panels), 1, (8.0, 2.7 * len(panels)))
        self.lines_ = {}
        for axis, (title, labels) in zip(axes[:, 0], panels.items(), strict=True):
            for name, label in labels.items():
                if name not in self.history:
                    continue
                style: dict[str, Any] = {"label": label} | kwargs
                (line,) = axis.plot(self.history["iteration"], self.history[name], **style)
                self.lines_[name] = line
            axis.set_ylabel(title)
            if title in LINEAR_BELOW:
                below = LINEAR_BELOW[title]
                axis.set_yscale("symlog", linthresh=below)
                ticks = SymmetricalLogLocator(base=10, linthresh=below, subs=[1, 3])
                axis.yaxis.set_major_locator(ticks)
                axis.yaxis.set_major_formatter("{x:g}")
            axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize="small")
            axis.tick_params(labelbottom=axis is axes[-1, 0])
        axes[-1, 0].set_xlabel("iteration")
        self.axes_ = axes
        self.bounding_ax_ = ax
        self.figure_ = axes[0, 0].figure
        return self
