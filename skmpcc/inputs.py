"""X to tensors and back: layouts, scaling, units.

`as_array` is the door for every kind of X, `InputFormat.from_data` learns layout and scaling, and
`InputFormat.encode` and `InputFormat.decode` translate batches.
"""

import math
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler
from sklearn.utils import gen_batches
from torch import Tensor
from torch.nn import functional

from skmpcc.method.networks.image import MIN_SIDE, Grid

CHUNK = 8192
# Values of features that are sorted at once.
MAX_SORTED = 2**20
# Square root of the total variance of scaled vectors.
TOTAL_STD = 8.0
# Share of the rows at either end of a feature that may be outliers.
OUTLYING = 0.01
# Outliers reach farther from the other rows than so many ranges of these, and are moved to so many
# ranges from them.
FAR = 10.0
MARGIN = 1.0
# A feature in which all rows but this share at either end have one value is sparse: others are rare, and
# may matter.
SPARSE = 0.05
_ONE_LAYOUT = "Pass image_shape=(height, width), or rows with image_shape=(height, width, channels)"


def as_array(X: Any) -> Any:
    """Turn a torch tensor into a numpy array; leave anything else for scikit-learn to validate."""
    if isinstance(X, Tensor):
        X = X.detach().cpu()
        return (X.float() if X.dtype is torch.bfloat16 else X).numpy()
    return X


def as_given(result: NDArray, given: Any) -> Any:
    """Turn an array into a tensor on the device of `given` if that is one; leave text as it is."""
    if not isinstance(given, Tensor) or result.dtype.kind not in "biuf":
        return result
    tensor = torch.from_numpy(result)
    # Apple's devices have no double precision.
    single = given.device.type == "mps" and tensor.is_floating_point()
    return (tensor.float() if single else tensor).to(given.device)


def as_real(X: NDArray) -> NDArray:
    """Check that an array holds real numbers, and bring types that torch lacks to float64.

    Raises
    ------
    ValueError
        X holds no real numbers, or numbers that float64 cannot hold.
    """
    if X.dtype.kind not in "buif":
        raise ValueError(f"X must hold real numbers, got an array of dtype {X.dtype}.")
    if X.dtype.kind == "f" and X.dtype.itemsize > np.dtype(np.float64).itemsize:
        dtype = X.dtype
        with np.errstate(over="ignore"):
            X = X.astype(np.float64)
        if not np.isfinite(X).all():
            raise ValueError(f"X has values of dtype {dtype} that are too large for float64.")
    return X


@dataclass(frozen=True)
class Layout:
    """Places of height, width and channels in one sample.

    Attributes
    ----------
    shape : tuple of int
        Shape of one sample as the user gives it.
    image : tuple of int or None
        (channels, height, width), or None for what is treated as a vector.
    channels_last : bool
    """

    shape: tuple[int, ...]
    image: tuple[int, int, int] | None = None
    channels_last: bool = False

    @classmethod
    def of(cls, shape: tuple[int, ...], image_shape: tuple[int, ...] | None) -> "Layout":
        """Find the layout of samples of `shape`, helped by `image_shape`.

        Raises
        ------
        ValueError
            The shape is not that of a vector or an image, contradicts `image_shape`, may be read in
            two ways, or is too small an image.
        """
        if image_shape is not None:
            image_shape = _checked(image_shape)
            if len(shape) == 1 and np.prod(image_shape) != shape[0]:
                raise ValueError(
                    f"image_shape={image_shape} has {np.prod(image_shape)} values, but X has "
                    f"{shape[0]} features in each row."
                )
            if len(shape) == 2 and image_shape not in (shape, (1, *shape), (*shape, 1)):
                raise ValueError(f"image_shape={image_shape} is not the shape of X's images, {shape}.")
            if len(shape) == 3 and image_shape not in (shape, shape[:2], shape[1:]):
                raise ValueError(
                    f"image_shape={image_shape} is not the shape of X's images, {shape}, nor "
                    "their height and width."
                )
        if len(shape) == 1:
            if image_shape is None:
                return cls(shape)
            return cls(shape, *_axes(image_shape, None))
        if len(shape) == 2:
            return cls(shape, *_axes(shape, None))
        if len(shape) == 3:
            sides = image_shape if image_shape is not None and len(image_shape) == 2 else None
            return cls(shape, *_axes(shape, sides))
        raise ValueError(
            "X must be of shape (n_samples, n_features), (n_samples, height, width), (n_samples, "
            "channels, height, width) or (n_samples, height, width, channels); got "
            f"{len(shape) + 1} dimensions, each sample of shape {shape}."
        )

    def flattened(self) -> "Layout":
        """Return the layout of the same samples treated as rows of a table."""
        return Layout(self.shape)

    def to_channels_first(self, X: NDArray) -> NDArray:
        """Bring a batch from the user's shape to (n, c, h, w), or (n, d) for tables."""
        if self.image is None:
            return X.reshape(len(X), -1)
        channels, height, width = self.image
        if self.channels_last:
            return np.moveaxis(X.reshape(-1, height, width, channels), 3, 1)
        return X.reshape(-1, channels, height, width)

    def from_channels_first(self, X: NDArray) -> NDArray:
        """Invert `to_channels_first`."""
        if self.channels_last:
            X = np.moveaxis(X, 1, 3)
        return np.ascontiguousarray(X).reshape(-1, *self.shape)


