"""Tables of figures in README.md and docs/ from the rows in benchmarks/results/.

python benchmarks/tables.py            # write the tables into the pages
python benchmarks/tables.py --check    # exit status 1 if a page has other tables than the rows give
python benchmarks/tables.py --show suite results/mine.jsonl    # print one table of other rows

A table stands between the lines `<!-- tables.py: NAME -->` and `<!-- tables.py: end -->`. The last
column of those in docs/benchmarks.md and README.md names the commits of the code that the rows ran.
"""

import argparse
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from common import KINDS, half_of, kind_of
from numpy.typing import NDArray
from quality import read
from scipy.stats import rankdata

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"
PAGES = [
    ROOT / "README.md",
    ROOT / "docs" / "benchmarks.md",
    ROOT / "docs" / "development" / "performance.md",
    ROOT / "docs" / "distributed.md",
    ROOT / "docs" / "which-clusterer.md",
]
NAMES = {
    "digits": "digits, 1,797 rows of 64",
    "digits_images": "the same as images, 8 x 8",
    "iris": "iris",
    "wine": "wine",
    "breast_cancer": "breast cancer",
    "moons": "moons",
    "circles": "circles",
    "mnist_10k_images": "MNIST, 10,000 images",
    "fashion_10k_images": "Fashion-MNIST, 10,000 images",
}
# Data sets that are timed and not scored.
OTHERS = {
    "blobs_10k": "blobs, 10,000 rows of 16",
    "mnist.npz": "MNIST, 70,000 images",
}
RIVALS = ("KMeans", "GaussianMixture", "UMAP + GMM")
# Data sets, methods and figures of the generative half: a table for each question.
GENERATION = {
    "digits": "digits",
    "wine": "wine",
    "breast_cancer": "breast cancer",
    "satimage": "satimage",
    "letter": "letter",
    "mnist": "MNIST",
    "fashion": "Fashion-MNIST",
}
GENERATORS = {
    "fitted": "the fitted half",
    "mpcc": "MPCC",
    "vade": "VaDE",
    "vae": "VAE + GMM",
    "aim": "AIM",
    "gmm": "GaussianMixture",
    "pca": "principal components",
    "forest": "IsolationForest",
    "forestflow": "Forest Flow",
    "marginals": "columns alone",
}
GENERATION_FIGURES = {
    "samples": {
        "density": "density",
        "coverage": "coverage",
        "precision": "precision",
        "recall": "recall",
        "auc": "AUC",
        "frechet": "Fréchet",
    },
    "codes": {
        "reconstruction": "reconstruction",
        "kept": "kept",
        "samples_kept": "samples kept",
        "neighbors": "neighbours",
    },
    "outliers": {"outliers_shuffled": "shuffled", "outliers_other": "other set"},
    "labels": {"pseudo_labels": "pseudo-labels", "labels": "labels", "held_labels": "labels, held out"},
}
# Data sets, methods and figures of known classes.
CLASSIFICATION = {"digits": "digits", "mnist": "MNIST"}
CLASSIFIERS = {
    "fitted": "the fitted rows",
    "mpcc": "MPCC",
    "labels_only": "MPCC, `labels_only`",
    "spreading": "LabelSpreading",
    "self_training": "SelfTrainingClassifier(SVC)",
    "network": "the encoder alone",
    "network_views": "the encoder alone, with views",
    "mixtures": "a GaussianMixture for each class",
}
OF_CLASSES = {"density": "density", "coverage": "coverage", "frechet": "Fréchet", "kept": "kept"}
LEARNED = {"by_svc": "SVC", "by_neighbors": "5 neighbours", "by_network": "the encoder alone"}
# Figures of numbers that stay and of rules in words.
INSPECTION = {
    "numbers": {
        "kept": "kept",
        "same": "same, of all rows",
        "same_at_best": "at best",
        "same_before": "without renumbering",
        "jaccard": "Jaccard index",
        "stability": "`cluster_stability_`",
    },
    "rules": {
        "precision": "precision",
        "recall": "recall",
        "least_precision": "least precision",
        "least_recall": "least recall",
        "other_precision": "precision, other rows",
        "other_recall": "recall, other rows",
    },
}

# Adjusted Rand index by which a method has to be lower than KMeans to be behind it.
MARGIN = 0.02
HALVES = ("choosing", "confirming")
# Methods of this package begin so.
OWN = ("MPCC", "pseudo-labels")
# Iterations of a long training that are shown.
CURVE = (
    200,
    400,
    800,
    1400,
    2000,
    3000,
    4000,
    6000,
    8000,
    10_000,
    12_000,
    14_000,
    16_000,
    18_000,
    20_000,
)

# Sets of light curves, figures of each task, and the order of methods.
STARS = {
    "eros": "EROS-1",
    "asas": "ASAS",
    "linear": "LINEAR, a table",
    "synthetic": "synthetic",
    "synthetic_same_period": "synthetic, one law of periods",
}
OF_STARS = {
    "noise": {"auc": "AUC"},
    "classification": {
        "all": "all known",
        "all_balanced": "balanced",
        "ten": "ten of each",
        "ten_balanced": "balanced",
    },
    "clusters": {"ari": "ARI", "nmi": "NMI", "accuracy": "accuracy"},
    "bands": {
        "z2": "mean z²",
        "within": "abs(z) < 1",
        "z2_near": "mean z², near",
        "within_near": "abs(z) < 1, near",
    },
    "sampling": {"kept": "in their class", "kept_real": "real ones", "auc": "AUC, period and amplitude"},
    "time": {"fit": "seconds"},
}
STAR_FITS = (
    *("period", "numbers", "colours", "isolation", "lof", "forest", "qda", "kmeans", "umap"),
    *("kmeans_standard", "umap_standard", "kmeans_features", "umap_features"),
    *("regression", "curves", "grid", "dagmm", "thesis", "one", "vade", "clusters"),
)

