"""The highest memberships alone, beside all of them."""

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from support import BRIEF

from skmpcc import MPCCClusterer, VaDEClusterer
from skmpcc.fitted import model

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X = make_blobs(150, 4, centers=5, random_state=0)[0]


@pytest.fixture(scope="module", params=[MPCCClusterer, VaDEClusterer])
def clusterer(request):
    return request.param(5, random_state=0, **BRIEF).fit(X)


@pytest.mark.parametrize("top", [1, 2, np.int64(5), 9])
def test_they_are_the_first_of_all_in_order(clusterer, top):
    every = clusterer.predict_proba(X)
    clusters, memberships = clusterer.predict_proba(X, top=top)
    order = np.argsort(-every, axis=1, kind="stable")[:, :top]
    assert clusters.dtype == np.int64
    np.testing.assert_array_equal(clusters, order)
    np.testing.assert_array_equal(memberships, np.take_along_axis(every, order, axis=1))
    np.testing.assert_array_equal(clusters[:, 0], clusterer.predict(X))


def test_of_equal_ones_the_lower_number_is_first(clusterer, monkeypatch):
    prior = type(clusterer._fitted.model.prior)
    of_all = torch.tensor([0.1, 0.3, 0.3, 0.0, 0.3], dtype=torch.float64).log()
    monkeypatch.setattr(prior, "log_responsibilities", lambda self, z: of_all.expand(len(z), 5))
    clusters, memberships = clusterer.predict_proba(X, top=5)
    assert (clusters == [1, 2, 4, 0, 3]).all()
    np.testing.assert_allclose(memberships, [[0.3, 0.3, 0.3, 0.1, 0.0]] * len(X))


def test_batches_change_nothing_and_no_array_of_all_is_made(clusterer, monkeypatch):
    expected = clusterer.predict_proba(X, top=2)
    monkeypatch.setattr(model, "_BATCH_VALUES", 5 * 40)
    monkeypatch.setattr(model.FittedModel, "memberships", None)
    for found, one in zip(clusterer.predict_proba(X, top=2), expected, strict=True):
        np.testing.assert_allclose(found, one)


def test_tensors_come_back_where_one_came_in(clusterer):
    found = clusterer.predict_proba(torch.as_tensor(X), top=2)
    assert all(isinstance(each, torch.Tensor) for each in found)
    np.testing.assert_array_equal(found[0].numpy(), clusterer.predict_proba(X, top=2)[0])


def test_pipelines_pass_it_on():
    pipeline = make_pipeline(StandardScaler(), MPCCClusterer(3, random_state=0, **BRIEF)).fit(X)
    assert pipeline.predict_proba(X, top=2)[0].shape == (150, 2)


@pytest.mark.parametrize(("top", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError)])
def test_what_is_no_number_of_clusters_is_refused(clusterer, top, error):
    with pytest.raises(error, match="top"):
        clusterer.predict_proba(X, top=top)
