"""Picture of clusters: members beside new samples."""

from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state, check_scalar

from skmpcc.data.inputs import as_array
from skmpcc.plotting._drawing import (
    Estimator,
    Limits,
    as_numbers,
    check_estimator,
    draw_profiles,
    draw_strip,
    drawn_limits_of,
    feature_names_of,
    grid_of_axes,
    height_of,
    image_shape_of,
    limits_of,
    name_features,
    name_row,
    names_of,
    profiles,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLES = ("members", "new samples")


def _members_and_samples(
    estimator: Estimator, X: ArrayLike, n: int, random_state: Any
) -> tuple[list[NDArray], list[NDArray]]:
    """At most n members among X of each cluster, and n new samples of each."""
    random = check_random_state(random_state)
    labels = estimator.predict(as_array(X))
    X = as_numbers(estimator, X)
    members, samples = [], []
    for name in names_of(estimator):
        chosen = random.permutation(np.flatnonzero(labels == name))[:n]
        members.append(X[np.sort(chosen)])
        samples.append(as_numbers(estimator, estimator.sample(n, name)[0]))
    return members, samples


def _name_rows(axes: NDArray, names: list) -> None:
    for ax, title in zip(axes[0], TITLES, strict=True):
        ax.set_title(title)
    for name, row in zip(names, axes, strict=True):
        name_row(row[0], name)


class ClustersDisplay:
    """Members of each cluster beside new samples of it: images, or profiles of a table's features.

    Use `from_estimator` to create one and draw it. All parameters are kept as attributes.

    Parameters
    ----------
    members : list of ndarray of shape (at most n_samples, ...)
        Samples of each cluster, or class.
    samples : list of ndarray of shape (n_samples, ...)
        New samples of each.
    names : list
        Numbers of the clusters, or the classes.
    limits : tuple of two ndarray
        The smallest and the largest value: numbers for images, of shape (n_features,) for tables, in
        whose profiles each feature is drawn from its smallest value to its largest.
    image_shape : tuple of int, default=None
        (height, width), (height, width, channels) or (channels, height, width) of rows that are images.
    feature_names : list of str, default=None
        Names of a table's columns; None numbers them.
    drawn_limits : tuple of two ndarray, default=None
        The smallest and the largest value without outliers, which are drawn in place of `limits`; None
        draws `limits`.

    Attributes
    ----------
    axes_ : ndarray of Axes of shape (n_clusters, 2)
        One row for each cluster, members on the left, new samples on the right.
    bounding_ax_ : matplotlib.axes.Axes or None
        The axes that were divided, if any were given.
    figure_ : matplotlib.figure.Figure
        The figure of `axes_`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmpcc import MPCCClusterer
    >>> from skmpcc.plotting import ClustersDisplay
    >>> X = load_iris(as_frame=True).data
    >>> clusterer = MPCCClusterer(
    ...     3, max_iter=10, width=16, tol=0.0, pseudo_labels="kmeans", random_state=0
    ... ).fit(X)
    >>> display = ClustersDisplay.from_estimator(clusterer, X)
    >>> display.axes_.shape
    (3, 2)
    """

    axes_: NDArray
    bounding_ax_: "Axes | None"
    figure_: "Figure"

    def __init__(
        self,
        *,
        members: list[NDArray],
        samples: list[NDArray],
        names: list,
        limits: Limits,
        image_shape: tuple[int, ...] | None = None,
        feature_names: list[str] | None = None,
        drawn_limits: Limits | None = None,
    ) -> None:
        self.members = members
        self.samples = samples
        self.names = names
        self.limits = limits
        self.image_shape = image_shape
        self.feature_names = feature_names
        self.drawn_limits = drawn_limits

    @classmethod
    def from_estimator(
        cls,
        estimator: Estimator,
        X: ArrayLike,
        *,
        n_samples: int = 10,
        image_shape: tuple[int, ...] | None = None,
        random_state: Any = 0,
        ax: "Axes | None" = None,
        **kwargs: Any,
    ) -> "ClustersDisplay":
        """Choose members among X, draw new samples, and draw both.

        Parameters
        ----------
        estimator : MPCCClusterer or MPCCClassifier
            Fitted. Members of a class are the samples that are predicted to be of it.
        X : array-like
            Samples of the shape that `fit` saw.
        n_samples : int, default=10
            New samples, and at most so many members, of each cluster.
        image_shape : tuple of int, default=None
            (height, width), (height, width, channels) or (channels, height, width), to draw rows as
            images. None is the estimator's.
        random_state : int, RandomState instance or None, default=0
            Chooses the members. New samples are drawn by the estimator's `random_state`.
        ax : matplotlib.axes.Axes, default=None
            Axes to divide; None makes a new figure.
        **kwargs : dict
            Passed to `matplotlib.axes.Axes.imshow` for images, to `Axes.plot` for tables.

        Returns
        -------
        display : ClustersDisplay

        Raises
        ------
        TypeError, ValueError
            `estimator` is not one of this package's, X is not of the shape that it saw, `n_samples`
            is not an integer of at least 1, `image_shape` does not fit X, or `ax` cannot be divided.
        NotFittedError
            The estimator is not fitted.
        """
        check_estimator(estimator)
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        members, samples = _members_and_samples(estimator, X, n_samples, random_state)
        X = as_numbers(estimator, X)
        image_shape = image_shape_of(estimator, X, image_shape)
        as_images = image_shape is not None or X.ndim > 2
        display = cls(
            members=members,
            samples=samples,
            names=names_of(estimator),
            limits=limits_of(X, as_images),
            image_shape=image_shape,
            feature_names=feature_names_of(estimator),
            drawn_limits=drawn_limits_of(X, as_images),
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: "Axes | None" = None, **kwargs: Any) -> "ClustersDisplay":
        """Draw members and new samples.

        In profiles the mean of the drawn rows is black, and lines are cut off at a tenth of a
        feature's range outside of that range.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to divide; None makes a new figure.
        **kwargs : dict
            Passed to `matplotlib.axes.Axes.imshow` for images, to `Axes.plot` for tables.

        Returns
        -------
        display : ClustersDisplay
            This one, with the attributes above.
        """
        axes = grid_of_axes(ax, len(self.names), 2, self._size_in_inches())
        self._draw(axes, **kwargs)
        self.axes_ = axes
        self.bounding_ax_ = ax
        self.figure_ = axes[0, 0].figure
        return self

    def _size_in_inches(self) -> tuple[float, float]:
        """Width and height that the figure needs, which is what `plot` gives to a new one."""
        n_clusters = len(self.names)
        if self._as_images:
            return 1.1 * len(self.samples[0]) + 1, 0.6 * n_clusters + 0.6
        return 8.0, 1.1 * n_clusters + 1 + height_of(self.feature_names)

    @property
    def _as_images(self) -> bool:
        return self.image_shape is not None or self.samples[0].ndim > 2

    def _draw(self, axes: NDArray, **kwargs: Any) -> None:
        """Draw in a row of axes for each cluster."""
        n_columns = len(self.samples[0])
        limits = self.limits if self.drawn_limits is None else self.drawn_limits
        for row, *pair in zip(axes, self.members, self.samples, strict=True):
            for axis, items in zip(row, pair, strict=True):
                if self._as_images:
                    draw_strip(axis, items, self.image_shape, n_columns, limits, **kwargs)
                    continue
                style: dict[str, Any] = {"linewidth": 0.7, "alpha": 0.7} | kwargs
                rows = profiles(items, limits)
                draw_profiles(axis, rows, **style)
                if len(rows):
                    mean = rows.mean(axis=0, keepdims=True)
                    draw_profiles(axis, mean, color="black", linewidth=1.5)
                axis.set_ylim(-0.1, 1.1)
        if not self._as_images:
            for axis in axes[-1]:
                name_features(axis, self.feature_names, self.samples[0].shape[1])
        _name_rows(axes, self.names)


def clusters_figure(estimator: Estimator, X: ArrayLike, image_shape: tuple[int, ...] | None) -> "Figure":
    """Draw a `ClustersDisplay` without pyplot, which would keep the figure open."""
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained")
    ax = figure.subplots()
    display = ClustersDisplay.from_estimator(estimator, X, image_shape=image_shape, ax=ax)
    figure.set_size_inches(display._size_in_inches())
    return figure
