"""Quality of the generative half, one line of JSON for each data set, method and seed.

python benchmarks/generation.py --sets digits wine breast_cancer --seeds 10-14
python benchmarks/generation.py --data tables.npz --sets satimage letter     # arrays NAME_X and NAME_y
python benchmarks/generation.py --mnist mnist.npz --fashion fashion.npz --sets mnist fashion
python benchmarks/generation.py --methods mpcc --set min_std=0.3 --param max_iter=500 --output FILE

Half of a table is fitted and the other half held out; of images 10,000 and 2,000. Tables of --data are
standardised. The rows that are held out judge as many samples: density, coverage, precision and recall
with 5 neighbours (images in 32 principal components), the AUC of a forest that tells both apart, and
for images the Frechet distance in the features of `generation_metrics.JudgeNet`. They are reconstructed,
their codes are classified by those of the fitted half, and told by their scores from rows whose columns
are shuffled independently and from rows of another data set. Labels enter the scores alone, and
JudgeNet, which sees images that are neither fitted nor held out.

Methods: mpcc; vade, `VaDEClusterer`; vae, `VAE` of MPCC's latent width with a GaussianMixture on its
codes, which labels them and draws those of samples; aim, `AIM`, without labels; fitted, samples drawn
from the fitted half itself, as good as samples can be; marginals, each column of the fitted half drawn
on its own; pca, as many principal components as MPCC has latent dimensions; gmm, a GaussianMixture
(images: on 32 principal components); forest, an IsolationForest; and, if it is asked for, forestflow,
Forest Flow (Jolicoeur-Martineau et al., 2024) of the package ForestDiffusion, on tables of which 200
rows or fewer are fitted. What a method does not have is null. Rows that the file has already are not
made again.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import NOISE, SETS, Data, commit, load_file, machine, mixture, seeds_of, setting, split
from generation_metrics import (
    JudgeNet,
    fidelity,
    frechet_distance,
    neighbor_accuracy,
    outlier_auc,
    relative_error,
    two_sample_auc,
)
from numpy.typing import NDArray
from quality import read
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from skmpcc import AIM, VAE, MPCCClusterer, VaDEClusterer
from skmpcc.data.inputs import Layout
from skmpcc.metrics import clustering_scores
from skmpcc.presets import choose

TABLES = ("digits", "wine", "breast_cancer")
IMAGES = ("mnist", "fashion")
N_IMAGES = 12_000
N_COMPONENTS = 32

# ---- Data


def load_set(name: str, options: argparse.Namespace) -> Data:
    """Load a data set; of images all, in an order drawn once."""
    if name in IMAGES:
        return load_file(name, vars(options)[name])
    if name in SETS:
        return SETS[name]()
    if options.data is None:
        raise SystemExit(f"{name} needs --data, an .npz file with {name}_X and {name}_y.")
    with np.load(options.data) as file:
        found = [key for key in (name, f"real_{name}") if f"{key}_X" in file]
        if not found:
            raise SystemExit(f"{options.data} has no {name}_X.")
        X, y = file[f"{found[0]}_X"], file[f"{found[0]}_y"].astype(int)
    return StandardScaler().fit_transform(X.astype(float)), np.where(y > 0, y, NOISE)


def others(name: str, X: NDArray, options: argparse.Namespace) -> NDArray | None:
    """Rows of another data set in the form of X, the rows that are fitted.

    Of a table, columns are repeated or cut, and moved and scaled to the means and deviations of X.
    """
    if name in IMAGES:
        other = IMAGES[1 - IMAGES.index(name)]
        return None if vars(options)[other] is None else load_set(other, options)[0][:N_IMAGES]
    rows = SETS["digits" if name == "breast_cancer" else "breast_cancer"]()[0]
    rows = rows[np.random.default_rng(0).permutation(len(rows))]
    rows = rows[:, np.arange(X.shape[1]) % rows.shape[1]]
    return StandardScaler().fit_transform(rows) * X.std(axis=0) + X.mean(axis=0)


def shuffled(X: NDArray, seed: int) -> NDArray:
    """X with each column, or pixel, shuffled on its own."""
    rows = X.reshape(len(X), -1)
    return np.random.default_rng(seed).permuted(rows, axis=0).reshape(X.shape)


@dataclass(frozen=True)
class Case:
    """A data set split for one seed, and what all methods are told."""

    fitted: NDArray
    held: NDArray
    y: NDArray
    y_held: NDArray
    n_clusters: int
    seed: int
    latent_dim: int
    others: NDArray | None
    judge: JudgeNet | None
    settings: dict[str, Any]

    @property
    def images(self) -> bool:
        """Whether the data are images."""
        return self.fitted.ndim > 2

    @cached_property
    def fitted_components(self) -> PCA:
        """Principal components of the fitted images, for methods that cannot do with pixels."""
        return self.components(N_COMPONENTS)

    def components(self, number: int) -> PCA:
        """Principal components of the fitted half."""
        number = min(number, *flat(self.fitted).shape)
        return PCA(number, random_state=0).fit(flat(self.fitted))

    def pixels(self, rows: NDArray) -> NDArray:
        """Bring rows to the shape of the data; of images, values to the range they can have."""
        X = rows.reshape(-1, *self.fitted.shape[1:])
        return X.clip(0, 255) if self.images else X


def flat(X: NDArray) -> NDArray:
    """X as rows of double precision."""
    return X.reshape(len(X), -1).astype(float)


# ---- Methods


Function = Callable[[NDArray], NDArray]


@dataclass
class Fit:
    """Functions that a method learned; None stands for one that it does not have."""

    samples: NDArray | None = None
    sample_labels: NDArray | None = None
    predict: Function | None = None
    reconstruct: Function | None = None
    codes: Function | None = None
    score: Function | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def fit_mpcc(case: Case) -> Fit:
    """MPCC."""
    return of_clusterer(case, MPCCClusterer(case.n_clusters, random_state=case.seed), case.settings)


def fit_vade(case: Case) -> Fit:
    """VaDE on MPCC's networks and pseudo-labels."""
    return of_clusterer(case, VaDEClusterer(case.n_clusters, random_state=case.seed), {})


