"""Picture of the latent space."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.decomposition import PCA

from skmpcc.data.inputs import as_array
from skmpcc.plotting._drawing import (
    OF_NONE,
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
    from matplotlib.patches import Ellipse
    from matplotlib.text import Text

# Ellipses reach so many standard deviations from the means.
DEVIATIONS = 2.0


class LatentMapDisplay:
    """Codes in their first two principal components, with the mixture's components as ellipses.

    Use `from_estimator` to create one and draw it. All parameters are kept as attributes.

    Parameters
    ----------
    codes : ndarray of shape (n_samples, 2)
        Codes in the two components.
    labels : ndarray of int of shape (n_samples,)
        Number of each sample's cluster, or place of its class in `names`; -1 of those of no cluster,
        which are drawn in grey.
    means : ndarray of shape (n_clusters, 2)
        The mixture's means in the same components.
    covariances : ndarray of shape (n_clusters, 2, 2)
        Its covariance matrices there.
    names : list
        Numbers of the clusters, or the classes.
    explained_variance_ratio : ndarray of shape (2,), default=None
        Shares of the codes' variance in the two components, for the axes' labels.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Where the map is drawn.
    figure_ : matplotlib.figure.Figure
        The figure of `ax_`.
    scatter_ : matplotlib.collections.PathCollection
        The codes, coloured by cluster.
    ellipses_ : list of matplotlib.patches.Ellipse
        For each cluster the points at two standard deviations from its mean, seen from the two
        components.
    texts_ : list of matplotlib.text.Text
        The names, at the means.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmpcc import MPCCClusterer
    >>> from skmpcc.plotting import LatentMapDisplay
    >>> X = load_iris().data
    >>> clusterer = MPCCClusterer(
    ...     3, max_iter=10, width=16, tol=0.0, pseudo_labels="kmeans", random_state=0
    ... ).fit(X)
    >>> display = LatentMapDisplay.from_estimator(clusterer, X)
    >>> len(display.ellipses_)
    3
    """

    ax_: "Axes"
    figure_: "Figure"
    scatter_: "PathCollection"
    ellipses_: "list[Ellipse]"
    texts_: "list[Text]"

    def __init__(
        self,
        *,
        codes: NDArray,
        labels: NDArray[np.int64],
        means: NDArray,
        covariances: NDArray,
        names: list,
        explained_variance_ratio: NDArray | None = None,
    ) -> None:
        self.codes = codes
        self.labels = labels
        self.means = means
        self.covariances = covariances
        self.names = names
        self.explained_variance_ratio = explained_variance_ratio

    @classmethod
    def from_estimator(
        cls, estimator: Estimator, X: ArrayLike, *, ax: "Axes | None" = None, **kwargs: Any
    ) -> "LatentMapDisplay":
        """Encode X, find the principal components of the codes, and draw the map.

        Parameters
        ----------
        estimator : MPCCClusterer or MPCCClassifier
            Fitted.
        X : array-like
            Samples of the shape that `fit` saw, at least two.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : dict
            Passed to `matplotlib.axes.Axes.scatter`.

        Returns
        -------
        display : LatentMapDisplay

        Raises
        ------
        TypeError, ValueError
            `estimator` is not one of this package's or has a single latent dimension, X is not of
            the shape that it saw or has a single sample, or `ax` is not matplotlib axes.
        NotFittedError
            The estimator is not fitted.
        """
        check_estimator(estimator)
        if estimator.means_.shape[1] < 2:
            raise ValueError("estimator must have at least 2 latent dimensions, got latent_dim=1.")
        codes = np.asarray(estimator.transform(as_array(X)), dtype=np.float64)
        if len(codes) < 2:
            raise ValueError("X must have at least 2 samples for a map of their codes, got 1.")
        memberships = estimator.predict_proba(as_array(X))
        projection = PCA(2, svd_solver="full").fit(codes)
        axes = projection.components_
        display = cls(
            codes=projection.transform(codes),
            # Samples of no cluster have no memberships.
            labels=np.where(memberships.any(axis=1), memberships.argmax(axis=1), -1),
            means=projection.transform(estimator.means_.astype(np.float64)),
            # V diag(c) V^T of each component.
            covariances=np.einsum("id,kd,jd->kij", axes, estimator.covariances_, axes),
            names=names_of(estimator),
            explained_variance_ratio=projection.explained_variance_ratio_,
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: "Axes | None" = None, **kwargs: Any) -> "LatentMapDisplay":
        """Draw codes, ellipses and names.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : dict
            Passed to `matplotlib.axes.Axes.scatter`.

        Returns
        -------
        display : LatentMapDisplay
            This one, with the attributes above.
        """
        from matplotlib.patches import Ellipse

        ax = checked_axes(ax)
        colour = colours(len(self.names))
        style: dict[str, Any] = {"s": 8, "alpha": 0.5, "linewidths": 0} | kwargs
        if not {"c", "color"} & set(style):
            # The last is that of -1.
            style["c"] = np.vstack([colour, OF_NONE])[self.labels]
        self.scatter_ = ax.scatter(self.codes[:, 0], self.codes[:, 1], **style)
        self.ellipses_, self.texts_ = [], []
        for k, (mean, covariance) in enumerate(zip(self.means, self.covariances, strict=True)):
            variances, directions = np.linalg.eigh(covariance)
            width, height = 2 * DEVIATIONS * np.sqrt(np.maximum(variances, 0))
            angle = np.degrees(np.arctan2(directions[1, 0], directions[0, 0]))
            ellipse = Ellipse(
                (mean[0], mean[1]), width, height, angle=angle, fill=False, edgecolor=colour[k]
            )
            ellipse.set_linewidth(1.5)
            self.ellipses_.append(ellipse)
            ax.add_patch(ellipse)
            box = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": colour[k]}
            text = ax.text(mean[0], mean[1], as_text(self.names[k]), ha="center", va="center", bbox=box)
            text.set_parse_math(False)
            self.texts_.append(text)
        ax.autoscale_view()
        ax.set_aspect("equal", adjustable="datalim")
        labels = ["first principal component", "second principal component"]
        if self.explained_variance_ratio is not None:
            for i, share in enumerate(self.explained_variance_ratio):
                # Digits enough to see that a share is not all, or not nothing.
                digits = 0 if 0.01 <= share <= 0.99 or share in (0, 1) else 2
                labels[i] += f" ({100 * share:.{digits}f} %)"
        ax.set(xlabel=labels[0], ylabel=labels[1])
        self.ax_ = ax
        self.figure_ = ax.figure  # type: ignore[assignment]
        return self
