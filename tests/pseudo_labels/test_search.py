import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from support import bars, generator, normal, stripes

from skmpcc.pseudo_labels import graph as neighbors
from skmpcc.pseudo_labels import problem, search
from skmpcc.pseudo_labels.finders.images import augmentation_labels
from skmpcc.pseudo_labels.finders.kmeans import kmeans_labels
from skmpcc.pseudo_labels.graph import NeighborGraph
from skmpcc.pseudo_labels.problem import Candidate, Problem
from skmpcc.pseudo_labels.quality import ClusterQuality, Judgement
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
        def judgement(self, labels, lost_factor):
            index = next(i for i, each in enumerate(candidates) if each.labels is labels)
            return Judgement(qualities[index], labels is sure)

        monkeypatch.setattr(ClusterQuality, "judge", judgement)
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


def test_neighbors_are_looked_at_once_for_each_candidate(monkeypatch):
    looked_at = []
    lost_information = ClusterQuality.lost_information

    def counted(self, labels):
        looked_at.append(labels)
        return lost_information(self, labels)

    monkeypatch.setattr(ClusterQuality, "lost_information", counted)
    data = normal(20, 2)
    graph = NeighborGraph.from_data(data, 3, 2, generator())
    choose(
        [Candidate("", labels, None) for labels in (ONE, OTHER)], Problem(data, graph, 2, generator())
    )
    assert len(looked_at) == 2


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


@pytest.fixture
def as_chosen(monkeypatch):
    """Search with so many threads; return what was found, and all candidates."""

    def search_with(n_threads, data, n_clusters):
        candidates = []

        def keep(found, problem):
            candidates.extend(found)
            return choose(found, problem)

        monkeypatch.setattr(search, "choose", keep)
        monkeypatch.setattr(search, "MIN_ROWS_FOR_THREADS", 0)
        monkeypatch.setattr(search, "available_threads", lambda: n_threads)
        graph = NeighborGraph.from_data(data, 15, n_clusters, generator())
        return find_pseudo_labels("search", data, graph, n_clusters, generator()), candidates

    return search_with


def table(*shape):
    """Four clusters in columns of unlike ranges, which are in several parts of the graph."""
    X = make_blobs(shape[0], shape[1], centers=4, cluster_std=0.5, random_state=0)[0]
    return torch.as_tensor(X * np.linspace(1.0, 4.0, shape[1]), dtype=torch.float32)


@pytest.mark.full_pseudo_labels
@pytest.mark.parametrize("data", [table(400, 5), table(1100, 300), table(200, 70), torch.zeros(60, 3)])
def test_threads_change_nothing_in_what_is_found(as_chosen, data):
    first, candidates = as_chosen(1, data, 4)
    assert len(candidates) >= 12
    for n_threads in (2, 5):
        second, others = as_chosen(n_threads, data, 4)
        assert torch.equal(first.labels, second.labels)
        assert (first.kind, first.margin, first.agreement) == (
            second.kind,
            second.margin,
            second.agreement,
        )
        for one, other in zip(candidates, others, strict=True):
            assert (one.kind, one.lost_factor) == (other.kind, other.lost_factor)
            np.testing.assert_array_equal(one.labels, other.labels)


def test_threads_begin_where_there_are_rows_and_cores_enough(monkeypatch):
    wanted = []

    def run(tasks, n_threads):
        wanted.append(n_threads)
        return [task() for task in tasks]

    monkeypatch.setattr(search, "run_side_by_side", run)
    for n_threads in (1, 3, 99):
        monkeypatch.setattr(search, "available_threads", lambda n=n_threads: n)
        for n in (40, 60):
            monkeypatch.setattr(search, "MIN_ROWS_FOR_THREADS", 50)
            searched(normal(n, 2), 2)
    assert wanted == [1, 1, 1, 3, 1, 6]


def test_warnings_of_convergence_reach_nobody_and_filters_stay(as_chosen):
    few_values = torch.as_tensor(np.arange(90) % 3, dtype=torch.float32)[:, None] * torch.ones(1, 2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        filters, before = warnings.filters, list(warnings.filters)
        as_chosen(4, few_values, 5)
        assert warnings.filters is filters
        assert list(warnings.filters) == before
    assert not [each for each in caught if issubclass(each.category, ConvergenceWarning)]


def test_errors_of_a_finder_surface(as_chosen, monkeypatch):
    def broken(problem):
        raise ArithmeticError("broken")

    monkeypatch.setitem(search.FINDERS, "spanning_tree", broken)
    for n_threads in (1, 3):
        with pytest.raises(ArithmeticError, match="broken"):
            as_chosen(n_threads, normal(50, 2), 2)


def coloured_gratings(n=160, side=16):
    """Waves in one of two directions, of any phase, in any two colours; and the directions."""
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=n)
    places = np.where(y[:, None, None] == 0, *np.mgrid[:side, :side][:, None])
    waves = np.sin(1.2 * places + rng.uniform(0, 6.3, n)[:, None, None])
    first, second = rng.uniform(-1, 1, size=(2, n, 3, 1, 1))
    images = first + (1 + waves[:, None]) / 2 * (second - first)
    return torch.as_tensor(images, dtype=torch.float32), y


def test_directions_of_contours_are_found_whatever_the_colours():
    images, y = coloured_gratings()
    found = find_pseudo_labels("scattering", images, None, 2, generator())
    assert found.kind == "scattering"
    assert adjusted_rand_score(y, found.labels) > 0.9
    grey = find_pseudo_labels("scattering", images[:, :1], None, 2, generator())
    assert grey.agreement != found.agreement


def test_image_search_takes_classifiers_where_neighbours_agree_on_them_and_features_elsewhere():
    """By candidates of known quality, of features in which the two kinds are two blobs."""
    problem = Problem(
        torch.zeros(80, 1, 8, 8),
        NeighborGraph.without_neighbors(80, torch.device("cpu")),
        2,
        generator(),
    )
    y = np.repeat([0, 1], 40)
    blobs = torch.as_tensor(np.random.default_rng(0).normal(size=(80, 5)), dtype=torch.float32)
    blobs[:, 0] += 12.0 * torch.as_tensor(y)
    for of_views, kind in ((y, "augmentation"), (np.arange(80) % 2, "scattering")):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(search, "scattering_features", lambda images, rng: blobs)
            views = [Candidate("augmentation", of_views, of_views.copy, None, 0.5)]
            patched.setattr(search.images, "find", lambda problem, views=views: iter(views))
            others = [Candidate("kmeans", np.roll(y, 3), y.copy)]
            patched.setattr(search, "find_candidates", lambda kinds, problems, found=others: found)
            choice = search.best_candidate("image_search", problem)
        assert choice.best.kind == kind


def test_agreement_within_a_family_decides_between_candidates_of_the_same_quality():
    rng = np.random.default_rng(0)
    same = rng.integers(3, size=90)
    labels = [same, same, *rng.integers(3, size=(2, 90))]
    candidates = [Candidate("kmeans", each, each.copy) for each in labels]
    judgements = [
        Judgement(0.0, False),
        Judgement(0.0, False),
        Judgement(1.0, False),
        Judgement(1.0, False),
    ]
    alone = search.best_by_quality_and_agreement(candidates, judgements)
    assert not np.array_equal(alone.best.labels, same)
    with_families = search.best_by_quality_and_agreement(candidates, judgements, [0, 0, 1, 1])
    assert np.array_equal(with_families.best.labels, same)
