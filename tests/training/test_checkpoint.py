import pytest
import torch
from support import resolved

from skmpcc.engine.fast import FastAlgorithm1
from skmpcc.method.model import MPCCModel
from skmpcc.settings import NetworkSettings
from skmpcc.training.checkpoint import Checkpoint
from skmpcc.training.loop import train

SETTINGS = NetworkSettings(latent_dim=4, conditioning="embedding", width=8)


@pytest.mark.parametrize("shape", [(6,), (1, 8, 8)], ids=["vectors", "images"])
def test_a_checkpoint_holds_all_of_the_training(shape, tmp_path):
    """An engine restored from it goes on as the first would have."""
    training = {"max_iter": 8, "batch_size": 8, "ema_start": 0, "learning_rate_decay": 1.0}
    settings = resolved(shape, supervised_iter=8, **training)
    checkpoint = Checkpoint(tmp_path / "below" / "fit.pt")
    batches = torch.randn(8, 4, 8, *shape)
    labels = torch.arange(8) % 3

    def build(seed):
        random = torch.Generator().manual_seed(seed)
        return FastAlgorithm1(MPCCModel(SETTINGS, shape, 3, seed), settings, random)

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
    assert torch.equal(first.rng.get_state(), other.rng.get_state())


def test_two_runs_may_share_a_training(tmp_path):
    settings = resolved((6,), max_iter=20, batch_size=8, ema_start=0)
    checkpoint = Checkpoint(tmp_path / "fit.pt")
    seen = []

    def until(stop):
        def on_interval(history, last):
            seen.append(history["iteration"][-1])
            return seen[-1] == stop

        return on_interval

    data = torch.randn(40, 6)
    for stop in (12, None):
        model = MPCCModel(SETTINGS, (6,), 3, 0)
        random = torch.Generator().manual_seed(1)
        outcome = train(model, settings, data, random, until(stop), checkpoint=checkpoint)
        assert seen[-1] == (stop or 20)
    assert seen == list(range(1, 21))
    assert list(outcome.history["iteration"]) == seen
    assert model.has_averages
    # all done: nothing more to train
    before = model.prior.means.detach().clone()
    again = MPCCModel(SETTINGS, (6,), 3, 5)
    train(again, settings, data, random, checkpoint=checkpoint)
    assert torch.equal(again.prior.means, before)
