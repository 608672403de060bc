"""Rows that belong to no cluster neither spoil the others' clusters nor look like them."""

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

from skmpcc import MPCCClusterer

WILD = {"one value": (0, [17], 1e6), "a sentinel": (1, np.arange(100, 105), -999.0)}
# Each is told from the others by a column of its own.
CENTRES = [[0, 0, 0, 0], [8, 0, 0, 0], [0, 8, 0, 0]]


@pytest.mark.parametrize(("column", "rows", "value"), WILD.values(), ids=WILD)
def test_wild_values_leave_the_other_rows_clusters_alone(column, rows, value):
    X, y = make_blobs(1000, centers=CENTRES, random_state=0)
    X[rows, column] = value
    clusterer = MPCCClusterer(3, labels_only=True, random_state=0).fit(X)
    others = np.delete(np.arange(len(X)), rows)
    assert adjusted_rand_score(y[others], clusterer.labels_[others]) == 1
    scores = clusterer.score_samples(X)
    assert scores[rows].max() < scores[others].min()
