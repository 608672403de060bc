"""Scaling of data for the networks: which columns they see, by which units, and where these end.

`scale_table` and `scale_images` learn it from the data of a fit; `InputFormat` applies it.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler
from sklearn.utils import gen_batches

CHUNK = 8192
# Values that are worked at once: rows by rows, or columns by columns.
CHUNK_VALUES = 2**20
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
# Scaled values are at most so large. None of the data of a fit are; the squares of others stay finite.
BOUND = 1e6
# Share of the pixels at either end whose values may be wild, and number of values that are looked at.
WILD, MAX_POOLED = 0.02, 2**22
# Values far from the others are faults, and no bright spots, if they are in so few of the images, at
# so few places, or in so few of all pixels; or in so few, if all are one value, which spots hardly are;
# or if they are that large.
FEW_IMAGES, FEW_PLACES, FEW_PIXELS, FEW_OF_ONE_VALUE, ABSURD = 0.1, 0.02, 0.002, 0.02, 1e30
# Deviations relative to the widest range below which nothing can be compared.
VANISHING = 1e-200
# Columns share a scale if the widest deviation is at most so many times the narrowest one. ...
ONE_SCALE = 10.0
# ... or if somebody has centred them, to so small a share of their deviations; ...
CENTRED = 1e-3
# ... or if they are principal components, or some rows of such: at least so many, in order of their
# deviations but for so small a share, about zero; ...
MIN_COMPONENTS, OUT_OF_ORDER = 4, 0.05
# ... or if all rows have one length but for so small a share, as those of embeddings have, of so many
# columns or more.
ONE_LENGTH, MIN_EMBEDDED = 1e-3, 16
# Columns, and columns for each row, above which vectors are rotated into the space of the rows.
MANY_COLUMNS, COLUMNS_PER_ROW = 1000, 2
# A column ends hard where so large a share of its rows, and so many of them, are nearer to the end than
# this share of the way to the median; or where none is below zero, and the first are as near to it.
NEAR, AT_END, MIN_AT_END = 0.1, 0.01, 4


@dataclass(frozen=True)
class Scaling:
    """A scaling: (X - centre) / scale within limits, of some columns, rotated.

    Attributes
    ----------
    centre, scale : ndarray
        Of the shape of a sample for vectors; numbers for images.
    limits : ndarray of shape (2, ...) or None
        Least and largest value that is let through, infinite where there is none; None without any.
    columns : ndarray of int64 of shape (n_columns,) or None
        Columns of a table that vary, which alone are seen; None for all.
    rotation : ndarray of shape (n_inputs, n_columns) or None
        Orthonormal vectors to which the columns are brought.
    ends : ndarray of shape (2, ...) or None
        Least and largest value that decoded samples may have, infinite where there is none.
    one_length : bool
        Whether all rows are vectors of one length, as embeddings are.
    """

    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    limits: NDArray[np.float64] | None = None
    columns: NDArray[np.int64] | None = None
    rotation: NDArray[np.float64] | None = None
    ends: NDArray[np.float64] | None = None
    one_length: bool = False

    @property
    def is_of_one_scale(self) -> bool:
        """Whether all values that vary are divided by the same number."""
        scale = self.scale[self.scale > 0]
        return not scale.size or bool(scale.min() == scale.max())


def rows_at_once(n_values: int) -> int:
    """Rows of so many values each that are worked at once."""
    return max(1, min(CHUNK, CHUNK_VALUES // max(1, n_values)))


def varying_columns(X: NDArray) -> NDArray[np.int64] | None:
    """Columns of vectors in which not all rows have the same value; None if all or none are such."""
    flat = X.reshape(len(X), -1)
    # Of missing values nothing is said.
    return _varying(np.fmin.reduce(flat, axis=0), np.fmax.reduce(flat, axis=0))


def _varying(least: NDArray, largest: NDArray) -> NDArray[np.int64] | None:
    varying = np.flatnonzero(least < largest)
    return None if len(varying) in (0, len(least)) else varying


def n_inputs(X: NDArray) -> int:
    """Count the values of each vector that the networks see."""
    columns = varying_columns(X)
    n_columns = math.prod(X.shape[1:]) if columns is None else len(columns)
    return len(X) - 1 if _is_rotated(len(X), n_columns) else n_columns


def _is_rotated(n_rows: int, n_columns: int) -> bool:
    return n_columns > max(MANY_COLUMNS, COLUMNS_PER_ROW * n_rows)


def row_hashes(X: NDArray) -> NDArray[np.uint64]:
    """Hash what each row holds, in the same way wherever the row is."""
    flat = X.reshape(len(X), -1)
    kind = np.float32 if flat.dtype == np.float32 else np.float64
    bits = np.uint32 if kind is np.float32 else np.uint64
    factors = np.random.default_rng(0).integers(2**64, size=flat.shape[1], dtype=np.uint64)
    factors |= np.uint64(1)
    hashes = np.empty(len(flat), dtype=np.uint64)
    for rows in gen_batches(len(flat), rows_at_once(flat.shape[1])):
        values: NDArray[Any] = np.ascontiguousarray(flat[rows], dtype=kind).view(bits)
        # Modulo 2^64, so that sums do not depend on how they are taken.
        np.sum(values * factors, axis=1, out=hashes[rows])
    return hashes


# ---- Tables


def scale_table(X: NDArray, scaling: str = "auto") -> Scaling:
    """Centre on the means, and scale all features together to a fixed total variance.

    Parameters
    ----------
    X : ndarray of shape (n_samples, ...)
    scaling : {"auto", "columns", "none"}
        Whether features are brought to the same range before. "auto": unless they plausibly share a
        scale already; see `_share_a_scale`.

    Returns
    -------
    scaling : Scaling

    Notes
    -----
    By ranges and not by standard deviations: a feature that is seldom away from its usual value (a
    pixel at the border, say) would be blown up by the latter until it outweighs the rest. Ranges are
    those without outliers, for which there are limits.

    The total variance is the same for any number of features, since spectral normalisation makes
    discriminator and encoder no steeper than the data's own distances.

    Constant features carry no information, and are left out. Rows of very many columns are rotated:
    as many directions as there are rows hold all of them.
    """
    shape, flat = X.shape[1:], X.reshape(len(X), -1)
    least, largest = flat.min(axis=0), flat.max(axis=0)
    columns = _varying(least, largest)
    centre, scale = flat[0].astype(np.float64), np.zeros(flat.shape[1])
    limits = np.stack([np.full(flat.shape[1], -np.inf), np.full(flat.shape[1], np.inf)])
    ends = limits.copy()
    where = slice(None) if columns is None else columns
    table = _Columns(flat, columns)
    # Halves first: the difference of two large finite numbers may not be finite.
    low, high = least[where] * np.float64(0.5), largest[where] * np.float64(0.5)
    low, high, own_limits, clipped_together = _without_outliers(table, low, high)
    if own_limits is not None:
        limits[:, where] = own_limits
    middle, half_range = low + high, high - low
    varying = half_range > 0
    widest = np.where(varying, half_range.max(), 0.0)
    one_length = len(low) >= MIN_EMBEDDED and _has_one_length(table, half_range.max())
    # What was clipped to a common range may be far outside a feature's own.
    together = clipped_together or one_length or _share_a_unit(low, high) or scaling == "none"
    if together and scaling != "columns":
        half_range = widest
    variance, mean = _moments(table, middle, half_range, own_limits)
    if scaling == "auto" and not together and _share_a_scale(middle, half_range, variance, mean):
        half_range = widest
        variance, mean = _moments(table, middle, half_range, own_limits)
    total = np.float64(np.float32(np.sqrt(variance.sum(where=varying))))
    # A constant feature keeps its very value as centre.
    centre[where] = middle + np.where(varying, half_range * mean, 0.0)
    scale[where] = half_range * (total / TOTAL_STD if total > 0 else 1.0)
    ends[:, where] = _hard_ends(table, low, high, own_limits)
    rotation = None
    if _is_rotated(len(flat), len(low)):
        rotation = _principal_axes(table, centre[where], scale[where], own_limits)
    return Scaling(
        centre.reshape(shape),
        scale.reshape(shape),
        None if own_limits is None else limits.reshape(2, *shape),
        columns,
        rotation,
        None if np.isinf(ends).all() else ends.reshape(2, *shape),
        one_length and scaling != "columns",
    )


def _moments(
    table: "_Columns",
    middle: NDArray[np.float64],
    half_range: NDArray[np.float64],
    limits: NDArray[np.float64] | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Variance and mean of scaled columns."""
    moments = StandardScaler()
    for rows in gen_batches(len(table), rows_at_once(len(middle))):
        moments.partial_fit(scaled(table.rows(rows), middle, half_range, limits))
    # Sums round differently in another order of the rows, which must not show.
    return moments.var_, np.round(moments.mean_ * 2**24) / 2**24


