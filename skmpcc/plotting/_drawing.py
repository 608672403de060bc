"""Helpers of several displays: an estimator's names, axes, colours, and pictures of samples."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from skmpcc.aim import AIM
from skmpcc.classifier import MPCCClassifier
from skmpcc.clusterer import MPCCClusterer
from skmpcc.data.inputs import as_array
from skmpcc.vae import VAE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage
    from matplotlib.lines import Line2D

Estimator = MPCCClusterer | MPCCClassifier
AnyEstimator = MPCCClusterer | MPCCClassifier | AIM | VAE
Limits = tuple[NDArray, NDArray]

# Colour of samples that belong to no cluster, and what they are called.
OF_NONE, NONE = (0.75, 0.75, 0.75, 1.0), "none"

# More features than this are numbered along the axis instead of named.
MAX_NAMED_FEATURES = 30
# Longer names are cut off in pictures.
MAX_NAME = 30

# This share of the values at either end may be outliers, which are farther from the others than so many
# ranges of these.
OUTLYING = 0.01
FAR = 10.0
# Fewer values have no outliers.
MIN_VALUES = 10
# Among more values of images it is a part of them that shows where most of them lie.
MAX_VALUES = 2**20


def check_estimator(estimator: Any, wanted: Any = Estimator) -> None:
    """Check that `estimator` is fitted and one of `wanted`, by default one with clusters or classes."""
    if not isinstance(estimator, wanted):
        names = " or ".join(each.__name__ for each in wanted.__args__)
        raise TypeError(
            f"estimator must be a fitted {names}, got an object of type {type(estimator).__name__}."
        )
    check_is_fitted(estimator)


def as_numbers(estimator: AnyEstimator, X: Any) -> NDArray:
    """X that the estimator has accepted, as an array to calculate with; categories by their numbers."""
    X = np.asarray(as_array(estimator._fitted.format.to_numbers(X)))
    return X.astype(np.float64) if X.dtype.kind in "bO" else X


def as_text(name: object) -> str:
    """A name as it is written in pictures: in one line, not too long, without what no font can have."""
    text = " ".join(str(name).encode(errors="replace").decode().split())
    return text if len(text) <= MAX_NAME else text[: MAX_NAME - 1] + "…"


def names_of(estimator: Estimator) -> list:
    """Labels of the mixture's components: classes, or numbers of clusters."""
    return list(getattr(estimator, "classes_", np.arange(len(estimator.means_))).tolist())


def image_shape_of(
    estimator: AnyEstimator, X: NDArray, image_shape: tuple[int, ...] | None
) -> tuple[int, ...] | None:
    """Shape in which rows are drawn as images, None for other vectors and for images as they come.

    Raises
    ------
    ValueError
        `image_shape` does not have as many values as the rows.
    """
    if X.ndim > 2:
        return None
    given = estimator.image_shape if image_shape is None else image_shape
    if given is None:
        return None
    if len(given) not in (2, 3) or math.prod(given) != X.shape[1]:
        raise ValueError(
            "image_shape must be (height, width), (height, width, channels) or (channels, height, "
            f"width) of {X.shape[1]} values, as many as each row of X has; got {given!r}."
        )
    return tuple(given)


def limits_of(X: NDArray, as_images: bool) -> Limits:
    """Smallest and largest value: of all of X for images, of each feature otherwise."""
    axis = None if as_images else 0
    # Values may be missing.
    return np.fmin.reduce(X, axis=axis), np.fmax.reduce(X, axis=axis)


