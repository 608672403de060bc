"""The picture of several clusterers shows their labels, in the colours of the groups."""

import numpy as np
import pytest
from test_docs import ROOT, load

pytest.importorskip("matplotlib")
which_clusterer = load(ROOT / "benchmarks" / "which_clusterer.py")


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([2, 2, 0, 0, 1, 1], [0, 0, 1, 1, 2, 2]),
        ([0, 0, 0, 0, -1, -1], [0, 0, 0, 0, -1, -1]),
        ([5, 5, 3, 4, 1, -1], [0, 0, 1, 3, 2, -1]),
        ([-1, -1, -1, -1, -1, -1], [-1, -1, -1, -1, -1, -1]),
    ],
)
def test_clusters_are_numbered_like_groups(labels, expected):
    found = which_clusterer.like(np.array([0, 0, 1, 1, 2, 2]), np.array(labels))
    np.testing.assert_array_equal(found, expected)


def test_no_pair_of_rows_is_right_by_noise():
    np.testing.assert_array_equal(which_clusterer.alone(np.array([0, -1, 1, -1, 0])), [0, 6, 1, 8, 0])
