"""The work of `python -m skmpcc`, once its arguments are read and checked."""

import argparse
import csv
import io
import sys
import time
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.mixture import GaussianMixture

from skmpcc.clusterer import MPCCClusterer
from skmpcc.command.checking import of_text, places, try_folder
from skmpcc.command.reading import Samples, medians_of, read, without_missing
from skmpcc.command.reading_options import is_table
from skmpcc.command.telling import printable, say, sentence
from skmpcc.fitted import saving
from skmpcc.metrics import clustering_scores
from skmpcc.system.files import write_atomically
from skmpcc.vade import VaDEClusterer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = ("accuracy", "nmi", "ari")
CLUSTERERS: dict[str, type[MPCCClusterer]] = {"mpcc": MPCCClusterer, "vade": VaDEClusterer}


def cluster(options: argparse.Namespace) -> None:
    """Cluster the samples of a file or folder, or the digits, and write the results."""
    digits = options.data is None
    folder, paths = places(options)
    from sklearn.callback import ProgressBar

    from skmpcc.plotting.clusters import clusters_figure
    from skmpcc.report import html_report

    with _shown_warnings() as caught:
        samples, image_shape = _samples_of_fit(options)
        name = "scikit-learn's digits" if digits else printable(options.data.resolve().name)
        medians = medians_of(samples.X) if options.impute else None
        X = without_missing(samples.X, medians)
        try_folder(folder)
        clusterer = CLUSTERERS[options.estimator](
            10 if digits and options.n_clusters is None else options.n_clusters,
            image_shape=options.image_shape and tuple(options.image_shape),
            max_iter=options.max_iter,
            labels_only=options.labels_only,
            random_state=options.random_state,
        ).set_callbacks(ProgressBar())
        say(f"{len(X)} samples of shape {X.shape[1:]}, {clusterer.n_clusters} clusters")
        say(f"{'':16}" + "".join(f"{name:>10}" for name in (*COLUMNS, "seconds")))
        name_of_kind = type(clusterer).__name__.removesuffix("Clusterer")
        scores = _fit(name_of_kind, clusterer, X, samples.y)
        if digits:
            seed = options.random_state
            _fit("KMeans", KMeans(clusterer.n_clusters, n_init=10, random_state=seed), X, samples.y)
            rival = GaussianMixture(clusterer.n_clusters, random_state=seed)
            _fit("GaussianMixture", rival, X, samples.y)

    notes: dict[str, Any] = {} if medians is None else {"medians": medians}
    if samples.background is not None:
        notes["background"] = samples.background

    def report() -> bytes:
        page = html_report(
            clusterer,
            X,
            title=f"Clusters of {name}",
            image_shape=image_shape,
            scores=scores,
            warnings=caught,
            settings={"estimator": type(clusterer).__name__, "data": name}
            | ({"impute": options.impute} if options.impute else {}),
        )
        return printable(page).encode()

    # What took longest first.
    steps: dict[str, Callable[[Path], None]] = {
        "model.safetensors": lambda path: saving.save(clusterer, path, notes or None),
        "labels.csv": lambda path: write_atomically(path, _labels(clusterer, X, samples.files)),
        "clusters.png": lambda path: write_atomically(
            path, _png(clusters_figure(clusterer, X, image_shape))
        ),
        "report.html": lambda path: write_atomically(path, report()),
    }
    written, failed = _write(steps, paths, caught)
    say(f"preset {clusterer.preset_}; written: {', '.join(written) or 'nothing'}")
    if failed:
        raise OSError(f"{', '.join(failed)} could not be written; the warnings say why.")


def _samples_of_fit(options: argparse.Namespace) -> tuple[Samples, tuple[int, int] | None]:
    """Samples that are clustered, and the sides of images that are rows without being said to be."""
    if options.data is None:
        return Samples(*load_digits(return_X_y=True)), (8, 8)
    return _read(options, options.columns, label_column=options.label_column), None


