"""Samples from files and folders, for the command line."""

import csv
import importlib
import re
import warnings
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer

TEXTS = (".csv", ".tsv")
TABLES = (*TEXTS, ".parquet")
# Commas last, since they may be those of decimals.
SEPARATORS = {"tab": "\t", ";": ";", "|": "|", ",": ","}
# Lines of a text that tell what separates its columns.
N_LINES = 100
ARRAYS = (".npy", ".npz")
IMAGES = (".png", ".jpg", ".jpeg")
MAX_NAMED = 10


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
    """

    X: Any
    y: NDArray[np.int64] | None = None
    files: list[str] | None = None

    @property
    def names(self) -> list[str] | None:
        """Names of the columns, if they have any."""
        return list(self.X.columns) if hasattr(self.X, "columns") else None


def is_table(path: Path) -> bool:
    """Whether columns of this file have names."""
    return path.suffix.lower() in TABLES and not path.is_dir()


def read(
    path: Path,
    *,
    columns: Sequence[str] | None = None,
    label_column: str | None = None,
    header: bool = True,
    separator: str | None = None,
    decimal: str | None = None,
    encoding: str | None = None,
    channels: int | None = None,
) -> Samples:
    """Read the samples of a file, or of a folder of images.

    Parameters
    ----------
    path : Path
    columns : sequence of str, default=None
        Columns of a table to take, by default all that hold numbers; others are left out with a warning.
    label_column : str, default=None
        Column of a table, or array of an .npz file, with known classes. By default an .npz file's y.
    header : bool, default=True
        Whether the first line of text has the columns' names.
    separator : str, default=None
        What stands between the columns of a text: one of `SEPARATORS`. None is a tab for .tsv; for .csv
        it is the one of them by which the first lines have the same number of columns.
    decimal : str, default=None
        Decimal point of a text; None is ".".
    encoding : str, default=None
        Encoding of a text; None is UTF-8, with or without a byte order mark.
    channels : int, default=None
        Channels of images: 1, 3, or None for 3 if any image has colours.

    Raises
    ------
    ValueError
        The file is damaged, of an unknown kind, or does not have what is asked for.
    OSError
        There is no such file, or it cannot be read.
    ImportError
        A package that reads such files is not installed.
    """
    if not path.exists():
        raise FileNotFoundError(f"There is no file or folder {path}.")
    suffix = path.suffix.lower()
    if not path.is_dir() and suffix not in TABLES + ARRAYS:
        raise ValueError(
            f"{path} cannot be read: DATA must be a file {', '.join(TABLES + ARRAYS)} or a folder of "
            "images."
        )
    if not is_table(path):
        for option, value in (("--columns", columns), ("--label-column", label_column)):
            if value is not None and not (suffix == ".npz" and option == "--label-column"):
                raise ValueError(f"{option} is for {', '.join(TABLES)}, but DATA is {path}.")
    if path.is_dir() or suffix not in TEXTS:
        given = {"--separator": separator, "--decimal": decimal, "--encoding": encoding}
        for option, value in given.items():
            if value is not None:
                raise ValueError(f"{option} is for {', '.join(TEXTS)}, but DATA is {path}.")
    if path.is_dir():
        return _images(path, channels)
    try:
        if suffix in ARRAYS:
            return _arrays(path, label_column)
        if suffix in TEXTS:
            table = _text(path, header, separator, decimal or ".", encoding or "utf-8-sig")
        else:
            pandas = required("pandas", f"Reading {path}")
            required("pyarrow", f"Reading {path}")
            table = pandas.read_parquet(path, engine="pyarrow")
        table.columns = table.columns.map(str)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    return _numbers(table, path, columns, label_column)


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
            f"{_listed(_column_names(X)[empty])} cannot be imputed: all values are missing."
        )
    return imputer.statistics_.tolist()


def without_missing(X: Any, medians: Sequence[float] | None = None) -> Any:
    """Return X with missing values replaced by medians, of which a warning tells.

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
    """Tell the columns of a table that have such values, and how many each."""
    if which.ndim != 2:
        return ""
    counts = which.sum(axis=0)
    pairs = zip(_column_names(X), counts, strict=True)
    return f" in the columns {_listed(f'{name} ({count})' for name, count in pairs if count)}"


