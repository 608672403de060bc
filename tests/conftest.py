import os
import warnings
from types import SimpleNamespace

# Before scipy is imported: lets scikit-learn's array API check run instead of being skipped.
os.environ.setdefault("SCIPY_ARRAY_API", "1")
# Before torch is imported: tests run side by side, one thread each.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs
from support import QUICK

from skmpcc import MPCCClusterer
from skmpcc.command.reading import read


def pytest_runtest_setup(item):
    if item.get_closest_marker("cuda") and not torch.cuda.is_available():
        pytest.skip("no CUDA device")


@pytest.fixture(autouse=True)
def brief_pseudo_labels(request, monkeypatch):
    """Keep the search for pseudo-labels short in all tests that do not look at its quality."""
    if request.node.get_closest_marker("full_pseudo_labels"):
        return
    monkeypatch.setattr("skmpcc.pseudo_labels.problem.Problem.by_range", lambda problem: None)
    monkeypatch.setattr("skmpcc.pseudo_labels.finders.images.IMAGE_MAX_ITER", 3)
    monkeypatch.setattr("skmpcc.pseudo_labels.finders.images.N_IMAGE_RESTARTS", 1)
    monkeypatch.setattr("skmpcc.pseudo_labels.finders.images.MORE_RESTARTS", 0)


@pytest.fixture(autouse=True)
def few_entries(request, monkeypatch):
    """Look at a training five times instead of a hundred: looking takes as long as training does."""
    if not request.node.get_closest_marker("full_history"):
        monkeypatch.setattr("skmpcc.training.loop.N_INTERVALS", 5)


@pytest.fixture(scope="session")
def blobs():
    return make_blobs(200, 4, centers=3, random_state=0)


@pytest.fixture(scope="session")
def fitted(blobs):
    """By a hundred entries of the history, whichever test asks for it first."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("skmpcc.training.loop.N_INTERVALS", 100)
        return MPCCClusterer(3, random_state=0, **QUICK | {"max_iter": 100}).fit(blobs[0])


@pytest.fixture
def taken(tmp_path):
    """Read a text as a table: names, values and warnings."""

    def take(text, name="data.csv", **options):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            samples = read(path, **options)
        return samples.names, samples.X.to_numpy().tolist(), [str(each.message) for each in caught]

    return take


@pytest.fixture
def agreeing_classifiers(monkeypatch):
    """Classifiers of images whose agreement is known, since training them takes minutes.

    They agree most on `best` clusters; `tried` lists the numbers that were asked for.
    """
    known = SimpleNamespace(tried=[], best=5)

    def agreements(images, n_clusters, rng):
        known.tried.append(n_clusters)
        return np.array([0.0, 0.01, 0.02]) + 0.95 - 0.1 * abs(n_clusters - known.best)

    monkeypatch.setattr("skmpcc.pseudo_labels.number_of_images._agreements", agreements)
    return known
