"""The work of `python -m skmpcc`, once its arguments are read."""

import argparse
import csv
import io
import sys
import tempfile
import time
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.mixture import GaussianMixture

from skmpcc.clusterer import MPCCClusterer
from skmpcc.command.reading import Samples, medians_of, read, without_missing
from skmpcc.command.reading_options import OF_TEXT, is_table, required
from skmpcc.command.telling import printable, say, sentence
from skmpcc.fitted import saving
from skmpcc.metrics import clustering_scores
from skmpcc.system.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = ("accuracy", "nmi", "ari")
RESULTS = ("labels.csv", "model.safetensors", "clusters.png", "report.html")


def cluster(options: argparse.Namespace) -> None:
    """Cluster the samples of a file or folder, or the digits, and write the results."""
    digits = options.data is None
    output = options.output or Path("clusters.png" if digits else "results")
    as_picture = output.suffix.lower() == ".png"
    paths = {"clusters.png": output} if as_picture else {name: output / name for name in RESULTS}
    folder = output.parent if as_picture else output
    _check_output(folder, paths.values(), options.force, [] if digits else [options.data])
    for module in ("matplotlib", "rich"):
        required(module, "This command")
    from sklearn.callback import ProgressBar

    from skmpcc.plotting.clusters import clusters_figure
    from skmpcc.report import html_report

    with _shown_warnings() as caught:
        samples, image_shape = _digits(options) if digits else (_read(options), None)
        name = "scikit-learn's digits" if digits else printable(options.data.resolve().name)
        medians = medians_of(samples.X) if options.impute else None
        X = without_missing(samples.X, medians)
        _try_folder(folder)
        clusterer = MPCCClusterer(
            10 if digits and options.n_clusters is None else options.n_clusters,
            image_shape=options.image_shape and tuple(options.image_shape),
            max_iter=options.max_iter,
            labels_only=options.labels_only,
            random_state=options.random_state,
        ).set_callbacks(ProgressBar())
        say(f"{len(X)} samples of shape {X.shape[1:]}, {clusterer.n_clusters} clusters")
        say(f"{'':16}" + "".join(f"{name:>10}" for name in (*COLUMNS, "seconds")))
        scores = _fit("MPCC", clusterer, X, samples.y)
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
            settings={"data": name} | ({"impute": options.impute} if options.impute else {}),
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
    say(f"preset {clusterer.preset_}; written: {', '.join(written) or 'nothing'}")
    if failed:
        raise OSError(f"{', '.join(failed)} could not be written; the warnings say why.")


def _digits(options: argparse.Namespace) -> tuple[Samples, tuple[int, int]]:
    for option in ("columns", "label_column", "impute", "no_header", *OF_TEXT):
        if getattr(options, option) not in (None, False):
            raise ValueError(f"--{option.replace('_', '-')} is for DATA, which was not given.")
    X, y = load_digits(return_X_y=True)
    return Samples(X, y), (8, 8)


def _read(options: argparse.Namespace) -> Samples:
    if options.n_clusters is None:
        raise ValueError(
            "--n-clusters is missing: pass the number of clusters. For tables, "
            "skmpcc.model_selection.suggest_n_clusters suggests one."
        )
    return read(
        options.data,
        columns=options.columns,
        label_column=options.label_column,
        **_of_text(options),
    )


def _of_text(options: argparse.Namespace) -> dict[str, Any]:
    """Arguments of `read` for tables that are text."""
    return {"header": not options.no_header} | {name: getattr(options, name) for name in OF_TEXT}


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
    _check_output(options.output.parent, [options.output], options.force, [options.data, options.model])
    if options.model.is_dir():
        raise IsADirectoryError(
            f"{options.model} is a folder, but MODEL must be a file such as model.safetensors."
        )
    clusterer, notes = saving.load_with_notes(MPCCClusterer, options.model)
    names = getattr(clusterer, "feature_names_in_", None)
    sample_shape = clusterer.cluster_centers_.shape[1:]
    with _shown_warnings():
        samples = read(
            options.data,
            columns=None if names is None or not is_table(options.data) else list(names),
            **_of_text(options),
            n_columns=None if len(sample_shape) > 1 else sample_shape[0],
            channels={2: 1, 3: 3}.get(len(sample_shape)),
            background=notes.get("background"),
        )
        X = samples.X if names is not None else np.asarray(samples.X)
        X = without_missing(X, notes.get("medians"))
        _try_folder(options.output.parent)
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


def _check_output(folder: Path, paths: Iterable[Path], force: bool, inputs: Iterable[Path]) -> None:
    """Check that results have a place, and would overwrite no input and nothing without `force`."""
    for part in (folder, *folder.parents):
        if part.exists() and not part.is_dir():
            raise NotADirectoryError(
                f"--output: {part} is a file, but should be a folder"
                + (", or end with .png for the picture alone." if part == folder else ".")
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


def _try_folder(folder: Path) -> None:
    """Make a folder and a file in it, before the work whose results it is for."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".") as file:
            file.write(b"results")
    except OSError as error:
        raise OSError(
            f"--output: nothing can be written to the folder {folder}: {error.strerror or error}."
        ) from error


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