def of_clusterer(case: Case, clusterer: MPCCClusterer, settings: dict[str, Any]) -> Fit:
    """Fit a clusterer of this package with some parameters."""
    clusterer.set_params(**settings).fit(case.fitted)
    samples, labels = clusterer.sample(len(case.held))
    facts = course(clusterer) | {"sigma": float(np.sqrt(clusterer.covariances_).mean())}
    if clusterer.pseudo_labels_ is not None:
        facts["pseudo_labels"] = scores(case.y, clusterer.pseudo_labels_)
    return Fit(
        samples,
        labels,
        clusterer.predict,
        clusterer.reconstruct,
        clusterer.transform,
        clusterer.score_samples,
        facts,
    )


def course(fitted: Any) -> dict[str, Any]:
    """How long a fit of this package took, and whether it settled."""
    return {"iterations": int(fitted.n_iter_), "converged": bool(fitted.converged_)}


def fit_fitted(case: Case) -> Fit:
    """The fitted half as samples of itself, and the data as their own codes."""
    return Fit(case.fitted[: len(case.held)], codes=flat)


def fit_marginals(case: Case) -> Fit:
    """Columns of the fitted half, each drawn on its own."""
    return Fit(shuffled(case.fitted, case.seed)[: len(case.held)])


def fit_pca(case: Case) -> Fit:
    """As many principal components as MPCC has latent dimensions."""
    pca = case.components(case.latent_dim)

    def reconstruct(X: NDArray) -> NDArray:
        return case.pixels(pca.inverse_transform(pca.transform(flat(X))))

    return Fit(reconstruct=reconstruct, codes=lambda X: pca.transform(flat(X)))


def fit_gmm(case: Case) -> Fit:
    """A GaussianMixture: on rows, or on the principal components of images, which reconstruct them."""
    if not case.images:
        gmm = mixture(case.fitted, case.n_clusters, case.seed)
        samples, labels = gmm.sample(len(case.held))
        return Fit(samples, labels, gmm.predict, score=gmm.score_samples)
    pca = case.fitted_components

    def encode(X: NDArray) -> NDArray:
        return pca.transform(flat(X))

    def decode(codes: NDArray) -> NDArray:
        return case.pixels(pca.inverse_transform(codes))

    gmm = mixture(encode(case.fitted), case.n_clusters, case.seed)
    codes, labels = gmm.sample(len(case.held))
    return Fit(
        decode(codes),
        labels,
        lambda X: gmm.predict(encode(X)),
        lambda X: decode(encode(X)),
        encode,
        lambda X: gmm.score_samples(encode(X)),
    )


