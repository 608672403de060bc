import pytest
import torch
from support import normal, resolved

from skmpcc.method.model import MPCCModel
from skmpcc.pseudo_labels.neighbors import NeighborGraph
from skmpcc.settings import NetworkSettings
from skmpcc.training.checkpoint import Checkpoint
from skmpcc.training.health import TrainingHealth
from skmpcc.training.loop import train

SETTINGS = NetworkSettings(latent_dim=4, conditioning="embedding", width=8)
VECTOR, IMAGE = (6,), (1, 8, 8)
N = 40


def run(checkpoint, shape, *, stop=None, seed=0, **training):
    """Train until an iteration; a model of another seed shows that all comes from the checkpoint."""
    defaults = {"max_iter": 40, "batch_size": 12, "ema_start": 0, "ema_decay": 0.5}
    # All of the training is in the checkpoint only if rates have not fallen, and members may be lost.
    defaults |= {"learning_rate": 1e-3, "weights": "learned", "reseed": True, "supervised_iter": 20}
    consistency = "neighbors" if shape == VECTOR else "augmentation"
    settings = resolved(shape, consistency=consistency, consistency_weight=0.5, **defaults | training)
    data = normal(N, *shape, seed=1)
    nearest = (torch.arange(N)[:, None] + torch.arange(1, 4)) % N
    rng = torch.Generator().manual_seed(5)
    return train(
        MPCCModel(SETTINGS, shape, 3, seed),
        settings,
        data,
        rng,
        lambda history, last: history["iteration"][-1] == stop,
        pseudo_labels=torch.arange(N) % 3,
        neighbors=NeighborGraph(torch.arange(N), nearest, torch.ones(nearest.shape)),
        checkpoint=checkpoint,
    )


def assert_equal(found, expected, where=""):
    """Compare nested values, tensors bit for bit."""
    if isinstance(expected, torch.Tensor):
        assert torch.equal(found, expected), where
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key in expected:
            assert_equal(found[key], expected[key], f"{where}.{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for index, (a, b) in enumerate(zip(found, expected, strict=True)):
            assert_equal(a, b, f"{where}[{index}]")
    else:
        assert found == expected, where


@pytest.mark.parametrize("decay", [0.0, 1.0], ids=["constant", "falling"])
@pytest.mark.parametrize("rollbacks", [(), (9,), (9, 10, 30)], ids=["", "rollback", "rollbacks"])
@pytest.mark.parametrize("shape", [VECTOR, IMAGE], ids=["vectors", "images"])
def test_a_training_that_goes_on_equals_the_unbroken_one(shape, rollbacks, decay, tmp_path, monkeypatch):
    """Bit for bit in all that a checkpoint holds, at its end, in the midst of an epoch."""
    diagnose, due = TrainingHealth.diagnose, []

    def trouble_once(self, entry):
        if self.algorithm.n_iter in due:
            due.remove(self.algorithm.n_iter)
            return "trouble"
        return diagnose(self, entry)

    monkeypatch.setattr(TrainingHealth, "diagnose", trouble_once)
    # One iteration would roll back to itself forever, were it always in trouble.
    due.extend(rollbacks)
    unbroken = Checkpoint(tmp_path / "unbroken.pt")
    expected = run(unbroken, shape, learning_rate_decay=decay)
    assert not due
    due.extend(rollbacks)
    broken = Checkpoint(tmp_path / "below" / "broken.pt")
    for seed, stop in enumerate((14, 29, None)):
        outcome = run(broken, shape, stop=stop, seed=seed, learning_rate_decay=decay)
        assert outcome.history["iteration"][-1] == (stop or 40)
    assert not due
    saved = broken.read()
    assert saved["health"]["n_rollbacks"] == len(rollbacks)
    assert_equal(saved, unbroken.read())
    assert outcome.history.keys() == expected.history.keys()
    for name, values in expected.history.items():
        assert list(values) == list(outcome.history[name]), name


def test_a_finished_training_is_not_trained_again(tmp_path):
    checkpoint = Checkpoint(tmp_path / "fit.pt")
    run(checkpoint, VECTOR, max_iter=10)
    before = checkpoint.read()
    run(checkpoint, VECTOR, max_iter=10, seed=1)
    assert_equal(checkpoint.read(), before)


def test_convergence_is_kept(tmp_path):
    """Counts of checks go on, and a training that has converged is over."""
    checkpoint, unbroken = Checkpoint(tmp_path / "fit.pt"), Checkpoint(tmp_path / "unbroken.pt")
    # Every change is below, from half of so short a training on.
    training = {"tol": 2.0, "generation_tol": 2.0, "n_iter_no_change": 8, "reseed": False}
    expected = run(unbroken, VECTOR, **training)
    assert 23 < expected.history["iteration"][-1] < 40
    assert run(checkpoint, VECTOR, stop=23, **training).stopped
    for _ in range(2):
        outcome = run(checkpoint, VECTOR, seed=1, **training)
        assert list(outcome.history["iteration"]) == list(expected.history["iteration"])
    assert_equal(checkpoint.read(), unbroken.read())


def test_a_checkpoint_of_other_arguments_is_an_error(tmp_path):
    path = tmp_path / "fit.pt"
    run(Checkpoint(path, arguments={"preset": "mnist", "seed": 1}), VECTOR, max_iter=2)
    assert Checkpoint(path, arguments={"seed": 1, "preset": "mnist"}).read() is not None
    with pytest.raises(ValueError, match=r"another training: seed was 1 and is 2\.$"):
        Checkpoint(path, arguments={"preset": "mnist", "seed": 2}).read()
    with pytest.raises(ValueError, match=r"limit was None and is 5, preset was 'mnist' and is 'grey'"):
        Checkpoint(path, arguments={"preset": "grey", "seed": 1, "limit": 5}).read()


def test_an_interrupted_writing_leaves_the_last_file(tmp_path, monkeypatch):
    checkpoint = Checkpoint(tmp_path / "fit.pt")
    checkpoint.write({"n": 1})

    def interrupted(content, path):
        path.write_bytes(b"half of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.write({"n": 2})
    assert checkpoint.read() == {"n": 1}
