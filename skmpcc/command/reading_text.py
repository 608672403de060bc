"""Tables that are text, .csv and .tsv: their lines and columns."""

import csv
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from skmpcc.command.reading_layout import (
    N_LINES,
    are_row_names,
    delimiter_of,
    layout_of,
    n_filled,
    n_names,
    records_of,
    units_line,
)
from skmpcc.command.reading_numbers import MISSING, Table
from skmpcc.command.reading_options import SEPARATORS, decimal_point, known_encoding
from skmpcc.data.frames import listed

# What a spreadsheet takes for what separates the columns.
_SAID_SEPARATOR = re.compile(r"\"?sep=([^\w\s\"'.]|[\t ])\"?\s*", re.IGNORECASE)
_MAX_QUOTED = 60


def read_text(
    path: Path,
    source: Path,
    *,
    header: bool,
    separator: str | None,
    decimal: str | None,
    thousands: str | None,
    encoding: str | None,
    na_values: Sequence[str] | None,
    skip_rows: int | None,
    wanted: Sequence[str],
) -> Table:
    """Read a .csv or .tsv from `source`, which messages call `path`, in columns of text.

    The other parameters are those of `reading.read`, which has checked them, and `wanted` are its
    columns.
    """
    said = decimal or thousands
    decimal = decimal_point(decimal, thousands)
    encoding = known_encoding(encoding)
    missing = (*MISSING, *(value.strip() for value in na_values or ()))
    table = Table(None, header, [], decimal if said else None, thousands, missing)
    try:
        with _any_length():
            delimiter = SEPARATORS.get(separator or "")
            text = _Text(path, source, encoding, skip_rows, delimiter, header, decimal)
            read = _with_header if header else _without_header
            return read(text, table, wanted)
    except UnicodeError as error:
        raise ValueError(
            f"it is not text in {encoding.removesuffix('-sig')} ({error}). Pass its encoding as "
            "--encoding, such as cp1252 or utf-16."
        ) from error


