"""scikit-learn's own judgement: every check, none expected to fail, none skipped."""

from dataclasses import dataclass

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from skmpcc import MPCCClusterer
from skmpcc.inputs import Layout

SMALL = {
    "max_iter": 100,
    "width": 32,
    "learning_rate": 2e-3,
    "prior_learning_rate": 3e-2,
    "random_state": 0,
}


@dataclass(frozen=True)
class Drawn(Layout):
    """Rows of d features as 8x8 images, the first d pixels of them."""

    def to_channels_first(self, X):
        pixels = np.zeros((len(X), 64))
        pixels[:, : X.shape[1]] = X
        return pixels.reshape(-1, 1, 8, 8)

    def from_channels_first(self, X):
        return X.reshape(len(X), 64)[:, : self.shape[0]]


class ImageClusterer(MPCCClusterer):
    """scikit-learn's checks bring tables of any width; this one clusters them by image networks."""

    def _layout(self, X):
        return Drawn(X.shape[1:], (1, 8, 8))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:preset=.*is meant for images:UserWarning")
@parametrize_with_checks(
    [
        MPCCClusterer(**SMALL),
        MPCCClusterer(preset="vectors", conditioning="shared", **SMALL),
        MPCCClusterer(preset="mnist", **SMALL),
        MPCCClusterer(preset="cifar10", **SMALL),
        ImageClusterer(**SMALL | {"width": 16}),
    ]
)
def test_checks(estimator, check):
    check(estimator)


def test_image_clusterer_has_image_networks():
    X = np.random.default_rng(0).normal(size=(20, 5))
    model = ImageClusterer(2, **SMALL | {"max_iter": 1}).fit(X)._fitted.model
    assert model.sample_shape == (1, 8, 8)
