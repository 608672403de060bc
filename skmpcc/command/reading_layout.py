"""The layout of a table that is text, by its first lines: its beginning, and what separates columns."""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from skmpcc.command.reading_numbers import MISSING, NUMBERISH, is_numberish
from skmpcc.command.reading_options import SEPARATORS
from skmpcc.command.reading_units import is_unit
from skmpcc.data.frames import listed

# Lines of a text that show what separates its columns, and where they begin.
N_LINES = 100
# What may stand where a number is missing.
_MISSING = re.compile(
    r"|n[/.]?a\.?|n[/.]?d\.?|-?nan|null|none|nil|#n/?a|<na>|\\n|missing|unknown|[.?-]+", re.IGNORECASE
)
# A number, or two, with a unit.
_MEASURE = re.compile(
    rf"[€$£¥]?\s*{NUMBERISH}((\s*[-–/]\s*|,\s+){NUMBERISH})?\s*([%‰°€$£¥]\w?|[^\W\d_]{{1,3}}[²³]?(/\w+)?)?",
    re.IGNORECASE,
)
_DECIMAL_COMMA = re.compile(
    r"([€$£¥]\s*)?[+-]?(\d+|\d{1,3}([.' \u00a0\u2009\u202f\u2019]\d{3})+)?,\d+(e[+-]?\d+)?"
    r"\s*([%‰°€$£¥]\w?|[^\W\d_]{1,3}[²³]?(/\w+)?)?",
    re.IGNORECASE,
)
_YEAR = re.compile(r"(1[5-9]|2[01])\d\d")
_WHOLE = re.compile(r"\d+")
_FRACTION = re.compile(r"[.,]\d")
# Decimals in a column from which on a whole number among them is not a value by chance.
_MIN_DECIMALS = 3


class Layout(NamedTuple):
    """The place where a table begins.

    Attributes
    ----------
    first : int
        The record with the names of the columns, or the first sample.
    titles : list of int
        Records before it that hold something.
    width, used : int
        Fields of most rows, and those up to the last that is not blank.
    doubtful : int or None
        A record that may have names as well as values.
    """

    first: int
    titles: list[int]
    width: int
    used: int
    doubtful: int | None = None


def records_of(lines: list[str], delimiter: str) -> list[list[str]]:
    records = list(csv.reader(lines, delimiter=delimiter))
    # The last one may go on.
    return records[:-1] if len(lines) > N_LINES and len(records) > 1 else records


def n_filled(record: Sequence[str]) -> int:
    """Count fields up to the last one that is not blank."""
    for i in range(len(record), 0, -1):
        if record[i - 1].strip():
            return i
    return 0


def n_names(record: Sequence[str], width: int, used: int) -> int:
    """Count the names of columns; separators that end all rows may end the line of names as well."""
    return max(n_filled(record), min(len(record) - (width - used), used))


def layout_of(records: Sequence[Sequence[str]], header: bool, titles: bool = True) -> Layout:
    """Find where a table begins; `titles` is whether there may be lines before it."""
    lines = [i for i, record in enumerate(records) if n_filled(record)]
    width = _width(records)
    used = max(n_filled(records[i]) for i in lines if len(records[i]) == width)

    def begin(number: int, doubtful: int | None = None) -> Layout:
        return Layout(lines[number], lines[:number], width, used, doubtful)

    if not titles:
        return begin(0)
    if not header:
        first = (k for k, i in enumerate(lines) if len(records[i]) >= width or _has_value(records[i]))
        return begin(next(first))
    full = next(k for k, i in enumerate(lines) if n_filled(records[i]) >= used)
    if full == 0 and n_filled(records[lines[0]]) > used:
        # A title of more fields than the table, above the names.
        rows = [k for k in range(1, len(lines)) if n_filled(records[lines[k]]) == used]
        narrow = all(n_filled(records[i]) <= used for i in lines[1:])
        return begin(rows[0] if rows and narrow and not _has_value(records[lines[rows[0]]]) else 0)
    below = [records[i] for i in lines[full + 1 :]]
    if full == 0:
        # A title of as many fields as the table, above names that are years.
        years = below and not _has_value(records[lines[0]]) and _as_names(below[0], below[1:])
        return begin(0, lines[1] if years == "certain" else None)
    if any(n_filled(records[i]) > 1 and _all_numbers(records[i]) for i in lines[1:full]):
        return begin(0)  # samples that lack values at the end
    row, before = records[lines[full]], records[lines[full - 1]]
    if not _has_value(row):
        return begin(full)
    as_names = _as_names(row, below)
    if as_names == "certain":
        return begin(full)
    doubtful = lines[full] if as_names else None
    if lacks_one_name(before, [row, *below], width, used):
        return begin(full - 1, doubtful)
    # Names of the first columns alone.
    partial = [k for k in range(full) if n_names(records[lines[k]], width, used) == used]
    partial = [k for k in partial if not _has_value(records[lines[k]])]
    if partial:
        return begin(max(partial, key=lambda k: n_filled(records[lines[k]])), doubtful)
    # Names that are too few, which is an error later unless they lack one.
    sample = next((k for k in range(1, full) if _has_value(records[lines[k]])), full)
    return begin(sample - 1, doubtful)


