"""Accuracy and samples of `MPCCClassifier` with few and with all classes known, a line of JSON a fit.

python benchmarks/classification.py --sets digits --seeds 10-14
python benchmarks/classification.py --mnist mnist.npz --sets mnist --seeds 10-11 --known 100 all
python benchmarks/classification.py --methods mpcc --set min_std=0.3 --param max_iter=500 --output FILE

A third of digits, rows or images, is held out by the seed. Of MNIST 10,000 images are fitted and 10,000
others held out, the same ones for every seed. Known classes are drawn by the seed, as equally many of
each class as can be. Methods are told the classes of these rows and, but for the networks and the
mixtures, see the rows of unknown class as well. Accuracies are of the rows of unknown class ("unknown")
and of those that are held out ("held").

Methods: mpcc; labels_only, MPCC that ends when the memberships have settled; spreading, LabelSpreading
on its graph of neighbours; self_training, a SelfTrainingClassifier of SVC (images: on 32 principal
components); network, MPCC's encoder by itself, trained by cross-entropy for 1,000 updates;
network_views, for images, the same on augmented views, as MPCC's encoder sees them; mixtures, a
GaussianMixture for each class (images: on 32 principal components); fitted, the fitted rows as samples
of themselves, as good as samples can be.

Methods that generate draw as many samples of each class as are fitted. Density, coverage and the Frechet
distance (in the features of `generation_metrics.JudgeNet`) are means over the classes, of held-out rows
and as many samples. "kept" is the share of samples whose class a judge finds that saw real rows only:
JudgeNet, of digits an SVC that learned the held-out rows. "by_..." are accuracies on the held-out rows
of classifiers that learned samples alone: an SVC, five nearest neighbours, and the network above.
"of_codes" of mpcc has the same figures of samples whose codes are drawn from a Gaussian with the mean
and the full covariance of each class's fitted codes. Rows that the file has already are not made again.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import SETS, commit, load_file, machine, mixture, seeds_of, setting
from generation_metrics import N_NEIGHBORS, JudgeNet, fidelity, frechet_distance
from numpy.typing import NDArray
from quality import read
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier
from sklearn.svm import SVC
from torch.nn import functional

from skmpcc import MPCCClassifier
from skmpcc.data.inputs import InputFormat, Layout
from skmpcc.method.model import MPCCModel
from skmpcc.presets import choose
from skmpcc.pseudo_labels.augmentation import random_affine
from skmpcc.settings import NetworkSettings, select

N_IMAGES = 10_000
N_COMPONENTS = 32
# Components of each class's mixture: of images several, of digits there are too few rows.
N_MIXED = 5
# Updates of the encoder by itself.
N_UPDATES = 1000
CHUNK = 1000

Predict = Callable[[NDArray], NDArray]


@dataclass(frozen=True)
class Case:
    """Rows that are fitted and held out, and the classes that methods are told."""

    X: NDArray
    y: NDArray
    told: NDArray
    held: NDArray
    y_held: NDArray
    seed: int
    settings: dict[str, Any]

    @property
    def images(self) -> bool:
        """Whether the rows are images."""
        return self.X.ndim > 2

    @property
    def known(self) -> NDArray:
        """Mask of the rows of known class."""
        return self.told >= 0


@dataclass
class Fit:
    """Functions and facts of a fitted method; None stands for what it does not have."""

    predict: Predict | None = None
    sample_like: Predict | None = None
    sample_codes: Predict | None = None
    transduction: NDArray | None = None
    facts: dict[str, Any] = field(default_factory=dict)


# ---- Data


def load_case(name: str, known: str, seed: int, options: argparse.Namespace) -> Case:
    """Split a set by the seed, and draw the rows whose class is known."""
    settings = {"preset_params": dict(map(setting, options.set)) or None}
    settings |= dict(map(setting, options.param))
    if name == "mnist":
        X, y = load_file(name, options.mnist)
        y = y.astype(np.int64)
        X, held, y, y_held = X[:N_IMAGES], X[N_IMAGES:][:N_IMAGES], y[:N_IMAGES], y[N_IMAGES:][:N_IMAGES]
    else:
        X, held, y, y_held = train_test_split(*SETS[name](), test_size=1 / 3, random_state=seed)
    told = y.copy()
    if known != "all":
        told[~drawn_known(y, int(known), seed)] = -1
    return Case(X, y, told, held, y_held, seed, settings)


def drawn_known(y: NDArray, number: int, seed: int) -> NDArray:
    """Mask of `number` rows, of each class as many as of the others where there are that many."""
    order = np.random.default_rng(seed).permutation(len(y))
    # The place of each row among those of its class, by which rows of all classes take turns.
    place = np.empty(len(y), dtype=int)
    for label in np.unique(y):
        members = order[y[order] == label]
        place[members] = np.arange(len(members))
    mask = np.zeros(len(y), dtype=bool)
    mask[order[np.argsort(place[order], kind="stable")[:number]]] = True
    return mask


def flat(X: NDArray) -> NDArray:
    """X as rows of double precision."""
    return X.reshape(len(X), -1).astype(float)


# ---- Methods


def fit_mpcc(case: Case, *, labels_only: bool = False) -> Fit:
    """The estimator itself."""
    settings = {"random_state": case.seed, "labels_only": labels_only} | case.settings
    classifier = MPCCClassifier(**settings).fit(case.X, case.told)
    facts = {
        "iterations": int(classifier.n_iter_),
        "converged": bool(classifier.converged_),
        "transduction": accuracy(case.y, classifier.transduction_, ~case.known),
    }
    if labels_only:
        return Fit(classifier.predict, facts=facts)
    codes, rng = classifier.transform(case.X).astype(float), np.random.default_rng(case.seed)

    def sample_codes(y: NDArray) -> NDArray:
        """Decode draws from a Gaussian of each class's codes."""
        drawn = np.empty((len(y), codes.shape[1]))
        for label in np.unique(y):
            of_class = codes[classifier.transduction_ == label]
            moments = of_class.mean(0), np.cov(of_class.T)
            drawn[y == label] = rng.multivariate_normal(*moments, int(np.sum(y == label)))
        return classifier.inverse_transform(drawn, y)

    return Fit(classifier.predict, classifier.sample_like, sample_codes, facts=facts)


