"""Columns of a table that a fit takes: numbers and categories, and none that number rows."""

import itertools
import re
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmpcc.command.reading_numbers import (
    Numbers,
    Table,
    numbers_of_columns,
    numbers_of_text,
    texts_of,
)
from skmpcc.data.columns import MAX_VALUES
from skmpcc.data.frames import is_unnamed, listed, numbers_rows


@dataclass(frozen=True)
class Wanted:
    """Columns that are asked for.

    Attributes
    ----------
    names : list of str
        Empty for all that a fit can take.
    label : str or None
        Column of known classes.
    n_columns : int or None
        Columns of numbers that are needed: where there are so many, none is left out.
    texts : collection of str or None
        Those that are text to a fitted model, where all others are numbers; None finds out.
    """

    names: list[str]
    label: str | None = None
    n_columns: int | None = None
    texts: Collection[str] | None = None


def samples_of(table: Table, path: Path, wanted: Wanted) -> tuple[Any, NDArray[np.int64] | None]:
    """Return the columns of a table that are taken, as a data frame, and known classes.

    Numbers are float64. Truth values are so, too, if a model says what columns hold.
    """
    frame = table.frame
    _check_names(frame, path, wanted)
    y = None if wanted.label is None else _classes(table, wanted.label)
    names = wanted.names or [name for name in frame.columns if name != wanted.label]
    found = _found(table, names, wanted.texts)
    if wanted.names:
        _check_wanted(found, path, wanted)
    else:
        _leave_out(found, names, table, path, wanted)
    taken = [name for name in names if name in found.columns or name in found.categories]
    if not taken:
        raise ValueError(
            f"{path} has no column of numbers or categories; its columns are {listed(frame.columns)}."
            f"{found.advice}"
        )
    return _frame(found, taken, frame.index, wanted.texts is None), y


def _check_names(frame: Any, path: Path, wanted: Wanted) -> None:
    """Check that a table has rows and the columns that are asked for."""
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()]
        raise ValueError(f"{path} has more than one column named {listed(dict.fromkeys(twice))}.")
    asked = wanted.names if wanted.label is None else [*wanted.names, wanted.label]
    unknown = [name for name in asked if name not in frame.columns]
    if unknown:
        raise ValueError(
            f"{path} has no column {listed(unknown)}; its columns are {listed(frame.columns)}."
        )
    if wanted.label in wanted.names:
        raise ValueError(f"{wanted.label} is the label column, and cannot be one of --columns as well.")
    if len(frame) == 0:
        raise ValueError(f"{path} has no rows.")


def _classes(table: Table, name: str) -> NDArray[np.int64]:
    """Numbers of the known classes, -1 where they are missing."""
    labels = table.frame[name]
    if table.missing:
        of_labels = numbers_of_text(table, [name]).columns
        labels = of_labels.get(name, texts_of(labels, table.missing).reindex(table.frame.index))
    return import_module("pandas").factorize(labels)[0].astype(np.int64)


def _found(table: Table, names: Sequence[str], texts: Collection[str] | None) -> Numbers:
    """Find what columns hold; if a model says which are text, no others are."""
    others = [name for name in names if texts is None or name not in texts]
    is_text = bool(table.missing)
    found = numbers_of_text(table, others) if is_text else numbers_of_columns(table.frame[others])
    if texts is not None:
        found.categories = {name: _as_text(table, name) for name in names if name in texts}
    return found


def _as_text(table: Table, name: str) -> Any:
    """Return a column as text, whatever it is in its file."""
    column = table.frame[name]
    if table.missing:
        return texts_of(column, table.missing)
    return column.astype(object).map(str, na_action="ignore")


def _check_wanted(found: Numbers, path: Path, wanted: Wanted) -> None:
    """Check that columns which are named can be taken."""
    taken = found.columns.keys() | found.categories.keys()
    other = [name for name in wanted.names if name not in taken]
    if other:
        described = (
            f"{name}, where {found.faults[name]}" if name in found.faults else name for name in other
        )
        which = (
            "that are named in --columns hold neither numbers nor categories"
            if wanted.texts is None
            else "that held numbers in the fit hold none"
        )
        raise ValueError(f"Columns of {path} {which}: {listed(described)}.{found.advice}")
    many = {name: column.nunique() for name, column in found.categories.items()}
    many = {name: n for name, n in many.items() if n > MAX_VALUES}
    if many and wanted.texts is None:
        raise ValueError(
            f"Columns of {path} that are named in --columns have more than {MAX_VALUES} different "
            f"texts, and cannot be categories: {listed(f'{name} ({n})' for name, n in many.items())}."
        )


