import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs, make_circles
from sklearn.metrics import adjusted_rand_score
from support import generator, normal

from skmpcc.pseudo_labels import graph as neighbors
from skmpcc.pseudo_labels import problem
from skmpcc.pseudo_labels.finders import kmeans, mixture, spectral
from skmpcc.pseudo_labels.finders.kmeans import kmeans_labels
from skmpcc.pseudo_labels.graph import NeighborGraph
from skmpcc.pseudo_labels.problem import Problem, gaussian_points


def blobs(n, n_features=2, **kwargs):
    X, y = make_blobs(n, n_features, random_state=0, **kwargs)
    return torch.as_tensor(X, dtype=torch.float32), y


def test_kmeans_of_mini_batches(monkeypatch):
    monkeypatch.setattr(kmeans, "MANY_SAMPLES", 100)
    monkeypatch.setattr(kmeans, "KMeans", None)
    data, y = blobs(200, 4, centers=3)
    assert adjusted_rand_score(y, kmeans_labels(data, 3, 0)) > 0.95


def test_many_clusters_are_found_in_all_samples_at_once(monkeypatch):
    """Mini-batches would show too few of each."""
    monkeypatch.setattr(kmeans, "MANY_SAMPLES", 100)
    monkeypatch.setattr(kmeans, "MAX_CLUSTERS", 2)
    monkeypatch.setattr(kmeans, "MiniBatchKMeans", None)
    data, y = blobs(200, 4, centers=3)
    assert adjusted_rand_score(y, kmeans_labels(data, 3, 0)) > 0.95


def test_each_of_many_clusters_is_found(monkeypatch):
    """From one start of KMeans some are found twice, and others not at all."""
    data, y = blobs(1200, 6, centers=60)
    monkeypatch.setattr(kmeans, "MAX_CLUSTERS", 10)
    assert adjusted_rand_score(y, kmeans_labels(data, 60, 0)) > 0.99
    once = KMeans(60, n_init=1, random_state=0).fit_predict(data.numpy())
    assert adjusted_rand_score(y, once) < 0.96


def test_as_many_clusters_as_samples(monkeypatch):
    monkeypatch.setattr(kmeans, "MAX_CLUSTERS", 2)
    assert sorted(kmeans_labels(normal(9, 2), 9, 0).tolist()) == list(range(9))


def found(finder, data, graph, n_clusters):
    return list(finder.find(Problem(data, graph, n_clusters, generator())))


FINDERS = [kmeans, mixture, spectral]


@pytest.mark.parametrize("finder", FINDERS)
def test_candidates_label_the_graphs_rows_and_all_samples(finder, monkeypatch):
    monkeypatch.setattr(neighbors, "MAX_ROWS", 120)
    data, y = blobs(400, centers=[[0, 0], [30, 0], [0, 30]])
    graph = NeighborGraph.from_data(data, 10, 3, generator())
    for candidate in found(finder, data, graph, 3):
        everyone = candidate.of_all()
        assert everyone.shape == (400,)
        assert candidate.labels.shape == (120,)
        np.testing.assert_array_equal(everyone[graph.rows], candidate.labels)
        assert candidate.labels.dtype == np.int64
    assert adjusted_rand_score(y, found(finder, data, graph, 3)[0].of_all()) == 1.0


@pytest.mark.parametrize("finder", FINDERS)
def test_candidates_are_reproducible_and_leave_the_global_state(finder):
    data = normal(80, 3)
    graph = NeighborGraph.from_data(data, 8, 3, generator())
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = (found(finder, data, graph, 3) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


# Which the search silences, around all finders.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("finder", FINDERS)
@pytest.mark.parametrize("data", [torch.zeros(8, 3), normal(4, 1), normal(5, 4)])
def test_degenerate_data_have_candidates(finder, data):
    graph = NeighborGraph.from_data(data, 20, 2, generator())
    for candidate in found(finder, data, graph, 2):
        assert set(candidate.of_all().tolist()) <= {0, 1}


def test_gaussians_of_unlike_spreads():
    random = np.random.default_rng(0)
    X = np.concatenate([random.normal(size=(300, 2)) * 6, [1, 0] + random.normal(size=(300, 2)) * 0.3])
    y, data = np.repeat([0, 1], 300), torch.as_tensor(X, dtype=torch.float32)
    graph = NeighborGraph.from_data(data, 10, 2, generator())
    assert adjusted_rand_score(y, found(mixture, data, graph, 2)[0].labels) > 0.9
    assert adjusted_rand_score(y, found(kmeans, data, graph, 2)[0].labels) < 0.5


def test_gaussians_of_wide_rows_are_those_of_principal_components():
    points, reduce = gaussian_points(normal(100, 70).numpy(), 0)
    assert points.shape == (100, problem.N_GAUSSIAN_FEATURES)
    np.testing.assert_allclose(reduce(normal(100, 70).numpy()), points, atol=1e-3)
    narrow = normal(100, 7).numpy()
    assert gaussian_points(narrow, 0)[0] is narrow


def test_spectral_clusters_may_have_any_shape():
    X, y = make_circles(400, noise=0.03, factor=0.5, random_state=0)
    data = torch.as_tensor(X, dtype=torch.float32)
    graph = NeighborGraph.from_data(data, 15, 2, generator())
    made = found(spectral, data, graph, 2)
    # Five maps of two graphs, and the merged clusters of one.
    assert len(made) == 6
    assert max(adjusted_rand_score(y, each.labels) for each in made) == 1.0


def test_merged_clusters_find_those_of_unequal_sizes():
    X, y = make_blobs([300, 300, 20, 20], centers=[[0, 0], [30, 0], [12, 0], [18, 0]], random_state=0)
    data = torch.as_tensor(X, dtype=torch.float32)
    graph = NeighborGraph.from_data(data, 8, 4, generator())
    made = found(spectral, data, graph, 4)
    assert any(adjusted_rand_score(y, each.labels) == 1.0 for each in made)


def test_many_clusters_have_fewer_spectral_candidates(monkeypatch):
    monkeypatch.setattr(spectral, "FEW_CLUSTERS", 2)
    data, _ = blobs(90, centers=3)
    graph = NeighborGraph.from_data(data, 15, 3, generator())
    assert len(found(spectral, data, graph, 3)) == 2
