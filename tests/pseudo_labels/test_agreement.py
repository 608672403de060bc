import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from skmpcc.pseudo_labels.agreement import rand_indices


@pytest.mark.parametrize("n", [1, 2, 30, 2000])
def test_indices_are_those_of_scikit_learn(n):
    random = np.random.default_rng(0)
    clusterings = [random.integers(k, size=n) for k in (1, 2, 3, 7, 40)]
    clusterings += [np.arange(n), clusterings[2], (clusterings[2] + 1) % 3, np.sort(clusterings[1])]
    expected = [[adjusted_rand_score(one, other) for other in clusterings] for one in clusterings]
    np.testing.assert_array_equal(rand_indices(clusterings), expected)


def test_many_samples_overflow_nothing():
    labels = np.zeros(70_000, dtype=np.int32)
    other = np.arange(70_000, dtype=np.int32) % 256
    assert rand_indices([labels, labels])[0, 1] == 1.0
    assert rand_indices([labels, other])[0, 1] == adjusted_rand_score(labels, other)


def test_one_clustering_agrees_with_itself():
    assert rand_indices([np.array([0, 1, 1])]).tolist() == [[1.0]]
