"""Light curves: novelty, classes, clusters, bands and samples, a line of JSON for each fit and seed.

python benchmarks/light_curves.py --data light_curves.npz --task novelty --set eros asas --seeds 10-14
python benchmarks/light_curves.py --task noise --set synthetic --rows vade,grid --param max_iter=200

The file has arrays NAME_times, NAME_values, NAME_errors, NAME_bands, of all curves end to end, and
NAME_splits, NAME_period and NAME_y, for the sets "eros", two bands and four classes of stars, and
"asas", of which the thesis' five classes are taken, with the periods of `find_periods`; and linear_X and
linear_y, a table. Synthetic curves are of `make_light_curves`, with period laws or with the same law.

Tasks:
novelty         Each class is left out of the training in turn. N of its stars, and N others in the
                proportions of their classes, are told apart, where N is the size of the smallest class:
                AUC and average precision of the outliers. The seed draws the stars. Of synthetic curves
                a sixth class, of two incommensurate periods, is an outlier as well.
noise           The same for two halves of new synthetic curves of the known classes, one of them with
                errors and noise doubled: 0.5 is right.
classification  A fifth of the stars is held out, class by class. All others are of known class ("all"),
                or ten of each class are ("ten"). Accuracy and balanced accuracy.
clusters        Adjusted Rand index, NMI and one-to-one accuracy, told the number of classes.
bands           A fifth of the points of each curve is held out, classes are known. z is the distance of
                a point from the predicted curve over sqrt(std^2 + error^2): mean square, and share of
                points with |z| < 1. "_near": of points with |z| < 5.
sampling        Half of the stars are learned. A random forest that has learned the grid's rows of the
                other half finds the class of new curves ("kept"), and of the real ones of the first half
                ("kept_real"). "auc": how well a forest tells new from real by period and amplitudes.
time            Seconds of a fit of 3,000 synthetic curves.

`--rows` names methods by the keys of ROWS. Rows that the file has already are not made again.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import light_curve_rivals as others
import numpy as np
import torch
from common import commit, machine, rivals, seeds_of, setting
from light_curve_sets import CLIP, RESULTS, SYNTHETIC, Case, Stars, inliers_of, load, points_of
from numpy.typing import NDArray
from quality import read
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    roc_auc_score,
)
from sklearn.model_selection import cross_val_predict, train_test_split
from sklearn.preprocessing import StandardScaler

from skmpcc import MPCCClassifier, MPCCClusterer
from skmpcc.light_curves import LightCurveGrid, LightCurves, make_light_curves
from skmpcc.metrics import clustering_scores

N_TIMED, N_KNOWN = 3000, 10
BY = ("information", "class", "reconstruction", "both", "density")

# ---- Novelty: scores by name, low for outliers


def of_grid(case: Case) -> tuple[MPCCClassifier, NDArray]:
    """MPCCClassifier of the grid's rows, and the rows to judge."""
    rows = case.stars.rows
    return MPCCClassifier(random_state=case.seed).fit(rows[case.train], case.told), rows[case.test]


def grid_scores(case: Case) -> dict[str, NDArray]:
    """MPCCClassifier on the grid's rows."""
    fitted, rows = of_grid(case)
    return {by: fitted.score_samples(rows, by=by) for by in ("density", "information")}


def vade_scores(case: Case) -> dict[str, NDArray]:
    """LightCurveVaDE by each of its scores."""
    train, test = case.curves
    fitted = case.vade().fit(train, case.told)
    return {by: fitted.score_samples(test, by=by) for by in BY}


def one_score(case: Case) -> dict[str, NDArray]:
    """LightCurveVaDE of one component."""
    train, test = case.curves
    return {"": case.vade(n_clusters=1).fit(train).score_samples(test)}


def left_out(stars: Stars, seed: int, leave: int) -> tuple[NDArray, NDArray, NDArray]:
    """Stars to learn, to judge, and which of these are outliers, where a class is left out."""
    y, rng = stars.y, np.random.default_rng([seed, leave])
    # Of synthetic ones, the sixth class is never an inlier.
    inliers = np.flatnonzero((y != leave) & (y < 5))
    n = np.bincount(y).min()
    outliers = rng.permutation(np.flatnonzero(y == leave))[:n]
    kept, held = train_test_split(inliers, test_size=n, stratify=y[inliers], random_state=seed)
    return kept, np.concatenate([outliers, held]), np.repeat([True, False], n)


