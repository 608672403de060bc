"""Rows of noise, sure memberships, numbers that stay and rules in words; a line of JSON for each fit.

python benchmarks/inspection.py --data tables.npz
python benchmarks/inspection.py --kind noise --data tables.npz --sets moons wut_x3 --seeds 0
python benchmarks/inspection.py --summary

--data names an .npz file of arrays NAME_X and NAME_y, whose label 0 is noise and whose sets real_* are
standardised. Without it there are the sets of scikit-learn alone. MPCC has `labels_only=True`.

noise: uniform places, in the box of the rows widened by a tenth of its range on each side, are a share
of all rows; three sets have noise of their own instead, and nothing is added. Rows that get the label -1
are compared with what was added: F1, precision and recall, and adjusted Rand index of all other rows, of
which each that is labelled -1 counts as a cluster of its own. MPCC is told the number of clusters, and
the share of noise, "auto", or nothing of noise; HDBSCAN is told neither, and has three least sizes.

calibration: expected calibration error, in 15 bins of the highest membership, of the cluster's class
after a one-to-one match. MPCC's memberships as they come and without their temperature, beside those of
a GaussianMixture of standardised columns.

numbers: a fit of all rows, another with another seed of as many rows drawn with replacement, and
`renumber_clusters`. Of all rows, by what both fits predict: "kept" is the share with the same number
among those in matching clusters; "same" that among all; "same_before" that without the renumbering, and
"same_at_best" that of the best numbering there is. "stability" is the mean of `cluster_stability_` of
the first fit, and "jaccard" that of its clusters with their matches.

rules: `describe_clusters` by the rows of a fit of all rows: mean over clusters of the precision and
recall that it tells. The same of a fit of half of the rows: its rules, read from their text, on the
other half, beside the labels that the fit predicts there.

Rows that the file has already are not made again.
"""

import argparse
import json
import re
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sklearn
import torch
from common import NOISE, alone, commit, load, machine, seeds_of, table_names
from numpy.typing import NDArray
from quality import read
from scipy.optimize import linear_sum_assignment
from sklearn import datasets
from sklearn.cluster import HDBSCAN
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.cluster import contingency_matrix
from sklearn.mixture import GaussianMixture
from sklearn.preprocessing import StandardScaler

from skmpcc import MPCCClusterer
from skmpcc.inspection import describe_clusters, renumber_clusters

Data = tuple[NDArray, NDArray]
Figures = dict[str, float | int | None]

# ---- Noise

MAX_ROWS = 1500
SHARES = (0.0, 0.02, 0.1, 0.2)
BLOBS: dict[str, dict[str, Any]] = {
    "3 blobs": {"centers": 3},
    "5 narrow blobs": {"centers": 5, "cluster_std": 0.6},
    "3 blobs of unequal spread": {"centers": 3, "cluster_std": [0.4, 1.0, 2.0]},
    "5 blobs in 10 dimensions": {"centers": 5, "n_features": 10},
}
CURVES: dict[str, Callable[[int], Data]] = {
    "moons": lambda seed: datasets.make_moons(1000, noise=0.05, random_state=seed),
    "circles": lambda seed: datasets.make_circles(1000, noise=0.05, factor=0.5, random_state=seed),
}
SHAPES = (
    *("wut_x3", "wut_smile", "wut_z3", "wut_mk4", "wut_windows", "wut_trajectories"),
    *("graves_parabolic", "graves_zigzag"),
)
WITH_NOISE = ("graves_ring_noisy", "graves_zigzag_noisy", "graves_zigzag_outliers")
KNOWN, AUTO, ALL = "MPCC, share known", "MPCC, auto", "MPCC, noise not looked for"
SIZES = (5, 15, 50)
HDBSCANS = {f"HDBSCAN, least size {size}": size for size in SIZES}


def group_of(name: str) -> str:
    """The group of sets by which noise is reported."""
    if name in BLOBS:
        return "blobs"
    if name in CURVES:
        return "moons and circles"
    return "own noise" if name in WITH_NOISE else "shapes"


def points(name: str, seed: int, path: Path | None) -> Data:
    """Load or draw a set, at most MAX_ROWS of it; labels are NOISE for noise of its own."""
    if name in BLOBS:
        X, y = datasets.make_blobs(1000, random_state=seed, **BLOBS[name])[:2]
    elif name in CURVES:
        X, y = CURVES[name](seed)
    else:
        X, y = load(name, {"tables": path})
    rows = np.sort(np.random.default_rng(seed).permutation(len(X))[:MAX_ROWS])
    return X[rows], y[rows]


