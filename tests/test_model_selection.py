from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from joblib import parallel_config
from scipy.sparse import csr_matrix
from sklearn.datasets import load_digits, make_blobs, make_circles
from sklearn.utils import check_random_state

from skmpcc.model_selection import NClustersSuggestion, suggest_n_clusters
from skmpcc.plotting import NClustersDisplay
from skmpcc.pseudo_labels import number as number_of_clusters
from skmpcc.pseudo_labels.number import prediction_strengths

LABELS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=25)


def blobs(n_clusters, n_samples=200):
    angles = 2 * np.pi * np.arange(n_clusters) / n_clusters
    centers = 4 * n_clusters * np.column_stack([np.cos(angles), np.sin(angles)])
    return make_blobs(n_samples, centers=centers, random_state=0)[0]


@given(LABELS)
def test_prediction_strengths_are_the_least_and_the_mean_share_of_pairs(pairs):
    labels, predicted = np.array(pairs).T
    shares = []
    for k in np.unique(labels):
        together = [a == b for a, b in combinations(predicted[labels == k], 2)]
        shares.append(np.mean(together) if together else 0.0)
    number = len(shares)
    mean = np.average(shares, weights=np.unique(labels, return_counts=True)[1])
    assert prediction_strengths(labels, predicted, number) == pytest.approx((min(shares), mean))
    assert prediction_strengths(labels, predicted, number + 1) == (0.0, 0.0)


@pytest.mark.parametrize("n_clusters", [2, 4, 7])
def test_clusters_that_are_apart_are_counted(n_clusters):
    found = suggest_n_clusters(blobs(n_clusters), range(2, 9), random_state=0)
    assert found.n_clusters == n_clusters
    assert found.scores[n_clusters - 2] == pytest.approx(1.0)
    assert found.standard_errors[n_clusters - 2] == pytest.approx(0.0)
    assert found.scores[n_clusters - 1 :].max() < found.thresholds.min()


def test_rings_count_as_clusters():
    X = make_circles(400, noise=0.04, factor=0.4, random_state=0)[0]
    assert suggest_n_clusters(X, range(2, 8), random_state=0).n_clusters == 2


def test_curve():
    found = suggest_n_clusters(blobs(3), [5, 3, 2, 3], n_resamplings=2, random_state=0)
    assert isinstance(found, NClustersSuggestion)
    assert type(found.n_clusters) is int
    np.testing.assert_array_equal(found.candidates, [2, 3, 5])
    assert found.scores.shape == found.standard_errors.shape == (3,)
    assert 0 <= found.scores.min() <= found.scores.max() <= 1
    assert 0 <= found.standard_errors.min() < found.standard_errors.max()


def test_the_largest_number_that_reaches_the_threshold_is_suggested():
    X = blobs(3)
    found = suggest_n_clusters(X, range(1, 6), random_state=0)
    for threshold in (0.3, float(found.scores[3]), 1.0):
        again = suggest_n_clusters(X, range(1, 6), threshold=threshold, random_state=0)
        np.testing.assert_array_equal(again.scores, found.scores)
        assert again.n_clusters == again.candidates[again.scores >= again.thresholds].max()
        expected = threshold - 0.05 * np.log(np.maximum(again.candidates, 2) / 2)
        np.testing.assert_allclose(again.thresholds, expected)
        assert not again.is_guess


def test_data_without_clusters():
    X = np.random.default_rng(0).normal(size=(300, 5))
    with pytest.warns(UserWarning, match="No number of clusters has a prediction strength of at least"):
        found = suggest_n_clusters(X, range(2, 6), random_state=0)
    assert found.is_guess
    assert found.n_clusters in found.candidates
    with_one = suggest_n_clusters(X, range(1, 6), random_state=0)
    assert with_one.n_clusters == 1
    np.testing.assert_array_equal(with_one.scores, [1.0, *found.scores])
    assert suggest_n_clusters(X, [1]).n_clusters == 1


def test_equal_samples_are_no_clusters():
    with pytest.warns(UserWarning, match="No number"):
        found = suggest_n_clusters(np.ones((40, 3)), range(2, 5), random_state=0)
    np.testing.assert_array_equal(found.scores, 0.0)
    three = suggest_n_clusters(np.repeat(np.eye(3), 20, axis=0), range(2, 6), random_state=0)
    assert three.n_clusters == 3
    np.testing.assert_array_equal(three.scores[2:], 0.0)


def test_results_are_those_of_the_random_state():
    X = blobs(3, 120)
    before = check_random_state(None).get_state()[1].copy()
    numbers = [1, 4, 5]
    first, other, drawn = (suggest_n_clusters(X, numbers, random_state=seed) for seed in (0, 1, None))
    with parallel_config("threading", n_jobs=2):
        again = suggest_n_clusters(X, numbers, random_state=0)
    np.testing.assert_array_equal(check_random_state(None).get_state()[1], before)
    np.testing.assert_array_equal(first.scores, again.scores)
    np.testing.assert_array_equal(first.standard_errors, again.standard_errors)
    assert np.any(first.scores != other.scores)
    assert np.any(first.scores != drawn.scores)


def test_units_and_containers_do_not_matter():
    X = blobs(4, 120)
    found = suggest_n_clusters(X, range(2, 6), random_state=0)
    for same in (X * 1024.0, pd.DataFrame(X), torch.as_tensor(X), X.tolist()):
        other = suggest_n_clusters(same, range(2, 6), random_state=0)
        assert other.n_clusters == found.n_clusters == 4
        np.testing.assert_allclose(other.scores, found.scores)