def drawn_limits_of(X: NDArray, as_images: bool) -> Limits:
    """Like `limits_of`, but without outliers: the values between which samples are drawn."""
    low, high = limits_of(X, as_images)
    if as_images:
        values = X.reshape(-1)
        return _without_outliers(values[:: max(1, len(values) // MAX_VALUES)], low, high)
    ends = [_without_outliers(*each) for each in zip(X.T, low, high, strict=True)]
    low, high = np.array(ends, dtype=np.float64).T
    return low, high


def _without_outliers(values: NDArray, low: Any, high: Any) -> Limits:
    """`low` and `high`, or the smallest and the largest value that is not far from the others."""
    values, low, high = (np.asarray(each, dtype=np.float64) for each in (values, low, high))
    values = values[~np.isnan(values)]
    if not len(values):
        return low, high
    # Where most values are the same, the range is that of the others and this one.
    common = np.partition(values, len(values) // 2)[len(values) // 2]
    others = values[values != common]
    if len(values) < MIN_VALUES or len(others) < 3:
        return low, high
    places = [math.ceil(OUTLYING * len(others)), len(others) - 1 - math.ceil(OUTLYING * len(others))]
    first, last = np.partition(others, places)[places]
    first, last = min(first, common), max(last, common)
    with np.errstate(over="ignore"):  # nothing is farther than infinity
        far = FAR * (last - first)
        least, largest = first - far, last + far
    kept = values[(values >= least) & (values <= largest)]
    return (
        kept.min() if low < least else low,
        kept.max() if high > largest else high,
    )


def checked_axes(ax: Any) -> "Axes":
    """The axes to draw in, which are new for None."""
    from matplotlib.axes import Axes

    if ax is None:
        from matplotlib import pyplot

        return pyplot.subplots(layout="constrained")[1]
    if not isinstance(ax, Axes):
        raise TypeError(
            f"ax must be matplotlib axes or None, got an object of type {type(ax).__name__}."
        )
    return ax


def grid_of_axes(ax: Any, n_rows: int, n_columns: int, size: tuple[float, float]) -> NDArray:
    """A grid of axes, in the place of `ax` or in a new figure of `size` in inches."""
    if ax is None:
        from matplotlib import pyplot

        return pyplot.subplots(n_rows, n_columns, figsize=size, squeeze=False, layout="constrained")[1]
    place = checked_axes(ax).get_subplotspec()
    if place is None:
        raise ValueError(
            "ax must belong to a grid, as the axes of pyplot.subplots do, because it will be divided."
        )
    ax.set_axis_off()
    return place.subgridspec(n_rows, n_columns).subplots(squeeze=False)


def colours(n: int) -> NDArray[np.float64]:
    """A colour for each of n clusters, of shape (n, 4)."""
    from matplotlib import colormaps

    if n <= 20:
        return colormaps["tab10" if n <= 10 else "tab20"](np.arange(n))
    return colormaps["gist_rainbow"](np.linspace(0, 1, n))


def strip(
    items: NDArray, image_shape: tuple[int, ...] | None, n_columns: int, limits: Limits
) -> NDArray:
    """The images side by side, the missing ones blank, colours clipped to what can be shown."""
    if image_shape is not None and items.ndim == 2:
        items = items.reshape(len(items), *image_shape)
    if items.ndim == 4 and items.shape[1] < min(items.shape[2:]):
        items = np.moveaxis(items, 1, 3)
    if items.ndim == 4 and items.shape[3] not in (3, 4):
        items = items[..., 0]
    missing = n_columns - len(items)
    items = np.concatenate([items, np.full((missing, *items.shape[1:]), limits[1], items.dtype)])
    row = np.concatenate(list(items), axis=1)
    if row.ndim == 3:
        return np.clip(_scaled(row, *_colour_limits(*limits)), 0, 1)
    return row


def _colour_limits(low: Any, high: Any) -> Limits:
    """Find the values that are drawn as the darkest and the brightest colour.

    Colours from 0 to 1, and bytes, are drawn as they are, unless they fill less than a quarter of that.
    Anything else is drawn from its smallest to its largest value.
    """
    full = 1.0 if high <= 1 else 255.0
    usual = low >= 0 and high <= full
    if usual and (low == high or high - low >= full / 4):
        return np.array(0.0), np.array(full)
    return np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)


def _scaled(values: NDArray, low: NDArray, high: NDArray) -> NDArray[np.float64]:
    """The values, of which `low` becomes 0 and `high` 1."""
    # Halves, as the difference of two large numbers may not be finite.
    span = np.where(high > low, high / 2 - low / 2, np.maximum(1.0, abs(low / 2)))
    return (values.astype(np.float64) / 2 - low / 2) / span


def draw_strip(
    ax: "Axes",
    items: NDArray,
    image_shape: tuple[int, ...] | None,
    n_columns: int,
    limits: Limits,
    **kwargs: Any,
) -> "AxesImage":
    """Draw images side by side, in one scale of grey or of colours."""
    low, high = (float(limit) for limit in limits)
    style: dict[str, Any] = {"cmap": "gray", "vmin": low, "vmax": high, "aspect": "equal"} | kwargs
    image = ax.imshow(strip(items, image_shape, n_columns, limits), **style)
    ax.set(xticks=[], yticks=[])
    return image


def profiles(items: NDArray, limits: Limits) -> NDArray[np.float64]:
    """Rows with each feature 0 and 1 at its limits, and at most one such range outside of them."""
    return np.clip(_scaled(items, *limits), -1.0, 2.0)


def draw_profiles(ax: "Axes", rows: NDArray, **kwargs: Any) -> "list[Line2D]":
    """Draw each row of `profiles` as a line over the features, or as a dash if there is only one."""
    style: dict[str, Any] = {"marker": "_", "markersize": 20} if rows.shape[1] == 1 else {}
    lines = ax.plot(rows.T, **(style | kwargs))
    ax.set(xticks=[], yticks=[], xlim=(-0.3, rows.shape[1] - 0.7))
    return lines


def name_features(ax: "Axes", names: list[str] | None, n_features: int) -> None:
    """Write features below an axis of profiles: their names, or where they are many, some numbers."""
    if n_features > MAX_NAMED_FEATURES:
        from matplotlib.ticker import MaxNLocator

        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_xlabel("feature")
    elif names is None:
        ax.set_xticks(range(n_features))
        ax.set_xlabel("feature")
    else:
        labels = [as_text(name) for name in names]
        style: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
        # Dollars do not mark formulas.
        ax.set_xticks(range(n_features), labels, parse_math=False, **style)


def height_of(names: list[str] | None) -> float:
    """Inches that long names of features need below axes, beyond those that every figure has."""
    if names is None or len(names) > MAX_NAMED_FEATURES:
        return 0.0
    return max(0.0, 0.06 * (max(len(as_text(name)) for name in names) - 18))


def name_row(ax: "Axes", name: object) -> None:
    """Write a name to the left of axes."""
    ax.set_ylabel(as_text(name), rotation=0, ha="right", va="center", parse_math=False)


def feature_names_of(estimator: AnyEstimator) -> list[str] | None:
    """Names of the columns that `fit` saw, if it saw any."""
    names = getattr(estimator, "feature_names_in_", None)
    return None if names is None else names.tolist()
