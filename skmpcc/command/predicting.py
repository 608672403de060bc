"""Clusters of other samples by a fitted model: of a file, a folder of images, or file by file."""

import argparse
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from skmpcc.clusterer import MPCCClusterer
from skmpcc.command.checking import of_text, try_folder
from skmpcc.command.labels import labels_text
from skmpcc.command.reading import check_values, read, with_medians
from skmpcc.command.reading_options import is_table
from skmpcc.command.run import CLUSTERERS
from skmpcc.command.telling import say, shown_warnings
from skmpcc.data.columns import Column
from skmpcc.data.frames import listed
from skmpcc.fitted import saving
from skmpcc.system.files import write_atomically


def predict(options: argparse.Namespace) -> None:
    """Write the clusters of samples by a fitted model."""
    model = _Model(*saving.load_with_notes(options.model, *CLUSTERERS.values()))
    with shown_warnings():
        try_folder(options.output.parent)
        n_samples, content = model.labels(options.data, options)
    write_atomically(options.output, content)
    say(f"{n_samples} samples; written: {options.output}")


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
        sample_shape = self._clusterer.cluster_centers_.shape[1:]
        samples = read(
            path,
            columns=self._names if is_table(path) else None,
            n_columns=None if len(sample_shape) > 1 else sample_shape[0],
            texts=[name for name, column in self._columns.items() if _is_text(column)],
            channels={2: 1, 3: 3}.get(len(sample_shape)),
            background=self._notes.get("background"),
            header=not options.no_header,
            **of_text(options),
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