def _write(
    steps: dict[str, Callable[[Path], None]], paths: dict[str, Path], caught: list[str]
) -> tuple[list[str], list[str]]:
    """Write the results that have a path; return which were written, and which could not be."""
    written, failed = [], []
    for result, write in steps.items():
        if result in paths:
            try:
                write(paths[result])
                written.append(str(paths[result]))
            except Exception as error:  # the other results must not be lost
                failed.append(str(paths[result]))
                caught.append(f"{paths[result]} could not be written: {sentence(error)}")
                say(f"warning: {caught[-1]}", sys.stderr)
    return written, failed


def _read(options: argparse.Namespace, columns: list[str] | None, **of_kind: Any) -> Samples:
    return read(
        options.data, columns=columns, header=not options.no_header, **of_text(options), **of_kind
    )


def _fit(name: str, clusterer: Any, X: Any, y: NDArray | None) -> dict[str, float]:
    """Fit and print how well the labels agree with known classes, which the fit does not see."""
    start = time.perf_counter()
    labels = clusterer.fit_predict(X if isinstance(clusterer, MPCCClusterer) else np.asarray(X))
    seconds = time.perf_counter() - start
    scores: dict[str, float] = {}
    if y is not None and np.any(y >= 0):
        found = clustering_scores(y[y >= 0], labels[y >= 0])
        scores = {column: found[column] for column in COLUMNS}
    values = [f"{scores[column]:.3f}" if scores else "-" for column in COLUMNS]
    say(f"{name:16}" + "".join(f"{value:>10}" for value in (*values, f"{seconds:.1f}")))
    return scores


def predict(options: argparse.Namespace) -> None:
    """Write the clusters of samples by a fitted model."""
    clusterer, notes = saving.load_with_notes(options.model, *CLUSTERERS.values())
    names = getattr(clusterer, "feature_names_in_", None)
    sample_shape = clusterer.cluster_centers_.shape[1:]
    with _shown_warnings():
        samples = _read(
            options,
            None if names is None or not is_table(options.data) else list(names),
            n_columns=None if len(sample_shape) > 1 else sample_shape[0],
            channels={2: 1, 3: 3}.get(len(sample_shape)),
            background=notes.get("background"),
        )
        X = samples.X if names is not None else np.asarray(samples.X)
        X = without_missing(X, notes.get("medians"))
        try_folder(options.output.parent)
        content = _labels(clusterer, X, samples.files)
    write_atomically(options.output, content)
    say(f"{len(X)} samples; written: {options.output}")


def _labels(clusterer: MPCCClusterer, X: Any, files: list[str] | None) -> bytes:
    """Text of labels.csv."""
    memberships, scores = clusterer.predict_proba(X), clusterer.score_samples(X)
    labels = clusterer.predict(X)
    text = io.StringIO()
    # Names may hold whatever ends a field for some program or other.
    writer = csv.writer(
        text, lineterminator="\n", quoting=csv.QUOTE_MINIMAL if files is None else csv.QUOTE_ALL
    )
    writer.writerow(["row" if files is None else "file", "label", "membership", "score_samples"])
    for i, label in enumerate(labels.tolist()):
        name = i if files is None else _harmless(printable(files[i]))
        writer.writerow([name, label, f"{memberships[i, label]:.6f}", f"{scores[i]:.6g}"])
    return text.getvalue().encode()


def _harmless(name: str) -> str:
    """Return a name that no spreadsheet takes for a formula, whatever blanks are before it."""
    # Signs of full width are made usual ones by that.
    shown = unicodedata.normalize("NFKC", name)
    first = next((each for each in shown if unicodedata.category(each)[0] not in "CZ"), "")
    return f"'{name}" if first in set("=+-@") or name[:1] in set("\t\r\n") else name


def _png(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


@contextmanager
def _shown_warnings() -> Iterator[list[str]]:
    """Print warnings for users at the end, once each; the list has them then."""
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            yield texts
        finally:
            of_users = [each for each in caught if issubclass(each.category, UserWarning)]
            texts += dict.fromkeys(" ".join(str(each.message).split()) for each in of_users)
            for text in texts:
                say(f"warning: {text}", sys.stderr)
