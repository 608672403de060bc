"""Points of curves in the forms that users have them in, read and checked; messages name the curve."""

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Points(NamedTuple):
    """Points of all curves, in any order; `curve` says to which curve each belongs."""

    curve: NDArray[np.int64]
    times: NDArray[np.float64]
    values: NDArray[np.float64]
    errors: NDArray[np.float64] | None
    labels: NDArray[np.object_] | None

    def take(self, rows: NDArray) -> "Points":
        return Points(*(None if each is None else each[rows] for each in self))  # type: ignore[arg-type]

    def check(self, ids: NDArray | None) -> None:
        for name, array in (("times", self.times), ("values", self.values), ("errors", self.errors)):
            if array is None:
                continue
            good = np.isfinite(array) & ((array > 0) | (name != "errors"))
            if not good.all():
                first, wanted = good.argmin(), "finite and above 0" if name == "errors" else "finite"
                refuse(self.curve[first], ids, f"{name} must be {wanted}, got {array[first]}")


def joined(name: str, arrays: Sequence[NDArray | None]) -> Any:
    there = [array for array in arrays if array is not None]
    if there and len(there) < len(arrays):
        raise ValueError(f"X must have {name} in all of its parts, or in none of them.")
    return np.concatenate(there) if there else None


def joined_points(parts: Sequence[Points]) -> Points:
    # What has no points does not say whether it has errors.
    parts = [part for part in parts if len(part.curve)] or parts
    columns = zip(Points._fields, zip(*parts, strict=True), strict=True)
    return Points(*(joined(name, arrays) for name, arrays in columns))


def refuse(curve: Any, ids: NDArray | None, what: str) -> NoReturn:
    called = "" if ids is None else f" ({ids.tolist()[curve]!r})"
    raise ValueError(f"Curve {curve}{called}: {what}.")


def sequence_of(name: str, X: Any) -> Sequence[Any]:
    """The curves of X, where it is a sequence of them."""
    if hasattr(X, "columns"):
        raise TypeError(f"{name} is a data frame: LightCurves.from_frame(frame) reads it.")
    if isinstance(X, str | bytes) or not hasattr(X, "__len__") or not hasattr(X, "__getitem__"):
        raise TypeError(f"{name} must be a sequence of curves, got {type(X).__name__}.")
    if not len(X):
        raise ValueError(f"{name} has no curves.")
    return X


def floats_of(data: Any, what: str) -> NDArray[np.float64]:
    """A copy as float64, with NaN where it is masked."""
    try:
        array = data if isinstance(data, np.ma.MaskedArray) else np.asarray(data)
        got = f"{array.dtype}"
        if array.dtype.kind in "OUS" and (text := [x for x in array.flat if isinstance(x, str | bytes)]):
            got = f"text such as {str(text[0])!r}"
        elif array.dtype.kind in "iufO":
            return np.ma.filled(array.astype(np.float64), np.nan)
    except (TypeError, ValueError) as error:  # dates and other objects, lists of different lengths
        got = str(error)
    raise TypeError(f"{what} must hold numbers, got {got}.")


def points_of(columns: Mapping[str, Any]) -> tuple[Points, int]:
    """The points of all curves, and the number of curves."""
    counts: list[int] = []
    flat: dict[str, Any] = dict.fromkeys(("times", "values", "errors", "bands"))
    for name, column in columns.items():
        if column is None:
            continue
        arrays = [
            np.asarray(each, dtype=object) if name == "bands" else floats_of(each, f"Curve {i}: {name}")
            for i, each in enumerate(sequence_of(name, column))
        ]
        counts = counts or [array.size for array in arrays]
        if len(arrays) != len(counts):
            raise ValueError(f"{name} must have {len(counts)} curves as times has, got {len(arrays)}.")
        for i, (array, count) in enumerate(zip(arrays, counts, strict=True)):
            if array.ndim != 1:
                refuse(i, None, f"{name} must have one axis, got shape {array.shape}")
            if len(array) != count:
                refuse(i, None, f"{name} must have {count} points as times has, got {len(array)}")
        flat[name] = np.concatenate(arrays)
    return Points(np.repeat(np.arange(len(counts)), counts), *flat.values()), len(counts)


