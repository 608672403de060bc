"""Samples from files and folders, for the command line."""

import importlib
import itertools
import math
import re
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer

from skmpcc.command.reading_images import images_in, read_images
from skmpcc.command.reading_numbers import Table, numbers_of_columns, numbers_of_text, texts_of
from skmpcc.command.reading_options import ARRAYS, TABLES, TEXTS, kind_of, required
from skmpcc.command.reading_text import read_text
from skmpcc.data.frames import is_unnamed, listed, numbers_rows

# Bytes that deflate makes of one at most.
_MAX_DEFLATED = 1032


@dataclass
class Samples:
    """Samples of a file or a folder, and what was said of them there.

    Attributes
    ----------
    X : DataFrame of float64, or ndarray
        A data frame where columns have names.
    y : ndarray of int or None
        Numbers of the known classes, -1 where the class is unknown.
    files : list of str or None
        Names of the images in their folder; None if samples are rows of a file.
    background : int or None
        Grey level that transparent images were put on; None if there were none.
    """

    X: Any
    y: NDArray[np.int64] | None = None
    files: list[str] | None = None
    background: int | None = None

    @property
    def names(self) -> list[str] | None:
        """Names of the columns, if they have any."""
        return list(self.X.columns) if hasattr(self.X, "columns") else None


def read(
    path: Path,
    *,
    columns: Sequence[str] | None = None,
    label_column: str | None = None,
    header: bool = True,
    separator: str | None = None,
    decimal: str | None = None,
    thousands: str | None = None,
    encoding: str | None = None,
    na_values: Sequence[str] | None = None,
    skip_rows: int | None = None,
    n_columns: int | None = None,
    channels: int | None = None,
    background: int | None = None,
) -> Samples:
    """Read the samples of a file, or of a folder of images.

    Parameters
    ----------
    path : Path
    columns : sequence of str, default=None
        Columns of a table to take, by default all that hold numbers, but for those that number the rows;
        others are left out with a warning.
    label_column : str, default=None
        Column of a table, or array of an .npz file, with known classes. By default an .npz file's y.
    header : bool, default=True
        Whether the first line of text has the columns' names.
    separator : str, default=None
        What stands between the columns of a text: one of `SEPARATORS`. None is what a first line "sep=;"
        says, or a tab for .tsv; for .csv it is the one of them by which the first lines have the same
        number of columns.
    decimal : str, default=None
        Decimal point of a text; None is ".", or "," if thousands is ".".
    thousands : str, default=None
        What separates thousands in a text: one of `THOUSANDS`. None is found by the numbers, with a
        warning.
    encoding : str, default=None
        Encoding of a text; None is UTF-8, with or without a byte order mark.
    na_values : sequence of str, default=None
        What stands for missing values in a text, in addition to what pandas takes for them.
    skip_rows : int, default=None
        Lines of a text before those of the table; None is found by their fields, with a warning.
    n_columns : int, default=None
        Columns of numbers that are needed: where there are so many, none is left out.
    channels : int, default=None
        Channels of images: 1, 3, or None for 3 if any image has colours.
    background : int, default=None
        Grey level that transparent images are put on. None is the one that is farthest from the visible
        tones of all of them, which is black or white where these are much the same.

    Raises
    ------
    ValueError
        The file is damaged, of an unknown kind, or does not have what is asked for.
    OSError
        There is no such file, or it cannot be read.
    ImportError
        A package that reads such files is not installed.
    """
    of_text: dict[str, Any] = {
        "separator": separator,
        "decimal": decimal,
        "thousands": thousands,
        "encoding": encoding,
        "na_values": na_values,
        "skip_rows": skip_rows,
    }
    suffix = kind_of(path, of_text, columns, label_column)
    if not suffix:
        images = images_in(path)
        required("PIL.Image", f"Reading images of {path}")
        X, background = read_images(path, images, channels, background)
        return Samples(X, files=list(images), background=background)
    if suffix in TABLES:
        pandas = required("pandas", f"Reading {path}")
    if suffix == ".parquet":
        required("pyarrow", f"Reading {path}")
    try:
        with _regular(path) as source:
            if suffix in ARRAYS:
                return _arrays(source, label_column)
            if suffix in TEXTS:
                table = read_text(path, source, header=header, wanted=columns or (), **of_text)
            else:
                table = Table(pandas.read_parquet(source, engine="pyarrow"))
        table.frame.columns = table.frame.columns.map(str)
    except (OSError, ImportError, MemoryError):
        raise
    except Exception as error:  # broken files end in many kinds of them
        raise ValueError(f"{path} cannot be read: {str(error) or type(error).__name__}") from error
    return _table(table, path, columns, label_column, n_columns)


@contextmanager
def _regular(path: Path) -> Iterator[Path]:
    """Yield the file, or a copy of what comes through a pipe, which can be read only once."""
    if path.is_file():
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "data"
        copy.write_bytes(path.read_bytes())
        yield copy


