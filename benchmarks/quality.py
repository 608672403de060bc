"""Quality of the clusters on many data sets and seeds, one line of JSON for each fit.

python benchmarks/quality.py run --data digits iris blobs --seeds 0-4 --output results/development.jsonl
python benchmarks/quality.py run --data mnist_10k --mnist mnist.npz --output results/development.jsonl
python benchmarks/quality.py run --data FILE.npz --output results/mine.jsonl     # arrays X and y
python benchmarks/quality.py run --data suite --tables tables.npz --half choosing --seeds 0-2 \
    --methods pseudo-labels KMeans --output results/suite.jsonl
python benchmarks/quality.py run --set n_init=5 --output results/five.jsonl      # parameters of MPCC
python benchmarks/quality.py run --methods VaDE DEC IDEC --data digits --output results/deep.jsonl
python benchmarks/quality.py ranks results/runs.jsonl    # how well label-free criteria rank runs

A file is added to, and rows that it has already are not fitted again, so that the same command goes on
after an interruption. Labels enter the rows' scores alone; for MPCC those of its pseudo-labels stand
beside the final ones. Fits run side by side with one thread each, unless --jobs 1; their seconds are
then those of a core that has a neighbour. `benchmarks/tables.py` makes tables of the rows.

--tables names a file of several data sets, arrays NAME_X and NAME_y. They are known by their names, and
"tables" is all of them. The label 0 is noise, which all methods see and no score counts. Names that
begin with real_ are standardised, others taken as they are. "suite" is these sets and those of
common.SUITE. It is halved by the sets' names: --half takes those on which settings may be chosen, those
which confirm them, or both, and marks the rows as the suite's, which tables of other rows leave out.
The method "pseudo-labels" is MPCC's search for them alone, without the training.
"""

import argparse
import json
import time
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import (
    FROM_FILES,
    GROUPS,
    NOISE,
    SUITE,
    commit,
    half_of,
    load,
    machine,
    rivals,
    seeds_of,
    setting,
    table_names,
)
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy.stats import entropy, spearmanr
from sklearn.metrics import adjusted_rand_score

from skmpcc import MPCCClusterer
from skmpcc.metrics import clustering_scores
from skmpcc.pseudo_labels.graph import NeighborGraph, PairInformation, neighbor_information
from skmpcc.pseudo_labels.search import find_pseudo_labels
from skmpcc.system.processes import ALONE

# ---- Rows


def criteria(clusterer: MPCCClusterer, X: NDArray) -> dict[str, float]:
    """Compute what may rank runs without labels; higher is meant to be better."""
    flat = X.reshape(len(X), -1).astype(float)
    proba = clusterer.predict_proba(X)
    share = np.bincount(clusterer.labels_, minlength=proba.shape[1]) / len(X)
    rebuilt = clusterer.reconstruct(X).reshape(flat.shape)
    # An integer random_state fixes what `sample` draws.
    new, drawn = clusterer.sample(2000)

    def information(values: torch.Tensor, *, all_values: bool = False) -> PairInformation:
        rng = torch.Generator().manual_seed(0)
        n_neighbors, n_clusters = clusterer._fitted.n_neighbors, len(clusterer.means_)
        graph = NeighborGraph.from_data(values, n_neighbors, n_clusters, rng, all_values=all_values)
        return neighbor_information(torch.as_tensor(clusterer.labels_)[graph.rows], graph)

    data_format = clusterer._fitted.format
    found = information(data_format.encode_all(X), all_values=data_format.one_length)
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


def pseudo_labels(X: NDArray, clusterer: MPCCClusterer) -> NDArray:
    """Find the labels that a fit on rows X teaches its networks with."""
    fit, data = clusterer._fit_of(X, ALONE)
    rng = torch.Generator(fit.device).manual_seed(fit.seeds[0].pseudo_labels)
    kind, n_clusters = fit.settings.pseudo_labels, clusterer.n_clusters
    found = find_pseudo_labels(kind, data.encoded, data.graph, n_clusters, rng)
    return data.row_map.to_given(found.labels.cpu().numpy())


