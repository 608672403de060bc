import pytest
import torch
from support import Kept, normal, resolved, slow

from skmpcc.method.model import MPCCModel
from skmpcc.pseudo_labels.graph import NeighborGraph
from skmpcc.settings import NetworkSettings
from skmpcc.training.health import TrainingHealth
from skmpcc.training.loop import train

SETTINGS = NetworkSettings(latent_dim=4, conditioning="embedding", width=8)
VECTOR, IMAGE = (6,), (1, 8, 8)
N = 40


@pytest.fixture(autouse=True)
def few_entries(monkeypatch):
    """Check a training of 20 iterations after every second, so that it may be interrupted between."""
    monkeypatch.setattr("skmpcc.training.loop.N_INTERVALS", 10)


def run(progress, shape, *, seed=0, on_interval=lambda history, last: False, **training):
    """Train; a model of another seed shows that all comes from what was kept."""
    defaults = {"max_iter": 20, "batch_size": 12, "ema_start": 0, "ema_decay": 0.5}
    defaults |= {"discriminator_steps": 2, "encoder_steps": 1}
    # Nothing is kept for nothing only if rates have not fallen, and members may be lost.
    defaults |= {"learning_rate": 1e-3, "weights": "learned", "reseed": True, "supervised_iter": 10}
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
        on_interval,
        pseudo_labels=torch.arange(N) % 3,
        neighbors=NeighborGraph(torch.arange(N), nearest, torch.ones(nearest.shape)),
        progress=progress,
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


@pytest.mark.parametrize(
    ("shape", "rollbacks", "decay"),
    [
        (VECTOR, (), 1.0),
        (VECTOR, (4, 6, 16), 0.0),
        (IMAGE, (4, 6, 16), 0.0),
        *(slow(VECTOR, *each) for each in [((), 0.0), ((6,), 0.0), ((6,), 1.0), ((4, 6, 16), 1.0)]),
        slow(IMAGE, (), 1.0),
    ],
)
def test_a_training_that_goes_on_equals_the_unbroken_one(shape, rollbacks, decay, monkeypatch):
    """Bit for bit in all that is kept, whether it was interrupted at a check or between two."""
    diagnose, due = TrainingHealth.diagnose, []

    def trouble_once(self, entry):
        if self.algorithm.n_iter in due:
            due.remove(self.algorithm.n_iter)
            return "trouble"
        return diagnose(self, entry)

    monkeypatch.setattr(TrainingHealth, "diagnose", trouble_once)
    # One iteration would roll back to itself forever, were it always in trouble.
    due.extend(rollbacks)
    unbroken = Kept()
    expected = run(unbroken, shape, learning_rate_decay=decay)
    assert not due
    due.extend(rollbacks)
    broken = Kept()
    for seed, broken.stop in enumerate((5, 8, 15)):
        with pytest.raises(KeyboardInterrupt):
            run(broken, shape, seed=seed, learning_rate_decay=decay)
    outcome = run(broken, shape, seed=3, learning_rate_decay=decay)
    assert not due
    assert broken.state["health"]["n_rollbacks"] == len(rollbacks)
    assert_equal(broken.state, unbroken.state)
    assert outcome.history.keys() == expected.history.keys()
    for name, values in expected.history.items():
        assert list(values) == list(outcome.history[name]), name


def test_a_training_goes_on_where_averages_restart_and_labels_are_forgotten(monkeypatch):
    """Labels teach to the end; the restart, and the state to end in, are kept."""
    monkeypatch.setattr(TrainingHealth, "is_average_broken", lambda self: self.algorithm.n_iter == 8)
    monkeypatch.setattr(TrainingHealth, "_has_forgotten", lambda self: self.algorithm.n_iter > 14)
    training = {"supervised_iter": 20, "ema_decay": "auto"}
    broken, unbroken = Kept(), Kept()
    run(unbroken, VECTOR, **training)
    for seed, broken.stop in enumerate((9, 17)):
        with pytest.raises(KeyboardInterrupt):
            run(broken, VECTOR, seed=seed, **training)
    run(broken, VECTOR, seed=3, **training)
    assert_equal(broken.state, unbroken.state)
    assert broken.state["algorithm"]["averaged_from"] == 8
    assert broken.state["health"]["healthy"]["n_iter"] == 14


def test_a_rollback_after_an_interruption_goes_back_to_the_last_check(monkeypatch):
    """The state of that check is kept, too, while later iterations go on from it."""
    monkeypatch.setattr(
        TrainingHealth, "diagnose", lambda self, entry: "trouble" if self.algorithm.n_iter > 4 else None
    )
    outcomes, kept = [], [Kept(), Kept()]
    for progress, stop in zip(kept, (None, 5), strict=True):
        progress.stop = stop
        if stop is not None:
            with pytest.raises(KeyboardInterrupt):
                run(progress, VECTOR)
        outcomes.append(run(progress, VECTOR, seed=1 if stop else 0))
        assert outcomes[-1].failure == "trouble"
        assert list(outcomes[-1].history["iteration"]) == [2, 4]
        assert progress.state["algorithm"]["n_iter"] == 4
    assert_equal(kept[1].state, kept[0].state)


def test_a_finished_training_is_not_trained_again():
    kept = Kept()
    run(kept, VECTOR, max_iter=10)
    before = kept.state
    run(kept, VECTOR, max_iter=10, seed=1)
    assert kept.state is before


def test_convergence_is_kept():
    """Counts of checks go on, and a training that has converged is over."""
    kept, unbroken = Kept(), Kept()
    # Every change is below, from half of so short a training on.
    training = {"tol": 2.0, "generation_tol": 2.0, "n_iter_no_change": 3, "reseed": False}
    expected = run(unbroken, VECTOR, **training)
    assert 12 < expected.history["iteration"][-1] < 20
    kept.stop = 11
    with pytest.raises(KeyboardInterrupt):
        run(kept, VECTOR, **training)
    for _ in range(2):
        outcome = run(kept, VECTOR, seed=1, **training)
        assert list(outcome.history["iteration"]) == list(expected.history["iteration"])
    assert_equal(kept.state, unbroken.state)
