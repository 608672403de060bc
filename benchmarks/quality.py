"""Quality by the protocol of docs/quality.md: many data sets, many seeds, one row a fit.

python benchmarks/quality.py run --data digits iris blobs --seeds 0-4 --output results/dev.jsonl
python benchmarks/quality.py run --data mnist_10k --mnist mnist.npz --output results/dev.jsonl
python benchmarks/quality.py run --methods MPCC KMeans --set n_init=5 --output results/five.jsonl
python benchmarks/quality.py run --methods VaDE DEC IDEC --data digits --output results/deep.jsonl
python benchmarks/quality.py table results/*.jsonl       # mean, spread and worst
python benchmarks/quality.py ranks results/runs.jsonl    # how well label-free criteria rank runs

A file is added to: rows that it has already are not fitted again, so that the same command goes on
after an interruption. Labels are used in the rows' scores alone. Runs are side by side with one thread
each, unless --jobs 1; their seconds are then those of a core that has a neighbour.
"""

import argparse
import ast
import json
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from compare import load as load_small
from compare import methods
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy.stats import entropy, spearmanr
from sklearn import datasets
from sklearn.metrics import adjusted_rand_score

from skmpcc import MPCCClusterer
from skmpcc.metrics import clustering_scores
from skmpcc.neighbors import NeighborGraph, PairInformation, neighbor_information
from skmpcc.scoring import N_NEIGHBORS

Data = tuple[NDArray, NDArray]


# ---- Data sets


def blobs(n_clusters: int, n_features: int, *, sizes: str = "equal", spreads: str = "equal") -> Data:
    """Gaussian blobs, 100 samples a cluster on average; sizes and deviations up to 10:1 and 3:1."""
    n_samples = max(500, 100 * n_clusters)
    shares = np.geomspace(1, 10, n_clusters) if sizes == "unequal" else np.ones(n_clusters)
    counts = np.maximum(10, np.round(n_samples * shares / shares.sum())).astype(int)
    stds = np.geomspace(0.5, 1.5, n_clusters) if spreads == "unequal" else np.ones(n_clusters)
    # in few dimensions the usual box is too small for many clusters
    box = 10.0 * max(1.0, n_clusters / 8) if n_features == 2 else 10.0
    return datasets.make_blobs(
        counts, n_features, cluster_std=np.random.default_rng(3).permutation(stds),
        center_box=(-box, box), random_state=7,
    )[:2]  # fmt: skip


def unbalanced_digits() -> Data:
    """Digits 5 to 9 at a tenth of the others."""
    X, y = datasets.load_digits(return_X_y=True)
    keep = (y < 5) | (np.random.default_rng(0).random(len(y)) < 0.1)
    return X[keep], y[keep]


SETS: dict[str, Callable[[], Data]] = {
    "digits": lambda: load_small("digits", None),
    "digits_images": lambda: (datasets.load_digits().images, datasets.load_digits().target),
    "digits_10_to_1": unbalanced_digits,
    "iris": lambda: load_small("iris", None),
    "wine": lambda: load_small("wine", None),
    "breast_cancer": lambda: load_small("breast_cancer", None),
    "moons": lambda: datasets.make_moons(1000, noise=0.05, random_state=0),
    "circles": lambda: datasets.make_circles(1000, noise=0.05, factor=0.5, random_state=0),
    "blobs_3_in_2": lambda: blobs(3, 2),
    "blobs_8_in_2": lambda: blobs(8, 2),
    "blobs_20_in_2": lambda: blobs(20, 2),
    "blobs_3_in_10": lambda: blobs(3, 10),
    "blobs_20_in_10": lambda: blobs(20, 10),
    "blobs_8_in_100": lambda: blobs(8, 100),
    "blobs_20_in_100": lambda: blobs(20, 100),
    "blobs_5_sizes": lambda: blobs(5, 2, sizes="unequal"),
    "blobs_8_sizes_in_10": lambda: blobs(8, 10, sizes="unequal"),
    "blobs_5_spreads": lambda: blobs(5, 2, spreads="unequal"),
    "blobs_8_spreads_in_10": lambda: blobs(8, 10, spreads="unequal"),
}
BLOBS = [name for name in SETS if name.startswith("blobs")]
GROUPS = {
    "blobs": BLOBS,
    "small": ["iris", "wine", "breast_cancer", "moons", "circles"],
    "development": ["digits", "iris", "wine", "breast_cancer", "moons", "circles", *BLOBS],
}
FROM_FILES = {
    "mnist_10k": ("mnist", 0, False),
    "mnist_10k_images": ("mnist", 0, True),
    "mnist_other_10k": ("mnist", 10_000, False),
    "mnist_other_10k_images": ("mnist", 10_000, True),
    "mnist_60k": ("mnist", 10_000, False),
    "mnist_60k_images": ("mnist", 10_000, True),
    "fashion_10k": ("fashion", 0, False),
    "fashion_10k_images": ("fashion", 0, True),
}


