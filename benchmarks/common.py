"""Data sets, methods and the machine's description, which the benchmarks share."""

import ast
import importlib.util
import os
import platform
import subprocess
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn import datasets
from sklearn.cluster import HDBSCAN, AgglomerativeClustering, KMeans, SpectralClustering
from sklearn.mixture import GaussianMixture
from sklearn.preprocessing import StandardScaler

Data = tuple[NDArray, NDArray]
Method = Callable[[NDArray, int, int], NDArray]

# Label of rows that are noise: all methods see them, and they are not scored.
NOISE = -1


# ---- Data sets


def _standardized(loader: Callable[..., Any]) -> Data:
    """Features in units of their standard deviation: KMeans and GaussianMixture do not scale."""
    X, y = loader(return_X_y=True)
    return StandardScaler().fit_transform(X), y


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


def noisy(X: NDArray, y: NDArray) -> Data:
    """Add a tenth of noise rows, drawn uniformly from the box that is half as wide again as the data."""
    low, high = X.min(axis=0), X.max(axis=0)
    margin, n_noise = (high - low) / 4, len(X) // 10
    rng = np.random.default_rng(11)
    noise = rng.uniform(low - margin, high + margin, (n_noise, X.shape[1]))
    order = rng.permutation(len(X) + n_noise)
    return np.concatenate([X, noise])[order], np.append(y, np.full(n_noise, NOISE))[order]


SETS: dict[str, Callable[[], Data]] = {
    "digits": lambda: datasets.load_digits(return_X_y=True),
    "digits_images": lambda: (datasets.load_digits().images, datasets.load_digits().target),
    "digits_10_to_1": unbalanced_digits,
    "iris": lambda: _standardized(datasets.load_iris),
    "wine": lambda: _standardized(datasets.load_wine),
    "breast_cancer": lambda: _standardized(datasets.load_breast_cancer),
    "moons": lambda: datasets.make_moons(1000, noise=0.05, random_state=0),
    "circles": lambda: datasets.make_circles(1000, noise=0.05, factor=0.5, random_state=0),
    "blobs_10k": lambda: datasets.make_blobs(10_000, 16, centers=10, cluster_std=4.0, random_state=0),
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
    "noisy_moons": lambda: noisy(*datasets.make_moons(1000, noise=0.05, random_state=0)),
    "noisy_circles": lambda: noisy(*datasets.make_circles(1000, noise=0.05, factor=0.5, random_state=0)),
    "noisy_blobs": lambda: noisy(*blobs(8, 10)),
}
BLOBS = [name for name in SETS if name.startswith("blobs") and name != "blobs_10k"]
GROUPS = {
    "blobs": BLOBS,
    "small": ["iris", "wine", "breast_cancer", "moons", "circles"],
    "development": ["digits", "iris", "wine", "breast_cancer", "moons", "circles", *BLOBS],
}
# Rows that are pixels of images.
IMAGE_ROWS = ["digits", "digits_10_to_1", "mnist_10k", "fashion_10k"]
# Sets of the suite beside those of the file of tables.
SUITE = [*(name for name in SETS if name != "digits_images"), "mnist_10k", "fashion_10k"]
# The groups by which the suite is reported.
KINDS = ("shapes", "noisy", "blobs", "real tables", "rows of images")
# The first seed by which the halves of each kind differ by a set at most.
HALVES_SEED = 147
# Sets that are drawn from a file: which file, from which sample on, and whether as images.
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


def kind_of(name: str) -> str:
    """One of KINDS, by the name of a set of the suite."""
    if name in IMAGE_ROWS:
        return "rows of images"
    if name.startswith("real_") or name in ("iris", "wine", "breast_cancer"):
        return "real tables"
    if "noisy" in name or "outliers" in name:
        return "noisy"
    return "blobs" if name.startswith("blobs") else "shapes"


def half_of(name: str) -> str:
    """The half of the suite that a set is in: settings are chosen on one and confirmed on the other."""
    drawn = np.random.default_rng([HALVES_SEED, *name.encode()]).random()
    return "choosing" if drawn < 0.5 else "confirming"


def table_names(path: Path | None) -> list[str]:
    """Names of the data sets in a file of arrays NAME_X and NAME_y."""
    if path is None:
        return []
    with np.load(path) as file:
        return [key.removesuffix("_X") for key in file.files if key.endswith("_X")]


def _table(name: str, path: Path) -> Data:
    """One set of a file of tables; the label 0 is noise, and real tables are standardised."""
    with np.load(path) as file:
        X, y = file[f"{name}_X"].astype(float), file[f"{name}_y"].astype(int)
    if name.startswith("real_"):
        X = StandardScaler().fit_transform(X)
    return X, np.where(y == 0, NOISE, y)


def load(name: str, files: dict[str, Path | None]) -> Data:
    """Load a data set by name, or the arrays X and y of an .npz file.

    Those of FROM_FILES are 10,000 samples of a file, in an order drawn once, or all behind those.
    """
    if name in SETS:
        return SETS[name]()
    tables = files.get("tables")
    if tables is not None and name in table_names(tables):
        return _table(name, tables)
    if name not in FROM_FILES:
        with np.load(name) as file:
            return file["X"], file["y"]
    source, start, images = FROM_FILES[name]
    X, y = load_file(source, files[source])
    rows = slice(start, None if "60k" in name else start + 10_000)
    X = X[rows]
    return (X if images else X.reshape(len(X), -1)), y[rows]


