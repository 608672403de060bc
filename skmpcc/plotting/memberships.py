"""Picture of memberships."""

from itertools import pairwise
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_scalar

from skmpcc.data.inputs import as_array
from skmpcc.plotting._drawing import (
    NONE,
    Estimator,
    as_text,
    check_estimator,
    checked_axes,
    colours,
    names_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import StepPatch

# Names with more letters have no place beside each other.
MAX_LETTERS = 60


class MembershipsDisplay:
    """The largest membership of each sample, sorted within the clusters, with the doubtful ones marked.

    Use `from_estimator` to create one and draw it. All parameters are kept as attributes.

    Parameters
    ----------
    memberships : ndarray of shape (n_samples, n_clusters)
        As of `predict_proba`. Samples of no cluster, whose memberships are all 0, have a place of their
        own to the right, and are not doubtful.
    names : list
        Numbers of the clusters, or the classes.
    threshold : float, default=0.5
        A sample is doubtful if its largest membership is below this.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Where the memberships are drawn.
    figure_ : matplotlib.figure.Figure
        The figure of `ax_`.
    blocks_ : list of matplotlib.patches.StepPatch
        For each cluster the largest memberships of its samples, in descending order.
    scatter_ : matplotlib.collections.PathCollection
        The doubtful samples, in the colour of the cluster of their second largest membership.
    threshold_line_ : matplotlib.lines.Line2D
    order_ : ndarray of int of shape (n_samples,)
        Numbers of the samples from left to right.
    doubtful_ : ndarray of int
        Numbers of the doubtful samples, by rising membership.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmpcc import MPCCClusterer
    >>> from skmpcc.plotting import MembershipsDisplay
    >>> X = load_iris().data
    >>> clusterer = MPCCClusterer(
    ...     3, max_iter=10, width=16, tol=0.0, pseudo_labels="kmeans", random_state=0
    ... ).fit(X)
    >>> display = MembershipsDisplay.from_estimator(clusterer, X, threshold=0.9)
    >>> bool((display.memberships[display.doubtful_].max(axis=1) < 0.9).all())
    True
    """

    ax_: "Axes"
    figure_: "Figure"
    blocks_: "list[StepPatch]"
    scatter_: "PathCollection"
    threshold_line_: "Line2D"
    order_: NDArray[np.int64]
    doubtful_: NDArray[np.int64]

    def __init__(self, *, memberships: NDArray, names: list, threshold: float = 0.5) -> None:
        self.memberships = memberships
        self.names = names
        self.threshold = threshold

    @classmethod
    def from_estimator(
        cls,
        estimator: Estimator,
        X: ArrayLike,
        *,
        threshold: float = 0.5,
        ax: "Axes | None" = None,
        **kwargs: Any,
    ) -> "MembershipsDisplay":
        """Predict the memberships of X and draw them.

        Parameters
        ----------
        estimator : MPCCClusterer or MPCCClassifier
            Fitted.
        X : array-like
            Samples of the shape that `fit` saw.
        threshold : float, default=0.5
            A sample is doubtful if its largest membership is below this, a number from 0 to 1.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : dict
            Passed to `matplotlib.axes.Axes.scatter`, which draws the doubtful samples.

        Returns
        -------
        display : MembershipsDisplay

        Raises
        ------
        TypeError, ValueError
            `estimator` is not one of this package's, X is not of the shape that it saw, `threshold`
            is not a number from 0 to 1, or `ax` is not matplotlib axes.
        NotFittedError
            The estimator is not fitted.
        """
        check_estimator(estimator)
        check_scalar(threshold, "threshold", Real, min_val=0, max_val=1)
        memberships = estimator.predict_proba(as_array(X))
        display = cls(memberships=memberships, names=names_of(estimator), threshold=threshold)
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: "Axes | None" = None, **kwargs: Any) -> "MembershipsDisplay":
        """Draw a block for each cluster, the threshold and the doubtful samples.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : dict
            Passed to `matplotlib.axes.Axes.scatter`, which draws the doubtful samples.

        Returns
        -------
        display : MembershipsDisplay
            This one, with the attributes above.
        """
        ax = checked_axes(ax)
        n_samples, n_clusters = self.memberships.shape
        colour = colours(n_clusters)
        largest, inside = self.memberships.max(axis=1), self.memberships.any(axis=1)
        labels = np.where(inside, self.memberships.argmax(axis=1), n_clusters)
        self.order_ = np.lexsort((-largest, labels))
        ends = np.concatenate([[0], np.cumsum(np.bincount(labels, minlength=n_clusters + 1))])
        self.blocks_ = [
            ax.stairs(
                largest[self.order_[start:end]],
                np.arange(start, end + 1),
                fill=True,
                color=colour[k],
                alpha=0.5,
            )
            for k, (start, end) in enumerate(pairwise(ends[:-1]))
        ]
        doubtful = np.flatnonzero(inside & (largest < self.threshold))
        self.doubtful_ = doubtful[np.argsort(largest[doubtful], kind="stable")]
        place = np.argsort(self.order_)[self.doubtful_] + 0.5
        second = np.argsort(self.memberships[self.doubtful_], axis=1)[:, -2:][:, 0]
        style: dict[str, Any] = {
            "s": 18,
            "linewidths": 0.5,
            "edgecolors": "black",
            "label": f"{len(doubtful)} of {n_samples} doubtful"
            + (", in the colour of the second cluster" if len(doubtful) else ""),
        } | kwargs
        if not {"c", "color"} & set(style):
            style["c"] = colour[second]
        self.scatter_ = ax.scatter(place, largest[self.doubtful_], zorder=3, **style)
        self.threshold_line_ = ax.axhline(
            self.threshold, color="black", linestyle=":", label=f"threshold ({self.threshold:.10g})"
        )
        sizes = np.diff(ends)
        shown = np.flatnonzero(sizes)
        names = [as_text([*self.names, NONE][k]) for k in shown]
        ax.set_xticks(
            ((ends[:-1] + ends[1:]) / 2)[shown],
            names,
            rotation=90 if n_clusters > 20 or sum(map(len, names)) > MAX_LETTERS else 0,
            parse_math=False,
        )
        ax.tick_params(axis="x", length=0)
        ax.set(
            xlabel="samples by cluster", ylabel="largest membership", xlim=(0, n_samples), ylim=(0, 1.02)
        )
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), frameon=False, borderaxespad=0.2)
        self.ax_ = ax
        self.figure_ = ax.figure  # type: ignore[assignment]
        return self