def load(name: str, files: dict[str, Path]) -> Data:
    """A set of SETS, or samples of a file: 10,000, in an order drawn once, or all behind those."""
    if name not in FROM_FILES:
        return SETS[name]()
    source, start, images = FROM_FILES[name]
    with np.load(files[source]) as file:
        X, y = file["X"], file["y"]
    order = np.random.default_rng(0).permutation(len(X))
    order = order[start:] if "60k" in name else order[start : start + 10_000]
    X = X[order]
    return (X if images else X.reshape(len(X), -1)), y[order]


# ---- Rows


def criteria(clusterer: MPCCClusterer, X: NDArray) -> dict[str, float]:
    """What may rank runs without labels; higher is meant to be better."""
    flat = X.reshape(len(X), -1).astype(float)
    proba = clusterer.predict_proba(X)
    share = np.bincount(clusterer.labels_, minlength=proba.shape[1]) / len(X)
    rebuilt = clusterer.reconstruct(X).reshape(flat.shape)
    # `sample` is fixed by an integer random_state
    new, drawn = clusterer.sample(2000)

    def information(values: torch.Tensor) -> PairInformation:
        random = torch.Generator().manual_seed(0)
        graph = NeighborGraph.of(values, N_NEIGHBORS, len(clusterer.means_), random)
        return neighbor_information(torch.as_tensor(clusterer.labels_)[graph.rows], graph)

    found = information(clusterer._fitted.format.encode_all(X))
    return {
        "neighbors": sum(found),
        "neighbors' agreement": found.agreement,
        "neighbors of codes": sum(information(torch.as_tensor(clusterer.transform(X)))),
        "log_density": float(clusterer.score_samples(X).mean()),
        "reconstruction": -float(np.square(rebuilt - flat).sum() / np.square(flat - flat.mean(0)).sum()),
        "certainty": -float(entropy(proba, axis=1).mean()),
        "balance": float(entropy(share)),
        "cycle": float(np.mean(clusterer.predict(new) == drawn)),
    }


def others() -> dict[str, Callable[[NDArray, int, int], NDArray]]:
    """What MPCC is compared with; VaDE, DEC and IDEC, with their defaults, are clustpy's."""

    def deep(method: str, X: NDArray, n_clusters: int, seed: int) -> NDArray:
        import clustpy.deep

        flat = X.reshape(len(X), -1).astype(np.float32)
        low, high = flat.min(), flat.max()
        clusterer = getattr(clustpy.deep, method)(n_clusters=n_clusters, random_state=seed)
        return np.asarray(clusterer.fit((flat - low) / (high - low)).labels_)

    return methods({}) | {name: partial(deep, name) for name in ("VaDE", "DEC", "IDEC")}


def row(name: str, X: NDArray, y: NDArray, method: str, seed: int, settings: dict, jobs: int) -> dict:
    if jobs > 1:
        torch.set_num_threads(1)
    n_clusters = settings.get("n_clusters") or len(np.unique(y))
    settings = {key: value for key, value in settings.items() if key != "n_clusters"}
    out: dict[str, Any] = {"data": name, "method": method, "seed": seed, "set": settings}
    out["n_clusters"] = n_clusters
    start = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if method == "MPCC":
            clusterer = MPCCClusterer(n_clusters, random_state=seed, **settings).fit(X)
            labels = clusterer.labels_
        else:
            labels = others()[method](X, n_clusters, seed)
    out["seconds"] = time.perf_counter() - start
    out |= clustering_scores(y, labels)
    if method == "MPCC":
        out["warned"] = sorted({type(w.message).__name__ for w in caught})
        out["n_iter"], out["preset"] = clusterer.n_iter_, clusterer.preset_
        out["criteria"] = criteria(clusterer, X)
        out["labels"] = labels.tolist()
    return out


