"""Columns of a table as users have them: numbers, categories and missing values, there and back.

`Columns.learn` finds what each column of the data of a fit holds, `Columns.to_numbers` makes numbers of
later data, and `Columns.to_given` makes of numbers what the user's table was: the same names, dtypes,
categories and ranges.
"""

import contextlib
import importlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from numbers import Real
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
from numpy.typing import NDArray

from skmpcc.data.frames import columns_of, holds_numbers, is_missing, listed, what_no_numbers

# Values of a column of categories at most, as many as users can name; more are text or identifiers.
MAX_VALUES = 50
# What the networks see as indicators of its values; the others are numbers to them.
CATEGORY = "category"
# From here on double precision does not have all whole numbers.
_EXACT = 2**53
KINDS = ("number", "whole", "boolean", "ordered", CATEGORY)
# Kinds whose numbers are whole.
_WHOLE = ("whole", "boolean", "ordered")


@dataclass(frozen=True)
class Column:
    """A column of a table, by what it holds.

    Attributes
    ----------
    kind : {"number", "whole", "boolean", "ordered", "category"}
        The first two are numbers; booleans are 0 and 1, and ordered categories the places of their
        levels.
    dtype : str
        Name of the dtype, as its library writes it; empty in arrays.
    values : list or None
        Known values in order, whose numbers are 0, 1, ...; None for numbers.
    levels : list or None
        All that the dtype names, if it does.
    least, largest : float
        Range of the numbers in the fit, of whole ones exact, and of places of values; infinite if all
        are missing.
    native : object
        The dtype itself, of which files keep the name alone.
    """

    kind: str
    dtype: str = ""
    values: list[Any] | None = None
    levels: list[Any] | None = None
    least: float = -np.inf
    largest: float = np.inf
    native: Any = field(default=None, compare=False, repr=False, metadata={"in_files": False})

    @property
    def n_values(self) -> int:
        """Number of known values of a column of categories; 0 for others."""
        return len(self.values or ()) if self.kind == CATEGORY else 0

    def to_numbers(self, column: Any) -> NDArray[np.float64]:
        """Turn a column into numbers; what is missing or unknown is NaN."""
        if self.values is None or self.kind == "boolean":
            return _floats(column)
        places = {value: place for place, value in enumerate(self.values)}
        found = (np.nan if is_missing(v) else places.get(v, np.nan) for v in _listed_values(column))
        return np.fromiter(found, np.float64)

    def to_values(self, numbers: NDArray[np.float64]) -> list[Any] | NDArray:
        """Turn numbers into what the column holds; NaN into None."""
        missing = np.isnan(numbers)
        if self.kind in _WHOLE:
            numbers = np.rint(numbers)
        if self.values is not None:
            places = np.where(missing, 0, numbers).astype(np.int64)
            return [None if gap else self.values[at] for gap, at in zip(missing, places, strict=True)]
        if self.kind == "number":
            return numbers
        if max(abs(self.least), abs(self.largest)) < _EXACT and not missing.any():
            return numbers.astype(np.int64)
        if missing.all():
            return [None] * len(numbers)
        # Of larger ones rounding in double precision may leave the range.
        least, largest = int(self.least), int(self.largest)
        return [None if x != x else min(max(int(x), least), largest) for x in numbers.tolist()]


