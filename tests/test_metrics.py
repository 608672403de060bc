from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from skmpcc.metrics import clustering_accuracy, clustering_scores, majority_accuracy

LABELS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=1, max_size=30)


@given(LABELS)
def test_accuracy_is_the_best_of_all_one_to_one_maps(pairs):
    y, labels = np.array(pairs).T
    best = max(np.mean(np.array(classes)[labels] == y) for classes in permutations(range(5), 5))
    assert clustering_accuracy(y, labels) == pytest.approx(best)


@given(LABELS)
def test_majority_accuracy(pairs):
    y, labels = np.array(pairs).T
    hits = sum(np.bincount(y[labels == k]).max() for k in np.unique(labels))
    assert majority_accuracy(y, labels) == pytest.approx(hits / len(y))
    assert majority_accuracy(y, labels) >= clustering_accuracy(y, labels)


def test_where_the_two_part():
    y, labels = [0, 0, 1, 1], [0, 1, 2, 2]
    assert clustering_accuracy(y, labels) == 0.75
    assert majority_accuracy(y, labels) == 1.0
    assert clustering_accuracy([0, 0, 1, 1], [0, 0, 0, 0]) == 0.5


def test_labels_of_any_kind():
    assert clustering_accuracy(["a", "b", "b"], [-1, 7, 7]) == 1.0


def test_scores():
    y, labels = [0, 0, 1, 1, 2], [0, 1, 1, 1, 2]
    scores = clustering_scores(y, labels)
    assert scores["ari"] == adjusted_rand_score(y, labels)
    assert scores["nmi"] == normalized_mutual_info_score(y, labels)
    assert scores["accuracy"] == clustering_accuracy(y, labels) == 0.8


@pytest.mark.parametrize("metric", [clustering_accuracy, majority_accuracy])
def test_errors(metric):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        metric([0, 1], [0])
    with pytest.raises(ValueError, match="empty"):
        metric([], [])
