"""Draw labels of seven clusterers on eight sets of points, and write a line of JSON for each fit.

python benchmarks/which_clusterer.py                   # docs/which-clusterer.png, and its rows
python benchmarks/which_clusterer.py --seeds 0-0 --output mine.png --rows results/mine.jsonl

It needs the extra `bench`, for Genie and EVoC. The sets are those of scikit-learn's comparison of
clusterers, and two more. Methods have their default settings and the number of clusters; HDBSCAN, which
finds that by itself, has the settings of scikit-learn's page. The picture is of the first
seed, with the median seconds of all: of processor time, as other processes lengthen it least. Each
method fits a small set before, since some compile then. The file of rows is written over.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from common import Data, Method, alone, commit, machine, rivals, seeds_of
from matplotlib import pyplot as plt
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import HDBSCAN
from sklearn.datasets import make_blobs, make_circles, make_moons
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.cluster import contingency_matrix
from sklearn.preprocessing import StandardScaler, normalize

from skmpcc import MPCCClusterer

ROOT = Path(__file__).parent.parent
N_SAMPLES = 500
# The random states of scikit-learn's page.
STATE, STATE_OF_BLOBS = 30, 170

# ---- Data sets


def stretched() -> Data:
    """Blobs that are drawn out in one direction."""
    X, y = make_blobs(N_SAMPLES, random_state=STATE_OF_BLOBS)
    return X @ [[0.6, -0.6], [-0.4, 0.8]], y


def no_structure() -> tuple[NDArray, None]:
    """Uniform points, without any groups."""
    return np.random.RandomState(STATE).rand(N_SAMPLES, 2), None


def spirals() -> Data:
    """Two arms of one turn and a half."""
    rng = np.random.default_rng(0)
    y = np.arange(N_SAMPLES) % 2
    turn = 3 * np.pi * np.sqrt(rng.uniform(0.05, 1, N_SAMPLES))
    arm = (turn * [np.cos(turn + np.pi * y), np.sin(turn + np.pi * y)]).T
    return arm + rng.normal(scale=0.3, size=arm.shape), y


def densities() -> Data:
    """Two small dense groups beside a large sparse one."""
    counts, centers = [100, 100, 300], [[-1, 3], [1, 3], [0, -1]]
    return make_blobs(counts, centers=centers, cluster_std=[0.2, 0.2, 1.2], random_state=STATE)


SETS: dict[str, Callable[[], tuple[NDArray, NDArray | None]]] = {
    "circles": partial(make_circles, N_SAMPLES, factor=0.5, noise=0.05, random_state=STATE),
    "moons": partial(make_moons, N_SAMPLES, noise=0.05, random_state=STATE),
    "varied": partial(make_blobs, N_SAMPLES, cluster_std=[1.0, 2.5, 0.5], random_state=STATE_OF_BLOBS),
    "stretched": stretched,
    "blobs": partial(make_blobs, N_SAMPLES, random_state=STATE),
    "no structure": no_structure,
    "spirals": spirals,
    "densities": densities,
}
# Of the set without groups, as on scikit-learn's page.
N_WITHOUT = 3

# ---- Methods


def _hdbscan(X: NDArray, n_clusters: int, seed: int) -> NDArray:
    """Find clusters with the settings of scikit-learn's page, without their number; -1 is noise."""
    clusterer = HDBSCAN(15, min_samples=3, allow_single_cluster=True, copy=True)
    return clusterer.fit_predict(X)


def _genie(X: NDArray, n_clusters: int, seed: int) -> NDArray:
    import genieclust

    return genieclust.Genie(n_clusters).fit_predict(X)


def _evoc(X: NDArray, n_clusters: int, seed: int) -> NDArray:
    """Find about so many clusters; -1 is noise.

    It compares angles between rows of many columns. So points lie on a patch of a sphere of radius 5,
    where angles are nearly distances, and have columns of zeros: a table of two columns is an error.
    """
    import evoc

    lifted = np.column_stack([X, np.full(len(X), 5.0), np.zeros((len(X), 5))])
    clusterer = evoc.EVoC(approx_n_clusters=n_clusters, random_state=seed)
    return clusterer.fit_predict(normalize(lifted).astype(np.float32))


def _mpcc(X: NDArray, n_clusters: int, seed: int) -> NDArray:
    return MPCCClusterer(n_clusters, random_state=seed).fit_predict(X)


