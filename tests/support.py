"""Settings, data and callbacks that several test files share."""

import copy
import math

import numpy as np
import pytest
import torch

from skmpcc.settings import ResolvedSettings


def resolved(shape, **values):
    """Settings as they run on samples of `shape`: the first term of Loss II weighted, labels taught."""
    defaults = {"latent_loss_weight": 1.0 / math.prod(shape), "label_weight": 1.0}
    return ResolvedSettings(**defaults | values)


def slow(*values):
    """A case for the slow suite alone, of a test whose other cases tell nearly as much."""
    return pytest.param(*values, marks=pytest.mark.slow)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=generator(seed))


def stripes(n=300):
    """Two parallel ones, longer than they are far from each other: KMeans cuts both in half."""
    y = np.arange(n) % 2
    random = np.random.default_rng(0)
    X = np.stack([random.uniform(-4, 4, n), random.normal(3 * y, 0.3)], axis=1)
    return torch.as_tensor(X, dtype=torch.float32), y


def bars(n=120, side=8):
    """A row or a column that is bright, anywhere: pixels say nothing of which."""
    random = np.random.default_rng(0)
    y, place = random.integers(2, size=n), random.integers(1, side - 1, size=n)
    X = np.full((n, 1, side, side), -1.0, dtype=np.float32)
    for image, turned, i in zip(X, y, place, strict=True):
        image[0, i] = 1.0
        if turned:
            image[0] = image[0].T.copy()
    return torch.as_tensor(X + 0.05 * random.normal(size=X.shape).astype(np.float32)), y


# Fits of MPCCClusterer: of a second, and of next to nothing.
QUICK = {
    "pseudo_labels": "kmeans",
    "max_iter": 60,
    "width": 32,
    "learning_rate": 3e-3,
    "tol": 0.0,
    "preset_params": {
        "pseudo_label_share": 0.5,
        "ema_decay": 0.9,
        "prior_learning_rate": 3e-2,
        "learning_rate_decay": 0.3,
    },
}
BRIEF = {"max_iter": 3, "width": 8, "latent_dim": 4, "pseudo_labels": None, "tol": 0.0}


def images(shape, dtype=np.float64, seed=0):
    return (np.random.default_rng(seed).random(shape) * 200).astype(dtype)


class Interrupting:
    """A callback that raises at the second entry of the history."""

    def __init__(self, error):
        self.error = error
        self.seen = 0

    def setup(self, estimator, context): ...
    def teardown(self, estimator, context): ...
    def on_fit_task_begin(self, estimator, context): ...
    def on_fit_task_end(self, estimator, context):
        self.seen += 1
        if self.seen == 2:
            raise self.error


class Kept:
    """A `Progress` in memory, which keeps all that it is given and interrupts once at an iteration."""

    def __init__(self):
        self.stage = self.state = self.stop = None

    def read(self, stage):
        return copy.deepcopy(self.state) if stage == self.stage else None

    def keep(self, stage, state, *, at_once=False):
        self.stage, self.state = stage, copy.deepcopy(state())
        n_iter = self.state.get("algorithm", self.state).get("n_iter")
        if n_iter is not None and n_iter == self.stop:
            self.stop = None
            raise KeyboardInterrupt


def assert_same_fit(found, expected):
    """Bit for bit, in all that a fit sets."""
    for name in vars(expected).keys() - {"_fitted", "checkpoint", "n_jobs"}:
        a, b = getattr(found, name), getattr(expected, name)
        if isinstance(b, dict):
            assert a.keys() == b.keys(), name
            assert all(np.array_equal(a[key], b[key]) for key in b), name
        else:
            assert np.array_equal(a, b), name
    states = [each._fitted.model.own_state() for each in (found, expected)]
    assert states[0].keys() == states[1].keys()
    for name, tensor in states[1].items():
        assert torch.equal(states[0][name], tensor), name
