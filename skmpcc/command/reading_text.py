"""Tables that are text, .csv and .tsv: their lines and columns."""

import codecs
import csv
import re
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from skmpcc.command.reading_numbers import Table, is_numberish
from skmpcc.data.frames import listed

# Commas last, since they may be those of decimals.
SEPARATORS = {"tab": "\t", ";": ";", "|": "|", ",": ","}
# Lines of a text that tell what separates its columns, and where they begin.
N_LINES = 100
# What may stand where a number is missing, in small letters.
_MISSING = re.compile(
    r"|n/?a|n\.a\.|-?nan|null|none|nil|#n/?a|<na>|\\n|n\.?d\.?|missing|unknown", re.IGNORECASE
)
# What a spreadsheet takes for what separates the columns.
_SAID_SEPARATOR = re.compile(r"\"?sep=([^\w\s\"'.]|[\t ])\"?\s*", re.IGNORECASE)
# A text that may be a unit, with a letter or a sign of its own and not like "<0.5"; and one that is.
_UNIT = re.compile(r"[^\d<>≤≥~#?+.,-].*")
_SURE_UNIT = re.compile(
    r"[\[(].*[\])]|[^\W\d_]{1,4}([/·*^²³\s\d-].*)?|[^\W\d_].*[/^·].*|[%‰°µμΩ].*|mm ?hg|"
    r"(year|month|week|day|hour|minute|second|met(er|re)|gram|volt|watt|degree|pixel|point|euro|dollar|"
    r"count|number|ratio|percent)s?",
    re.IGNORECASE,
)
# A single number with commas of either kind.
_HAS_COMMA = re.compile(r"[+-]?(\d*,\d+|\d{1,3}(,\d{3})+(\.\d*)?)")
_MAX_QUOTED = 60