Rows = list[dict[str, Any]]
Groups = dict[str, dict[str, Rows]]


def _cell(rows: Rows, score: str, *, worst: bool = False) -> str:
    if not rows:
        return ""
    values = np.array([r[score] for r in rows])
    cell = f"{values.mean():.3f} ± {values.std():.3f}"
    return f"{cell} ({values.min():.3f})" if worst else cell


def _pseudo_labels(rows: Rows) -> Rows:
    return [r["pseudo_labels"] for r in rows if "pseudo_labels" in r]


def _lines(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Lines of a table in Markdown."""
    columns = list(columns)
    lines = [f"| {' | '.join(columns)} |", "|" + " --- |" * len(columns)]
    return [*lines, *(f"| {' | '.join(cells)} |" for cells in rows)]


def _commits(rows: Rows) -> str:
    """Commits of the code that rows ran, in the order of the rows, each once."""
    return ", ".join(dict.fromkeys(r["commit"] for r in rows if "commit" in r))


def _beside_rivals(rows: Rows, score: str) -> list[str]:
    """One score of MPCC, its pseudo-labels and others, a row for each data set.

    The commits are those of MPCC's fits.
    """
    lines = []
    for name, methods in groups_of(rows).items():
        mpcc = methods["MPCC"]
        cells = [NAMES[name], str(len(mpcc)), _cell(mpcc, score, worst=True)]
        cells.append(_cell(_pseudo_labels(mpcc), score))
        cells += [_cell(methods.get(method, []), score) for method in RIVALS]
        lines.append([*cells, _commits(mpcc)])
    return _lines(["data", "seeds", "MPCC (worst)", "its pseudo-labels", *RIVALS, "commit"], lines)


def accuracy(rows: Rows) -> list[str]:
    """One-to-one accuracy, a row for each data set."""
    return _beside_rivals(rows, "accuracy")


def nmi(rows: Rows) -> list[str]:
    """Normalised mutual information, a row for each data set."""
    return _beside_rivals(rows, "nmi")


def ari(rows: Rows) -> list[str]:
    """Adjusted Rand index, a row for each data set."""
    return _beside_rivals(rows, "ari")


def seconds(rows: Rows) -> list[str]:
    """Median seconds of a fit, a row for each data set."""
    lines = []
    for name, methods in groups_of(rows).items():
        fits_of = [methods.get(method, []) for method in ("MPCC", *RIVALS)]
        lines.append([NAMES[name], *map(_seconds, fits_of), _commits(methods["MPCC"])])
    return _lines(["data", "MPCC", *RIVALS, "commit"], lines)


def _seconds(rows: Rows) -> str:
    return f"{np.median([r['seconds'] for r in rows]):.3g}" if rows else ""


class Suite:
    """Adjusted Rand indices on the suite.

    Of the sets that all methods have, each counts by its mean over the seeds.

    Attributes
    ----------
    names : list of str
        Of the sets.
    fits : dict of dict of list
        Rows by method and set, the best method first.
    means : dict of ndarray of shape (len(names),)
        Mean over the seeds, by method.
    """

    def __init__(self, rows: Rows) -> None:
        found: dict[str, dict[str, Rows]] = defaultdict(lambda: defaultdict(list))
        for r in rows:
            if r.get("kind") == "suite":
                found[", ".join(filter(None, [r["method"], _settings(r["set"])]))][r["data"]].append(r)
        self.names = sorted(set.intersection(*map(set, found.values())))
        self.means = {
            method: np.array([np.mean([r["ari"] for r in sets[name]]) for name in self.names])
            for method, sets in found.items()
        }
        best_first = sorted(found, key=lambda method: -self.means[method].mean())
        self.fits = {method: {name: found[method][name] for name in self.names} for method in best_first}

    def rows_of(self, method: str) -> Rows:
        """Rows of a method on all sets."""
        return [r for fits in self.fits[method].values() for r in fits]

    def rank(self, method: str) -> float:
        """Mean rank of a method among the others."""
        # Rows of MPCC are alike, and would take ranks from each other.
        own = sorted(name for name in self.fits if name.startswith(OWN))
        rivals = [m for m in self.fits if m not in own or (m == own[0] and method not in own)]
        compared = np.array([self.means[method], *(self.means[m] for m in rivals if m != method)])
        return float(rankdata(-compared.round(6), axis=0)[0].mean())

    def table(self, parts: Mapping[str, NDArray], *, spread_of: str | None = None) -> list[str]:
        """Means over parts of the sets, a row for each method."""
        lines = []
        for method, sets in self.fits.items():
            mean = self.means[method]
            cells = [method, str(min(len({r["seed"] for r in fits}) for fits in sets.values()))]
            for title, part in parts.items():
                spread = _spread_of_seeds(sets) if title == spread_of else ""
                cells.append(f"{mean[part].mean():.3f}{spread}" if part.any() else "")
            lines.append([*cells, _commits(self.rows_of(method))])
        numbers = (f"{title} ({part.sum()})" for title, part in parts.items())
        return _lines(["method", "seeds", *numbers, "commit"], lines)


def suite(rows: Rows) -> list[str]:
    """Adjusted Rand indices on the suite by kinds of sets, a row for each method, the best first."""
    found = Suite(rows)
    parts = {kind: np.array([kind_of(name) == kind for name in found.names]) for kind in KINDS}
    return found.table(parts | {"all": np.ones(len(found.names), dtype=bool)}, spread_of="all")


def suite_halves(rows: Rows) -> list[str]:
    """Adjusted Rand indices on the halves to choose on and to confirm by, a row for each method."""
    found = Suite(rows)
    return found.table(
        {half: np.array([half_of(name) == half for name in found.names]) for half in HALVES}
    )


def suite_behind(rows: Rows) -> list[str]:
    """Rank, and where a method is behind KMeans, a row for each method."""
    found = Suite(rows)
    lines = []
    for method, mean in sorted(found.means.items(), key=lambda pair: -pair[1].mean()):
        cells = [method, f"{found.rank(method):.1f}", "", ""]
        if "KMeans" in found.means:
            behind = found.means["KMeans"] - mean
            worst = behind.argmax()
            cells[2] = str((behind > MARGIN).sum())
            if behind[worst] > MARGIN:
                cells[3] = f"{behind[worst]:.2f}, `{found.names[worst]}`"
        of_method = found.rows_of(method)
        cells.append(f"{np.mean([r['seconds'] for r in of_method]):.2g}")
        lines.append([*cells, _commits(of_method)])
    return _lines(["method", "rank", "behind KMeans", "farthest behind", "seconds", "commit"], lines)


def _spread_of_seeds(sets: dict[str, Rows]) -> str:
    """Standard deviation over the seeds of the mean over the sets, if several seeds have all sets."""
    seeds = set.intersection(*({r["seed"] for r in fits} for fits in sets.values()))
    overall = [
        np.mean([r["ari"] for fits in sets.values() for r in fits if r["seed"] == seed])
        for seed in seeds
    ]
    return f" ± {np.std(overall):.3f}" if len(overall) > 1 else ""


def _generated(rows: Rows) -> dict[tuple[str, str], Rows]:
    """Rows of the generative half by default settings, by data set and method."""
    found: dict[tuple[str, str], Rows] = defaultdict(list)
    for r in rows:
        if r.get("kind") == "generation" and not (r["limit"] or r["set"] or r["param"]):
            found[r["data"], r["method"]].append(r)
    for name in GENERATION:
        # Of another VAE, trained for as long as MPCC, which was here before the package had one.
        earlier = found.pop((name, "vae_by_time"), [])
        found[name, "vae"] = found[name, "vae"] or earlier
    return found


def _generation(rows: Rows, question: str) -> list[str]:
    """Figures that answer a question, a row for each data set and method that has any."""
    found, figures = _generated(rows), GENERATION_FIGURES[question]
    lines = []
    for (name, title), (method, label) in product(GENERATION.items(), GENERATORS.items()):
        fits = found[name, method]
        cells = [_figure(fits, key) for key in figures] if fits else []
        if any(cells):
            lines.append([title, label, str(len(fits)), *cells, _commits(fits)])
    return _lines(["data", "method", "seeds", *figures.values(), "commit"], lines)


def generation_seconds(rows: Rows) -> list[str]:
    """Median seconds of a fit, a row for each data set. The commits are those of MPCC's fits."""
    found, shown = _generated(rows), ("mpcc", "vae", "gmm")
    lines = [
        [title, *(_seconds(found[name, method]) for method in shown), _commits(found[name, "mpcc"])]
        for name, title in GENERATION.items()
    ]
    return _lines(["data", *(GENERATORS[method] for method in shown), "commit"], lines)


def _figure(rows: Rows, key: str) -> str:
    """Mean and deviation of a figure, of scores the accuracy; no deviation of one, no figure of none."""
    values = [r[key]["accuracy"] if isinstance(r[key], dict) else r[key] for r in rows]
    if None in values:
        return ""
    digits = 3 if "labels" in key or key.startswith("by_") else 1 if key == "frechet" else 2
    spread = f" ± {np.std(values):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{spread}"


def _classified(rows: Rows, name: str) -> dict[tuple[str, str], Rows]:
    """Rows of known classes of a data set by default settings, by method and number of known rows."""
    found: dict[tuple[str, str], Rows] = defaultdict(list)
    for r in rows:
        if r.get("kind") == "classification" and r["data"] == name and not (r["set"] or r["param"]):
            found[r["method"], r["known"]].append(r)
    return found


def _classification(rows: Rows, name: str) -> list[str]:
    """Accuracy of methods that are told some classes, a row for each number and method."""
    lines = []
    found = _classified(rows, name)
    numbers = sorted(
        {known for _, known in found}, key=lambda known: (known == "all", len(known), known)
    )
    for known, (method, label) in product(numbers, CLASSIFIERS.items()):
        fits = found[method, known]
        if fits and fits[0]["held"] is not None:
            cells = [known, label, str(len(fits))]
            cells += [_accuracy(fits, part) for part in ("unknown", "held")]
            lines.append([*cells, _seconds(fits), _commits(fits)])
    accuracies = ("rows of unknown class (worst)", "held-out rows (worst)")
    return _lines(["known rows", "method", "seeds", *accuracies, "seconds", "commit"], lines)


def _accuracy(rows: Rows, key: str) -> str:
    """Mean, deviation and worst accuracy; of one seed no deviation, and nothing where there is none."""
    if rows[0][key] is None:
        return ""
    return _cell(rows, key, worst=True) if len(rows) > 1 else f"{rows[0][key]:.3f}"


def _samples_of_classes(rows: Rows, figures: dict[str, str]) -> list[str]:
    """Figures of samples where all classes are known, a row for each data set and method."""
    lines = []
    for name, title in CLASSIFICATION.items():
        found = _classified(rows, name)
        for method, label in CLASSIFIERS.items():
            fits = found[method, "all"]
            of_codes = [
                {"frechet": None, "commit": r["commit"]} | r["of_codes"] for r in fits if "of_codes" in r
            ]
            for shown, judged in ((label, fits), ("MPCC, by its codes", of_codes)):
                if judged and judged[0]["kept"] is not None:
                    cells = [_figure(judged, key) for key in figures]
                    lines.append([title, shown, str(len(judged)), *cells, _commits(judged)])
    return _lines(["data", "method", "seeds", *figures.values(), "commit"], lines)


def samples_of_classes(rows: Rows) -> list[str]:
    """How near the samples of a class are to its held-out rows."""
    return _samples_of_classes(rows, OF_CLASSES)


def learned_from_samples(rows: Rows) -> list[str]:
    """Accuracy of classifiers that learned the samples of all classes and nothing else."""
    return _samples_of_classes(rows, LEARNED)


def random_starts(rows: Rows) -> list[str]:
    """Scores of fits without pseudo-labels, a row for each data set and settings."""
    found: dict[tuple[str, str], Rows] = defaultdict(list)
    for r in rows:
        if "kind" not in r and r.get("set", {"pseudo_labels": ""}).get("pseudo_labels", "") is None:
            found[r["data"], _settings(r["set"], ("pseudo_labels", "max_iter", "tol"))].append(r)
    lines = []
    for (name, settings), fits in found.items():
        cells = [_title(name), settings, str(len(fits)), _cell(fits, "accuracy", worst=True)]
        cells += [_cell(fits, "nmi"), _cell(fits, "ari", worst=True), f"{fits[0]['n_iter']:,}"]
        lines.append([*cells, _commits(fits)])
    scores = ("accuracy (worst)", "NMI", "ARI (worst)")
    return _lines(["data", "settings", "seeds", *scores, "iterations", "commit"], lines)


def aim_grid(rows: Rows) -> list[str]:
    """Modes and good samples on a grid of Gaussians, a row for each method."""
    found: dict[tuple[str, str], Rows] = defaultdict(list)
    for r in rows:
        if r.get("kind") == "aim" and r["data"] == "grid":
            found[r["method"], _settings(r["settings"])].append(r)
    lines = []
    for (method, settings), fits in found.items():
        modes, good = (np.array([r[key] for r in fits]) for key in ("modes", "good"))
        rebuilt = [100 * r["rebuilt_good"] for r in fits if "rebuilt_good" in r]
        cells = [", ".join(filter(None, [method, settings])), str(len(fits))]
        cells += [f"{modes.mean():.1f} ± {modes.std():.1f} ({modes.min()})", str((modes == 25).sum())]
        cells.append(f"{100 * good.mean():.1f} ± {100 * good.std():.1f} ({100 * good.min():.1f})")
        cells.append(f"{np.mean(rebuilt):.1f} ± {np.std(rebuilt):.1f}" if rebuilt else "")
        lines.append([*cells, f"{np.median([r['seconds'] for r in fits]):.0f}", _commits(fits)])
    figures = (
        "modes (fewest)",
        "runs with all 25",
        "good samples, % (fewest)",
        "good reconstructions, %",
    )
    return _lines(["method", "seeds", *figures, "seconds", "commit"], lines)


def aim_mnist(rows: Rows) -> list[str]:
    """Reconstructions and samples of MNIST by the general preset, a row for each method and length."""
    found = [r for r in rows if r.get("kind") == "aim" and r["data"] == "mnist"]
    lines = [
        [
            r["method"],
            f"{r['n_iter']:,}",
            f"{r['error']:.3f}",
            f"{r['inception_score']:.2f}",
            _commits([r]),
        ]
        for r in sorted(found, key=lambda r: -r["n_iter"])
    ]
    return _lines(["method", "iterations", "error", "inception score", "commit"], lines)


def _settings(given: dict[str, Any], shared: tuple[str, ...] = ()) -> str:
    """Parameters in words, without those that all rows of a table share."""
    flat = {**given, **given.get("preset_params", {})}
    shown = set(flat) - {*shared, "preset_params"}
    return ", ".join(f"`{name}={flat[name]!r}`" for name in sorted(shown))


def _curve(rows: Rows) -> Rows:
    """Some iterations of the training by the paper's recipe."""
    # A training that was interrupted has some iterations twice, in the same words.
    found = {(r["run"], r["iteration"]): r for r in rows if r.get("kind") == "paper curve"}
    return [r for r in found.values() if r["iteration"] in CURVE]


def paper_curve(rows: Rows) -> list[str]:
    """How accuracy grows in a training by the paper's recipe, a row for each of some iterations."""
    lines = []
    for r in _curve(rows):
        live, averaged = r["live"], r.get("averaged")
        cells = [f"{r['iteration']:,}", f"{live['accuracy']:.3f}", f"{live['majority_accuracy']:.3f}"]
        lines.append([*cells, f"{averaged['accuracy']:.3f}" if averaged else "", _commits([r])])
    accuracies = ("one-to-one accuracy", "majority accuracy", "by the averaged encoder")
    return _lines(["iteration", *accuracies, "commit"], lines)


def paper_losses(rows: Rows) -> list[str]:
    """What becomes of the mixture and of Loss II meanwhile, a row for each of the same iterations."""
    lines = []
    for r in _curve(rows):
        cells = [f"{r['iteration']:,}", f"{r['mean_std']:.2f}", f"{r['mean_norm']:.1f}"]
        lines.append([*cells, f"{r['latent']:.1f}", f"{r['cluster']:.3f}", _commits([r])])
    return _lines(["iteration", "sigma", "norm of the means", "L_q", "L_c", "commit"], lines)


def _of_stars(rows: Rows, task: str) -> dict[tuple[str, str], Rows]:
    """Rows of a task by set and method, with default settings."""
    found: dict[tuple[str, str], Rows] = defaultdict(list)
    of_task = [r for r in rows if r.get("kind") == "light_curves" and r["task"] == task]
    # Stable: scores of one fit stay in their order.
    for r in sorted(of_task, key=lambda r: ([*STARS].index(r["data"]), STAR_FITS.index(r["fit"]))):
        if not r["param"]:
            found[r["data"], r["method"]].append(r)
    return found


def light_curve_novelty(rows: Rows, name: str) -> list[str]:
    """AUC of each class of stars that was left out, their means, and average precision."""
    found = {method: fits for (data, method), fits in _of_stars(rows, "novelty").items() if data == name}
    classes = dict.fromkeys(each for fits in found.values() for each in fits[0]["classes"])
    lines = []
    for method, fits in found.items():
        aucs = [np.mean([r["classes"][each][0] for r in fits]) for each in classes]
        cells = [method, str(len(fits)), *(f"{auc:.3f}" for auc in aucs)]
        cells += [_cell(fits, "auc"), _cell(fits, "precision"), _seconds(fits), _commits(fits)]
        lines.append(cells)
    figures = (*(each.replace("_", " ") for each in classes), "mean AUC", "mean precision", "seconds")
    return _lines(["method", "seeds", *figures, "commit"], lines)


def light_curves(rows: Rows, task: str) -> list[str]:
    """Figures of another task on light curves, a row for each set and method."""
    figures = OF_STARS[task]
    lines = []
    for (data, method), fits in _of_stars(rows, task).items():
        cells = [STARS[data], method, str(len(fits)), *(_cell(fits, each) for each in figures)]
        lines.append([*cells, _commits(fits)])
    return _lines(["data", "method", "seeds", *figures.values(), "commit"], lines)


def images(rows: Rows) -> list[str]:
    """Adjusted Rand indices of sets of images, a row for each set, beside KMeans on pixels."""
    found: dict[tuple[str, bool], dict[str, Rows]] = defaultdict(lambda: defaultdict(list))
    for r in rows:
        if r.get("kind") == "images":
            found[r["data"], bool(r["rare"])][r["method"]].append(r)
    lines = []
    for (data, has_rare), methods in sorted(found.items()):
        ours = methods["labels"]
        if not ours:
            continue
        first = ours[0]
        sides = " x ".join(str(side) for side in first["shape"])
        name = data + (", kinds at a tenth" if has_rare else "")
        pseudo = _pseudo_labels(ours)
        chosen = sorted({r["choice"]["kind"] for r in ours})
        cells = [name, f"{first['n']:,}", sides, str(first["n_kinds"]), str(len(ours))]
        scored = ((methods["kmeans"], "ari"), (pseudo, "ari"), (ours, "ari"), (ours, "accuracy"))
        # Of one seed there is no deviation.
        cells += [_cell(fits, score).removesuffix(" ± 0.000") for fits, score in scored]
        lines.append([*cells, ", ".join(chosen), _seconds(ours), _commits(ours)])
    columns = [
        "set",
        "images",
        "shape",
        "kinds",
        "seeds",
        "KMeans",
        "pseudo-labels",
        "MPCC, labels alone",
    ]
    return _lines([*columns, "accuracy", "chosen", "seconds", "commit"], lines)


def _mixed(rows: Rows, part: str) -> dict[str, dict[str, Rows]]:
    """Rows of a part of `mixed.py` by method and table, of tables that all methods have."""
    found: dict[str, dict[str, Rows]] = defaultdict(lambda: defaultdict(list))
    for r in rows:
        if r.get("kind") == "mixed" and r["part"] == part:
            found[r["method"]][r["table"]].append(r)
    common = set.intersection(*(set(of_method) for of_method in found.values())) if found else set()
    return {
        method: {table: of_method[table] for table in sorted(common)}
        for method, of_method in found.items()
    }


def _mean_of(tables: dict[str, Rows], figure: str, **having: Any) -> float:
    """Mean over tables of the mean over seeds; NaN if no row has the figure."""
    means = []
    for fits in tables.values():
        values = [
            r[figure]
            for r in fits
            if r.get(figure) is not None and all(r[key] == value for key, value in having.items())
        ]
        means += [np.mean(values)] if values else []
    return float(np.mean(means)) if means else float("nan")


def _figures(values: Iterable[float]) -> list[str]:
    return ["" if np.isnan(value) else f"{value:.3f}" for value in values]


def mixed_labels(rows: Rows) -> list[str]:
    """Labels of mixed tables: means over tables, a row for each method, the best first."""
    scores, lines = ("ari", "nmi", "accuracy"), []
    found = _mixed(rows, "labels")
    for method in sorted(found, key=lambda name: -_mean_of(found[name], "ari")):
        tables = found[method]
        fits = [r for of_table in tables.values() for r in of_table]
        cells = _figures(_mean_of(tables, score) for score in scores)
        lines.append([method, str(len(tables)), *cells, _seconds(fits), _commits(fits)])
    return _lines(["method", "tables", "ARI", "NMI", "accuracy", "seconds", "commit"], lines)


def mixed_gaps(rows: Rows) -> list[str]:
    """What is left of labels, and errors of what was removed, by the share of values removed."""
    lines = []
    for method, tables in _mixed(rows, "gaps").items():
        fits = [r for of_table in tables.values() for r in of_table]
        cells = [_mean_of(tables, "ari", share=share) for share in (0.0, 0.1, 0.3)]
        cells += [
            _mean_of(tables, figure, share=share)
            for figure in ("rmse", "right", "within")
            for share in (0.1, 0.3)
        ]
        lines.append([method, str(len(tables)), *_figures(cells), _commits(fits)])
    columns = ["ARI, all there", "ARI, 10 % gone", "30 %", "error, 10 %", "30 %"]
    columns += ["right, 10 %", "30 %", "in 80 %, 10 %", "30 %"]
    return _lines(["method", "tables", *columns, "commit"], lines)


def mixed_samples(rows: Rows) -> list[str]:
    """Samples of mixed tables: means over tables, a row for each method, by the AUC."""
    figures = ("coverage", "density", "recall", "auc", "variation")
    found, lines = _mixed(rows, "samples"), []
    for method in sorted(found, key=lambda name: _mean_of(found[name], "auc")):
        fits = [r for of_table in found[method].values() for r in of_table]
        cells = _figures(_mean_of(found[method], figure) for figure in figures)
        lines.append([method, str(len(found[method])), *cells, _seconds(fits), _commits(fits)])
    columns = ["coverage", "density", "recall", "AUC", "variation of categories"]
    return _lines(["method", "tables", *columns, "seconds", "commit"], lines)


def numbers(rows: Rows) -> list[str]:
    """How often the number of clusters is found exactly, and within one, by group of sets."""
    found = [r for r in rows if r.get("kind") == "number"]
    groups = list(dict.fromkeys(r["group"] for r in found))
    methods = list(dict.fromkeys(method for r in found for method in r["found"]))
    lines = []
    for method in methods:
        cells = []
        for group in groups:
            off = [abs(r["found"][method] - r["n_clusters"]) for r in found if r["group"] == group]
            cells.append(f"{sum(each == 0 for each in off)}, {sum(each <= 1 for each in off)}")
        seconds = np.median([r["seconds"][method] for r in found])
        lines.append([method, *cells, f"{seconds:.1f}", _commits(found)])
    sizes = [sum(r["group"] == group for r in found) for group in groups]
    titles = [f"{group} ({size})" for group, size in zip(groups, sizes, strict=True)]
    return _lines(["exactly, within one", *titles, "median seconds", "commit"], lines)


def _inspected(rows: Rows, part: str) -> dict[str, dict[str, Rows]]:
    """Rows of a part of `inspection.py` by method and set."""
    found: dict[str, dict[str, Rows]] = defaultdict(lambda: defaultdict(list))
    for r in rows:
        if r.get("kind") == "inspection" and r["part"] == part:
            found[r["method"]][r["data"]].append(r)
    return found


def _best(found: dict[str, dict[str, Rows]], figure: str) -> dict[str, Rows]:
    """Of each set, seed and share of noise the row of HDBSCAN's with the highest figure."""
    best: dict[tuple[Any, ...], dict[str, Any]] = {}
    for method, sets in found.items():
        for r in (r for fits in sets.values() for r in fits if method.startswith("HDBSCAN")):
            key = (r["data"], r["seed"], r["share"])
            if key not in best or r.get(figure, 0.0) > best[key].get(figure, 0.0):
                best[key] = r
    sets = defaultdict(list)
    for (data, _, _), r in best.items():
        sets[data].append(r)
    return sets


def _with_best(rows: Rows, figure: str) -> dict[str, dict[str, Rows]]:
    """Rows of noise by method and set, and the best of HDBSCAN's as a method of its own."""
    found = _inspected(rows, "noise")
    return {**found, "HDBSCAN, best of the three": _best(found, figure)}


def _noise_groups(
    found: dict[str, dict[str, Rows]],
) -> Iterator[tuple[str, str, dict[str, Rows], Rows]]:
    """Group of sets, method, its rows by set, and all of these."""
    for group in ("blobs", "moons and circles", "shapes"):
        for method, every in found.items():
            sets = {data: fits for data, fits in every.items() if fits[0]["group"] == group}
            if sets:
                yield group, method, sets, [r for fits in sets.values() for r in fits]


def inspection_noise(rows: Rows) -> list[str]:
    """How well noise is found: means over sets, a row for each group of them and method."""
    lines = []
    for group, method, sets, fits in _noise_groups(_with_best(rows, "f1")):
        figures = [_mean_of(sets, "f1", share=share) for share in (0.02, 0.1, 0.2)]
        if np.isnan(figures).all() or not any(figures):
            continue
        figures += [_mean_of(sets, figure, share=0.1) for figure in ("precision", "recall")]
        # The best is chosen by noise, of which clean rows have none.
        best = method.endswith("best of the three")
        figures += [float("nan") if best else _mean_of(sets, "flagged", share=0.0)]
        lines.append([group, method, str(len(sets)), *_figures(figures), _commits(fits)])
    columns = ["F1, 2 % noise", "10 %", "20 %", "precision, 10 %", "recall, 10 %", "clean, flagged"]
    return _lines(["data", "method", "sets", *columns, "commit"], lines)


def inspection_sets(rows: Rows) -> list[str]:
    """F1 of a tenth of noise, or of the noise that a set comes with, a row for each set."""
    found = _with_best(rows, "f1")
    shown = [method for method in found if method != "MPCC, noise not looked for"]
    lines = []
    for data, own in _inspected(rows, "noise")["MPCC, auto"].items():
        shares = {r["share"] for r in own} - {0.0}
        share = 0.1 if 0.1 in shares and len(shares) > 1 else max(shares)
        figures = [_mean_of({data: found[method][data]}, "f1", share=share) for method in shown]
        lines.append([data, f"{share:.0%}", *_figures(figures), _commits(own)])
    return _lines(["data", "noise", *shown, "commit"], lines)


def inspection_rest(rows: Rows) -> list[str]:
    """Adjusted Rand index of the rows that are no noise, a row for each group of sets and method."""
    found = _with_best(rows, "ari")
    known, plain = "MPCC, share known", "MPCC, noise not looked for"
    # With a known share of nothing a fit does not look for noise.
    for data, fits in found.get(known, {}).items():
        fits += [r for r in found[plain].get(data, []) if r["share"] == 0.0]
    lines = []
    for group, method, sets, fits in _noise_groups(found):
        figures = [_mean_of(sets, "ari", share=share) for share in (0.0, 0.02, 0.1, 0.2)]
        of_sets = [
            [_mean_of({data: sets[data]}, "ari", share=share) for share in (0.0, 0.1)] for data in sets
        ]
        n_less = sum(noisy < 0.95 * clean for clean, noisy in of_sets)
        ratio = _figures([figures[2] / figures[0]])
        cells = [*_figures(figures), *ratio, f"{n_less} of {len(sets)}"]
        lines.append([group, method, *cells, _commits(fits)])
    columns = ["no noise", "2 %", "10 %", "20 %", "kept at 10 %", "sets below .95"]
    return _lines(["data", "method", *columns, "commit"], lines)


def inspection_calibration(rows: Rows) -> list[str]:
    """Calibration errors of memberships, a row for each set, and the mean."""
    found = _inspected(rows, "calibration")
    shown, scored = ("MPCC", "MPCC without temperature", "GaussianMixture"), ("MPCC", "GaussianMixture")
    lines = []
    for data in [*found["MPCC"], None]:
        of_data = {m: sets if data is None else {data: sets[data]} for m, sets in found.items()}
        figures = [_mean_of(of_data[method], "error") for method in shown]
        figures += [_mean_of(of_data[method], "accuracy") for method in scored]
        fits = [r for of_set in of_data["MPCC"].values() for r in of_set]
        n_seeds = str(len({r["seed"] for r in fits}))
        lines.append([data or "mean", n_seeds, *_figures(figures), _commits(fits)])
    accuracies = [f"accuracy, {method}" for method in scored]
    return _lines(["data", "seeds", *shown, *accuracies, "commit"], lines)


def _inspection(rows: Rows, part: str, figures: Mapping[str, str]) -> list[str]:
    """Mean figures of MPCC in a part of `inspection.py`, a row for each set."""
    lines = [
        [data, str(len(fits)), *_figures(_mean_of({data: fits}, key) for key in figures), _commits(fits)]
        for data, fits in _inspected(rows, part)["MPCC"].items()
    ]
    return _lines(["data", "seeds", *figures.values(), "commit"], lines)


def which_clusterer(rows: Rows) -> list[str]:
    """Adjusted Rand indices on sets of points, a row for each set, and median seconds, by method."""
    found = [r for r in rows if r.get("kind") == "which"]
    methods = list(dict.fromkeys(r["method"] for r in found))
    lines = []
    for data in dict.fromkeys(r["data"] for r in found if r["ari"] is not None):
        fits = [r for r in found if r["data"] == data]
        means = [np.mean([r["ari"] for r in fits if r["method"] == method]) for method in methods]
        # Zero is added so that none reads -0.00.
        lines.append([data, *(f"{round(mean, 2) + 0.0:.2f}" for mean in means), _commits(fits)])
    of_method = ([r for r in found if r["method"] == method] for method in methods)
    lines.append(["seconds", *(_seconds(fits) for fits in of_method), _commits(found)])
    return _lines(["data", *methods, "commit"], lines)


def speed(rows: Rows) -> list[str]:
    """Milliseconds of an iteration by either loop, a row for each case."""
    columns = {
        "plain ms": "plain loop, ms",
        "fast ms": "fast engine, ms",
        "ratio": "ratio",
        "GFLOP": "GFLOP",
        "GFLOP/s": "GFLOP/s",
        "share": "share",
        "predict /s": "predict, 1/s",
        "transform /s": "transform, 1/s",
    }
    lines = [f"| case | {' | '.join(columns.values())} |", "| --- |" + " --- |" * len(columns)]
    for r in rows:
        if r.get("kind") == "speed":
            cells = [_short(r[key]) for key in columns]
            lines.append(f"| `{r['case']}`, {r['device']} | {' | '.join(cells)} |")
    return lines


def growth(rows: Rows) -> list[str]:
    """Milliseconds of an iteration by the number of samples and of clusters."""
    lines = ["| | number | ms |", "| --- | --- | --- |"]
    for r in rows:
        if r.get("kind") == "growth":
            lines.append(f"| {r['axis']}, {r['device']} | {r['value']:,} | {r['ms']:.1f} |")
    return lines


def predicted(rows: Rows) -> list[str]:
    """Counted messages and products of an iteration, and predicted times of several GPUs."""
    counted = ("messages", "MB", "launches", "GFLOP of a sample")
    times = ("1 GPUs ms", "8 GPUs ms", "64 GPUs ms")
    lines = [
        "| preset | width | messages | MB | launches | GFLOP of a sample | batch "
        "| one GPU, ms | 8 GPUs, ms | 64 GPUs, ms |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for r in rows:
        if r.get("kind") == "predicted":
            cells = [_short(r[key]) for key in counted + times]
            cells.insert(len(counted), f"{r['batch']:,}")
            lines.append(f"| `{r['case']}` | {r['width']} | {' | '.join(cells)} |")
    return lines


def together(rows: Rows) -> list[str]:
    """Milliseconds of an iteration by one process and by two."""
    ways = ("alone", "two threads", "together")
    lines = [
        "| case | width | batch | as a fit runs, ms | two threads, ms | two processes, ms "
        "| as a fit runs, CPU ms | two threads, CPU ms | each of two processes, CPU ms |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for r in rows:
        if r.get("kind") == "distributed":
            cells = [f"{r[f'{way} {unit}']:,.0f}" for unit in ("ms", "CPU ms") for way in ways]
            lines.append(f"| `{r['case']}` | {r['width']} | {r['batch']:,} | {' | '.join(cells)} |")
    return lines


def fits(rows: Rows) -> list[str]:
    """Median seconds of fits for labels alone, and of whole ones if there are any, for each data set."""
    found: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for r in rows:
        if r.get("kind") == "fit":
            found[r["data"]][r["condition"]] = r
    titles = {
        "alone": "alone, s",
        "busy": "beside a busy process, s",
        "quota": "two threads on a core, s",
    }
    if any("whole" in conditions for conditions in found.values()):
        titles["whole"] = "whole, s"
    lines = []
    for name, conditions in found.items():
        cells = [f"{conditions[c]['median']:.1f}" if c in conditions else "" for c in titles]
        alone = conditions.get("alone")
        cells.append(f"{alone['peak MiB']:,.0f}" if alone else "")
        lines.append([_title(name), *cells, _commits([*conditions.values()])])
    return _lines(["data", *titles.values(), "peak, MiB", "commit"], lines)


def phases(rows: Rows) -> list[str]:
    """Seconds of each phase of a fit, a column for each data set."""
    found = {r["data"]: r["phases"] for r in rows if r.get("kind") == "fit" and r.get("phases")}
    names = list(dict.fromkeys(phase for seconds in found.values() for phase in seconds))
    lines = [
        f"| seconds | {' | '.join(map(_title, found))} |",
        "| --- |" + " --- |" * len(found),
    ]
    for phase in names:
        cells = [f"{seconds[phase]:.2f}" if phase in seconds else "" for seconds in found.values()]
        lines.append(f"| {phase} | {' | '.join(cells)} |")
    return lines


def memory(rows: Rows) -> list[str]:
    """MiB that fits and predictions take, a row for each kind and number of rows."""
    lines = ["| data | rows | data, MiB | `fit`, MiB | and `predict`, MiB |", "| --- |" + " --- |" * 4]
    for r in rows:
        if r.get("kind") == "memory":
            cells = [f"{r[key]:,.0f}" for key in ("rows", "data_mib", "fit_mib", "both_mib")]
            lines.append(f"| {r['data']} | {' | '.join(cells)} |")
    return lines


TABLES = {
    "accuracy": accuracy,
    "nmi": nmi,
    "ari": ari,
    "seconds": seconds,
    "suite": suite,
    "suite_halves": suite_halves,
    "suite_behind": suite_behind,
    **{f"generation_{each}": partial(_generation, question=each) for each in GENERATION_FIGURES},
    "generation_seconds": generation_seconds,
    **{f"classification_{each}": partial(_classification, name=each) for each in CLASSIFICATION},
    "samples_of_classes": samples_of_classes,
    "learned_from_samples": learned_from_samples,
    "random_starts": random_starts,
    "paper_curve": paper_curve,
    "paper_losses": paper_losses,
    "aim_grid": aim_grid,
    "aim_mnist": aim_mnist,
    **{f"light_curves_{each}": partial(light_curve_novelty, name=each) for each in STARS},
    **{f"light_curves_{each}": partial(light_curves, task=each) for each in OF_STARS},
    "images": images,
    "mixed_labels": mixed_labels,
    "mixed_gaps": mixed_gaps,
    "mixed_samples": mixed_samples,
    "inspection_noise": inspection_noise,
    "inspection_sets": inspection_sets,
    "inspection_rest": inspection_rest,
    "inspection_calibration": inspection_calibration,
    **{
        f"inspection_{part}": partial(_inspection, part=part, figures=figures)
        for part, figures in INSPECTION.items()
    },
    "which_clusterer": which_clusterer,
    "numbers": numbers,
    "speed": speed,
    "growth": growth,
    "predicted": predicted,
    "together": together,
    "fits": fits,
    "phases": phases,
    "memory": memory,
}


def _short(value: float) -> str:
    """Three digits of a number, or all before the point."""
    return f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"


def _title(name: str) -> str:
    return NAMES.get(name, OTHERS.get(name, name))


def groups_of(rows: Rows) -> Groups:
    """Rows of default settings by data set and method, in the order of NAMES."""
    found: dict[str, dict[str, Rows]] = {name: defaultdict(list) for name in NAMES}
    for r in rows:
        if "kind" not in r and not r["set"] and r["data"] in found:
            found[r["data"]][r["method"]].append(r)
    return {name: methods for name, methods in found.items() if methods["MPCC"]}


def with_tables(text: str, rows: Rows) -> str:
    """Put the tables into a page."""

    def replaced(match: re.Match[str]) -> str:
        return "\n".join([match[1], "", *TABLES[match[2]](rows), "", match[3]])

    return re.sub(
        r"(<!-- tables\.py: (\w+) -->)\n.*?(<!-- tables\.py: end -->)", replaced, text, flags=re.DOTALL
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--show", choices=TABLES, help="print this table of the rows in FILES")
    parser.add_argument("files", nargs="*", type=Path, metavar="FILES")
    options = parser.parse_args()
    if options.show:
        print(*TABLES[options.show](read(options.files)), sep="\n")
        return 0
    rows = read(sorted(RESULTS.glob("*.jsonl")))
    stale = False
    for page in PAGES:
        before = page.read_text()
        after = with_tables(before, rows)
        stale |= before != after
        if options.check and before != after:
            print(f"{page.relative_to(ROOT)} has other tables than the rows in benchmarks/results/ give")
        elif not options.check:
            page.write_text(after)
    return int(stale and options.check)


if __name__ == "__main__":
    sys.exit(main())
