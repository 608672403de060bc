"""How often the number of clusters is found, beside other criteria.

python benchmarks/n_clusters.py --output results/n_clusters.jsonl               # sets of common.py
python benchmarks/n_clusters.py --drawn --output results/n_clusters.jsonl       # of number_sets.py
python benchmarks/n_clusters.py --data FILE.npz --output results/mine.jsonl     # arrays NAME_X, NAME_y

The label 0 of a file is noise, which is not a cluster; its sets are read as by quality.py. Sets of more
than 20 clusters or 5,000 samples and images are left out. A file is added to, and sets that it has
already are not run again. All methods see the data as the networks do.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from common import NOISE, SETS, commit, load, table_names
from number_sets import drawn
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import silhouette_score
from sklearn.mixture import GaussianMixture

from skmpcc.data.inputs import InputFormat, Layout
from skmpcc.model_selection import suggest_n_clusters

NUMBERS = np.arange(2, 21)
MAX_SAMPLES = 5000


def prediction_strength(X: NDArray, seed: int) -> int:
    return suggest_n_clusters(X, NUMBERS, random_state=seed).n_clusters


def silhouette(X: NDArray, seed: int) -> int:
    """KMeans of the largest mean silhouette, of 2,000 samples."""
    found = [KMeans(k, n_init=3, random_state=seed).fit_predict(X) for k in NUMBERS]
    n = min(2000, len(X))
    scores = [silhouette_score(X, labels, sample_size=n, random_state=seed) for labels in found]
    return int(NUMBERS[np.argmax(scores)])


def bic(X: NDArray, seed: int) -> int:
    """GaussianMixture of the least BIC, of principal components where features are many."""
    if X.shape[1] > 64:
        X = PCA(32, random_state=seed).fit_transform(X)
    floor = 1e-3 * X.var(axis=0).mean()
    mixtures = (GaussianMixture(k, reg_covar=floor, random_state=seed).fit(X) for k in NUMBERS)
    return int(NUMBERS[np.argmin([mixture.bic(X) for mixture in mixtures])])


def gap(X: NDArray, seed: int) -> int:
    """Gap statistic (Tibshirani et al., 2001): five uniform references in the box of the main axes."""
    axes = PCA(random_state=seed).fit_transform(X)
    low, high = axes.min(axis=0), axes.max(axis=0)
    rng = np.random.default_rng(seed)

    def log_inertia(X: NDArray, n_init: int) -> NDArray:
        fits = (KMeans(k, n_init=n_init, random_state=seed).fit(X) for k in NUMBERS)
        return np.log([fit.inertia_ for fit in fits])

    references = np.array([log_inertia(rng.uniform(low, high, axes.shape), 1) for _ in range(5)])
    gaps = references.mean(axis=0) - log_inertia(axes, 3)
    errors = references.std(axis=0) * np.sqrt(1 + 1 / len(references))
    enough = np.flatnonzero(gaps[:-1] >= (gaps - errors)[1:])
    return int(NUMBERS[enough[0] if len(enough) else -1])


METHODS: dict[str, Callable[[NDArray, int], int]] = {
    "prediction strength": prediction_strength,
    "silhouette, KMeans": silhouette,
    "BIC, GaussianMixture": bic,
    "gap, KMeans": gap,
    "always 2": lambda X, seed: 2,
    "always 3": lambda X, seed: 3,
}


def sets_of(options: argparse.Namespace) -> Iterator[tuple[str, tuple[NDArray, NDArray]]]:
    """Names of the sets that are asked for, and the sets."""
    if options.drawn:
        arrays = drawn()
        for name in sorted(key.removesuffix("_X") for key in arrays if key.endswith("_X")):
            yield name, (arrays[f"{name}_X"], arrays[f"{name}_y"])
        return
    for name in sorted(SETS if options.data is None else table_names(options.data)):
        yield name, load(name, {"tables": options.data})


def run(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Run the methods on the sets that the file does not have yet; return all of its rows."""
    rows = []
    if options.output.exists():
        rows = [json.loads(line) for line in options.output.open()]
    options.output.parent.mkdir(parents=True, exist_ok=True)
    for name, (X, y) in sets_of(options):
        n_clusters = len(np.unique(y[y != NOISE]))
        if X.ndim > 2 or n_clusters > NUMBERS[-1] or len(X) > MAX_SAMPLES:
            continue
        if any((row["data"], row["seed"]) == (name, options.seed) for row in rows):
            continue
        X = InputFormat.from_data(X, Layout(X.shape[1:])).encode_all(X).numpy().astype(float)
        row = {
            "kind": "number",
            "data": name,
            "seed": options.seed,
            "samples": len(X),
            "n_clusters": n_clusters,
        }
        row |= {"group": "drawn" if options.drawn else (options.data and options.data.stem) or "suite"}
        row |= {"commit": commit()}
        row |= {"found": {}, "seconds": {}}
        for method in options.methods:
            start = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                row["found"][method] = METHODS[method](X, options.seed)
            row["seconds"][method] = round(time.perf_counter() - start, 2)
        print(name, X.shape, n_clusters, row["found"], flush=True)
        rows.append(row)
        with options.output.open("a") as file:
            file.write(json.dumps(row) + "\n")
    return rows


def report(rows: list[dict[str, Any]]) -> None:
    """Print how often each method is right, or off by one at most."""
    print(f"\n| {len(rows)} runs | exactly | within one | median seconds |\n| --- | --- | --- | --- |")
    for method in METHODS:
        having = [row for row in rows if method in row["found"]]
        if not having:
            continue
        off = np.array([abs(row["found"][method] - row["n_clusters"]) for row in having])
        seconds = np.median([row["seconds"][method] for row in having])
        print(f"| {method} | {(off == 0).sum()} | {(off <= 1).sum()} | {seconds:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path)
    parser.add_argument("--drawn", action="store_true", help="the sets of number_sets.py")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    report(run(parser.parse_args()))


if __name__ == "__main__":
    main()
