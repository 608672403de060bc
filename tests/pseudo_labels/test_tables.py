import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from support import generator, normal, stripes
from torch.optim import Adam

from skmpcc.pseudo_labels import tables
from skmpcc.pseudo_labels.classifiers import BatchedMLP
from skmpcc.pseudo_labels.neighbors import NeighborGraph
from skmpcc.pseudo_labels.tables import classifier_labels


@pytest.fixture(autouse=True)
def shorter(brief_pseudo_labels, monkeypatch):
    """Updates that these easy data need."""
    monkeypatch.setattr(tables, "MAX_ITER", 200)


def test_labels_do_not_depend_on_the_number_of_threads(monkeypatch):
    data, y = stripes()
    graph = NeighborGraph.of(data, 10, 2, generator())
    found = []
    for n_threads in (1, 3):
        monkeypatch.setattr(tables, "available_threads", lambda n=n_threads: n)
        found.append(classifier_labels(data, graph, 2, generator(1)))
    assert torch.equal(*found)
    assert adjusted_rand_score(y, found[0]) > 0.95


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


@pytest.mark.parametrize("size", [5, 8])
def test_the_better_half_goes_on_until_one_is_left(size, monkeypatch):
    """Information is the number that a classifier has from the beginning."""
    kept = []

    def information(classifiers, data, graph):
        return classifiers.biases[2].detach()[:, 0, 0].tolist()

    def keep(classifiers, optimizer, chosen):
        kept.append(len(chosen))
        real_keep(classifiers, optimizer, chosen)

    real_keep = tables._keep
    monkeypatch.setattr(tables, "_information", information)
    monkeypatch.setattr(tables, "_keep", keep)
    monkeypatch.setattr(tables, "LEARNING_RATE", 0.0)
    data, _ = stripes()
    graph = NeighborGraph.of(data, 10, 2, generator())
    first = BatchedMLP(size, 2, 2, generator(5)).biases[2].detach()[:, 0, 0]
    best, classifiers = tables._winner(data, graph, 2, size, 32, torch.device("cpu"), 5)
    assert kept == {5: [3, 2, 1], 8: [4, 2, 1]}[size]
    assert len(classifiers) == 1
    assert best == float(first.max())


def test_the_best_group_labels_all_samples(monkeypatch):
    data, _ = stripes()
    graph = NeighborGraph.of(data, 10, 2, generator())
    expected = {}
    real = tables._winner

    def winner(*args):
        _, classifiers = real(*args)
        # By seed, which decides who is best here.
        expected[args[-1]] = tables._labels(classifiers, data, torch.arange(len(data)))[0]
        return args[-1], classifiers

    monkeypatch.setattr(tables, "_winner", winner)
    monkeypatch.setattr(tables, "MAX_ITER", 10)
    labels = classifier_labels(data, graph, 2, generator())
    assert len(expected) == tables.MAX_GROUPS
    assert torch.equal(labels, expected[max(expected)])


def test_many_clusters_leave_room_for_fewer_restarts(monkeypatch):
    sizes = []
    real = tables._winner

    def winner(*args):
        sizes.append(args[3])
        return real(*args)

    monkeypatch.setattr(tables, "_winner", winner)
    monkeypatch.setattr(tables, "MAX_ITER", 2)
    data = normal(200, 3)
    for n_memberships, expected in ((2 * 128 * 4 * 12, [8, 8]), (2 * 128 * 4 * 3, [3]), (1, [1])):
        sizes.clear()
        monkeypatch.setattr(tables, "MAX_MEMBERSHIPS", n_memberships)
        classifier_labels(data, NeighborGraph.of(data, 10, 4, generator()), 4, generator())
        assert sizes == expected


def test_classifiers_read_principal_components_of_wide_data(monkeypatch):
    monkeypatch.setattr(tables, "MAX_INPUTS", 8)
    monkeypatch.setattr(tables, "N_INPUTS", 2)
    X, y = make_blobs(150, 12, centers=3, random_state=0)
    data = torch.as_tensor(X, dtype=torch.float32).view(150, 1, 3, 4)
    graph = NeighborGraph.of(data, 10, 3, generator())
    reduced = tables._inputs(data, graph, 0)
    assert reduced.shape == (150, 2)
    expected = PCA(2).fit_transform(X)
    np.testing.assert_allclose(reduced.abs(), np.abs(expected), atol=1e-2)
    assert adjusted_rand_score(y, classifier_labels(data, graph, 3, generator())) > 0.95
    assert tables._inputs(data[:, :, :2], graph, 0).shape == (150, 8)
