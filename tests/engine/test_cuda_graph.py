"""Recorded iterations against the fast engine's, on a CPU by a recorder of its own."""

import math
import warnings
from types import SimpleNamespace

import pytest
import torch
from support import resolved, slow
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from skmpcc.engine import cuda_graph
from skmpcc.engine.cuda_graph import CapturedAlgorithm1
from skmpcc.engine.fast import FastAlgorithm1
from skmpcc.method.algorithm import Algorithm1
from skmpcc.method.model import MPCCModel
from skmpcc.settings import NetworkSettings
from skmpcc.system import devices
from skmpcc.training.health import PATIENCE, TrainingHealth

VECTOR, IMAGE = (5,), (1, 8, 8)


class Recording(TorchDispatchMode):
    """A CUDA graph's stand-in: keeps each operation and its tensors, and does them all again.

    Whatever Python does between them is not repeated, and an operation that brings a value from
    the device to the host is an error, as in a capture.
    """

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("a value was read on the host during the recording")
        out = function(*args, **kwargs or {})
        self.calls.append((function, args, kwargs or {}, out))
        return out

    def replay(self):
        with torch.no_grad():
            for function, args, kwargs, out in self.calls:
                again = function(*args, **kwargs)
                for old, new in zip(tree_leaves(out), tree_leaves(again), strict=True):
                    if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                        old.copy_(new)


class RecorderOnCPU:
    """Does what `CudaGraphRecorder` does, and counts."""

    def __init__(self, algorithm):
        self.algorithm = algorithm
        self.n_recorded = self.n_replayed = 0

    def run(self, updates):
        return updates()

    def record(self, updates):
        """A capture runs nothing, so the state is put back after it."""
        algorithm = self.algorithm
        tensors = {id(t): t for t in state_of(algorithm)}
        before = [t.detach().clone() for t in tensors.values()]
        stream = algorithm.rng.get_state()
        recording = Recording()
        with recording:
            out = updates()
        with torch.no_grad():
            for tensor, value in zip(tensors.values(), before, strict=True):
                tensor.copy_(value)
        algorithm.rng.set_state(stream)
        self.n_recorded += 1

        def replay():
            recording.replay()
            self.n_replayed += 1
            return out

        return replay


class FailingRecorder(RecorderOnCPU):
    def record(self, updates):
        self.n_recorded += 1
        raise RuntimeError("operation not permitted when stream is capturing")


@pytest.fixture(autouse=True)
def _can_record(monkeypatch):
    """A recording that fails in one test does not matter to the next."""
    monkeypatch.setattr(CapturedAlgorithm1, "can_record", True)


def state_of(algorithm):
    yield from algorithm.model.state_dict(keep_vars=True).values()
    for tensors in algorithm.optimizers.state():
        yield from tensors
    if algorithm.projection is not None:
        yield from algorithm.projection.state_dict(keep_vars=True).values()


def build(kind, shape, training):
    network = NetworkSettings(latent_dim=6, conditioning="embedding", width=8)
    model = MPCCModel(network, shape, 3, 0).double()
    return kind(model, resolved(shape, **training), torch.Generator().manual_seed(1))


def source(seed, algorithm, supervised):
    """Batches from a random stream of their own, as `train` draws them."""
    random = torch.Generator().manual_seed(seed)
    like = algorithm.model.prior.means

    def batch():
        shape = (algorithm.settings.batch_size, *algorithm.model.sample_shape)
        return torch.randn(shape, generator=random).to(like)

    def draw_real():
        x = batch()
        return (x, torch.randint(3, (len(x),), generator=random).to(x.device)) if supervised else (x,)

    def draw_pairs():
        xs, ys = zip(*(draw_real() if supervised else (batch(), None) for _ in range(2)), strict=True)
        return (*xs, *ys) if supervised else xs

    return draw_real, draw_pairs


CASES = {
    "default": {},
    "noise and decay": {"noise_std": 0.3, "learning_rate_decay": 0.5},
    "late averages": {"ema_start": 6},
    "learned weights": {"weights": "learned"},
    "one optimizer of the prior each": {"generator_prior_rate": "networks"},
    "reconstruction": {
        "reconstruction_weight": 2.0,
        "reconstruction_by_encoder": True,
        "generated_cluster_weight": 0.5,
        "ema_decay": "auto",
    },
}


