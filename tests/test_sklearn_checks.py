"""scikit-learn's own judgement: every check, none expected to fail, none skipped."""

from dataclasses import dataclass

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from skmpcc import MPCCClusterer
from skmpcc.inputs import Layout

# Enough for the checks' well separated blobs: high rates, short averages, one step of each kind.
SMALL = {
    "max_iter": 100,
    "width": 32,
    "learning_rate": 2e-3,
    "prior_learning_rate": 3e-2,
    "discriminator_steps": 1,
    "encoder_steps": 1,
    "ema_start": 0,
    "ema_decay": 0.9,
    "random_state": 0,
}


@dataclass(frozen=True)
class Drawn(Layout):
    """Rows of d features as 8x8 images, whose p-th pixel shows feature p modulo d."""

    def to_channels_first(self, X):
        return X[:, np.arange(64) % self.shape[0]].reshape(-1, 1, 8, 8)

    def from_channels_first(self, X):
        pixels, d = X.reshape(len(X), 64), self.shape[0]
        return np.stack([pixels[:, j::d].mean(axis=1) for j in range(d)], axis=1)


class ImageClusterer(MPCCClusterer):
    """scikit-learn's checks bring tables of any width; this one clusters them by image networks."""

    def _layout(self, X):
        return Drawn(X.shape[1:], (1, 8, 8))


@pytest.fixture(autouse=True)
def brief_start(monkeypatch):
    monkeypatch.setattr("skmpcc.starts.MAX_ITER", 40)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:preset=.*is meant for images:UserWarning")
@parametrize_with_checks(
    [
        MPCCClusterer(**SMALL),
        MPCCClusterer(preset="vectors", conditioning="shared", **SMALL),
        MPCCClusterer(preset="mnist", **SMALL),
        MPCCClusterer(preset="cifar10", **SMALL),
        ImageClusterer(**SMALL | {"width": 8}),
    ]
)
def test_checks(estimator, check):
    check(estimator)


def test_image_clusterer_has_image_networks():
    X = np.random.default_rng(0).normal(size=(20, 5))
    model = ImageClusterer(2, **SMALL | {"max_iter": 1}).fit(X)._fitted.model
    assert model.sample_shape == (1, 8, 8)
