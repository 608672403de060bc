"""Whether halves of the data have a cluster as well."""

import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import make_blobs
from support import BRIEF, assert_same_fit, images

from skmpcc import MPCCClusterer, VaDEClusterer
from skmpcc.inspection import describe_clusters, renumber_clusters
from skmpcc.training.stability import Resampling, stability

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

CENTRES = [[-9, 0], [9, 0], [0, 12]]
LABELS = st.lists(st.integers(0, 3), min_size=1, max_size=30)


def blobs(n=150, centres=CENTRES):
    return make_blobs(n, centers=centres, random_state=0)[0]


X = blobs()
# A fit whose labels are the pseudo-labels.
LEARNED = {"labels_only": True, "max_iter": 60, "random_state": 0}


def fitted(given=X, kind=MPCCClusterer, n_clusters=3, **parameters):
    parameters = BRIEF | {"pseudo_labels": "kmeans", "n_resamplings": 4, "random_state": 0} | parameters
    return kind(n_clusters, **parameters).fit(given)


# ---- The index


@given(LABELS)
def test_identical_clusters_are_stable(labels):
    labels = np.array(labels)
    rows = np.arange(len(labels))
    found = stability(labels, 4, [Resampling(rows, labels), Resampling(rows, 3 - labels)])
    there = np.isin(np.arange(4), labels)
    np.testing.assert_array_equal(found[there], 1.0)
    assert np.isnan(found[~there]).all()


@given(st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=2, max_size=30), st.permutations(range(4)))
def test_numbers_of_other_clusters_and_the_order_of_rows_play_no_part(rows, order):
    labels, first, second = np.array(rows).T
    halves = [np.arange(0, len(labels), 2), np.arange(1, len(labels))]
    given = [Resampling(half, of[half]) for half, of in zip(halves, (first, second), strict=True)]
    turned = [Resampling(each.rows[::-1], np.array(order)[each.labels[::-1]]) for each in given]
    expected = stability(labels, 4, given)
    np.testing.assert_allclose(stability(labels, 4, turned), expected)
    # Numbers of the clusters themselves move along.
    moved = stability(np.array(order)[labels], 4, given)
    np.testing.assert_allclose(moved[np.array(order)], expected)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=20))
def test_it_is_the_largest_jaccard_index(pairs):
    labels, others = np.array(pairs).T
    found = stability(labels, 3, [Resampling(np.arange(len(labels)), others)])
    for k in range(3):
        own = set(np.flatnonzero(labels == k))
        sets = [set(np.flatnonzero(others == j)) for j in range(4)]
        expected = max(len(own & each) / len(own | each) for each in sets) if own else np.nan
        np.testing.assert_allclose(found[k], expected)


def test_clusters_without_rows_in_some_halves_are_judged_by_the_others():
    labels = np.array([0, 0, 1, 1])
    halves = [Resampling(np.array([0, 1]), np.array([0, 0])), Resampling(np.arange(4), np.zeros(4, int))]
    np.testing.assert_allclose(stability(labels, 3, halves), [0.75, 0.5, np.nan])


# ---- Fits


@pytest.mark.parametrize("kind", [MPCCClusterer, VaDEClusterer])
def test_clusters_that_are_apart_are_stable(kind):
    clusterer = kind(3, n_resamplings=4, **LEARNED).fit(X)
    np.testing.assert_allclose(clusterer.cluster_stability_, 1.0, atol=0.02)


@pytest.mark.full_pseudo_labels
@pytest.mark.parametrize("pseudo_labels", ["search", "kmeans"])
def test_a_cluster_that_halves_cut_elsewhere_is_not(pseudo_labels):
    """Of a round cluster that has to be two; the others are apart."""
    centres = [[0] * 5, [30] * 5, [-30] * 5]
    given = make_blobs([240, 60, 60], centers=centres, random_state=0)[0]
    clusterer = MPCCClusterer(4, pseudo_labels=pseudo_labels, n_resamplings=6, **LEARNED).fit(given)
    of_rest = clusterer.labels_[np.abs(given[:, 0]) > 15]
    apart = np.isin(np.arange(4), of_rest)
    assert apart.sum() == 2
    found = clusterer.cluster_stability_
    assert found[apart].min() > max(0.9, found[~apart].max() + 0.1)


def test_nothing_is_measured_unless_it_is_asked_for():
    assert fitted(n_resamplings=0).cluster_stability_ is None


def test_resamplings_leave_the_fit_as_it_is():
    with_them, without = fitted(), fitted(n_resamplings=0)
    without.cluster_stability_ = with_them.cluster_stability_
    without.n_resamplings = with_them.n_resamplings
    assert_same_fit(with_them, without)
    np.testing.assert_array_equal(fitted().cluster_stability_, with_them.cluster_stability_)


def mixed():
    code = np.arange(90) % 3
    size = np.random.default_rng(0).normal(20.0 * code, 1.0)
    size[::8] = np.nan
    return pd.DataFrame({"size": size, "town": np.array(["Ulm", "Bonn", "Kiel"])[code]})


@pytest.mark.parametrize(
    ("given", "pseudo_labels"),
    [
        (X, "auto"),
        (X, None),
        (X, "spectral"),
        (mixed(), "auto"),
        (mixed(), "kmeans"),
        (images((40, 8, 8)), "auto"),
        (images((40, 8, 8)), "kmeans"),
    ],
)
def test_all_kinds_of_data_and_pseudo_labels(given, pseudo_labels):
    clusterer = fitted(given, pseudo_labels=pseudo_labels, n_resamplings=2)
    found = clusterer.cluster_stability_
    there = np.isin(np.arange(3), clusterer.labels_)
    assert ((found[there] > 0) & (found[there] <= 1)).all()
    assert np.isnan(found[~there]).all()


@pytest.mark.parametrize("n", [3, 4, 7])
def test_few_rows(n):
    """Halves have two rows for each cluster, or all there are."""
    assert fitted(X[:n], n_resamplings=2).cluster_stability_.shape == (3,)


def test_fits_that_go_on_measure_again():
    clusterer = fitted(warm_start=True).fit(X)
    assert clusterer.pseudo_labels_ is None
    assert np.nanmax(clusterer.cluster_stability_) <= 1.0


def test_files_pickles_and_other_numbers(tmp_path):
    clusterer = fitted(n_clusters=5)
    expected = clusterer.cluster_stability_
    clusterer.save(tmp_path / "model")
    for other in (MPCCClusterer.load(tmp_path / "model"), pickle.loads(pickle.dumps(clusterer))):
        np.testing.assert_array_equal(other.cluster_stability_, expected)
    order = np.array([3, 1, 4, 0, 2])
    labels = clusterer.predict(X)
    number = np.argsort(order)
    renumber_clusters(clusterer, number[labels], X)
    there = np.isin(np.arange(5), labels)
    np.testing.assert_array_equal(clusterer.cluster_stability_[number[there]], expected[there])
    described = describe_clusters(clusterer, X)
    np.testing.assert_array_equal(described["stability"], clusterer.cluster_stability_)


@pytest.mark.parametrize("value", [-1, 1.5, "many", None])
def test_other_numbers_of_resamplings_are_errors(value):
    with pytest.raises(ValueError, match="'n_resamplings' parameter of MPCCClusterer"):
        fitted(n_resamplings=value)
