"""Columns of text that are numbers."""

import re
import shlex
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from skmpcc.data.frames import listed

# Characters that separate thousands, by the option that says so.
THOUSANDS = {",": ",", ".": ".", " ": " \u00a0\u2009\u202f", "'": "'\u2019"}
# A number in any style.
_NUMBERISH = re.compile(r"[+-]?(\d[\d.,' \u00a0\u2009\u202f\u2019]*|[.,]\d+)(e[+-]?\d+)?", re.IGNORECASE)
_MAX_LENGTH = 60
_MAX_VALUES = 5


@dataclass
class Table:
    """A data frame of a file, and what is known of its columns.

    Attributes
    ----------
    frame : DataFrame
    named : bool
        Whether the file names the columns.
    row_names : list of str
        Columns that are names of the rows for sure.
    decimal, thousands : str or None
        Of numbers that are text; None if texts are no numbers.
    """

    frame: Any
    named: bool = True
    row_names: list[str] = field(default_factory=list)
    decimal: str | None = None
    thousands: str | None = None


def is_numberish(text: str) -> bool:
    return _NUMBERISH.fullmatch(text.strip()) is not None


@dataclass
class Numbers:
    """Columns of text that are numbers, and what is to be said of others.

    Attributes
    ----------
    columns : dict of Series
        Those that are numbers, by name.
    faults : dict of str
        Why others are none, of which most values are: which and how many.
    advice : str
        What to say for the others to be numbers.
    """

    columns: dict[str, Any]
    faults: dict[str, str]
    advice: str


def numbers_of_text(table: Table, names: Sequence[str]) -> Numbers:
    """Find the numbers in columns of text, those that are named.

    Warns where commas, points, blanks or apostrophes are taken for separators of thousands.
    """
    pandas = import_module("pandas")
    decimal = table.decimal or "."
    texts, counts = {}, {}
    for name in table.frame.columns:
        column = table.frame[name]
        if pandas.api.types.is_object_dtype(column.dtype) or isinstance(
            column.dtype, pandas.StringDtype
        ):
            as_text = column.dropna().astype(str).str.strip()
            texts[name] = as_text[as_text != ""]
            counts[name] = texts[name].value_counts()
    number = _matcher(decimal, "")
    other = "," if decimal == "." else "."
    blanks = THOUSANDS[" "] + THOUSANDS["'"]
    of_other = re.compile(
        rf"[+-]?(\d*{re.escape(other)}\d+|\d{{1,3}}([{re.escape(decimal)}{blanks}]\d{{3}})+{re.escape(other)}\d+)"
        r"(e[+-]?\d+)?",
        re.IGNORECASE,
    )

    def share(name: str, *patterns: Callable[[str], Any]) -> float:
        found = sum(n for text, n in counts[name].items() if any(match(text) for match in patterns))
        return found / max(1, counts[name].sum())

    def only_other(text: str) -> bool:
        """Whether it is no number unless the other mark is the decimal point."""
        return of_other.fullmatch(text) is not None and not _matcher(decimal, other)(text)

    # Others need no closer look.
    names_of_numbers = [name for name in texts if share(name, is_numberish) >= 0.5]
    styles: dict[str, str] = dict.fromkeys(texts, "")
    if table.thousands is not None:
        styles = dict.fromkeys(texts, table.thousands)
        candidates = []
    else:
        foreign = any(
            any(map(only_other, counts[name].index)) and share(name, number, of_other.fullmatch) >= 0.5
            for name in names_of_numbers
        )
        candidates = [each for each in THOUSANDS if each != decimal and not (foreign and each == other)]
    for name in names_of_numbers:
        for thousands in candidates:
            # The style by which most are numbers, if it is needed.
            best = share(name, _matcher(decimal, styles[name]))
            if share(name, _matcher(decimal, thousands)) > best:
                styles[name] = thousands

    found = Numbers({}, {}, "")
    guessed: dict[str, list[str]] = {}
    for name in (name for name in names if name in texts):
        column = texts[name]
        is_number = _matcher(decimal, styles[name])
        wrong = counts[name][[not is_number(text) for text in counts[name].index]]
        if wrong.empty:
            values = {text: _value(text, decimal, styles[name]) for text in counts[name].index}
            found.columns[name] = column.map(values).reindex(table.frame.index).astype(float)
            if styles[name] and table.thousands is None:
                guessed.setdefault(styles[name], []).append(name)
        elif 2 * wrong.sum() <= counts[name].sum() and not all(map(of_other.fullmatch, wrong.index)):
            found.faults[name] = _fault(wrong, counts[name].sum())
    _warn_of_thousands(guessed, counts, decimal)
    rest = [name for name in names if name in texts and name not in found.columns]
    mark = {",": "commas", ".": "points"}
    if any(any(map(only_other, counts[name].index)) for name in rest):
        found.advice = f" Where {mark[other]} stand for decimal points, say --decimal '{other}'."
    elif any(len(counts[name]) and share(name, number, _matcher(other, decimal)) == 1 for name in rest):
        found.advice = f" Where {mark[decimal]} separate thousands, say --thousands '{decimal}'."
    return found


