"""Samples from files and folders, for the command line."""

import math
import tempfile
import warnings
import zipfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer

from skmpcc.command.reading_columns import Wanted, samples_of
from skmpcc.command.reading_images import images_in, read_images
from skmpcc.command.reading_numbers import Table
from skmpcc.command.reading_options import ARRAYS, TABLES, TEXTS, kind_of, required
from skmpcc.command.reading_text import read_text
from skmpcc.data.frames import listed

# Bytes that deflate makes of one at most.
_MAX_DEFLATED = 1032


@dataclass
class Samples:
    """Samples of a file or a folder, and what was said of them there.

    Attributes
    ----------
    X : DataFrame or ndarray
        A data frame where columns have names: of float64, and of categories and truth values, where
        what is missing is NaN or NA.
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
    texts: Collection[str] | None = None,
    channels: int | None = None,
    background: int | None = None,
) -> Samples:
    """Read the samples of a file, or of a folder of images.

    Parameters
    ----------
    path : Path
    columns : sequence of str, default=None
        Columns of a table to take, by default all of numbers, truth values and categories, but for those
        that number or name the rows; others are left out with a warning.
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
    texts : collection of str, default=None
        Columns of a table that are text to a fitted model; the others have to hold numbers. None finds
        out what columns hold.
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
    names = list(dict.fromkeys(columns or []))
    return Samples(*samples_of(table, path, Wanted(names, label_column, n_columns, texts)))


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


def medians_of(X: Any) -> list[float | None]:
    """Median of each column of numbers, of those of its values that are not missing; None of others.

    Raises
    ------
    ValueError
        X is not a table, or one of its columns has no value or infinite ones.
    """
    if X.ndim != 2:
        raise ValueError("--impute is for tables, but DATA holds images.")
    check_values(X)
    values, are_numbers = _values(X)
    empty = np.isnan(values).all(axis=0)
    if empty.any():
        raise ValueError(
            f"Columns cannot be imputed, because they have no values: {listed(_column_names(X)[empty])}."
        )
    medians = SimpleImputer(strategy="median").fit(values).statistics_.tolist() if values.size else []
    of_numbers = dict(zip(np.flatnonzero(are_numbers).tolist(), medians, strict=True))
    return [of_numbers.get(i) for i in range(X.shape[1])]


def with_medians(X: Any, medians: Sequence[float | None]) -> Any:
    """Return X with missing numbers replaced by the medians of their columns; warn if there are any."""
    if X.ndim != 2 or X.shape[1] != len(medians):
        return X  # which is told where the samples are taken
    values, are_numbers = _values(X)
    missing = np.isnan(values)
    if not missing.any():
        return X
    warnings.warn(f"Missing values{_places(X, missing)} were replaced by medians.", stacklevel=2)
    known = [median for median, is_number in zip(medians, are_numbers, strict=True) if is_number]
    filled = np.where(missing, np.array(known, dtype=np.float64), values)
    if isinstance(X, np.ndarray):
        return filled
    if are_numbers.all():
        return type(X)(filled, columns=X.columns)
    return X.assign(**dict(zip(X.columns[are_numbers], filled.T, strict=True)))


def check_values(X: Any) -> None:
    """Check that no number is infinite, and that none is missing in images.

    Raises
    ------
    ValueError
        There are such; the message counts them.
    """
    values, _ = _values(X)
    infinite = np.isinf(values)
    if infinite.any():
        raise ValueError(f"DATA has {infinite.sum()} infinite values{_places(X, infinite)}.")
    if values.ndim > 2 and np.isnan(values).any():
        raise ValueError(f"DATA has {np.isnan(values).sum()} missing values, which images may not have.")


def _values(X: Any) -> tuple[NDArray, NDArray[np.bool_]]:
    """Numbers of a table without its other columns, or images; and which columns these are."""
    if isinstance(X, np.ndarray):
        return X, np.ones(X.shape[1], dtype=bool)
    are_numbers = np.array([dtype == np.float64 for dtype in X.dtypes])
    return X.loc[:, are_numbers].to_numpy(dtype=np.float64), are_numbers


def _places(X: Any, which: NDArray) -> str:
    """Name the columns of a table that have such values, with the number of these in each."""
    if which.ndim != 2:
        return ""
    counts = which.sum(axis=0)
    pairs = zip(_column_names(X), counts, strict=True)
    return f" in the columns {listed(f'{name} ({count})' for name, count in pairs if count)}"


def _column_names(X: Any) -> NDArray:
    """Names of the columns of numbers."""
    if isinstance(X, np.ndarray):
        return np.arange(X.shape[1]).astype(object)
    return np.array(X.columns, dtype=object)[_values(X)[1]]


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