@dataclass(frozen=True)
class Columns:
    """The columns of a table.

    Attributes
    ----------
    columns : list of Column
    names : list
        As in the frame; none of an array.
    library : str
        That of the frame, by the name of its module; empty of an array.
    """

    columns: list[Column]
    names: list[Any]
    library: str

    @classmethod
    def learn(cls, X: Any, categorical: Any) -> tuple["Columns | None", NDArray | None]:
        """Find what the columns of X hold, and its numbers.

        Parameters
        ----------
        X : object
            As the user gave it.
        categorical : "from_dtype", None or array-like
            Parameter `categorical_features` of the estimators.

        Returns
        -------
        columns : Columns or None
            None of an array without categories.
        numbers : ndarray of float64 of shape (n, d) or None
            Numbers of the values, NaN where they are missing; None where X has nothing but numbers, all
            of them there, and can be taken as any array.

        Raises
        ------
        ValueError
            A column holds dates, or categories of too many values, or something else that is no number;
            or `categorical` names columns that X lacks.
        """
        given = columns_of(X)
        if given is None:
            return _of_array(X, categorical)
        chosen = _chosen(categorical, [name for name, _ in given])
        if _is_plain(X) and not (chosen is not None and chosen.any()):
            return cls._of_numbers(X, given), None
        found = [
            _found(column, False if chosen is None else bool(chosen[i]), categorical)
            for i, (_, column) in enumerate(given)
        ]
        columns = _checked(given, found)
        values = [each.to_numbers(column) for each, (_, column) in zip(columns, given, strict=True)]
        numbers = np.stack(values, axis=1) if values else np.empty((len(X), 0))
        mixed = np.isnan(numbers).any() or any(each.kind == CATEGORY for each in columns)
        if mixed:
            # Two values say no more than two categories do.
            columns = [replace(c, kind=CATEGORY) if c.kind == "boolean" else c for c in columns]
        columns, numbers = _without_unseen(columns, numbers)
        plain = not mixed and all(each.kind != "ordered" for each in columns)
        columns = [_with_range(c, part) for c, (_, part) in zip(columns, given, strict=True)]
        learned = cls(columns, [name for name, _ in given], _library(X))
        return learned, None if plain else numbers

    @classmethod
    def _of_numbers(cls, X: Any, given: list[tuple[Any, Any]]) -> "Columns":
        kinds = {"b": "boolean", "f": "number"}
        columns = []
        for dtype in X.dtypes:
            kind = kinds.get(dtype.kind, "whole")
            values = [False, True] if kind == "boolean" else None
            columns.append(Column(kind, str(dtype), values, native=dtype))
        columns = [_with_range(c, part) for c, (_, part) in zip(columns, given, strict=True)]
        return cls(columns, [name for name, _ in given], _library(X))

    @property
    def n_values(self) -> tuple[int, ...]:
        """Number of the values of each column of categories, 0 for others."""
        return tuple(column.n_values for column in self.columns)

    @property
    def have_range(self) -> NDArray[np.bool_]:
        """Tell which of the columns had a value in the fit."""
        return np.array([column.least <= column.largest < np.inf for column in self.columns])

    def to_numbers(self, X: Any) -> NDArray[np.float64]:
        """Turn later data of the same columns into numbers; unknown categories are missing ones."""
        given = columns_of(X)
        if given is not None:
            parts = [column for _, column in given]
        else:
            parts = list((X if isinstance(X, np.ndarray) else np.array(X, dtype=object)).T)
        if len(parts) != len(self.columns):
            raise ValueError(f"X has {len(parts)} features, but {len(self.columns)} were fitted.")
        numbers = []
        for i, (column, part) in enumerate(zip(self.columns, parts, strict=True)):
            try:
                numbers.append(column.to_numbers(part))
            except (TypeError, ValueError, OverflowError) as error:
                name = self.names[i] if self.names else i
                raise ValueError(
                    f"X has a column that held numbers in the fit, and holds none: {name!r} "
                    f"({what_no_numbers(part)})."
                ) from error
        return np.stack(numbers, axis=1)

    def within_ranges(self, numbers: NDArray) -> NDArray:
        """Bring numbers into the ranges that the columns had in the fit."""
        ends = np.array([[float(column.least), float(column.largest)] for column in self.columns]).T
        return np.clip(numbers, *ends).astype(numbers.dtype)

    def rounded(self, numbers: NDArray) -> NDArray:
        """Bring numbers to those that the columns may hold: within ranges, and whole where these are."""
        numbers = self.within_ranges(numbers)
        whole = [column.kind in _WHOLE for column in self.columns]
        numbers[:, whole] = np.rint(numbers[:, whole])
        return numbers

    def to_given(self, numbers: NDArray) -> Any:
        """Turn numbers of shape (n, d) into a frame of the library that X came in, or an array."""
        parts = [
            column.to_values(part.astype(np.float64))
            for column, part in zip(self.columns, numbers.T, strict=True)
        ]
        if not self.library:
            return self._array(parts, numbers.dtype)
        if self.library == "pandas":
            return self._pandas(parts)
        backend = importlib.import_module(self.library)
        first, *others = [
            _nw_series(str(name), _objects(part), column, backend)
            for name, column, part in zip(self.names, self.columns, parts, strict=True)
        ]
        return first.to_frame().with_columns(*others).to_native()

    def _array(self, parts: list[Any], dtype: np.dtype) -> NDArray:
        if any(isinstance(value, str) for column in self.columns for value in column.values or ()):
            dtype = np.dtype(object)
        return np.stack([np.array(part, dtype=dtype) for part in parts], axis=1)

    def _pandas(self, parts: list[Any]) -> Any:
        pandas = importlib.import_module("pandas")
        made = {
            i: pandas.Series(_objects(part), dtype=_pandas_dtype(pandas, column))
            for i, (column, part) in enumerate(zip(self.columns, parts, strict=True))
        }
        frame = pandas.DataFrame(made)
        try:
            frame.columns = self.names
        except UnicodeEncodeError:  # of halves of surrogate pairs, as names of files may have
            frame.columns = pandas.Index(self.names, dtype=object)
        return frame


