"""What only a GPU can tell: `pytest -m cuda`."""

import copy
import warnings

import pytest
import torch
from support import Kept, normal, resolved

from skmpcc.engine import cuda_graph
from skmpcc.engine.cuda_graph import CapturedAlgorithm1
from skmpcc.engine.fast import FastAlgorithm1
from skmpcc.method.model import MPCCModel
from skmpcc.method.prior import GaussianMixturePrior
from skmpcc.pseudo_labels.graph import NeighborGraph
from skmpcc.settings import NetworkSettings
from skmpcc.system.devices import matmul_precision
from skmpcc.training.loop import train

pytestmark = pytest.mark.cuda
VECTOR, IMAGE = (5,), (1, 8, 8)
SHAPES = pytest.mark.parametrize("shape", [VECTOR, IMAGE], ids=["vector", "image"])
TRAINING = {"batch_size": 12, "ema_start": 0, "consistency_weight": 0.5, "learning_rate": 1e-3}


@pytest.fixture(autouse=True)
def _can_record(monkeypatch):
    """Say so if a capture fails, and try again in the next test."""
    monkeypatch.setattr(CapturedAlgorithm1, "can_record", True)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


@pytest.fixture(autouse=True)
def _deterministic():
    """Of two equal convolutions the same result."""
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    yield
    torch.backends.cudnn.deterministic = before


def build(kind, shape, training, device="cuda"):
    network = NetworkSettings(latent_dim=6, conditioning="embedding", width=16)
    model = MPCCModel(network, shape, 3, 0).to(device)
    return kind(model, resolved(shape, **TRAINING | training), torch.Generator(device).manual_seed(1))


def draws(shape, device="cuda"):
    """Functions that draw the same batches each time."""
    x, other = (normal(12, *shape, seed=seed).to(device) for seed in (2, 3))
    y = (torch.arange(12) % 3).to(device)
    return lambda: (x, y), lambda: (x, other, y, y)


def recorded(shape, training, device="cuda"):
    """A training whose iterations are replayed from here on."""
    captured = build(CapturedAlgorithm1, shape, training, device)
    for _ in range(cuda_graph.WARM_UP + 1):
        captured.iteration(*draws(shape, device))
    assert captured._replay is not None
    return captured


def changed(before, after):
    """Names of the tensors that differ."""
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


@pytest.mark.parametrize("supervised_iter", [0, 5, 100])
@SHAPES
def test_a_replayed_iteration_does_what_an_eager_one_does(shape, supervised_iter):
    """From the same state. Labels that have served are so in the recording, too."""
    training = {"max_iter": 100, "supervised_iter": supervised_iter}
    captured = recorded(shape, training)
    eager = build(FastAlgorithm1, shape, training)
    captured.iteration(*draws(shape))
    before = captured.state()
    eager.load(before)
    expected = {name: float(v) for name, v in eager.iteration(*draws(shape)).items()}
    found = {name: float(v) for name, v in captured.iteration(*draws(shape)).items()}
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-4)
    assert torch.equal(captured.rng.get_state(), eager.rng.get_state())
    after, wanted = captured.model.state_dict(), eager.model.state_dict()
    for name, start in before["model"].items():
        # Batch-norm leaves a generator's biases no gradient but rounding, which Adam blows up.
        drifts = "generator" in name and name.endswith(("bias", "running_mean"))
        if drifts or not start.is_floating_point():
            continue
        # Moved the same way: single values may differ where a gradient is next to nothing.
        found_step, step = ((t[name] - start).double().flatten() for t in (after, wanted))
        assert (found_step - step).norm() <= 0.02 * step.norm() + 1e-7, name


@SHAPES
def test_a_replay_trains_all_networks(shape):
    captured = recorded(shape, {"max_iter": 100, "supervised_iter": 100})
    before = captured.state()["model"]
    captured.iteration(*draws(shape))
    torch.cuda.synchronize()
    after = captured.model.state_dict()
    names = changed(before, after)
    parameters = {name for name, _ in captured.model.named_parameters(remove_duplicate=False)}
    assert {name.split(".")[0] for name in names & parameters} == {
        "prior", "generator", "discriminator", "encoder", "averaged_generator", "averaged_encoder",
    }  # fmt: skip
    assert int(after["n_averages"]) == captured.n_iter
    assert all(torch.isfinite(value).all() for value in after.values())


def test_tf32_does_not_reach_the_mixture():
    """Log-odds at means of norm 44, where TF32 would be off by nats."""
    prior = GaussianMixturePrior(10, 24)
    with torch.no_grad():
        prior.means.mul_(44.0)
    z = prior.sample(torch.arange(10).repeat(20), torch.Generator().manual_seed(0)).detach()
    expected = copy.deepcopy(prior).double().log_responsibilities(z.double())
    with matmul_precision(torch.device("cuda"), tf32=True):
        found = prior.cuda().log_responsibilities(z.cuda())
    torch.testing.assert_close(found.cpu().double(), expected, rtol=2e-5, atol=5e-3)


def test_iterations_do_not_wait_for_the_device():
    captured, on_device = recorded(VECTOR, {"max_iter": 16}), draws(VECTOR)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            captured.iteration(*on_device)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="no second CUDA device")
@SHAPES
def test_a_second_device(shape):
    """What is current stays so, and nothing is on the first device."""
    assert torch.cuda.current_device() == 0
    captured = recorded(shape, {"max_iter": 100}, "cuda:1")
    before = captured.state()["model"]
    captured.iteration(*draws(shape, "cuda:1"))
    assert len(changed(before, captured.model.state_dict())) > 20
    assert torch.cuda.current_device() == 0
    devices = {value.device for value in captured.model.state_dict().values()}
    assert devices == {torch.device("cuda:1")}


@pytest.mark.parametrize("cuda_graphs", [True, False])
@SHAPES
def test_a_training_goes_on_from_what_was_kept(shape, cuda_graphs):
    kept, nearest = Kept(), (torch.arange(40)[:, None] + torch.arange(1, 4)) % 40

    def run():
        return train(
            build(FastAlgorithm1, shape, {"max_iter": 1}).model,
            resolved(shape, **TRAINING, max_iter=20, cuda_graphs=cuda_graphs, supervised_iter=10),
            normal(40, *shape).cuda(),
            torch.Generator("cuda").manual_seed(0),
            pseudo_labels=torch.arange(40) % 3,
            neighbors=NeighborGraph(torch.arange(40), nearest, torch.ones(nearest.shape)),
            progress=kept,
        )

    kept.stop = 7
    with pytest.raises(KeyboardInterrupt):
        run()
    outcome = run()
    assert list(outcome.history["iteration"]) == list(range(1, 21))
    assert outcome.failure is None