def fit_vae(case: Case) -> Fit:
    """A VAE with a GaussianMixture on its codes."""
    vae = VAE(case.latent_dim, random_state=case.seed).fit(case.fitted)
    gmm = mixture(vae.transform(case.fitted), case.n_clusters, case.seed)
    codes, labels = gmm.sample(len(case.held))
    return Fit(
        vae.inverse_transform(codes),
        labels,
        lambda X: gmm.predict(vae.transform(X)),
        vae.reconstruct,
        vae.transform,
        vae.score_samples,
        course(vae),
    )


def fit_aim(case: Case) -> Fit:
    """AIM, which has no clusters."""
    aim = AIM(random_state=case.seed).fit(case.fitted)
    return Fit(
        aim.sample(len(case.held)),
        reconstruct=aim.reconstruct,
        codes=aim.transform,
        score=aim.score_samples,
        facts=course(aim),
    )


def fit_forestflow(case: Case) -> Fit:
    """Forest Flow: boosted trees that move noise to the data."""
    try:
        from ForestDiffusion import ForestDiffusionModel
    except ImportError as error:
        raise SystemExit("forestflow needs the package ForestDiffusion.") from error
    model = ForestDiffusionModel(case.fitted, diffusion_type="flow", n_jobs=1, seed=case.seed)
    return Fit(model.generate(batch_size=len(case.held)))


def fit_forest(case: Case) -> Fit:
    """An IsolationForest: on rows, or on the principal components of images."""

    def encode(X: NDArray) -> NDArray:
        return case.fitted_components.transform(flat(X)) if case.images else X

    forest = IsolationForest(random_state=case.seed).fit(encode(case.fitted))
    return Fit(score=lambda X: forest.score_samples(encode(X)))


METHODS: dict[str, Callable[[Case], Fit]] = {
    "mpcc": fit_mpcc,
    "vade": fit_vade,
    "vae": fit_vae,
    "aim": fit_aim,
    "fitted": fit_fitted,
    "marginals": fit_marginals,
    "pca": fit_pca,
    "gmm": fit_gmm,
    "forest": fit_forest,
    "forestflow": fit_forestflow,
}
# Not fitted unless they are asked for, and to tables of so many rows alone.
OPTIONAL = {"forestflow": 200}


def can_fit(method: str, rows: NDArray) -> bool:
    """Whether a method takes such rows."""
    return method not in OPTIONAL or (rows.ndim == 2 and len(rows) <= OPTIONAL[method])


# ---- Figures


def scores(y: NDArray, labels: NDArray) -> dict[str, float]:
    """Scores of labels, noise left out."""
    return clustering_scores(y[y != NOISE], labels[y != NOISE])


def figures(case: Case, fit: Fit) -> dict[str, Any]:
    """All figures of a fit on the held-out half."""
    held = case.held
    out: dict[str, Any] = {}
    samples = fit.samples
    if samples is not None:
        real, new = flat(held), flat(samples)
        if case.images:
            components = PCA(N_COMPONENTS, random_state=0).fit(real)
            real, new = components.transform(real), components.transform(new)
        out |= fidelity(real, new) | {"auc": two_sample_auc(real, new)}
        if case.judge is not None:
            features = [case.judge.features(X) for X in (held, samples)]
            out["frechet"] = frechet_distance(*features)
    if fit.reconstruct is not None:
        rebuilt = fit.reconstruct(held)
        out["reconstruction"] = relative_error(held, rebuilt)
    if fit.predict is not None:
        held_labels = fit.predict(held)
        out["labels"] = scores(case.y, fit.predict(case.fitted))
        out["held_labels"] = scores(case.y_held, held_labels)
        if fit.reconstruct is not None:
            out["kept"] = float(np.mean(fit.predict(rebuilt) == held_labels))
        if samples is not None:
            out["samples_kept"] = float(np.mean(fit.predict(samples) == fit.sample_labels))
    if fit.codes is not None:
        of_class, held_of_class = case.y != NOISE, case.y_held != NOISE
        out["neighbors"] = neighbor_accuracy(
            fit.codes(case.fitted[of_class]),
            case.y[of_class],
            fit.codes(held[held_of_class]),
            case.y_held[held_of_class],
        )
    if fit.score is not None:
        inliers = fit.score(held)
        out["outliers_shuffled"] = outlier_auc(inliers, fit.score(shuffled(held, case.seed)))
        if case.others is not None:
            out["outliers_other"] = outlier_auc(inliers, fit.score(case.others[: len(held)]))
    return out