def novelty(name: str, options: argparse.Namespace, seed: int, scores: Callable) -> dict[str, Any]:
    """Figures of each score, means over the classes left out and of each."""
    stars = load(name, options.data, seed)
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for leave, label in enumerate(stars.classes):
        train, test, is_outlier = left_out(stars, seed, leave)
        told = np.unique(stars.y[train], return_inverse=True)[1]
        for by, values in scores(Case(stars, train, test, told, seed, options.given)).items():
            judged = [each(is_outlier, -values) for each in (roc_auc_score, average_precision_score)]
            found.setdefault(by, {})[label] = tuple(round(float(each), 4) for each in judged)
    means = {by: np.mean([*of.values()], axis=0).round(4).tolist() for by, of in found.items()}
    return {by: {"auc": m[0], "precision": m[1], "classes": found[by]} for by, m in means.items()}


def noise(name: str, options: argparse.Namespace, seed: int, scores: Callable) -> dict[str, Any]:
    """AUC of each score between curves and others with twice their noise."""
    old, new = (load(name, None, each) for each in (seed, 1000 + seed))
    rng, curves = np.random.default_rng(seed), new.curves
    doubled = rng.random(len(curves)) < 0.5
    of_points = np.repeat(doubled, curves.n_points)
    values = curves.values + of_points * np.sqrt(3) * curves.errors * rng.standard_normal(len(of_points))
    columns = [curves.times, values, curves.errors * (1 + of_points)]
    noisier = LightCurves(
        *(np.split(each, curves.splits[1:-1]) for each in columns), period=curves.period
    )
    y = np.concatenate([old.y, new.y])
    stars = Stars(name, LightCurves.of([old.curves, noisier]), y, SYNTHETIC)
    inliers = np.flatnonzero(y < 5)
    train, test = inliers[inliers < len(old.y)], inliers[inliers >= len(old.y)]
    halves = doubled[test - len(old.y)]
    case = Case(stars, train, test, y[train], seed, options.given)
    found = {by: roc_auc_score(halves, -values) for by, values in scores(case).items()}
    return {by: {"auc": round(float(auc), 4)} for by, auc in found.items()}


# ---- Classes: predictions of the stars to judge


def grid_classes(case: Case) -> NDArray:
    """MPCCClassifier on the grid's rows."""
    fitted, rows = of_grid(case)
    return fitted.predict(rows)


def vade_classes(case: Case) -> NDArray:
    """LightCurveVaDE."""
    train, test = case.curves
    return case.vade().fit(train, case.told).predict(test)


def classification(
    name: str, options: argparse.Namespace, seed: int, predict: Callable
) -> dict[str, Any]:
    """Accuracies where all stars are of known class and where few are."""
    stars = load(name, options.data, seed)
    rows = inliers_of(stars)
    train, test = train_test_split(rows, test_size=0.2, stratify=stars.y[rows], random_state=seed)
    few, rng = np.full(len(train), -1), np.random.default_rng(seed)
    for k in np.unique(stars.y[train]):
        of_class = rng.permutation(np.flatnonzero(stars.y[train] == k))[:N_KNOWN]
        few[of_class] = k
    found = {}
    for known, told in {"all": stars.y[train], "ten": few}.items():
        labels = predict(Case(stars, train, test, told, seed, options.given))
        judged = (each(stars.y[test], labels) for each in (accuracy_score, balanced_accuracy_score))
        found |= dict(zip((known, f"{known}_balanced"), map(float, judged), strict=True))
    return {"": found}


# ---- Clusters: labels by name