def _column_names(X: Any) -> NDArray:
    return np.array(getattr(X, "columns", np.arange(X.shape[1])), dtype=object)


def _listed(names: Iterable[object]) -> str:
    """Names after each other, the first ones of many."""
    all_names = [str(name) for name in names]
    more = len(all_names) - MAX_NAMED
    return ", ".join(all_names[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def required(module: str, what: str) -> Any:
    """Import a package of the extra `command`."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.replace("PIL.Image", "pillow")
        raise ImportError(
            f'{what} needs {package} ({error}): pip install "skmpcc[command]", or pip install {package}.'
        ) from error


def _arrays(path: Path, label_name: str | None) -> Samples:
    content = np.load(path, allow_pickle=False)
    if isinstance(content, np.ndarray):
        return Samples(_checked(content))
    with content as file:
        wanted = ["X"] if label_name is None else ["X", label_name]
        for name in wanted:
            if name not in file:
                raise ValueError(f"it has no array {name}, only {_listed(file) or 'nothing'}.")
        X, y = _checked(file["X"]), file.get(label_name or "y")
    if y is None:
        return Samples(X)
    if y.shape != (len(X),):
        raise ValueError(
            f"there should be one label for each of {len(X)} samples, but they are {y.shape}."
        )
    numbers = np.unique(y, return_inverse=True)[1].astype(np.int64)
    return Samples(X, np.where(np.isnan(y), -1, numbers) if y.dtype.kind == "f" else numbers)


def _checked(X: NDArray) -> NDArray:
    if X.dtype.kind not in "buif" or X.ndim < 2 or X.size == 0:
        raise ValueError(
            "it should hold rows of numbers or images of numbers, but is an array of dtype "
            f"{X.dtype} and shape {X.shape}."
        )
    return X


def _text(path: Path, header: bool, separator: str | None, decimal: str, encoding: str) -> Any:
    """Return the data frame of a .csv or .tsv."""
    pandas = required("pandas", f"Reading {path}")
    try:
        path.open(encoding=encoding).close()
    except LookupError as error:
        raise ValueError(f"--encoding {encoding} is no encoding of text that Python knows.") from error
    if separator is None and path.suffix.lower() == ".tsv":
        separator = "tab"
    try:
        delimiter = _separator(path, encoding) if separator is None else SEPARATORS[separator]
        table = pandas.read_csv(
            path, sep=delimiter, decimal=decimal, header=0 if header else None, encoding=encoding
        )
    except UnicodeError as error:
        raise ValueError(
            f"it is no text in {encoding.removesuffix('-sig')} ({error}). Say --encoding, such as "
            "cp1252 or utf-16."
        ) from error
    if header:
        with path.open(newline="", encoding=encoding) as file:
            first = next(line for line in csv.reader(file, delimiter=delimiter) if line)
        counted = [[str(i) for i in range(start, start + len(first))] for start in (0, 1)]
        if all(_is_number(name.replace(decimal, ".")) for name in first) and first not in counted:
            warnings.warn(
                f"The first line of {path} holds numbers, and was read as names of columns; if it is a "
                "sample, say --no-header.",
                stacklevel=2,
            )
        # As pandas writes an index by default.
        if first[0] == "" and np.array_equal(table.iloc[:, 0], np.arange(len(table))):
            warnings.warn("The first column has no name and counts the rows: left out.", stacklevel=2)
            table = table.iloc[:, 1:]
    return table


def _separator(path: Path, encoding: str) -> str:
    """Find what separates the columns: by it the first lines have the same number of them.

    `csv.Sniffer` takes the commas of decimals for separators.
    """
    for delimiter in SEPARATORS.values():
        with path.open(newline="", encoding=encoding) as file:
            try:
                lines = islice(csv.reader(file, delimiter=delimiter), N_LINES)
                lengths = {len(line) for line in lines if line}
            except csv.Error:  # A line of many columns is too long for a single one.
                continue
        if len(lengths) == 1 and lengths != {1}:
            return delimiter
    return ","


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _has_decimal_comma(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"-?\d+,\d+", value) is not None


def _numbers(table: Any, path: Path, columns: Sequence[str] | None, label_column: str | None) -> Samples:
    """Columns that hold numbers, and known classes."""
    wanted = list(columns or [])
    asked = wanted if label_column is None else [*wanted, label_column]
    unknown = [name for name in asked if name not in table.columns]
    if unknown:
        raise ValueError(
            f"{path} has no column {_listed(unknown)}; its columns are {_listed(table.columns)}."
        )
    if label_column in wanted:
        raise ValueError(f"{label_column} is the label column, and cannot be one of --columns as well.")
    if len(table) == 0:
        raise ValueError(f"{path} has no rows.")
    pandas = importlib.import_module("pandas")
    y = None if label_column is None else pandas.factorize(table[label_column])[0].astype(np.int64)
    rest = (
        table[wanted] if wanted else table.drop(columns=[] if label_column is None else [label_column])
    )
    numbers = rest.select_dtypes(["number", "bool"], exclude=["timedelta", "complexfloating"])
    other = [name for name in rest.columns if name not in numbers.columns]
    if other and wanted:
        raise ValueError(f"Columns of {path} that are asked for do not hold numbers: {_listed(other)}.")
    if not wanted:
        empty = list(numbers.columns[numbers.isna().all()])
        numbers = numbers.drop(columns=empty)
        for names, reason in ((other, "do not hold numbers"), (empty, "have no values")):
            if names:
                commas = any(table[name].map(_has_decimal_comma).any() for name in names)
                advice = " Where commas stand for decimal points, say --decimal ','." if commas else ""
                warnings.warn(
                    f"Columns that {reason} are left out: {_listed(names)}.{advice}", stacklevel=2
                )
    if numbers.shape[1] == 0:
        raise ValueError(f"{path} has no column of numbers; its columns are {_listed(table.columns)}.")
    values = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
    return Samples(pandas.DataFrame(values, columns=numbers.columns), y)


def _images(folder: Path, channels: int | None) -> Samples:
    """Images in a folder and the folders below it, but for hidden ones."""
    image_module = required("PIL.Image", f"Reading images of {folder}")
    transposed = importlib.import_module("PIL.ImageOps").exif_transpose
    files = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part[0] == "." for part in path.relative_to(folder).parts)
    }
    images = {}
    for name, path in files.items():
        if path.suffix.lower() in IMAGES:
            try:
                with image_module.open(path) as image:
                    images[name] = transposed(image)
            except (OSError, SyntaxError, ValueError, image_module.DecompressionBombError) as error:
                raise ValueError(f"{path} cannot be read as an image: {error}") from error
    if not images:
        raise ValueError(f"{folder} has no image: no file that ends with {', '.join(IMAGES)}.")
    if len(images) < len(files):
        others = _listed(name for name in files if name not in images)
        warnings.warn(f"Files that are no images are left out: {others}.", stacklevel=2)
    (first, image), *others_of_size = images.items()
    for name, other in others_of_size:
        if other.size != image.size:
            raise ValueError(
                f"Images of {folder} differ in size: {first} has {image.width} x {image.height} pixels, "
                f"{name} has {other.width} x {other.height}. Bring them to one size first."
            )
    modes = {each.mode for each in images.values()}
    if all(mode[0] in "IF" for mode in modes) and channels != 3:  # 16 bits and more
        arrays = [np.asarray(each) for each in images.values()]
    else:
        grey = channels == 1 or (channels is None and modes <= {"1", "L", "LA"})
        if any(mode[0] in "IF" for mode in modes):
            raise ValueError(f"Images of {folder} differ in kind: some have 8 bits, others more.")
        arrays = [np.asarray(each.convert("L" if grey else "RGB")) for each in images.values()]
    return Samples(np.stack(arrays), files=list(images))
