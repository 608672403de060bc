"""Picture of samples beside their reconstructions."""

from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state, check_scalar

from skmpcc.data.inputs import as_array
from skmpcc.plotting._drawing import (
    AnyEstimator,
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
    profiles,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class ReconstructionsDisplay:
    """Samples and what is decoded from their codes: images in two rows, or profiles over each other.

    Use `from_estimator` to create one and draw it. All parameters are kept as attributes.

    Parameters
    ----------
    originals : ndarray of shape (n_samples, ...)
    reconstructions : ndarray of shape (n_samples, ...)
    indices : ndarray of int of shape (n_samples,)
        Places of the samples in X, which are written beside them.
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
    axes_ : ndarray of Axes of shape (2, 1) or (n_samples, 1)
        Originals above reconstructions for images, and one for each sample of a table.
    bounding_ax_ : matplotlib.axes.Axes or None
        The axes that were divided, if any were given.
    figure_ : matplotlib.figure.Figure
        The figure of `axes_`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmpcc import MPCCClusterer
    >>> from skmpcc.plotting import ReconstructionsDisplay
    >>> X = load_iris(as_frame=True).data
    >>> clusterer = MPCCClusterer(
    ...     3, max_iter=10, width=16, tol=0.0, pseudo_labels="kmeans", random_state=0
    ... ).fit(X)
    >>> display = ReconstructionsDisplay.from_estimator(clusterer, X, n_samples=5)
    >>> display.reconstructions.shape
    (5, 4)
    """

    axes_: NDArray
    bounding_ax_: "Axes | None"
    figure_: "Figure"

    def __init__(
        self,
        *,
        originals: NDArray,
        reconstructions: NDArray,
        indices: NDArray[np.int64],
        limits: Limits,
        image_shape: tuple[int, ...] | None = None,
        feature_names: list[str] | None = None,
        drawn_limits: Limits | None = None,
    ) -> None:
        self.originals = originals
        self.reconstructions = reconstructions
        self.indices = indices
        self.limits = limits
        self.image_shape = image_shape
        self.feature_names = feature_names
        self.drawn_limits = drawn_limits

    @classmethod
    def from_estimator(
        cls,
        estimator: AnyEstimator,
        X: ArrayLike,
        *,
        n_samples: int = 10,
        image_shape: tuple[int, ...] | None = None,
        random_state: Any = 0,
        ax: "Axes | None" = None,
        **kwargs: Any,
    ) -> "ReconstructionsDisplay":
        """Choose samples among X, reconstruct them, and draw both.

        Parameters
        ----------
        estimator : any of this package's
            Fitted.
        X : array-like
            Samples of the shape that `fit` saw.
        n_samples : int, default=10
            Samples to draw, all if X has fewer.
        image_shape : tuple of int, default=None
            (height, width), (height, width, channels) or (channels, height, width), to draw rows as
            images. None is the estimator's.
        random_state : int, RandomState instance or None, default=0
            Chooses the samples.
        ax : matplotlib.axes.Axes, default=None
            Axes to divide; None makes a new figure.
        **kwargs : dict
            Passed to `matplotlib.axes.Axes.imshow` for images, to `Axes.plot` for tables.

        Returns
        -------
        display : ReconstructionsDisplay

        Raises
        ------
        TypeError, ValueError
            `estimator` is not one of this package's, X is not of the shape that it saw, `n_samples`
            is not an integer of at least 1, `image_shape` does not fit X, or `ax` cannot be divided.
        NotFittedError
            The estimator is not fitted.
        """
        check_estimator(estimator, AnyEstimator)
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        reconstructions = as_numbers(estimator, estimator.reconstruct(as_array(X)))
        X = as_numbers(estimator, X)
        image_shape = image_shape_of(estimator, X, image_shape)
        as_images = image_shape is not None or X.ndim > 2
        indices = np.sort(check_random_state(random_state).permutation(len(X))[:n_samples])
        display = cls(
            originals=X[indices],
            reconstructions=reconstructions[indices],
            indices=indices,
            limits=limits_of(X, as_images),
            image_shape=image_shape,
            feature_names=feature_names_of(estimator),
            drawn_limits=drawn_limits_of(X, as_images),
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: "Axes | None" = None, **kwargs: Any) -> "ReconstructionsDisplay":
        """Draw originals and reconstructions; in profiles the latter are dashed.

        Values outside of a feature's range are drawn at most one such range away from it.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to divide; None makes a new figure.
        **kwargs : dict
            Passed to `matplotlib.axes.Axes.imshow` for images, to `Axes.plot` for tables.

        Returns
        -------
        display : ReconstructionsDisplay
            This one, with the attributes above.
        """
        both = {"original": self.originals, "reconstruction": self.reconstructions}
        n_samples = len(self.indices)
        limits = self.limits if self.drawn_limits is None else self.drawn_limits
        if self.image_shape is not None or self.originals.ndim > 2:
            axes = grid_of_axes(ax, 2, 1, (0.8 * n_samples + 1.6, 2.2))
            for axis, (name, items) in zip(axes[:, 0], both.items(), strict=True):
                image = draw_strip(axis, items, self.image_shape, n_samples, limits, **kwargs)
                name_row(axis, name)
            width = image.get_size()[1] / n_samples
            axes[-1, 0].set_xticks((np.arange(n_samples) + 0.5) * width - 0.5, self.indices)
        else:
            height = 0.8 * n_samples + 1.2 + height_of(self.feature_names)
            axes = grid_of_axes(ax, n_samples, 1, (6.0, height))
            for number, (axis, index) in enumerate(zip(axes[:, 0], self.indices, strict=True)):
                for (name, items), line in zip(both.items(), ("-", "--"), strict=True):
                    style: dict[str, Any] = {"linestyle": line, "label": name} | kwargs
                    draw_profiles(axis, profiles(items[number : number + 1], limits), **style)
                axis.margins(y=0.15)
                name_row(axis, index)
            name_features(axes[-1, 0], self.feature_names, self.originals.shape[1])
            handles, labels = axes[0, 0].get_legend_handles_labels()
            axes[0, 0].legend(
                handles, labels, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False
            )
        self.axes_ = axes
        self.bounding_ax_ = ax
        self.figure_ = axes[0, 0].figure
        return self
