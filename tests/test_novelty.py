"""Outlier detectors by scores."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris, make_blobs
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import KFold
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from support import BRIEF

from skmpcc import AIM, MPCCClassifier, MPCCClusterer, NoveltyDetector

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = load_iris(return_X_y=True)
SMALL_AIM = AIM(latent_dim=2, max_iter=5, width=8, random_state=0)
CLUSTERER = MPCCClusterer(2, **BRIEF, random_state=0)


@pytest.mark.parametrize("by", ["density", "information", "reconstruction", "both"])
@pytest.mark.parametrize("estimator", [SMALL_AIM, CLUSTERER], ids=["AIM", "clusterer"])
def test_it_is_the_scores_of_the_estimator_and_a_quantile(estimator, by):
    detector = NoveltyDetector(estimator, by=by, contamination=0.1).fit(X)
    scores = clone(estimator).fit(X).score_samples(X, by=by)
    np.testing.assert_array_equal(detector.score_samples(X), scores)
    assert detector.offset_ == np.quantile(scores, 0.1)
    np.testing.assert_array_equal(detector.decision_function(X), scores - detector.offset_)
    kinds = detector.predict(X)
    np.testing.assert_array_equal(kinds, np.where(scores < detector.offset_, -1, 1))
    assert (kinds == -1).sum() == 15
    np.testing.assert_array_equal(clone(detector).fit_predict(X), kinds)
    assert not hasattr(estimator, "n_iter_")


def test_a_frozen_estimator_stays_as_it_is():
    fitted = clone(SMALL_AIM).fit(X[:100])
    detector = NoveltyDetector(FrozenEstimator(fitted), by="both").fit(X)
    np.testing.assert_array_equal(detector.score_samples(X), fitted.score_samples(X, by="both"))
    assert detector.offset_ == np.quantile(fitted.score_samples(X, by="both"), 0.05)
    with pytest.raises(NotFittedError):
        NoveltyDetector(FrozenEstimator(SMALL_AIM)).fit(X)


def test_scores_of_held_out_rows_set_the_threshold():
    folds = KFold(3, shuffle=True, random_state=0)
    detector = NoveltyDetector(GaussianMixture(5, random_state=0), cv=folds, contamination=0.2).fit(X)
    scores = np.concatenate(
        [GaussianMixture(5, random_state=0).fit(X[a]).score_samples(X[b]) for a, b in folds.split(X)]
    )
    assert detector.offset_ == np.quantile(scores, 0.2)
    of_training = NoveltyDetector(detector.estimator, contamination=0.2).fit(X)
    assert of_training.offset_ > detector.offset_
    np.testing.assert_array_equal(of_training.score_samples(X), detector.score_samples(X))


def test_labels_and_weights_are_passed_on_and_split():
    weights = np.where(Y == 0, 0.1, 1.0)
    detector = NoveltyDetector(KernelDensity(), cv=3).fit(X, sample_weight=weights)
    wanted = KernelDensity().fit(X, sample_weight=weights).score_samples(X)
    np.testing.assert_array_equal(detector.score_samples(X), wanted)
    classifier = MPCCClassifier(max_iter=3, width=8, random_state=0)
    detector = NoveltyDetector(classifier, cv=2).fit(X, Y)
    np.testing.assert_array_equal(detector.estimator_.classes_, np.unique(Y))
    assert NoveltyDetector(classifier).__sklearn_tags__().target_tags.required


def test_it_ends_a_pipeline_and_holds_one():
    inside = NoveltyDetector(make_pipeline(StandardScaler(), GaussianMixture(2, random_state=0))).fit(X)
    around = make_pipeline(StandardScaler(), NoveltyDetector(GaussianMixture(2, random_state=0))).fit(X)
    np.testing.assert_array_equal(inside.predict(X), around.predict(X))


def test_what_numpy_has_to_read_is_read_with_folds_too():
    for cv in (None, 2):
        detector = NoveltyDetector(SMALL_AIM, cv=cv)
        np.testing.assert_array_equal(detector.fit(X.tolist()).predict(X), detector.fit(X).predict(X))
        with pytest.raises(TypeError, match="parse"):
            detector.fit(csr_array(X))


def test_frames_images_and_tensors():
    frame = pd.DataFrame(X, columns=list("abcd"))
    detector = NoveltyDetector(SMALL_AIM).fit(frame)
    assert list(detector.feature_names_in_) == list("abcd")
    kinds = detector.predict(frame)
    detector.fit(torch.from_numpy(X))
    assert not hasattr(detector, "feature_names_in_")
    np.testing.assert_array_equal(detector.predict(torch.from_numpy(X)), kinds)
    images = np.random.default_rng(0).random((30, 8, 8))
    detector = NoveltyDetector(SMALL_AIM, cv=2).fit(images)
    assert detector.n_features_in_ == 64
    assert detector.predict(images).shape == (30,)


def test_outliers_are_found():
    blobs, _ = make_blobs(300, centers=[[-9, 0], [9, 0]], random_state=0)
    far = np.random.default_rng(0).uniform([-9, 30], [9, 50], (20, 2))
    clusterer = MPCCClusterer(2, max_iter=100, width=16, pseudo_labels="kmeans", random_state=0)
    for by in ("density", "both"):
        detector = NoveltyDetector(clusterer, by=by, contamination=0.02).fit(blobs)
        assert (detector.predict(far) == -1).all()
        assert (detector.predict(blobs) == 1).mean() > 0.97


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"estimator": KMeans(2)}, "'estimator' parameter"),
        ({"estimator": "AIM"}, "'estimator' parameter"),
        ({"by": "likelihood"}, "'by' parameter"),
        ({"by": None}, "'by' parameter"),
        ({"contamination": 0}, "'contamination' parameter"),
        ({"contamination": 0.6}, "'contamination' parameter"),
        ({"contamination": "auto"}, "'contamination' parameter"),
        ({"cv": "five"}, "'cv' parameter"),
        ({"estimator": GaussianMixture(), "by": "both"}, "by='both' needs an estimator"),
        ({"estimator": make_pipeline(StandardScaler(), SMALL_AIM), "by": "both"}, "by='both' needs"),
    ],
)
def test_bad_parameters_are_errors_that_name_them(parameters, match):
    with pytest.raises(ValueError, match=match):
        NoveltyDetector(**{"estimator": SMALL_AIM} | parameters).fit(X)


def test_before_the_fit():
    for method in ("predict", "score_samples", "decision_function"):
        with pytest.raises(NotFittedError):
            getattr(NoveltyDetector(SMALL_AIM), method)(X)
