"""python -m skmpcc: cluster digits, or a file's samples, and show how it went."""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.mixture import GaussianMixture

from skmpcc import MPCCClusterer
from skmpcc.metrics import clustering_scores

COLUMNS = ("accuracy", "nmi", "ari")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        from sklearn.callback import ProgressBar

        from skmpcc.plotting import plot_clusters

        progress = ProgressBar()
        import matplotlib  # noqa: F401
    except ImportError as error:
        print(
            f'{error}\nInstall the extras of this command: pip install "skmpcc[plot]"', file=sys.stderr
        )
        return 1

    try:
        X, y, image_shape = _data(options.data)
        n_clusters = options.n_clusters or (8 if y is None else len(np.unique(y)))
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    clusterer = MPCCClusterer(
        n_clusters, max_iter=options.max_iter, random_state=options.random_state
    ).set_callbacks(progress)
    rivals = {
        "KMeans": KMeans(n_clusters, n_init=10, random_state=options.random_state),
        "GaussianMixture": GaussianMixture(n_clusters, random_state=options.random_state),
    }
    print(f"{len(X)} samples of shape {X.shape[1:]}, {n_clusters} clusters")
    print(f"{'':16}" + "".join(f"{name:>10}" for name in (*COLUMNS, "seconds")))
    _report("MPCC", clusterer, X, y)
    for name, rival in rivals.items():
        _report(name, rival, X.reshape(len(X), -1), y)

    figure = plot_clusters(clusterer, X, image_shape=image_shape)
    figure.savefig(options.output, dpi=120)
    print(f"preset {clusterer.preset_}; picture in {options.output}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m skmpcc", description=__doc__)
    parser.add_argument(
        "--data",
        type=Path,
        help="an .npz file with X, and y to score by (default: scikit-learn's digits)",
    )
    parser.add_argument(
        "--n-clusters", type=int, help="default: the number of classes in y, or 8 without y"
    )
    parser.add_argument("--output", type=Path, default=Path("clusters.png"), help="the picture")
    parser.add_argument("--random-state", type=int, default=0)
    parser.add_argument("--max-iter", type=int, help="default: the preset's")
    return parser


def _data(path: Path | None) -> tuple[NDArray, NDArray | None, tuple[int, ...] | None]:
    """X, y if known, and the image shape to draw vectors in."""
    if path is None:
        X, y = load_digits(return_X_y=True)
        return X, y, (8, 8)
    with np.load(path) as file:
        if "X" not in file:
            raise ValueError(f"{path} has no array X, only {', '.join(file) or 'nothing'}.")
        return file["X"], file.get("y"), None


def _report(name: str, clusterer: Any, X: NDArray, y: NDArray | None) -> None:
    start = time.perf_counter()
    labels = clusterer.fit_predict(X)
    seconds = time.perf_counter() - start
    scores = {} if y is None else clustering_scores(y, labels)
    values = [f"{scores[column]:.3f}" if scores else "-" for column in COLUMNS]
    print(f"{name:16}" + "".join(f"{value:>10}" for value in (*values, f"{seconds:.1f}")))


if __name__ == "__main__":
    sys.exit(main())