def _checked(image_shape: tuple[int, ...] | list[int]) -> tuple[int, ...]:
    sides = tuple(image_shape)
    if len(sides) not in (2, 3) or not all(isinstance(s, Integral) and s > 0 for s in sides):
        raise ValueError(
            f"image_shape={image_shape!r} must be two or three positive integers: (height, width), "
            "(height, width, channels) or (channels, height, width)."
        )
    return tuple(int(side) for side in sides)


def _axes(shape: tuple[int, ...], sides: tuple[int, ...] | None) -> tuple[tuple[int, int, int], bool]:
    """(channels, height, width) and whether channels come last, for an image's shape."""
    if len(shape) == 2:
        image, last = (1, *shape), False
    else:
        # The channel axis is the short one, or the one that the given sides leave over.
        def reads(channels: int, height: int, width: int) -> bool:
            if sides is not None:
                return (height, width) == sides
            return channels < MIN_SIDE <= min(height, width)

        as_first, as_last = (shape[0], shape[1], shape[2]), (shape[2], shape[0], shape[1])
        first_reads, last_reads = reads(*as_first), reads(*as_last)
        if first_reads == last_reads:
            if not first_reads and min(shape[:2]) < MIN_SIDE and min(shape[1:]) < MIN_SIDE:
                raise ValueError(
                    f"Images of shape {shape} are too small: the shorter side must be at least "
                    f"{MIN_SIDE} pixels. Pass them as vectors, shape (n_samples, n_features)."
                )
            raise ValueError(
                f"Images of shape {shape} may be channels-first or channels-last. {_ONE_LAYOUT}."
            )
        last = last_reads
        image = as_last if last else as_first
    Grid.for_image(image[1], image[2])  # raises on images that are too small
    return image, last


