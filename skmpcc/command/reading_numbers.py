"""Columns that are numbers, and those that are categories, dates or neither."""

import re
import shlex
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from skmpcc.command.reading_dates import is_date
from skmpcc.command.reading_options import THOUSANDS, decimal_point
from skmpcc.command.reading_units import is_unit
from skmpcc.data.frames import listed

# What pandas takes for missing values.
MISSING = (
    "",
    *("#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>"),
    *("N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
)
# A number in any style.
NUMBERISH = r"[+-]?(?:\d+(?:[.,' \u00a0\u2009\u202f\u2019]\d+)*[.,]?|[.,]\d+)(?:e[+-]?\d+)?"
_NUMBERISH = re.compile(NUMBERISH, re.IGNORECASE)
# What may stand around the number of an amount.
_AROUND = re.compile(r"^[€$£¥]\s*|\s*([%‰€$£¥]|[^\W\d_]{1,3}[²³]?)$")
# A number with what may be its unit behind it.
_WITH_UNIT = re.compile(rf"[€$£¥]?\s*({NUMBERISH})\s*(\S.*)?", re.IGNORECASE)
# Points that may separate thousands.
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3})+")
_TRUTH = {"True": 1, "TRUE": 1, "true": 1, "False": 0, "FALSE": 0, "false": 0}
_MARKS = {",": "commas", ".": "points", " ": "blanks", "'": "apostrophes"}
# What pandas calls columns of dates and times.
_OF_DATES = ("datetime64", "datetime", "date", "timedelta64", "timedelta", "time", "period")
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
        What the user says of numbers that are text; None if nothing was said.
    missing : tuple of str
        What stands where values are missing in text; it is empty for a file that is not text.
    """

    frame: Any
    named: bool = True
    row_names: list[str] = field(default_factory=list)
    decimal: str | None = None
    thousands: str | None = None
    missing: tuple[str, ...] = ()


def is_numberish(text: str) -> bool:
    return _NUMBERISH.fullmatch(text.strip()) is not None


@dataclass
class Numbers:
    """Columns of a table by what they hold, and what is to be said of those that hold no numbers.

    Attributes
    ----------
    columns : dict of Series
        Those that are numbers, by name.
    truths : set of str
        Those of them whose values are truth values.
    categories : dict of Series
        Columns of text, and of categories of a file that has such, by name.
    dates : list of str
        Columns of dates, times or durations.
    faults : dict of str
        Why other columns, most of whose values are numbers, are not: which values, and how many.
    unread : list of str
        Columns of numbers with units, or in another style.
    advice : str
        Option that would make numbers of the latter two.
    """

    columns: dict[str, Any] = field(default_factory=dict)
    truths: set[str] = field(default_factory=set)
    categories: dict[str, Any] = field(default_factory=dict)
    dates: list[str] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)
    advice: str = ""


def texts_of(column: Any, missing: Sequence[str]) -> Any:
    """Return texts without blanks around them, and without those that stand for missing values."""
    column = column.str.strip()
    return column[column.notna() & ~column.isin(missing)]


class _Notation:
    """Numbers with a decimal mark, and those that have the other one."""

    def __init__(self, decimal: str) -> None:
        self.decimal = decimal
        self.other = "," if decimal == "." else "."
        self.number = matcher(decimal, "")
        self._with_thousands = matcher(decimal, self.other)
        point, marks = re.escape(self.other), re.escape(decimal) + THOUSANDS[" "] + THOUSANDS["'"]
        self.of_other = re.compile(
            rf"[+-]?(\d*{point}\d+|\d{{1,3}}([{marks}]\d{{3}})+{point}\d+)(e[+-]?\d+)?", re.IGNORECASE
        ).fullmatch

    def only_other(self, text: str) -> bool:
        """Whether it is a number only if the other mark is the decimal point."""
        return self.of_other(text) is not None and not self._with_thousands(text)

    def either(self, text: str) -> Any:
        """Whether it is a number with one mark or the other."""
        return self.number(text) or self.of_other(text)


def numbers_of_text(table: Table, names: Sequence[str]) -> Numbers:
    """Find the numbers in the named columns of text, and what the others hold.

    Warns where commas, points, blanks or apostrophes are taken for separators of thousands.

    Raises
    ------
    ValueError
        The points of a column may be decimal ones or separate thousands.
    """
    notation = _Notation(decimal_point(table.decimal, table.thousands))
    found = Numbers()
    plain, texts, counts = {}, {}, {}
    for name in table.frame.columns:
        values = _plain_numbers(table.frame[name], notation.decimal)
        if values is None:
            texts[name] = texts_of(table.frame[name], table.missing)
            counts[name] = texts[name].value_counts()
        else:
            plain[name] = values
    proofs = _proofs(counts, notation) if table.thousands is None else []
    styles = {name: _style(counts[name], notation, table.thousands, bool(proofs)) for name in counts}
    absent = [_value(text, notation.decimal, "") for text in table.missing if notation.number(text)]
    absent += [float(text) for text in table.missing if matcher(".", "")(text)]
    guessed: dict[str, list[str]] = {}
    for name in names:
        if name in plain:
            values = plain[name]
        else:
            values = _numbers_in(texts[name], counts[name], notation.decimal, styles[name])
        if values is None:
            _sort(name, texts[name], counts[name], found, notation, styles[name])
            continue
        if name not in plain and _are_truths(counts[name]):
            found.truths.add(name)
        found.columns[name] = _without(values.reindex(table.frame.index), absent)
        if styles.get(name) and table.thousands is None:
            guessed.setdefault(styles[name], []).append(name)
        elif proofs and table.decimal is None:
            _check_points(name, texts_of(table.frame[name], table.missing).unique(), proofs)
    _warn_of_thousands(guessed, counts, notation.decimal)
    rest = [counts[name] for name in names if name in found.faults or name in found.unread]
    found.advice = _advice(rest, notation)
    return found


def _sort(
    name: str, texts: Any, counts: Any, found: Numbers, notation: _Notation, thousands: str
) -> None:
    """Sort a column of text, not all of whose values are numbers, into those found."""
    wrong = _wrong(counts, notation.decimal, thousands)
    total = counts.sum()
    if 2 * wrong.sum() <= total and not all(map(notation.of_other, wrong.index)):
        found.faults[name] = _fault(wrong, total)
    elif _share(counts, is_date) >= 0.5:
        found.dates.append(name)
    elif _share(counts, is_numberish, notation.either, _is_measure) >= 0.5:
        found.unread.append(name)
    else:
        found.categories[name] = texts


def _is_measure(text: str) -> bool:
    """Whether a text is a number with a unit, or several numbers."""
    if len(text) > _MAX_LENGTH:
        return False
    match = _WITH_UNIT.fullmatch(text)
    if match and (match[2] is None or is_unit(match[2])):
        return True
    return all(map(is_numberish, re.split(r"[;,]\s+", text)))


def _are_truths(counts: Any) -> bool:
    return len(counts) > 0 and all(text in _TRUTH for text in counts.index)


def _share(counts: Any, *patterns: Callable[[str], Any]) -> float:
    """Share of texts that are of one of the patterns."""
    found = sum(n for text, n in counts.items() if any(match(text) for match in patterns))
    return found / max(1, counts.sum())


def _style(counts: Any, notation: _Notation, thousands: str | None, foreign: bool) -> str:
    """Find what separates thousands in a column, "" for nothing."""
    best = thousands or ""
    # Others need no closer look.
    if thousands is not None or _share(counts, is_numberish) < 0.5:
        return best
    for each in THOUSANDS:
        if each == notation.decimal or (foreign and each == notation.other):
            continue
        # The style by which most are numbers, if it is needed.
        if _share(counts, matcher(notation.decimal, each)) > _share(
            counts, matcher(notation.decimal, best)
        ):
            best = each
    return best


def _wrong(counts: Any, decimal: str, thousands: str) -> Any:
    """Texts that are not numbers in a style, and how often they occur."""
    is_number = matcher(decimal, thousands)
    return counts[[not is_number(text) for text in counts.index]]


def _numbers_in(column: Any, counts: Any, decimal: str, thousands: str) -> Any | None:
    """Numbers or truth values of a column of text; None if there is anything else."""
    if _are_truths(counts):
        return column.map(_TRUTH)
    if len(_wrong(counts, decimal, thousands)):
        return None
    return column.map({text: _value(text, decimal, thousands) for text in counts.index}).astype(float)


def _advice(rest: Sequence[Any], notation: _Notation) -> str:
    """Advise an option that makes numbers of more columns, whose texts and counts these are."""
    decimal, other = notation.decimal, notation.other
    if any(any(map(notation.only_other, counts.index)) for counts in rest):
        return f" Where {_MARKS[other]} stand for decimal points, pass --decimal '{other}'."
    grouped = matcher(other, decimal)
    if any(len(counts) and _share(counts, notation.number, grouped) == 1 for counts in rest):
        return f" Where {_MARKS[decimal]} separate thousands, pass --thousands '{decimal}'."
    return ""


def _plain_numbers(column: Any, decimal: str) -> Any | None:
    """Return a column of numbers without separators of thousands; None if others are among them."""
    pandas = import_module("pandas")
    if decimal != ".":
        if column.str.contains(".", regex=False).any():
            return None
        column = column.str.replace(decimal, ".", regex=False)
    try:
        values = pandas.to_numeric(column)
    except (ValueError, TypeError):
        return None
    # Objects are integers that are too large.
    return None if values.dtype.kind not in "iuf" else values


def _without(numbers: Any, absent: Sequence[float]) -> Any:
    """Numbers without those that stand for missing values, however they are written."""
    gone = numbers.isin(absent)
    return numbers.mask(gone) if gone.any() else numbers


def _proofs(columns: dict[str, Any], notation: _Notation) -> list[str]:
    """Values of a file that are numbers by the other decimal point alone, or amounts of such ones."""
    found = []
    for counts in columns.values():
        numberish = _share(counts, is_numberish) >= 0.5
        cores = {text: text if numberish else _AROUND.sub("", text) for text in counts.index}
        if 2 * sum(n for text, n in counts.items() if notation.either(cores[text])) >= counts.sum():
            found += [text for text in counts.index if notation.only_other(cores[text])][:1]
    return found


def _check_points(name: str, texts: Iterable[str], proofs: Sequence[str]) -> None:
    """Check that the points of numbers in a table with decimal commas cannot separate thousands."""
    with_points = [text for text in texts if "." in text]
    if with_points and all(map(_GROUPED.fullmatch, with_points)):
        raise ValueError(
            f"{proofs[0]!r} has a decimal comma, so the points of the column {name}, as in "
            f"{with_points[0]!r}, may separate thousands. Pass --decimal , if they do, and "
            "--decimal . if they are decimal points."
        )


def numbers_of_columns(frame: Any) -> Numbers:
    """Find what columns hold by their types, as Parquet has them: what is text there is no number."""
    pandas = import_module("pandas")
    numbers = frame.select_dtypes(["number", "bool"], exclude=["timedelta", "complexfloating"])
    found = Numbers()
    for name in frame.columns:
        column = frame[name]
        kind = pandas.api.types.infer_dtype(column, skipna=True)
        if name in numbers.columns:
            found.columns[name] = column
        elif kind in ("decimal", "boolean", "empty"):
            found.columns[name] = column.map(float, na_action="ignore").astype(float)
        elif kind == "categorical":
            # Those of numbers and of dates are stored as these.
            found.categories[name] = column
        elif kind in _OF_DATES:
            found.dates.append(name)
        elif kind == "string":
            if _share(column.value_counts(), is_date) >= 0.5:
                found.dates.append(name)
            else:
                found.categories[name] = column
        if kind == "boolean":
            found.truths.add(name)
    return found


def matcher(decimal: str, thousands: str) -> Callable[[str], Any]:
    """Return a function that checks whether a text is a number in this style."""
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
    """Name the values that are not numbers, and what to do: they may stand for missing ones."""
    first = wrong.iloc[:_MAX_VALUES]
    values = [text if len(text) <= _MAX_LENGTH else text[:_MAX_LENGTH] + "..." for text in first.index]
    shown = ", ".join(f"{text!r} ({n})" for text, n in zip(values, first, strict=True))
    more = len(wrong) - len(first)
    # With a blank before it, what begins with a dash is not taken for an option.
    others = [text for text in values if not is_numberish(text)]
    said = " ".join(shlex.quote(" " * text.startswith("-") + text) for text in others)
    advice = [f"if such values stand for missing ones, pass --na-values {said}"] * bool(others)
    if any(map(is_numberish, wrong.index)):
        advice.append("for numbers in another style see --decimal and --thousands")
    return (
        f"{wrong.sum()} of {n_values} values are not numbers: {shown}"
        + (f" and {more} more" if more > 0 else "")
        + f" ({'; '.join(advice)})"
    )


def _warn_of_thousands(guessed: dict[str, list[str]], counts: dict[str, Any], decimal: str) -> None:
    for thousands, names in guessed.items():
        is_plain = matcher(decimal, "")
        example = next(text for text in counts[names[0]].index if not is_plain(text))
        value = f"{_value(example, decimal, thousands):.15g}"
        otherwise = (
            f"if they are decimal points, pass --decimal '{thousands}'; if not, "
            if thousands in ",."
            else ""
        )
        warnings.warn(
            f"{_MARKS[thousands].capitalize()} in the columns {listed(names)} were read as separators "
            f'of thousands, {example!r} as {value}; {otherwise}pass --thousands "{thousands}" to read '
            "them so without this warning.",
            stacklevel=2,
        )