def medians_of(X: Any) -> list[float]:
    """Median of each column, of those of its values that are not missing.

    Raises
    ------
    ValueError
        X is not a table, or one of its columns has no value or infinite ones.
    """
    if X.ndim != 2:
        raise ValueError("--impute is for tables, but DATA holds images.")
    _check_no_infinite(X)
    imputer = SimpleImputer(strategy="median", keep_empty_features=True).fit(np.asarray(X))
    empty = np.isnan(np.asarray(X)).all(axis=0)
    if empty.any():
        raise ValueError(
            f"Columns cannot be imputed, because they have no values: {listed(_column_names(X)[empty])}."
        )
    return imputer.statistics_.tolist()


def without_missing(X: Any, medians: Sequence[float] | None = None) -> Any:
    """Return X with missing values replaced by medians; warn if there are any.

    Raises
    ------
    ValueError
        Values are missing, and there is no median for each column; or values are infinite.
    """
    _check_no_infinite(X)
    values = np.asarray(X)
    missing = np.isnan(values)
    if not missing.any():
        return X
    places = _places(X, missing)
    if medians is None or values.shape[1:] != (len(medians),):
        advice = "Fit with --impute median, or leave the columns out by --columns."
        raise ValueError(f"DATA has {missing.sum()} missing values{places}. {advice if places else ''}")
    warnings.warn(f"Missing values{places} were replaced by medians.", stacklevel=2)
    filled = np.where(missing, medians, values)
    return filled if isinstance(X, np.ndarray) else type(X)(filled, columns=X.columns)


def _check_no_infinite(X: Any) -> None:
    infinite = np.isinf(np.asarray(X))
    if infinite.any():
        raise ValueError(f"DATA has {infinite.sum()} infinite values{_places(X, infinite)}.")


def _places(X: Any, which: NDArray) -> str:
    """Name the columns of a table that have such values, with the number of these in each."""
    if which.ndim != 2:
        return ""
    counts = which.sum(axis=0)
    pairs = zip(_column_names(X), counts, strict=True)
    return f" in the columns {listed(f'{name} ({count})' for name, count in pairs if count)}"


def _column_names(X: Any) -> NDArray:
    return np.array(getattr(X, "columns", np.arange(X.shape[1])), dtype=object)


def _arrays(path: Path, label_name: str | None) -> Samples:
    _check_sizes(path)
    content = np.load(path, allow_pickle=False)
    if isinstance(content, np.ndarray):
        return Samples(_checked(content))
    with content as file:
        wanted = ["X"] if label_name is None else ["X", label_name]
        for name in wanted:
            if name not in file:
                raise ValueError(f"it has no array {name}, only {listed(file) or 'nothing'}.")
        X, y = _checked(file["X"]), file.get(label_name or "y")
    if y is None:
        return Samples(X)
    if y.shape != (len(X),):
        raise ValueError(
            f"there should be one label for each of {len(X)} samples, but the labels have shape "
            f"{y.shape}."
        )
    numbers = np.unique(y, return_inverse=True)[1].astype(np.int64)
    return Samples(X, np.where(np.isnan(y), -1, numbers) if y.dtype.kind == "f" else numbers)


def _check_sizes(path: Path) -> None:
    """Check that arrays are not larger than their file, before memory is taken for them."""
    size = path.stat().st_size
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            if not _check_size(file, size):
                raise ValueError("it is not an array saved by NumPy; pickled objects are not read.")
        return
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            most = member.file_size
            if member.compress_type == zipfile.ZIP_STORED:
                most = min(most, size)
            elif member.compress_type == zipfile.ZIP_DEFLATED:
                most = min(most, _MAX_DEFLATED * size)
            with archive.open(member) as file:
                _check_size(file, most)


def _check_size(file: IO[bytes], most: int) -> bool:
    """Check that there are as many bytes as an array's header says; returns whether it has one."""
    if file.read(len(np.lib.format.MAGIC_PREFIX)) != np.lib.format.MAGIC_PREFIX:
        return False
    version = file.read(2)
    read_header = {
        b"\1\0": np.lib.format.read_array_header_1_0,
        b"\2\0": np.lib.format.read_array_header_2_0,
    }.get(version)
    if read_header is None:
        raise ValueError(
            f"it has version {[*version]} of NumPy's format, but only versions 1.0 and 2.0 are read."
        )
    shape, _, dtype = read_header(file)
    wanted = math.prod(shape) * dtype.itemsize
    most -= file.tell()
    if not dtype.hasobject and wanted > most:
        raise ValueError(
            f"an array of shape {shape} and dtype {dtype} has {wanted} bytes, but the file "
            f"holds {most} at most."
        )
    return True