class ReturnsColumns:
    """Way back from arrays to what the user's table was, of a form that knows its columns.

    Attributes
    ----------
    dtype : numpy dtype
        Floating dtype of arrays.
    columns_given : Columns or None
        What the columns are to the user, of a data frame.
    """

    dtype: np.dtype
    columns_given: Columns | None

    def to_given(self, X: NDArray) -> Any:
        """Turn an array of samples into a frame, if the fit saw one."""
        columns = self.columns_given
        return X if columns is None else columns.to_given(columns.within_ranges(X))

    def to_numbers(self, X: Any) -> NDArray:
        """Invert `to_given`."""
        return X if self.columns_given is None else self.columns_given.to_numbers(X).astype(self.dtype)


def needs_numbers(X: Any, columns: Columns | None) -> bool:
    """Whether later data have to be turned into numbers by their columns before they are checked."""
    if columns_of(X) is not None and not holds_numbers(X):
        return True
    return columns is not None and any(column.values is not None for column in columns.columns)


def later_numbers(X: Any, columns: Columns | None) -> NDArray | None:
    """Numbers of later data, by the columns of the fit; None if X is nothing but numbers."""
    if columns is None:
        return Columns.learn(X, None)[1]
    return columns.to_numbers(X)


def with_index_of(X: Any, found: Any) -> Any:
    """Give rows of a frame of pandas the index of those that they were made of."""
    if hasattr(X, "iloc") and hasattr(found, "iloc"):
        found.index = X.index
    return found


# ---- What is found


def _is_plain(X: Any) -> bool:
    """Whether a data frame has numpy's numbers alone, and no truth values beside gaps."""
    if not holds_numbers(X):
        return False
    has_flags = any(dtype.kind == "b" for dtype in X.dtypes)
    return not (has_flags and X.isna().any(axis=None))


def _with_range(column: Column, part: Any) -> Column:
    """Return a column with the range that its numbers have in a fit."""
    if column.kind == "whole":
        if isinstance(column.native, np.dtype):  # of many rows by far the fastest
            seen = [int(end) for end in (part.min(), part.max())] if len(part) else []
        else:
            seen = [int(value) for value in _listed_values(part) if not is_missing(value)]
        return replace(column, least=min(seen), largest=max(seen)) if seen else column
    numbers = column.to_numbers(part)
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        return column
    return replace(column, least=float(numbers.min()), largest=float(numbers.max()))


def _of_array(X: Any, categorical: Any) -> tuple[Columns | None, NDArray | None]:
    """Columns and numbers of an array, whose categories are named by place."""
    if categorical is None or isinstance(categorical, str):
        return None, None
    X = np.asarray(X)
    if X.ndim != 2:
        raise ValueError(
            f"categorical_features is for tables, but X has {X.ndim} dimensions. Leave it out."
        )
    chosen = _chosen(categorical, list(range(X.shape[1])))
    if chosen is None or not chosen.any():
        return None, None
    found = [
        _found(part, bool(is_chosen), categorical) for part, is_chosen in zip(X.T, chosen, strict=True)
    ]
    given = list(enumerate(X.T))
    columns = _checked(given, found)
    values = [each.to_numbers(part) for each, part in zip(columns, X.T, strict=True)]
    columns, numbers = _without_unseen(
        [replace(column, dtype="") for column in columns], np.stack(values, axis=1)
    )
    columns = [_with_range(column, part) for column, part in zip(columns, X.T, strict=True)]
    return Columns(columns, [], ""), numbers