def with_noise(X: NDArray, y: NDArray, share: float, seed: int) -> Data:
    """Add uniform noise, so that it is a share of all rows, and mix the rows."""
    low, high = X.min(axis=0), X.max(axis=0)
    margin = (high - low) / 10
    n_noise = round(share / (1 - share) * len(X))
    rng = np.random.default_rng([seed, 1])
    noise = rng.uniform(low - margin, high + margin, (n_noise, X.shape[1]))
    order = rng.permutation(len(X) + n_noise)
    return np.concatenate([X, noise])[order], np.append(y, np.full(n_noise, NOISE))[order]


def of_noise(name: str, seed: int, method: str, path: Path | None) -> Iterator[Figures]:
    """Figures of one method on rows with each share of noise."""
    X, y = points(name, seed, path)
    if name in WITH_NOISE:
        cases = [(X[y != NOISE], y[y != NOISE]), (X, y)]
    else:
        cases = [with_noise(X, y, share, seed) for share in SHARES]
    for rows, labels in cases:
        share = float((labels == NOISE).mean())
        if share or method != KNOWN:
            yield {"share": round(share, 2), "n_samples": len(rows)} | _noise_figures(
                labels, _labels(rows, labels, seed, method)
            )


def _labels(X: NDArray, y: NDArray, seed: int, method: str) -> NDArray:
    if method in HDBSCANS:
        return HDBSCAN(HDBSCANS[method], copy=True).fit_predict(X / X.std())
    fraction = {KNOWN: float((y == NOISE).mean()), AUTO: "auto", ALL: None}[method]
    n_clusters = len(np.unique(y[y != NOISE]))
    clusterer = MPCCClusterer(n_clusters, outlier_fraction=fraction, labels_only=True, random_state=seed)
    return clusterer.fit(X).labels_


def _noise_figures(y: NDArray, labels: NDArray) -> Figures:
    """F1, precision and recall of the noise, None where there is none, and what is left of clusters."""
    noise, found = y == NOISE, labels == -1
    right = int((noise & found).sum())
    figures: Figures = {
        "flagged": float(found.mean()),
        "ari": float(adjusted_rand_score(y[~noise], alone(labels)[~noise])),
        "n_found": len(np.unique(labels[~found])),
    }
    if noise.any():
        figures["f1"] = 2 * right / int(noise.sum() + found.sum())
        figures["precision"] = right / int(found.sum()) if found.any() else None
        figures["recall"] = right / int(noise.sum())
    return figures


# ---- Calibration

MAX_CALIBRATED, N_BINS = 2000, 15
CALIBRATED = ("iris", "wine", "breast_cancer", "digits", "moons")
CALIBRATED_TABLES = (
    *("real_thy", "real_satimage", "real_yeast", "real_glass", "real_iono"),
    *("real_heart-statlog", "real_tae"),
)
UNSCALED = "MPCC without temperature"


def matched(y: NDArray, labels: NDArray) -> NDArray[np.bool_]:
    """Tell which rows are in the cluster of their class, by the best one-to-one match."""
    counts = contingency_matrix(y, labels)
    classes, clusters = linear_sum_assignment(counts, maximize=True)
    of_cluster = np.full(counts.shape[1], -1)
    of_cluster[clusters] = classes
    return of_cluster[np.unique(labels, return_inverse=True)[1]] == np.unique(y, return_inverse=True)[1]


def calibration_error(highest: NDArray, right: NDArray) -> float:
    """Mean distance between membership and share of right rows, in bins of equal width."""
    bins = np.minimum((highest * N_BINS).astype(int), N_BINS - 1)
    sums = np.bincount(bins, highest - right, minlength=N_BINS)
    return float(np.abs(sums).sum() / len(highest))