METHODS: dict[str, Method] = {
    **{name: rivals()[name] for name in ("KMeans", "GaussianMixture", "spectral")},
    "HDBSCAN": _hdbscan,
    "Genie": _genie,
    "EVoC": _evoc,
    "MPCC": _mpcc,
}
TITLES = {"spectral": "SpectralClustering", "MPCC": "MPCCClusterer"}


def labels_of(method: str, X: NDArray, n_clusters: int, seed: int) -> tuple[NDArray, float]:
    """Labels by a method, and the seconds of processor time that it took."""
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        labels = METHODS[method](X, n_clusters, seed)
    return labels, time.process_time() - start


# ---- The picture


def like(y: NDArray | None, labels: NDArray) -> NDArray:
    """Labels numbered so that most points of a group have its number; noise stays -1."""
    there = labels >= 0
    if y is None or not there.any():
        return labels
    names, found = np.unique(labels[there], return_inverse=True)
    groups, numbers = linear_sum_assignment(contingency_matrix(y[there], found), maximize=True)
    order = [*numbers, *(each for each in range(len(names)) if each not in numbers)]
    # Numbers of groups that no cluster stands for are left out.
    used = [*groups, *range(int(y.max()) + 1, int(y.max()) + 1 + len(names) - len(groups))]
    renumbered = labels.copy()
    renumbered[there] = np.array(used)[np.argsort(order)][found]
    return renumbered


def draw(cells: dict[tuple[str, str], tuple[NDArray, NDArray, float]], path: Path) -> None:
    """Draw a panel for each set and method: points, labels and seconds."""
    figure, axes = plt.subplots(
        len(SETS), len(METHODS), figsize=(10.5, 11.5), layout="constrained", squeeze=False
    )
    colors = np.array(matplotlib.color_sequences["tab10"])
    for row, data in zip(axes, SETS, strict=True):
        row[0].set_ylabel(data, fontsize=11)
        for ax, method in zip(row, METHODS, strict=True):
            X, labels, seconds = cells[data, method]
            # The last colour is that of noise.
            color = np.where((labels < 0)[:, None], 0.0, colors[labels % 10])
            ax.scatter(*X.T, c=color, s=4, linewidths=0)
            center, half = (X.max(0) + X.min(0)) / 2, np.ptp(X, axis=0).max() * 0.62
            # The seconds stand below the points.
            (left, right), (low, high) = (
                center[0] + [-half, half],
                center[1] + [-1.12 * half, 0.88 * half],
            )
            ax.set(xlim=(left, right), ylim=(low, high), xticks=(), yticks=(), aspect="equal")
            text = "< 0.01 s" if seconds < 0.01 else f"{seconds:.{1 + (seconds < 1)}f} s"
            ax.text(0.97, 0.03, text, transform=ax.transAxes, ha="right", fontsize=9)
    for ax, method in zip(axes[0], METHODS, strict=True):
        ax.set_title(TITLES.get(method, method), fontsize=10)
    figure.savefig(path, dpi=110)


# ---- All together


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "which-clusterer.png")
    results = Path(__file__).parent / "results"
    parser.add_argument("--rows", type=Path, default=results / "which_clusterer.jsonl")
    parser.add_argument("--seeds", type=seeds_of, default=range(5), metavar="FIRST-LAST")
    options = parser.parse_args()

    rows: list[dict[str, Any]] = []
    cells = {}
    about = {"kind": "which", "commit": commit(), "processor": machine()["processor"]}
    for method in METHODS:
        labels_of(method, make_blobs(200, random_state=0)[0], 3, 0)
        for data, make in SETS.items():
            X, y = make()
            X = StandardScaler().fit_transform(X)
            n_clusters = N_WITHOUT if y is None else len(np.unique(y))
            for seed in options.seeds:
                labels, seconds = labels_of(method, X, n_clusters, seed)
                ari = None if y is None else adjusted_rand_score(y, alone(labels))
                rows.append(
                    about
                    | {"data": data, "method": method, "seed": seed, "n_clusters": n_clusters}
                    | {"found": len(set(labels) - {-1}), "noise": int((labels < 0).sum())}
                    | {"ari": ari, "seconds": round(seconds, 4)}
                )
                if seed == options.seeds[0]:
                    first = like(y, labels)
            median = float(np.median([row["seconds"] for row in rows[-len(options.seeds) :]]))
            cells[data, method] = X, first, median
            print(method, data, rows[-1]["ari"], median, flush=True)
    options.rows.parent.mkdir(parents=True, exist_ok=True)
    options.rows.write_text("".join(json.dumps(row) + "\n" for row in rows))
    draw(cells, options.output)


if __name__ == "__main__":
    main()
