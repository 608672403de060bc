"""X to tensors and back: layouts, scaling, units.

`as_array` is the door for every kind of X, `InputFormat.from_data` learns the scaling, and
`InputFormat.encode` and `InputFormat.decode` translate batches.
"""

import contextlib
import math
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import gen_batches
from torch import Tensor
from torch.nn import functional

from skmpcc.data.columns import Columns, ReturnsColumns
from skmpcc.data.frames import is_missing
from skmpcc.data.scaling import Scaling, rows_at_once, scale_images, scale_table, scaled
from skmpcc.method.networks.image import MIN_SIDE, Grid

_ONE_LAYOUT = "Pass image_shape=(height, width), or rows with image_shape=(height, width, channels)"


def as_array(X: Any) -> Any:
    """Turn a torch tensor into a numpy array; leave anything else for scikit-learn to validate."""
    if isinstance(X, Tensor):
        X = X.detach().cpu()
        return (X.float() if X.dtype is torch.bfloat16 else X).numpy()
    return X


def with_nan(X: Any) -> Any:
    """Replace None and NA of pandas by NaN in lists and in arrays of objects; leave anything else."""
    objects = X
    if isinstance(X, list | tuple):
        with contextlib.suppress(ValueError, TypeError):  # of what is no array, others say so
            objects = np.asarray(X)
    if not isinstance(objects, np.ndarray) or objects.dtype != object:
        return X
    missing = np.frompyfunc(is_missing, 1, 1)(objects).astype(bool)
    return np.where(missing, np.nan, objects) if missing.any() else X


def as_given(result: Any, given: Any) -> Any:
    """Turn an array into a tensor on the device of `given` if that is one; leave text and frames.

    Of a tuple each part is turned.
    """
    if isinstance(result, tuple):
        return tuple(as_given(part, given) for part in result)
    is_array = isinstance(given, Tensor) and isinstance(result, np.ndarray)
    if not is_array or result.dtype.kind not in "biuf":
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
    if X.dtype == object:  # of exact decimals, say
        with contextlib.suppress(TypeError, ValueError):
            X = X.astype(np.float64)
        if X.dtype == np.float64 and not np.isfinite(X).all():
            raise ValueError("Input X contains NaN or infinity.")
    if X.dtype.kind not in "buif":
        raise ValueError(f"X must hold real numbers, got an array of dtype {X.dtype}.")
    if X.dtype.kind == "f" and X.dtype.itemsize > np.dtype(np.float64).itemsize:
        dtype = X.dtype
        with np.errstate(over="ignore"):
            X = X.astype(np.float64)
        if np.isinf(X).any():
            raise ValueError(f"X has values of dtype {dtype} that are too large for float64.")
    return X


def floating_dtype(X: NDArray) -> np.dtype:
    """Floating dtype of what is returned to whoever gave X."""
    return np.dtype(np.float32 if X.dtype in (np.float16, np.float32) else np.float64)


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
    def from_shape(cls, shape: tuple[int, ...], image_shape: tuple[int, ...] | None) -> "Layout":
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
                    f"image_shape={image_shape} is neither the shape of X's images, {shape}, nor "
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
class InputFormat(ReturnsColumns, Scaling):
    """Translation of X into the networks' tensors, and of their output into the user's arrays.

    Attributes
    ----------
    layout : Layout
    dtype : numpy dtype
        Floating dtype of what is returned.
    resizing : {"interpolate", "pad"}
        How images come to a `Grid`'s size.
    size : tuple of int or None
        Height and width that the networks work at, if it is one alone and no `Grid`'s.
    columns_given : Columns or None
        What the columns are to the user, of a data frame.
    """

    layout: Layout = field(kw_only=True)
    dtype: np.dtype = field(kw_only=True)
    resizing: str = field(default="interpolate", kw_only=True)
    size: tuple[int, int] | None = field(default=None, kw_only=True)
    columns_given: Columns | None = field(default=None, kw_only=True)

    @classmethod
    def from_data(
        cls,
        X: NDArray,
        layout: Layout,
        resizing: str = "interpolate",
        size: tuple[int, int] | None = None,
        scaling: str = "auto",
    ) -> "InputFormat":
        """Learn the scaling from a validated array of shape (n_samples, *layout.shape)."""
        found = scale_table(X, scaling) if layout.image is None else scale_images(X)
        return cls(**vars(found), layout=layout, dtype=floating_dtype(X), resizing=resizing, size=size)

    @property
    def tensor_shape(self) -> tuple[int, ...]:
        """Shape of one sample as the networks see it: (d,), or (c, h, w) at the networks' size."""
        if self.layout.image is not None:
            channels, height, width = self.layout.image
            return (channels, *(self.size or Grid.for_image(height, width).size))
        if self.rotation is not None:
            return (len(self.rotation),)
        return (math.prod(self.layout.shape) if self.columns is None else len(self.columns),)

    def encode(self, X: NDArray, *, limited: bool = True) -> Tensor:
        """Bring a batch to the form that the networks see: scaled, images resized, float32.

        Without limits outliers are as far off as they are, up to a bound.
        """
        values = scaled(X, self.centre, self.scale, self.limits if limited else None)
        values = self.layout.to_channels_first(values)
        if self.columns is not None:
            values = values[:, self.columns]
        if self.rotation is not None:
            values = values @ self.rotation.T
        return self.to_grid(torch.from_numpy(np.ascontiguousarray(values)).float())

    def beyond(self, X: NDArray) -> NDArray[np.float64]:
        """Square distances of a batch's scaled rows from the space that they are rotated into, (n,)."""
        if self.rotation is None:
            return np.zeros(len(X))
        values = scaled(X, self.centre, self.scale, None).reshape(len(X), -1)
        values = values if self.columns is None else values[:, self.columns]
        within = values @ self.rotation.T
        return np.maximum(np.square(values).sum(axis=1) - np.square(within).sum(axis=1), 0.0)

    def decode(self, tensor: Tensor, rng: np.random.RandomState | None = None) -> NDArray:
        """Bring the networks' samples to the user's form, units and floating dtype, within hard ends.

        With `rng` truth values of frames are drawn, by what is decoded as their probability.
        """
        if self.layout.image is not None:
            tensor = self._from_grid(tensor)
        values = tensor.cpu().numpy().astype(np.float64)
        if self.rotation is not None:
            values = values @ self.rotation
        if self.columns is not None:
            every = np.zeros((len(values), math.prod(self.layout.shape)))
            every[:, self.columns] = values
            values = every
        X = self.layout.from_channels_first(values) * self.scale + self.centre
        X = X.astype(self.dtype)
        if self.ends is not None:
            np.clip(X, *self.ends.astype(self.dtype), out=X)
        if rng is not None and self.columns_given is not None:
            for place, column in enumerate(self.columns_given.columns):
                if column.kind == "boolean":
                    X[:, place] = rng.random_sample(len(X)) < X[:, place]
        return X

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
        for rows in gen_batches(len(X), rows_at_once(X[0].size)):
            out[rows] = self.encode(X[rows])
        return out


def _margins(side: int, outer: int) -> tuple[int, int]:
    """Lengths to add before and behind a side, so that it is in the middle of a longer one."""
    before = (outer - side) // 2
    return before, outer - side - before