def assert_agree(found, expected, rtol=1e-9, atol=1e-11):
    """Parameters, buffers, averages and the random stream of two trainings."""
    state = found.model.state_dict()
    for key, value in expected.model.state_dict().items():
        torch.testing.assert_close(state[key], value, rtol=rtol, atol=atol, msg=key)
    assert torch.equal(expected.rng.get_state(), found.rng.get_state())


def iterate_both(captured, fast, sources, n):
    """Run iterations of both, which have to agree after each."""
    from_captured, from_fast = sources
    for _ in range(n):
        expected = fast.iteration(*from_fast)
        found = captured.iteration(*from_captured)
        assert found.keys() == expected.keys()
        for key in expected:
            torch.testing.assert_close(found[key], expected[key], rtol=1e-9, atol=1e-11)
        assert_agree(captured, fast)


@pytest.mark.parametrize("supervised", [slow(False), True], ids=["free", "supervised"])
@pytest.mark.parametrize(
    ("name", "shape"),
    [(name, VECTOR) for name in CASES]
    + [(name, IMAGE) for name in ("default", "reconstruction")]
    + [
        pytest.param(name, IMAGE, marks=pytest.mark.slow)
        for name in CASES
        if name not in ("default", "reconstruction")
    ],
)
def test_replays_agree_step_by_step(name, shape, supervised, monkeypatch):
    """One recording serves all: labels end, averages begin, weights are learned while it is replayed."""
    monkeypatch.setattr(CapturedAlgorithm1, "recorder", RecorderOnCPU)
    training = (
        # Rates that single precision holds exactly: there they are tensors.
        {"max_iter": 7, "batch_size": 12, "supervised_iter": 5 if supervised else 0, "ema_start": 0}
        | ({} if name == "default" else {"discriminator_steps": 2, "encoder_steps": 2})
        | {"learning_rate": 2**-7, "prior_learning_rate": 2**-9, "consistency_weight": 0.5}
        | CASES[name]
    )
    fast, captured = (build(kind, shape, training) for kind in (FastAlgorithm1, CapturedAlgorithm1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        iterate_both(captured, fast, [source(2, a, supervised) for a in (captured, fast)], 7)
    assert captured._recorder.n_recorded == 1
    assert captured._recorder.n_replayed == 7 - cuda_graph.WARM_UP


@pytest.mark.parametrize("shape", [VECTOR, IMAGE], ids=["vector", "image"])
def test_replays_agree_with_the_plain_loop(shape, monkeypatch):
    monkeypatch.setattr(CapturedAlgorithm1, "recorder", RecorderOnCPU)
    training = {
        "max_iter": 10,
        "batch_size": 12,
        "supervised_iter": 7,
        "ema_start": 0,
        "learning_rate": 2**-10,
        "consistency_weight": 0.5,
    }
    plain, captured = (build(kind, shape, training) for kind in (Algorithm1, CapturedAlgorithm1))
    from_plain, from_captured = (source(2, a, True) for a in (plain, captured))
    for _ in range(10):
        expected = plain.iteration(*from_plain)
        found = captured.iteration(*from_captured)
        for key in expected:
            torch.testing.assert_close(found[key], expected[key], rtol=1e-7, atol=1e-8)
    assert captured._recorder.n_replayed == 10 - cuda_graph.WARM_UP
    state = captured.model.state_dict()
    for key, value in plain.model.state_dict().items():
        torch.testing.assert_close(state[key], value, rtol=1e-7, atol=1e-7, msg=key)


@pytest.mark.parametrize("shape", [VECTOR, IMAGE], ids=["vector", "image"])
def test_a_recording_outlives_rollback_mending_and_restore(shape, monkeypatch):
    """They change tensors in place, which the recording reads: it stays right, and the only one."""
    monkeypatch.setattr(CapturedAlgorithm1, "recorder", RecorderOnCPU)
    training = {"max_iter": 100, "batch_size": 12, "supervised_iter": 100, "ema_start": 0}
    training |= {"learning_rate": 2**-7, "prior_learning_rate": 2**-9, "reseed": True}
    fast, captured = (build(kind, shape, training) for kind in (FastAlgorithm1, CapturedAlgorithm1))
    sources = [source(2, a, True) for a in (captured, fast)]
    data = torch.randn(40, *shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    healths = [TrainingHealth(a, data, torch.Generator().manual_seed(4)) for a in (captured, fast)]
    healthy = {"discriminator": 1.0, "generator": 0.1}

    iterate_both(captured, fast, sources, 5)
    assert all(health.check(dict(healthy)) for health in healths)
    iterate_both(captured, fast, sources, 2)
    # Rolled back, to other draws, at half the rates.
    for health in healths:
        with torch.no_grad():
            health.model.prior.means.fill_(math.nan)
        assert not health.check(dict(healthy))
        assert health.algorithm.n_iter == 5
    assert float(captured.optimizers["generator"].rate) == 2**-8
    iterate_both(captured, fast, sources, 2)
    # A component without members is moved.
    for health in healths:
        health.algorithm.n_iter = 60
        with torch.no_grad():
            health.model.prior.means[1] += 1000.0
        assert all(health.check(dict(healthy)) for _ in range(PATIENCE))
        assert float(health.model.prior.means.detach().abs().max()) < 900
    iterate_both(captured, fast, sources, 2)
    # Restored to what it was.
    states = [a.state() for a in (captured, fast)]
    iterate_both(captured, fast, sources, 2)
    later = captured.model.prior.means.detach().clone()
    for algorithm, state in zip((captured, fast), states, strict=True):
        algorithm.load(state)
    assert not torch.equal(captured.model.prior.means, later)
    iterate_both(captured, fast, sources, 2)
    assert captured._recorder.n_recorded == 1
    assert captured._recorder.n_replayed == 15 - cuda_graph.WARM_UP


def test_what_the_host_decides_is_seen_by_the_recorder():
    """The stand-in notices what a CUDA graph could not repeat."""
    x = torch.ones(3)
    with pytest.raises(RuntimeError, match="on the host"), Recording():
        float(x.sum())


@pytest.mark.parametrize("supervised", [False, True])
def test_without_a_capture_the_training_goes_on(supervised, monkeypatch):
    """One warning, and the networks learn as without a recording."""
    monkeypatch.setattr(CapturedAlgorithm1, "recorder", FailingRecorder)
    supervised_iter = 4 if supervised else 0
    training = {"max_iter": 8, "batch_size": 12, "supervised_iter": supervised_iter, "ema_start": 0}
    captured = build(CapturedAlgorithm1, VECTOR, training)
    before = captured.model.generator.output.bias.detach().clone()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(8):
            found = captured.iteration(*source(2, captured, supervised))
    assert [type(warning.message) for warning in caught] == [RuntimeWarning]
    message = str(caught[0].message)
    assert "not permitted when stream" in message
    assert "allocator" in message
    assert "cuda_graphs" in message
    assert all(torch.isfinite(value) for value in found.values())
    assert not torch.equal(captured.model.generator.output.bias, before)
    assert captured.n_iter == 8


def test_after_a_capture_that_failed_no_other_is_tried(monkeypatch):
    """Not in the next initialization of the process either, which says nothing again."""
    monkeypatch.setattr(CapturedAlgorithm1, "recorder", FailingRecorder)
    training = {"max_iter": 8, "batch_size": 12, "ema_start": 0}
    first, second = (build(CapturedAlgorithm1, VECTOR, training) for _ in range(2))

    def iterate(algorithm):
        for _ in range(8):
            algorithm.iteration(*source(2, algorithm, False))

    with pytest.warns(RuntimeWarning, match="captured"):
        iterate(first)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        iterate(second)
    assert (first._recorder.n_recorded, second._recorder.n_recorded) == (1, 0)


def test_rates_are_set_on_the_device(monkeypatch):
    monkeypatch.setattr(CapturedAlgorithm1, "recorder", RecorderOnCPU)
    training = {"max_iter": 4, "batch_size": 12, "learning_rate": 1e-3, "learning_rate_decay": 1.0}
    captured = build(CapturedAlgorithm1, VECTOR, training)
    rate = captured.optimizers["generator"].rate
    seen = []
    for _ in range(4):
        captured.iteration(*source(2, captured, False))
        assert captured.optimizers["generator"].rate is rate
        seen.append(float(rate))
    torch.testing.assert_close(torch.tensor(seen), 1e-3 * torch.tensor([1.0, 0.75, 0.5, 0.25]))


def test_auto_precision_follows_a_gpu(monkeypatch):
    like = SimpleNamespace(dtype=torch.float32, device=torch.device("cuda"))
    for capability, expected in (((9, 0), torch.bfloat16), ((7, 5), None)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda d, c=capability: c)
        assert devices.matmul_dtype("auto", like) is expected
        assert devices.matmul_dtype("tf32", like) is None
