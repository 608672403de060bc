"""Picture of what sets each cluster apart."""

from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_scalar

from skmpcc.inspection.columns import table_columns
from skmpcc.inspection.effects import effects_by_cluster
from skmpcc.inspection.estimators import labels_of, n_clusters_of
from skmpcc.plotting._drawing import as_text, checked_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

# In more cells than this numbers would not be read.
MAX_NUMBERS = 400
# Effects beyond this number of standard deviations have the strongest colours.
LARGEST = 2.0


class ClusterDescriptionDisplay:
    """Differences of columns between each cluster and all other rows, as a heat map.

    Use `from_estimator` to create one and draw it.

    Parameters
    ----------
    effects : ndarray of float of shape (n_features, n_clusters)
        Differences of means, or of shares of categories, in standard deviations of the column; NaN of
        clusters that have no row or all.
    names : list of str
        Names of the features.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Where the map is drawn.
    figure_ : matplotlib.figure.Figure
        The figure of `ax_`.
    image_ : matplotlib.image.AxesImage
    colorbar_ : matplotlib.colorbar.Colorbar

    See Also
    --------
    skmpcc.inspection.describe_clusters : The same in words, with rules and typical rows.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmpcc import MPCCClusterer
    >>> from skmpcc.plotting import ClusterDescriptionDisplay
    >>> X = load_iris(as_frame=True).data
    >>> clusterer = MPCCClusterer(3, labels_only=True, max_iter=50, random_state=0).fit(X)
    >>> display = ClusterDescriptionDisplay.from_estimator(clusterer, X)
    >>> display.effects.shape
    (4, 3)
    """

    ax_: "Axes"
    figure_: "Figure"
    image_: "AxesImage"
    colorbar_: "Colorbar"

    def __init__(self, effects: NDArray[np.float64], names: list[str]) -> None:
        self.effects = effects
        self.names = names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        *,
        n_features: int = 5,
        ax: "Axes | None" = None,
        **kwargs: Any,
    ) -> "ClusterDescriptionDisplay":
        """Create a display of a fitted clusterer's clusters, and draw it.

        Parameters
        ----------
        estimator : MPCCClusterer, VaDEClusterer, Pipeline or another clusterer
            Fitted, with `predict`.
        X : array-like of shape (n_samples, n_features)
            A table, such as that of the fit.
        n_features : int, default=5
            Features to show for each cluster, those by which it differs most; they are shown for all.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : dict
            Passed to `matplotlib.axes.Axes.imshow`.

        Returns
        -------
        display : ClusterDescriptionDisplay

        Raises
        ------
        TypeError, ValueError
            `estimator` has no `predict`, X does not fit it or holds images, `n_features` is below 1 or
            not an integer, or `ax` is not matplotlib axes.
        NotFittedError
            The estimator is not fitted.
        """
        check_scalar(n_features, "n_features", Integral, min_val=1)
        labels = labels_of(estimator, X, "estimator")
        columns = table_columns(estimator, X)
        if columns is None:
            raise ValueError("X holds images, of which ClustersDisplay shows what sets clusters apart.")
        n_clusters = n_clusters_of(estimator, labels)
        most = effects_by_cluster(columns, labels, n_clusters)
        order = dict.fromkeys(each.name for effects in most for each in effects[:n_features])
        every = effects_by_cluster(columns, labels, n_clusters, every_category=True)
        found = np.full((len(order), n_clusters), np.nan)
        for k, effects in enumerate(every):
            by_name = {each.name: each.effect for each in effects}
            found[:, k] = [by_name.get(name, np.nan) for name in order]
        return cls(found, list(order)).plot(ax=ax, **kwargs)

    def plot(self, ax: "Axes | None" = None, **kwargs: Any) -> "ClusterDescriptionDisplay":
        """Draw a row for each feature and a column for each cluster.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : dict
            Passed to `matplotlib.axes.Axes.imshow`.

        Returns
        -------
        display : ClusterDescriptionDisplay
            This one, with the attributes above.
        """
        ax = checked_axes(ax)
        style: dict[str, Any] = {"cmap": "RdBu_r", "vmin": -LARGEST, "vmax": LARGEST, "aspect": "auto"}
        self.image_ = ax.imshow(self.effects, **style | kwargs)
        ax.set_yticks(range(len(self.names)), [as_text(name) for name in self.names], parse_math=False)
        ax.set_xticks(range(self.effects.shape[1]))
        ax.set(xlabel="cluster")
        if self.effects.size <= MAX_NUMBERS:
            for (i, k), effect in np.ndenumerate(self.effects):
                if not np.isnan(effect):
                    dark = abs(effect) > 0.7 * LARGEST
                    ax.text(
                        *(k, i, f"{round(effect, 1) + 0.0:+.1f}"),
                        ha="center",
                        va="center",
                        color="white" if dark else "black",
                        fontsize="small",
                    )
        self.ax_ = ax
        self.figure_ = ax.figure  # type: ignore[assignment]
        self.colorbar_ = self.figure_.colorbar(
            self.image_, ax=ax, label="difference from the rest, in standard deviations"
        )
        return self
