"""The fit of the command, once its arguments are read and checked, and its results."""

import argparse
import io
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.mixture import GaussianMixture

from skmpcc.clusterer import MPCCClusterer
from skmpcc.command.checking import of_text, places, try_folder
from skmpcc.command.labels import labels_text
from skmpcc.command.reading import Samples, check_values, medians_of, read, with_medians
from skmpcc.command.telling import printable, say, sentence, shown_warnings
from skmpcc.command.values import AUTO
from skmpcc.data.frames import listed
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

    with shown_warnings() as caught:
        samples, image_shape = _samples_of_fit(options)
        name = "scikit-learn's digits" if digits else printable(options.data.resolve().name)
        medians = medians_of(samples.X) if options.impute else None
        check_values(samples.X)
        X = samples.X if medians is None else with_medians(samples.X, medians)
        try_folder(folder)
        clusterer = _clusterer(options).set_callbacks(ProgressBar())
        asked = clusterer.n_clusters
        number = "number of clusters to be found" if asked == AUTO else f"{asked} clusters"
        say(f"{len(X)} samples of shape {X.shape[1:]}, {number}{_categories(X)}")
        say(f"{'':16}" + "".join(f"{name:>10}" for name in (*COLUMNS, "seconds")))
        name_of_kind = type(clusterer).__name__.removesuffix("Clusterer")
        scores = _fit(name_of_kind, clusterer, X, samples.y)
        n_clusters = len(clusterer.means_)
        if digits:
            seed = options.random_state
            _fit("KMeans", KMeans(n_clusters, n_init=10, random_state=seed), X, samples.y)
            rival = GaussianMixture(n_clusters, random_state=seed)
            _fit("GaussianMixture", rival, X, samples.y)
        if asked == AUTO or np.any(clusterer.labels_ < 0):
            say(_found(n_clusters, clusterer.labels_))

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
        "labels.csv": lambda path: write_atomically(path, labels_text(clusterer, X, samples.files)),
        "clusters.png": lambda path: write_atomically(
            path, _png(clusters_figure(clusterer, X, image_shape))
        ),
        "report.html": lambda path: write_atomically(path, report()),
    }
    written, failed = _write(steps, paths, caught)
    say(f"preset {clusterer.preset_}; written: {', '.join(written) or 'nothing'}")
    if failed:
        raise OSError(f"{', '.join(failed)} could not be written; the warnings say why.")


def _clusterer(options: argparse.Namespace) -> MPCCClusterer:
    """Estimator with the parameters that were given."""
    n_clusters = options.n_clusters
    if n_clusters is None:
        n_clusters = 10 if options.data is None else AUTO
    given: dict[str, Any] = {}
    if options.outlier_fraction is not None:
        given["outlier_fraction"] = options.outlier_fraction
    return CLUSTERERS[options.estimator](
        n_clusters,
        image_shape=options.image_shape and tuple(options.image_shape),
        max_iter=options.max_iter,
        labels_only=options.labels_only,
        random_state=options.random_state,
        **given,
    )


def _categories(X: Any) -> str:
    """Name the columns of a table that are taken as categories."""
    dtypes = {} if isinstance(X, np.ndarray) else dict(X.dtypes)
    names = [name for name, dtype in dtypes.items() if dtype == "category"]
    return f", categories: {listed(names)}" if names else ""


def _found(n_clusters: int, labels: NDArray) -> str:
    """Tell how many clusters a fit has, and how many rows belong to none of them."""
    n_outside = int((labels < 0).sum())
    rest = f", and {n_outside} of {len(labels)} samples belong to none (label -1)" if n_outside else ""
    return f"{n_clusters} clusters{rest}"


def _samples_of_fit(options: argparse.Namespace) -> tuple[Samples, tuple[int, int] | None]:
    """Samples that are clustered, and the sides of images that are rows without being said to be."""
    if options.data is None:
        return Samples(*load_digits(return_X_y=True)), (8, 8)
    samples = read(
        options.data,
        columns=options.columns,
        label_column=options.label_column,
        header=not options.no_header,
        **of_text(options),
    )
    return samples, None


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


def _png(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()
