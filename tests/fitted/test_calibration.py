"""How sure memberships are: as sure as candidates for pseudo-labels agree."""

import copy
import pickle
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import make_blobs
from support import BRIEF, QUICK, images

from skmpcc import MPCCClassifier, MPCCClusterer, VaDEClusterer
from skmpcc.fitted import model as _model
from skmpcc.fitted.model import FittedModel
from skmpcc.metrics import clustering_accuracy
from skmpcc.pseudo_labels.agreement import matching_share

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# Clusters that overlap, so that candidates differ.
X = make_blobs(200, 4, centers=3, cluster_std=3.5, random_state=0)[0]
PARAMETERS = QUICK | {"pseudo_labels": "search", "random_state": 0}


@pytest.fixture
def asked(monkeypatch):
    """What fits ask for: a confidence of each."""
    found, whole = [], FittedModel.with_confidence

    def spy(fitted, data, confidence):
        found.append(confidence)
        return whole(fitted, data, confidence)

    monkeypatch.setattr(FittedModel, "with_confidence", spy)
    return found


def uncalibrated(estimator):
    other = copy.copy(estimator)
    other._fitted = copy.copy(estimator._fitted)
    object.__setattr__(other._fitted, "temperature", 1.0)
    return other


@pytest.mark.parametrize("kind", [MPCCClusterer, VaDEClusterer])
def test_memberships_are_as_sure_as_candidates_agree(kind, asked):
    clusterer = kind(3, **PARAMETERS).fit(X)
    (confidence,) = asked
    assert 1 / 3 < confidence < 1
    temperature = clusterer._fitted.temperature
    assert temperature > 1.0
    highest = clusterer.predict_proba(X).max(axis=1)
    assert highest.mean() == pytest.approx(confidence, abs=1e-4)
    raw = uncalibrated(clusterer)
    assert raw.predict_proba(X).max(axis=1).mean() > confidence + 0.01
    # The logarithms are divided by one number, and no label changes.
    np.testing.assert_array_equal(raw.predict(X), clusterer.predict(X))
    np.testing.assert_array_equal(clusterer.predict_proba(X).argmax(axis=1), clusterer.labels_)
    logs = np.log(raw.predict_proba(X)) / temperature
    expected = np.exp(logs) / np.exp(logs).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(clusterer.predict_proba(X), expected, rtol=1e-6, atol=1e-9)


def test_the_highest_memberships_and_copies(asked, tmp_path):
    clusterer = MPCCClusterer(3, **PARAMETERS).fit(X)
    expected = clusterer.predict_proba(X)
    _, highest = clusterer.predict_proba(X, top=1)
    np.testing.assert_allclose(highest[:, 0], expected.max(axis=1))
    clusterer.save(tmp_path / "model")
    for other in (MPCCClusterer.load(tmp_path / "model"), pickle.loads(pickle.dumps(clusterer))):
        assert other._fitted.temperature == clusterer._fitted.temperature > 1.0
        np.testing.assert_array_equal(other.predict_proba(X), expected)


def test_exported_memberships_are_the_same(tmp_path):
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    clusterer = MPCCClusterer(3, **PARAMETERS).fit(X)
    assert clusterer._fitted.temperature > 1.0
    clusterer.export_onnx(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (memberships,) = session.run(["memberships"], {"X": X})
    np.testing.assert_allclose(memberships, clusterer.predict_proba(X), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("given", "kind", "pseudo_labels"),
    [
        (X, MPCCClusterer, None),
        (X, MPCCClusterer, "kmeans"),
        (images((40, 8, 8)), MPCCClusterer, "auto"),
        (images((40, 8, 8)), MPCCClusterer, "kmeans"),
        (X, MPCCClassifier, None),
    ],
)
def test_nothing_is_divided_where_no_candidates_are_compared(given, kind, pseudo_labels):
    if kind is MPCCClassifier:
        fitted = kind(max_iter=3, width=8, random_state=0).fit(given, np.arange(len(given)) % 2)
    else:
        fitted = kind(2, random_state=0, **BRIEF | {"pseudo_labels": pseudo_labels}).fit(given)
    assert fitted._fitted.temperature == 1.0


# ---- The temperature


@pytest.fixture
def with_logs(monkeypatch):
    """A model, made of logarithms of memberships, and its temperature for a confidence."""
    template = MPCCClusterer(3, random_state=0, **BRIEF).fit(X)._fitted

    def temperature_of(logs, confidence):
        monkeypatch.setattr(FittedModel, "log_memberships", lambda fitted, X: logs)
        return template.with_confidence(torch.zeros(len(logs), 4), confidence).temperature

    return temperature_of


def test_temperatures_are_at_least_one_and_at_most_the_largest(with_logs):
    unsure = np.log(np.full((5, 3), 1 / 3))
    assert with_logs(unsure, 0.5) == 1.0
    assert with_logs(unsure, 0.1) == _model._MAX_TEMPERATURE
    sure = np.tile([0.0, -20.0, -20.0], (5, 1))
    assert with_logs(sure, 1.0) == 1.0
    assert with_logs(sure, 1 / 3) == _model._MAX_TEMPERATURE
    # Of one cluster nothing else is possible.
    assert np.isfinite(with_logs(np.zeros((5, 1)), 0.9))


def test_temperatures_are_those_of_the_confidence(with_logs):
    found = with_logs(np.tile([0.0, -6.0, -6.0], (5, 1)), 0.8)
    assert 1 / (1 + 2 * np.exp(-6.0 / found)) == pytest.approx(0.8)


def test_a_training_that_diverged_is_told_of_later(with_logs):
    """Memberships that are not numbers used to be an error of the search for a temperature."""
    assert with_logs(np.full((5, 3), np.nan), 0.8) == 1.0


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=40))
def test_matching_shares_are_accuracies(pairs):
    labels, others = np.array(pairs).T
    found = matching_share(labels, others)
    assert found == pytest.approx(clustering_accuracy(labels, others))
    maps = (np.array(each) for each in permutations(range(5)))
    assert found == pytest.approx(max(np.mean(each[labels] == others) for each in maps))
    assert matching_share(others, labels) == pytest.approx(found)
    assert matching_share(labels, labels[::-1].copy()[::-1]) == 1.0
