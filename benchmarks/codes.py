"""Codes and samples of variational and of adversarial models, one line of JSON for each fit.

python benchmarks/codes.py --mnist mnist.npz --fashion fashion.npz --dims 10 20 --seeds 10-11
python benchmarks/codes.py --mnist mnist.npz --models wvae mpcc --limit 60000 --param max_iter=15000
python benchmarks/codes.py --summary --picture codes.png

The comparison of the thesis' chapter 6 (Astorga, 2021), on held-out images. The files have arrays X,
uint8 of shape (70000, 28, 28), and y: the first 60,000 are the training set, of which the first --limit
are fitted, and the last 10,000 are held out.

Models: vae, wvae and mmd, `VAE` with each restriction and a learned variance; vae-0.33, vae-1 and
vae-30, `VAE` with the thesis' fixed variance 1/2 and that weight of the posteriors' divergence; js, half
the sum of both Kullback-Leibler divergences in the place of the Wasserstein distance; aim, and ali,
alice and veegan by adversarial.py; mpcc and vade, the clusterers, told the number of classes. All have
the defaults of their presets, and what --set, --param, --max-iter and --width name, which all models of
a call are given.

Of held-out images: "probe", the accuracy of a logistic regression that learned from the fitted images'
standardised codes and their classes; "mse", the mean square error of reconstructions of pixels in
[0, 1], and "error", the same over the variance; "frechet", the distance of as many samples in the
features of `generation_metrics.JudgeNet`; "held", all of `latent_diagnostics`; and of clusterers
"held_labels". Of fitted images: "probe_train"; "train", `latent_diagnostics` of the first 10,000;
"labels" and "pseudo_labels". The judge learned from the training images 40,000 to 60,000 and their
classes, which "judge_fitted" says to be among the fitted ones where more than 40,000 are.

Rows that the file has already are not made again. --summary and --picture are of the rows with the
--limit, --set, --param, --max-iter and --width that are given, and train nothing.
"""

import argparse
import json
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from pathlib import Path
from typing import Any
from unittest.mock import patch

import adversarial
import numpy as np
import torch
from common import Data, commit, machine, seeds_of, setting
from generation_metrics import JudgeNet, frechet_distance, relative_error
from numpy.typing import NDArray
from quality import read
from scipy.stats import spearmanr
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from skmpcc import VAE, MPCCClusterer, VaDEClusterer
from skmpcc.method import losses
from skmpcc.metrics import clustering_scores, latent_diagnostics

DATA = ("mnist", "fashion")
N_TRAINING = 60_000
N_DIAGNOSED = 10_000
JUDGED_FROM = N_TRAINING - JudgeNet.N_IMAGES

# ---- Models


def jeffreys(mean: Tensor, log_variance: Tensor, z: Tensor, prior: Any) -> Tensor:
    """Half the sum of both divergences between N(0, I) and the Gaussian of a batch of codes."""
    centre = mean.mean(0)
    identity = torch.eye(len(centre)).to(mean)
    covariance = torch.cov(mean.T) + 1e-6 * identity
    inverse = torch.linalg.inv(covariance)
    traces = covariance.trace() + inverse.trace() - 2.0 * len(centre)
    return 0.25 * (traces + centre @ (identity + inverse) @ centre)


def of_thesis(weight: float) -> dict[str, Any]:
    """Parameters of a VAE with the thesis' likelihood, the sum of squares."""
    return {"restriction_weight": weight, "preset_params": {"likelihood_std": 0.7071}}


# Parameters of VAE, by model.
VAES: dict[str, dict[str, Any]] = {
    "vae-0.33": of_thesis(0.33),
    "vae-1": of_thesis(1.0),
    "vae-30": of_thesis(30.0),
    "vae": {},
    "wvae": {"restriction": "wasserstein"},
    "mmd": {"restriction": "mmd"},
    # By `restriction_of`.
    "js": {"restriction": "wasserstein"},
}
# Methods of adversarial.py, by model.
ADVERSARIAL = {"aim": "AIM", "ali": "ALI", "alice": "ALICE", "veegan": "VEEGAN"}
CLUSTERERS = {"mpcc": MPCCClusterer, "vade": VaDEClusterer}
MODELS = (*VAES, *ADVERSARIAL, *CLUSTERERS)


def restriction_of(model: str) -> AbstractContextManager:
    """Let Jeffreys' divergence be the moments' restriction, which has no name in the package, in js."""
    if model != "js":
        return nullcontext()
    return patch.dict(losses.RESTRICTIONS, wasserstein=jeffreys)


def made(model: str, n_classes: int, parameters: dict[str, Any]) -> Any:
    """Make an estimator; of what is given twice, `parameters` count."""
    own = VAES.get(model, {})
    values = own.get("preset_params", {}) | (parameters["preset_params"] or {})
    parameters = own | parameters | {"preset_params": values or None}
    if model in VAES:
        return VAE(**parameters)
    if model in ADVERSARIAL:
        return adversarial.made(ADVERSARIAL[model], **parameters)
    return CLUSTERERS[model](n_classes, **parameters)


# ---- Figures