def fit_spreading(case: Case) -> Fit:
    """Known classes spread along scikit-learn's graph of neighbours."""
    # Few known classes take more steps than the default to get everywhere.
    spreading = LabelSpreading(kernel="knn", max_iter=1000).fit(flat(case.X), case.told)
    return Fit(lambda X: spreading.predict(flat(X)), transduction=spreading.transduction_)


def fit_self_training(case: Case) -> Fit:
    """A support vector machine that is taught by what it is sure of."""
    encode = encoder_of(case)
    svc = SVC(probability=True, random_state=case.seed)
    model = SelfTrainingClassifier(svc).fit(encode(case.X), case.told)
    return Fit(lambda X: model.predict(encode(X)))


def encoder_of(case: Case) -> Predict:
    """Rows, or the principal components of images."""
    if not case.images:
        return flat
    pca = PCA(N_COMPONENTS, random_state=0).fit(flat(case.X))
    return lambda X: pca.transform(flat(X))


def fit_network(case: Case, *, views: bool = False) -> Fit:
    """MPCC's encoder alone, which learns the rows of known class."""
    return Fit(network(case.X[case.known], case.told[case.known], case.seed, views=views))


def network(X: NDArray, y: NDArray, seed: int, *, views: bool = False) -> Predict:
    """Train MPCC's encoder by cross-entropy with the preset's batches and rates."""
    layout, n_classes = Layout.from_shape(X.shape[1:], None), int(y.max()) + 1
    preset = choose(layout.image, len(X), X[0].size, n_classes)
    data_format = InputFormat.from_data(X, layout, preset.resizing)
    data, labels = data_format.encode_all(X), torch.as_tensor(y)
    # One output for each class instead of a code.
    settings = replace(select(preset, NetworkSettings), latent_dim=n_classes)
    encoder = MPCCModel(settings, data_format.tensor_shape, n_classes, seed).encoder
    optimizer = torch.optim.Adam(encoder.parameters(), preset.learning_rate)
    rng = torch.Generator().manual_seed(seed)
    for update in range(N_UPDATES):
        left = (1.0 - update / N_UPDATES) / preset.learning_rate_decay
        optimizer.param_groups[0]["lr"] = preset.learning_rate * min(1.0, left)
        rows = torch.randint(len(data), (preset.batch_size,), generator=rng)
        x, of_rows = data[rows], labels[rows]
        if views:
            x, of_rows = torch.cat([x, random_affine(x, rng)]), torch.cat([of_rows, of_rows])
        loss = functional.cross_entropy(encoder(x)[0], of_rows)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    encoder.eval()

    @torch.no_grad()
    def predict(X: NDArray) -> NDArray:
        parts = data_format.encode_all(X).split(CHUNK)
        return torch.cat([encoder(x)[0].argmax(1) for x in parts]).numpy()

    return predict