def run(options: argparse.Namespace) -> None:
    settings = {}
    for item in options.set:
        key, value = item.split("=", 1)
        try:
            settings[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            settings[key] = value
    first, last = (int(part) for part in (options.seeds + "-" + options.seeds).split("-")[:2])
    names = [name for item in options.data for name in GROUPS.get(item, [item])]
    files = {"mnist": options.mnist, "fashion": options.fashion}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    done = {(r["data"], r["method"], r["seed"], json.dumps(r["set"])) for r in read([options.output])}
    plain = {key: value for key, value in settings.items() if key != "n_clusters"}
    for name in names:
        X, y = load(name, files)
        wanted = [
            (method, seed)
            for seed in range(first, last + 1)
            for method in options.methods
            if (name, method, seed, json.dumps(plain)) not in done
        ]
        rows = Parallel(options.jobs, return_as="generator_unordered")(
            delayed(row)(name, X, y, method, seed, settings, options.jobs) for method, seed in wanted
        )
        for result in rows:
            with options.output.open("a") as file:
                file.write(json.dumps(result) + "\n")
            shown = ("data", "method", "seed", "accuracy", "nmi", "ari", "seconds")
            print(*(f"{v:.3f}" if isinstance(v := result[k], float) else v for k in shown), flush=True)


# ---- Reports


def read(paths: list[Path]) -> list[dict[str, Any]]:
    return [json.loads(line) for path in paths if path.exists() for line in path.open()]


def table(options: argparse.Namespace) -> None:
    groups = defaultdict(list)
    for r in read(options.files):
        given = ", ".join(f"{k}={v}" for k, v in r["set"].items())
        groups[r["data"], r["method"] + (f" ({given})" if given else "")].append(r)
    print("| data | method | fits | accuracy (worst) | NMI | ARI (worst) | seconds |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for (name, method), rows in sorted(groups.items()):
        values = {k: np.array([r[k] for r in rows]) for k in ("accuracy", "nmi", "ari", "seconds")}
        cells = [f"{values[k].mean():.3f} ± {values[k].std():.3f}" for k in ("accuracy", "nmi", "ari")]
        cells[0] += f" ({values['accuracy'].min():.3f})"
        cells[2] += f" ({values['ari'].min():.3f})"
        seconds = np.median(values["seconds"])
        print(f"| {name} | {method} | {len(rows)} | {' | '.join(cells)} | {seconds:.1f} |")


def ranks(options: argparse.Namespace) -> None:
    """Spearman's correlation of each criterion with accuracy over the runs of a data set."""
    groups = defaultdict(list)
    for r in read(options.files):
        if "criteria" in r:
            groups[r["data"]].append(r)
    for name, rows in sorted(groups.items()):
        accuracy = np.array([r["accuracy"] for r in rows])
        found = {key: np.array([r["criteria"][key] for r in rows]) for key in rows[0]["criteria"]}
        labels = [r["labels"] for r in rows]
        agreement = np.array([[adjusted_rand_score(a, b) for b in labels] for a in labels])
        found["agreement of runs"] = (agreement.sum(1) - 1) / (len(rows) - 1)
        line = [f"{k} {spearmanr(v, accuracy).statistic:.2f}" for k, v in found.items()]
        print(
            f"{name} ({len(rows)} runs, accuracy {accuracy.min():.3f} to {accuracy.max():.3f}): ", end=""
        )
        print(", ".join(line))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    runs = commands.add_parser("run")
    runs.set_defaults(function=run)
    runs.add_argument("--data", nargs="+", default=["development"])
    runs.add_argument("--seeds", default="0-4", help="FIRST-LAST")
    runs.add_argument("--methods", nargs="+", default=["MPCC"])
    runs.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="parameters of MPCC")
    runs.add_argument("--jobs", type=int, default=2)
    runs.add_argument("--mnist", type=Path, help="an .npz file with X and y")
    runs.add_argument("--fashion", type=Path, help="likewise")
    runs.add_argument("--output", type=Path, required=True, help="a file of JSON lines")
    for name, function in (("table", table), ("ranks", ranks)):
        command = commands.add_parser(name)
        command.set_defaults(function=function)
        command.add_argument("files", nargs="+", type=Path)
    options = parser.parse_args()
    options.function(options)


if __name__ == "__main__":
    main()