def _checked(X: NDArray) -> NDArray:
    if X.dtype.kind not in "buif" or X.ndim < 2 or X.size == 0:
        raise ValueError(
            "it should hold rows of numbers or images of numbers, but is an array of dtype "
            f"{X.dtype} and shape {X.shape}."
        )
    return X


def _table(
    table: Table,
    path: Path,
    columns: Sequence[str] | None,
    label_column: str | None,
    n_columns: int | None,
) -> Samples:
    """Columns that hold numbers, and known classes."""
    frame = table.frame
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()]
        raise ValueError(f"{path} has more than one column named {listed(dict.fromkeys(twice))}.")
    wanted = list(dict.fromkeys(columns or []))
    asked = wanted if label_column is None else [*wanted, label_column]
    unknown = [name for name in asked if name not in frame.columns]
    if unknown:
        raise ValueError(
            f"{path} has no column {listed(unknown)}; its columns are {listed(frame.columns)}."
        )
    if label_column in wanted:
        raise ValueError(f"{label_column} is the label column, and cannot be one of --columns as well.")
    if len(frame) == 0:
        raise ValueError(f"{path} has no rows.")
    pandas = importlib.import_module("pandas")
    y = None
    if label_column is not None:
        labels = frame[label_column]
        if table.missing:
            of_labels = numbers_of_text(table, [label_column]).columns
            labels = of_labels.get(label_column, texts_of(labels, table.missing).reindex(frame.index))
        y = pandas.factorize(labels)[0].astype(np.int64)
    names = wanted or [name for name in frame.columns if name != label_column]
    found = numbers_of_text(table, names) if table.missing else numbers_of_columns(frame[names])
    numbers = pandas.DataFrame(
        {name: found.columns[name] for name in names if name in found.columns}, index=frame.index
    )
    other = [name for name in names if name not in numbers.columns]
    if other and wanted:
        described = (
            f"{name}, where {found.faults[name]}" if name in found.faults else name for name in other
        )
        raise ValueError(
            f"Columns of {path} that are named in --columns do not hold numbers: {listed(described)}."
            f"{found.advice}"
        )
    if not wanted:
        empty = list(numbers.columns[numbers.isna().all()])
        numbers = numbers.drop(columns=empty)
        for name in found.faults:
            warnings.warn(f"The column {name} is left out: {found.faults[name]}.", stacklevel=2)
        text = [name for name in other if name not in found.faults]
        for names, reason, advice in (
            (text, "do not hold numbers", found.advice),
            (empty, "have no values", ""),
        ):
            if names:
                warnings.warn(
                    f"Columns that {reason} are left out: {listed(names)}.{advice}", stacklevel=2
                )
        left_out = f"{listed([*other, *empty])}.{found.advice}" if other or empty else ""
        numbers = _without_row_numbers(numbers, table, path, left_out, n_columns)
    if numbers.shape[1] == 0:
        raise ValueError(
            f"{path} has no column of numbers; its columns are {listed(frame.columns)}.{found.advice}"
        )
    values = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
    return Samples(pandas.DataFrame(values, columns=numbers.columns), y)


def _without_row_numbers(
    numbers: Any, table: Table, path: Path, left_out: str, n_columns: int | None
) -> Any:
    """Leave out columns that number the rows or name them, as long as others are left.

    Raises
    ------
    ValueError
        No column is left, because the others, `left_out`, do not hold numbers.
    """
    numbering = _numbering(numbers, table)
    if n_columns is not None:
        numbering = dict(list(numbering.items())[: max(0, numbers.shape[1] - n_columns)])
    elif numbering and len(numbering) == numbers.shape[1]:
        if left_out:
            raise ValueError(
                f"All columns of {path} that hold numbers seem to number or name its rows: "
                f"{listed(numbering)}; the others hold no numbers: {left_out} To "
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
    return numbers.drop(columns=list(numbering))


def _numbering(numbers: Any, table: Table) -> dict[str, str]:
    """Columns that number the rows or name them, and what each does."""
    unnamed = list(itertools.takewhile(is_unnamed, table.frame.columns)) if table.named else []
    levels = table.frame[unnamed]
    together = len(unnamed) > 1 and levels.notna().all(axis=None) and not levels.duplicated().any()
    found = {}
    for name in numbers.columns:
        if name in table.row_names:
            found[name] = "has the names of the rows, for which the header has no name"
        elif re.fullmatch(r"__index_level_\d+__", name):
            found[name] = "is a saved index"
        elif _numbers_rows(numbers[name], name if table.named else None):
            found[name] = "numbers the rows"
        elif together and name in unnamed and (numbers[name] % 1 == 0).all():
            found[name] = f"numbers the rows together with {listed(set(unnamed) - {name})}"
    return found


def _numbers_rows(column: Any, name: str | None) -> bool:
    values = column.to_numpy()
    if values.dtype.kind not in "iufb":  # of pandas' own types
        if column.isna().any():
            return False
        values = np.array(column.tolist())
    return numbers_rows(name, values)
