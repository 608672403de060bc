import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, make_circles, make_moons
from sklearn.semi_supervised import LabelSpreading
from support import bars, generator, normal

from skmpcc.pseudo_labels import graph as neighbors
from skmpcc.pseudo_labels import known
from skmpcc.pseudo_labels.finders import images
from skmpcc.pseudo_labels.graph import NeighborGraph
from skmpcc.pseudo_labels.known import complete_labels, spread_labels


def moons(n=300):
    X, y = make_moons(n, noise=0.05, random_state=0)
    return torch.as_tensor(X, dtype=torch.float32), torch.as_tensor(y)


def one_of_each(y):
    """Labels of which the first of each class is known."""
    out = torch.full_like(y, -1)
    for k in y.unique():
        first = int((y == k).nonzero()[0])
        out[first] = k
    return out


def test_one_label_of_each_moon_is_enough():
    """The shapes wind round each other: half of each is nearer to the other's label."""
    data, y = moons()
    given = one_of_each(y)
    graph = NeighborGraph.from_data(data, 15, 2, generator())
    nearest = torch.cdist(data, data[given >= 0]).argmin(1)
    assert float((given[given >= 0][nearest] == y).float().mean()) < 0.9
    assert float((spread_labels(data, graph, given) == y).float().mean()) > 0.97


def test_samples_that_are_not_in_the_graph_follow_their_neighbors(monkeypatch):
    """The graph is of the known samples and some others."""
    monkeypatch.setattr(neighbors, "MAX_ROWS", 120)
    data, y = moons()
    given = one_of_each(y)
    graph = NeighborGraph.from_data(data, 15, 2, generator(), first=given >= 0)
    assert len(graph.rows) == 120
    assert set((given >= 0).nonzero().flatten().tolist()) <= set(graph.rows.tolist())
    labels = spread_labels(data, graph, given)
    assert labels.shape == y.shape
    assert float((labels == y).float().mean()) > 0.95


def test_parts_without_a_label_get_that_of_the_nearest_part():
    """No neighbours connect three groups, of which the last, nearest to the second, has no label."""
    group = torch.arange(60) // 20
    data = 0.1 * normal(60, 2) + torch.tensor([[0.0, 0.0], [9.0, 0.0], [9.0, 4.0]])[group]
    given = torch.full((60,), -1)
    given[0], given[20] = 0, 1
    labels = spread_labels(data, NeighborGraph.from_data(data, 5, 2, generator()), given)
    assert torch.equal(labels, group.clamp_max(1))


def test_a_rare_class_of_which_half_is_known_is_found():
    """What is carried far is mostly of the frequent class."""
    y = (torch.arange(200) >= 180).long()
    data = normal(200, 2) + 2.5 * y.unsqueeze(1)
    given = torch.where(torch.rand(200, generator=generator()) < 0.5, y, -1)
    labels = spread_labels(data, NeighborGraph.from_data(data, 15, 2, generator()), given)
    rare = (given < 0) & (y == 1)
    assert float((labels[rare] == 1).float().mean()) > 0.8


def some_of_each(y, n):
    """Labels of which the first `n` of each class are known."""
    place = torch.stack([(y == k).long().cumsum(0) for k in y.unique()]).gather(0, y.unsqueeze(0))[0]
    return torch.where(place <= n, y, -1)


def test_a_linear_classifier_helps_where_neighbors_tell_little():
    """Many columns of noise make neighbours of samples of different classes."""
    y = torch.arange(300) % 2
    data = normal(300, 80)
    data[:, 0] += 3.5 * y
    given = some_of_each(y, 15)
    unknown = given < 0
    graph = NeighborGraph.from_data(data, 15, 2, generator())
    points, rows = data.numpy(), np.flatnonzero(~unknown)
    spread, _ = known._spread_memberships(points, graph, rows, given[rows].numpy(), np.zeros(30, int))
    assert float(np.mean((spread.argmax(1) == y.numpy())[unknown])) < 0.87
    assert float((spread_labels(data, graph, given) == y)[unknown].float().mean()) > 0.89


@pytest.mark.parametrize("n", [2, 10])
def test_a_linear_classifier_is_not_trusted_with_shapes(n):
    """No line parts a circle from the one around it."""
    X, y = make_circles(400, noise=0.03, factor=0.5, random_state=0)
    data, y = torch.as_tensor(X, dtype=torch.float32), torch.as_tensor(y)
    graph = NeighborGraph.from_data(data, 15, 2, generator())
    assert float((spread_labels(data, graph, some_of_each(y, n)) == y).float().mean()) > 0.97


def test_parts_spread_at_once_as_they_would_alone():
    """A known sample's membership is what others spread to it."""
    data, y = moons(100)
    rows, folds = np.arange(20), np.arange(20) % 4
    numbers, points = y[:20].numpy(), data.numpy()
    graph = NeighborGraph.from_data(data, 15, 2, generator())
    _, (of_others, same) = known._spread_memberships(points, graph, rows, numbers, folds)
    np.testing.assert_array_equal(same, numbers)
    edges, given = known._mutual_edges(points, graph), np.full(100, -1)
    given[rows] = np.where(folds == 1, -1, numbers)
    alone = LabelSpreading(kernel=lambda *_: edges, alpha=1 / 1.2, max_iter=1000).fit(points, given)
    found = of_others[folds == 1] / of_others[folds == 1].sum(1, keepdims=True)
    np.testing.assert_allclose(found, alone.label_distributions_[rows[folds == 1]], atol=1e-3)