def of_calibration(name: str, seed: int, method: str, path: Path | None) -> Iterator[Figures]:
    """Calibration error of one method's memberships."""
    X, y = load(name, {"tables": path})
    rows = np.sort(np.random.default_rng(seed).permutation(len(X))[:MAX_CALIBRATED])
    X, y = X[rows], y[rows]
    n_clusters = len(np.unique(y))
    temperature = None
    if method == "GaussianMixture":
        X = StandardScaler().fit_transform(X)
        mixture = GaussianMixture(n_clusters, reg_covar=1e-4, random_state=seed)
        memberships = mixture.fit(X).predict_proba(X)
    else:
        clusterer = MPCCClusterer(n_clusters, labels_only=True, random_state=seed).fit(X)
        fitted = clusterer._fitted
        temperature = fitted.temperature
        memberships = clusterer.predict_proba(X)
        if method == UNSCALED:
            memberships = replace(fitted, temperature=1.0).memberships(X)
    right, highest = matched(y, memberships.argmax(axis=1)), memberships.max(axis=1)
    yield {
        "error": calibration_error(highest, right),
        "accuracy": float(right.mean()),
        "mean_highest": float(highest.mean()),
        "temperature": temperature,
        "n_samples": len(X),
    }


# ---- Numbers

NUMBERED = ("iris", "wine", "breast_cancer", "digits", "5 blobs in 5 dimensions")
N_RESAMPLINGS = 5


def of_numbers(name: str, seed: int, method: str, path: Path | None) -> Iterator[Figures]:
    """How many rows have the same number after a new fit of drawn rows."""
    if name in NUMBERED[:-1]:
        X, y = load(name, {})
    else:
        X, y = datasets.make_blobs(500, 5, centers=5, random_state=seed)[:2]

    def clusterer(random_state: int, n_resamplings: int = 0) -> MPCCClusterer:
        return MPCCClusterer(
            len(np.unique(y)), n_resamplings=n_resamplings, labels_only=True, max_iter=100,
            random_state=random_state,
        )  # fmt: skip

    drawn = np.random.default_rng(seed).integers(len(X), size=len(X))
    old, new = clusterer(seed, N_RESAMPLINGS).fit(X), clusterer(seed + 1000).fit(X[drawn])
    numbers, before = old.predict(X), new.predict(X)
    match = renumber_clusters(new, like=old, X=X)
    after = new.predict(X)
    in_match = match.old_of_new[after] == numbers
    same = after == numbers
    yield {
        "kept": float(same[in_match].mean()),
        "in_match": float(in_match.mean()),
        "same": float(same.mean()),
        "same_before": float((before == numbers).mean()),
        "same_at_best": float(matched(numbers, before).mean()),
        "labels_follow": bool((new.labels_ == after[drawn]).all()),
        "stability": float(np.mean(old.cluster_stability_)),
        "jaccard": float(np.mean(match.jaccard)),
    }


# ---- Rules

DESCRIBED: dict[str, Callable[..., Any]] = {
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
    "breast_cancer": datasets.load_breast_cancer,
    "digits": datasets.load_digits,
}
_NUMBER = r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?"
_CONDITION = re.compile(rf"(?:({_NUMBER}) < )?(.+?) (<=|>|=|is not) ({_NUMBER})")


def fulfil(frame: pd.DataFrame, rule: str | None) -> NDArray[np.bool_]:
    """Tell which rows fulfil a rule, as a person reads its text; none if there is no rule."""
    if not isinstance(rule, str):
        return np.zeros(len(frame), dtype=bool)
    held = np.ones(len(frame), dtype=bool)
    for text in rule.split(" and "):
        found = _CONDITION.fullmatch(text)
        if found is None:
            raise ValueError(f"The condition {text!r} is not of numbers.")
        low, column, sign, value = found.groups()
        numbers, number = frame[column].to_numpy(dtype=float), float(value)
        held &= {
            "<=": numbers <= number,
            ">": numbers > number,
            "=": numbers == number,
            "is not": numbers != number,
        }[sign]
        if low is not None:
            held &= numbers > float(low)
    return held


def rule_figures(frame: pd.DataFrame, labels: NDArray, rules: list[str | None]) -> tuple[float, float]:
    """Mean precision and recall over the clusters that the rows have; 0 where no row fulfils a rule."""
    precisions, recalls = [], []
    for cluster, rule in enumerate(rules):
        inside, chosen = labels == cluster, fulfil(frame, rule)
        if inside.any():
            precisions.append((inside & chosen).sum() / max(1, chosen.sum()))
            recalls.append((inside & chosen).sum() / inside.sum())
    return float(np.mean(precisions)), float(np.mean(recalls))