FIGURES = (
    "density", "coverage", "precision", "recall", "auc", "frechet", "reconstruction", "kept",
    "samples_kept", "neighbors", "outliers_shuffled", "outliers_other", "labels", "held_labels",
    "pseudo_labels", "iterations", "converged",
)  # fmt: skip


# ---- Rows


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    """Return the arguments that tell rows apart."""
    return tuple(json.dumps(row[name]) for name in ("data", "method", "seed", "limit", "set", "param"))


def run(name: str, options: argparse.Namespace) -> None:
    """Make the rows of a data set that the file does not have."""
    X, y = load_set(name, options)
    judge, judge_path = None, options.output.parent / f"judge_{name}.pt"
    if name in IMAGES:
        judge = JudgeNet.trained(X[N_IMAGES:], y[N_IMAGES:], judge_path)
        X, y = X[:N_IMAGES], y[:N_IMAGES]
    if options.limit is not None:
        kept = np.random.default_rng(0).permutation(len(X))[: options.limit]
        X, y = X[kept], y[kept]
    n_clusters = len(np.unique(y[y != NOISE]))
    given = {"set": dict(map(setting, options.set)), "param": dict(map(setting, options.param))}
    settings = {"preset_params": given["set"] or None} | given["param"]
    done = {key(r) for r in read([options.output])}
    for seed in seeds_of(options.seeds):
        rows, held = split(X, seed)
        preset = choose(Layout.from_shape(X.shape[1:], None).image, len(rows), X[0].size, n_clusters)
        for method in options.methods:
            row: dict[str, Any] = {"kind": "generation", "data": name, "method": method, "seed": seed}
            row["limit"] = options.limit
            row |= given if method == "mpcc" else {"set": {}, "param": {}}
            if key(row) in done or not can_fit(method, X[rows]):
                continue
            case = Case(
                X[rows], X[held], y[rows], y[held], n_clusters, seed, preset.latent_dim,
                others(name, X[rows], options), judge, settings,
            )  # fmt: skip
            row |= {"n_fitted": len(rows), "n_held": len(held), "latent_dim": preset.latent_dim}
            row |= dict.fromkeys(FIGURES)
            if judge is not None:
                row["judge_accuracy"] = judge.accuracy(X[held], y[held])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                started = time.perf_counter()
                fit = METHODS[method](case)
                row["seconds"] = time.perf_counter() - started
                row |= figures(case, fit) | fit.facts
            with options.output.open("a") as file:
                file.write(json.dumps(row | {"machine": machine(), "commit": commit()}) + "\n")
            shown = [f"{k} {row[k]:.3f}" for k in (*FIGURES, "seconds") if isinstance(row[k], float)]
            print(name, method, seed, ", ".join(shown), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sets", nargs="+", metavar="NAME", help="by default all that the given files allow"
    )
    default = [method for method in METHODS if method not in OPTIONAL]
    parser.add_argument("--methods", nargs="+", default=default, choices=METHODS)
    parser.add_argument("--seeds", default="0-4", help="FIRST-LAST")
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="NAME=VALUE", help="fields of MPCC's preset"
    )
    parser.add_argument(
        "--param", nargs="*", default=[], metavar="NAME=VALUE", help="parameters of MPCC"
    )
    parser.add_argument("--limit", type=int, help="rows of a set that are used, both halves together")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--data", type=Path, help="an .npz file with NAME_X and NAME_y; y = 0 is noise")
    parser.add_argument("--mnist", type=Path, help="an .npz file with X and y")
    parser.add_argument("--fashion", type=Path, help="likewise")
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent / "results" / "generation.jsonl"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    names = list(TABLES) + (["satimage", "letter"] if options.data else [])
    names += [name for name in IMAGES if vars(options)[name]]
    for name in options.sets or names:
        run(name, options)


if __name__ == "__main__":
    main()