def test_trust_grows_with_right_answers():
    numbers = np.arange(90) % 3
    guessed, right = np.eye(3)[np.arange(90) // 30], np.eye(3)[numbers]
    mostly = np.where(np.arange(90)[:, None] < 60, right, np.eye(3)[(numbers + 1) % 3])
    trusts = [known._trust(memberships, numbers) for memberships in (guessed, mostly, right)]
    assert trusts[0] == known.MIN_TRUST
    assert trusts[0] < trusts[1] < trusts[2] < np.inf


def test_edges_that_are_not_mutual_count_less():
    """An outlier has neighbours, whose neighbours it is not."""
    data = torch.cat([normal(40, 2), torch.tensor([[9.0, 9.0]])])
    graph = NeighborGraph.from_data(data, 5, 2, generator())
    edges = known._mutual_edges(data.numpy(), graph)
    plain = known.graph_edges(data.numpy(), graph, known.N_NEIGHBORS)
    assert edges[40].sum() == pytest.approx(known.ONE_SIDED * plain[40].sum())
    mutual = next(n for n in graph.nearest[0].tolist() if 0 in graph.nearest[n])
    assert edges[0, mutual] == pytest.approx(plain[0, mutual])
    assert abs(edges - edges.T).max() == 0


def test_a_class_with_one_known_sample_and_classes_with_many(monkeypatch):
    """The one is missing in a part; of many, some are learned."""
    monkeypatch.setattr(known, "MAX_OF_CLASS", 8)
    y = torch.arange(150) % 3
    data = normal(150, 3) + 6.0 * torch.eye(3)[y]
    given = some_of_each(y, 20)
    given[(y == 2) & (torch.arange(150) > 2)] = -1
    labels = spread_labels(data, NeighborGraph.from_data(data, 15, 3, generator()), given)
    assert float((labels == y).float().mean()) > 0.97


def test_known_labels_stay(monkeypatch):
    """Also those that all their neighbours contradict."""
    data, y = moons()
    given = one_of_each(y)
    given[-1] = 1 - y[-1]
    graph = NeighborGraph.from_data(data, 15, 2, generator())
    labels = complete_labels("neighbors", data, graph, 2, generator(), given)
    assert torch.equal(labels[given >= 0], given[given >= 0])
    assert labels.dtype == torch.int64
    # With nothing unknown, nothing is looked for.
    monkeypatch.setattr(known, "spread_labels", lambda *_: pytest.fail("looked for"))
    assert torch.equal(complete_labels("neighbors", data, None, 2, generator(), y), y)


def test_fewer_samples_than_a_graph_needs():
    data, given = normal(7, 2), torch.tensor([0, 1, 2, 3, -1, -1, 0])
    graph = NeighborGraph.from_data(data, 15, 4, generator())
    labels = complete_labels("neighbors", data, graph, 4, generator(), given)
    assert set(labels.tolist()) <= {0, 1, 2, 3}


@pytest.mark.full_pseudo_labels
def test_classifiers_of_views_learn_known_classes(monkeypatch):
    """What neither pixels nor views tell by themselves: which classes are alike."""
    monkeypatch.setattr(images, "N_IMAGE_RESTARTS", 1)
    monkeypatch.setattr(images, "IMAGE_MAX_ITER", 100)
    X, y = load_digits(return_X_y=True)
    data = torch.as_tensor(X / 8.0 - 1.0, dtype=torch.float32).view(-1, 1, 8, 8)
    odd = torch.as_tensor(y % 2)
    rng = np.random.default_rng(0)
    given = torch.full_like(odd, -1)
    chosen = torch.as_tensor(rng.choice(len(y), 200, replace=False))
    given[chosen] = odd[chosen]
    labels = complete_labels("augmentation", data, None, 2, generator(), given)
    unknown = given < 0
    assert torch.equal(labels[~unknown], given[~unknown])
    assert float((labels[unknown] == odd[unknown]).float().mean()) > 0.9


@pytest.mark.full_pseudo_labels
def test_one_known_image_of_each_class_is_enough(monkeypatch):
    """Views alone tell too little of what is of the same class."""
    monkeypatch.setattr(images, "N_IMAGE_RESTARTS", 1)
    monkeypatch.setattr(images, "IMAGE_MAX_ITER", 100)
    X, y = load_digits(n_class=5, return_X_y=True)
    data = torch.as_tensor(X / 8.0 - 1.0, dtype=torch.float32).view(-1, 1, 8, 8)
    labels = complete_labels("augmentation", data, None, 5, generator(), one_of_each(torch.as_tensor(y)))
    assert float((labels == torch.as_tensor(y)).float().mean()) > 0.9


@pytest.mark.full_pseudo_labels
def test_labels_of_images_are_reproducible(monkeypatch):
    monkeypatch.setattr(images, "IMAGE_MAX_ITER", 4)
    data, y = bars(40)
    given = torch.where(torch.arange(40) < 10, torch.as_tensor(y), -1)
    first, second = (
        complete_labels("augmentation", data, None, 2, generator(1), given) for _ in range(2)
    )
    assert torch.equal(first, second)