def rival_labels(case: Case, method: str, columns: str) -> dict[str, NDArray]:
    """KMeans and others on the grid's rows, as they are or standardised, or on standardised features."""
    rows = case.stars.rows[case.train]
    if columns != "plain":
        rows = StandardScaler().fit_transform(rows)
    if columns == "features":
        n_bands = len(case.stars.curves.band_names)
        rows = rows[:, n_bands * LightCurveGrid().n_points :]
    return {"": rivals()[method](rows, len(np.unique(case.told)), case.seed)}


def grid_labels(case: Case) -> dict[str, NDArray]:
    """MPCCClusterer on the grid's rows."""
    fitted = MPCCClusterer(len(np.unique(case.told)), random_state=case.seed)
    fitted.fit(case.stars.rows[case.train])
    return {"": fitted.labels_, "pseudo-labels": fitted.pseudo_labels_}


def vade_labels(case: Case) -> dict[str, NDArray]:
    """LightCurveVaDE without classes."""
    fitted = case.vade(n_clusters=len(np.unique(case.told))).fit(case.curves[0])
    return {"": fitted.labels_, "pseudo-labels": fitted.pseudo_labels_}


def clusters(name: str, options: argparse.Namespace, seed: int, labels: Callable) -> dict[str, Any]:
    """Scores of clusters."""
    stars = load(name, options.data, seed)
    rows = inliers_of(stars)
    case = Case(stars, rows, rows, stars.y[rows], seed, options.given)
    return {by: clustering_scores(stars.y[rows], found) for by, found in labels(case).items()}


# ---- Bands: means and standard deviations at held-out times, (n, n_bands, m)


def regression_band(case: Case, curves: LightCurves, times: NDArray) -> tuple[NDArray, NDArray]:
    """The grid's regression of each curve by itself."""
    m = 512
    names = ("log_period", "log_amplitude", "level", "difference")
    grid = LightCurveGrid(m, align=None, errors=True, features=names)
    found = grid.inverse_transform(grid.fit_transform(curves))
    first = np.minimum.reduceat(curves.times, curves.splits[:-1])
    at = (times - first[:, None]) / curves.period[:, None] % 1 * m
    shape = (len(curves), len(curves.band_names), m)
    return tuple(
        np.take_along_axis(each.reshape(shape), at[:, None].round().astype(int) % m, axis=2)
        for each in (found.values, found.errors)
    )


def vade_band(case: Case, curves: LightCurves, times: NDArray) -> tuple[NDArray, NDArray]:
    """LightCurveVaDE of known classes."""
    return case.vade().fit(curves, case.told).predict_curve(curves, times)


def bands(name: str, options: argparse.Namespace, seed: int, predict: Callable) -> dict[str, Any]:
    """How far held-out points are from predicted curves, in standard deviations."""
    stars = load(name, options.data, seed)
    rows = inliers_of(stars)
    curves = stars.curves[rows]
    kept = np.random.default_rng(seed).random(len(curves.times)) >= 0.2
    of_curve = np.repeat(np.arange(len(curves)), curves.n_points)[~kept]
    counts = np.bincount(of_curve, minlength=len(curves))
    place = np.arange(len(of_curve)) - np.repeat(np.cumsum(counts) - counts, counts)
    times = np.repeat(curves.times[curves.splits[:-1], None], counts.max(), axis=1)
    times[of_curve, place] = curves.times[~kept]
    case = Case(stars, rows, rows, stars.y[rows], seed, options.given)
    predicted = predict(case, points_of(curves, kept), times)
    mean, std = (each[of_curve, curves.bands[~kept], place] for each in predicted)
    z = (curves.values[~kept] - mean) / np.hypot(std, curves.errors[~kept])
    near = z[np.abs(z) < CLIP]
    found = {
        f"{figure}{end}": round(float(value), 4)
        for end, each in (("", z), ("_near", near))
        for figure, value in (("z2", np.mean(each**2)), ("within", np.mean(np.abs(each) < 1)))
    }
    return {"": found}


# ---- Samples: new curves of given classes


def grid_samples(case: Case, y: NDArray) -> LightCurves:
    """Samples of MPCCClassifier, which learned the grid's rows, as curves."""
    grid = LightCurveGrid(features=case.stars.features)
    rows = grid.fit_transform(case.curves[0])
    fitted = MPCCClassifier(random_state=case.seed).fit(rows, case.told)
    return grid.inverse_transform(fitted.sample_like(y))


