"""Whether an iteration keeps to one device, which a machine without a GPU can tell, too.

`FakeTensorMode` can pretend a CUDA device, but autograd asks PyTorch's CUDA library for it, which most
machines without a GPU do not have. The device "meta" is in every build. It has shapes and no values, so
that reading a value on the host is an error, and a mode looks at the devices of all tensors of each
operation.
"""

import contextlib
from dataclasses import replace

import pytest
import torch
from support import resolved, slow
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from skmpcc.engine.cuda_graph import WARM_UP, CapturedAlgorithm1
from skmpcc.engine.fast import FastAlgorithm1
from skmpcc.method.algorithm import Algorithm1
from skmpcc.method.model import MPCCModel
from skmpcc.presets import PRESETS
from skmpcc.settings import NetworkSettings, TrainingSettings, select, settings_of

META = torch.device("meta")
SEED = 777
ENGINES = [Algorithm1, FastAlgorithm1, CapturedAlgorithm1]
CASES = {
    "vectors": (12,),
    "vectors_narrow": (5,),
    "mnist": (1, 16, 16),
    "fashion_mnist": (1, 8, 8),
    "cifar10": (3, 8, 8),
    "grey": (1, 8, 8),
}


class OneDevice(TorchDispatchMode):
    """Refuses operations with a tensor or a random stream of the host.

    CUDA takes tensors of the host that hold one value, but a graph would repeat the value that they had.
    """

    def __init__(self):
        super().__init__()
        self.n_operations = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        self.n_operations += 1
        # PyTorch has no such kernel for Adam, which returns nothing.
        is_adam = function is torch.ops.aten._fused_adam_.tensor_lr
        out = None if is_adam else function(*args, **kwargs)
        for value in tree_leaves((args, kwargs, out)):
            if isinstance(value, torch.Tensor) and value.device != META:
                raise RuntimeError(f"{function} has a tensor on {value.device}")
            if isinstance(value, torch.Generator) and value.initial_seed() != SEED:
                raise RuntimeError(f"{function} draws from another random stream")
        return out


class MetaGenerator(torch.Generator):
    """A random stream that says it is on the device; it is known by its seed."""

    device = META


class NoRecorder:
    """Runs, and records nothing: that there are no values to read on the host is tested anyway."""

    def __init__(self, algorithm):
        self.runs = 0

    def run(self, updates):
        self.runs += 1
        return updates()


@pytest.fixture(autouse=True)
def _pretend(monkeypatch):
    monkeypatch.setattr(CapturedAlgorithm1, "recorder", NoRecorder)
    # There is none for this device.
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: contextlib.nullcontext())


def build(engine, name, supervised=True):
    """A training by a preset, made small, and its batches."""
    shape = CASES[name]
    # What is cast by autocast stays in float32 here; networks for tables cast by themselves.
    precision = "bfloat16" if len(shape) == 1 else "float32"
    small = {"width": 8, "batch_size": 12, "discriminator_steps": 2, "encoder_steps": 1}
    # The paper's presets leave these parts out, and all are to be seen.
    parts = {"consistency_weight": 1.0, "weights": "learned"}
    preset = replace(PRESETS[name], precision=precision, **small, **parts)
    settings = resolved(
        shape,
        **{key: getattr(preset, key) for key in settings_of(TrainingSettings)},
        noise_std=0.3 if preset.input_noise else 0.0,
        supervised_iter=5 if supervised else 0,
    )
    rng = MetaGenerator()
    rng.manual_seed(SEED)
    model = MPCCModel(select(preset, NetworkSettings), shape, 10, 0).to(META)
    algorithm = engine(model, settings, rng)
    x = torch.empty(12, *shape, device=META)
    y = torch.empty(12, dtype=torch.int64, device=META)
    real, pairs = ((x, y), (x, x, y, y)) if supervised else ((x,), (x, x))
    return algorithm, lambda: real, lambda: pairs


@pytest.mark.parametrize("supervised", [slow(False), True], ids=["free", "supervised"])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", CASES)
def test_an_iteration_stays_on_one_device(name, engine, supervised):
    algorithm, *draws = build(engine, name, supervised)
    with OneDevice() as seen:
        losses = algorithm.iteration(*draws)
    assert all(loss.device == META for loss in losses.values())
    assert seen.n_operations > 300
    assert {"discriminator", "generator", "latent", "cluster", "consistency"} <= losses.keys()
    if engine is CapturedAlgorithm1:
        assert algorithm._recorder.runs == 1 < WARM_UP


def _weights(algorithm):
    algorithm.model.prior.weights = torch.zeros(10)


def _supervision(algorithm):
    algorithm.supervision = torch.zeros(())


def _rate(algorithm):
    algorithm.optimizers["encoder"].rate = torch.zeros(())


def _stream(algorithm):
    algorithm.rng = torch.Generator().manual_seed(0)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("misplace", [_weights, _supervision, _rate, _stream])
@pytest.mark.parametrize("name", ["vectors", "grey"])
def test_what_is_on_the_host_is_refused(name, misplace, engine):
    """The control: each of these makes an iteration fail."""
    algorithm, *draws = build(engine, name)
    misplace(algorithm)
    with pytest.raises(RuntimeError, match=r"on cpu|another random stream"), OneDevice():
        algorithm.iteration(*draws)


@pytest.mark.parametrize("name", ["vectors", "grey"])
def test_reading_a_value_is_refused(name):
    algorithm, *draws = build(FastAlgorithm1, name)
    with OneDevice():
        losses = algorithm.iteration(*draws)
    with pytest.raises(RuntimeError):
        float(losses["generator"])
