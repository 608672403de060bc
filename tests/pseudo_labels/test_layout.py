import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score
from support import BRIEF, generator, normal

from skmpcc import MPCCClusterer
from skmpcc.pseudo_labels import search
from skmpcc.pseudo_labels.finders import layout
from skmpcc.pseudo_labels.finders.kmeans import kmeans_labels
from skmpcc.pseudo_labels.graph import NeighborGraph
from skmpcc.pseudo_labels.problem import Problem


def problem_of(data, n_clusters, n_neighbors=15, seed=0):
    graph = NeighborGraph.from_data(data, n_neighbors, n_clusters, generator())
    return Problem(data, graph, n_clusters, generator(seed))


def test_each_cluster_is_found_once_and_all_samples_have_one():
    places = np.concatenate([normal(60, 3), normal(50, 3, seed=1) + 9.0, normal(40, 3, seed=2) - 9.0])
    for labels in layout.tree_clusters(places, 3):
        assert adjusted_rand_score(np.repeat([0, 1, 2], [60, 50, 40]), labels) == 1.0


def test_weights_are_those_of_either_direction():
    """Of a line of points with gaps 1, 2, 4, ...: each reaches as far as its surroundings do."""
    graph = NeighborGraph.from_data(2.0 ** torch.arange(12.0).unsqueeze(1), 3, 2, generator())
    weights = layout.edge_weights(graph.nearest.numpy(), graph.distances.numpy()).toarray()
    assert (weights == weights.T).all()
    assert weights.max() <= 1.0 + 1e-6
    # The nearest neighbour of each.
    assert np.allclose(weights[np.arange(1, 12), np.arange(11)], 1.0, atol=1e-6)


def test_layout_tells_kinds_apart_that_touch():
    """Digits, each pixel five times, so that rows are wide."""
    X, y = load_digits(return_X_y=True)
    data = torch.as_tensor(np.tile(X, 5) / 16.0, dtype=torch.float32)
    problem = problem_of(data, 10)
    (found,) = layout.find(problem)
    assert (found.of_all() == found.labels).all()
    assert adjusted_rand_score(y, found.labels) > 0.77
    assert adjusted_rand_score(y, kmeans_labels(data, 10, 0)) < 0.7


def test_layout_is_reproducible(monkeypatch):
    monkeypatch.setattr(layout, "N_STEPS", 5)
    data = normal(1200, 300)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = (next(layout.find(problem_of(data, 4, seed=3))).labels for _ in range(2))
    assert (first == second).all()
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


@pytest.mark.parametrize("shape", [(1200, 20), (200, 300)])
def test_narrow_or_short_tables_have_no_layout(shape):
    assert list(layout.find(problem_of(normal(*shape), 4))) == []


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_fit_may_choose_a_layout(monkeypatch):
    monkeypatch.setattr(layout, "N_STEPS", 5)
    for kind in ("kmeans", "gaussian_mixture", "spanning_tree", "spectral"):
        monkeypatch.setitem(search.FINDERS, kind, lambda problem: [])
    X = normal(1200, 300).numpy()
    fitted = MPCCClusterer(3, **BRIEF | {"pseudo_labels": "search"}).fit(X)
    assert fitted.pseudo_label_choice_ == {"kind": "spanning_tree", "margin": None, "agreement": None}


def test_equal_rows_get_labels_all_the_same():
    data = torch.cat([torch.zeros(600, 300), torch.ones(600, 300)])
    (found,) = layout.find(problem_of(data, 2))
    assert adjusted_rand_score(np.repeat([0, 1], 600), found.labels) == 1.0
