"""LightCurves: irregular, noisy series in a container that slices as an array of samples does."""

from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral
from typing import Any, NamedTuple, NoReturn, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Fewer points have no shape.
MIN_POINTS = 3
_FIELDS = ("times", "values", "errors", "bands", "splits", "period", "band_names", "ids")


class LightCurves:
    """Irregular, noisy series of one or several bands, each of them a sample.

    It has a length, and rows are taken from it as from an array, so that
    `sklearn.model_selection.train_test_split`, cross-validation, searches and pipelines take it as `X`.
    Points are kept in float64, as dates near 2,450,000 days need. It does not change: what selects or
    adds gives a new one.

    Parameters
    ----------
    times : sequence of `n_curves` array-like of shape (n_points_of_curve,)
        When each point was measured, in any unit and order; times may be repeated.
    values : sequence of `n_curves` array-like of shape (n_points_of_curve,)
        What was measured, such as magnitudes. Points whose value is NaN or masked are left out.
    errors : sequence of `n_curves` array-like of shape (n_points_of_curve,), default=None
        Standard deviation of each value, above 0. None: unknown.
    bands : sequence of `n_curves` array-like of shape (n_points_of_curve,), default=None
        The band of each point, by whole numbers or by text. None: all points are of one band, 0.
    period : array-like of shape (n_curves,), default=None
        Period of each curve, in the unit of `times`. None: unknown.

    Attributes
    ----------
    times, values : ndarray of shape (n_points_of_all,), float64
        Points of all curves, one curve after the other, each sorted by band, then by time. As all
        arrays here, they are read-only.
    errors : ndarray of shape (n_points_of_all,), float64, or None
        Standard deviations of `values`.
    bands : ndarray of shape (n_points_of_all,), int64
        Index of each point's band in `band_names`.
    splits : ndarray of shape (n_curves + 1,), int64
        Curve i has the points `splits[i]:splits[i + 1]`.
    period : ndarray of shape (n_curves,), float64, or None
        Periods.
    band_names : tuple of int or of str
        Labels of the bands. A selection of curves keeps them all.
    ids : ndarray of shape (n_curves,), or None
        What the curves are called, where `from_frame` has read it.

    Raises
    ------
    ValueError
        There are no curves; times are infinite or NaN, or all the same in a curve; a value is
        infinite; an error is not above 0, or infinite; a curve has less than three points, or another
        number of times than of values, errors or bands; a band is missing; a period is not above 0, or
        not finite, or there is not one for each curve. The message says of which curve.
    TypeError
        Something is text or a date where numbers are wanted.

    See Also
    --------
    LightCurves.of : From arrays with the columns time, value, error and band.
    LightCurves.from_frame : From a data frame with a row for each point.

    Examples
    --------
    >>> from skmpcc.light_curves import LightCurves
    >>> curves = LightCurves(
    ...     times=[[0.0, 2.5, 1.0], [0.0, 1.0, 2.0, 3.0]],
    ...     values=[[15.1, 15.3, 15.6], [14.0, 14.2, 14.1, 14.0]],
    ...     errors=[[0.1, 0.1, 0.2], [0.05, 0.05, 0.05, 0.05]],
    ...     period=[0.6, 1.7],
    ... )
    >>> curves
    LightCurves(2 curves, 7 points, bands=(0,), with errors, with periods)
    >>> curves[0].values
    array([15.1, 15.6, 15.3])
    >>> curves[curves.period > 1].n_points
    array([4])
    """

    times: NDArray[np.float64]
    values: NDArray[np.float64]
    errors: NDArray[np.float64] | None
    bands: NDArray[np.int64]
    splits: NDArray[np.int64]
    period: NDArray[np.float64] | None
    band_names: tuple[int | str, ...]
    ids: NDArray[Any] | None

    def __init__(
        self,
        times: Sequence[ArrayLike],
        values: Sequence[ArrayLike],
        errors: Sequence[ArrayLike] | None = None,
        bands: Sequence[ArrayLike] | None = None,
        *,
        period: ArrayLike | None = None,
    ) -> None:
        columns = {"times": times, "values": values, "errors": errors, "bands": bands}
        arrays = {name: _series(name, column) for name, column in columns.items() if column is not None}
        counts = [len(curve) for curve in arrays["times"]]
        for name, column in arrays.items():
            _check_lengths(name, column, counts)
        flat = {name: np.concatenate(column) for name, column in arrays.items()}
        points = _Points(
            np.repeat(np.arange(len(counts)), counts),
            *(flat.get(name) for name in columns),  # type: ignore[arg-type]
        )
        self._fill(points, len(counts), period)

    @classmethod
    def of(cls, X: Any) -> Self:
        """Curves in any of the forms that users have them in.

        Parameters
        ----------
        X : LightCurves, sequence, ndarray or dict
            - `LightCurves`: returned as they are.
            - A list, tuple or array of `n_curves` arrays of shape (n_points_of_curve, 2 to 4), with the
              columns time, value, error and band, the last two of which may be missing.
            - An array of shape (n_curves, n_points, 2 to 4), with the same columns. NaN as the value
              says that there is no such point.
            - A dict from the label of each band to one of these, without a column of bands, all with
              the same number of curves. A curve may have no points in a band.
            - A list of `LightCurves`, which are put one after the other.

        Returns
        -------
        curves : LightCurves
            Without periods, if `X` is not made of `LightCurves` that have them.

        Raises
        ------
        ValueError, TypeError
            X has none of these forms, or see the class.

        Examples
        --------
        >>> import numpy as np
        >>> from skmpcc.light_curves import LightCurves
        >>> red = [np.array([[0.0, 15.1], [1.0, 15.6], [2.5, 15.3]])]
        >>> blue = [np.array([[0.2, 16.1], [1.2, 16.9]])]
        >>> LightCurves.of({"red": red, "blue": blue})
        LightCurves(1 curves, 5 points, bands=('red', 'blue'))
        """
        if isinstance(X, cls):
            if not len(X):
                raise ValueError("X has no curves.")
            return X
        if isinstance(X, Mapping):
            return cls._of_bands(X)
        tables = _sequence("X", X)
        if all(isinstance(each, cls) for each in tables):
            return cls._concatenated(tables)
        columns = _columns(tables)
        return cls(*columns)

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        id: str = "id",
        time: str = "time",
        value: str = "value",
        error: str | None = "error",
        band: str | None = None,
        period: str | None = None,
    ) -> Self:
        """Curves from a data frame with a row for each point.

        Parameters
        ----------
        frame : data frame
            Of pandas, polars or pyarrow, or a dict of columns. Rows may be in any order.
        id : str, default="id"
            Column that says to which curve the point belongs. Curves come in the order in which they
            first appear.
        time, value : str, default="time", "value"
            Columns of numbers.
        error : str or None, default="error"
            Column of standard deviations. None: unknown.
        band : str or None, default=None
            Column of whole numbers or of text. None: one band.
        period : str or None, default=None
            Column of periods, the same in all rows of a curve. None: unknown.

        Returns
        -------
        curves : LightCurves
            With the names of the curves as `ids`.

        Raises
        ------
        ValueError, TypeError
            The frame lacks a column, an id is missing, a period varies in a curve, or see the class.

        Examples
        --------
        >>> import pandas as pd
        >>> from skmpcc.light_curves import LightCurves
        >>> frame = pd.DataFrame(
        ...     {
        ...         "star": ["b", "a", "b", "a", "b", "a"],
        ...         "time": [0.0, 0.0, 1.0, 1.5, 2.0, 2.5],
        ...         "mag": [15.1, 14.0, 15.6, 14.2, 15.3, 14.1],
        ...     }
        ... )
        >>> curves = LightCurves.from_frame(frame, id="star", value="mag", error=None)
        >>> curves.ids.tolist(), curves.n_points.tolist()
        (['b', 'a'], [3, 3])
        """
        names = np.asarray(_column(frame, "id", id))
        rows: dict[Any, int] = {}
        curve = [rows.setdefault(name, len(rows)) for name in names.tolist()]
        missing = [name for name in rows if name is None or name != name]
        if missing or not rows:
            raise ValueError(
                f"Column {id!r} must name a curve in every row, got {missing or 'no rows'}."
            )
        read = [
            None if name is None else _floats(_column(frame, argument, name), f"Column {name!r}")
            for argument, name in (
                ("time", time),
                ("value", value),
                ("error", error),
                ("period", period),
            )
        ]
        labels = None if band is None else np.asarray(_column(frame, "band", band), dtype=object)
        ids = np.empty(len(rows), dtype=names.dtype)
        ids[:] = list(rows)
        points = _Points(np.array(curve), read[0], read[1], read[2], labels)  # type: ignore[arg-type]
        curves = cls.__new__(cls)
        periods = None if read[3] is None else _constant(read[3], points.curve, ids)
        curves._fill(points, len(rows), periods, ids)
        return curves

    def with_period(self, period: ArrayLike | None) -> Self:
        """The same curves with other periods.

        Parameters
        ----------
        period : array-like of shape (n_curves,), or None
            In the unit of `times`. None: unknown.

        Returns
        -------
        curves : LightCurves

        Raises
        ------
        ValueError, TypeError
            A period is not above 0 or not finite, or there is not one for each curve.
        """
        return self._with(period=_periods(period, len(self), self.ids))

    def with_bands(self, band_names: Sequence[int | str]) -> Self:
        """The same curves with bands in another order, or with names of bands that none of them has.

        Parameters
        ----------
        band_names : sequence of int or str
            What becomes `band_names`, such as those of the curves that an estimator was fitted to.

        Returns
        -------
        curves : LightCurves

        Raises
        ------
        ValueError
            A curve has a point in a band that is not among them.
        """
        names = tuple(band_names)
        if names == self.band_names:
            return self
        codes = np.array([names.index(name) if name in names else -1 for name in self.band_names])
        bands, curve = codes[self.bands], self._curve_of_points()
        unknown = np.flatnonzero(bands < 0)
        if len(unknown):
            name = self.band_names[self.bands[unknown[0]]]
            _refuse(curve[unknown[0]], self.ids, f"band {name!r} is unknown, wanted one of {names}")
        order = np.lexsort((self.times, bands, curve))  # stable: ties stay in the order of values
        points = {name: getattr(self, name) for name in ("times", "values", "errors")}
        sorted_points = {name: None if x is None else x[order] for name, x in points.items()}
        return self._with(**sorted_points, bands=bands[order], band_names=names)

    @property
    def shape(self) -> tuple[int]:
        """(n_curves,)."""
        return (len(self),)

    @property
    def n_points(self) -> NDArray[np.int64]:
        """Number of points of each curve, of shape (n_curves,)."""
        return np.diff(self.splits)

    def __len__(self) -> int:
        return len(self.splits) - 1

    def __getitem__(self, key: Any) -> Self:
        """Curves by an index, a slice, an array of indices or a mask; one index gives one curve."""
        rows = np.atleast_1d(np.arange(len(self))[key])
        if rows.ndim != 1:
            raise IndexError(f"Curves have one axis, got {key!r}.")
        counts = self.n_points[rows]
        splits = np.concatenate([[0], np.cumsum(counts)])
        taken = np.repeat(self.splits[rows] - splits[:-1], counts) + np.arange(splits[-1])
        fields: dict[str, Any] = {"splits": splits}
        for name in ("times", "values", "errors", "bands", "period", "ids"):
            array, index = getattr(self, name), rows if name in ("period", "ids") else taken
            fields[name] = None if array is None else array[index]
        return self._with(**fields)

    def __iter__(self) -> Iterator[Self]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        also = "".join(
            f", with {what}"
            for what, array in (("errors", self.errors), ("periods", self.period))
            if array is not None
        )
        return (
            f"LightCurves({len(self)} curves, {len(self.times)} points, bands={self.band_names}{also})"
        )

    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn:
        # numpy would take it for a sequence of sequences without end.
        raise TypeError("Curves of different lengths are no table of numbers: transform them first.")

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _FIELDS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)  # pickles do not keep it
            setattr(self, name, value)

    def _with(self, **fields: Any) -> Self:
        curves = type(self).__new__(type(self))
        curves.__setstate__(self.__getstate__() | fields)
        return curves

    def _curve_of_points(self) -> NDArray[np.int64]:
        return np.repeat(np.arange(len(self)), self.n_points)

    def _fill(
        self, points: "_Points", n_curves: int, period: ArrayLike | None, ids: NDArray | None = None
    ) -> None:
        """Check the points of all curves, and keep them in their order."""
        points = points.take(np.flatnonzero(~np.isnan(points.values)))
        points.check(ids)
        counts = np.bincount(points.curve, minlength=n_curves)
        short = np.flatnonzero(counts < MIN_POINTS)
        if len(short):
            count = counts[short[0]]
            _refuse(short[0], ids, f"at least {MIN_POINTS} points with a value are wanted, got {count}")
        bands, names = _band_codes(points.labels, points.curve, ids)
        keys = [points.values, points.times, bands, points.curve]
        order = np.lexsort(keys if points.errors is None else [points.errors, *keys])
        points, splits = points.take(order), np.concatenate([[0], np.cumsum(counts)])
        starts = splits[:-1]
        span = np.maximum.reduceat(points.times, starts) - np.minimum.reduceat(points.times, starts)
        if not span.all():
            _refuse(np.argmin(span), ids, f"all times are {points.times[starts[np.argmin(span)]]}")
        state = points._asdict() | {"bands": bands[order], "splits": splits, "band_names": names}
        state |= {"period": _periods(period, n_curves, ids), "ids": ids}
        self.__setstate__({name: state[name] for name in _FIELDS})

    @classmethod
    def _of_bands(cls, X: Mapping[Any, Any]) -> Self:
        if not X:
            raise ValueError("X has no bands.")
        bands = {name: _columns(_sequence(f"X[{name!r}]", each), (2, 3)) for name, each in X.items()}
        first, *others = bands.values()
        for name, each in bands.items():
            if len(each) != len(first) or len(each[0]) != len(first[0]):
                raise ValueError(
                    f"X[{name!r}] has {len(each[0])} curves of {len(each)} columns, and "
                    f"X[{next(iter(X))!r}] {len(first[0])} of {len(first)}: the same are wanted."
                )
        joined = [
            [np.concatenate(parts) for parts in zip(*columns, strict=True)]
            for columns in zip(first, *others, strict=True)
        ]
        labels = [
            np.repeat(np.array(list(X), dtype=object), [len(each[0][i]) for each in bands.values()])
            for i in range(len(first[0]))
        ]
        errors = joined[2] if len(joined) > 2 else None
        return cls(joined[0], joined[1], errors, labels).with_bands(tuple(X))

    @classmethod
    def _concatenated(cls, parts: Sequence[Self]) -> Self:
        if not sum(map(len, parts)):
            raise ValueError("X has no curves.")
        for name in ("errors", "period"):
            without = [getattr(part, name) is None for part in parts]
            if any(without) and not all(without):
                raise ValueError(f"X[{without.index(True)}] has no {name}, and others have.")
        names = tuple(dict.fromkeys(name for part in parts for name in part.band_names))
        _check_names(names)
        parts = [part.with_bands(names) for part in parts]
        fields: dict[str, Any] = {}
        for name in ("times", "values", "errors", "bands", "period", "ids"):
            arrays = [getattr(part, name) for part in parts]
            fields[name] = None if any(x is None for x in arrays) else np.concatenate(arrays)
        counts = np.concatenate([part.n_points for part in parts])
        return parts[0]._with(**fields, splits=np.concatenate([[0], np.cumsum(counts)]))


