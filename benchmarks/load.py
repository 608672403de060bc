"""Seconds of whole fits: alone, beside one busy process, and on one core with two threads asked for.

`python benchmarks/speed.py --load` runs this.
"""

import cProfile
import multiprocessing
import os
import pstats
import resource
import statistics
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import load
from sklearn.metrics import adjusted_rand_score

from skmpcc import MPCCClusterer

# The first three are of fits for labels alone, the last one of fits that train all, alone as well.
CONDITIONS = ("alone", "busy", "quota", "whole")
FITS = ["iris", "breast_cancer", "digits", "blobs_10k"]
# Functions whose seconds make up a fit's, by what they do.
PHASES = {
    "graph": ("graph.py", "from_data"),
    "KMeans": ("kmeans.py", "kmeans_labels"),
    "GaussianMixture": ("mixture.py", "find"),
    "spanning tree": ("spanning_tree.py", "find"),
    "layouts": ("layout.py", "find"),
    "spectral": ("spectral.py", "find"),
    "latent classes": ("latent_classes.py", "find"),
    "choice": ("search.py", "choose"),
    "classifiers of images": ("images.py", "augmentation_labels"),
    "training": ("loop.py", "train"),
    "finishing": ("finishing.py", "finish_encoder"),
    "labels": ("fit.py", "ready_for_use"),
}
QUOTA_THREADS = 2


def _spin() -> None:
    while True:
        pass


@contextmanager
def _condition(name: str) -> Iterator[None]:
    """Make this process's machine as the condition says."""
    if name == "quota":
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(before)})
        torch.set_num_threads(QUOTA_THREADS)
    neighbor = multiprocessing.get_context("spawn").Process(target=_spin, daemon=True)
    if name == "busy":
        neighbor.start()
    try:
        yield
    finally:
        if neighbor.pid is not None:
            neighbor.kill()


def _phases(X: np.ndarray, n_clusters: int) -> dict[str, float]:
    """Seconds of each phase of a fit, by Python's profiler."""
    profile = cProfile.Profile()
    profile.runcall(MPCCClusterer(n_clusters, labels_only=True, random_state=0).fit, X)
    found = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    seconds = {(Path(path).name, name): row[3] for (path, _, name), row in found.items()}
    return {phase: seconds[function] for phase, function in PHASES.items() if function in seconds}


def _fits(name: str, condition: str, n_fits: int, files: dict[str, Path | None]) -> dict[str, Any]:
    """Time fits with different seeds, in a process of their own."""
    X, y = load(name, files)
    seconds, scores, n_iter = [], [], []
    with _condition(condition), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in range(n_fits):
            clusterer = MPCCClusterer(
                len(np.unique(y)), labels_only=condition != "whole", random_state=seed
            )
            start = time.perf_counter()
            clusterer.fit(X)
            seconds.append(time.perf_counter() - start)
            scores.append(adjusted_rand_score(y, clusterer.labels_))
            n_iter.append(clusterer.n_iter_)
        phases = _phases(X, len(np.unique(y))) if condition == "alone" else None
    return {
        "kind": "fit",
        "data": Path(name).name,
        "condition": condition,
        "seconds": seconds,
        "median": statistics.median(seconds),
        "ari": scores,
        "n_iter": n_iter,
        "phases": phases,
        "peak MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,
    }


def measure(
    names: list[str], conditions: list[str], n_fits: int, files: dict[str, Path | None]
) -> Iterator[dict[str, Any]]:
    """Yield a row for each data set and condition.

    Every row comes from a fresh process, whose first fit also pays for what torch loads late.
    """
    context = multiprocessing.get_context("spawn")
    for name in names:
        for condition in conditions:
            with ProcessPoolExecutor(1, mp_context=context) as pool:
                yield pool.submit(_fits, name, condition, n_fits, files).result()
