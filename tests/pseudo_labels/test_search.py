import pytest
import torch
from sklearn.datasets import load_digits, make_blobs, make_circles
from sklearn.metrics import adjusted_rand_score
from support import bars, generator, normal, stripes

from skmpcc.pseudo_labels import neighbors, search, tables
from skmpcc.pseudo_labels.images import augmentation_labels
from skmpcc.pseudo_labels.neighbors import NeighborGraph, neighbor_information
from skmpcc.pseudo_labels.search import (
    find_pseudo_labels,
    kmeans_labels,
    neighbor_labels,
    spectral_labels,
)


@pytest.fixture
def shorter(brief_pseudo_labels, monkeypatch):
    """Fewer restarts and updates than users have, as many as these easy data need."""
    monkeypatch.setattr(tables, "MAX_ITER", 200)
    monkeypatch.setattr(tables, "MAX_RESTARTS", 8)


@pytest.mark.usefixtures("shorter")
def test_clusters_of_neighbors_may_have_any_shape():
    """Others than the cells around centres of KMeans."""
    data, y = stripes()
    graph = NeighborGraph.of(data, 10, 2, generator())
    labels = neighbor_labels(data, graph, 2, generator())
    assert labels.dtype is torch.int64
    assert adjusted_rand_score(y, labels) > 0.95
    assert adjusted_rand_score(y, kmeans_labels(data, 2, 0)) < 0.6


@pytest.mark.usefixtures("shorter")
def test_clusters_of_neighbors_may_be_unequal():
    X, y = make_blobs([400, 40, 60], centers=[[0, 0], [9, 0], [0, 9]], random_state=0)
    data = torch.as_tensor(X, dtype=torch.float32)
    graph = NeighborGraph.of(data, 10, 3, generator())
    assert adjusted_rand_score(y, neighbor_labels(data, graph, 3, generator())) > 0.95


