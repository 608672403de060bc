"""MPCC with its defaults beside KMeans, GaussianMixture and UMAP + GMM: accuracy, NMI, ARI, seconds.

python benchmarks/compare.py                          # digits, five seeds
python benchmarks/compare.py --data digits wine blobs --seeds 5 --output results/small.json
python benchmarks/compare.py --data FILE.npz          # arrays X and y
python benchmarks/compare.py --set max_iter=2000      # other settings of MPCC

Labels are used for the table alone. Wine, iris and breast cancer are standardised for all methods: their
features have different units, which KMeans and GaussianMixture do not scale by themselves.
"""

import argparse
import ast
import importlib.util
import json
import os
import platform
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn import datasets
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture
from sklearn.preprocessing import StandardScaler

from skmpcc import MPCCClusterer
from skmpcc.metrics import clustering_scores

SCORES = ("accuracy", "majority", "nmi", "ari")


def _blobs(n_samples: int, n_features: int, n_clusters: int) -> tuple[NDArray, NDArray]:
    return datasets.make_blobs(n_samples, n_features, centers=n_clusters, random_state=1)[:2]


def _standardised(load: Callable[..., Any]) -> Callable[[], tuple[NDArray, NDArray]]:
    def loader() -> tuple[NDArray, NDArray]:
        X, y = load(return_X_y=True)
        return StandardScaler().fit_transform(X), y

    return loader


DATA: dict[str, Callable[[], tuple[NDArray, NDArray]]] = {
    "digits": lambda: datasets.load_digits(return_X_y=True),
    "iris": _standardised(datasets.load_iris),
    "wine": _standardised(datasets.load_wine),
    "breast_cancer": _standardised(datasets.load_breast_cancer),
    "iris_raw": lambda: datasets.load_iris(return_X_y=True),
    "wine_raw": lambda: datasets.load_wine(return_X_y=True),
    "breast_cancer_raw": lambda: datasets.load_breast_cancer(return_X_y=True),
    "blobs": lambda: _blobs(1000, 2, 5),
    "blobs_10d": lambda: _blobs(1000, 10, 8),
}


def load(name: str, limit: int | None) -> tuple[NDArray, NDArray]:
    """One of DATA, or the arrays X and y of an .npz file, of which the first `limit` samples."""
    if name in DATA:
        X, y = DATA[name]()
    else:
        with np.load(name) as file:
            X, y = file["X"], file["y"]
    return X[:limit], y[:limit]


def _umap_gmm(X: NDArray, n_clusters: int, seed: int) -> NDArray:
    import umap

    n_components = min(10, X.shape[1])
    reducer = umap.UMAP(n_components=n_components, min_dist=0.0, random_state=seed, n_jobs=1)
    embedded = reducer.fit_transform(X)
    return GaussianMixture(n_clusters, random_state=seed).fit_predict(embedded)


def methods(mpcc: dict[str, Any]) -> dict[str, Callable[[NDArray, int, int], NDArray]]:
    """Functions of (X, n_clusters, seed) that return labels; all but MPCC see flattened samples."""
    table = {
        "MPCC": lambda X, k, seed: MPCCClusterer(k, random_state=seed, **mpcc).fit_predict(X),
        "KMeans": lambda X, k, seed: KMeans(k, n_init=10, random_state=seed).fit_predict(_flat(X)),
        "GaussianMixture": lambda X, k, seed: GaussianMixture(k, random_state=seed).fit_predict(
            _flat(X)
        ),
    }
    if importlib.util.find_spec("umap"):
        table["UMAP + GMM"] = lambda X, k, seed: _umap_gmm(_flat(X), k, seed)
    return table


def _flat(X: NDArray) -> NDArray:
    return X.reshape(len(X), -1)


def run(
    name: str, method: Callable[[NDArray, int, int], NDArray], X: NDArray, y: NDArray, seeds: range
) -> list[dict[str, float]]:
    """Scores and seconds of each seed."""
    runs = []
    for seed in seeds:
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            labels = method(X, len(np.unique(y)), seed)
        seconds = time.perf_counter() - start
        runs.append({"seed": seed, "seconds": seconds} | clustering_scores(y, labels))
        print(f"  {name} seed {seed}: accuracy {runs[-1]['accuracy']:.3f}, {seconds:.1f} s", flush=True)
    return runs


def table(results: dict[str, list[dict[str, float]]]) -> str:
    """Markdown: mean, standard deviation and worst over the seeds, and the median of the seconds."""
    lines = [
        "| method | accuracy (worst) | majority | NMI | ARI | seconds |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, runs in results.items():
        values = {key: np.array([run[key] for run in runs]) for key in (*SCORES, "seconds")}
        cells = [f"{values[s].mean():.3f} ± {values[s].std():.3f}" for s in SCORES]
        cells[0] += f" ({values['accuracy'].min():.3f})"
        lines.append(f"| {name} | {' | '.join(cells)} | {np.median(values['seconds']):.1f} |")
    return "\n".join(lines)


def machine() -> dict[str, Any]:
    """What the seconds depend on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", default=["digits"], metavar="NAME or FILE.npz")
    parser.add_argument("--seeds", type=int, default=5, help="how many")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--limit", type=int, help="use the first so many samples")
    parser.add_argument("--methods", nargs="+", help="default: all that are installed")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="parameters of MPCC")
    parser.add_argument("--threads", type=int, help="of torch")
    parser.add_argument("--output", type=Path, help="a JSON file")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)

    mpcc = {}
    for setting in options.set:
        key, value = setting.split("=", 1)
        try:
            mpcc[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            mpcc[key] = value
    chosen = {k: m for k, m in methods(mpcc).items() if options.methods is None or k in options.methods}
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    report = {"machine": machine(), "mpcc": mpcc, "data": {}}
    print(report["machine"])
    for name in options.data:
        X, y = load(name, options.limit)
        print(f"\n{name}: {X.shape}, {len(np.unique(y))} classes, seeds {seeds[0]} to {seeds[-1]}")
        results = {key: run(key, method, X, y, seeds) for key, method in chosen.items()}
        print(table(results))
        report["data"][name] = results
        if options.output:
            options.output.parent.mkdir(parents=True, exist_ok=True)
            options.output.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