def _chosen(categorical: Any, names: list[Any]) -> NDArray[np.bool_] | None:
    """Find which columns the user calls categories; None if dtypes say it."""
    if categorical is None:
        return np.zeros(len(names), dtype=bool)
    if isinstance(categorical, str):
        if categorical != "from_dtype":
            raise ValueError(
                "categorical_features must be 'from_dtype', None, a mask, places or names of columns, "
                f"got {categorical!r}."
            )
        return None
    asked = np.asarray(categorical)
    if asked.dtype.kind == "b":
        if asked.shape != (len(names),):
            raise ValueError(
                f"categorical_features is a mask of shape {asked.shape}, but X has {len(names)} columns."
            )
        return asked
    chosen = np.zeros(len(names), dtype=bool)
    for each in list(categorical):
        is_place = isinstance(each, int | np.integer) and not isinstance(each, bool)
        if each in names and not (is_place and names == list(range(len(names)))):
            chosen[[name == each for name in names]] = True
        elif is_place and -len(names) <= each < len(names):
            chosen[each] = True
        else:
            raise ValueError(
                f"categorical_features has {each!r}, which is no column of X. Those are "
                f"{listed(map(repr, names))}."
            )
    return chosen


def _found(column: Any, chosen: bool, categorical: Any) -> Column | None:
    """Find what a column holds; None if it is neither numbers nor categories."""
    series = _series(column)
    dtype = None if series is None else series.dtype
    native = getattr(column, "dtype", None)
    name = "" if series is None else _dtype_name(series, native)
    by_dtype = isinstance(categorical, str)
    if dtype is not None and isinstance(dtype, nw.Categorical | nw.Enum):
        if not (chosen or by_dtype):
            return None
        levels, ordered = _levels(column, dtype)
        if ordered and not chosen:
            return Column("ordered", name, levels, levels, native=native)
        return Column(CATEGORY, name, _distinct(column, levels), levels, native=native)
    if dtype is not None and isinstance(dtype, nw.Boolean):
        kind = CATEGORY if chosen else "boolean"
        return Column(kind, name, [False, True], native=native)
    if dtype is not None and (dtype.is_temporal() or isinstance(dtype, nw.Binary)):
        return None
    values = None if dtype is not None and dtype.is_numeric() else _listed_values(column)
    if values is not None and not (isinstance(native, np.dtype) and native.kind in "biuf"):
        seen = [value for value in values if not is_missing(value)]
        if seen and all(isinstance(value, bool | np.bool_) for value in seen):
            return Column(CATEGORY if chosen else "boolean", name, [False, True], native=native)
        if not all(isinstance(value, Real | Decimal | np.number) for value in seen):
            is_text = all(isinstance(value, str | bool | Real | Decimal) for value in seen)
            if not is_text or not (chosen or by_dtype):
                return None
            return Column(CATEGORY, name, _distinct(column), native=native)
    if chosen:
        return Column(CATEGORY, name, _distinct(column), native=native)
    # Sparse columns of pandas are of no dtype that Narwhals knows.
    whole = (dtype is not None and dtype.is_integer()) or getattr(native, "kind", None) in ("i", "u")
    return Column("whole" if whole else "number", name, native=native)


def _checked(given: list[tuple[Any, Any]], columns: list[Column | None]) -> list[Column]:
    """Check that each column is one of numbers, or of few categories."""
    unknown = [
        f"{name!r} ({what_no_numbers(column)})"
        for (name, column), found in zip(given, columns, strict=True)
        if found is None
    ]
    if unknown:
        names = listed(
            repr(name) for (name, _), found in zip(given, columns, strict=True) if found is None
        )
        raise ValueError(
            f"X has columns that hold neither numbers nor categories: {listed(unknown)}. Turn dates "
            "into numbers, such as the days since the first of them, name columns of categories in "
            f"categorical_features, or leave them out by X.drop(columns=[{names}])."
        )
    found = [column for column in columns if column is not None]
    many = [
        f"{name!r} ({column.n_values})"
        for (name, _), column in zip(given, found, strict=True)
        if column.n_values > MAX_VALUES
    ]
    if many:
        raise ValueError(
            f"X has columns of categories with more than {MAX_VALUES} values: {listed(many)}. If they "
            "name rows, leave them out; if they are numbers, convert them; otherwise put rare values "
            "together, as OneHotEncoder(max_categories=20) of scikit-learn does."
        )
    return found


