import pytest
import torch

from skmpcc.pseudo_labels.graph import NeighborGraph
from skmpcc.training.batches import BatchSampler, RandomBatches

CPU = torch.device("cpu")


def test_every_epoch_sees_every_sample_once():
    batches = RandomBatches(12, 4, torch.Generator().manual_seed(0))
    epochs = [torch.cat([batches.draw() for _ in range(3)]) for _ in range(4)]
    for epoch in epochs:
        assert torch.equal(epoch.sort().values, torch.arange(12))
    assert not torch.equal(epochs[0], epochs[1])


def test_batches_are_whole():
    batches = RandomBatches(10, 4, torch.Generator().manual_seed(0))
    assert {len(batches.draw()) for _ in range(20)} == {4}


def test_pairs_of_views():
    # smooth, so that a view is more like its image than others are
    coarse = torch.rand(30, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    data = torch.nn.functional.interpolate(coarse, size=(16, 16), mode="bilinear")
    labels = torch.arange(30)
    drawn = [
        BatchSampler(CPU, 12, data, labels, None, seed=3, augmentation=True).draw_pairs()
        for _ in range(2)
    ]
    for first, second in zip(*drawn, strict=True):
        assert torch.equal(first, second)
    x, view, y, y_view = drawn[0]
    assert torch.equal(x, data[y])
    assert torch.equal(y, y_view)
    assert view.shape == x.shape
    assert not torch.equal(view, x)
    # deformed, not those of others
    distances = torch.cdist(view.flatten(1), data.flatten(1))
    assert float((distances.argmin(1) == y).float().mean()) > 0.9


def ring_of_neighbors(n):
    """A graph in which the next sample is the only neighbour of each."""
    return NeighborGraph(torch.arange(n), (torch.arange(n)[:, None] + 1) % n, torch.ones(n, 1))


def test_pairs_of_neighbors():
    """Each sample is its own value, so that the pairs tell who they are."""
    data = torch.arange(9.0)[:, None]
    x, neighbor = BatchSampler(CPU, 4, data, None, ring_of_neighbors(9), 0).draw_pairs()
    assert torch.equal(neighbor, (x + 1) % 9)


def test_neighbors_of_two_labels_make_no_pair():
    data, labels = torch.arange(9.0)[:, None], torch.arange(9) // 3
    sampler = BatchSampler(CPU, 9, data, labels, ring_of_neighbors(9), 0)
    apart = 0
    for _ in range(5):
        x, neighbor, y, y_neighbor = sampler.draw_pairs()
        assert torch.equal(y, labels[x[:, 0].long()])
        assert torch.equal(y, y_neighbor)
        last = (x[:, 0] % 3 == 2)[:, None]
        assert torch.equal(neighbor, torch.where(last, x, x + 1))
        apart += int(last.sum())
    assert 0 < apart < 45


def test_without_neighbors_there_are_no_pairs():
    sampler = BatchSampler(CPU, 4, torch.randn(9, 2), None, None, 0)
    assert sampler.draw_pairs is None
    assert len(sampler.draw_real()) == 1


@pytest.mark.parametrize("augmentation", [False, True])
def test_a_sampler_goes_on_in_the_midst_of_an_epoch(augmentation):
    data, labels = torch.rand(20, 1, 8, 8), torch.arange(20)
    graph = NeighborGraph(torch.arange(20), torch.arange(20)[:, None].flip(0), torch.ones(20, 1))

    def build(seed):
        return BatchSampler(CPU, 6, data, labels, graph, seed, augmentation=augmentation)

    def draws(sampler):
        return [*sampler.draw_real(), *sampler.draw_pairs(), *sampler.draw_real()]

    first, second = build(1), build(2)
    draws(first)
    assert not torch.equal(draws(build(1))[1], draws(second)[1])
    second.load(first.state())
    for _ in range(3):
        for found, expected in zip(draws(second), draws(first), strict=True):
            assert torch.equal(found, expected)
