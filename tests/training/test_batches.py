import torch

from skmpcc.training.batches import batch_samplers, random_batches


def test_every_epoch_sees_every_sample_once():
    batches = random_batches(12, 4, torch.Generator().manual_seed(0))
    epochs = [torch.cat([next(batches) for _ in range(3)]) for _ in range(4)]
    for epoch in epochs:
        assert torch.equal(epoch.sort().values, torch.arange(12))
    assert not torch.equal(epochs[0], epochs[1])


def test_batches_are_whole():
    batches = random_batches(10, 4, torch.Generator().manual_seed(0))
    assert {len(next(batches)) for _ in range(20)} == {4}


def test_pairs_of_views():
    # smooth, so that a view is more like its image than others are
    coarse = torch.rand(30, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    data = torch.nn.functional.interpolate(coarse, size=(16, 16), mode="bilinear")
    labels = torch.arange(30)
    drawn = [
        batch_samplers(torch.device("cpu"), 12, data, labels, None, seed=3, augmentation=True)[1]()
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


def test_without_neighbors_there_are_no_pairs():
    draw_real, draw_pairs = batch_samplers(torch.device("cpu"), 4, torch.randn(9, 2), None, None, 0)
    assert draw_pairs is None
    assert len(draw_real()) == 1