def fit_mixtures(case: Case) -> Fit:
    """A GaussianMixture for each class, of its known rows, and Bayes' rule."""
    pca = PCA(N_COMPONENTS, random_state=0).fit(flat(case.X)) if case.images else None
    classes = np.unique(case.y)

    def encode(X: NDArray) -> NDArray:
        return flat(X) if pca is None else pca.transform(flat(X))

    def mixture_of(label: int) -> GaussianMixture:
        rows = encode(case.X[case.told == label])
        return mixture(rows, min(N_MIXED, len(rows)) if case.images else 1, case.seed)

    mixtures = [mixture_of(label) for label in classes]
    log_shares = np.log([np.mean(case.told[case.known] == label) for label in classes])

    def predict(X: NDArray) -> NDArray:
        log_densities = np.transpose([each.score_samples(encode(X)) for each in mixtures])
        return classes[(log_densities + log_shares).argmax(1)]

    def sample_like(y: NDArray) -> NDArray:
        out = np.empty((len(y), case.X[0].size))
        for label, each in zip(classes, mixtures, strict=True):
            if np.any(y == label):
                drawn = each.sample(int(np.sum(y == label)))[0]
                out[y == label] = drawn if pca is None else pca.inverse_transform(drawn)
        images = out.reshape(-1, *case.X.shape[1:])
        return images.clip(0, 255) if case.images else images

    return Fit(predict, sample_like)


METHODS: dict[str, Callable[[Case], Fit]] = {
    "mpcc": fit_mpcc,
    "labels_only": partial(fit_mpcc, labels_only=True),
    "spreading": fit_spreading,
    "self_training": fit_self_training,
    "network": fit_network,
    "network_views": partial(fit_network, views=True),
    "mixtures": fit_mixtures,
    "fitted": lambda case: Fit(sample_like=lambda y: case.X),
}
# What there is no use in, or what cannot be done, with few known classes.
OF_ALL = ("mixtures", "fitted")
OF_OUR_OWN = ("mpcc", "labels_only")

# ---- Figures


def accuracy(y: NDArray, labels: NDArray, rows: NDArray) -> float | None:
    """Share of the rows whose class is found; None if there are no rows."""
    return float(np.mean(labels[rows] == y[rows])) if rows.any() else None


def figures(case: Case, fit: Fit, judge: JudgeNet | None) -> dict[str, Any]:
    """Accuracies of a fit, and what its samples are worth."""
    out: dict[str, Any] = {}
    if fit.predict is not None:
        found = fit.predict(case.X) if fit.transduction is None else fit.transduction
        out["unknown"] = accuracy(case.y, found, ~case.known)
        out["held"] = float(np.mean(fit.predict(case.held) == case.y_held))
    if fit.sample_like is not None:
        out |= of_samples(case, fit.sample_like(case.y), judge)
    if fit.sample_codes is not None:
        out["of_codes"] = of_samples(case, fit.sample_codes(case.y), judge)
    return out


def support_vectors(case: Case) -> Any:
    """An SVC, of images on the principal components of what it learns."""
    return make_pipeline(PCA(N_COMPONENTS, random_state=0), SVC()) if case.images else SVC()