def _leave_out(found: Numbers, names: Sequence[str], table: Table, path: Path, wanted: Wanted) -> None:
    """Leave out columns that a fit cannot take, or learns nothing from, with warnings that name them."""
    for name in found.faults:
        warnings.warn(f"The column {name} is left out: {found.faults[name]}.", stacklevel=2)
    groups = _of_no_use(found, names, table, wanted)
    for reason, group in groups.items():
        if group:
            advice = found.advice if group is found.unread else ""
            warnings.warn(f"Columns {reason} are left out: {listed(group)}.{advice}", stacklevel=2)
    gone = {name for group in groups.values() for name in group}
    for columns in (found.columns, found.categories):
        for name in gone & columns.keys():
            del columns[name]
    # As they are in the file.
    left_out = [name for name in names if name in gone or name in found.faults]
    described = f"{listed(left_out)}.{found.advice}" if left_out else ""
    _leave_out_row_numbers(found, table, path, described, wanted.n_columns)


def _of_no_use(
    found: Numbers, names: Sequence[str], table: Table, wanted: Wanted
) -> dict[str, list[str]]:
    """Names of columns that are left out, by the reason."""
    many, naming, constant = [], [], []
    empty = [name for name, column in found.columns.items() if column.isna().all()]
    levels = _levels(table)
    for name, column in found.categories.items():
        counts = column.value_counts()
        n_values = int((counts > 0).sum())
        if n_values == 0:
            empty.append(name)
        elif n_values > MAX_VALUES:
            many.append(name)
        elif counts.max() == 1 or name in table.row_names or name in levels:
            naming.append(name)
        elif n_values == 1:
            constant.append(name)
    known = {*found.columns, *found.categories, *found.faults, *found.unread, *found.dates}
    nothing = "neither numbers nor categories" if wanted.texts is None else "no numbers"
    return {
        "of numbers that have units or are in another style": found.unread,
        "of dates, times or durations": found.dates,
        f"of text with more than {MAX_VALUES} different values": many,
        "of text that name the rows": naming,
        "of text that have one value alone": constant,
        f"that hold {nothing}": [name for name in names if name not in known],
        "that have no values": empty,
    }


def _leave_out_row_numbers(
    found: Numbers, table: Table, path: Path, left_out: str, n_columns: int | None
) -> None:
    """Leave out columns that number the rows or name them, as long as others are left.

    Raises
    ------
    ValueError
        No column is left, because the others, `left_out`, cannot be taken.
    """
    numbering = _numbering(found.columns, table)
    if n_columns is not None:
        numbering = dict(list(numbering.items())[: max(0, len(found.columns) - n_columns)])
    elif numbering and len(numbering) == len(found.columns) and not found.categories:
        if left_out:
            raise ValueError(
                f"All columns of {path} that hold numbers seem to number or name its rows: "
                f"{listed(numbering)}; the others cannot be taken: {left_out} To "
                "cluster the former nevertheless, name them in --columns."
            )
        last, _ = numbering.popitem()
        warnings.warn(
            f"The column {last} seems to number the rows, but is kept, because no other column is left.",
            stacklevel=2,
        )
    for name, what in numbering.items():
        warnings.warn(
            f"The column {name} {what}, and is left out; to keep it, name it with the others in "
            "--columns.",
            stacklevel=2,
        )
        del found.columns[name]


def _numbering(columns: dict[str, Any], table: Table) -> dict[str, str]:
    """Columns of numbers that number the rows or name them, and what each does."""
    levels = _levels(table)
    found = {}
    for name, column in columns.items():
        if name in table.row_names:
            found[name] = "has the names of the rows, for which the header has no name"
        elif re.fullmatch(r"__index_level_\d+__", name):
            found[name] = "is a saved index"
        elif _numbers_rows(column, name if table.named else None):
            found[name] = "numbers the rows"
        elif name in levels and (column % 1 == 0).all():
            others = listed(other for other in levels if other != name)
            found[name] = f"numbers the rows together with {others}"
    return found


def _levels(table: Table) -> list[str]:
    """First columns without names that number the rows together, as a saved index of several levels."""
    unnamed = list(itertools.takewhile(is_unnamed, table.frame.columns)) if table.named else []
    levels = table.frame[unnamed]
    together = len(unnamed) > 1 and levels.notna().all(axis=None) and not levels.duplicated().any()
    return unnamed if together else []


def _numbers_rows(column: Any, name: str | None) -> bool:
    values = column.to_numpy()
    if values.dtype.kind not in "iufb":  # of pandas' own types
        if column.isna().any():
            return False
        values = np.array(column.tolist())
    return numbers_rows(name, values)


def _frame(found: Numbers, taken: Sequence[str], index: Any, typed: bool) -> Any:
    """Data frame of the columns that are taken; truth values and categories have types of their own."""
    pandas = import_module("pandas")
    numbers = pandas.DataFrame(
        {name: found.columns[name] for name in taken if name in found.columns}, index=index
    )
    values = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
    X = pandas.DataFrame(values, columns=numbers.columns)
    truths = {
        name: X[name].astype("boolean" if X[name].isna().any() else "bool")
        for name in taken
        if typed and name in found.truths
    }
    categories = {
        # The index of a file need not be unique, as that of text is, where values may be missing.
        name: (column if len(column) == len(index) else column.reindex(index))
        .reset_index(drop=True)
        .astype("category")
        for name, column in found.categories.items()
    }
    if not truths and not categories:
        return X
    return pandas.DataFrame({name: (categories | truths).get(name, X.get(name)) for name in taken})
