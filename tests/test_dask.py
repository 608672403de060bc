"""Initializations and grid searches on a cluster of Dask, here of two processes."""

import joblib
import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from support import BRIEF

from skmpcc import MPCCClusterer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster),
    ):
        yield


def test_initializations_are_those_of_a_serial_fit(cluster, blobs):
    X = blobs[0]
    clusterer = MPCCClusterer(3, n_init=3, random_state=0, **BRIEF | {"weights": "learned"})
    expected = clusterer.fit(X).means_
    with joblib.parallel_config("dask"):
        found = clusterer.fit(X)
    np.testing.assert_array_equal(found.means_, expected)
    assert found.n_iter_ == BRIEF["max_iter"]


def test_a_grid_search_is_that_of_a_serial_one(cluster, blobs):
    search = GridSearchCV(
        MPCCClusterer(3, random_state=0, **BRIEF), {"n_clusters": [2, 3]}, cv=2, error_score="raise"
    )
    expected = search.fit(blobs[0]).cv_results_
    with joblib.parallel_config("dask"):
        found = search.fit(blobs[0]).cv_results_
    np.testing.assert_array_equal(found["mean_test_score"], expected["mean_test_score"])