def probe(codes: NDArray, y: NDArray) -> Pipeline:
    """Fit a linear classifier of codes."""
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(codes, y)


def samples_of(fitted: Any, n: int) -> NDArray:
    """New samples; clusterers return their clusters beside them."""
    samples = fitted.sample(n)
    return samples[0] if isinstance(samples, tuple) else samples


def figures(fitted: Any, training: Data, held: Data, judge: JudgeNet) -> dict[str, Any]:
    """All figures of a fit; see the top of this file."""
    (X, y), (X_held, y_held) = training, held
    codes, rebuilt = fitted.transform(X), fitted.reconstruct(X_held)
    classifier = probe(codes, y)
    judged = [judge.features(images) for images in (X_held, samples_of(fitted, len(X_held)))]
    found: dict[str, Any] = {
        "probe": float(classifier.score(fitted.transform(X_held), y_held)),
        "probe_train": float(classifier.score(codes, y)),
        "mse": float(np.square((rebuilt - X_held.astype(float)) / 255).mean()),
        "error": relative_error(X_held, rebuilt),
        "frechet": frechet_distance(*judged),
        "held": latent_diagnostics(fitted, X_held, random_state=0),
        "train": latent_diagnostics(fitted, X[:N_DIAGNOSED], random_state=0),
    }
    if hasattr(fitted, "predict"):
        found["held_labels"] = clustering_scores(y_held, fitted.predict(X_held))
        found["labels"] = clustering_scores(y, fitted.labels_)
        if fitted.pseudo_labels_ is not None:
            found["pseudo_labels"] = clustering_scores(y, fitted.pseudo_labels_)
    return found


# ---- Rows

KEYS = ("data", "latent_dim", "model", "seed", "limit", "set", "param")


def key(row: dict[str, Any]) -> tuple[str, ...]:
    """Return the arguments that tell rows apart."""
    return tuple(json.dumps(row[name]) for name in KEYS)


def given(options: argparse.Namespace) -> dict[str, Any]:
    """Arguments that rows of one call share."""
    short = {name: vars(options)[name] for name in ("max_iter", "width")}
    param = dict(map(setting, options.param)) | {k: v for k, v in short.items() if v is not None}
    return {"limit": options.limit, "set": dict(map(setting, options.set)), "param": param}