def test_large_tables_are_drawn_from(monkeypatch):
    sizes = []
    whole = number_of_clusters._clusterings

    def spy(points, others, numbers, seed):
        sizes.append((len(points), len(others)))
        return whole(points, others, numbers, seed)

    monkeypatch.setattr(number_of_clusters, "_clusterings", spy)
    monkeypatch.setattr(number_of_clusters, "MAX_ROWS", 81)
    assert suggest_n_clusters(blobs(3), range(2, 6), n_resamplings=2, random_state=0).n_clusters == 3
    assert sizes == 2 * [(40, 41), (41, 40)]


def test_smallest_table():
    X = blobs(2, 8)
    found = suggest_n_clusters(X, [2], random_state=0)
    assert found.n_clusters == 2
    assert found.scores.shape == (1,)
    with pytest.raises(ValueError, match="at least 8 samples"):
        suggest_n_clusters(X[:7], [2])


class TestImages:
    @pytest.fixture(autouse=True)
    def classifiers(self, agreeing_classifiers):
        self.known = agreeing_classifiers

    def test_every_second_number_is_tried_and_those_beside_the_best(self):
        found = suggest_n_clusters(load_digits().images, random_state=0)
        assert found.n_clusters == 5
        assert self.known.tried == [*range(2, 21, 2), 3, 5]
        np.testing.assert_array_equal(found.candidates, sorted(self.known.tried))
        assert found.scores.argmax() == list(found.candidates).index(5)
        assert found.scores.max() == pytest.approx(0.96)
        np.testing.assert_allclose(found.standard_errors, 0.01 / np.sqrt(3))

    def test_one_is_suggested_where_classifiers_agree_on_no_number(self):
        self.known.best = 30
        with pytest.warns(UserWarning, match="No number"):
            assert suggest_n_clusters(load_digits().images, range(2, 8)).n_clusters == 7
        assert suggest_n_clusters(load_digits().images, range(1, 8)).n_clusters == 1

    def test_rows_can_be_images(self):
        found = suggest_n_clusters(load_digits().data, range(4, 7), image_shape=(8, 8))
        assert found.n_clusters == 5


@pytest.mark.slow
@pytest.mark.full_pseudo_labels
def test_classifiers_agree_most_on_ten_digits():
    found = suggest_n_clusters(load_digits().images, [6, 9, 10, 14], random_state=0)
    assert found.n_clusters == 10
    assert not found.is_guess


@pytest.mark.parametrize(
    ("X", "arguments", "error", "message"),
    [
        (blobs(3), {"n_clusters": 5}, TypeError, "n_clusters must be an iterable of int"),
        (blobs(3), {"n_clusters": "23"}, TypeError, "n_clusters must be an iterable of int"),
        (blobs(3), {"n_clusters": [2, 2.5]}, TypeError, "got 2.5 among them"),
        (blobs(3), {"n_clusters": [True, 2]}, TypeError, "got True among them"),
        (blobs(3), {"n_clusters": [0, 2]}, ValueError, "at least 1, got 0"),
        (blobs(3), {"n_clusters": []}, ValueError, "n_clusters is empty"),
        (blobs(3), {"n_clusters": range(2, 52)}, ValueError, "at least 204 samples.*X has 200"),
        (blobs(3), {"n_resamplings": 1}, ValueError, "n_resamplings == 1"),
        (blobs(3), {"n_resamplings": 2.0}, TypeError, "n_resamplings"),
        (blobs(3), {"threshold": 0}, ValueError, "threshold == 0"),
        (blobs(3), {"threshold": 1.1}, ValueError, "threshold == 1.1"),
        (blobs(3), {"random_state": "seed"}, ValueError, "seed"),
        (blobs(3), {"image_shape": (8, 8)}, ValueError, "image_shape"),
        (np.zeros(90), {}, ValueError, "Expected 2D array"),
        (np.full((90, 2), np.nan), {}, ValueError, "no column in which two values differ"),
        (np.full((90, 8, 8), np.nan), {}, ValueError, "NaN"),
        (np.full((90, 2), 1j), {}, ValueError, "Complex"),
        (csr_matrix(np.eye(90)), {}, TypeError, "[Ss]parse"),
    ],
)
def test_bad_input(X, arguments, error, message):
    with pytest.raises(error, match=message):
        suggest_n_clusters(X, **arguments)


def test_display():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    found = NClustersSuggestion(
        3, np.array([2, 3, 4]), np.array([0.7, 0.9, 0.5]), np.array([0.1, 0.02, 0.03]), 0.8
    )
    figure, ax = pyplot.subplots()
    display = NClustersDisplay.from_suggestion(found, ax=ax, color="red")
    assert display.ax_ is ax
    assert display.figure_ is figure
    line, _, bars = display.errorbar_
    np.testing.assert_array_equal(line.get_xdata(), found.candidates)
    np.testing.assert_array_equal(line.get_ydata(), found.scores)
    ends = np.array(bars[0].get_segments())[:, :, 1]
    np.testing.assert_allclose(np.diff(ends)[:, 0], 2 * found.standard_errors)
    assert line.get_color() == "red"
    np.testing.assert_allclose(display.threshold_line_.get_ydata(), found.thresholds)
    assert set(display.suggestion_line_.get_xdata()) == {3}
    again = NClustersDisplay(found).plot()
    assert again.ax_ is not ax
    assert again.figure_ is again.ax_.figure
    pyplot.close(figure)
    pyplot.close(again.figure_)
