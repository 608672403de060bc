"""Clusters of other samples by a fitted model: of a file, a folder of images, or file by file."""

import argparse
import sys
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skmpcc.clusterer import MPCCClusterer
from skmpcc.command.checking import of_text, try_folder
from skmpcc.command.labels import labels_text
from skmpcc.command.reading import check_values, read, with_medians
from skmpcc.command.reading_options import (
    RESULT,
    TABLES,
    TEXTS,
    files_in,
    holds_tables,
    is_data,
    is_table,
    required,
)
from skmpcc.command.run import CLUSTERERS
from skmpcc.command.telling import printable, say, sentence, shown_warnings
from skmpcc.data.columns import Column
from skmpcc.data.frames import listed
from skmpcc.fitted import saving
from skmpcc.system.files import write_atomically


def predict(options: argparse.Namespace, interruptions: Sequence[int] = ()) -> None:
    """Write the clusters of samples by a fitted model.

    An error of one of many files is raised if `interruptions` holds anything by then.
    """
    model = _Model(*saving.load_with_notes(options.model, *CLUSTERERS.values()))
    if options.data.is_dir() and holds_tables(options.data):
        _predict_files(model, options, interruptions)
        return
    with shown_warnings():
        try_folder(options.output.parent)
        n_samples, content = model.labels(options.data, options)
    write_atomically(options.output, content)
    say(f"{n_samples} samples; written: {options.output}")


def _predict_files(model: "_Model", options: argparse.Namespace, interruptions: Sequence[int]) -> None:
    """Write the clusters of the samples of each file of a folder, one file at a time.

    Raises
    ------
    OSError
        Some could not be predicted, after the others were.
    """
    places = _places(options.data, options.output)
    todo = {path: place for path, place in places.items() if options.force or not place.is_file()}
    n_done = len(places) - len(todo)
    if n_done:
        say(
            f"{n_done} of {len(places)} files have labels in {printable(str(options.output))} already, "
            f"and are left out; going on with {len(todo)} (--force labels all anew)"
        )
    _check_packages(todo)
    failed = []
    for path, place in todo.items():
        name = printable(path.relative_to(options.data).as_posix())
        try:
            with shown_warnings(f"{name}: "):
                n_samples, content = model.labels(path, options)
            try_folder(place.parent)
            write_atomically(place, content)
            say(f"{n_samples} samples; written: {printable(str(place))}")
        except Exception as error:  # the other files must not be lost
            if interruptions:
                raise
            failed.append(name)
            say(f"warning: {name} could not be predicted: {sentence(error)}", sys.stderr)
    if failed:
        raise OSError(
            f"{len(failed)} of {len(todo)} files could not be predicted: {', '.join(failed)}; the "
            "warnings say why."
        )


def _places(folder: Path, output: Path) -> dict[Path, Path]:
    """Files of data in a folder, and for each the file of its labels; warn of others."""
    files = sorted(files_in(folder))
    found = [path for path in files if is_data(path)]
    others = [path for path in files if not is_data(path) and not path.name.endswith(RESULT)]
    if others:
        names = listed(printable(path.relative_to(folder).as_posix()) for path in others)
        say(
            f"warning: Files that are neither tables nor arrays are left out: {names}.",
            sys.stderr,
        )
    return {path: output / path.relative_to(folder).with_name(path.name + RESULT) for path in found}


def _check_packages(paths: Iterable[Path]) -> None:
    """Check that what reads the files is installed, once for all of them."""
    for path in paths:
        if path.suffix.lower() in TABLES:
            required("pandas", f"Reading {path}")
        if path.suffix.lower() == ".parquet":
            required("pyarrow", f"Reading {path}")


class _Model:
    """A fitted model, and what its file says of the data of the fit.

    Parameters
    ----------
    clusterer : MPCCClusterer
    notes : dict
    """

    def __init__(self, clusterer: MPCCClusterer, notes: dict[str, Any]) -> None:
        self._clusterer, self._notes = clusterer, notes
        names = getattr(clusterer, "feature_names_in_", None)
        self._names = None if names is None else list(names)
        given = clusterer._fitted.format.columns_given
        self._columns = {} if given is None else dict(zip(given.names, given.columns, strict=False))

    def labels(self, path: Path, options: argparse.Namespace) -> tuple[int, bytes]:
        """Return the number of samples of a file or a folder of images, and the text of their labels."""
        of_kind = of_text(options)
        if options.data.is_dir() and path.suffix.lower() not in TEXTS:
            of_kind = dict.fromkeys(of_kind)  # which is for the others of the folder
        sample_shape = self._clusterer.cluster_centers_.shape[1:]
        samples = read(
            path,
            columns=self._names if is_table(path) else None,
            n_columns=None if len(sample_shape) > 1 else sample_shape[0],
            texts=[name for name, column in self._columns.items() if _is_text(column)],
            channels={2: 1, 3: 3}.get(len(sample_shape)),
            background=self._notes.get("background"),
            header=not options.no_header,
            **of_kind,
        )
        X = samples.X if self._names is not None else np.asarray(samples.X)
        check_values(X)
        if self._notes.get("medians") is not None:
            X = with_medians(X, self._notes["medians"])
        self._warn_of_unknown(X)
        return len(X), labels_text(self._clusterer, X, samples.files)

    def _warn_of_unknown(self, X: Any) -> None:
        """Warn of categories that the fit did not see."""
        found = []
        for name in getattr(X, "columns", ()):
            column = self._columns.get(name)
            if column is not None and column.kind in ("category", "ordered"):
                unknown = set(X[name].dropna().unique().tolist()) - set(column.values or ())
                found += [f"{name} ({listed(sorted(map(repr, unknown)))})"] if unknown else []
        if found:
            warnings.warn(
                f"Values that the fit did not see count as missing, in the columns {listed(found)}.",
                stacklevel=2,
            )


def _is_text(column: Column) -> bool:
    return any(isinstance(value, str) for value in column.values or ())