def of_rules(name: str, seed: int, method: str, path: Path | None) -> Iterator[Figures]:
    """How well rules tell clusters, in rows of the fit and in others."""
    frame, y = DESCRIBED[name](return_X_y=True, as_frame=True)
    order = np.random.default_rng(seed).permutation(len(frame))
    half, other = (frame.iloc[np.sort(rows)] for rows in np.array_split(order, 2))

    def fitted(rows: pd.DataFrame) -> MPCCClusterer:
        return MPCCClusterer(y.nunique(), labels_only=True, random_state=seed).fit(rows)

    described = describe_clusters(fitted(frame), frame)
    clusterer = fitted(half)
    rules = describe_clusters(clusterer, half)["rule"].tolist()
    precision, recall = rule_figures(other, clusterer.predict(other), rules)
    yield {
        "precision": float(described["precision"].fillna(0.0).mean()),
        "recall": float(described["recall"].fillna(0.0).mean()),
        "least_precision": float(described["precision"].fillna(0.0).min()),
        "least_recall": float(described["recall"].fillna(0.0).min()),
        "other_precision": precision,
        "other_recall": recall,
        "n_conditions": float(np.mean([str(rule).count(" and ") + 1 for rule in described["rule"]])),
    }


# ---- Runs

# By kind: the function, sets at hand and in a file, methods, and seeds.
KINDS: dict[str, tuple[Callable[..., Iterator[Figures]], tuple, tuple, list[str], range]] = {
    "noise": (
        *(of_noise, (*BLOBS, *CURVES), (*SHAPES, *WITH_NOISE), [KNOWN, AUTO, ALL, *HDBSCANS]),
        range(5),
    ),
    "calibration": (
        *(of_calibration, CALIBRATED, CALIBRATED_TABLES, ["MPCC", UNSCALED, "GaussianMixture"]),
        range(5),
    ),
    "numbers": (of_numbers, NUMBERED, (), ["MPCC"], range(10)),
    "rules": (of_rules, tuple(DESCRIBED), (), ["MPCC"], range(5)),
}


def run(kind: str, options: argparse.Namespace) -> None:
    """Make the rows of a kind that the file lacks."""
    function, at_hand, in_file, methods, seeds = KINDS[kind]
    in_file = tuple(name for name in in_file if name in table_names(options.data))
    done = {(r["part"], r["data"], r["method"], r["seed"]) for r in read([options.output])}
    about = {"commit": commit(), "sklearn": sklearn.__version__, **machine()}
    for seed in seeds if options.seeds is None else options.seeds:
        for name in (*at_hand, *in_file):
            if options.sets is not None and name not in options.sets:
                continue
            for method in methods:
                if (kind, name, method, seed) in done:
                    continue
                start = time.perf_counter()
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    made = list(function(name, seed, method, options.data))
                seconds = round((time.perf_counter() - start) / len(made), 2)
                key = {"kind": "inspection", "part": kind, "data": name, "method": method, "seed": seed}
                if kind == "noise":
                    key["group"] = group_of(name)
                with options.output.open("a") as file:
                    file.writelines(
                        json.dumps(key | _rounded(row) | {"seconds": seconds} | about) + "\n"
                        for row in made
                    )
                print(kind, name, method, seed, *map(_rounded, made), seconds, flush=True)


def _rounded(row: Figures) -> Figures:
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}


def summary(options: argparse.Namespace) -> None:
    """Print means over seeds by set and method."""
    for kind in KINDS:
        cells: dict[Any, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for row in read([options.output]):
            if row["part"] == kind:
                key = (row["data"], row["method"], row.get("share", ""))
                for name, value in row.items():
                    if isinstance(value, float) and name not in ("seconds", "share"):
                        cells[key][name].append(value)
        means = {
            key: {name: np.mean(of) for name, of in figures.items()} for key, figures in cells.items()
        }
        print(f"\n{kind}\n{pd.DataFrame(means).T.round(3).to_string()}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--data", type=Path, help="an .npz file with arrays NAME_X and NAME_y")
    parser.add_argument("--sets", nargs="+", help="by default all")
    parser.add_argument("--seeds", type=seeds_of, help="such as 0-4, for all kinds")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--summary", action="store_true", help="print means of the rows there are")
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent / "results" / "inspection.jsonl"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.summary:
        summary(options)
    else:
        for kind in options.kind:
            run(kind, options)


if __name__ == "__main__":
    main()