def vade_samples(case: Case, y: NDArray) -> LightCurves:
    """Samples of LightCurveVaDE."""
    fitted = case.vade().fit(case.curves[0], case.told)
    return LightCurves.of([fitted.sample(int(np.sum(y == k)), k)[0] for k in np.unique(y)])


def sampling(name: str, options: argparse.Namespace, seed: int, sample: Callable) -> dict[str, Any]:
    """How alike new curves and real ones are."""
    stars = load(name, options.data, seed)
    rows = inliers_of(stars)
    halves = train_test_split(rows, test_size=0.5, stratify=stars.y[rows], random_state=seed)
    train, test = map(np.sort, halves)
    y, y_test = np.sort(stars.y[train]), stars.y[test]
    new = sample(Case(stars, train, test, stars.y[train], seed, options.given), y)
    # Without the scatter around curves, which new ones do not have.
    names = ("log_period", "log_amplitude", "difference", "skew", "log_harmonics")
    grid = LightCurveGrid(features=names)
    judged, made = grid.fit_transform(stars.curves[test]), grid.transform(new)
    real = grid.transform(stars.curves[train])
    judge = others.forest(seed).fit(judged, y_test)
    found = {"kept": judge.score(made, y), "kept_real": judge.score(real, stars.y[train])}
    titles = grid.get_feature_names_out()
    columns = [each.startswith(("log_period", "log_amplitude")) for each in titles]
    aucs = []
    for k in np.unique(y):
        two = np.concatenate([judged[y_test == k], made[y == k]])[:, columns]
        is_new = np.repeat([False, True], [np.sum(y_test == k), np.sum(y == k)])
        judge = RandomForestClassifier(200, min_samples_leaf=5, random_state=seed)
        by = cross_val_predict(judge, two, is_new, cv=5, method="predict_proba")[:, 1]
        aucs.append(roc_auc_score(is_new, by))
    return {"": {key: round(float(value), 4) for key, value in found.items()} | {"auc": np.mean(aucs)}}


# ---- Time


def seconds(name: str, options: argparse.Namespace, seed: int, fit: Callable) -> dict[str, Any]:
    """Seconds of a fit."""
    curves, y = make_light_curves(N_TIMED, same_period=name.endswith("same_period"), random_state=seed)
    stars = Stars(name, curves, np.unique(y, return_inverse=True)[1], SYNTHETIC)
    rows = np.arange(N_TIMED)
    start = time.perf_counter()
    fit(Case(stars, rows, rows, stars.y, seed, options.given))
    return {"": {"fit": round(time.perf_counter() - start, 2)}}


# ---- Rows

