import math

import numpy as np
import pytest
import torch
from support import resolved

from skmpcc.engine.choice import algorithm_of
from skmpcc.engine.cuda_graph import CapturedAlgorithm1
from skmpcc.engine.fast import FastAlgorithm1
from skmpcc.method.model import MPCCModel
from skmpcc.settings import NetworkSettings
from skmpcc.system import devices
from skmpcc.system.processes import ALONE
from skmpcc.training.loop import DivergedError, interval_of, train

pytestmark = pytest.mark.full_history
SETTINGS = NetworkSettings(latent_dim=4, conditioning="embedding", width=8)


def run(training, seed=0, on_interval=lambda history, last: False, data=None):
    model = MPCCModel(SETTINGS, (6,), 3, seed)
    data = torch.randn(40, 6, generator=torch.Generator().manual_seed(1)) if data is None else data
    settings = resolved((6,), ema_decay=0.5, **training)
    return model, train(model, settings, data, torch.Generator().manual_seed(seed), on_interval)


@pytest.mark.parametrize(
    ("max_iter", "interval"), [(1, 1), (99, 1), (100, 8), (801, 9), (125_000, 1250)]
)
def test_interval(max_iter, interval):
    assert interval_of(max_iter) == interval


@pytest.mark.parametrize(
    ("device", "cuda_graphs", "engine"),
    [
        ("cpu", True, FastAlgorithm1),
        ("cuda:1", True, CapturedAlgorithm1),
        ("cuda:1", False, FastAlgorithm1),
    ],
)
def test_engine_for_a_device(device, cuda_graphs, engine):
    settings = resolved((6,), max_iter=1, cuda_graphs=cuda_graphs)
    assert algorithm_of(torch.device(device), settings, ALONE) is engine


def test_history():
    training = {"max_iter": 250, "batch_size": 8, "discriminator_steps": 1, "encoder_steps": 1}
    history = run(training)[1].history
    np.testing.assert_array_equal(history["iteration"], [*range(8, 250, 8), 250])
    assert {len(values) for values in history.values()} == {math.ceil(250 / 8)}
    # sigma starts at exp(0.5) + 0.5, and the history follows it
    assert abs(history["mean_std"][0] - (math.exp(0.5) + 0.5)) < 0.05


def test_training_can_be_stopped():
    _, outcome = run(
        {"max_iter": 20, "batch_size": 8},
        on_interval=lambda history, last: history["iteration"][-1] == 5,
    )
    assert outcome.history["iteration"][-1] == 5
    assert outcome.stopped
    assert not outcome.converged


def test_same_seed_same_parameters():
    training = {"max_iter": 5, "batch_size": 8}
    (first, _), (second, _), (other, _) = run(training), run(training), run(training, seed=1)
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(first.prior.means, other.prior.means)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_divergence(bad):
    data = torch.randn(40, 6)
    data[3] = bad
    with pytest.raises(DivergedError, match="learning_rate"):
        run({"max_iter": 30, "batch_size": 40}, data=data)


@pytest.mark.parametrize(("width", "n_threads"), [(8, 1), (16, 2)])
def test_small_networks_are_trained_on_fewer_threads(width, n_threads, monkeypatch):
    """2 x 256 samples x 16 x 16 operations are worth two threads if that is their worth, 8 x 8 not."""
    monkeypatch.setattr(devices, "FLOPS_PER_THREAD", 256 * 16 * 16)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    seen = []
    try:
        settings = NetworkSettings(latent_dim=4, conditioning="embedding", width=width)
        train(
            MPCCModel(settings, (6,), 3, 0),
            resolved((6,), max_iter=2, batch_size=128),
            torch.randn(256, 6),
            torch.Generator().manual_seed(0),
            lambda history, last: seen.append(torch.get_num_threads()),
        )
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert seen == [n_threads] * 2
