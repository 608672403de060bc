"""Kinds of DATA by their paths, the options that go with each, and the packages that are needed.

Nothing is imported here that takes time, so that errors are told at once.
"""

import codecs
import importlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

TEXTS = (".csv", ".tsv")
TABLES = (*TEXTS, ".parquet")
ARRAYS = (".npy", ".npz")
IMAGES = (".png", ".jpg", ".jpeg")
# What names of labels end with in a folder of results; before it is the name of the file of data.
RESULT = ".labels.csv"
# Options of tables that are text.
OF_TEXT = ("separator", "decimal", "thousands", "encoding", "na_values", "skip_rows")
# Commas last, since they may be those of decimals.
SEPARATORS = {"tab": "\t", ";": ";", "|": "|", ",": ","}
# Characters that separate thousands, by the option that says so.
THOUSANDS = {",": ",", ".": ".", " ": " \u00a0\u2009\u202f", "'": "'\u2019"}


def is_table(path: Path) -> bool:
    """Whether columns of this file have names."""
    return path.suffix.lower() in TABLES and not path.is_dir()


def kind_of(
    path: Path,
    of_text: Mapping[str, Any],
    columns: Sequence[str] | None = None,
    label_column: str | None = None,
) -> str:
    """Find what a path holds: the suffix of a file that can be read, or "" for a folder of images.

    Parameters
    ----------
    path : Path
    of_text : mapping of str to object
        The options `OF_TEXT`, None where they were not given.
    columns, label_column
        See `reading.read`.

    Raises
    ------
    ValueError
        The file is of an unknown kind, the folder has no image, or an option is wrong or is for others.
    OSError
        There is no such file.
    """
    if not path.exists():
        raise FileNotFoundError(f"There is no file or folder {path}.")
    suffix = path.suffix.lower()
    if path.is_dir():
        _check_images(path)
        suffix = ""
    elif suffix not in TABLES + ARRAYS:
        raise ValueError(
            f"{path} cannot be read: DATA must be a file that ends with {', '.join(TABLES + ARRAYS)}, "
            "or a folder of images."
        )
    _check_options({"--columns": columns}, TABLES, suffix, path)
    _check_options({"--label-column": label_column}, (*TABLES, ".npz"), suffix, path)
    named = {f"--{name.replace('_', '-')}": value for name, value in of_text.items()}
    _check_options(named, TEXTS, suffix, path)
    if suffix in TEXTS:
        try:
            check_text_options(of_text)
        except ValueError as error:
            raise ValueError(f"{path} cannot be read: {error}") from error
    return suffix


def _check_options(options: Mapping[str, Any], suffixes: Sequence[str], suffix: str, path: Path) -> None:
    for option, value in options.items():
        if value is not None and suffix not in suffixes:
            raise ValueError(f"{option} is for {', '.join(suffixes)} files, but DATA is {path}.")


def check_text_options(of_text: Mapping[str, Any]) -> None:
    """Check that options of a table that is text agree with each other and mean something."""
    thousands, skip_rows, encoding = (of_text[name] for name in ("thousands", "skip_rows", "encoding"))
    if thousands == decimal_point(of_text["decimal"], thousands):
        raise ValueError(f"--thousands and --decimal cannot both be {thousands!r}.")
    if skip_rows is not None and skip_rows < 0:
        raise ValueError(f"--skip-rows should not be negative, but is {skip_rows}.")
    known_encoding(encoding)


def decimal_point(decimal: str | None, thousands: str | None) -> str:
    """Decimal point, as it was given or else as what separates thousands leaves it."""
    return decimal or ("," if thousands == "." else ".")


def known_encoding(encoding: str | None) -> str:
    """Name of an encoding, by default of UTF-8, where a byte order mark is none of the text.

    Raises
    ------
    ValueError
        Python does not know it, or it is not one of text.
    """
    encoding = encoding or "utf-8"
    try:
        found = codecs.lookup(encoding)
        "".encode(encoding)  # encodings of other things than text are refused here
    except (LookupError, ValueError, TypeError) as error:
        raise ValueError(
            f"--encoding {encoding} is not an encoding of text that Python knows."
        ) from error
    return "utf-8-sig" if found.name == "utf-8" else encoding


def files_in(folder: Path) -> Iterator[Path]:
    """Files in a folder and the folders below it, without hidden ones."""
    for path in folder.rglob("*"):
        if path.is_file() and not any(part[0] == "." for part in path.relative_to(folder).parts):
            yield path


def is_image(path: Path) -> bool:
    """Whether a file is one of those of a folder that are read as images."""
    return path.suffix.lower() in IMAGES


def is_data(path: Path) -> bool:
    """Whether a file is a table or an array, and none of the results of a folder of such."""
    return path.suffix.lower() in TABLES + ARRAYS and not path.name.endswith(RESULT)


def holds_tables(folder: Path) -> bool:
    """Whether a folder holds tables or arrays, which are predicted file by file, and no image.

    Raises
    ------
    ValueError
        It holds both, or neither.
    """
    counts: Counter[str] = Counter()
    n_images = 0
    for path in files_in(folder):
        n_images += is_image(path)
        counts[path.suffix.lower()] += is_data(path)
    if n_images and any(counts.values()):
        raise ValueError(
            f"{folder} holds {n_images} images as well as {_held(counts)}, of which either may be "
            "meant. Pass a folder that holds one of both."
        )
    if not n_images and not any(counts.values()):
        raise ValueError(
            f"{folder} has no file to predict: none that ends with "
            f"{', '.join(TABLES + ARRAYS + IMAGES)}."
        )
    return not n_images


def _held(counts: Mapping[str, int]) -> str:
    """Count files that end like tables or arrays."""
    found = [f"{counts[suffix]} {suffix} files" for suffix in TABLES + ARRAYS if counts[suffix]]
    return " and ".join(found)


def _check_images(folder: Path) -> None:
    """Check that a folder has an image; the message names files that end like tables."""
    counts: Counter[str] = Counter()
    for path in files_in(folder):
        if is_image(path):
            return
        counts[path.suffix.lower()] += 1
    held = _held(counts)
    if held:
        raise ValueError(
            f"{folder} is read as a folder of images, but it holds {held} and no "
            "image. DATA should be one file: combine them first, for example by pandas.concat."
        )
    raise ValueError(f"{folder} has no image: no file that ends with {', '.join(IMAGES)}.")


def required(module: str, what: str) -> Any:
    """Import a package of the extra `command`."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.replace("PIL.Image", "pillow")
        raise ImportError(
            f'{what} needs {package} ({error}): pip install "skmpcc[command]", or pip install {package}.'
        ) from error
