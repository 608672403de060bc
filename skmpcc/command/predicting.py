"""Clusters of other samples by a fitted model: of a file, a folder of images, or file by file."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from skmpcc.clusterer import MPCCClusterer
from skmpcc.command.checking import of_text, try_folder
from skmpcc.command.labels import labels_text
from skmpcc.command.reading import read, without_missing
from skmpcc.command.reading_options import is_table
from skmpcc.command.run import CLUSTERERS
from skmpcc.command.telling import say, shown_warnings
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

    def labels(self, path: Path, options: argparse.Namespace) -> tuple[int, bytes]:
        """Return the number of samples of a file or a folder of images, and the text of their labels."""
        sample_shape = self._clusterer.cluster_centers_.shape[1:]
        samples = read(
            path,
            columns=self._names if is_table(path) else None,
            n_columns=None if len(sample_shape) > 1 else sample_shape[0],
            channels={2: 1, 3: 3}.get(len(sample_shape)),
            background=self._notes.get("background"),
            header=not options.no_header,
            **of_text(options),
        )
        X = samples.X if self._names is not None else np.asarray(samples.X)
        X = without_missing(X, self._notes.get("medians"))
        return len(X), labels_text(self._clusterer, X, samples.files)
