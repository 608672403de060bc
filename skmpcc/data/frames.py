"""Data frames as users have them: columns that hold no numbers, and columns that number the rows."""

import re
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmpcc.system.callers import stacklevel_of_user

# Names of columns that number rows, or say whose they are: one of the first, or one of the second with
# or without one of the first, as "row", "No." and "case number"; or they begin or end with one of the
# third. In small letters, without what stands between words.
_ROWS = (
    "row|record|rec|obs|observation|case|serial|sr|sl|seq|sequence|sample|instance|item|entry|line|"
    "subject|subj|patient|participant|level0"
)
_NUMBERS = "no|nr|num|number|n°|nº|#|index|name|names|key|pk"
_NUMBERING = re.compile(f"{_ROWS}|({_ROWS}|s|primary)?({_NUMBERS})")
_ID_WORDS = frozenset(
    {"id", "ids", "idx", "uuid", "guid", "oid", "fid", "gid", "uid", "rowid", "identifier"}
)
# As pandas names a column without a name.
_UNNAMED = re.compile(r"(Unnamed: ?\d+(_level_\d+)?(\.\d+)*|\.\.\.\d+|)")
# Rows from which on whole numbers in steps of one number the rows, whatever their name is.
_MIN_ROWS = 10
MAX_NAMED = 10


def numbers_rows(name: object, values: NDArray) -> bool:
    """Whether a column numbers the rows, or says whose they are, and measures nothing.

    Its values are distinct whole numbers, and it has no name, or one that says so, or they go in steps
    of one.

    Parameters
    ----------
    name : str, or None if columns have none
    values : ndarray of shape (n,)
        Numbers.
    """
    n = len(values)
    if n < 2 or values.dtype.kind not in "iuf":
        return False
    # R calls a column without a name X; coordinates are called so, too, and seldom rise from row to row.
    rises = str(name) == "X" and bool(np.all(values[1:] > values[:-1]))
    named = rises or (name is not None and _names_rows(str(name)))
    # Of so many whole numbers, all different, none is left out between the least and the largest.
    in_steps = n >= _MIN_ROWS and float(values.max()) - float(values.min()) == n - 1
    if not (named or in_steps):
        return False
    if values.dtype.kind == "f" and not np.all(np.isfinite(values) & (values == np.floor(values))):
        return False
    return len(np.unique(values)) == n


def names_rows(values: NDArray) -> bool:
    """Whether a column of text has another value in each of ten rows or more, as a name has."""
    if values.dtype.kind not in "OUST" or len(values) < _MIN_ROWS:
        return False
    texts = {value for value in values.tolist() if isinstance(value, str)}
    return len(texts) == len(values)


def is_unnamed(name: object) -> bool:
    """Whether a column has no name, or one that pandas or R made up for it."""
    return _UNNAMED.fullmatch(str(name)) is not None


def _names_rows(name: str) -> bool:
    name = name.strip().strip("\"'")
    if is_unnamed(name):
        return True
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[#°º]", name)]
    if not words:
        return False
    numbering = _NUMBERING.fullmatch("".join(words)) is not None
    return numbering or words[0] in _ID_WORDS or words[-1] in _ID_WORDS


def columns_of(X: Any) -> list[tuple[Any, Any]] | None:
    """Names and columns of a data frame, of pandas, polars or another library; None of anything else."""
    # A table of Arrow calls its columns `columns`, and its names otherwise.
    names = getattr(X, "column_names", None) or getattr(X, "columns", None)
    if names is None or not hasattr(X, "__array__") or len(getattr(X, "shape", ())) != 2:
        return None
    names = list(names)
    if hasattr(X, "iloc"):  # its names need not differ
        return [(name, X.iloc[:, index]) for index, name in enumerate(names)]
    return [(name, X[name]) for name in names]


def check_columns(X: Any) -> None:
    """Check that the columns of a data frame hold numbers, or what can be made numbers.

    Raises
    ------
    ValueError
        Some do not; the message names them, what they hold, and what to do.
    """
    found = {}
    for name, column in () if holds_numbers(X) else columns_of(X) or ():
        what = what_no_numbers(column)
        if what is not None:
            found[name] = what
    if found:
        names = listed(map(repr, found))
        raise ValueError(
            "X has columns that hold no numbers: "
            f"{listed(f'{name!r} ({what})' for name, what in found.items())}. Turn them into "
            "numbers (categories by sklearn.preprocessing.OneHotEncoder, dates into the time since one "
            f"of them), or leave them out by X.drop(columns=[{names}])."
        )


def holds_numbers(X: Any) -> bool:
    """Whether all columns of a data frame have numpy's types of numbers, which is quick to check."""
    try:
        return all(isinstance(dtype, np.dtype) and dtype.kind in "buif" for dtype in X.dtypes)
    except (AttributeError, TypeError):
        return False


def what_no_numbers(column: Any) -> str | None:
    """Name what a column holds that is no number; None if it holds numbers."""
    dtype = getattr(column, "dtype", None)
    if getattr(dtype, "kind", None) in ("b", "u", "i", "f", "c") and isinstance(dtype, np.dtype):
        return None
    if str(dtype).lower().startswith(("category", "categorical", "enum")):
        return "categories"
    values = np.asarray(column)
    if values.dtype.kind in "buifc":
        return None
    if values.dtype.kind in "Mm":
        return "dates" if values.dtype.kind == "M" else "durations"
    try:
        np.asarray(values, dtype=np.float64)
        return None
    except (TypeError, ValueError, OverflowError):
        pass
    for value in values.tolist():
        if is_missing(value):
            continue
        try:
            float(value)
        except (TypeError, ValueError, OverflowError):
            return _in_words(value)
    return None  # missing values, which are an error of their own


def _in_words(value: Any) -> str:
    if isinstance(value, str | bytes):
        text = repr(value)
        return f"text such as {text if len(text) <= 30 else text[:27] + '...'}"
    kind = type(value).__name__
    if kind in ("date", "datetime", "Timestamp", "time", "datetime64"):
        return "dates"
    if kind in ("timedelta", "Timedelta", "timedelta64"):
        return "durations"
    return f"objects of type {kind}"


def is_missing(value: Any) -> bool:
    """Whether it is None, NaN, NaT, or the NA of pandas, which is not equal to anything either."""
    if value is None:
        return True
    equal = value == value
    return not equal if isinstance(equal, bool | np.bool_) else np.ndim(equal) == 0


def warn_of_row_numbers(X: Any) -> None:
    """Warn of columns of a data frame that number its rows, and take part in the fit all the same."""
    if holds_numbers(X) and len(set(X.dtypes)) == 1:  # of many columns by far the fastest
        columns = list(zip(X.columns, X.to_numpy().T, strict=True))
    else:
        columns = columns_of(X) or []
    numbering = []
    for name, column in columns:
        values = np.asarray(column)
        if numbers_rows(name, values) or names_rows(values):
            numbering.append(name)
    if numbering and len(numbering) < len(columns):
        names = listed(map(repr, numbering))
        warnings.warn(
            f"X has columns that seem to number its rows, and take part in the fit: {names}. Unless "
            f"they measure something, leave them out by X.drop(columns=[{names}]).",
            UserWarning,
            stacklevel=stacklevel_of_user(),
        )


def listed(names: Iterable[object]) -> str:
    """Names after each other, the first ones of many."""
    every = [str(name) for name in names]
    more = len(every) - MAX_NAMED
    return ", ".join(every[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
