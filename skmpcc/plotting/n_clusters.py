"""Picture of the search for a number of clusters."""

from typing import TYPE_CHECKING, Any

from sklearn.utils.validation import check_is_fitted

from skmpcc.clusterer import MPCCClusterer
from skmpcc.model_selection import NClustersSuggestion
from skmpcc.plotting._drawing import checked_axes
from skmpcc.pseudo_labels.number import needed_strengths

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import ErrorbarContainer
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D


class NClustersDisplay:
    """Prediction strength against the number of clusters, as scikit-learn's displays draw curves.

    Use `from_suggestion` or `from_estimator` to create one and draw it.

    Parameters
    ----------
    suggestion : NClustersSuggestion

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Where the curve is drawn.
    figure_ : matplotlib.figure.Figure
        The figure of `ax_`.
    errorbar_ : matplotlib.container.ErrorbarContainer
        The strengths, with a standard error to either side.
    threshold_line_ : matplotlib.lines.Line2D
        Scores that the numbers need.
    suggestion_line_ : matplotlib.lines.Line2D

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skmpcc.model_selection import suggest_n_clusters
    >>> from skmpcc.plotting import NClustersDisplay
    >>> X, _ = make_blobs(300, centers=[[-8, 0], [0, 8], [8, 0]], random_state=0)
    >>> suggestion = suggest_n_clusters(X, range(2, 6), random_state=0)
    >>> display = NClustersDisplay.from_suggestion(suggestion)
    >>> display.ax_.get_xlabel()
    'number of clusters'
    """

    ax_: "Axes"
    figure_: "Figure"
    errorbar_: "ErrorbarContainer"
    threshold_line_: "Line2D"
    suggestion_line_: "Line2D"

    def __init__(self, suggestion: NClustersSuggestion) -> None:
        self.suggestion = suggestion

    @classmethod
    def from_suggestion(
        cls, suggestion: NClustersSuggestion, *, ax: "Axes | None" = None, **kwargs: Any
    ) -> "NClustersDisplay":
        """Create a display of what `suggest_n_clusters` found, and draw it.

        Parameters
        ----------
        suggestion : NClustersSuggestion
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : dict
            Passed to `matplotlib.axes.Axes.errorbar`.

        Returns
        -------
        display : NClustersDisplay
        """
        return cls(suggestion).plot(ax=ax, **kwargs)

    @classmethod
    def from_estimator(
        cls, clusterer: MPCCClusterer, *, ax: "Axes | None" = None, **kwargs: Any
    ) -> "NClustersDisplay":
        """Create a display of how a fit with `n_clusters="auto"` found the number, and draw it.

        Parameters
        ----------
        clusterer : MPCCClusterer
            Fitted.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : dict
            Passed to `matplotlib.axes.Axes.errorbar`.

        Returns
        -------
        display : NClustersDisplay

        Raises
        ------
        ValueError
            The number was given to the fit.
        """
        check_is_fitted(clusterer)
        curve = getattr(clusterer, "n_clusters_curve_", None)
        if curve is None:
            raise ValueError(
                f"the fit was given n_clusters={clusterer.n_clusters}; there is a curve after "
                "n_clusters='auto' alone."
            )
        candidates = curve["candidates"]
        suggestion = NClustersSuggestion(
            clusterer.n_clusters_,
            candidates,
            curve["scores"],
            curve["standard_errors"],
            float((curve["thresholds"] - needed_strengths(candidates, 0.0))[0]),
        )
        return cls.from_suggestion(suggestion, ax=ax, **kwargs)

    def plot(self, ax: "Axes | None" = None, **kwargs: Any) -> "NClustersDisplay":
        """Draw the curve, the threshold and the suggestion.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : dict
            Passed to `matplotlib.axes.Axes.errorbar`.

        Returns
        -------
        display : NClustersDisplay
            This one, with the attributes above.
        """
        from matplotlib.ticker import MaxNLocator

        ax = checked_axes(ax)
        found = self.suggestion
        style: dict[str, Any] = {
            "marker": "o",
            "capsize": 3,
            "label": "mean and standard error",
        } | kwargs
        self.errorbar_ = ax.errorbar(found.candidates, found.scores, found.standard_errors, **style)
        (self.threshold_line_,) = ax.plot(
            found.candidates, found.thresholds, color="gray", linestyle=":", label="threshold"
        )
        self.suggestion_line_ = ax.axvline(
            found.n_clusters, color="black", linestyle="--", label=f"suggestion ({found.n_clusters})"
        )
        least = min(0.0, float(found.scores.min()))
        ax.set(xlabel="number of clusters", ylabel="how well clusters are found again")
        ax.set_ylim(least, 1.05)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.legend()
        self.ax_ = ax
        self.figure_ = ax.figure  # type: ignore[assignment]
        return self
