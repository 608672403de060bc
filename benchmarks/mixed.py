"""Frames with categories and missing values: clusters, gaps that are filled in, and samples; JSON lines.

python benchmarks/mixed.py labels --data FOLDER --seeds 0-4
python benchmarks/mixed.py gaps --data FOLDER --seeds 0-2 --tables iris wine heart
python benchmarks/mixed.py samples --data FOLDER --methods MPCC VaDE "Forest Flow" --seeds 0-2
python benchmarks/mixed.py summary

FOLDER holds tables as NAME.parquet, whose column "class" is left out of fits and scores labels; columns
of pandas' dtype category, text and booleans are categories. Without it there are the tables of numbers
iris, wine and breast_cancer alone.

labels: adjusted Rand index, one-to-one accuracy and normalized mutual information with the classes.
Rivals: KPrototypes (kmodes), stepmix, KMeans and GaussianMixture of diagonal covariances on standardised
numbers and indicators. Numbers that are missing are the median to those that cannot do without, and
missing categories one of their own.

gaps: of complete tables (rows with gaps are left out) a share of all values is removed at random. Labels
beside KMeans after medians; values filled in beside KNNImputer, IterativeImputer, and median and mode:
root mean square error of numbers in standard deviations, and share of the categories that are right. Of
draws, the share of removed numbers in the middle 80 % of 50 draws, which is .8 if they are calibrated.

samples: half of the rows, at most 2,000, are fitted, and as many samples judged by the others: density,
coverage, precision and recall, AUC of a forest that tells both apart, and the total variation between
the frequencies of categories. Beside TVAE and CTGAN (package ctgan), Forest Flow (ForestDiffusion), a
GaussianMixture on indicators, and the fitted half itself. Rows with gaps are left out.

Rows that the file has already are not made again.
"""

import argparse
import json
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import commit, machine, mixture, seeds_of
from generation_metrics import fidelity, two_sample_auc
from numpy.typing import NDArray
from quality import read
from sklearn import datasets
from sklearn.cluster import KMeans
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.mixture import GaussianMixture
from sklearn.preprocessing import StandardScaler

from skmpcc import AIM, VAE, MPCCClusterer, VaDEClusterer
from skmpcc.metrics import clustering_scores

OF_SKLEARN = {
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
    "breast_cancer": datasets.load_breast_cancer,
}
MAX_ROWS, MAX_SAMPLES, N_DRAWS = 4000, 2000, 50
SHARES = (0.0, 0.1, 0.3)
GAP = "(missing)"


# ---- Data


def load(name: str, folder: Path | None) -> tuple[pd.DataFrame, NDArray]:
    """Load a table and its classes, numbered from 0."""
    if name in OF_SKLEARN:
        X, y = OF_SKLEARN[name](return_X_y=True, as_frame=True)
        return X, y.to_numpy()
    if folder is None:
        raise SystemExit(f"{name} needs --data, a folder with {name}.parquet.")
    frame = pd.read_parquet(folder / f"{name}.parquet")
    y = pd.factorize(frame.pop("class"), sort=True)[0]
    rows = np.sort(np.random.default_rng(0).permutation(len(frame))[:MAX_ROWS])
    return frame.iloc[rows].reset_index(drop=True), y[rows]


def is_category(column: pd.Series) -> bool:
    return not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)