def _without_unseen(
    columns: list[Column], numbers: NDArray[np.float64]
) -> tuple[list[Column], NDArray[np.float64]]:
    """Leave out values of categories that no row has, and number the others anew."""
    for i, column in enumerate(columns):
        if column.kind != CATEGORY or column.values is None:
            continue
        seen = np.unique(numbers[:, i][~np.isnan(numbers[:, i])]).astype(np.int64)
        columns[i] = replace(column, values=[column.values[place] for place in seen])
        there = ~np.isnan(numbers[:, i])
        numbers[there, i] = np.searchsorted(seen, numbers[there, i])
    return columns, numbers


def _distinct(column: Any, levels: list[Any] | None = None) -> list[Any]:
    """Different values of a column in order: of levels, in theirs."""
    seen = {_plain(value) for value in _listed_values(column) if not is_missing(value)}
    if levels is not None:
        return [level for level in levels if level in seen]
    # Text after numbers, which cannot be compared.
    return sorted(seen, key=lambda value: (isinstance(value, str), value))


def _levels(column: Any, dtype: Any) -> tuple[list[Any], bool]:
    """Levels of a column of categories, and whether they have an order. Enums of polars have none."""
    accessor: Any = getattr(column, "cat", None)
    if hasattr(accessor, "categories"):
        return [_plain(level) for level in accessor.categories.tolist()], bool(accessor.ordered)
    if isinstance(dtype, nw.Enum):
        return list(dtype.categories), False
    return _distinct(column), False


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _series(column: Any) -> Any:
    """Return a column of a frame as a series of Narwhals; None for one of an array."""
    return None if isinstance(column, np.ndarray) else nw.from_native(column, series_only=True)


def _listed_values(column: Any) -> Iterable[Any]:
    series = _series(column)
    return column.tolist() if series is None else series.to_list()


def _floats(column: Any) -> NDArray[np.float64]:
    series = _series(column)
    if series is not None and series.dtype.is_numeric() and not series.dtype.is_decimal():
        # Arrow refuses whole numbers that double precision does not tell from others.
        with contextlib.suppress(ValueError):
            return np.asarray(series.cast(nw.Float64).to_numpy(), dtype=np.float64)
    if series is None and column.dtype.kind in "biuf":
        return column.astype(np.float64)
    values = (np.nan if is_missing(value) else float(value) for value in _listed_values(column))
    return np.fromiter(values, np.float64)


# ---- The way back


def _library(X: Any) -> str:
    found = nw.get_native_namespace(X)
    return found.__name__.split(".")[0] if hasattr(found, "__name__") else ""


def _dtype_name(series: Any, native: Any) -> str:
    """Name of a dtype from which it can be made again."""
    if series.implementation.is_pandas():
        return str(native)
    return "Enum" if isinstance(series.dtype, nw.Enum) else str(series.dtype)


def _objects(part: list[Any] | NDArray) -> list[Any] | NDArray:
    """Values with None for what is missing."""
    if isinstance(part, list) or not np.isnan(part).any():
        return part
    return [None if number != number else number for number in part.tolist()]


def _pandas_dtype(pandas: Any, column: Column) -> Any:
    if column.native is not None:
        return column.native
    if column.dtype == "category":
        return pandas.CategoricalDtype(column.levels, ordered=column.kind == "ordered")
    try:
        return pandas.api.types.pandas_dtype(column.dtype)
    except (TypeError, NotImplementedError):  # sparse ones, say, whose names are not enough
        return np.dtype(np.float64 if column.values is None else object)


def _nw_series(name: str, values: Any, column: Column, backend: Any) -> Any:
    if column.dtype == "Enum":
        return nw.new_series(name, values, nw.Enum(column.levels or []), backend=backend)
    kind, _, size = column.dtype.partition("(")
    if kind == "Decimal":
        numbers, sizes = (
            nw.new_series(name, values, nw.Float64, backend=backend),
            re.findall(r"\d+", size),
        )
        # Earlier versions of Narwhals do not tell the sizes, and floats come back.
        return numbers.cast(nw.Decimal(*map(int, sizes))) if sizes else numbers
    return nw.new_series(name, values, getattr(nw, kind, nw.Object), backend=backend)