def read_text(
    path: Path,
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
    """Read a .csv or .tsv; the parameters are those of `_reading.read`, and `wanted` are its columns."""
    decimal = decimal or ("," if thousands == "." else ".")
    if thousands == decimal:
        raise ValueError(f"--thousands and --decimal cannot both be {decimal!r}.")
    if skip_rows is not None and skip_rows < 0:
        raise ValueError(f"--skip-rows should not be negative, but is {skip_rows}.")
    encoding = _known_encoding(encoding or "utf-8-sig")
    missing = [value.strip() for value in na_values or ()]
    try:
        with _any_length():
            text = _Text(path, encoding, skip_rows, SEPARATORS.get(separator or ""), header)
            read = _with_header if header else _without_header
            return read(text, Table(None, header, [], decimal, thousands), missing, wanted)
    except UnicodeError as error:
        raise ValueError(
            f"it is no text in {encoding.removesuffix('-sig')} ({error}). Say --encoding, such as "
            "cp1252 or utf-16."
        ) from error


def _known_encoding(encoding: str) -> str:
    try:
        found = codecs.lookup(encoding)
        "".encode(encoding)  # those that are no encodings of text are refused here
    except (LookupError, ValueError, TypeError) as error:
        raise ValueError(f"--encoding {encoding} is no encoding of text that Python knows.") from error
    return "utf-8-sig" if found.name == "utf-8" else encoding


@contextmanager
def _any_length() -> Iterator[None]:
    """Within, a field may be of any length, as it may be for pandas."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)


class _Text:
    """The lines of a table, of which the first ones tell where it begins.

    Parameters
    ----------
    path : Path
    encoding : str
    skip_rows : int or None
        Lines before the table, None to find them.
    delimiter : str or None
        What separates the columns, None to find it.
    header : bool
        Whether the table has a line of names.

    Attributes
    ----------
    records : list of list of str
        The first ones.
    layout : _Layout
    """

    def __init__(
        self, path: Path, encoding: str, skip_rows: int | None, delimiter: str | None, header: bool
    ) -> None:
        self.path, self.encoding, self.n_skipped = path, encoding, 0
        with self.opened() as file:
            said = _SAID_SEPARATOR.fullmatch(next(file, ""))
        self.n_skipped = max(skip_rows or 0, said is not None)
        with self.opened() as file:
            lines = list(islice(file, N_LINES + 1))
        if any("\0" in line for line in lines):
            raise ValueError(
                "it holds characters of number 0, as no text does; if it is one in UTF-16, say "
                "--encoding utf-16-le or utf-16-be."
            )
        if not any(line.strip() for line in lines):
            raise ValueError("it has no lines, or none after those that are skipped.")
        if delimiter is None and said is not None:
            delimiter = said[1]
        if delimiter is None:
            delimiter = "\t" if path.suffix.lower() == ".tsv" else _delimiter(lines, header)
        self.delimiter = delimiter
        self.records = _records(lines, delimiter)
        if not any(map(_filled, self.records)):
            raise ValueError("it has no values.")
        self.layout = _layout(self.records, header, titles=skip_rows is None)
        if self.layout.titles:
            quoted = listed(repr(self.quoted(i)) for i in self.layout.titles)
            warnings.warn(
                f"Lines of {path} before {'the names of the columns' if header else 'the samples'} were "
                f"skipped: {quoted}. If other ones are to be skipped, say how many by --skip-rows.",
                stacklevel=2,
            )

    @contextmanager
    def opened(self, n_records: int = 0) -> Iterator[TextIO]:
        """Open the file after the lines that are skipped and so many records."""
        with self.path.open(newline="", encoding=self.encoding) as file:
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
        text = self.delimiter.join(record[: _filled(record)])
        return text if len(text) <= _MAX_QUOTED else text[:_MAX_QUOTED] + "..."

    def widths(self, start: int) -> "_Widths":
        """Count the fields of all records from one on."""
        with self.opened(start) as file:
            return _widths(csv.reader(file, delimiter=self.delimiter))

    def frame(self, start: int, n_columns: int, decimal: str, missing: list[str]) -> Any:
        """Return the records from one on as a data frame."""
        pandas = import_module("pandas")
        with self.opened(start) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore", pandas.errors.DtypeWarning)
            # Of rows that are too long, which would lose what is too much.
            warnings.simplefilter("error", pandas.errors.ParserWarning)
            return pandas.read_csv(
                file,
                sep=self.delimiter,
                decimal=decimal,
                header=None,
                names=[str(i) for i in range(n_columns)],
                index_col=False,
                na_values=missing,
            )

    def frame_and_widths(
        self, start: int, n_filled: int, decimal: str, missing: list[str]
    ) -> tuple[Any, "_Widths | None"]:
        """Return all fields of the records from one on, and how many if some record has not n_filled."""
        errors = import_module("pandas").errors
        n_columns = max(len(record) for record in self.records[self.layout.first :])
        if n_columns == n_filled:
            try:
                return self.frame(start, n_columns, decimal, missing), None
            except (errors.ParserError, errors.ParserWarning):  # a later row has more
                pass
        widths = self.widths(start)
        return self.frame(start, max(n_columns, widths.longest), decimal, missing), widths


def _without_header(text: _Text, table: Table, missing: list[str], wanted: Sequence[str]) -> Table:
    start = text.layout.first
    first = text.records[start]
    table.frame, widths = text.frame_and_widths(start, _filled(first), table.decimal or ".", missing)
    if widths is not None:
        if widths.used > len(first):
            raise ValueError(
                f"its row {widths.row} has {widths.used} values, but the first one has {len(first)}."
            )
        if not wanted:
            table.frame = table.frame.iloc[:, : widths.used]
    return table


def _with_header(text: _Text, table: Table, missing: list[str], wanted: Sequence[str]) -> Table:
    names, start = text.records[text.layout.first], text.layout.first + 1
    decimal = table.decimal or "."
    units = _units_line(text.records, start, missing)
    if units is not None:
        warnings.warn(
            f"The line below the names of the columns in {text.path} was read as one of units, and "
            f"skipped: {text.quoted(units)!r}; if it is a sample without values, say --na-values and "
            "what stands in it.",
            stacklevel=2,
        )
        start = units + 1
    n_filled = _filled(names)
    frame, widths = text.frame_and_widths(start, n_filled, decimal, missing)
    row_names = False
    if widths is not None:
        # Separators that end all rows may end the header as well.
        n_names = max(n_filled, min(len(names) - (widths.longest - widths.used), widths.used))
        row_names = widths.used == n_names + 1 <= widths.shortest
        if widths.used > n_names and not row_names:
            raise ValueError(
                f"its row {widths.row} below the names of the columns has {widths.used} values, but "
                f"there are only {n_names} names (--skip-rows leaves out lines before those)."
            )
        names = names[:n_names]
    columns = _unique_names([""] * row_names + names, text.delimiter)
    table.frame = frame.iloc[:, : len(columns)].set_axis(columns, axis=1)
    table.row_names = columns[:1] if row_names else []
    _warn_of_numbers(names, text.path, decimal)
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
        if len(row) > used and _filled(row) > used:
            used, where = _filled(row), number
    return _Widths(longest, shortest, used, where)


def _records(lines: list[str], delimiter: str) -> list[list[str]]:
    records = list(csv.reader(lines, delimiter=delimiter))
    # The last one may go on.
    return records[:-1] if len(lines) > N_LINES and len(records) > 1 else records


def _filled(record: Sequence[str]) -> int:
    """Count fields up to the last one that is not blank."""
    for i in range(len(record), 0, -1):
        if record[i - 1].strip():
            return i
    return 0


def _has_number(record: Sequence[str]) -> bool:
    return any(map(is_numberish, record))


def _delimiter(lines: list[str], header: bool) -> str:
    """Find what separates the columns.

    By it most of the later lines have the same number of columns, and most of their text is numbers.
    `csv.Sniffer` takes the commas of decimals for separators.
    """
    first, *rest = [line.strip() for line in lines if line.strip()]
    if rest and "," not in first and all(map(_HAS_COMMA.fullmatch, rest)):
        return "\t"  # a single column
    fits = {}
    for delimiter in SEPARATORS.values():
        records = [record for record in _records(lines, delimiter) if _filled(record)]
        if not records:
            continue
        width, layout = _width(records), _layout(records, header)
        n_first = len(records[layout.first])
        later = records[len(records) // 2 :]
        ends = [_filled(record) for record in later]
        # A single name may be that of a column beside names of the rows.
        n_numbers = sum(is_numberish(record[end - 1]) for record, end in zip(later, ends, strict=True))
        of_numbers = max(ends) <= 2 and 2 * n_numbers >= len(later)
        if width > 1 and (n_first > 1 or of_numbers):
            share = sum(len(record) == width for record in later) / len(later)
            texts = [text for record in later for text in record]
            numbers = sum(len(text) for text in texts if is_numberish(text)) / sum(map(len, texts))
            fits[delimiter] = (share * numbers, share, -len(layout.titles), n_first / width)
    return max(fits, key=lambda delimiter: fits[delimiter], default=",")


def _width(records: Sequence[Sequence[str]]) -> int:
    """Fields of a row: of most of the later lines, where lines of many count more."""
    filled = [record for record in records if _filled(record)]
    counts = Counter(map(len, filled[len(filled) // 2 :]))
    return max(counts, key=lambda length: (counts[length] * (length - 1), length))


class _Layout(NamedTuple):
    """The record with the columns' names, or the first sample, and titles before it."""

    first: int
    titles: list[int]


def _layout(records: Sequence[Sequence[str]], header: bool, titles: bool = True) -> _Layout:
    """Find where a table begins: lines before it, if there may be any, have fewer fields than it has."""
    filled = [_filled(record) for record in records]
    lines = [i for i, n in enumerate(filled) if n]
    if not titles:
        return _Layout(lines[0], [])
    width = _width(records)
    full = max(filled[i] for i in lines if len(records[i]) == width)
    if not header:
        n_titles = 0
        for i in lines:
            if len(records[i]) >= width or _has_number(records[i]):
                break
            n_titles += 1
        return _Layout(lines[n_titles], lines[:n_titles])

    def one_short(which: int) -> bool:
        """Whether names of columns lack one for the names of the rows."""
        name, row = records[lines[which]], records[lines[which + 1]]
        all_named = filled[lines[which]] == full - 1 and all(map(str.strip, name[: full - 1]))
        return all_named and len(row) >= full and _has_number(row)

    number = next(k for k, i in enumerate(lines) if filled[i] >= full)
    if number == 0 or one_short(0):
        return _Layout(lines[0], [])
    first, second = records[lines[0]], records[lines[1]]
    # Columns at the end without names.
    if (
        len(first) == width
        and filled[lines[0]] > 1
        and not _has_number(first)
        and _has_number(second)
        and filled[lines[1]] > filled[lines[0]]
    ):
        return _Layout(lines[0], [])
    # Samples, which lack values at the end.
    if any(all(is_numberish(t) for t in records[i] if t.strip()) for i in lines[1:number]):
        return _Layout(lines[0], [])
    before, row = lines[number - 1], records[lines[number]]
    # Names that are too few, which is an error later unless it is one.
    if (
        one_short(number - 1)
        or all(is_numberish(text) for text in row if text.strip())
        or (filled[before] > 1 and not _has_number(records[before]) and _has_number(row))
    ):
        number -= 1
    return _Layout(lines[number], lines[:number])


def _units_line(records: Sequence[Sequence[str]], start: int, na_values: Sequence[str]) -> int | None:
    """Find a line of units: text at the beginning of columns that hold numbers otherwise."""
    lines = [i for i in range(start, len(records)) if _filled(records[i])]
    if len(lines) < 2:
        return None

    def is_missing(text: str) -> bool:
        return text in na_values or _MISSING.fullmatch(text) is not None

    first = [text.strip() for text in records[lines[0]]]
    units, beside, n_numbers = [], False, 0
    for i in range(max(map(len, records[start:]))):
        rest = [records[k][i].strip() for k in lines[1:] if i < len(records[k])]
        rest = [text for text in rest if not is_missing(text)]
        text = first[i] if i < len(first) and not is_missing(first[i]) else ""
        if not rest or not all(map(is_numberish, rest)):
            beside |= text != ""
            continue
        n_numbers += 1
        if is_numberish(text):
            return None
        if _UNIT.fullmatch(text):
            units.append(text)
    in_brackets = all(unit[0] + unit[-1] in ("[]", "()") for unit in units)
    if not units or (2 * len(units) < n_numbers and not in_brackets):
        return None
    sure = 2 * sum(_SURE_UNIT.fullmatch(unit) is not None for unit in units) >= len(units)
    if sure and (n_numbers > 1 or not beside):
        return lines[0]
    if not beside and len(set(units)) > 1:
        raise ValueError(
            f"its line {first} below the first names has text where all other rows have numbers. If the "
            "names are in it, say --skip-rows, the number of lines before it; if it is a sample, "
            "--na-values, what stands in it; if it has units, remove it."
        )
    return None  # as that of a sample without values


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
            "sample, say --no-header.",
            stacklevel=2,
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
