import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, make_blobs
from sklearn.metrics import adjusted_rand_score
from support import bars, generator, normal, stripes

from skmpcc.pseudo_labels import graph as neighbors
from skmpcc.pseudo_labels import problem, search
from skmpcc.pseudo_labels.finders.images import augmentation_labels
from skmpcc.pseudo_labels.finders.kmeans import kmeans_labels
from skmpcc.pseudo_labels.graph import NeighborGraph
from skmpcc.pseudo_labels.problem import Candidate, Problem
from skmpcc.pseudo_labels.quality import ClusterQuality
from skmpcc.pseudo_labels.search import best_candidate, choose, find_pseudo_labels


def searched(data, n_clusters, n_neighbors=10, seed=0, kind="search"):
    graph = NeighborGraph.from_data(data, n_neighbors, n_clusters, generator())
    return find_pseudo_labels(kind, data, graph, n_clusters, generator(seed)).labels


UNEQUAL = make_blobs([400, 40, 60], centers=[[0, 0], [9, 0], [0, 9]], random_state=0)


def test_clusters_may_have_any_shape():
    """Others than the cells around centres of KMeans."""
    data, y = stripes()
    labels = searched(data, 2)
    assert labels.dtype is torch.int64
    assert adjusted_rand_score(y, labels) > 0.95
    assert adjusted_rand_score(y, kmeans_labels(data, 2, 0)) < 0.6


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


@pytest.mark.parametrize("kind", ["search", "spanning_tree", "spectral"])
def test_clusters_found_on_some_label_all(kind, monkeypatch):
    monkeypatch.setattr(neighbors, "MAX_ROWS", 150)
    monkeypatch.setattr(problem, "MAX_VOTERS", 100)
    X, y = make_blobs(400, centers=[[0, 0], [9, 0], [0, 9]], random_state=0)
    data = torch.as_tensor(X, dtype=torch.float32)
    assert len(NeighborGraph.from_data(data, 10, 3, generator()).rows) == 150
    assert adjusted_rand_score(y, searched(data, 3, kind=kind)) > 0.95


@pytest.mark.parametrize("kind", ["search", "spanning_tree", "spectral", "gaussian_mixture", "kmeans"])
@pytest.mark.parametrize("data", [torch.zeros(8, 3), normal(2, 1), normal(4, 1), normal(5, 4)])
def test_degenerate_data_get_labels_all_the_same(data, kind):
    labels = searched(data, 2, 20, kind=kind)
    assert labels.shape == (len(data),)
    assert set(labels.tolist()) <= {0, 1}


def test_one_cluster_holds_all():
    assert searched(normal(9, 2), 1).tolist() == [0] * 9


@pytest.fixture
def judged(monkeypatch):
    """Choose among candidates by qualities that a test gives."""

    def judge(candidates, qualities, sure=None):
        def quality(self, labels, lost_factor):
            return qualities[next(i for i, each in enumerate(candidates) if each.labels is labels)]

        monkeypatch.setattr(ClusterQuality, "quality", quality)
        monkeypatch.setattr(ClusterQuality, "is_unambiguous", lambda self, labels: labels is sure)
        data = normal(len(candidates[0].labels), 2)
        graph = NeighborGraph.from_data(data, 3, 2, generator())
        return choose(candidates, Problem(data, graph, 2, generator()))

    return judge


ONE, OTHER = np.repeat([0, 1], 10), np.tile([0, 1], 10)


def test_of_candidates_as_good_the_one_wins_that_others_agree_with(judged):
    candidates = [
        Candidate(kind, labels, None) for kind, labels in zip("abc", (OTHER, ONE, 1 - ONE), strict=True)
    ]
    assert judged(candidates, [1.0, 1.0, 0.9]).best.kind == "b"
    assert judged(candidates, [3.0, 1.0, 0.9]).best.kind == "a"


def test_a_choice_tells_how_sure_it_is(judged):
    candidates = [Candidate("", labels, None) for labels in (ONE, OTHER, 1 - ONE)]
    apart = adjusted_rand_score(ONE, OTHER)
    choice = judged(candidates, [2.0, 1.0, 1.5])
    assert choice.best is candidates[0]
    assert choice.agreement == pytest.approx((apart + 1.0) / 2.0)
    # The third is the same clusters by other numbers, and no rival.
    gained = search.AGREEMENT_WEIGHT * (2.0 + apart - (1.0 + 2.0 * apart)) / 3.0
    assert choice.margin == pytest.approx(1.0 + gained)
    alone = judged(candidates[::2], [1.0, 2.0])
    assert alone.best is candidates[2]
    assert alone.margin is None
    assert alone.agreement == 1.0


