import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, make_blobs, make_circles
from sklearn.metrics import adjusted_rand_score
from support import bars, generator, normal, stripes

from skmpcc.pseudo_labels import graph as neighbors
from skmpcc.pseudo_labels import problem, search
from skmpcc.pseudo_labels.finders import tables
from skmpcc.pseudo_labels.finders.images import augmentation_labels
from skmpcc.pseudo_labels.finders.kmeans import kmeans_labels
from skmpcc.pseudo_labels.graph import NeighborGraph
from skmpcc.pseudo_labels.problem import Candidate, Problem
from skmpcc.pseudo_labels.quality import ClusterQuality
from skmpcc.pseudo_labels.search import best_by_quality_and_agreement, best_candidate, find_pseudo_labels


@pytest.fixture
def shorter(brief_pseudo_labels, monkeypatch):
    """Fewer restarts and updates than users have, as many as these easy data need."""
    monkeypatch.setattr(tables, "MAX_ITER", 200)
    monkeypatch.setattr(tables, "MAX_RESTARTS", 8)


def searched(data, n_clusters, n_neighbors=10, seed=0, kind="search"):
    graph = NeighborGraph.from_data(data, n_neighbors, n_clusters, generator())
    return find_pseudo_labels(kind, data, graph, n_clusters, generator(seed))


UNEQUAL = make_blobs([400, 40, 60], centers=[[0, 0], [9, 0], [0, 9]], random_state=0)


@pytest.mark.usefixtures("shorter")
def test_clusters_may_have_any_shape():
    """Others than the cells around centres of KMeans."""
    data, y = stripes()
    labels = searched(data, 2)
    assert labels.dtype is torch.int64
    assert adjusted_rand_score(y, labels) > 0.95
    assert adjusted_rand_score(y, kmeans_labels(data, 2, 0)) < 0.6


@pytest.mark.usefixtures("shorter")
@pytest.mark.parametrize("kind", ["search", "spectral", "gaussian_mixture"])
def test_clusters_may_be_unequal(kind):
    X, y = UNEQUAL
    labels = searched(torch.as_tensor(X, dtype=torch.float32), 3, kind=kind)
    assert adjusted_rand_score(y, labels) > 0.95


