import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.stats import entropy
from sklearn.decomposition import PCA
from sklearn.metrics import mutual_info_score
from support import generator, normal

from skmpcc.pseudo_labels import graph as neighbors
from skmpcc.pseudo_labels.graph import NeighborGraph, neighbor_information


def test_nearest_neighbors_of_all_samples():
    data = normal(30, 2, 3)
    graph = NeighborGraph.from_data(data, 4, 3, generator())
    distances = cdist(data.flatten(1), data.flatten(1))
    np.fill_diagonal(distances, np.inf)
    expected = np.argsort(distances, axis=1)[:, :4]
    np.testing.assert_array_equal(graph.rows, np.arange(30))
    np.testing.assert_array_equal(np.sort(graph.nearest), np.sort(expected))


@pytest.mark.parametrize(
    ("n_samples", "n_clusters", "expected"), [(100, 2, 20), (100, 10, 5), (3, 3, 1), (2, 1, 1)]
)
def test_small_clusters_have_fewer_neighbors(n_samples, n_clusters, expected):
    graph = NeighborGraph.from_data(normal(n_samples, 2), 20, n_clusters, generator())
    assert graph.nearest.shape == (n_samples, expected)


def test_clusters_of_less_than_two_samples_have_no_other_neighbor():
    graph = NeighborGraph.from_data(normal(7, 2), 15, 4, generator())
    np.testing.assert_array_equal(graph.nearest, np.arange(7)[:, None])


def test_copies_leave_place_for_other_neighbors():
    """Each row's neighbours are the next of its copies, and one copy each of the nearest others."""
    distinct, counts = normal(12, 2), torch.tensor([1, 2, 7] * 4)
    group = torch.arange(12).repeat_interleave(counts)[torch.randperm(40, generator=generator())]
    graph = NeighborGraph.from_data(distinct[group], 5, 2, generator())
    distances = cdist(distinct, distinct)
    nearest = np.argsort(distances, axis=1)
    followers = torch.full((40,), -1)
    for row, (own, found) in enumerate(zip(group, graph.nearest, strict=True)):
        copied = int(counts[own] > 1)
        assert row not in found
        expected = nearest[own, 1 - copied : 6 - copied]
        np.testing.assert_array_equal(group[found], expected)
        np.testing.assert_allclose(graph.distances[row], distances[own, expected], rtol=1e-5)
        if copied:
            followers[found[0]] = row
    # A ring of all copies.
    assert int((followers >= 0).sum()) == int((counts[group] > 1).sum())


def test_rows_that_are_all_alike_are_neighbors_in_a_ring():
    graph = NeighborGraph.from_data(torch.ones(9, 2), 4, 2, generator())
    assert graph.nearest.shape == (9, 1)
    assert len(graph.nearest.unique()) == 9
    assert (graph.nearest.flatten() != torch.arange(9)).all()


def test_neighbors_in_wide_data_are_those_of_principal_components(monkeypatch):
    monkeypatch.setattr(neighbors, "MAX_VALUES", 8)
    monkeypatch.setattr(neighbors, "N_COMPONENTS", 2)
    monkeypatch.setattr("skmpcc.data.scaling.CHUNK", 64)
    X = np.random.default_rng(0).normal(size=(150, 12)) * ([5.0, 3.0] + [0.1] * 10)
    data = torch.as_tensor(X, dtype=torch.float32).view(150, 1, 3, 4)
    graph = NeighborGraph.from_data(data, 4, 3, generator())
    expected = PCA(2).fit_transform(X)
    np.testing.assert_allclose(np.abs(graph.points(data)), np.abs(expected), atol=1e-2)
    distances = cdist(expected, expected)
    np.fill_diagonal(distances, np.inf)
    assert (graph.nearest.numpy() == np.argsort(distances, axis=1)[:, :4]).mean() > 0.95
    np.testing.assert_array_equal(graph.coordinates(data[:5]), graph.points(data)[:5])
    narrow = data[:, :, :2]
    assert NeighborGraph.from_data(narrow, 4, 3, generator()).points(narrow).shape == (150, 8)


def test_many_samples_are_represented_by_some(monkeypatch):
    monkeypatch.setattr(neighbors, "MAX_ROWS", 40)
    data = normal(100, 2)
    graph = NeighborGraph.from_data(data, 3, 2, generator())
    assert graph.rows.shape == (40,)
    assert len(graph.rows.unique()) == 40
    few = data[graph.rows]
    distances = torch.cdist(few, few).fill_diagonal_(torch.inf)
    np.testing.assert_array_equal(graph.nearest, distances.argsort(1)[:, :3])
    first, second = graph.draw(500, generator())
    assert set(first.tolist()) | set(second.tolist()) <= set(graph.rows.tolist())


def test_some_rows_come_first(monkeypatch):
    monkeypatch.setattr(neighbors, "MAX_ROWS", 40)
    first = torch.arange(100) % 4 == 0
    rows = neighbors.some_rows(100, generator(), first)
    assert int(first[rows].sum()) == 25
    assert len(rows.unique()) == 40
    many = torch.arange(100) >= 30
    assert bool(many[neighbors.some_rows(100, generator(), many)].all())
    assert not torch.equal(rows, neighbors.some_rows(100, generator(1), first))


def test_drawn_neighbors_are_neighbors():
    graph = NeighborGraph.from_data(normal(20, 2), 3, 2, generator())
    pairs = {(i, int(j)) for i in range(20) for j in graph.nearest[i]}
    first, second = graph.draw(2000, generator())
    assert set(zip(first.tolist(), second.tolist(), strict=True)) == pairs


def test_information_is_that_of_neighbors_labels():
    """Against scikit-learn's mutual information over all pairs: H(k' | k) = H(k') - I(k, k')."""
    data = normal(80, 2)
    graph = NeighborGraph.from_data(data, 5, 3, generator())
    labels = torch.randint(3, (80,), generator=generator(1))
    own, other = labels.repeat_interleave(5), labels[graph.nearest].flatten()
    found = neighbor_information(labels, graph)
    np.testing.assert_allclose(found.entropy, entropy(np.bincount(labels)))
    expected = mutual_info_score(own, other) - entropy(np.bincount(other))
    np.testing.assert_allclose(found.agreement, expected)