@dataclass(frozen=True)
class InputFormat:
    """Translation of X into the networks' tensors, and of their output into the user's arrays.

    Attributes
    ----------
    layout : Layout
    centre, scale : ndarray
        Networks see (X - centre) / scale. One value for each feature of a table, scalars for images.
    dtype : numpy dtype
        Floating dtype of what is returned.
    resizing : {"interpolate", "pad"}
        How images come to a `Grid`'s size.
    limits : ndarray of shape (2, ...) or None
        Least and largest value of each feature of a table, to which outliers are clipped; infinite where
        the fitted data had none, and None if no feature had any.
    size : tuple of int or None
        Height and width that the networks work at, if it is one alone and no `Grid`'s.
    """

    layout: Layout
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    dtype: np.dtype
    resizing: str = "interpolate"
    limits: NDArray[np.float64] | None = None
    size: tuple[int, int] | None = None

    @classmethod
    def from_data(
        cls,
        X: NDArray,
        layout: Layout,
        resizing: str = "interpolate",
        size: tuple[int, int] | None = None,
    ) -> "InputFormat":
        """Learn the scaling from a validated array of shape (n_samples, *layout.shape)."""
        limits = None
        if layout.image is None:
            centre, scale, limits = _vector_scaling(X)
        else:
            centre, scale = _image_scaling(X)
        dtype = np.dtype(np.float32 if X.dtype in (np.float16, np.float32) else np.float64)
        return cls(layout, centre, scale, dtype, resizing, limits, size)

    @property
    def tensor_shape(self) -> tuple[int, ...]:
        """Shape of one sample as the networks see it: (d,), or (c, h, w) at the networks' size."""
        if self.layout.image is None:
            return (math.prod(self.layout.shape),)
        channels, height, width = self.layout.image
        return (channels, *(self.size or Grid.for_image(height, width).size))

    def encode(self, X: NDArray) -> Tensor:
        """Bring a batch to the form that the networks see: scaled, images resized, float32."""
        scaled = _scaled(X, self.centre, self.scale, self.limits)
        scaled = self.layout.to_channels_first(scaled)
        tensor = torch.from_numpy(np.ascontiguousarray(scaled)).float()
        return self.to_grid(tensor)

    def decode(self, tensor: Tensor) -> NDArray:
        """Bring the networks' samples to the user's form, units and floating dtype."""
        if self.layout.image is not None:
            tensor = self._from_grid(tensor)
        X = self.layout.from_channels_first(tensor.cpu().numpy().astype(np.float64))
        return (X * self.scale + self.centre).astype(self.dtype)

    def to_grid(self, images: Tensor) -> Tensor:
        """Bring images to the sides that the networks work at; tables have none."""
        size, sides = self.tensor_shape[1:], tuple(images.shape[2:])
        if sides == size:
            return images
        if self.resizing == "interpolate":
            return functional.interpolate(images, size=size, mode="bilinear", antialias=True)
        (top, bottom), (left, right) = map(_margins, sides, size)
        return functional.pad(images, (left, right, top, bottom), mode="replicate")

    def _from_grid(self, images: Tensor) -> Tensor:
        """Invert `to_grid`."""
        assert self.layout.image is not None
        sides, size = self.layout.image[1:], tuple(images.shape[2:])
        if sides == size:
            return images
        if self.resizing == "interpolate":
            return functional.interpolate(images, size=sides, mode="bilinear", antialias=True)
        (top, _), (left, _) = map(_margins, sides, size)
        return images[:, :, top : top + sides[0], left : left + sides[1]]

    def encode_all(self, X: NDArray) -> Tensor:
        """Encode the whole of X into one tensor, without a second copy in double precision."""
        out = torch.empty((len(X), *self.tensor_shape))
        for rows in gen_batches(len(X), CHUNK):
            out[rows] = self.encode(X[rows])
        return out


def _margins(side: int, outer: int) -> tuple[int, int]:
    """Lengths to add before and behind a side, so that it is in the middle of a longer one."""
    before = (outer - side) // 2
    return before, outer - side - before


def _vector_scaling(
    X: NDArray,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64] | None]:
    """Centred on the means, features scaled by their ranges, all together to a fixed total variance.

    By ranges and not by standard deviations: a feature that is seldom away from its usual value (a
    pixel at the border, say) would be blown up by the latter until it outweighs the rest. Features that
    already share a unit, as pixels do, keep their proportions. Ranges are those without outliers, for
    which limits are returned as well.

    The total variance is the same for any number of features, since spectral normalisation makes
    discriminator and encoder no steeper than the data's own distances.
    """
    # Halves first: the difference of two large finite numbers may not be finite.
    low, high = X.min(axis=0) * np.float64(0.5), X.max(axis=0) * np.float64(0.5)
    low, high, limits, clipped_together = _without_outliers(X, low, high)
    middle, half_range = low + high, high - low
    varying = half_range > 0
    # What was clipped to a common range may be far outside a feature's own.
    if clipped_together or _share_a_unit(low, high):
        half_range = np.where(varying, half_range.max(), 0.0)
    moments = StandardScaler()
    for rows in gen_batches(len(X), CHUNK):
        scaled = _scaled(X[rows], middle, half_range, limits)
        moments.partial_fit(scaled.reshape(len(scaled), -1))
    total = np.sqrt(moments.var_.sum(where=varying.ravel()))
    # Sums round differently in another order of the rows, which must not show.
    total, mean = np.float64(np.float32(total)), np.round(moments.mean_ * 2**24) / 2**24
    # A constant feature keeps its very value as centre.
    mean = mean.reshape(X.shape[1:])
    centre = middle + np.where(varying, half_range * mean, 0.0)
    return centre, half_range * (total / TOTAL_STD if total > 0 else 1.0), limits


