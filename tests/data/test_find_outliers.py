"""Rows that are far from others: which they are, and that they stay the same ones."""

import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import make_blobs, make_moons
from sklearn.metrics import f1_score

from skmpcc.data import outliers as _outliers
from skmpcc.data.outliers import N_NEIGHBORS, Outliers, find_outliers, threshold_of

CENTRES = [[-8, 0], [8, 0], [0, 9], [0, -9]]


def as_rows(X):
    """Scaled as the networks see a table."""
    X = np.asarray(X, dtype=np.float64)
    return torch.from_numpy(X / max(float(X.std()), 1e-12)).float()


def clean(kind, seed=0, n=450):
    if kind == "moons":
        return 8 * make_moons(n, noise=0.05, random_state=seed)[0]
    return make_blobs(n, centers=CENTRES, random_state=seed)[0]


def with_noise(X, n=50, seed=0):
    """X and random places in the box around it, and which these are; some are within a cluster."""
    low, high = X.min(axis=0), X.max(axis=0)
    margin = 0.1 * (high - low)
    noise = np.random.default_rng(seed).uniform(low - margin, high + margin, (n, X.shape[1]))
    return as_rows(np.vstack([X, noise])), np.arange(len(X) + n) >= len(X)


@pytest.mark.parametrize("share", [0.1, "auto"])
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", ["blobs", "moons"])
def test_noise_around_clusters_is_found(kind, seed, share):
    rows, noise = with_noise(clean(kind, seed), seed=seed)
    found = find_outliers(rows, share, seed=0)
    assert f1_score(noise, found) > (0.7 if share == 0.1 else 0.6)
    if share == 0.1:
        assert found.sum() == 50


@pytest.mark.parametrize("n_features", [2, 5, 20])
def test_clusters_without_noise_have_next_to_no_outliers(n_features):
    """By random places, and in many dimensions by quartiles."""
    for seed in range(2):
        X = make_blobs(500, n_features, centers=4, center_box=(-20, 20), random_state=seed)[0]
        assert find_outliers(as_rows(X), "auto", seed=0).mean() <= 0.02


def test_a_shape_that_fills_its_box_has_no_outliers():
    X = np.random.default_rng(0).uniform(size=(500, 2))
    assert not find_outliers(as_rows(X), "auto", seed=0).any()


@pytest.mark.parametrize("share", [15 / 315, "auto"])
def test_wide_rows_are_compared_in_principal_components(share):
    X = make_blobs(300, 400, centers=3, random_state=0)[0]
    X = np.vstack([X, np.random.default_rng(0).uniform(-10, 10, (15, 400))])
    rows = as_rows(X)
    reference = Outliers.among(rows, seed=0)
    assert reference.points.shape == (315, _outliers.N_COMPONENTS)
    np.testing.assert_array_equal(np.flatnonzero(find_outliers(rows, share, seed=0)), range(300, 315))


def test_the_order_of_rows_plays_no_part():
    """Fits sort rows as well, so that principal components and draws of rows are the same ones."""
    rows = as_rows(make_blobs(200, centers=3, random_state=0)[0])
    order = np.random.default_rng(0).permutation(200)
    found = find_outliers(rows, 0.1, seed=0)
    np.testing.assert_array_equal(
        find_outliers(rows[torch.from_numpy(order)], 0.1, seed=0), found[order]
    )


@pytest.mark.parametrize("n_features", [2, 20, 300])
def test_distances_are_the_same_in_any_batches(n_features):
    """Trees, products of matrices, and these of principal components."""
    rows = as_rows(make_blobs(200, n_features, centers=3, random_state=0)[0] + 100.0)
    reference = Outliers.among(rows, seed=0).with_share(rows, 0.1)
    expected, far = reference.distances(rows), reference.are_far(rows)
    assert far.sum() == 20
    for size in (1, 7, 64):
        parts = rows.split(size)
        np.testing.assert_allclose(
            np.concatenate([reference.distances(each) for each in parts]), expected, rtol=1e-4
        )
        np.testing.assert_array_equal(np.concatenate([reference.are_far(each) for each in parts]), far)