def test_what_neighbors_agree_on_wins_at_any_quality(judged):
    candidates = [Candidate("", labels, None) for labels in (ONE, OTHER)]
    choice = judged(candidates, [9.0, 1.0], sure=OTHER)
    assert choice.best is candidates[1]
    assert choice.margin is None


def test_each_pair_of_candidates_is_compared_once(monkeypatch, judged):
    compared = []
    monkeypatch.setattr(search, "adjusted_rand_score", lambda a, b: compared.append((a[0], b[0])) or 0.5)
    candidates = [Candidate("kmeans", np.array([k, 1, 1, 1, 1]), None) for k in range(9)]
    assert judged(candidates, [float(k == 4) for k in range(9)]).best is candidates[4]
    assert len(compared) == len(set(map(frozenset, compared))) == 36


@pytest.mark.full_pseudo_labels
def test_columns_count_the_same_in_some_candidates():
    """The wide column tells nothing, and neighbours hardly see the others."""
    X, y = make_blobs(300, centers=[[0, 0], [6, 0], [0, 6]], random_state=0)
    wide = 40.0 * np.random.default_rng(0).normal(size=(300, 1))
    data = torch.as_tensor(np.column_stack([X, wide]), dtype=torch.float32)
    graph = NeighborGraph.from_data(data, 15, 3, generator())
    problem = Problem(data, graph, 3, generator())
    by_range = problem.by_range()
    ranges = by_range.data.amax(0) - by_range.data.amin(0)
    torch.testing.assert_close(ranges, ranges[:1].expand(3))
    assert float(by_range.data.var(0).sum()) == pytest.approx(float(data.var(0).sum()), rel=1e-4)
    labels = best_candidate("gaussian_mixture", by_range).best.labels
    assert adjusted_rand_score(y, labels) > 0.95
    assert by_range.by_range() is None
    images = Problem(bars(20)[0], graph, 2, generator())
    assert images.by_range() is None


def test_many_clusters_are_those_of_kmeans(monkeypatch):
    monkeypatch.setattr(search, "MAX_CLUSTERS", 2)
    monkeypatch.setitem(search.FINDERS, "spectral", None)
    data = normal(150, 2)
    assert searched(data, 3, seed=7).tolist() == kmeans_labels(data, 3, 7).tolist()


@pytest.mark.slow
@pytest.mark.full_pseudo_labels
def test_pseudo_labels_as_long_as_users_have_them():
    X, y = load_digits(return_X_y=True)
    rows = torch.as_tensor(X / 8.0 - 1.0, dtype=torch.float32)
    assert adjusted_rand_score(y, searched(rows, 10, 15)) > 0.8
    data, y = stripes()
    assert adjusted_rand_score(y, searched(data, 2)) > 0.95
    X, y = UNEQUAL
    assert adjusted_rand_score(y, searched(torch.as_tensor(X, dtype=torch.float32), 3)) > 0.95


def test_many_clusters_of_images_are_those_of_kmeans(monkeypatch):
    monkeypatch.setattr(search, "MAX_CLUSTERS", 3)
    monkeypatch.setitem(search.FINDERS, "augmentation", None)
    data, _ = bars()
    labels = find_pseudo_labels("augmentation", data, None, 4, generator()).labels
    assert labels.tolist() == kmeans_labels(data, 4, generator().initial_seed()).tolist()


def test_each_kind_is_found():
    images, _ = bars(40)
    graph = NeighborGraph.from_data(images, 5, 2, generator())
    for kind in ("kmeans", "gaussian_mixture", "spanning_tree", "spectral"):
        best = best_candidate(kind, Problem(images, graph, 2, generator(7))).best
        found = find_pseudo_labels(kind, images, graph, 2, generator(7))
        assert best.kind == found.kind == kind
        assert found.labels.tolist() == best.of_all().tolist()
    augmented = find_pseudo_labels("augmentation", images, graph, 2, generator(7)).labels
    assert torch.equal(augmented, augmentation_labels(images, 2, generator(7)))


def test_every_sample_is_a_cluster_where_there_are_as_many():
    assert sorted(searched(normal(6, 4), 6, 15).tolist()) == list(range(6))