LABELS = {
    "period": "period",
    "numbers": "three numbers",
    "colours": "numbers and colours",
    "isolation": "IsolationForest, `light-curve`",
    "lof": "LOF, `light-curve`",
    "forest": "random forest, `light-curve`",
    "qda": "QDA, numbers and colours",
    "kmeans": "KMeans on the grid",
    "umap": "UMAP + GMM on the grid",
    "kmeans_standard": "KMeans on the grid, standardised",
    "umap_standard": "UMAP + GMM on the grid, standardised",
    "kmeans_features": "KMeans on features",
    "umap_features": "UMAP + GMM on features",
    "regression": "each curve's own regression",
    "curves": "`LightCurveGrid` alone",
    "grid": "grid + MPCC",
    "dagmm": "DAGMM, our networks",
    "thesis": "near the thesis' form",
    "one": "`LightCurveVaDE`, K = 1",
    "vade": "`LightCurveVaDE`",
    "clusters": "`LightCurveVaDE`, no classes",
}
SCORES: dict[str, Callable] = {
    "period": partial(others.gaussians, table="numbers", n_columns=1),
    "numbers": partial(others.gaussians, table="numbers"),
    "colours": partial(others.gaussians, table="colours"),
    "isolation": others.isolation,
    "lof": others.lof,
    "grid": grid_scores,
    "dagmm": others.dagmm_scores,
    "thesis": others.thesis_scores,
    "one": one_score,
    "vade": vade_scores,
}
ROWS: dict[str, dict[str, Callable]] = {
    "novelty": SCORES,
    "noise": SCORES,
    "classification": {
        "forest": partial(others.of_known, table="extracted", model=others.forest),
        "qda": partial(others.of_known, table="colours", model=others.qda),
        "grid": grid_classes,
        "vade": vade_classes,
    },
    "clusters": {
        f"{key}{end}": partial(rival_labels, method=method, columns=columns)
        for columns, end in {"plain": "", "standard": "_standard", "features": "_features"}.items()
        for key, method in {"kmeans": "KMeans", "umap": "UMAP + GMM"}.items()
    }
    | {
        "grid": grid_labels,
        "vade": vade_labels,
    },
    "bands": {"regression": regression_band, "vade": vade_band},
    "sampling": {"grid": grid_samples, "vade": vade_samples},
    "time": {"curves": lambda case: case.stars.rows, "vade": vade_classes, "clusters": vade_labels},
}  # fmt: skip
TASKS = {
    "novelty": novelty, "noise": noise, "classification": classification, "clusters": clusters,
    "bands": bands, "sampling": sampling, "time": seconds,
}  # fmt: skip
SETS = {
    "novelty": ("eros", "asas", "linear", "synthetic", "synthetic_same_period"),
    "noise": ("synthetic", "synthetic_same_period"),
    "time": ("synthetic",),
} | dict.fromkeys(
    ("classification", "clusters", "bands", "sampling"), ("eros", "synthetic", "synthetic_same_period")
)
OF_TABLES = ("period", "numbers", "colours")
OURS = ("vade", "one", "thesis", "clusters")


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    """Return the arguments that tell fits apart."""
    return tuple(json.dumps(row[name]) for name in ("task", "data", "seed", "fit", "param"))


def wanted(options: argparse.Namespace) -> list[tuple[str, str, int, str]]:
    """Task, set, seed and fit, as far as there are such rows."""
    return [
        (task, name, seed, fit)
        for task in options.task
        for name in options.set or SETS[task]
        if name in SETS[task]
        for seed in seeds_of(options.seeds)
        for fit in options.rows or ROWS[task]
        if fit in ROWS[task] and (name != "linear" or fit in OF_TABLES)
        if fit != "colours" or name in ("eros", "linear")
    ]


def run(options: argparse.Namespace) -> None:
    """Make the rows that the file does not have."""
    done = {key(r) for r in read([options.output])}
    for task, name, seed, fit in wanted(options):
        row = {"kind": "light_curves", "task": task, "data": name, "seed": seed, "fit": fit}
        row["param"] = options.given if fit in OURS else {}
        if key(row) in done:
            continue
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = TASKS[task](name, options, seed, ROWS[task][fit])
        row["seconds"] = round(time.perf_counter() - start, 2)
        with options.output.open("a") as file:
            for by, figures in found.items():
                of_fit = {"method": ", ".join(filter(None, [LABELS[fit], by]))} | figures
                file.write(json.dumps(row | of_fit | {"machine": machine(), "commit": commit()}) + "\n")
                shown = " ".join(f"{k} {v:.3f}" for k, v in figures.items() if isinstance(v, float))
                print(task, name, seed, of_fit["method"], shown, f"{row['seconds']} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="an .npz file of light curves")
    parser.add_argument("--task", nargs="+", default=list(TASKS), choices=TASKS)
    parser.add_argument("--set", nargs="+", choices=SETS["novelty"], help="all of the task by default")
    parser.add_argument("--rows", type=lambda text: text.split(","), help="keys of ROWS, with commas")
    parser.add_argument("--seeds", default="10-14", help="FIRST-LAST")
    parser.add_argument("--param", nargs="*", default=[], metavar="NAME=VALUE", help="of LightCurveVaDE")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--output", type=Path, default=RESULTS / "light_curves.jsonl")
    options = parser.parse_args()
    options.given = dict(map(setting, options.param))
    torch.set_num_threads(options.threads)
    run(options)


if __name__ == "__main__":
    main()