def wanted(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Arguments of each fit, all models by one seed before the next."""
    for name in (name for name in DATA if vars(options)[name]):
        for latent_dim in options.dims:
            for seed in seeds_of(options.seeds):
                for model in options.models:
                    row = {"kind": "codes", "data": name, "latent_dim": latent_dim, "model": model}
                    yield row | {"seed": seed} | given(options)


def row_of_fit(row: dict[str, Any], X: NDArray, y: NDArray, folder: Path) -> dict[str, Any]:
    """Fit and judge; a fit that fails is a row that says why."""
    training = X[:N_TRAINING][: row["limit"]], y[:N_TRAINING][: row["limit"]]
    held = X[N_TRAINING:], y[N_TRAINING:]
    judged = slice(JUDGED_FROM, N_TRAINING)
    judge = JudgeNet.trained(X[judged], y[judged], folder / f"judge_{row['data']}_codes.pt")
    parameters = {"latent_dim": row["latent_dim"], "random_state": row["seed"]} | row["param"]
    estimator = made(row["model"], len(np.unique(y)), parameters | {"preset_params": row["set"]})
    start = time.perf_counter()
    try:
        with restriction_of(row["model"]):
            estimator.fit(training[0])
        row["seconds"] = round(time.perf_counter() - start, 1)
        row |= {"iterations": int(estimator.n_iter_), "converged": bool(estimator.converged_)}
        row |= figures(estimator, training, held, judge)
        row |= {"judge_accuracy": judge.accuracy(*held), "judge_fitted": row["limit"] > JUDGED_FROM}
    except (ValueError, FloatingPointError) as error:
        row["error_message"] = str(error)
    return row | {"machine": machine(), "commit": commit()}


def run(options: argparse.Namespace) -> None:
    """Make the rows that the file does not have."""
    done = {key(row) for row in read([options.output])}
    data: dict[str, Data] = {}
    for row in wanted(options):
        if key(row) in done:
            continue
        if row["data"] not in data:
            with np.load(vars(options)[row["data"]]) as file:
                data = {row["data"]: (file["X"], file["y"])}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            row = row_of_fit(row, *data[row["data"]], options.output.parent)
        row["warnings"] = [str(warning.message) for warning in caught]
        with options.output.open("a") as file:
            file.write(json.dumps(row) + "\n")
        shown = [f"{name} {row[name]:.4g}" for name in (*SHOWN, "seconds") if name in row]
        print(*(row[name] for name in KEYS[:4]), *shown, row.get("error_message", ""), flush=True)


# ---- What rows say

SHOWN = ("probe", "mse", "error", "frechet")
# Title, where a row has the figure, digits, and whether less is worse.
COLUMNS = {
    "probe": (("probe",), 3, True),
    "mse": (("mse",), 4, False),
    "error": (("error",), 3, False),
    "Frechet": (("frechet",), 1, False),
    "I held": (("held", "information"), 1, True),
    "I low": (("held", "information_low"), 2, True),
    "I train": (("train", "information"), 1, True),
    "KL(z)": (("held", "marginal_divergence"), 1, False),
    "active": (("held", "active_dims"), 0, True),
    "code err": (("held", "code_error"), 2, False),
    "accuracy": (("held_labels", "accuracy"), 3, True),
    "pseudo": (("pseudo_labels", "accuracy"), 3, True),
    "seconds": (("seconds",), 0, False),
}


def figure(row: dict[str, Any], path: tuple[str, ...]) -> float | None:
    """The figure of a row at a path; None if it has none."""
    found: Any = row
    for name in path:
        found = found.get(name) if found else None
    return found


def panels(options: argparse.Namespace) -> dict[tuple[str, int], dict[str, list[dict[str, Any]]]]:
    """Rows of fits that ended, by model, of each data set and number of dimensions."""
    found: dict[tuple[str, int], dict[str, list[dict[str, Any]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    asked = given(options)
    for row in read([options.output]):
        if "probe" in row and all(row[name] == value for name, value in asked.items()):
            found[row["data"], row["latent_dim"]][row["model"]].append(row)
    return found


def cell(rows: list[dict[str, Any]], path: tuple[str, ...], digits: int, less_is_worse: bool) -> str:
    """Mean and worst over seeds."""
    values = [value for row in rows if (value := figure(row, path)) is not None]
    if not values:
        return ""
    worst = min(values) if less_is_worse else max(values)
    return f"{np.mean(values):.{digits}f} ({worst:.{digits}f})"


def correlation(rows: list[dict[str, Any]], images: str) -> float:
    """Spearman's rank correlation of the information of codes with what a probe finds in them."""
    of_probe = {"held": "probe", "train": "probe_train"}[images]
    return spearmanr([row[images]["information"] for row in rows], [row[of_probe] for row in rows])[0]


def summary(options: argparse.Namespace) -> None:
    """Print the figures of each model, mean and worst over seeds, and rank correlations."""
    found = panels(options)
    print(f"{'data':<8} {'J':>3} {'model':<9} {'n':>2}" + "".join(f"{title:>16}" for title in COLUMNS))
    for (name, latent_dim), models in sorted(found.items()):
        for model in (model for model in MODELS if model in models):
            cells = [cell(models[model], *column) for column in COLUMNS.values()]
            line = f"{name:<8} {latent_dim:>3} {model:<9} {len(models[model]):>2}"
            print(line + "".join(f"{each:>16}" for each in cells))
    groups = {f"{name}, J = {j}": [*chain(*models.values())] for (name, j), models in found.items()}
    print("\nRank correlation of information and probe:")
    for title, rows in {**groups, "all": [*chain(*groups.values())]}.items():
        if len(rows) > 2:
            figures = ", ".join(f"{each} {correlation(rows, each):.2f}" for each in ("held", "train"))
            print(f"{title}, {len(rows)} fits: {figures}")


def picture(options: argparse.Namespace) -> None:
    """Draw probe against Frechet distance, means over seeds: a point a model."""
    from matplotlib import pyplot as plt

    found = panels(options)
    drawing, axes = plt.subplots(
        1, len(found), figsize=(4.5 * len(found), 4), layout="constrained", squeeze=False
    )
    for ax, ((name, latent_dim), models) in zip(axes[0], sorted(found.items()), strict=True):
        for model in (model for model in MODELS if model in models):
            x, y = (np.mean([row[f] for row in models[model]]) for f in ("frechet", "probe"))
            colour = f"C{[model in group for group in (VAES, ADVERSARIAL, CLUSTERERS)].index(True)}"
            ax.plot(x, y, "o", color=colour)
            ax.annotate(model, (x, y), xytext=(4, 3), textcoords="offset points", color=colour)
        ax.set(title=f"{name}, J = {latent_dim}", xscale="log", xlabel="Fréchet distance of samples")
        ax.margins(0.15)
    axes[0, 0].set_ylabel("accuracy of a linear probe")
    drawing.savefig(options.picture, dpi=100)
    plt.close(drawing)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mnist", type=Path, help="an .npz file with X and y, the last 10,000 the test")
    parser.add_argument("--fashion", type=Path, help="likewise")
    parser.add_argument("--limit", type=int, default=10_000, help="training images that are fitted")
    parser.add_argument("--dims", type=int, nargs="+", default=[10, 20], metavar="J")
    parser.add_argument("--seeds", default="10-11", help="FIRST-LAST")
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS, metavar="MODEL")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="fields of presets")
    parser.add_argument("--param", nargs="*", default=[], metavar="NAME=VALUE", help="of estimators")
    parser.add_argument("--max-iter", type=int, help="of all models")
    parser.add_argument("--width", type=int, help="of all models")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--summary", action="store_true", help="print a table of the rows there are")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the rows there are")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "codes.jsonl")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.summary:
        summary(options)
    if options.picture:
        picture(options)
    if not (options.summary or options.picture):
        options.output.parent.mkdir(parents=True, exist_ok=True)
        run(options)


if __name__ == "__main__":
    main()
