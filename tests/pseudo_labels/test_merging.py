"""Merging of clusters along a graph of neighbours."""

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import NearestNeighbors

from skmpcc.pseudo_labels.finders.merging import merge_clusters


def neighbors_of(X, n_neighbors=8):
    return NearestNeighbors(n_neighbors=n_neighbors).fit(X).kneighbors(return_distance=False)


@pytest.fixture
def many():
    rng = np.random.default_rng(0)
    return rng.integers(7, size=200), rng.integers(200, size=(200, 5))


def edges_between(labels, nearest):
    edges = np.zeros((labels.max() + 1,) * 2)
    np.add.at(edges, (np.repeat(labels, nearest.shape[1]), labels[nearest].ravel()), 1.0)
    return (edges + edges.T) / (2.0 * edges.sum())


def association(labels, nearest, pair):
    edges = edges_between(labels, nearest)
    sizes = edges.sum(axis=1)
    return edges[pair] / np.sqrt(sizes[pair[0]] * sizes[pair[1]])


def test_the_best_pair_is_merged(many):
    labels, nearest = many
    merged = merge_clusters(labels, nearest, 6)
    pairs = [(a, b) for a in range(7) for b in range(a)]
    best = max(pairs, key=lambda pair: association(labels, nearest, pair))
    together = np.where(labels == best[0], best[1], labels)
    assert adjusted_rand_score(together, merged) == 1.0


def test_clusters_are_put_together():
    X, y = make_blobs([200, 100, 20], n_features=2, cluster_std=0.5, random_state=1)
    finer = KMeans(6, random_state=0).fit_predict(X)
    assert adjusted_rand_score(y, merge_clusters(finer, neighbors_of(X), 3)) > 0.99


def test_labels_are_counted_from_zero(many):
    labels, nearest = many
    assert np.array_equal(np.unique(merge_clusters(10 * labels, nearest, 3)), range(3))


def test_as_few_clusters_stay(many):
    labels, nearest = many
    assert np.array_equal(merge_clusters(labels, nearest, 9), labels)


def test_equal_samples():
    """All edges are inside one cluster of two: an entropy of 0."""
    labels, nearest = np.array([0, 0, 0, 1]), np.array([[1], [2], [0], [3]])
    assert len(set(merge_clusters(labels, nearest, 1))) == 1
