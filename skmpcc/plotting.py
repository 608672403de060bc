"""Pictures of a fitted estimator. Needs matplotlib: pip install "skmpcc[plot]"."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state

from skmpcc.classifier import MPCCClassifier
from skmpcc.clusterer import MPCCClusterer
from skmpcc.model_selection import NClustersSuggestion

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import ErrorbarContainer
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D


def plot_clusters(
    clusterer: MPCCClusterer | MPCCClassifier,
    X: ArrayLike,
    *,
    image_shape: tuple[int, ...] | None = None,
    n_columns: int = 10,
    random_state: Any = 0,
) -> "Figure":
    """One row per cluster, or class: members drawn from X on the left, new samples on the right.

    Parameters
    ----------
    clusterer : MPCCClusterer or MPCCClassifier
        Fitted. Members of a class are those that are predicted.
    X : array-like
        Samples of the shape that `fit` saw.
    image_shape : tuple of int, default=None
        (height, width) or (height, width, channels) to draw vectors as images. Without it images are
        drawn as such, and other vectors as lines over the feature's index.
    n_columns : int, default=10
        Members, and samples, in each row.
    random_state : int, RandomState instance or None, default=0
        Chooses the members.

    Returns
    -------
    figure : matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure

    random = check_random_state(random_state)
    labels = clusterer.predict(X)
    X = np.asarray(X)
    n_clusters = len(clusterer.means_)
    names = getattr(clusterer, "classes_", np.arange(n_clusters)).tolist()
    members, samples = [], []
    for name in names:
        of_cluster = np.flatnonzero(labels == name)
        chosen = random.permutation(of_cluster)[:n_columns]
        members.append(X[np.sort(chosen)])
        samples.append(clusterer.sample(n_columns, name)[0])

    image_shape = image_shape or clusterer.image_shape
    as_images = image_shape is not None or X.ndim > 2
    figure = Figure(figsize=(1.0 * n_columns, max(2.0, (0.5 if as_images else 0.9) * n_clusters)))
    axes = figure.subplots(n_clusters, 2, squeeze=False)
    low, high = X.min(), X.max()
    for row, pair in zip(axes, zip(members, samples, strict=True), strict=True):
        for axis, items in zip(row, pair, strict=True):
            if as_images:
                strip = _strip(items, image_shape, n_columns, high)
                axis.imshow(strip, cmap="gray", vmin=low, vmax=high, aspect="equal")
            else:
                axis.plot(items.T, linewidth=0.7, alpha=0.7)
                axis.set_ylim(low, high)
            axis.set(xticks=[], yticks=[])
    axes[0, 0].set_title("members")
    axes[0, 1].set_title("new samples")
    for name, row in zip(names, axes, strict=True):
        row[0].set_ylabel(str(name), rotation=0, ha="right", va="center")
    figure.tight_layout(pad=0.3)
    return figure


def _strip(items: NDArray, image_shape: tuple[int, ...] | None, n_columns: int, blank: float) -> NDArray:
    """The images side by side, the missing ones blank, clipped to what can be shown."""
    if image_shape is not None and items.ndim == 2:
        items = items.reshape(len(items), *image_shape)
    if items.ndim == 4 and items.shape[1] < min(items.shape[2:]):
        items = np.moveaxis(items, 1, 3)
    if items.ndim == 4 and items.shape[3] not in (3, 4):
        items = items[..., 0]
    missing = n_columns - len(items)
    items = np.concatenate([items, np.full((missing, *items.shape[1:]), blank, items.dtype)])
    strip = np.concatenate(list(items), axis=1)
    if strip.ndim == 3:
        scale = 255 if blank > 1 else 1
        return np.clip(strip / scale, 0, 1)
    return strip


class NClustersDisplay:
    """Prediction strength against the number of clusters, as scikit-learn's displays draw curves.

    Use `from_suggestion` to create one and draw it.

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

        if ax is None:
            from matplotlib import pyplot

            ax = pyplot.subplots()[1]
        found = self.suggestion
        style: dict[str, Any] = {
            "marker": "o",
            "capsize": 3,
            "label": "mean and standard error",
        } | kwargs
        self.errorbar_ = ax.errorbar(found.candidates, found.scores, found.standard_errors, **style)
        self.threshold_line_ = ax.axhline(
            found.threshold, color="gray", linestyle=":", label=f"threshold ({found.threshold:g})"
        )
        self.suggestion_line_ = ax.axvline(
            found.n_clusters, color="black", linestyle="--", label=f"suggestion ({found.n_clusters})"
        )
        ax.set(xlabel="number of clusters", ylabel="prediction strength", ylim=(0.0, 1.05))
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.legend()
        self.ax_ = ax
        self.figure_ = ax.figure  # type: ignore[assignment]
        return self
