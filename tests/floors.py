"""Data sets whose labels have floors, and how they are fitted; `benchmarks/floors.py` measures them."""

import numpy as np
from sklearn.datasets import load_digits, load_iris, load_wine, make_moons
from sklearn.metrics import adjusted_rand_score

from skmpcc import MPCCClusterer
from skmpcc.metrics import clustering_accuracy


def categories():
    """Answers of four kinds of people to ten questions of three answers each."""
    random = np.random.default_rng(0)
    y = random.integers(4, size=500)
    shares = random.dirichlet(np.full(3, 0.7), size=(4, 10))
    drawn = random.random((500, 10, 1))
    return (drawn > shares[y].cumsum(axis=2)[:, :, :-1]).sum(axis=2).astype(float), y


def iris_beside_constants():
    X, y = load_iris(return_X_y=True)
    return np.column_stack([X, np.tile([0.0, 1.0, -3.0, 0.0], (len(X), 1))]), y


def digits_images():
    digits = load_digits()
    return digits.images, digits.target


SETS = {
    "iris": lambda: load_iris(return_X_y=True),
    "wine": lambda: load_wine(return_X_y=True),
    "moons": lambda: make_moons(300, noise=0.08, random_state=0),
    "categories": categories,
    "iris beside constants": iris_beside_constants,
    "digits": lambda: load_digits(return_X_y=True),
    "digits as images": digits_images,
}
FITS = {
    # The search as users have it, and next to no training after it.
    "pseudo_labels": {"labels_only": True, "max_iter": 1, "width": 8},
    "labels_only": {"labels_only": True},
    "whole": {},
}


def fit(kind, X, y, seed):
    """Fit as users do, but for what `FITS` says."""
    return MPCCClusterer(len(np.unique(y)), random_state=seed, **FITS[kind]).fit(X)


def scored(y, labels):
    """Return the adjusted Rand index and the accuracy."""
    return adjusted_rand_score(y, labels), clustering_accuracy(y, labels)