def row(
    name: str, X: NDArray, y: NDArray, method: str, seed: int, options: argparse.Namespace
) -> dict[str, Any]:
    """Fit one method with one seed, and score its labels."""
    if options.jobs > 1:
        torch.set_num_threads(1)
    settings = dict(options.settings)
    scored = y != NOISE
    n_clusters = settings.pop("n_clusters", None) or len(np.unique(y[scored]))
    out: dict[str, Any] = {"data": name, "method": method, "seed": seed, "set": settings}
    out["n_clusters"], out["processor"] = n_clusters, machine()["processor"]
    start = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if method == "MPCC":
            clusterer = MPCCClusterer(n_clusters, random_state=seed, **settings).fit(X)
            labels = clusterer.labels_
        elif method == "pseudo-labels":
            labels = pseudo_labels(X, MPCCClusterer(n_clusters, random_state=seed, **settings))
        else:
            labels = rivals()[method](X.reshape(len(X), -1), n_clusters, seed)
    out["seconds"] = time.perf_counter() - start
    out |= clustering_scores(y[scored], labels[scored])
    if method == "MPCC":
        out["warned"] = sorted({type(w.message).__name__ for w in caught})
        out["n_iter"], out["preset"] = clusterer.n_iter_, clusterer.preset_
        if clusterer.pseudo_labels_ is not None:
            out["pseudo_labels"] = clustering_scores(y[scored], clusterer.pseudo_labels_[scored])
        if options.criteria:
            out["criteria"] = criteria(clusterer, X)
            out["labels"] = labels.tolist()
    return out


def names_of(items: list[str], files: dict[str, Path | None]) -> list[str]:
    """Names of the data sets that --data names, singly or by groups."""
    tables = table_names(files["tables"])
    # Images are part of the suite where their file is at hand.
    suite = [name for name in SUITE if name not in FROM_FILES or files[FROM_FILES[name][0]]]
    groups = GROUPS | {"tables": tables, "suite": tables + suite}
    if {"tables", "suite"} & set(items) and not tables:
        raise SystemExit("tables and suite need --tables, an .npz file with NAME_X and NAME_y.")
    return list(dict.fromkeys(name for item in items for name in groups.get(item, [item])))


def run(options: argparse.Namespace) -> None:
    """Fit what the file does not have yet."""
    options.settings = dict(map(setting, options.set))
    files = {"mnist": options.mnist, "fashion": options.fashion, "tables": options.tables}
    names = names_of(options.data, files)
    if options.half != "both":
        names = [name for name in names if options.half in (None, half_of(name))]
    options.output.parent.mkdir(parents=True, exist_ok=True)
    done = {(r["data"], r["method"], r["seed"], json.dumps(r["set"])) for r in read([options.output])}
    plain = {key: value for key, value in options.settings.items() if key != "n_clusters"}
    for name in names:
        X, y = load(name, files)
        if options.max_samples is not None and len(X) > options.max_samples:
            print(name, f"has {len(X)} samples and is left out")
            continue
        wanted = [
            (method, seed)
            for seed in seeds_of(options.seeds)
            for method in options.methods
            if (name, method, seed, json.dumps(plain)) not in done
        ]
        options_of_row = argparse.Namespace(
            **{key: vars(options)[key] for key in ("jobs", "settings", "criteria")}
        )
        rows = Parallel(options.jobs, return_as="generator_unordered")(
            delayed(row)(name, X, y, method, seed, options_of_row) for method, seed in wanted
        )
        for result in rows:
            if options.half is not None:
                result["kind"] = "suite"
            result["commit"] = commit()
            with options.output.open("a") as file:
                file.write(json.dumps(result) + "\n")
            shown = ("data", "method", "seed", "accuracy", "nmi", "ari", "seconds")
            print(*(f"{v:.3f}" if isinstance(v := result[k], float) else v for k in shown), flush=True)


# ---- Reports


def read(paths: list[Path]) -> list[dict[str, Any]]:
    """Read rows of all files that exist."""
    return [json.loads(line) for path in paths if path.exists() for line in path.open()]


def ranks(options: argparse.Namespace) -> None:
    """Print Spearman's correlation of each criterion with accuracy over the runs of a data set."""
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
    runs.add_argument("--data", nargs="+", default=["development"], metavar="NAME or FILE.npz")
    runs.add_argument("--half", choices=["choosing", "confirming", "both"], help="of the suite")
    runs.add_argument("--max-samples", type=int, help="leave out larger data sets")
    runs.add_argument("--seeds", default="0-4", help="FIRST-LAST")
    runs.add_argument("--methods", nargs="+", default=["MPCC"])
    runs.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="parameters of MPCC")
    runs.add_argument("--criteria", action="store_true", help="compute what `ranks` needs")
    runs.add_argument("--jobs", type=int, default=2)
    runs.add_argument("--mnist", type=Path, help="an .npz file with X and y")
    runs.add_argument("--fashion", type=Path, help="likewise")
    runs.add_argument("--tables", type=Path, help="an .npz file with NAME_X and NAME_y of several sets")
    runs.add_argument("--output", type=Path, required=True, help="a file of JSON lines")
    command = commands.add_parser("ranks")
    command.set_defaults(function=ranks)
    command.add_argument("files", nargs="+", type=Path)
    options = parser.parse_args()
    options.function(options)


if __name__ == "__main__":
    main()