@contextmanager
def _any_length() -> Iterator[None]:
    """Context manager that lets a field be of any length, as pandas does."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)


class _Text:
    """The lines of a table, whose first ones show where it begins.

    Parameters
    ----------
    path, source : Path
        What the file is called, and where it is.
    encoding : str
    skip_rows : int or None
        Lines before the table, None to find them.
    delimiter : str or None
        What separates the columns, None to find it.
    header : bool
        Whether the table has a line of names.
    decimal : str
        Decimal point.

    Attributes
    ----------
    records : list of list of str
        The first ones.
    layout : Layout
    """

    def __init__(
        self,
        path: Path,
        source: Path,
        encoding: str,
        skip_rows: int | None,
        delimiter: str | None,
        header: bool,
        decimal: str,
    ) -> None:
        self.path, self.source, self.encoding, self.n_skipped = path, source, encoding, 0
        with self.opened() as file:
            said = _SAID_SEPARATOR.fullmatch(next(file, ""))
        self.n_skipped = max(skip_rows or 0, said is not None)
        with self.opened() as file:
            lines = list(islice(file, N_LINES + 1))
        if any("\0" in line for line in lines):
            raise ValueError(
                "it holds null characters, which text does not have; if it is text in UTF-16, pass "
                "--encoding utf-16-le or utf-16-be."
            )
        if not any(line.strip() for line in lines):
            raise ValueError("it has no lines, or no lines after the skipped ones.")
        if delimiter is None and said is not None:
            delimiter = said[1]
        if delimiter is None:
            tabs = path.suffix.lower() == ".tsv"
            delimiter = "\t" if tabs else delimiter_of(lines, header, decimal)
        self.delimiter = delimiter
        self.records = records_of(lines, delimiter)
        if not any(map(n_filled, self.records)):
            raise ValueError("it has no values.")
        self.layout = layout_of(self.records, header, titles=skip_rows is None)
        if self.layout.doubtful is not None:
            raise ValueError(
                f"its line {self.quoted(self.layout.doubtful)!r} may have the names of the columns or "
                "be a sample. Pass --skip-rows, the number of lines before the names, which is 0 if "
                "they are in the first line; or pass --no-header if no line has names."
            )
        if self.layout.titles:
            quoted = listed(repr(self.quoted(i)) for i in self.layout.titles)
            warnings.warn(
                f"Lines of {path} before {'the names of the columns' if header else 'the samples'} were "
                f"skipped: {quoted}. If the table begins elsewhere, pass --skip-rows, "
                "the number of lines before it.",
                stacklevel=2,
            )

    @contextmanager
    def opened(self, n_records: int = 0) -> Iterator[TextIO]:
        """Open the file after the lines that are skipped and so many records."""
        with self.source.open(newline="", encoding=self.encoding) as file:
            if file.read(1) != "\ufeff":
                file.seek(0)
            for _ in islice(file, self.n_skipped):
                pass
            if n_records:
                for _ in islice(csv.reader(file, delimiter=self.delimiter), n_records):
                    pass
            yield file

    def quoted(self, which: int) -> str:
        record = self.records[which]
        text = self.delimiter.join(record[: n_filled(record)])
        return text if len(text) <= _MAX_QUOTED else text[:_MAX_QUOTED] + "..."

    def columns(self, start: int, which: Sequence[int]) -> list[list[str]]:
        """Return texts of some columns of the records from one on, which all have these."""
        with self.opened(start) as file:
            rows = [row for row in csv.reader(file, delimiter=self.delimiter) if len(row) > max(which)]
        return [[row[i].strip() for row in rows] for i in which]

    def frame(self, start: int, missing: Sequence[str], n_columns: int) -> tuple[Any, "_Widths"]:
        """Return the records from one on as a data frame of texts, and how many fields they have."""
        pandas = import_module("pandas")
        with self.opened(start) as file:
            widths = _widths(csv.reader(file, delimiter=self.delimiter))
        n_columns = max(widths.longest, n_columns)
        with self.opened(start) as file, warnings.catch_warnings():
            # Of rows that are too long, which would lose what is too much.
            warnings.simplefilter("error", pandas.errors.ParserWarning)
            frame = pandas.read_csv(
                file,
                sep=self.delimiter,
                header=None,
                names=[str(i) for i in range(n_columns)],
                index_col=False,
                # As numbers at once, some texts would be those of their column and some would not.
                dtype=str,
                keep_default_na=False,
                na_values=list(missing),
            )
        return frame, widths


def _without_header(text: _Text, table: Table, wanted: Sequence[str]) -> Table:
    first = text.records[text.layout.first]
    table.frame, widths = text.frame(text.layout.first, table.missing, len(first))
    if widths.used > len(first):
        raise ValueError(
            f"its row {widths.row} has {widths.used} values, but the first one has {len(first)}."
        )
    if not wanted:
        table.frame = table.frame.iloc[:, : widths.used]
    return table


def _with_header(text: _Text, table: Table, wanted: Sequence[str]) -> Table:
    names, start = text.records[text.layout.first], text.layout.first + 1
    units = units_line(text.records, start, table.missing)
    if units is not None:
        warnings.warn(
            f"The line below the names of the columns in {text.path} was read as a line of units "
            f"and skipped: {text.quoted(units)!r}. If it is a sample without values, pass what stands "
            "in it as --na-values.",
            stacklevel=2,
        )
        start = units + 1
    frame, widths = text.frame(start, table.missing, len(names))
    n_filled_names = n_filled(names)
    names = names[: n_names(names, widths.longest, widths.used)]
    row_names = (
        widths.used == len(names) + 1
        and widths.shortest == widths.longest
        and all(map(str.strip, names))
        and are_row_names(*text.columns(start, (0, len(names))))
    )
    if widths.used > len(names) and not row_names:
        raise ValueError(
            f"its row {widths.row} below the names of the columns has {widths.used} values, but "
            f"there are only {len(names)} names (--skip-rows skips lines before the names)."
        )
    if n_filled_names < min(len(names), widths.used):
        warnings.warn(
            f"The first line of the table in {text.path} names {n_filled_names} of its {widths.used} "
            f"columns: {text.quoted(text.layout.first)!r}. If this is not the line of names, pass "
            "--skip-rows, the number of lines before that line.",
            stacklevel=2,
        )
    columns = _unique_names([""] * row_names + names, text.delimiter)
    table.frame = frame.iloc[:, : len(columns)].set_axis(columns, axis=1)
    table.row_names = columns[:1] if row_names else []
    _warn_of_numbers(names, text.path, table.decimal or ".")
    return table


class _Widths(NamedTuple):
    """Fields of the longest and the shortest row, and those up to the last that is not blank."""

    longest: int
    shortest: int
    used: int
    row: int


def _widths(reader: Iterable[list[str]]) -> _Widths:
    longest, shortest, used, where, number = 0, sys.maxsize, 0, 0, 0
    for row in reader:
        if not row or (len(row) == 1 and not row[0].strip()):
            continue
        number += 1
        longest, shortest = max(longest, len(row)), min(shortest, len(row))
        if len(row) > used and n_filled(row) > used:
            used, where = n_filled(row), number
    return _Widths(longest, shortest, used, where)


def _unique_names(names: list[str], delimiter: str) -> list[str]:
    """Names as pandas makes them: none is empty, and none is there twice."""
    text = StringIO()
    csv.writer(text, delimiter=delimiter).writerow(names)
    text.seek(0)
    table = import_module("pandas").read_csv(text, sep=delimiter, nrows=0, index_col=False)
    return [str(name) for name in table.columns]


def _warn_of_numbers(names: list[str], path: Path, decimal: str) -> None:
    """Warn of names that are numbers, but for those that count the columns."""
    some = [name for name in names if name.strip()]
    counted = [[str(i) for i in range(start, start + len(some))] for start in (0, 1)]
    if some and all(_is_number(name.replace(decimal, ".")) for name in some) and some not in counted:
        warnings.warn(
            f"The first line of {path} holds numbers, and was read as names of columns; if it is a "
            "sample, pass --no-header.",
            stacklevel=2,
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