def numbers_of_decimals(frame: Any) -> Numbers:
    """Find the columns of exact decimals, as Parquet has them."""
    pandas = import_module("pandas")
    columns = {}
    for name in frame.columns:
        column = frame[name]
        if pandas.api.types.is_object_dtype(column.dtype) and (
            pandas.api.types.infer_dtype(column, skipna=True) == "decimal"
        ):
            columns[name] = column.map(float, na_action="ignore").astype(float)
    return Numbers(columns, {}, "")


def _matcher(decimal: str, thousands: str) -> Callable[[str], Any]:
    """Return a function that tells whether a text is a number in this style."""
    point = re.escape(decimal)
    plain = rf"(\d+({point}\d*)?|{point}\d+)(e[+-]?\d+)?|inf(inity)?|nan"
    grouped = ""
    if thousands:
        grouped = rf"|[1-9]\d{{0,2}}([{re.escape(THOUSANDS[thousands])}]\d{{3}})+({point}\d*)?"
    return re.compile(rf"[+-]?({plain}{grouped})", re.IGNORECASE | re.ASCII).fullmatch


def _value(text: str, decimal: str, thousands: str) -> float:
    for mark in THOUSANDS.get(thousands, ""):
        text = text.replace(mark, "")
    return float(text.replace(decimal, "."))


def _fault(wrong: Any, n_values: int) -> str:
    """Tell the values that are no numbers, and offer what makes them missing ones."""
    first = wrong.iloc[:_MAX_VALUES]
    values = [text if len(text) <= _MAX_LENGTH else text[:_MAX_LENGTH] + "..." for text in first.index]
    told = ", ".join(f"{text!r} ({n})" for text, n in zip(values, first, strict=True))
    more = len(wrong) - len(first)
    # With a blank before it, what begins with a dash is no option.
    said = " ".join(shlex.quote(" " * text.startswith("-") + text) for text in values)
    return (
        f"{wrong.sum()} of {n_values} values are no numbers: {told}"
        + (f" and {more} more" if more > 0 else "")
        + f" (where such values are missing ones, say --na-values {said})"
    )


def _warn_of_thousands(guessed: dict[str, list[str]], counts: dict[str, Any], decimal: str) -> None:
    marks = {",": "Commas", ".": "Points", " ": "Blanks", "'": "Apostrophes"}
    for thousands, names in guessed.items():
        is_plain = _matcher(decimal, "")
        example = next(text for text in counts[names[0]].index if not is_plain(text))
        value = f"{_value(example, decimal, thousands):.15g}"
        otherwise = (
            f"if they are decimal points, say --decimal '{thousands}'; if not, "
            if thousands in ",."
            else ""
        )
        warnings.warn(
            f"{marks[thousands]} in the columns {listed(names)} were read as separators of thousands, "
            f'{example!r} as {value}; {otherwise}--thousands "{thousands}" says so without '
            "this warning.",
            stacklevel=2,
        )
