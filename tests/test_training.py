import math

import numpy as np
import pytest
import torch

from skmpcc.algorithm import Recipe
from skmpcc.engine import FastAlgorithm1
from skmpcc.model import MPCCModel, NetworkSettings
from skmpcc.networks.layers import batch_norms
from skmpcc.training import (
    Checkpoint,
    DivergedError,
    finish,
    interval_of,
    random_batches,
    sources,
    train,
)

SETTINGS = NetworkSettings(latent_dim=4, conditioning="embedding", width=8, ema_decay=0.5)


def run(recipe, seed=0, on_interval=lambda history, done: False, data=None):
    model = MPCCModel(SETTINGS, (6,), 3, seed)
    data = torch.randn(40, 6, generator=torch.Generator().manual_seed(1)) if data is None else data
    outcome = train(model, recipe, data, torch.Generator().manual_seed(seed), on_interval)
    return model, outcome.history


def test_every_epoch_sees_every_sample_once():
    batches = random_batches(12, 4, torch.Generator().manual_seed(0))
    epochs = [torch.cat([next(batches) for _ in range(3)]) for _ in range(4)]
    for epoch in epochs:
        assert torch.equal(epoch.sort().values, torch.arange(12))
    assert not torch.equal(epochs[0], epochs[1])


def test_batches_are_whole():
    batches = random_batches(10, 4, torch.Generator().manual_seed(0))
    assert {len(next(batches)) for _ in range(20)} == {4}


@pytest.mark.parametrize(("max_iter", "interval"), [(1, 1), (100, 1), (101, 2), (125_000, 1250)])
def test_interval(max_iter, interval):
    assert interval_of(max_iter) == interval


def test_history():
    _, history = run(Recipe(max_iter=250, batch_size=8, discriminator_steps=1, encoder_steps=1))
    np.testing.assert_array_equal(history["iteration"], [*range(3, 250, 3), 250])
    assert {len(values) for values in history.values()} == {math.ceil(250 / 3)}
    # sigma starts at exp(0.5) + 0.5, and the history follows it
    assert abs(history["mean_std"][0] - (math.exp(0.5) + 0.5)) < 0.02


def test_training_can_be_stopped():
    _, history = run(
        Recipe(max_iter=20, batch_size=8),
        on_interval=lambda history, done: history["iteration"][-1] == 5,
    )
    assert history["iteration"][-1] == 5


def test_same_seed_same_parameters():
    recipe = Recipe(max_iter=5, batch_size=8)
    (first, _), (second, _), (other, _) = run(recipe), run(recipe), run(recipe, seed=1)
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(first.prior.means, other.prior.means)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_divergence(bad):
    data = torch.randn(40, 6)
    data[3] = bad
    with pytest.raises(DivergedError, match="learning_rate"):
        run(Recipe(max_iter=30, batch_size=40), data=data)


def test_finish_without_averages_takes_the_networks_as_they_are():
    model, _ = run(Recipe(max_iter=3, batch_size=8, ema_start=1000))
    finish(model, Recipe(max_iter=3, batch_size=8, standing_passes=0), torch.Generator())
    x = torch.randn(5, 6).double()
    torch.testing.assert_close(model.encode(x), tuple(model.encoder.eval()(x)))