def test_search_is_reproducible_and_leaves_the_global_state():
    data, _ = stripes(60)
    state = torch.get_rng_state()
    first, second = (searched(data, 2, 5, seed=1) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.usefixtures("shorter")
@pytest.mark.parametrize("kind", ["search", "neighbors", "spectral"])
def test_clusters_found_on_some_label_all(kind, monkeypatch):
    monkeypatch.setattr(neighbors, "MAX_ROWS", 150)
    monkeypatch.setattr(problem, "MAX_VOTERS", 100)
    monkeypatch.setattr(tables, "CHUNK", 64)
    X, y = make_blobs(400, centers=[[0, 0], [9, 0], [0, 9]], random_state=0)
    data = torch.as_tensor(X, dtype=torch.float32)
    assert len(NeighborGraph.from_data(data, 10, 3, generator()).rows) == 150
    assert adjusted_rand_score(y, searched(data, 3, kind=kind)) > 0.95


@pytest.mark.parametrize("kind", ["search", "neighbors", "spectral", "gaussian_mixture", "kmeans"])
@pytest.mark.parametrize("data", [torch.zeros(8, 3), normal(2, 1), normal(4, 1), normal(5, 4)])
def test_degenerate_data_get_labels_all_the_same(data, kind):
    labels = searched(data, 2, 20, kind=kind)
    assert labels.shape == (len(data),)
    assert set(labels.tolist()) <= {0, 1}


def test_one_cluster_holds_all():
    assert searched(normal(9, 2), 1).tolist() == [0] * 9


@pytest.mark.usefixtures("shorter")
def test_search_takes_the_candidate_of_the_highest_quality(monkeypatch):
    data, _ = stripes(120)
    graph = NeighborGraph.from_data(data, 8, 2, generator())

    def quality(self, labels, loss_factor=1.0):
        return float(loss_factor == search.CLASSIFIER_LOSS_FACTOR)

    monkeypatch.setattr(ClusterQuality, "is_unambiguous", lambda self, labels: False)
    monkeypatch.setattr(ClusterQuality, "quality", quality)
    assert best_candidate("search", Problem(data, graph, 2, generator())).kind == "neighbors"
    monkeypatch.setattr(
        ClusterQuality, "quality", lambda self, labels, loss_factor=1.0: -abs(loss_factor)
    )
    assert best_candidate("search", Problem(data, graph, 2, generator())).kind == "neighbors"
    monkeypatch.setattr(search, "AGREEMENT_WEIGHT", 0.0)
    monkeypatch.setattr(ClusterQuality, "quality", lambda self, labels, loss_factor=1.0: loss_factor)
    assert best_candidate("search", Problem(data, graph, 2, generator())).kind == "kmeans"


def test_of_candidates_as_good_the_one_wins_that_others_agree_with(monkeypatch):
    one, other = np.repeat([0, 1], 10), np.tile([0, 1], 10)
    candidates = [
        Candidate(kind, labels, None) for kind, labels in zip("abc", (other, one, 1 - one), strict=True)
    ]
    qualities = {"a": 1.0, "b": 1.0, "c": 0.9}

    class Given:
        def quality(self, labels, loss_factor):
            return next(qualities[each.kind] for each in candidates if each.labels is labels)

    assert best_by_quality_and_agreement(candidates, Given()).kind == "b"
    qualities["a"] += 1.0
    assert best_by_quality_and_agreement(candidates, Given()).kind == "a"


def test_each_pair_of_candidates_is_compared_once(monkeypatch):
    compared = []
    monkeypatch.setattr(search, "adjusted_rand_score", lambda a, b: compared.append((a[0], b[0])) or 0.5)
    candidates = [Candidate("kmeans", np.array([k, 1]), None) for k in range(9)]

    class Alike:
        def quality(self, labels, loss_factor):
            return float(labels[0] == 4)

    assert best_by_quality_and_agreement(candidates, Alike()).labels[0] == 4
    assert len(compared) == len(set(map(frozenset, compared))) == 36


def test_classifiers_need_not_run_where_neighbors_agree_on_other_clusters(monkeypatch):
    monkeypatch.setitem(search.FINDERS, "neighbors", None)
    X, y = make_circles(400, noise=0.03, factor=0.5, random_state=0)
    data = torch.as_tensor(X, dtype=torch.float32)
    assert adjusted_rand_score(y, searched(data, 2)) == 1.0
    monkeypatch.setattr(ClusterQuality, "is_unambiguous", lambda self, labels: False)
    with pytest.raises(TypeError):
        searched(data, 2)


def test_many_clusters_are_those_of_kmeans(monkeypatch):
    monkeypatch.setattr(search, "MAX_CLUSTERS", 2)
    monkeypatch.setitem(search.FINDERS, "neighbors", None)
    data = normal(150, 2)
    assert searched(data, 3, seed=7).tolist() == kmeans_labels(data, 3, 7).tolist()


@pytest.mark.slow
@pytest.mark.full_pseudo_labels
def test_pseudo_labels_as_long_as_users_have_them():
    X, y = load_digits(return_X_y=True)
    rows = torch.as_tensor(X / 8.0 - 1.0, dtype=torch.float32)
    assert adjusted_rand_score(y, searched(rows, 10, 15)) > 0.85
    data, y = stripes()
    assert adjusted_rand_score(y, searched(data, 2)) > 0.95
    X, y = UNEQUAL
    assert adjusted_rand_score(y, searched(torch.as_tensor(X, dtype=torch.float32), 3)) > 0.95


def test_many_clusters_of_images_are_those_of_kmeans(monkeypatch):
    monkeypatch.setattr(search, "MAX_CLUSTERS", 3)
    monkeypatch.setitem(search.FINDERS, "augmentation", None)
    data, _ = bars()
    labels = find_pseudo_labels("augmentation", data, None, 4, generator())
    assert labels.tolist() == kmeans_labels(data, 4, generator().initial_seed()).tolist()


def test_each_kind_is_found():
    images, _ = bars(40)
    graph = NeighborGraph.from_data(images, 5, 2, generator())
    for kind in ("kmeans", "gaussian_mixture", "spectral", "neighbors"):
        best = best_candidate(kind, Problem(images, graph, 2, generator(7)))
        labels = find_pseudo_labels(kind, images, graph, 2, generator(7))
        assert best.kind == kind
        assert labels.tolist() == best.of_all().tolist()
    augmented = find_pseudo_labels("augmentation", images, graph, 2, generator(7))
    assert torch.equal(augmented, augmentation_labels(images, 2, generator(7)))


def test_every_sample_is_a_cluster_where_there_are_as_many():
    assert sorted(searched(normal(6, 4), 6, 15).tolist()) == list(range(6))
