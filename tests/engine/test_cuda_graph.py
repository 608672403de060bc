"""Recorded iterations against the fast engine's, on a CPU by a recorder of its own, and on CUDA."""

import warnings
from types import SimpleNamespace

import pytest
import torch
from support import resolved
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from skmpcc import devices
from skmpcc.engine import cuda_graph
from skmpcc.engine.cuda_graph import CapturedAlgorithm1
from skmpcc.engine.fast import FastAlgorithm1
from skmpcc.method.algorithm import Algorithm1
from skmpcc.method.model import MPCCModel
from skmpcc.settings import NetworkSettings

VECTOR, IMAGE = (5,), (1, 8, 8)
CUDA = torch.cuda.is_available()
needs_cuda = pytest.mark.skipif(not CUDA, reason="no CUDA device")


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


def record(function, algorithm):
    """Do what `cuda_graph` does. A capture runs nothing, so the state is put back after it."""
    tensors = {id(t): t for t in state_of(algorithm)}
    before = [t.detach().clone() for t in tensors.values()]
    stream = algorithm.rng.get_state()
    recording = Recording()
    with recording:
        out = function()
    with torch.no_grad():
        for tensor, value in zip(tensors.values(), before, strict=True):
            tensor.copy_(value)
    algorithm.rng.set_state(stream)

    def replay():
        recording.replay()
        record.replays += 1
        return out

    return replay


def state_of(algorithm):
    yield from algorithm.model.state_dict(keep_vars=True).values()
    for tensors in algorithm.optimizers.state():
        yield from tensors
    if algorithm.projection is not None:
        yield from algorithm.projection.state_dict(keep_vars=True).values()


def build(kind, shape, training, *, device="cpu", network=None):
    base = {"latent_dim": 6, "conditioning": "embedding", "width": 8}
    model = MPCCModel(NetworkSettings(**base | (network or {})), shape, 3, 0).to(device)
    if device == "cpu":
        model.double()
    return kind(model, resolved(shape, **training), torch.Generator(device).manual_seed(1))


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
    "one optimizer of the prior each": {"generator_prior_rate": "networks"},
}


@pytest.mark.parametrize("supervised", [False, True], ids=["free", "supervised"])
@pytest.mark.parametrize("shape", [VECTOR, IMAGE], ids=["vector", "image"])
@pytest.mark.parametrize("name", CASES)
def test_replays_agree_step_by_step(name, shape, supervised, monkeypatch):
    """Parameters, buffers, averages, losses and the random stream after every iteration."""
    training = (
        # Rates that single precision holds exactly: there they are tensors.
        {"max_iter": 16, "batch_size": 12, "supervised_iter": 8 if supervised else 0, "ema_start": 0}
        | {"learning_rate": 2**-7, "prior_learning_rate": 2**-9, "consistency_weight": 0.5}
        | CASES[name]
    )
    monkeypatch.setattr(CapturedAlgorithm1, "recorder", staticmethod(record))
    record.replays = 0
    fast = build(FastAlgorithm1, shape, training)
    captured = build(CapturedAlgorithm1, shape, training)
    from_fast, from_captured = (source(2, a, supervised) for a in (fast, captured))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(16):
            expected = fast.iteration(*from_fast)
            found = captured.iteration(*from_captured)
            assert found.keys() == expected.keys()
            for key in expected:
                torch.testing.assert_close(found[key], expected[key], rtol=1e-9, atol=1e-11)
            state = captured.model.state_dict()
            for key, value in fast.model.state_dict().items():
                torch.testing.assert_close(state[key], value, rtol=1e-9, atol=1e-11, msg=key)
            assert torch.equal(fast.rng.get_state(), captured.rng.get_state())
    assert record.replays >= 5


@pytest.mark.parametrize("shape", [VECTOR, IMAGE], ids=["vector", "image"])
def test_replays_agree_with_the_plain_loop(shape, monkeypatch):
    training = {
        "max_iter": 10,
        "batch_size": 12,
        "supervised_iter": 10,
        "ema_start": 0,
        "learning_rate": 2**-10,
        "consistency_weight": 0.5,
    }
    monkeypatch.setattr(CapturedAlgorithm1, "recorder", staticmethod(record))
    record.replays = 0
    plain, captured = (build(kind, shape, training) for kind in (Algorithm1, CapturedAlgorithm1))
    from_plain, from_captured = (source(2, a, True) for a in (plain, captured))
    for _ in range(10):
        expected = plain.iteration(*from_plain)
        found = captured.iteration(*from_captured)
        for key in expected:
            torch.testing.assert_close(found[key], expected[key], rtol=1e-7, atol=1e-8)
    assert record.replays >= 5
    state = captured.model.state_dict()
    for key, value in plain.model.state_dict().items():
        torch.testing.assert_close(state[key], value, rtol=1e-7, atol=1e-7, msg=key)


