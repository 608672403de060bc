"""The work of `python -m skmpcc`, once its arguments are read."""

import argparse
import csv
import io
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.mixture import GaussianMixture

from skmpcc import saving
from skmpcc._files import write_atomically
from skmpcc._reading import Samples, is_table, medians_of, read, required, without_missing
from skmpcc.clusterer import MPCCClusterer
from skmpcc.metrics import clustering_scores

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
    _check_free(paths.values(), options.force)
    for module in ("matplotlib", "rich"):
        required(module, "This command")
    from sklearn.callback import ProgressBar

    from skmpcc.plotting import plot_clusters
    from skmpcc.report import html_report

    with _shown_warnings() as caught:
        samples, image_shape = _digits(options) if digits else (_read(options), None)
        medians = medians_of(samples.X) if options.impute else None
        X = without_missing(samples.X, medians)
        (output.parent if as_picture else output).mkdir(parents=True, exist_ok=True)
        clusterer = MPCCClusterer(
            10 if digits and options.n_clusters is None else options.n_clusters,
            image_shape=options.image_shape and tuple(options.image_shape),
            max_iter=options.max_iter,
            labels_only=options.labels_only,
            random_state=options.random_state,
        ).set_callbacks(ProgressBar())
        print(f"{len(X)} samples of shape {X.shape[1:]}, {clusterer.n_clusters} clusters")
        print(f"{'':16}" + "".join(f"{name:>10}" for name in (*COLUMNS, "seconds")))
        scores = _fit("MPCC", clusterer, X, samples.y)
        if digits:
            seed = options.random_state
            _fit("KMeans", KMeans(clusterer.n_clusters, n_init=10, random_state=seed), X, samples.y)
            rival = GaussianMixture(clusterer.n_clusters, random_state=seed)
            _fit("GaussianMixture", rival, X, samples.y)

    # What took longest first, so that an error in a picture does not lose it.
    if not as_picture:
        notes = None if medians is None else {"medians": medians}
        saving.save(clusterer, paths["model.safetensors"], notes)
        write_atomically(paths["labels.csv"], _labels(clusterer, X, samples.files))
    figure = plot_clusters(clusterer, X, image_shape=image_shape)
    write_atomically(paths["clusters.png"], _png(figure))
    if not as_picture:
        name = "scikit-learn's digits" if digits else options.data.resolve().name
        page = html_report(
            clusterer,
            X,
            title=f"Clusters of {name}",
            image_shape=image_shape,
            scores=scores,
            warnings=caught,
            settings={"data": name} | ({"impute": options.impute} if options.impute else {}),
        )
        write_atomically(paths["report.html"], page.encode())
    print(f"preset {clusterer.preset_}; written: {', '.join(map(str, paths.values()))}")


def _digits(options: argparse.Namespace) -> tuple[Samples, tuple[int, int]]:
    of_text = ("separator", "decimal", "encoding")
    for option in ("columns", "label_column", "impute", "no_header", *of_text):
        if getattr(options, option):
            raise ValueError(f"--{option.replace('_', '-')} is for DATA, which was not given.")
    X, y = load_digits(return_X_y=True)
    return Samples(X, y), (8, 8)


def _read(options: argparse.Namespace) -> Samples:
    if options.n_clusters is None:
        raise ValueError(
            "Say --n-clusters, the number of clusters; for tables "
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
    of_text = {name: getattr(options, name) for name in ("separator", "decimal", "encoding")}
    return {"header": not options.no_header, **of_text}


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
    print(f"{name:16}" + "".join(f"{value:>10}" for value in (*values, f"{seconds:.1f}")))
    return scores


def predict(options: argparse.Namespace) -> None:
    """Write the clusters of samples by a fitted model."""
    _check_free([options.output], options.force)
    clusterer, notes = saving.load_with_notes(MPCCClusterer, options.model)
    names = getattr(clusterer, "feature_names_in_", None)
    sample_shape = clusterer.cluster_centers_.shape[1:]
    with _shown_warnings():
        samples = read(
            options.data,
            columns=None if names is None or not is_table(options.data) else list(names),
            **_of_text(options),
            channels={2: 1, 3: 3}.get(len(sample_shape)),
        )
        X = samples.X if names is not None else np.asarray(samples.X)
        X = without_missing(X, notes.get("medians"))
        content = _labels(clusterer, X, samples.files)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(options.output, content)
    print(f"{len(X)} samples; written: {options.output}")


def _labels(clusterer: MPCCClusterer, X: Any, files: list[str] | None) -> bytes:
    """Text of labels.csv."""
    memberships, scores = clusterer.predict_proba(X), clusterer.score_samples(X)
    labels = clusterer.predict(X)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row" if files is None else "file", "label", "membership", "score_samples"])
    for i, label in enumerate(labels.tolist()):
        name = i if files is None else files[i]
        writer.writerow([name, label, f"{memberships[i, label]:.6f}", f"{scores[i]:.6g}"])
    return text.getvalue().encode()


def _png(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def _check_free(paths: Iterable[Path], force: bool) -> None:
    existing = [str(path) for path in paths if path.exists()]
    if existing and not force:
        raise FileExistsError(f"{', '.join(existing)} would be written over; --force does so.")


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
                print(f"warning: {text}", file=sys.stderr)