def _share_a_unit(low: NDArray[np.float64], high: NDArray[np.float64]) -> bool:
    """Whether all features start at one value, and at least half span half of the widest range."""
    varying = high > low
    low, half_range = low[varying], (high - low)[varying]
    if len(low) < 2 or np.any(low != low[0]):
        return False
    return bool(np.mean(half_range >= 0.5 * half_range.max()) >= 0.5)


def _without_outliers(
    X: NDArray, low: NDArray[np.float64], high: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64] | None, bool]:
    """Ends of each feature's range without outliers, limits to clip to, whether these are common to all.

    An end belongs to outliers if it is farther than `FAR` ranges of the other rows from these, where a
    share of `OUTLYING` at either end is left out. The tails of usual distributions hardly ever reach so
    far. Features that share a unit have one range: a pixel that is nearly always dark may be bright.
    Ends, `low` and `high` too, are halves; limits are not.
    """
    n, flat = len(X), X.reshape(len(X), -1)
    n_outlying, n_sparse = math.ceil(OUTLYING * n), int(SPARSE * n)
    if not n_sparse:  # Among so few rows one is no small share.
        return low, high, None, False
    places = [n_outlying, n_sparse, n - 1 - n_sparse, n - 1 - n_outlying]
    inner = np.empty((len(places), flat.shape[1]))
    for columns in gen_batches(flat.shape[1], max(1, MAX_SORTED // n)):
        inner[:, columns] = np.partition(flat[:, columns], places, axis=0)[places]
    first, second, third, last = 0.5 * inner
    ends, dense = np.stack([low.ravel(), high.ravel()]), second < third
    span = np.where(dense, last - first, np.inf)
    below, above = (first - ends[0]) / FAR > span, (ends[1] - last) / FAR > span
    alike = _share_a_unit(np.where(below, first, ends[0])[dense], np.where(above, last, ends[1])[dense])
    if alike:
        first, last = first[dense].min(), last[dense].max()
        span = last - first
        below, above = (first - ends[0]) / FAR > span, (ends[1] - last) / FAR > span
    if not np.any(below | above):
        return low, high, None, False
    with np.errstate(over="ignore"):  # where nothing is clipped
        least = np.where(below, 2.0 * (first - MARGIN * span), -np.inf)
        largest = np.where(above, 2.0 * (last + MARGIN * span), np.inf)
    for column in np.flatnonzero(below | above):
        values = flat[:, column]
        values = values[(values >= least[column]) & (values <= largest[column])]
        ends[:, column] = np.float64(0.5) * values.min(), np.float64(0.5) * values.max()
    low, high = ends.reshape(2, *low.shape)
    return low, high, np.stack([least, largest]).reshape(2, *low.shape), alike


def _scaled(
    X: NDArray,
    centre: NDArray[np.float64],
    scale: NDArray[np.float64],
    limits: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    """(X - centre) / scale, and 0 where the scale is 0: what is constant tells the networks nothing."""
    # Halves, because the difference of two large finite numbers may not be finite.
    centred = np.multiply(X, 0.5, dtype=np.float64)
    if limits is not None:
        np.clip(centred, *(0.5 * limits), out=centred)
    centred -= 0.5 * centre
    half = 0.5 * scale
    return np.divide(centred, half, out=np.zeros_like(centred), where=half > 0)


def _image_scaling(X: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scale to [-1, 1] by the range of values; for uint8 by 0 to 255."""
    if X.dtype == np.uint8:
        low, high = 0.0, 255.0
    else:
        low, high = float(X.min()), float(X.max())
    return np.asarray(low / 2 + high / 2), np.asarray(high / 2 - low / 2)
