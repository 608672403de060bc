"""Clusters cut from a minimum spanning tree."""

import itertools

import numpy as np
import pytest
import torch
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial.distance import cdist
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import NearestNeighbors
from support import generator

from skmpcc.pseudo_labels.finders.spanning_tree import (
    SpanningTree,
    _Sizes,
    cut_apart,
    find,
    merged_by_size,
)
from skmpcc.pseudo_labels.graph import NeighborGraph
from skmpcc.pseudo_labels.problem import Problem


def tree_of(X, n_neighbors=8, n_core=0):
    distances, nearest = NearestNeighbors(n_neighbors=n_neighbors).fit(X).kneighbors()
    return SpanningTree.from_neighbors(X, nearest, distances, n_core)


def genie(X, n_clusters, threshold):
    """Single linkage by the paper's definition, all pairs of clusters compared at every step."""
    clusters, distances = [[i] for i in range(len(X))], cdist(X, X)
    while len(clusters) > n_clusters:
        sizes = np.array([len(each) for each in clusters])
        gini = np.abs(sizes[:, None] - sizes).sum() / 2 / ((len(sizes) - 1) * sizes.sum())
        pairs = list(itertools.combinations(range(len(clusters)), 2))
        if gini > threshold:
            pairs = [(a, b) for a, b in pairs if sizes.min() in (sizes[a], sizes[b])]
        a, b = min(pairs, key=lambda pair: distances[np.ix_(*(clusters[i] for i in pair))].min())
        clusters[a] += clusters.pop(b)
    labels = np.empty(len(X), dtype=int)
    for k, members in enumerate(clusters):
        labels[members] = k
    return labels


def test_a_tree_is_that_of_all_distances():
    X = make_blobs(120, centers=4, cluster_std=3.0, random_state=0)[0]
    assert tree_of(X).lengths.sum() == pytest.approx(minimum_spanning_tree(cdist(X, X)).sum())


def test_parts_of_a_graph_are_connected_where_they_are_nearest():
    X = np.concatenate([np.arange(10.0), 100 + np.arange(10.0), 103.5 + np.arange(20, 30)])[:, None]
    tree = tree_of(X, 3)
    assert tree.ends[-2:].tolist() in ([[19, 20], [9, 10]], [[20, 19], [10, 9]])
    assert tree.lengths[-2:].tolist() == [14.5, 91.0]
    assert len(tree) == 30


def test_edges_are_as_long_as_both_ends_reach():
    X = np.array([[0.0], [1.0], [2.0], [3.0], [9.0]])
    assert tree_of(X, 4, n_core=2).lengths.tolist() == [1.0, 2.0, 2.0, 7.0]


def test_equal_points_are_in_the_tree():
    X = np.repeat([[0.0, 0.0], [5.0, 5.0]], 6, axis=0)
    tree = tree_of(X, 3)
    assert len(tree) == 12
    assert len(set(merged_by_size(tree, 2, 0.3))) == 2


@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.3, 0.6, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_clusters_are_merged_as_the_paper_says(threshold, seed):
    X = np.random.default_rng(seed).normal(size=(40, 2)) ** 3
    for n_clusters in (1, 2, 5):
        found = merged_by_size(tree_of(X, 39), n_clusters, threshold)
        assert adjusted_rand_score(genie(X, n_clusters, threshold), found) == 1.0
        assert sorted(set(found)) == list(range(n_clusters))


def random_tree(n, random):
    """Any tree, whose edges have any rank."""
    ends = np.column_stack([np.arange(1, n), [random.integers(i) for i in range(1, n)]])
    numbers = random.permutation(n)
    return SpanningTree(numbers[random.permutation(ends)], np.arange(1.0, n))


def genie_of(tree, n_clusters, threshold):
    """Merge sets of points along a tree's edges, all edges looked at for each."""
    clusters = [frozenset([i]) for i in range(len(tree))]
    while len(clusters) > n_clusters:
        sizes = [len(each) for each in clusters]
        differences = sum(abs(a - b) for a, b in itertools.combinations(sizes, 2))
        unequal = differences > threshold * (len(sizes) - 1) * len(tree)
        for ends in tree.ends.tolist():
            one, other = (next(c for c in clusters if end in c) for end in ends)
            if one != other and (not unequal or min(sizes) in (len(one), len(other))):
                break
        clusters = [c for c in clusters if c not in (one, other)] + [one | other]
    return set(clusters)


@pytest.mark.parametrize("seed", range(20))
def test_trees_of_any_shape_are_merged_as_the_paper_says(seed):
    random = np.random.default_rng(seed)
    tree = random_tree(int(random.integers(2, 60)), random)
    for threshold in (0.0, 0.1, 0.3, 0.5, 1.0):
        n_clusters = int(random.integers(1, min(6, len(tree)) + 1))
        labels = merged_by_size(tree, n_clusters, threshold)
        found = {frozenset(np.flatnonzero(labels == k)) for k in range(n_clusters)}
        assert found == genie_of(tree, n_clusters, threshold)


def test_differences_of_sizes_are_those_of_all_pairs():
    random = np.random.default_rng(0)
    sizes, known = [1] * 80, _Sizes(80)
    while len(sizes) > 1:
        one, other = (sizes.pop(random.integers(len(sizes))) for _ in range(2))
        sizes.append(one + other)
        known.merge(min(one, other), max(one, other))
        assert known.differences == sum(abs(a - b) for a, b in itertools.combinations(sizes, 2))
        assert known.different == sorted(set(sizes))


def test_cuts_leave_no_small_cluster_and_no_noise_by_itself():
    X, y = make_blobs([60, 60, 60], centers=[[0, 0], [12, 0], [0, 12]], random_state=0)
    noise = np.random.default_rng(0).uniform(-30, 40, size=(12, 2))
    labels = cut_apart(tree_of(np.concatenate([X, noise]), 8, n_core=5), 3)
    assert adjusted_rand_score(y, labels[:180]) > 0.98
    assert np.bincount(labels).min() >= 50


@pytest.mark.parametrize("n_clusters", [1, 2, 7, 12])
def test_there_are_as_many_clusters_as_are_wanted(n_clusters):
    """Also where no cut leaves enough on both sides."""
    star = np.concatenate([np.zeros((1, 12)), np.eye(12)])
    assert len(set(cut_apart(tree_of(star, 12), n_clusters))) == n_clusters
    X = np.random.default_rng(0).normal(size=(50, 3))
    assert len(set(cut_apart(tree_of(X), n_clusters))) == n_clusters


def spirals(n=104):
    """Three arms of one turn each."""
    turn = np.linspace(0.25, 1.25, n)
    angles = 2.0 * np.pi * (turn + np.arange(3)[:, None] / 3.0)
    X = turn[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    return X.reshape(-1, 2), np.repeat([0, 1, 2], n)


def test_thin_shapes_are_found():
    X, y = spirals()
    data = torch.as_tensor(X, dtype=torch.float32)
    graph = NeighborGraph.from_data(data, 15, 3, generator())
    found = list(find(Problem(data, graph, 3, generator())))
    assert {each.kind for each in found} == {"spanning_tree"}
    scores = [adjusted_rand_score(y, each.labels) for each in found]
    assert scores[:3] == [1.0] * 3
    # The end of an arm may be a leaf that hangs on another one.
    assert scores[3] > 0.98
