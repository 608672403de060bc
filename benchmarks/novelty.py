"""Detection of a class that was left out of the training, a line of JSON for each fit and score.

python benchmarks/novelty.py --data tables.npz --seeds 0-2
python benchmarks/novelty.py --data tables.npz --methods AIM MPCCClusterer --limit 20
python benchmarks/novelty.py --summary

Of each table (the arrays NAME_X and NAME_y of real_* in the file, and those of scikit-learn) each seed
leaves out another class of ten rows or more, as the outliers. Half of the other rows train, the rest of
both are told apart: AUC, and average precision of the outliers. Settings: "clean", the training rows are
inliers alone; "contaminated", outliers are added to them, 5 % of their number. Those are left out of the
test in both settings, so that it is the same.

Columns are standardised by the training rows, but for pixels. Of tables with more than 5,000 rows as
many are drawn. Methods are told the number of classes of inliers: GaussianMixture and the clusterers
take it. Classes of this package, MPCCClusterer, VaDEClusterer, AIM and VAE, have their defaults. They
are fitted once for all of their scores, and have a row for each, with the method "METHOD, by". Rows that
the file has already are not made again; --limit ends after so many new rows.
"""

import argparse
import json
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import commit, load, machine, seeds_of, setting, table_names
from numpy.typing import NDArray
from quality import read
from scipy.stats import rankdata, skew
from sklearn.covariance import EllipticEnvelope, LedoitWolf
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.preprocessing import StandardScaler

import skmpcc
from skmpcc.fitted.model import SCORES

TABLES = ("iris", "wine", "breast_cancer", "digits")
SETTINGS = ("clean", "contaminated")
CONTAMINATION = 0.05
MAX_ROWS = 5000
LEAST_OUTLIERS = 10
OURS = ("MPCCClusterer", "AIM", "VAE", "VaDEClusterer")

# Scores of test rows, low for outliers.
Score = Callable[[NDArray], NDArray]


# ---- Methods, of training rows, number of inliers' classes and seed


def _mcd(X: NDArray, k: int, seed: int) -> Score:
    """Distances by the robust covariance, or a shrunk one where it is singular."""
    try:
        return EllipticEnvelope(random_state=seed).fit(X).score_samples
    except ValueError:
        shrunk = LedoitWolf().fit(X)
        return lambda rows: -shrunk.mahalanobis(rows)


def _neighbors(X: NDArray, k: int, seed: int) -> Score:
    finder = NearestNeighbors(n_neighbors=5).fit(X)
    return lambda rows: -finder.kneighbors(rows)[0][:, -1]


def _ecod(X: NDArray, k: int, seed: int) -> Score:
    """Sums of log tail probabilities of the columns (Li et al., 2022), the least of three.

    Of both tails, and of that to which a column is skewed.
    """
    columns, n = np.sort(X, axis=0), len(X)
    skewed = skew(X, axis=0) < 0

    def score(rows: NDArray) -> NDArray:
        up_to, from_on = (
            np.stack(
                [np.searchsorted(c, x, side) for c, x in zip(columns.T, rows.T, strict=True)], axis=1
            )
            for side in ("right", "left")
        )
        left, right = np.log((up_to + 1) / (n + 1)), np.log((n - from_on + 1) / (n + 1))
        by_skew = np.where(skewed, left, right)
        return np.min([tails.sum(axis=1) for tails in (left, right, by_skew)], axis=0)

    return score


def _mixture(X: NDArray, k: int, seed: int) -> Score:
    return GaussianMixture(k, reg_covar=1e-3, random_state=seed).fit(X).score_samples


RIVALS: dict[str, Callable[[NDArray, int, int], Score]] = {
    "MCD": _mcd,
    "IsolationForest": lambda X, k, seed: IsolationForest(random_state=seed).fit(X).score_samples,
    "5th neighbour": _neighbors,
    "LOF": lambda X, k, seed: LocalOutlierFactor(novelty=True).fit(X).score_samples,
    "ECOD": _ecod,
    "GaussianMixture": _mixture,
}


def scores_by_name(
    method: str, X: NDArray, k: int, seed: int, parameters: dict[str, Any]
) -> dict[str, Score]:
    """Fit a method; its scores by the name that their rows have."""
    if method in RIVALS:
        return {method: RIVALS[method](X, k, seed)}
    number = {"n_clusters": k} if "Clusterer" in method else {}
    fitted = getattr(skmpcc, method)(**number, random_state=seed, **parameters).fit(X)
    return {f"{method}, {by}": partial(fitted.score_samples, by=by) for by in SCORES}


def names_of(method: str) -> list[str]:
    """Names of the rows of a method."""
    return [method] if method in RIVALS else [f"{method}, {by}" for by in SCORES]


# ---- Data