@cache
def load_file(source: str, path: Path | None) -> Data:
    """Load the arrays X and y of the file that option --SOURCE names, in an order drawn once."""
    if path is None:
        raise SystemExit(f"{source} needs --{source}, an .npz file with X and y.")
    with np.load(path) as file:
        X, y = file["X"], file["y"]
    order = np.random.default_rng(0).permutation(len(X))
    return X[order], y[order]


def split(X: NDArray, seed: int) -> tuple[NDArray, NDArray]:
    """Indices of fitted and of held-out samples: half of a table is held out, a sixth of images."""
    order = np.random.default_rng(seed).permutation(len(X))
    n_held = len(X) // 2 if X.ndim == 2 else len(X) // 6
    return order[n_held:], order[:n_held]


# ---- Options


def seeds_of(text: str) -> range:
    """Read FIRST-LAST, or one seed."""
    first, last = (int(part) for part in (text + "-" + text).split("-")[:2])
    return range(first, last + 1)


def setting(item: str) -> tuple[str, Any]:
    """Read NAME=VALUE, where the value may be a Python literal."""
    key, value = item.split("=", 1)
    try:
        return key, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return key, value


# ---- What MPCC is compared with


def _ward(X: NDArray, n_clusters: int, seed: int) -> NDArray:
    return AgglomerativeClustering(n_clusters).fit_predict(X)


def _spectral(X: NDArray, n_clusters: int, seed: int) -> NDArray:
    """Spectral clustering of the graph of 10 neighbours."""
    clusterer = SpectralClustering(n_clusters, affinity="nearest_neighbors", random_state=seed)
    return clusterer.set_params(n_neighbors=10).fit_predict(X)


def _umap(X: NDArray, seed: int, n_neighbors: int) -> NDArray:
    import umap

    reducer = umap.UMAP(
        n_neighbors, n_components=min(10, X.shape[1]), min_dist=0.0, random_state=seed, n_jobs=1
    )
    return reducer.fit_transform(X)


def _umap_gmm(n_neighbors: int, X: NDArray, n_clusters: int, seed: int) -> NDArray:
    embedded = _umap(X, seed, n_neighbors)
    return GaussianMixture(n_clusters, random_state=seed).fit_predict(embedded)


def alone(labels: NDArray) -> NDArray:
    """Give each row of noise a cluster of its own, so that no pair of rows is right by it."""
    noise = labels < 0
    return np.where(noise, len(labels) + np.arange(len(labels)), labels)


def _umap_hdbscan(X: NDArray, n_clusters: int, seed: int) -> NDArray:
    """HDBSCAN finds the number of clusters by itself; the given one sets their least size.

    That is a tenth of a cluster's mean size.
    """
    min_cluster_size = max(5, len(X) // (10 * n_clusters))
    return alone(HDBSCAN(min_cluster_size, copy=True).fit_predict(_umap(X, seed, 15)))


def _deep(method: str, X: NDArray, n_clusters: int, seed: int) -> NDArray:
    """One of clustpy's methods with its defaults, on data scaled to [0, 1]."""
    import clustpy.deep

    X = X.astype(np.float32)
    low, high = X.min(), X.max()
    clusterer = getattr(clustpy.deep, method)(n_clusters=n_clusters, random_state=seed)
    return np.asarray(clusterer.fit((X - low) / (high - low)).labels_)


def mixture(X: NDArray, n_clusters: int, seed: int) -> GaussianMixture:
    """Fit a GaussianMixture that does not collapse where columns are constant or rows few.

    A thousandth of the columns' mean variance is added to it. Shares that held-back likelihood chose
    were larger, and samples worse.
    """
    reg_covar = 1e-3 * float(X.var(axis=0).mean())
    return GaussianMixture(n_clusters, reg_covar=reg_covar, random_state=seed).fit(X)


def rivals() -> dict[str, Method]:
    """Functions of (X, n_clusters, seed) that return labels; X has rows."""
    table: dict[str, Method] = {
        "KMeans": lambda X, k, seed: KMeans(k, n_init=10, random_state=seed).fit_predict(X),
        "GaussianMixture": lambda X, k, seed: GaussianMixture(k, random_state=seed).fit_predict(X),
        "Ward": _ward,
        "spectral": _spectral,
    }
    if importlib.util.find_spec("umap"):
        table["UMAP + GMM"] = partial(_umap_gmm, 15)
        table["UMAP + GMM, 10 neighbors"] = partial(_umap_gmm, 10)
        table["UMAP + GMM, 30 neighbors"] = partial(_umap_gmm, 30)
        table["UMAP + HDBSCAN"] = _umap_hdbscan
    if importlib.util.find_spec("clustpy"):
        table |= {name: partial(_deep, name) for name in ("VaDE", "DEC", "IDEC")}
    return table


# ---- The machine


def commit() -> str | None:
    """Commit of the code that runs, in seven digits; None where git does not tell."""
    asked = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short=7", "HEAD"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()[:7]
    except (OSError, subprocess.CalledProcessError):
        return None


def machine() -> dict[str, Any]:
    """Describe what seconds depend on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