def test_clusters_of_neighbors_are_reproducible_and_leave_the_global_state():
    data, _ = stripes(60)
    graph = NeighborGraph.of(data, 5, 2, generator())
    state = torch.get_rng_state()
    first, second = (neighbor_labels(data, graph, 2, generator(1)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.usefixtures("shorter")
def test_clusters_of_neighbors_found_on_some_label_all(monkeypatch):
    monkeypatch.setattr(neighbors, "MAX_ROWS", 150)
    monkeypatch.setattr(tables, "CHUNK", 64)
    monkeypatch.setattr(search, "SURE", -1.0)
    X, y = make_blobs(400, centers=[[0, 0], [9, 0], [0, 9]], random_state=0)
    data = torch.as_tensor(X, dtype=torch.float32)
    graph = NeighborGraph.of(data, 10, 3, generator())
    assert len(graph.rows) == 150
    assert adjusted_rand_score(y, neighbor_labels(data, graph, 3, generator())) > 0.95


@pytest.mark.parametrize("data", [torch.zeros(8, 3), normal(2, 1), normal(4, 1), normal(5, 4)])
def test_degenerate_data_get_labels_all_the_same(data):
    graph = NeighborGraph.of(data, 20, 2, generator())
    labels = neighbor_labels(data, graph, 2, generator())
    assert labels.shape == (len(data),)
    assert set(labels.tolist()) <= {0, 1}


def test_kmeans_is_taken_where_neighbors_agree_on_its_clusters(monkeypatch):
    """Halves of the large cluster and the small ones as one have more mutual information."""
    X, y = make_blobs([400, 40, 60], centers=[[0, 0], [9, 0], [0, 9]], random_state=0)
    data, truth = torch.as_tensor(X, dtype=torch.float32), torch.as_tensor(y)
    graph = NeighborGraph.of(data, 10, 3, generator())
    halves = torch.where(truth > 0, 2, (data[:, 0] > 0).long())
    assert sum(neighbor_information(halves, graph)) > sum(neighbor_information(truth, graph))
    monkeypatch.setattr(search, "classifier_labels", lambda *args: halves)
    assert adjusted_rand_score(y, neighbor_labels(data, graph, 3, generator())) == 1.0


def test_kmeans_of_mini_batches(monkeypatch):
    monkeypatch.setattr(search, "MANY_SAMPLES", 100)
    monkeypatch.setattr(search, "KMeans", None)
    X, y = make_blobs(200, 4, centers=3, random_state=0)
    data = torch.as_tensor(X, dtype=torch.float32)
    assert adjusted_rand_score(y, kmeans_labels(data, 3, 0)) > 0.95
    # Many clusters are found in all samples at once, or each batch would show too few of them.
    monkeypatch.setattr(search, "MAX_CLUSTERS", 2)
    with pytest.raises(TypeError):
        kmeans_labels(data, 3, 0)


def test_spectral_clusters_are_taken_where_neighbors_agree_on_them_alone(monkeypatch):
    X, y = make_circles(400, noise=0.03, factor=0.5, random_state=0)
    data = torch.as_tensor(X, dtype=torch.float32)
    graph = NeighborGraph.of(data, 10, 2, generator())
    assert adjusted_rand_score(y, spectral_labels(graph, 2, 0)) == 1.0
    assert adjusted_rand_score(y, kmeans_labels(data, 2, 0)) < 0.1
    monkeypatch.setattr(search, "classifier_labels", lambda *args: kmeans_labels(data, 2, 0))
    assert adjusted_rand_score(y, neighbor_labels(data, graph, 2, generator())) == 1.0


def test_classifiers_need_not_run_where_neighbors_agree_on_cheap_clusters(monkeypatch):
    monkeypatch.setattr(search, "classifier_labels", None)
    X, y = make_circles(400, noise=0.03, factor=0.5, random_state=0)
    data = torch.as_tensor(X, dtype=torch.float32)
    graph = NeighborGraph.of(data, 10, 2, generator())
    assert adjusted_rand_score(y, neighbor_labels(data, graph, 2, generator())) == 1.0
    monkeypatch.setattr(search, "SURE", -1.0)
    with pytest.raises(TypeError):
        neighbor_labels(data, graph, 2, generator())


@pytest.mark.parametrize("solver", ["arpack", "lobpcg"])
def test_both_solvers_find_the_same_spectral_clusters(solver):
    X, y = make_blobs(200, 12, centers=3, random_state=0)
    graph = NeighborGraph.of(torch.as_tensor(X, dtype=torch.float32), 10, 3, generator())
    assert adjusted_rand_score(y, spectral_labels(graph, 3, 0, solver)) == 1.0


def test_classifiers_are_kept_where_others_agree_hardly_better(monkeypatch):
    X, _ = make_blobs(300, centers=3, cluster_std=3.0, random_state=0)
    data = torch.as_tensor(X, dtype=torch.float32)
    graph = NeighborGraph.of(data, 10, 3, generator())
    kept = kmeans_labels(data, 3, 1)
    kept[:3] = (kept[:3] + 1) % 3  # a little worse than KMeans's
    monkeypatch.setattr(search, "classifier_labels", lambda *args: kept)
    monkeypatch.setattr(search, "MARGIN", 0.5)
    assert torch.equal(neighbor_labels(data, graph, 3, generator()), kept)


def test_many_clusters_start_by_kmeans(monkeypatch):
    monkeypatch.setattr(search, "MAX_CLUSTERS", 2)
    monkeypatch.setattr(search, "classifier_labels", None)
    data = normal(150, 2)
    graph = NeighborGraph.of(data, 10, 3, generator())
    assert torch.equal(neighbor_labels(data, graph, 3, generator(7)), kmeans_labels(data, 3, 7))


@pytest.mark.slow
@pytest.mark.full_pseudo_labels
def test_pseudo_labels_as_long_as_users_have_them():
    X, y = load_digits(return_X_y=True)
    rows = torch.as_tensor(X / 8.0 - 1.0, dtype=torch.float32)
    graph = NeighborGraph.of(rows, 15, 10, generator())
    assert adjusted_rand_score(y, neighbor_labels(rows, graph, 10, generator())) > 0.85
    X, y = stripes()
    graph = NeighborGraph.of(X, 10, 2, generator())
    assert adjusted_rand_score(y, neighbor_labels(X, graph, 2, generator())) > 0.95
    X, y = make_blobs([400, 40, 60], centers=[[0, 0], [9, 0], [0, 9]], random_state=0)
    unequal = torch.as_tensor(X, dtype=torch.float32)
    graph = NeighborGraph.of(unequal, 10, 3, generator())
    assert adjusted_rand_score(y, neighbor_labels(unequal, graph, 3, generator())) > 0.95


def test_many_clusters_of_images_are_those_of_kmeans(monkeypatch):
    monkeypatch.setattr(search, "MAX_CLUSTERS", 3)
    monkeypatch.setattr(search, "augmentation_labels", None)
    data, _ = bars()
    labels = find_pseudo_labels("augmentation", data, None, 4, generator())
    assert torch.equal(labels, kmeans_labels(data, 4, generator().initial_seed()))


def test_each_kind_is_found():
    images, _ = bars(40)
    graph = NeighborGraph.of(images, 5, 2, generator())
    expected = {
        "neighbors": neighbor_labels(images, graph, 2, generator(7)),
        "augmentation": augmentation_labels(images, 2, generator(7)),
        "kmeans": kmeans_labels(images, 2, 7),
    }
    for kind, labels in expected.items():
        assert torch.equal(find_pseudo_labels(kind, images, graph, 2, generator(7)), labels)
        assert labels.shape == (40,)
    assert not torch.equal(expected["neighbors"], expected["augmentation"])


def test_every_sample_is_a_cluster_where_there_are_as_many():
    data = normal(6, 4)
    graph = NeighborGraph.of(data, 15, 6, generator())
    assert sorted(neighbor_labels(data, graph, 6, generator()).tolist()) == list(range(6))