def of_samples(case: Case, samples: NDArray, judge: JudgeNet | None) -> dict[str, Any]:
    """Figures of samples, of the classes of the fitted rows."""
    y, y_held = case.y, case.y_held
    real, new = flat(case.held), flat(samples)
    if case.images:
        components = PCA(N_COMPONENTS, random_state=0).fit(real)
        real, new = components.transform(real), components.transform(new)
    by_class: list[dict[str, float]] = []
    for label in np.unique(y):
        of_class = np.flatnonzero(y_held == label)
        drawn = np.flatnonzero(y == label)[: len(of_class)]
        row = fidelity(real[of_class], new[drawn])
        if judge is not None:
            features = [judge.features(X) for X in (case.held[of_class], samples[drawn])]
            row["frechet"] = frechet_distance(*features)
        by_class.append(row)
    out = {key: float(np.mean([row[key] for row in by_class])) for key in by_class[0]}
    if judge is None:
        svc = support_vectors(case).fit(flat(case.held), y_held)
        out["kept"] = float(svc.score(flat(samples), y))
    else:
        out["kept"] = judge.accuracy(samples, y)
    svc = support_vectors(case).fit(flat(samples), y)
    neighbors = KNeighborsClassifier(N_NEIGHBORS).fit(flat(samples), y)
    found = {
        "by_svc": svc.predict(flat(case.held)),
        "by_neighbors": neighbors.predict(flat(case.held)),
        "by_network": network(samples, y, case.seed)(case.held),
    }
    return out | {key: float(np.mean(labels == y_held)) for key, labels in found.items()}


FIGURES = (
    "unknown", "held", "transduction", "density", "coverage", "precision", "recall", "frechet", "kept",
    "by_svc", "by_neighbors", "by_network", "iterations", "converged",
)  # fmt: skip


# ---- Rows


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    """Return the arguments that tell rows apart."""
    return tuple(json.dumps(row[name]) for name in ("data", "known", "method", "seed", "set", "param"))


def run(name: str, options: argparse.Namespace) -> None:
    """Make the rows of a data set that the file does not have."""
    judge, done = None, {key(r) for r in read([options.output])}
    given = {"set": dict(map(setting, options.set)), "param": dict(map(setting, options.param))}
    if name == "mnist":
        X, y = load_file(name, options.mnist)
        path = options.output.parent / "judge_classification.pt"
        judge = JudgeNet.trained(X[2 * N_IMAGES :], y[2 * N_IMAGES :], path)
    wanted = [
        (seed, known, method)
        for seed in seeds_of(options.seeds)
        for known in options.known
        for method in options.methods
        if known == "all" or method not in OF_ALL
    ]
    for seed, known, method in wanted:
        row: dict[str, Any] = {"kind": "classification", "data": name, "known": known}
        row |= {"method": method, "seed": seed}
        row |= given if method in OF_OUR_OWN else {"set": {}, "param": {}}
        if key(row) in done:
            continue
        case = load_case(name, known, seed, options)
        if method == "network_views" and not case.images:
            continue
        row |= {"n_fitted": len(case.X), "n_held": len(case.held)} | dict.fromkeys(FIGURES)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            started = time.perf_counter()
            fit = METHODS[method](case)
            row["seconds"] = time.perf_counter() - started
            row |= fit.facts | figures(case, fit, judge)
        with options.output.open("a") as file:
            file.write(json.dumps(row | {"machine": machine(), "commit": commit()}) + "\n")
        shown = [f"{k} {row[k]:.3f}" for k in (*FIGURES, "seconds") if isinstance(row[k], float)]
        print(name, known, method, seed, ", ".join(shown), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sets", nargs="+", default=["digits"], choices=["digits", "digits_images", "mnist"]
    )
    parser.add_argument(
        "--known", nargs="+", default=["10", "50", "100", "1000", "all"], help="rows of known class"
    )
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--seeds", default="0-4", help="FIRST-LAST")
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="NAME=VALUE", help="fields of MPCC's preset"
    )
    parser.add_argument(
        "--param", nargs="*", default=[], metavar="NAME=VALUE", help="parameters of MPCC"
    )
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--mnist", type=Path, help="an .npz file with X and y")
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent / "results" / "classification.jsonl"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    for name in options.sets:
        run(name, options)


if __name__ == "__main__":
    main()