def test_standing_statistics_of_a_finished_model_against_a_plain_loop():
    recipe = Recipe(max_iter=3, batch_size=8, standing_passes=16, ema_start=0)
    model, _ = run(recipe)
    twin, _ = run(recipe)
    finish(model, recipe, torch.Generator().manual_seed(5))

    generator = torch.Generator().manual_seed(5)
    network = twin.averaged_generator.module.train()
    first = batch_norms(network)[0]
    seen = []
    hook = first.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        for _ in range(16):
            y = twin.prior.draw_labels(8, generator)
            network(twin.prior.sample(y, generator), y)
    hook.remove()
    mean = torch.stack([x.mean(0) for x in seen]).mean(0)
    variance = torch.stack([x.var(0) for x in seen]).mean(0)
    norm = batch_norms(model.averaged_generator.module)[0]
    torch.testing.assert_close(norm.running_mean, mean.double(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(norm.running_var, variance.double(), rtol=1e-5, atol=1e-6)


def test_precision_of_a_finished_model():
    model, _ = run(Recipe(max_iter=1, batch_size=8))
    finish(model, Recipe(max_iter=1, batch_size=8), torch.Generator())
    assert {p.dtype for p in model.parameters()} == {torch.float64}
    images = MPCCModel(SETTINGS, (1, 8, 8), 3)
    finish(images, Recipe(max_iter=1, batch_size=8), torch.Generator())
    assert images.prior.means.dtype == torch.float64
    assert {p.dtype for p in images.encoder.parameters()} == {torch.float32}
    # and training may go on
    train(images, Recipe(max_iter=1, batch_size=8), torch.randn(9, 1, 8, 8), torch.Generator())
    assert {p.dtype for p in images.parameters()} == {torch.float32}


@pytest.mark.parametrize("shape", [(6,), (1, 8, 8)], ids=["vectors", "images"])
def test_a_checkpoint_holds_all_of_the_training(shape, tmp_path):
    """An engine restored from it goes on as the first would have."""
    recipe = Recipe(max_iter=8, batch_size=8, ema_start=0, init_iter=8, learning_rate_decay=1.0)
    checkpoint = Checkpoint(tmp_path / "below" / "fit.pt")
    batches = torch.randn(8, 4, 8, *shape)
    labels = torch.arange(8) % 3

    def build(seed):
        random = torch.Generator().manual_seed(seed)
        return FastAlgorithm1(MPCCModel(SETTINGS, shape, 3, seed), recipe, random, guided=True)

    def go(algorithm, n):
        for _ in range(n):
            parts = iter(batches[algorithm.n_iter])
            algorithm.iteration(lambda parts=parts: (next(parts), labels))

    first, other = build(0), build(1)
    go(first, 4)
    checkpoint.save(first, {"iteration": [4]})
    go(first, 4)
    assert checkpoint.load(other) == {"iteration": [4]}
    go(other, 4)
    assert other.n_iter == 8
    expected = first.model.state_dict()
    for name, value in other.model.state_dict().items():
        assert torch.equal(value, expected[name]), name
    assert torch.equal(first.random.get_state(), other.random.get_state())


def test_two_runs_may_share_a_training(tmp_path):
    recipe = Recipe(max_iter=20, batch_size=8, ema_start=0)
    checkpoint = Checkpoint(tmp_path / "fit.pt")
    seen = []

    def until(last):
        def on_interval(history, done):
            seen.append(history["iteration"][-1])
            return seen[-1] == last

        return on_interval

    data = torch.randn(40, 6)
    for last in (12, None):
        model = MPCCModel(SETTINGS, (6,), 3, 0)
        random = torch.Generator().manual_seed(1)
        history = train(model, recipe, data, random, until(last), checkpoint=checkpoint).history
    assert seen == list(range(1, 21))
    assert list(history["iteration"]) == seen
    assert model.has_averages
    # all done: nothing more to train
    before = model.prior.means.detach().clone()
    again = MPCCModel(SETTINGS, (6,), 3, 5)
    train(again, recipe, data, random, checkpoint=checkpoint)
    assert torch.equal(again.prior.means, before)


@pytest.mark.parametrize(("width", "n_threads"), [(64, 1), (256, 2)])
def test_small_networks_are_trained_on_fewer_threads(width, n_threads):
    """2 x 256 samples x 256 x 256 operations are worth two threads and more, 64 x 64 not."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    seen = []
    try:
        settings = NetworkSettings(latent_dim=4, conditioning="embedding", width=width)
        train(
            MPCCModel(settings, (6,), 3, 0),
            Recipe(max_iter=2, batch_size=128),
            torch.randn(256, 6),
            torch.Generator().manual_seed(0),
            lambda history, done: seen.append(torch.get_num_threads()),
        )
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert seen == [n_threads] * 2


def test_pairs_of_views():
    # smooth, so that a view is more like its image than others are
    coarse = torch.rand(30, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    data = torch.nn.functional.interpolate(coarse, size=(16, 16), mode="bilinear")
    labels = torch.arange(30)
    drawn = [
        sources(torch.device("cpu"), 12, data, labels, None, seed=3, views=True)[1]() for _ in range(2)
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
