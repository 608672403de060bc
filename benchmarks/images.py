"""Clusters of sets of small images, a line of JSON for each set, seed and method.

python benchmarks/images.py --data sets/ --seeds 0-4 --output images.jsonl
python benchmarks/images.py --data mnist.npz fashion_mnist.npz --limit 10000 --rare 5 6 7 8 9
python benchmarks/tables.py --show images images.jsonl

A set is an .npz file with images `X` of shape (n, height, width) or (n, height, width, 3) and kinds `y`,
or a folder of such files. With --limit so many images are drawn from larger sets, by the seed; with
--rare a tenth of the images of these kinds. Methods: "labels" is MPCCClusterer(labels_only=True),
"whole" its default, both with figures of their pseudo-labels beside, "kmeans" KMeans on pixels. Lines
that the file has already are not made again.
"""

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from common import commit, machine, seeds_of
from numpy.typing import NDArray
from quality import read
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from skmpcc import MPCCClusterer
from skmpcc.metrics import clustering_scores

METHODS = ("kmeans", "labels", "whole")
RARE_SHARE = 0.1


def sets_of(paths: list[Path]) -> dict[str, Path]:
    """Files by the names of their sets."""
    files = [
        file for path in paths for file in (sorted(path.glob("*.npz")) if path.is_dir() else [path])
    ]
    return {file.stem: file for file in files}


def load(file: Path, limit: int | None, rare: list[int], seed: int) -> tuple[NDArray, NDArray]:
    """Images of a set and numbers of their kinds."""
    with np.load(file) as arrays:
        X, y = arrays["X"], arrays["y"]
    rng = np.random.default_rng(seed)
    if limit is not None and len(X) > limit:
        drawn = rng.permutation(len(X))[:limit]
        X, y = X[drawn], y[drawn]
    if rare:
        keep = ~np.isin(y, rare) | (rng.random(len(y)) < RARE_SHARE)
        X, y = X[keep], y[keep]
    return X, np.unique(y, return_inverse=True)[1]


def run(method: str, X: NDArray, y: NDArray, seed: int) -> dict[str, Any]:
    """Cluster the images, and compare the clusters with their kinds."""
    k = int(y.max()) + 1
    begin = time.perf_counter()
    if method == "kmeans":
        labels = KMeans(k, n_init=10, random_state=seed).fit_predict(X.reshape(len(X), -1) / 255.0)
        return {"seconds": time.perf_counter() - begin} | clustering_scores(y, labels)
    clusterer = MPCCClusterer(k, labels_only=method == "labels", random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        clusterer.fit(X)
    seconds = time.perf_counter() - begin
    scores = clustering_scores(y, clusterer.labels_)
    return {
        "seconds": seconds,
        **scores,
        "pseudo_labels": clustering_scores(y, clusterer.pseudo_labels_),
        "choice": clusterer.pseudo_label_choice_,
        "n_iter": clusterer.n_iter_,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["kmeans", "labels"])
    parser.add_argument("--seeds", type=seeds_of, default=[0])
    parser.add_argument("--limit", type=int)
    parser.add_argument("--rare", type=int, nargs="+", default=[])
    parser.add_argument("--output", type=Path, default=Path("images.jsonl"))
    given = parser.parse_args()
    done = read([given.output]) if given.output.exists() else []
    drawn = {"limit": given.limit, "rare": given.rare}
    for name, file in sets_of(given.data).items():
        for seed in given.seeds:
            X, y = load(file, given.limit, given.rare, seed)
            for method in given.methods:
                key = {"kind": "images", "data": name, "method": method, "seed": seed, **drawn}
                if any(key.items() <= row.items() for row in done):
                    continue
                shape = {"n": len(X), "shape": list(X.shape[1:]), "n_kinds": int(y.max()) + 1}
                row = key | shape | run(method, X, y, seed) | {"commit": commit(), **machine()}
                with given.output.open("a") as stream:
                    stream.write(json.dumps(row) + "\n")
                print(
                    f"{name}, seed {seed}, {method}: ARI {row['ari']:.3f}, {row['seconds']:.0f} s",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