def test_a_row_of_the_fit_is_no_neighbour_of_itself():
    """Distances of points among themselves are those that scikit-learn gives without the points."""
    rows = as_rows(clean("blobs", n=60))
    found = Outliers.among(rows, seed=0).distances(rows)
    between = np.sort(np.linalg.norm(rows[:, None] - rows[None], axis=2), axis=1)
    np.testing.assert_allclose(found, between[:, 1 : N_NEIGHBORS + 1].mean(axis=1), rtol=1e-4)
    # One that is not among them has as many neighbours.
    new = torch.full((1, 2), 3.0)
    between = np.sort(np.linalg.norm(rows - new, axis=1))
    distance = Outliers.among(rows, seed=0).distances(new)
    np.testing.assert_allclose(distance, between[:N_NEIGHBORS].mean(), rtol=1e-4)


def test_copies_of_rows_are_not_far_from_each_other():
    """A row that is there as often as it has neighbours is a cluster, once it is an outlier."""
    X = clean("blobs", n=100)
    far = np.full((1, 2), 60.0)
    once = find_outliers(as_rows(np.vstack([X, far])), 0.01, seed=0)
    np.testing.assert_array_equal(np.flatnonzero(once), [100])
    often = find_outliers(as_rows(np.vstack([X, np.repeat(far, N_NEIGHBORS + 1, axis=0)])), 0.05, seed=0)
    assert often.sum() == round(0.05 * len(often))
    assert not often[100:].any()


@pytest.mark.parametrize("n", [2, 3, 6, N_NEIGHBORS])
def test_fewer_rows_than_neighbours(n):
    X = np.random.default_rng(0).normal(size=(n, 2))
    X[-1] += 50.0
    found = find_outliers(as_rows(X), 0.5, seed=0)
    # Both of two are as far from each other.
    assert found.sum() == (round(0.5 * n) if n > 2 else 0)
    assert n == 2 or found[-1]
    assert not find_outliers(as_rows(X), "auto", seed=0)[:-1].any()


@pytest.mark.parametrize("share", [0.1, 0.5, "auto"])
@pytest.mark.parametrize("shape", [(40, 2), (40, 12), (40, 300), (1, 3)])
def test_equal_rows_are_no_outliers(shape, share):
    assert not find_outliers(torch.ones(shape), share, seed=0).any()


def test_large_data_are_represented_by_some_of_their_rows(monkeypatch):
    rows, noise = with_noise(clean("blobs"))
    whole = find_outliers(rows, 0.1, seed=0)
    monkeypatch.setattr(_outliers, "MAX_POINTS", 200)
    reference = Outliers.among(rows, seed=0)
    assert len(reference.points) == 200
    found = find_outliers(rows, 0.1, seed=0)
    assert found.sum() == whole.sum()
    assert f1_score(noise, found) > 0.6
    assert not np.array_equal(found, find_outliers(rows, 0.1, seed=1))


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=40, unique=True), st.floats(0.0, 0.5))
def test_thresholds_are_between_two_rows(distances, share):
    distances = np.array(distances, dtype=np.float64)
    threshold = threshold_of(distances, share)
    assert np.sum(distances > threshold) == round(share * len(distances))
    assert threshold not in distances


def test_no_row_is_beyond_the_threshold_of_no_share():
    assert threshold_of(np.arange(5.0), 0.0) == math.inf


def test_pickles_are_without_the_tree():
    rows = as_rows(clean("blobs"))
    reference = Outliers.among(rows, seed=0).with_share(rows, 0.1)
    reference.are_far(rows)
    content = pickle.dumps(reference)
    assert b"sklearn" not in content
    np.testing.assert_array_equal(pickle.loads(content).are_far(rows), reference.are_far(rows))
