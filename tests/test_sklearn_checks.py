"""scikit-learn's own judgement: every check, none expected to fail, none skipped."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClusterMixin, TransformerMixin
from sklearn.utils.estimator_checks import (
    check_clustering,
    check_estimators_dtypes,
    check_fit_idempotent,
    parametrize_with_checks,
)
from sklearn.utils.validation import check_is_fitted, validate_data

from skmpcc import (
    AIM,
    VAE,
    MPCCClassifier,
    MPCCClusterer,
    NoveltyDetector,
    VaDEClusterer,
)

# Enough for the checks' well separated blobs: high rates, short averages, one step of each kind.
SMALL = {
    "max_iter": 10,
    "width": 16,
    "learning_rate": 4e-3,
    "preset_params": {
        "prior_learning_rate": 3e-2,
        "discriminator_steps": 1,
        "encoder_steps": 1,
        "ema_start": 0,
        "learning_rate_decay": 0.3,
        "ema_decay": 0.9,
    },
    "random_state": 0,
}
# As long as the checks need where pseudo-labels are those of KMeans.
BRIEF = SMALL | {"max_iter": 3}


class ImageClusterer(ClusterMixin, TransformerMixin, BaseEstimator):
    """scikit-learn's checks bring tables of any width; this shows their rows to the clusterer as images.

    The p-th pixel of an 8x8 image is feature p modulo the number of features.
    """

    def __init__(self, n_clusters=8, random_state=0):
        self.n_clusters = n_clusters
        self.random_state = random_state

    def _images(self, X):
        return X[:, np.arange(64) % X.shape[1]].reshape(-1, 8, 8)

    def fit(self, X, y=None):
        X = validate_data(self, X, dtype=[np.float64, np.float32], ensure_min_samples=2)
        settings = BRIEF | {"width": 4, "pseudo_labels": "kmeans", "random_state": self.random_state}
        self.clusterer_ = MPCCClusterer(self.n_clusters, **settings).fit(self._images(X))
        self.labels_ = self.clusterer_.labels_
        self.n_iter_ = self.clusterer_.n_iter_
        return self

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _checked(self, X):
        check_is_fitted(self)
        return self._images(validate_data(self, X, dtype=[np.float64, np.float32], reset=False))

    def predict(self, X):
        images = self._checked(X)
        return self.clusterer_.predict(images)

    def predict_proba(self, X):
        images = self._checked(X)
        return self.clusterer_.predict_proba(images)

    def score_samples(self, X):
        images = self._checked(X)
        return self.clusterer_.score_samples(images)

    def transform(self, X):
        images = self._checked(X)
        return self.clusterer_.transform(images)

    def score(self, X, y=None):
        images = self._checked(X)
        return self.clusterer_.score(images)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(
    [
        MPCCClusterer(**BRIEF | {"pseudo_labels": "kmeans"}),
        MPCCClassifier(**BRIEF),
        AIM(max_iter=3, width=8, random_state=0),
        VAE(max_iter=3, width=8, random_state=0),
        VaDEClusterer(max_iter=8, width=16, pseudo_labels="kmeans", random_state=0),
        NoveltyDetector(MPCCClusterer(2, **BRIEF | {"pseudo_labels": "kmeans"}), by="both"),
        NoveltyDetector(AIM(max_iter=3, width=8, random_state=0)),
    ]
)
def test_checks(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("check", [check_clustering, check_estimators_dtypes, check_fit_idempotent])
def test_some_checks_with_the_search(check):
    check("MPCCClusterer", MPCCClusterer(**SMALL))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks([MPCCClusterer(**SMALL), ImageClusterer()])
def test_more_checks(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("check", [check_clustering, check_estimators_dtypes, check_fit_idempotent])
def test_some_checks_of_images(check):
    check("ImageClusterer", ImageClusterer())


def test_image_clusterer_has_image_networks():
    X = np.random.default_rng(0).normal(size=(20, 5))
    clusterer = ImageClusterer(2).fit(X).clusterer_
    assert clusterer.reconstruct(ImageClusterer()._images(X)).shape == (20, 8, 8)
    assert clusterer.preset_ == "grey_tiny"
    assert clusterer._fitted.model.sample_shape == (1, 8, 8)