def test_what_the_host_decides_is_seen_by_the_recorder():
    """The stand-in notices what a CUDA graph could not repeat."""
    x = torch.ones(3)
    with pytest.raises(RuntimeError, match="on the host"), Recording():
        float(x.sum())


@pytest.mark.parametrize("supervised", [False, True])
def test_without_a_capture_the_training_goes_on(supervised, monkeypatch):
    """One warning, and the networks learn as without a recording."""

    def fail(function, algorithm):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(CapturedAlgorithm1, "recorder", staticmethod(fail))
    supervised_iter = 4 if supervised else 0
    training = {"max_iter": 8, "batch_size": 12, "supervised_iter": supervised_iter, "ema_start": 0}
    captured = build(CapturedAlgorithm1, VECTOR, training)
    before = captured.model.generator.output.bias.detach().clone()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(8):
            found = captured.iteration(*source(2, captured, supervised))
    assert [type(warning.message) for warning in caught] == [RuntimeWarning]
    assert "not permitted when stream" in str(caught[0].message)
    assert all(torch.isfinite(value) for value in found.values())
    assert not torch.equal(captured.model.generator.output.bias, before)
    assert captured.n_iter == 8


def test_rates_are_set_on_the_device(monkeypatch):
    monkeypatch.setattr(CapturedAlgorithm1, "recorder", staticmethod(record))
    training = {"max_iter": 4, "batch_size": 12, "learning_rate": 1e-3, "learning_rate_decay": 1.0}
    captured = build(CapturedAlgorithm1, VECTOR, training)
    rate = captured.optimizers.generator.rate
    seen = []
    for _ in range(4):
        captured.iteration(*source(2, captured, False))
        assert captured.optimizers.generator.rate is rate
        seen.append(float(rate))
    torch.testing.assert_close(torch.tensor(seen), 1e-3 * torch.tensor([1.0, 0.75, 0.5, 0.25]))


@needs_cuda
@pytest.mark.parametrize("supervised", [False, True], ids=["free", "supervised"])
@pytest.mark.parametrize("shape", [VECTOR, IMAGE], ids=["vector", "image"])
def test_cuda_graphs_follow_the_fast_engine(shape, supervised):
    training = {
        "max_iter": 16,
        "batch_size": 12,
        "supervised_iter": 8 if supervised else 0,
        "ema_start": 0,
        "consistency_weight": 0.5,
        "learning_rate": 1e-3,
    }
    fast, captured = (
        build(kind, shape, training, device="cuda", network={"width": 16})
        for kind in (FastAlgorithm1, CapturedAlgorithm1)
    )
    from_fast, from_captured = (source(2, a, supervised) for a in (fast, captured))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        for _ in range(16):
            expected = fast.iteration(*from_fast)
            found = {name: float(v) for name, v in captured.iteration(*from_captured).items()}
            for name, value in expected.items():
                assert found[name] == pytest.approx(float(value), rel=1e-2, abs=1e-2)
    assert captured._replay is not None
    state = captured.model.state_dict()
    for name, value in fast.model.state_dict().items():
        torch.testing.assert_close(state[name], value, rtol=1e-2, atol=1e-2, msg=name)


@needs_cuda
def test_cuda_iterations_do_not_wait_for_the_device():
    training = {"max_iter": 16, "batch_size": 12, "ema_start": 0}
    captured = build(CapturedAlgorithm1, VECTOR, training, device="cuda")
    batch = source(2, captured, False)[0]()
    for _ in range(cuda_graph.WARM_UP + 2):
        captured.iteration(lambda: batch)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            captured.iteration(lambda: batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_auto_precision_follows_a_gpu(monkeypatch):
    like = SimpleNamespace(dtype=torch.float32, device=torch.device("cuda"))
    for capability, expected in (((9, 0), torch.bfloat16), ((7, 5), None)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda d, c=capability: c)
        assert devices.matmul_dtype("auto", like) is expected
        assert devices.matmul_dtype("tf32", like) is None