def lacks_one_name(names: Sequence[str], rows: Sequence[Sequence[str]], width: int, used: int) -> bool:
    """Whether names of columns lack the one for the names of the rows, as `write.table` of R does."""
    names = names[: n_names(names, width, used)]
    if len(names) != used - 1 or not all(map(str.strip, names)):
        return False
    if {len(row) for row in rows} != {width}:
        return False
    first, last = ([row[i].strip() for row in rows] for i in (0, used - 1))
    return are_row_names(first, last)


def are_row_names(first: Sequence[str], last: Sequence[str]) -> bool:
    """Whether the first values of rows name these, which have one value more than there are names.

    Otherwise it is the last value of some rows that is too much.
    """
    numbers = [text for text in first if is_numberish(text)]
    whole = len(numbers) < len(first) or all(map(_WHOLE.fullmatch, first))
    few_blank = 2 * sum(not text for text in last) <= len(last)
    return all(first) and len(set(first)) == len(first) and whole and few_blank


def _has_value(record: Sequence[str]) -> bool:
    return any(is_numberish(text) or text.strip() in MISSING[1:] for text in record)


def _all_numbers(record: Sequence[str]) -> bool:
    return all(is_numberish(text) for text in record if text.strip())


def _as_names(record: Sequence[str], below: Sequence[Sequence[str]]) -> str:
    """Whether the numbers of a record are names of columns: "certain", "possible" or ""."""
    places = [i for i, text in enumerate(record) if is_numberish(text)]
    numbers = [record[i].strip() for i in places]
    columns = [[row[i].strip() for row in below if i < len(row)] for i in places]
    columns = [[text for text in column if is_numberish(text)] for column in columns]
    values = [text for column in columns for text in column]
    if not places or not all(columns) or not all(map(_WHOLE.fullmatch, numbers)):
        return ""
    steps = [int(b) - int(a) for a, b in pairwise(numbers)]
    if not (all(step > 0 for step in steps) or all(step < 0 for step in steps)):
        return ""
    fractions = [sum(map(bool, map(_FRACTION.search, column))) for column in columns]
    if all(map(_YEAR.fullmatch, numbers)):
        n_years = sum(map(bool, map(_YEAR.fullmatch, values)))
        if len(numbers) > 1:
            return "certain" if n_years == 0 else "possible" if 2 * n_years < len(values) else ""
        if fractions[0] == len(values):
            return "certain" if len(values) >= _MIN_DECIMALS else "possible"
    mixed = all(2 * n > len(column) for n, column in zip(fractions, columns, strict=True))
    return "possible" if len(numbers) > 1 and mixed else ""


def delimiter_of(lines: list[str], header: bool, decimal: str) -> str:
    """Find what separates the columns.

    By it no title is above the names of the columns, which are as many as the values of rows, all rows
    have the same width, and most of their text is numbers. `csv.Sniffer` takes the commas of
    decimals for separators.

    Raises
    ------
    ValueError
        Commas may be decimal ones as well.
    """
    fits = {}
    unquoted = any(re.search(r"\d,\d", re.sub(r'"[^"]*"', "", line)) for line in lines)
    for delimiter in SEPARATORS.values():
        records = records_of(lines, delimiter)
        if not any(map(n_filled, records)):
            return delimiter
        if _width(records) < 2:
            continue
        if delimiter == "," and _is_single_column(lines, header, decimal):
            continue
        too_few, cost, numbers = _misfit(records, header)
        # Where commas are said to be decimal ones, anything else is more likely.
        fits[delimiter] = too_few, cost, delimiter == decimal and unquoted, -numbers
    if not fits:  # a single column
        unused = (each for each in (",", "\t", ";", "|") if not any(each in line for line in lines))
        return next(unused, "\t")
    best = min(fits, key=lambda delimiter: fits[delimiter])
    if decimal == "," and best == "," and header and _is_single_column(lines[1:], False, decimal):
        raise ValueError(
            "its commas may separate two columns, or be the decimal points of one column. Pass "
            "--separator , for two columns, and --separator tab for one."
        )
    return best


