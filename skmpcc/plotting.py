"""Pictures of a fitted clusterer. Needs matplotlib: pip install "skmpcc[plot]"."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state

from skmpcc.clusterer import MPCCClusterer

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_clusters(
    clusterer: MPCCClusterer,
    X: ArrayLike,
    *,
    image_shape: tuple[int, ...] | None = None,
    n_columns: int = 10,
    random_state: Any = 0,
) -> "Figure":
    """One row per cluster: members drawn from X on the left, new samples on the right.

    Parameters
    ----------
    clusterer : MPCCClusterer
        Fitted.
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
    members, samples = [], []
    for k in range(n_clusters):
        of_cluster = np.flatnonzero(labels == k)
        chosen = random.permutation(of_cluster)[:n_columns]
        members.append(X[np.sort(chosen)])
        samples.append(clusterer.sample(n_columns, cluster=k)[0])

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
    for k, row in enumerate(axes):
        row[0].set_ylabel(str(k), rotation=0, ha="right", va="center")
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
