"""Initializations, grid searches and predictions on a cluster of Dask, here of two processes."""

import os
import uuid

import dask.array
import joblib
import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from support import BRIEF, QUICK

from skmpcc import MPCCClusterer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


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


def test_predictions_of_a_lazy_array_are_made_by_the_workers_when_they_are_asked_for(
    cluster, blobs, tmp_path
):
    X = blobs[0]

    def noted(block):
        # Workers are processes of this machine.
        (tmp_path / f"{os.getpid()}-{uuid.uuid4()}").touch()
        return block

    lazy = dask.array.from_array(X, chunks=(25, X.shape[1])).map_blocks(noted, meta=X[:0])
    clusterer = MPCCClusterer(3, random_state=0, **QUICK).fit(X)
    labels = lazy.map_blocks(clusterer.predict, dtype=np.int64, drop_axis=1)
    codes = lazy.map_blocks(
        clusterer.transform, dtype=np.float64, chunks=(lazy.chunks[0], clusterer.means_.shape[1:])
    )
    assert labels.shape == (len(X),)
    assert codes.shape == clusterer.transform(X).shape
    assert not list(tmp_path.iterdir())
    found = dask.compute(labels, codes)
    processes = {int(path.name.split("-")[0]) for path in tmp_path.iterdir()}
    assert processes <= set(cluster.run(os.getpid).values())
    assert len(list(tmp_path.iterdir())) == lazy.numblocks[0]
    np.testing.assert_array_equal(found[0], clusterer.predict(X))
    np.testing.assert_allclose(found[1], clusterer.transform(X), rtol=1e-12)