def split_columns(X: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Names of the columns of numbers, and of categories."""
    categories = [name for name in X if is_category(X[name])]
    return [name for name in X if name not in categories], categories


def filled(X: pd.DataFrame) -> pd.DataFrame:
    """Medians for missing numbers, and a value of its own for a missing category."""
    numbers, categories = split_columns(X)
    X = X.copy()
    X[numbers] = X[numbers].astype(float).fillna(X[numbers].astype(float).median())
    for name in categories:
        X[name] = X[name].astype(object).where(X[name].notna(), GAP).astype(str)
    return X


def as_rows(X: pd.DataFrame) -> NDArray:
    """Standardised numbers, and indicators of categories as they are."""
    numbers, categories = split_columns(X)
    parts = [StandardScaler().fit_transform(X[numbers])] if numbers else []
    if categories:
        parts.append(pd.get_dummies(X[categories].astype(str)).to_numpy(dtype=float))
    return np.hstack(parts)


def with_gaps(X: pd.DataFrame, share: float, seed: int) -> tuple[pd.DataFrame, NDArray]:
    """Remove values at random, and tell which."""
    gone = np.random.default_rng(seed).random(X.shape) < share
    # A row without any value tells nothing to anyone.
    gone[gone.all(axis=1), 0] = False
    return X.mask(gone), gone


# ---- Clusters


def _kprototypes(X: pd.DataFrame, k: int, seed: int) -> NDArray:
    from kmodes.kmodes import KModes
    from kmodes.kprototypes import KPrototypes

    numbers, categories = split_columns(X)
    X = filled(X)
    if not numbers:
        return KModes(k, random_state=seed).fit_predict(X.astype(str).to_numpy())
    X[numbers] = StandardScaler().fit_transform(X[numbers])
    if not categories:
        return _kmeans(X, k, seed)
    places = [X.columns.get_loc(name) for name in categories]
    return KPrototypes(k, random_state=seed).fit_predict(X.to_numpy(dtype=object), categorical=places)


def _stepmix(X: pd.DataFrame, k: int, seed: int) -> NDArray:
    from stepmix.stepmix import StepMix
    from stepmix.utils import get_mixed_descriptor

    numbers, categories = split_columns(X)
    frame = X.copy()
    for name in categories:
        codes = pd.Categorical(frame[name].astype(object)).codes
        frame[name] = np.where(codes < 0, np.nan, codes.astype(float))
    if numbers:
        frame[numbers] = StandardScaler().fit_transform(frame[numbers].astype(float))
        # It fails where a column of few values is constant in a class.
        frame[numbers] += np.random.default_rng(seed).normal(0.0, 0.01, (len(frame), len(numbers)))
    kinds = {"continuous_nan": numbers, "categorical_nan": categories}
    frame.columns = [f"c{i}" for i in range(frame.shape[1])]
    named = dict(zip(X.columns, frame.columns, strict=True))
    used = {kind: [named[name] for name in names] for kind, names in kinds.items() if names}
    rows, described = get_mixed_descriptor(frame, **used)
    model = StepMix(k, measurement=described, n_init=5, random_state=seed, progress_bar=0, verbose=0)
    return np.asarray(model.fit(rows).predict(rows))


def _kmeans(X: pd.DataFrame, k: int, seed: int) -> NDArray:
    return KMeans(k, n_init=10, random_state=seed).fit_predict(as_rows(filled(X)))


def _gmm(X: pd.DataFrame, k: int, seed: int) -> NDArray:
    mixture = GaussianMixture(k, covariance_type="diag", reg_covar=1e-3, random_state=seed)
    return mixture.fit_predict(as_rows(filled(X)))


def _ours(X: pd.DataFrame, k: int, seed: int) -> tuple[NDArray, NDArray | None]:
    clusterer = MPCCClusterer(k, random_state=seed).fit(X)
    return clusterer.labels_, clusterer.pseudo_labels_


def _labels_alone(X: pd.DataFrame, k: int, seed: int) -> tuple[NDArray, NDArray | None]:
    clusterer = MPCCClusterer(k, labels_only=True, random_state=seed).fit(X)
    return clusterer.labels_, clusterer.pseudo_labels_


CLUSTERERS: dict[str, Callable[[pd.DataFrame, int, int], Any]] = {
    "MPCC": _ours,
    "MPCC, labels only": _labels_alone,
    "KPrototypes": _kprototypes,
    "stepmix": _stepmix,
    "KMeans": _kmeans,
    "GaussianMixture": _gmm,
}


def of_labels(name: str, method: str, seed: int, options: argparse.Namespace) -> Iterator[dict]:
    X, y = load(name, options.data)
    found = CLUSTERERS[method](X, len(np.unique(y)), seed)
    labels, pseudo_labels = found if isinstance(found, tuple) else (found, None)
    row = {key: clustering_scores(y, labels)[key] for key in ("accuracy", "nmi", "ari")}
    if pseudo_labels is not None:
        row["pseudo_labels_ari"] = clustering_scores(y, pseudo_labels)["ari"]
    yield row


# ---- Gaps


def _imputed_by(imputer: Any, X: pd.DataFrame) -> pd.DataFrame:
    """Fill gaps in standardised numbers and in indicators, and take the largest of these."""
    numbers, categories = split_columns(X)
    scaler = StandardScaler()
    parts = [scaler.fit_transform(X[numbers])] if numbers else []
    values = {name: sorted(X[name].dropna().unique()) for name in categories}
    for name in categories:
        on = np.stack([(X[name] == value).to_numpy(dtype=float) for value in values[name]], axis=1)
        on[X[name].isna()] = np.nan
        parts.append(on)
    rows = imputer.fit_transform(np.hstack(parts))
    found, start = X.copy(), len(numbers)
    if numbers:
        found[numbers] = scaler.inverse_transform(rows[:, :start])
    for name in categories:
        stop = start + len(values[name])
        chosen = np.array(values[name], dtype=object)[rows[:, start:stop].argmax(axis=1)]
        found[name], start = np.where(X[name].isna(), chosen, X[name].astype(object)), stop
    return found


IMPUTERS: dict[str, Callable[[int], Any]] = {
    "KNNImputer": lambda seed: KNNImputer(),
    "IterativeImputer": lambda seed: IterativeImputer(random_state=seed),
    "median and mode": lambda seed: SimpleImputer(strategy="median"),
}


def errors_of(full: pd.DataFrame, found: pd.DataFrame, gone: NDArray) -> dict[str, float | None]:
    """Error of numbers in standard deviations, and share of right categories, where values were gone."""
    numbers, categories = split_columns(full)
    squares, right = [], []
    for place, name in enumerate(full):
        rows = gone[:, place]
        if name in numbers:
            away = (found[name].astype(float) - full[name].astype(float))[rows]
            squares.append(np.square(away.to_numpy() / (full[name].astype(float).std() or 1.0)))
        else:
            right.append((found[name].astype(str) == full[name].astype(str)).to_numpy()[rows])
    return {
        "rmse": float(np.sqrt(np.concatenate(squares).mean())) if numbers else None,
        "right": float(np.concatenate(right).mean()) if categories else None,
    }


def within_draws(full: pd.DataFrame, draws: list[pd.DataFrame], gone: NDArray) -> float | None:
    """Share of removed numbers within the middle 80 % of their draws."""
    numbers, _ = split_columns(full)
    inside = []
    for name in numbers:
        rows = gone[:, full.columns.get_loc(name)]
        drawn = np.stack([draw[name].astype(float).to_numpy()[rows] for draw in draws])
        least, largest = np.quantile(drawn, [0.1, 0.9], axis=0)
        true = full[name].astype(float).to_numpy()[rows]
        inside.append((true >= least) & (true <= largest))
    return float(np.concatenate(inside).mean()) if inside else None


def of_gaps(name: str, method: str, seed: int, options: argparse.Namespace) -> Iterator[dict]:
    X, y = load(name, options.data)
    complete = X.notna().all(axis=1).to_numpy()
    X, y = X[complete].reset_index(drop=True), y[complete]
    k = len(np.unique(y))
    for share in SHARES:
        gapped, gone = with_gaps(X, share, seed)
        row: dict[str, Any] = {"share": share}
        if method in IMPUTERS and share:
            row |= errors_of(X, _imputed_by(IMPUTERS[method](seed), gapped), gone)
        elif method == "KMeans":
            rows = gapped.copy()
            for column in split_columns(X)[1]:
                rows[column] = (
                    rows[column].astype(object).where(rows[column].notna(), rows[column].mode().iloc[0])
                )
            row["ari"] = clustering_scores(y, _kmeans(rows, k, seed))["ari"]
        elif method == "MPCC":
            clusterer = MPCCClusterer(k, labels_only=True, random_state=seed).fit(gapped)
            row["ari"] = clustering_scores(y, clusterer.labels_)["ari"]
            row["pseudo_labels_ari"] = clustering_scores(y, clusterer.pseudo_labels_)["ari"]
            if share:
                row |= errors_of(X, clusterer.impute(gapped), gone)
                row["within"] = within_draws(X, clusterer.impute(gapped, n_draws=N_DRAWS), gone)
        else:
            continue
        yield row


# ---- Samples


def _forest_flow(X: pd.DataFrame, n: int, seed: int) -> pd.DataFrame:
    from ForestDiffusion import ForestDiffusionModel

    np.random.seed(seed)  # noqa: NPY002
    _, categories = split_columns(X)
    codes = X.copy()
    for name in categories:
        codes[name] = pd.Categorical(X[name].astype(str)).codes
    places = [X.columns.get_loc(name) for name in categories]
    model = ForestDiffusionModel(
        codes.to_numpy(dtype=float), n_t=50, duplicate_K=50, diffusion_type="flow", n_jobs=1,
        cat_indexes=places, seed=seed,
    )  # fmt: skip
    found = pd.DataFrame(model.generate(batch_size=n), columns=X.columns)
    for name in categories:
        levels = pd.Categorical(X[name].astype(str)).categories
        found[name] = levels[found[name].round().clip(0, len(levels) - 1).astype(int)]
    return found


def _of_ctgan(kind: str, X: pd.DataFrame, n: int, seed: int) -> pd.DataFrame:
    import ctgan
    import torch

    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)
    _, categories = split_columns(X)
    rows = X.astype(dict.fromkeys(categories, str))
    model = getattr(ctgan, kind)(epochs=300)
    model.fit(rows, categories)
    return model.sample(n)


def _gmm_samples(X: pd.DataFrame, n: int, seed: int) -> pd.DataFrame:
    """Draw from a mixture of ten Gaussians of numbers and indicators."""
    numbers, categories = split_columns(X)
    scaler, on = StandardScaler(), pd.get_dummies(X[categories].astype(str), prefix_sep="\0")
    parts = [scaler.fit_transform(X[numbers])] if numbers else []
    rows = np.hstack([*parts, on.to_numpy(dtype=float)])
    drawn = mixture(rows, min(10, len(rows) // 10), seed).sample(n)[0]
    found = pd.DataFrame(index=range(n), columns=X.columns, dtype=object)
    if numbers:
        found[numbers] = scaler.inverse_transform(drawn[:, : len(numbers)])
    for name in categories:
        places = [i for i, each in enumerate(on) if each.startswith(f"{name}\0")]
        values = np.array([each.split("\0", 1)[1] for each in on.columns[places]])
        found[name] = values[drawn[:, [len(numbers) + i for i in places]].argmax(axis=1)]
    return found


def _of_ours(kind: Any, X: pd.DataFrame, n: int, seed: int, k: int) -> pd.DataFrame:
    number = {"n_clusters": k} if hasattr(kind, "fit_predict") else {}
    drawn = kind(**number, random_state=seed).fit(X).sample(n)
    return drawn[0] if isinstance(drawn, tuple) else drawn


OURS = {"MPCC": MPCCClusterer, "VaDE": VaDEClusterer, "VAE": VAE, "AIM": AIM}
GENERATORS: dict[str, Callable[[pd.DataFrame, int, int], pd.DataFrame]] = {
    "Forest Flow": _forest_flow,
    "TVAE": lambda X, n, seed: _of_ctgan("TVAE", X, n, seed),
    "CTGAN": lambda X, n, seed: _of_ctgan("CTGAN", X, n, seed),
    "GaussianMixture": _gmm_samples,
    "the fitted half": lambda X, n, seed: X.iloc[:n],
}


def of_samples(name: str, method: str, seed: int, options: argparse.Namespace) -> Iterator[dict]:
    X, y = load(name, options.data)
    complete = X.notna().all(axis=1).to_numpy()
    X, y = X[complete].reset_index(drop=True), y[complete]
    order = np.random.default_rng(seed).permutation(len(X))[: 2 * MAX_SAMPLES]
    fitted, held = X.iloc[order[: len(order) // 2]], X.iloc[order[len(order) // 2 :]]
    n, k = len(held), len(np.unique(y))
    if method in OURS:
        drawn = _of_ours(OURS[method], fitted, n, seed, k)
    else:
        drawn = GENERATORS[method](fitted, n, seed)
    drawn = drawn.iloc[:n].reset_index(drop=True)
    _, categories = split_columns(X)
    both = pd.concat([held, drawn.astype(dict.fromkeys(categories, str))], ignore_index=True)
    both[categories] = both[categories].astype(str)
    both[both.columns.difference(categories)] = both[both.columns.difference(categories)].astype(float)
    rows = as_rows(both)
    row: dict[str, Any] = fidelity(rows[:n], rows[n:]) if len(drawn) > 5 else {}
    row["auc"] = two_sample_auc(rows[:n], rows[n:])
    off = []
    for column in categories:
        shares = [part[column].astype(str).value_counts(normalize=True) for part in (held, drawn)]
        off.append(0.5 * shares[0].sub(shares[1], fill_value=0.0).abs().sum())
    row["variation"] = float(np.mean(off)) if off else None
    yield row


# ---- Runs

PARTS: dict[str, tuple[Callable[..., Iterator[dict]], list[str]]] = {
    "labels": (of_labels, list(CLUSTERERS)),
    "gaps": (of_gaps, ["MPCC", "KMeans", *IMPUTERS]),
    "samples": (of_samples, [*OURS, *GENERATORS]),
}


def run(options: argparse.Namespace) -> None:
    """Make the rows of a part that the file lacks."""
    function, methods = PARTS[options.part]
    names = options.tables or list(OF_SKLEARN)
    if options.tables is None and options.data is not None:
        names = sorted(path.stem for path in options.data.glob("*.parquet"))
    done = {(r["part"], r["table"], r["method"], r["seed"]) for r in read([options.output])}
    about = {"commit": commit(), **machine()}
    for seed in options.seeds:
        for name in names:
            for method in options.methods or methods:
                if (options.part, name, method, seed) in done:
                    continue
                start, made = time.perf_counter(), []
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    try:
                        made = list(function(name, method, seed, options))
                    except Exception as error:  # of a rival, which has no row then
                        if method in OURS or method.startswith("MPCC"):
                            raise
                        print(f"{name}, {method}: {type(error).__name__}: {error}"[:200], flush=True)
                seconds = round((time.perf_counter() - start) / max(1, len(made)), 2)
                key = {"kind": "mixed", "part": options.part, "table": name}
                key |= {"method": method, "seed": seed}
                with options.output.open("a") as file:
                    for row in made:
                        file.write(json.dumps(key | row | {"seconds": seconds} | about) + "\n")
                shown = [
                    {k: round(v, 3) for k, v in row.items() if isinstance(v, float)} for row in made
                ]
                print(name, method, seed, *shown, seconds, flush=True)


def summary(options: argparse.Namespace) -> None:
    """Print means over seeds by table and method, and over tables."""
    rows = read([options.output])
    for part in PARTS:
        of_part = [row for row in rows if row["part"] == part]
        figures = {
            name: None
            for row in of_part
            for name, value in row.items()
            if isinstance(value, float) and name not in ("seconds", "share")
        }
        for figure in figures:
            cells: dict[Any, list[float]] = defaultdict(list)
            for row in of_part:
                if row.get(figure) is not None:
                    method = row["method"] + (f" {row['share']:.0%}" if "share" in row else "")
                    cells[row["table"], method].append(row[figure])
            table = pd.Series({key: np.mean(values) for key, values in cells.items()}).unstack()
            print(
                f"\n{part}: {figure}\n{table.round(3).to_string()}\n{table.mean().round(3).to_string()}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=[*PARTS, "summary"])
    parser.add_argument("--data", type=Path, help="folder of NAME.parquet")
    parser.add_argument("--tables", nargs="+", help="by default all of the folder")
    parser.add_argument("--methods", nargs="+", help="by default all")
    parser.add_argument("--seeds", type=seeds_of, default=range(5), help="such as 0-4")
    results = Path(__file__).parent / "results" / "mixed.jsonl"
    parser.add_argument("--output", type=Path, default=results)
    options = parser.parse_args()
    if options.part == "summary":
        summary(options)
    else:
        run(options)


if __name__ == "__main__":
    main()
