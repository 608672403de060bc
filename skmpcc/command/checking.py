"""Checks of arguments and paths, which come before imports that take seconds."""

import argparse
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from skmpcc.command.reading_options import OF_TEXT, check_text_options, holds_tables, kind_of, required

RESULTS = ("labels.csv", "model.safetensors", "clusters.png", "report.html")


def check_cluster(options: argparse.Namespace) -> None:
    """Check arguments of a fit, where its results go and whether DATA is there."""
    digits = options.data is None
    folder, paths = places(options)
    inputs = [] if digits else [options.data]
    _check_output(
        folder, paths.values(), options.force, inputs, ", or end with .png for the picture alone"
    )
    for module in ("matplotlib", "rich"):
        required(module, "This command")
    if digits:
        for option in ("columns", "label_column", "impute", "no_header", *OF_TEXT):
            if getattr(options, option) not in (None, False):
                raise ValueError(f"--{option.replace('_', '-')} is for DATA, which was not given.")
    else:
        kind_of(options.data, of_text(options), options.columns, options.label_column)
    try_folder(folder, make=False)


def check_predict(options: argparse.Namespace) -> None:
    """Check arguments of a prediction, where it goes and whether MODEL and DATA are there."""
    inputs = [options.data, options.model]
    of_files = options.data.is_dir() and holds_tables(options.data)
    options.output = options.output or Path("labels" if of_files else "labels.csv")
    folder = options.output if of_files else options.output.parent
    _check_output(folder, [] if of_files else [options.output], options.force, inputs)
    if options.model.is_dir():
        raise IsADirectoryError(
            f"{options.model} is a folder, but MODEL must be a file such as model.safetensors."
        )
    if not options.model.exists():
        raise FileNotFoundError(f"No such file or directory: {options.model}")
    if of_files:
        check_text_options(of_text(options))
    else:
        kind_of(options.data, of_text(options))
    try_folder(folder, make=False)


def places(options: argparse.Namespace) -> tuple[Path, dict[str, Path]]:
    """Folder of the results of a fit, and the path of each by its usual name."""
    output = options.output or Path("clusters.png" if options.data is None else "results")
    if output.suffix.lower() == ".png":
        return output.parent, {"clusters.png": output}
    return output, {name: output / name for name in RESULTS}


def of_text(options: argparse.Namespace) -> dict[str, Any]:
    """Options of tables that are text."""
    return {name: getattr(options, name) for name in OF_TEXT}


def _check_output(
    folder: Path, paths: Iterable[Path], force: bool, inputs: Iterable[Path], otherwise: str = ""
) -> None:
    """Check that results have a place, and would overwrite no input and nothing without `force`.

    `otherwise` is what else may be given in the place of the folder.
    """
    for part in (folder, *folder.parents):
        if part.exists() and not part.is_dir():
            raise NotADirectoryError(
                f"--output: {part} is a file, but should be a folder{otherwise * (part == folder)}."
            )
    existing = [path for path in paths if path.exists()]
    for path in existing:
        if path.is_dir():
            raise IsADirectoryError(f"--output: {path} is a folder, but should be a file.")
        if any(each.exists() and path.samefile(each) for each in inputs):
            raise FileExistsError(
                f"--output: {path} is an input and would be overwritten; give another path."
            )
    if existing and not force:
        names = ", ".join(map(str, existing))
        raise FileExistsError(f"{names} would be overwritten; pass --force to allow this.")


def try_folder(folder: Path, *, make: bool = True) -> None:
    """Make a file in a folder before the work whose results it is for; make the folder if asked to.

    Where it is missing and stays so, a folder is tried in its place, and nothing is left behind.
    """
    try:
        if make:
            folder.mkdir(parents=True, exist_ok=True)
        there = next((part for part in (folder, *folder.parents) if part.exists()), folder)
        if there == folder:
            with tempfile.NamedTemporaryFile(dir=folder, prefix=".") as file:
                file.write(b"results")
        else:
            tempfile.TemporaryDirectory(dir=there, prefix=".").cleanup()
    except OSError as error:
        raise OSError(
            f"--output: nothing can be written to the folder {folder}: {error.strerror or error}."
        ) from error