def _share_a_scale(
    middle: NDArray[np.float64],
    half_range: NDArray[np.float64],
    variance: NDArray[np.float64],
    mean: NDArray[np.float64],
) -> bool:
    """Whether columns look as if their proportions meant something.

    Raw columns of plainly different units do not: somebody gave these a scale in common, or they have
    one by nature, as coordinates have. See the comments on `ONE_SCALE` and what follows it.
    """
    varying, widest = half_range > 0, half_range.max()
    if not widest:
        return False
    with np.errstate(under="ignore"):
        share = (half_range / widest)[varying]
        deviation = np.sqrt(variance[varying]) * share
        distance = np.abs(middle[varying] / widest + mean[varying] * share)
    if deviation.min() < VANISHING:
        return False
    if deviation.max() <= ONE_SCALE * deviation.min() or np.all(distance <= CENTRED * deviation):
        return True
    in_order = np.all(deviation[1:] <= (1.0 + OUT_OF_ORDER) * deviation[:-1])
    return bool(len(deviation) >= MIN_COMPONENTS and in_order and np.all(distance <= deviation))


def _has_one_length(table: "_Columns", widest: float) -> bool:
    """Whether all rows are of the same length, which is not zero."""
    if not widest:
        return False
    lengths = [
        np.linalg.norm(table.rows(rows) / np.float64(widest), axis=1)
        for rows in gen_batches(len(table), rows_at_once(len(table.columns)))
    ]
    least, largest = min(part.min() for part in lengths), max(part.max() for part in lengths)
    return bool(largest - least <= ONE_LENGTH * largest)