def split(X: NDArray, y: NDArray, seed: int, *, setting: str) -> tuple[NDArray, NDArray, NDArray, int]:
    """Training rows, test rows, which of these are outliers, and the number of inliers' classes."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(X))[:MAX_ROWS]
    X, y = X[rows], y[rows]
    classes, counts = np.unique(y, return_counts=True)
    # In an order drawn once, so that each seed leaves out another.
    order = np.random.default_rng(0).permutation(classes)
    possible = [c for c in order if counts[classes == c] >= LEAST_OUTLIERS]
    is_outlier = y == possible[seed % len(possible)]
    inliers, outliers = np.flatnonzero(~is_outlier), np.flatnonzero(is_outlier)
    train, held = inliers[: len(inliers) // 2], inliers[len(inliers) // 2 :]
    added = outliers[: min(max(1, round(CONTAMINATION * len(train))), len(outliers) // 2)]
    test = np.concatenate([held, outliers[len(added) :]])
    if setting == "contaminated":
        train = np.concatenate([train, added])
    return X[train], X[test], is_outlier[test], len(np.unique(y[held]))


def cases(options: argparse.Namespace) -> Iterator[tuple[str, int, str, str]]:
    """Table, seed, setting and method of each fit."""
    names = [*TABLES, *(n for n in table_names(options.data) if n.startswith("real_"))]
    for name in options.sets or names:
        for seed in seeds_of(options.seeds):
            for each in SETTINGS:
                for method in options.methods:
                    yield name, seed, each, method


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    """Return the arguments that tell rows apart."""
    return tuple(json.dumps(row[name]) for name in ("data", "seed", "setting", "method", "param"))


def rows_of_fit(
    name: str, seed: int, of_setting: str, method: str, options: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Fit and judge; a fit that fails is a row that says why."""
    X, y = load(name, {"tables": options.data})
    keep = y > 0 if name not in TABLES else y >= 0
    train, test, is_outlier, k = split(X[keep], y[keep], seed, setting=of_setting)
    if name != "digits":
        scaler = StandardScaler().fit(train)
        train, test = scaler.transform(train), scaler.transform(test)
    sizes = {"n_train": len(train), "n_test": len(test), "n_outliers": int(is_outlier.sum())}
    parameters = {} if method in RIVALS else dict(map(setting, options.param))
    row = {"kind": "novelty", "data": name, "seed": seed, "setting": of_setting, "param": parameters}
    row |= sizes | {"n_clusters": k, "machine": machine(), "commit": commit()}
    start = time.perf_counter()
    try:
        scores = scores_by_name(method, train, k, seed, parameters)
        seconds = round(time.perf_counter() - start, 2)
        for each, score in scores.items():
            values = -np.asarray(score(test))
            figures = {
                "auc": round(float(roc_auc_score(is_outlier, values)), 4),
                "precision": round(float(average_precision_score(is_outlier, values)), 4),
            }
            yield row | {"method": each, "seconds": seconds} | figures
    except (ValueError, FloatingPointError) as error:
        for each in names_of(method):
            yield row | {"method": each, "error": str(error)}


def run(options: argparse.Namespace) -> None:
    """Make the rows that the file does not have."""
    done, made = {key(r) for r in read([options.output])}, 0
    given = dict(map(setting, options.param))
    for name, seed, of_setting, method in cases(options):
        param = {} if method in RIVALS else given
        names = names_of(method)
        wanted = {"data": name, "seed": seed, "setting": of_setting, "param": param}
        if {key(wanted | {"method": each}) for each in names} <= done:
            continue
        if made >= options.limit:
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rows = list(rows_of_fit(name, seed, of_setting, method, options))
        with options.output.open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
        made += len(rows)
        shown = ", ".join(f"{row.get('auc', np.nan):.3f}" for row in rows)
        print(
            name, seed, of_setting, method, shown, f"{rows[0].get('seconds', np.nan):.1f} s", flush=True
        )


def summary(options: argparse.Namespace) -> None:
    """Print means over tables, each the mean of its seeds, and mean ranks of the AUC."""
    found: dict[str, dict[str, dict[str, list]]] = {each: {} for each in SETTINGS}
    for row in read([options.output]):
        if "auc" in row:
            tables = found[row["setting"]].setdefault(row["method"], defaultdict(list))
            tables[row["data"]].append((row["auc"], row["precision"], row["seconds"]))
    for of_setting, methods in found.items():
        if not methods:
            continue
        shared = sorted(set.intersection(*(set(tables) for tables in methods.values())))
        figures = np.array(
            [[np.mean(tables[name], axis=0) for name in shared] for tables in methods.values()]
        )
        ranks = rankdata(-figures[..., 0], axis=0).mean(axis=1)
        print(f"{of_setting}, {len(shared)} tables that all methods have")
        print(f"{'method':<32}{'AUC':>7}{'AP':>7}{'rank':>6}{'seconds':>9}")
        for i in np.argsort(ranks):
            auc, precision, seconds = figures[i].mean(axis=0)
            name = list(methods)[i]
            print(f"{name:<32}{auc:7.3f}{precision:7.3f}{ranks[i]:6.1f}{seconds:9.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="an .npz file with arrays NAME_X and NAME_y")
    parser.add_argument("--sets", nargs="+", help="tables by name; all by default")
    methods = [*RIVALS, *OURS]
    parser.add_argument("--methods", nargs="+", default=methods, choices=methods, metavar="METHOD")
    parser.add_argument("--seeds", default="0-2", help="FIRST-LAST")
    parser.add_argument(
        "--param", nargs="*", default=[], metavar="NAME=VALUE", help="parameters of this package's"
    )
    parser.add_argument("--limit", type=int, default=10**9, help="new rows after which to end")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--summary", action="store_true", help="print means of the rows there are")
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent / "results" / "novelty.jsonl"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.summary:
        summary(options)
    else:
        run(options)


if __name__ == "__main__":
    main()