class _Points(NamedTuple):
    """Points of all curves, in any order; `curve` says to which curve each belongs."""

    curve: NDArray[np.int64]
    times: NDArray[np.float64]
    values: NDArray[np.float64]
    errors: NDArray[np.float64] | None
    labels: NDArray[np.object_] | None

    def take(self, rows: NDArray[np.int64]) -> "_Points":
        return _Points(*(None if each is None else each[rows] for each in self))  # type: ignore[arg-type]

    def check(self, ids: NDArray | None) -> None:
        finite = [
            ("times", "finite", np.isfinite(self.times)),
            ("values", "finite", np.isfinite(self.values)),
        ]
        if self.errors is not None:
            good = np.isfinite(self.errors) & (self.errors > 0)
            finite.append(("errors", "finite and above 0", good))
        for name, wanted, good in finite:
            if not good.all():
                first = np.argmin(good)
                got = getattr(self, name)[first]
                _refuse(self.curve[first], ids, f"{name} must be {wanted}, got {got}")


def _refuse(curve: Any, ids: NDArray | None, what: str) -> NoReturn:
    called = "" if ids is None else f" ({ids[curve]!r})"
    raise ValueError(f"Curve {curve}{called}: {what}.")


def _sequence(name: str, X: Any) -> Sequence[Any]:
    """The curves of X one by one, where it is a sequence of them."""
    if isinstance(X, str | bytes) or not hasattr(X, "__len__") or not hasattr(X, "__getitem__"):
        raise TypeError(f"{name} must be a sequence of curves, got {type(X).__name__}.")
    if hasattr(X, "columns"):
        raise TypeError(f"{name} is a data frame: LightCurves.from_frame(frame) reads it.")
    if not len(X):
        raise ValueError(f"{name} has no curves.")
    return X