class _Columns:
    """Some columns of a table, of which no more than a part is copied at a time."""

    def __init__(self, flat: NDArray, columns: NDArray[np.int64] | None) -> None:
        self.flat = flat
        self.columns = np.arange(flat.shape[1]) if columns is None else columns
        self.all = columns is None

    def __len__(self) -> int:
        return len(self.flat)

    def rows(self, rows: slice) -> NDArray:
        return self.flat[rows] if self.all else self.flat[rows][:, self.columns]

    def column(self, index: int) -> NDArray:
        return self.flat[:, self.columns[index]]

    def parts(self) -> Iterator[tuple[slice, NDArray]]:
        """Yield several columns at a time, and their places."""
        for part in gen_batches(len(self.columns), max(1, CHUNK_VALUES // len(self.flat))):
            yield part, self.flat[:, part if self.all else self.columns[part]]


def _share_a_unit(low: NDArray[np.float64], high: NDArray[np.float64]) -> bool:
    """Whether all features start at one value, and at least half span half of the widest range."""
    varying = high > low
    low, half_range = low[varying], (high - low)[varying]
    if len(low) < 2 or np.any(low != low[0]):
        return False
    return bool(np.mean(half_range >= 0.5 * half_range.max()) >= 0.5)


def _without_outliers(
    table: _Columns, low: NDArray[np.float64], high: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64] | None, bool]:
    """Ends of each feature's range without outliers, limits to clip to, whether these are common to all.

    An end belongs to outliers if it is farther than `FAR` ranges of the other rows from these, where a
    share of `OUTLYING` at either end is left out. The tails of usual distributions hardly ever reach so
    far. Features that share a unit have one range: a pixel that is nearly always dark may be bright.
    Ends, `low` and `high` too, are halves; limits are not.
    """
    n = len(table)
    n_outlying, n_sparse = math.ceil(OUTLYING * n), int(SPARSE * n)
    if not n_sparse:  # Among so few rows one is not a small share.
        return low, high, None, False
    places = [n_outlying, n_sparse, n - 1 - n_sparse, n - 1 - n_outlying]
    inner = np.empty((len(places), len(low)))
    for part, values in table.parts():
        inner[:, part] = np.partition(values, places, axis=0)[places]
    first, second, third, last = 0.5 * inner
    ends, dense = np.stack([low, high]), second < third
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
    for index in np.flatnonzero(below | above).tolist():
        values = table.column(index)
        values = values[(values >= least[index]) & (values <= largest[index])]
        if not len(values):  # All are far from the other features.
            values = np.clip(table.column(index)[:1], least[index], largest[index])
        ends[:, index] = np.float64(0.5) * values.min(), np.float64(0.5) * values.max()
    return ends[0], ends[1], np.stack([least, largest]), alike


def _hard_ends(
    table: _Columns,
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    limits: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    """Values that no sample of a column can be beyond: of counts, shares, ages, amounts.

    Columns of whole numbers have two such ends, and others where their rows do not thin out towards the
    end, or begin right at zero. `low` and `high` are halves, and there is no end where outliers are.
    """
    ends = np.stack([2.0 * low, 2.0 * high])
    is_hard = np.empty(ends.shape, dtype=bool)
    for part, values in table.parts():
        halves = np.multiply(values, 0.5, dtype=np.float64)
        whole = np.all(values == np.floor(values), axis=0) if values.dtype.kind == "f" else True
        middle = np.median(halves, axis=0)
        enough = max(MIN_AT_END, AT_END * len(values))
        for end, (tip, sign) in enumerate(((low[part], 1.0), (high[part], -1.0))):
            reach = NEAR * np.abs(middle - tip)
            crowded = np.sum(sign * (halves - tip) <= reach, axis=0) >= enough
            from_zero = (sign * tip >= 0) & (sign * tip <= reach)
            is_hard[end, part] = whole | crowded | from_zero
    if limits is not None:
        is_hard &= np.isinf(limits)
    return np.where(is_hard, ends, [[-np.inf], [np.inf]])


def _principal_axes(
    table: _Columns,
    centre: NDArray[np.float64],
    scale: NDArray[np.float64],
    limits: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    """Orthonormal vectors that hold all scaled rows, one fewer than rows, which are centred."""
    # In an order of their own, since sums round differently in another one.
    rows = table.flat[np.argsort(row_hashes(table.flat), kind="stable")]
    all_scaled = scaled(rows[:, table.columns], centre, scale, limits)
    return np.linalg.svd(all_scaled, full_matrices=False)[2][:-1].copy()


# ---- Images


def scale_images(X: NDArray) -> Scaling:
    """Scale to [-1, 1] by the range of values, without those of faulty pixels, which are clipped."""
    low, high = float(X.min()), float(X.max())
    limits = _pixel_limits(X, low, high)
    if limits is not None:
        low, high = max(low, limits[0]), min(high, limits[1])
    return Scaling(
        np.asarray(low / 2 + high / 2),
        np.asarray(high / 2 - low / 2),
        None if limits is None else np.array(limits),
    )


def _pixel_limits(X: NDArray, low: float, high: float) -> tuple[float, float] | None:
    """Least and largest value of pixels, without wild ones; None if there are none.

    A hot pixel, or a value that stands for a missing one, is farther than `FAR` ranges of the other
    pixels from these, as outliers of a table are. So may bright spots be on a dark ground, of which
    images have more, and at other places. Pixels that never vary say nothing about the
    range, nor do images of a single value.
    """
    pooled = X
    if X.size > MAX_POOLED:
        n_rows = max(1, MAX_POOLED // math.prod(X.shape[1:]))
        pooled = X[np.argsort(row_hashes(X), kind="stable")[:n_rows]]
    varying = np.ravel(X.min(axis=0) < X.max(axis=0))
    pooled = pooled.reshape(len(pooled), -1)[:, varying]
    seen = _show_something(pooled)
    pooled = pooled[seen] if seen.any() else pooled
    if not pooled.size:
        return None
    values = np.multiply(pooled, 0.5, dtype=np.float64).ravel()
    ground = np.partition(values, len(values) // 2)[len(values) // 2]
    if 2 * np.count_nonzero(values == ground) > len(values):
        values = values[values != ground]
    if not len(values):
        return None
    n_wild = math.ceil(WILD * pooled.size)
    first, last = min(ground, -_last(-values, n_wild)), max(ground, _last(values, n_wild))
    largest = _limit(X, varying, values, (first, last), high, n_wild, 1)
    least = -_limit(X, varying, -values, (-last, -first), -low, n_wild, -1)
    if np.isinf([least, largest]).all():
        return None
    inner = X[np.logical_not((least > X) | (largest < X))]
    return (
        float(inner.min()) if np.isfinite(least) else -np.inf,
        float(inner.max()) if np.isfinite(largest) else np.inf,
    )


def _show_something(rows: NDArray) -> NDArray[np.bool_]:
    """Whether the pixels of each image differ."""
    return np.any(rows != rows[:, :1], axis=1)


def _last(values: NDArray[np.float64], n_wild: int) -> float:
    """Return the largest value but for some that are wild, or half of them."""
    place = len(values) - 1 - min(n_wild, len(values) // 2)
    return float(np.partition(values, place)[place])


def _limit(
    X: NDArray,
    varying: NDArray[np.bool_],
    values: NDArray[np.float64],
    usual: tuple[float, float],
    end: float,
    n_wild: int,
    sign: int,
) -> float:
    """Return what is above all values that are not faults; infinite if none are, up to the end.

    With sign -1, all is of -X. Values and their usual range are halves.
    """
    last = usual[1]
    span = last - usual[0]
    while span > 0 and end > 2.0 * (last + FAR * span):
        bound = last + FAR * span
        if _are_faults(X, sign, 2.0 * bound, varying):
            return 2.0 * bound
        # They are of what is to be seen. So may others be still farther.
        values = values[values > bound]
        if not len(values):
            break
        last, before = _last(values, n_wild), last
        span += last - before
    return np.inf


def _are_faults(X: NDArray, sign: int, bound: float, varying: NDArray[np.bool_]) -> bool:
    """Whether values above a bound, or of -X, are faults. Pixels that never vary play no part."""
    n_images, n_pixels, at = 0, 0, np.zeros(len(varying), dtype=bool)
    first, last = np.inf, -np.inf
    for rows in gen_batches(len(X), rows_at_once(len(at))):
        part = X[rows].reshape(-1, len(at))
        far = (part > bound if sign > 0 else part < -bound) & varying
        far &= _show_something(part[:, varying])[:, None]
        n_images += int(far.any(axis=1).sum())
        n_pixels += int(far.sum())
        at |= far.any(axis=0)
        if far.any():
            first, last = min(first, float(part[far].min())), max(last, float(part[far].max()))
    return (
        n_images <= FEW_IMAGES * len(X)
        or np.sum(at) <= max(1, FEW_PLACES * len(at))
        or n_pixels <= FEW_PIXELS * X.size
        or (first == last and n_pixels <= FEW_OF_ONE_VALUE * X.size)
        or bound < ABSURD <= min(abs(first), abs(last))
    )


# ---- Both


def scaled(
    X: NDArray,
    centre: NDArray[np.float64],
    scale: NDArray[np.float64],
    limits: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    """(X - centre) / scale, and 0 where the scale is 0: constant features carry no information."""
    # Halves, because the difference of two large finite numbers may not be finite.
    centred = np.multiply(X, 0.5, dtype=np.float64)
    if limits is not None:
        np.clip(centred, *(0.5 * limits), out=centred)
    centred -= 0.5 * centre
    half = 0.5 * scale
    with np.errstate(over="ignore"):  # far outside of what was fitted
        out = np.divide(centred, half, out=np.zeros_like(centred), where=half > 0)
    return np.clip(out, -BOUND, BOUND, out=out)
