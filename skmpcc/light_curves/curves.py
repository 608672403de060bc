"""LightCurves: irregular, noisy series in a container that slices as an array of samples does."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skmpcc.light_curves.points import (
    Points,
    band_codes,
    checked_periods,
    column_of,
    columns_of,
    constant_in,
    joined,
    joined_points,
    points_of,
    refuse,
    sequence_of,
)

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
        points, n_curves = points_of(
            {"times": times, "values": values, "errors": errors, "bands": bands}
        )
        self._fill(points, n_curves, period)

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
        if isinstance(X, LightCurves) and len(X):
            return X  # type: ignore[return-value]
        if isinstance(X, Mapping):
            return cls._of_bands(X)
        curves = sequence_of("X", X)
        if all(isinstance(each, LightCurves) for each in curves):
            return cls._concatenated(curves)
        points, n_curves = points_of(columns_of(curves, 4))
        return cls.__new__(cls)._fill(points, n_curves)

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
        columns = {"id": id, "time": time, "value": value, "error": error, "band": band}
        read: dict[str, Any] = {
            argument: None if name is None else column_of(frame, argument, name)
            for argument, name in (columns | {"period": period}).items()
        }
        for argument, column in read.items():
            if column is not None and column.shape != read["id"].shape[:1]:
                raise ValueError(
                    f"Column {argument} must have shape ({len(read['id'])},), got {column.shape}."
                )
        rows: dict[Any, int] = {}
        curve = np.array([rows.setdefault(each, len(rows)) for each in read["id"].tolist()], np.int64)
        missing = [each for each in rows if each is None or each != each]
        if missing or not rows:
            raise ValueError(f"id={id!r} must name a curve in every row, got {missing or 'no rows'}.")
        ids = np.empty(len(rows), dtype=read["id"].dtype)
        ids[:] = list(rows)
        periods = None if period is None else constant_in(read["period"], curve, ids)
        points = Points(curve, read["time"], read["value"], read["error"], read["band"])
        return cls.__new__(cls)._fill(points, len(rows), periods, ids)

    def with_period(self, period: ArrayLike | None) -> Self:
        """Return the curves with other periods.

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
        return self._with(period=checked_periods(period, len(self), self.ids))

    def with_bands(self, band_names: Sequence[int | str]) -> Self:
        """Return the curves with bands in another order, or with names of bands that none of them has.

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
        return self if names == self.band_names else self._concatenated([self], names)

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
        raise TypeError("LightCurves are no table of numbers: LightCurveGrid makes one of them.")

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

    def _fill(
        self,
        points: "Points",
        n_curves: int,
        period: ArrayLike | None = None,
        ids: NDArray | None = None,
        band_names: tuple | None = None,
    ) -> Self:
        """Check the points of all curves, and keep them in their order."""
        points = points.take(~np.isnan(points.values))
        points.check(ids)
        counts = np.bincount(points.curve, minlength=n_curves)
        if counts.min() < MIN_POINTS:
            few = f"at least {MIN_POINTS} points with a value are wanted, got {counts.min()}"
            refuse(counts.argmin(), ids, few)
        bands, names = band_codes(points, ids, band_names)
        # Ties by value and error, so that the order in which points come is of no matter.
        keys = (points.errors, points.values, points.times, bands, points.curve)
        order = np.lexsort([key for key in keys if key is not None])
        points, splits = points.take(order), np.append(0, np.cumsum(counts))
        first, times = splits[:-1], points.times
        span = np.maximum.reduceat(times, first) - np.minimum.reduceat(times, first)
        if not span.all():
            refuse(span.argmin(), ids, f"all times are {times[first[span.argmin()]]}")
        state = points._asdict() | {"bands": bands[order], "splits": splits, "band_names": names}
        state |= {"period": checked_periods(period, n_curves, ids), "ids": ids}
        self.__setstate__({name: state[name] for name in _FIELDS})
        return self

    @classmethod
    def _of_bands(cls, X: Mapping[Any, Any]) -> Self:
        flat = {
            name: points_of(columns_of(sequence_of(f"X[{name!r}]", each), 3)) for name, each in X.items()
        }
        parts = [
            points._replace(labels=np.full(len(points.curve), name, dtype=object))
            for name, (points, _) in flat.items()
        ]
        lengths = {name: n_curves for name, (_, n_curves) in flat.items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"X must have as many curves in each of its bands, got {lengths}.")
        return cls.__new__(cls)._fill(joined_points(parts), max(lengths.values()), band_names=tuple(X))

    @classmethod
    def _concatenated(cls, parts: Sequence["LightCurves"], names: tuple | None = None) -> Self:
        starts = np.append(0, np.cumsum([len(part) for part in parts]))
        if not starts[-1]:
            raise ValueError("X has no curves.")
        points = [
            Points(
                np.repeat(np.arange(start, start + len(part)), part.n_points),
                *(part.times, part.values, part.errors),
                np.array(part.band_names, dtype=object)[part.bands],
            )
            for part, start in zip(parts, starts[:-1], strict=True)
        ]
        names = names or tuple(dict.fromkeys(name for part in parts for name in part.band_names))
        period = joined("period", [part.period for part in parts])
        ids = [part.ids for part in parts if part.ids is not None]
        all_ids = np.concatenate(ids) if len(ids) == len(parts) else None
        return cls.__new__(cls)._fill(joined_points(points), starts[-1], period, all_ids, names)