def _floats(data: Any, what: str) -> NDArray[np.float64]:
    try:
        array = data if isinstance(data, np.ma.MaskedArray) else np.asarray(data)
        numbers = array.dtype.kind in "iuf" or (
            array.dtype.kind == "O" and not any(isinstance(x, str | bytes) for x in array.flat)
        )
        if numbers:
            floats = array.astype(np.float64)
            return floats.filled(np.nan) if isinstance(floats, np.ma.MaskedArray) else floats
        got = f"{array.dtype}"
    except (TypeError, ValueError) as error:  # lists of different lengths, or dates and other objects
        got = str(error)
    raise TypeError(f"{what} must hold numbers, got {got}.")


def _series(name: str, column: Any) -> list[NDArray]:
    """A 1-d array for each curve, of numbers or, for bands, of whatever labels there are."""
    arrays = []
    for i, each in enumerate(_sequence(name, column)):
        what = f"Curve {i}: {name}"
        array = np.asarray(each, dtype=object) if name == "bands" else _floats(each, what)
        if array.ndim != 1:
            raise ValueError(
                f"{what} must have one axis, got shape {array.shape}; one curve is [curve]."
            )
        arrays.append(array)
    return arrays


def _columns(tables: Sequence[Any], allowed: tuple[int, ...] = (2, 3, 4)) -> list[list[NDArray]]:
    """Times, values, errors and bands, as far as they are there, of curves with these columns."""
    curves = [
        np.ma.asarray(table) if np.ma.isMaskedArray(table) else np.asarray(table) for table in tables
    ]
    widths = {curve.shape[1] for curve in curves if curve.ndim == 2}
    width = min(widths) if widths else 0
    for i, curve in enumerate(curves):
        if curve.size and (curve.ndim != 2 or curve.shape[1] not in allowed):
            wanted = f"(n_points, {allowed[0]} to {allowed[-1]})"
            raise ValueError(f"Curve {i}: an array of shape {wanted} is wanted, got {curve.shape}.")
    return [[c[:, k] if c.size else np.empty(0) for c in curves] for k in range(width)]