def _misfit(records: list[list[str]], header: bool) -> tuple[bool, int, float]:
    """Return whether names are too few, how many lines do not fit, and the share of numbers in text."""
    layout = layout_of(records, header)
    body = [record for record in records[layout.first + header :] if n_filled(record)]
    used = max(map(n_filled, body), default=0)
    too_few, cost = False, int(layout.titles != [])
    if header:
        names = records[layout.first]
        missing = used - n_names(names, layout.width, layout.used)
        r_names = missing == 1 and lacks_one_name(names, body, layout.width, layout.used)
        too_few = missing > 0 and not r_names
    cost += sum(len(record) != layout.width for record in body)
    texts = [text.strip() for record in body for text in record]
    numbers = sum(len(text) for text in texts if _MEASURE.fullmatch(text))
    return too_few, cost, numbers / max(1, sum(map(len, texts)))


def _is_single_column(lines: list[str], header: bool, decimal: str) -> bool:
    """Whether commas are decimal ones of a single column, and there is none in its name."""
    texts = [line.strip() for line in lines if line.strip()]
    first = next((i for i, text in enumerate(texts) if _DECIMAL_COMMA.fullmatch(text)), None)
    if first is None or (header and (first == 0 or "," in texts[first - 1])):
        return False
    if not header and decimal != ",":
        return False
    with_comma = [text for text in texts[first:] if "," in text]
    return 2 * sum(_DECIMAL_COMMA.fullmatch(text) is not None for text in with_comma) > len(with_comma)


def _width(records: Sequence[Sequence[str]]) -> int:
    """Fields of a row: of most of the later lines, where lines of many count more."""
    filled = [record for record in records if n_filled(record)]
    counts = Counter(map(len, filled[len(filled) // 2 :]))
    return max(counts, key=lambda length: (counts[length] * (length - 1), length))


def units_line(records: Sequence[Sequence[str]], start: int, na_values: Sequence[str]) -> int | None:
    """Find a line of units: text at the beginning of columns that hold numbers otherwise.

    Raises
    ------
    ValueError
        Such a text is not a known unit.
    """
    lines = [i for i in range(start, len(records)) if n_filled(records[i])]
    if len(lines) < 2:
        return None

    def is_missing(text: str) -> bool:
        return text in na_values or _MISSING.fullmatch(text) is not None

    first = [text.strip() for text in records[lines[0]]]
    texts, elsewhere, n_numbers = [], False, 0
    for i in range(max(len(records[k]) for k in lines)):
        rest = [records[k][i].strip() for k in lines[1:] if i < len(records[k])]
        rest = [text for text in rest if not is_missing(text)]
        text = first[i] if i < len(first) and not is_missing(first[i]) else ""
        if not rest or not all(map(is_numberish, rest)):
            elsewhere |= text != ""
            continue
        if is_numberish(text):
            return None
        n_numbers += 1
        if text:
            texts.append(text)
    in_brackets = all(text[0] + text[-1] in ("[]", "()") for text in texts)
    most = 2 * len(texts) >= n_numbers
    if texts and all(map(is_unit, texts)):
        sure = not elsewhere or (n_numbers > 1 and (most or in_brackets))
        return lines[0] if sure else None
    if elsewhere or n_numbers == 1 or not texts or not most:
        return None  # as that of a sample without values
    raise ValueError(
        f"its line {listed(map(repr, first))} below the first names has text where all other rows have "
        "numbers, and the text is not a known unit. If this line has the names, pass --skip-rows, the "
        "number of lines before it; if it is a sample, pass the text as --na-values; if it has units, "
        "remove it."
    )