def columns_of(curves: Sequence[Any], most: int) -> dict[str, list[NDArray]]:
    """Times, values, errors and bands, as far as they are there, of curves with these columns."""
    # Lists as objects: numpy would make text of the numbers beside a label.
    arrays = [
        np.ma.asanyarray(each)
        if np.ma.isMaskedArray(each)
        else np.asarray(each, dtype=object if isinstance(each, list | tuple) else None)
        for each in curves
    ]
    widths = [a.shape[1] for a in arrays if a.ndim == 2 and a.size and 2 <= a.shape[1] <= most]
    wanted = widths[0] if widths else f"2 to {most}"
    for i, array in enumerate(arrays):
        if array.size and (array.ndim != 2 or array.shape[1] != wanted):
            refuse(i, None, f"an array of shape (n_points, {wanted}) is wanted, got {array.shape}")
    width = widths[0] if widths else 2  # all are without points
    tables = [array if array.size else np.empty((0, width)) for array in arrays]
    names = ("times", "values", "errors", "bands")[:width]
    return {name: [table[:, k] for table in tables] for k, name in enumerate(names)}


def column_of(frame: Any, argument: str, name: str) -> NDArray:
    """A column of a frame, of numbers unless it holds ids or bands."""
    names = list(getattr(frame, "column_names", getattr(frame, "columns", frame)))
    if name not in names:
        none = " or None" if argument in ("error", "band", "period") else ""
        raise ValueError(f"{argument} must be a column of the frame{none}, {names}, got {name!r}.")
    if argument == "id":
        return np.asarray(frame[name])
    if argument == "band":
        return np.asarray(frame[name], dtype=object)
    return floats_of(frame[name], f"{argument}={name!r}")


def band_codes(
    points: Points, ids: NDArray | None, names: tuple | None
) -> tuple[NDArray[np.int64], tuple]:
    """The index of each point's band in the names of all bands, and these."""
    if points.labels is None:
        return np.zeros(len(points.curve), dtype=np.int64), (0,)
    labels, found = points.labels.tolist(), set()
    for label, curve in zip(labels, points.curve, strict=True):
        if label in found:
            continue
        if isinstance(label, float) and label.is_integer():
            label = int(label)
        if not isinstance(label, str | Integral):
            refuse(curve, ids, f"bands must be whole numbers or text, got {label!r}")
        if names is not None and label not in names:
            refuse(curve, ids, f"band {label!r} is unknown, wanted one of {names}")
        found.add(label if isinstance(label, str) else int(label))
    given = found if names is None else names
    if len({isinstance(name, str) for name in given}) > 1:
        raise TypeError(f"Bands must be all numbers or all text, got {sorted(given, key=str)}.")
    names = tuple(sorted(found)) if names is None else names
    codes = {name: k for k, name in enumerate(names)}
    return np.array([codes[label] for label in labels], dtype=np.int64), names


def constant_in(values: NDArray, curve: NDArray, ids: NDArray) -> NDArray[np.float64]:
    """The value of each curve's rows, which have to agree."""
    first = values[np.unique(curve, return_index=True)[1]]
    varies = values != first[curve]
    if varies.any():
        row = varies.argmax()
        got = f"{first[curve[row]]} and {values[row]}"
        refuse(curve[row], ids, f"period must be one number in all rows, got {got}")
    return first


def checked_periods(
    period: ArrayLike | None, n_curves: int, ids: NDArray | None
) -> NDArray[np.float64] | None:
    if period is None:
        return None
    periods = floats_of(period, "period")
    if periods.shape != (n_curves,):
        raise ValueError(f"period must have shape ({n_curves},), got {periods.shape}.")
    good = np.isfinite(periods) & (periods > 0)
    if not good.all():
        first = good.argmin()
        refuse(first, ids, f"period must be finite and above 0, got {periods[first]}")
    return periods