def _column(frame: Any, argument: str, name: str) -> Any:
    names = list(getattr(frame, "column_names", getattr(frame, "columns", frame)))
    if name not in names:
        none = ", or None if there is none" if argument in ("error", "band", "period") else ""
        raise ValueError(f"{argument}={name!r} must be a column of the frame{none}: it has {names}.")
    return frame[name]


def _check_lengths(name: str, column: list[NDArray], counts: list[int]) -> None:
    if len(column) != len(counts):
        raise ValueError(f"{name} has {len(column)} curves, and times has {len(counts)}.")
    for i, (curve, count) in enumerate(zip(column, counts, strict=True)):
        if len(curve) != count:
            _refuse(i, None, f"{name} has {len(curve)} points, and times has {count}")


def _check_names(names: Any) -> None:
    if len({isinstance(name, str) for name in names}) > 1:
        raise TypeError(f"Bands must be all numbers or all text, got {sorted(names, key=str)}.")


def _band_codes(
    labels: NDArray[np.object_] | None, curve: NDArray[np.int64], ids: NDArray | None
) -> tuple[NDArray[np.int64], tuple]:
    """The index of each point's band, and the names of the bands in their order."""
    if labels is None:
        return np.zeros(len(curve), dtype=np.int64), (0,)
    known: dict[Any, Any] = {}
    for i, label in enumerate(labels.tolist()):
        if label in known:
            continue
        if isinstance(label, str):
            known[label] = str(label)
        elif isinstance(label, Integral) or (isinstance(label, float) and label.is_integer()):
            known[label] = int(label)
        else:
            _refuse(curve[i], ids, f"bands must be whole numbers or text, got {label!r}")
    _check_names(known)
    names = tuple(sorted(set(known.values())))
    codes = {name: k for k, name in enumerate(names)}
    return np.array([codes[label] for label in labels.tolist()], dtype=np.int64), names


def _constant(
    values: NDArray[np.float64], curve: NDArray[np.int64], ids: NDArray
) -> NDArray[np.float64]:
    """The value of each curve's rows, which have to agree."""
    first = np.unique(curve, return_index=True)[1]
    other = values != values[first][curve]
    varies = np.flatnonzero(other & ~(np.isnan(values) & np.isnan(values[first][curve])))
    if len(varies):
        i = curve[varies[0]]
        _refuse(i, ids, f"period must be one, got {values[first[i]]} and {values[varies[0]]}")
    return values[first]


def _periods(period: ArrayLike | None, n_curves: int, ids: NDArray | None) -> NDArray[np.float64] | None:
    if period is None:
        return None
    periods = _floats(period, "period")
    if periods.shape != (n_curves,):
        raise ValueError(f"period must have shape ({n_curves},), got {periods.shape}.")
    good = np.isfinite(periods) & (periods > 0)
    if not good.all():
        first = np.argmin(good)
        _refuse(first, ids, f"period must be finite and above 0, got {periods[first]}")
    return periods
