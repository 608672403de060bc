from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score
from support import generator, normal, stripes
from torch.optim import Adam

from skmpcc.pseudo_labels import graph as neighbors
from skmpcc.pseudo_labels.finders import tables
from skmpcc.pseudo_labels.finders.classifiers import BatchedMLP
from skmpcc.pseudo_labels.finders.tables import classifier_labels
from skmpcc.pseudo_labels.graph import NeighborGraph


@pytest.fixture(autouse=True)
def shorter(brief_pseudo_labels, monkeypatch):
    """Updates that these easy data need."""
    monkeypatch.setattr(tables, "MAX_ITER", 200)


def test_those_that_go_on_do_as_if_all_did():
    """With their parameters and moments: a step of some is the step that they take among all."""
    x = normal(50, 3)

    def step(classifiers, optimizer):
        classifiers.log_memberships(x)[..., 0].mean(1).sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    trained = []
    for chosen in ([0, 1, 2, 3], [1, 3]):
        classifiers = BatchedMLP(4, 3, 2, generator())
        optimizer = Adam(classifiers.parameters, lr=0.1, fused=True)
        for _ in range(3):
            step(classifiers, optimizer)
        tables._keep(classifiers, optimizer, chosen)
        for _ in range(3):
            step(classifiers, optimizer)
        trained.append(classifiers)
    everyone, some = trained
    assert len(some) == 2
    for all_of_them, of_some in zip(everyone.parameters, some.parameters, strict=True):
        torch.testing.assert_close(of_some, all_of_them[[1, 3]])


@pytest.mark.parametrize(("n_clusters", "expected"), [(2, [14, 7, 4]), (9, [24, 12, 6])])
def test_the_best_go_on(n_clusters, expected, monkeypatch):
    """Information is a number that a classifier has from the beginning."""
    seen = []

    def information(classifiers, data, graph):
        seen.append(classifiers.biases[2].detach()[:, 0, 0].tolist())
        return seen[-1]

    monkeypatch.setattr(tables, "_information", information)
    monkeypatch.setattr(tables, "LEARNING_RATE", 0.0)
    monkeypatch.setattr(tables, "MAX_RESTARTS", 24)
    data, _ = stripes()
    graph = NeighborGraph.from_data(data, 10, n_clusters, generator())
    labels = classifier_labels(data, graph, n_clusters, generator(5))
    assert [len(numbers) for numbers in seen] == expected
    for before, after in pairwise(seen):
        assert sorted(after) == sorted(before)[-len(after) :]
    # The best of all is among the last, and gives the labels.
    classifiers = BatchedMLP(expected[0], 2, n_clusters, generator(5))
    assert max(seen[-1]) == max(seen[0])
    classifiers.keep_moments(data)
    best = seen[0].index(max(seen[0]))
    assert torch.equal(labels, classifiers.log_memberships(data)[best].argmax(1))


def test_many_clusters_leave_room_for_fewer_restarts(monkeypatch):
    monkeypatch.setattr(tables, "MAX_ITER", 1)
    monkeypatch.setattr(tables, "MAX_RESTARTS", 24)
    data = normal(200, 3)
    graph = NeighborGraph.from_data(data, 10, 4, generator())
    monkeypatch.setattr(tables, "KEPT", {})
    for n_memberships, expected in ((10**9, 20), (2 * 128 * 4 * 3, 3), (1, 1)):
        monkeypatch.setattr(tables, "MAX_MEMBERSHIPS", n_memberships)
        assert len(tables._trained(data, graph, 4, generator(), ())) == expected


def test_classifiers_read_principal_components_of_wide_data(monkeypatch):
    monkeypatch.setattr(neighbors, "MAX_VALUES", 8)
    monkeypatch.setattr(neighbors, "N_COMPONENTS", 2)
    X, y = make_blobs(150, 12, centers=3, random_state=0)
    data = torch.as_tensor(X, dtype=torch.float32).view(150, 1, 3, 4)
    graph = NeighborGraph.from_data(data, 10, 3, generator())
    assert adjusted_rand_score(y, classifier_labels(data, graph, 3, generator())) > 0.95


def test_classifiers_can_start_from_other_clusters(monkeypatch):
    """None of the classifiers finds halves by itself that neighbours do not tell from any others."""
    monkeypatch.setattr(tables, "MAX_RESTARTS", 4)
    monkeypatch.setattr(tables, "MAX_ITER", 60)
    data = torch.as_tensor(np.random.default_rng(0).uniform(-1, 1, (300, 2)), dtype=torch.float32)
    graph = NeighborGraph.from_data(data, 10, 2, generator())
    for halves in ((data[:, 0] > 0).numpy().astype(int), (data.sum(1) > 0).numpy().astype(int)):
        labels = classifier_labels(data, graph, 2, generator(), [halves] * 4)
        assert adjusted_rand_score(halves, labels) > 0.6


def test_starts_take_room_for_the_rows_of_the_graph_alone(monkeypatch):
    monkeypatch.setattr(neighbors, "MAX_ROWS", 100)
    monkeypatch.setattr(tables, "MAX_ITER", 10)
    data, _ = stripes(600)
    graph = NeighborGraph.from_data(data, 5, 2, generator())
    learned, zeros = [], torch.zeros

    def noted(*args, **kwargs):
        if kwargs.get("dtype") == torch.int64:
            learned.append(zeros(*args, **kwargs))
            return learned[-1]
        return zeros(*args, **kwargs)

    monkeypatch.setattr(torch, "zeros", noted)
    start = np.arange(100) % 2
    classifier_labels(data, graph, 2, generator(), [start, 1 - start])
    assert [tuple(each.shape) for each in learned] == [(2, 100)]
    np.testing.assert_array_equal(learned[0], [start, 1 - start])
