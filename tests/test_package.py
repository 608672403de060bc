import ast
import inspect
import re
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import skmpcc
from skmpcc import MPCCClusterer
from skmpcc.devices import inference_device, resident, resolve_device
from skmpcc.presets import OVERRIDABLE, PRESETS, choose
from skmpcc.prior import GaussianMixturePrior

PACKAGE = Path(skmpcc.__file__).parent

# Imports run from a module to those of a higher number.
ORDER = {
    "__main__": 0,
    "plotting": 1,
    "clusterer": 2,
    "metrics": 3,
    "runs": 3,
    "scoring": 3,
    "inference": 4,
    "monitoring": 4,
    "starts": 4,
    "presets": 4,
    "training": 4,
    "inputs": 5,
    "watch": 5,
    "classifiers": 5,
    "views": 5,
    "neighbors": 6,
    "capture": 5,
    "engine": 6,
    "algorithm": 7,
    "model": 8,
    "losses": 9,
    "prior": 10,
    "networks.passes": 9,
    "networks.image": 10,
    "networks.vector": 10,
    "networks.layers": 11,
    "flat": 11,
    "devices": 11,
}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("skmpcc"):
            module = node.module.removeprefix("skmpcc").removeprefix(".")
            if module:
                yield module
            else:
                yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.startswith("skmpcc"))


@pytest.mark.parametrize("module", ORDER)
def test_imports_run_downwards(module):
    for imported in imports(PACKAGE / (module.replace(".", "/") + ".py")):
        if imported != "MPCCClusterer":
            assert ORDER[imported] > ORDER[module]


def test_every_module_has_its_place():
    modules = {
        str(path.relative_to(PACKAGE).with_suffix("")).replace("/", ".")
        for path in PACKAGE.rglob("*.py")
        if path.name != "__init__.py"
    }
    assert modules == set(ORDER)


@pytest.mark.parametrize(
    "module",
    [
        "networks.image",
        "networks.layers",
        "networks.passes",
        "networks.vector",
        "flat",
        "losses",
        "prior",
        "model",
        "algorithm",
        "engine",
    ],
)
def test_the_method_is_plain_torch(module):
    text = (PACKAGE / (module.replace(".", "/") + ".py")).read_text()
    assert not re.search(r"^\s*(from|import) (sklearn|numpy|scipy|joblib)", text, re.MULTILINE)


def test_every_preset_field_is_a_parameter_that_overrides_it():
    parameters = inspect.signature(MPCCClusterer).parameters
    for name in OVERRIDABLE:
        assert parameters[name].default is None
    preset = PRESETS["mnist"]
    assert preset.overridden(**dict.fromkeys(OVERRIDABLE)) == preset
    assert preset.overridden(width=7).width == 7
    assert {f.name for f in fields(preset)} == {"name", "kind", *OVERRIDABLE}


@pytest.mark.parametrize(
    ("name", "conditioning", "c", "latent_dim", "prior_rate", "max_iter"),
    [
        ("mnist", "embedding", 12, 24, 1.6e-3, 125_000),
        ("omniglot", "embedding", 16, 24, 1.6e-3, 125_000),
        ("fashion_mnist", "shared", 24, 16, 1.6e-3, 75_000),
        ("cifar10", "split", 96, 128, 6e-4, 75_000),
        ("cifar20", "split", 96, 128, 6e-4, 75_000),
    ],
)
def test_the_papers_presets(name, conditioning, c, latent_dim, prior_rate, max_iter):
    preset = PRESETS[name]
    assert (preset.conditioning, preset.width, preset.latent_dim) == (conditioning, 4 * c, latent_dim)
    assert (preset.prior_learning_rate, preset.max_iter) == (prior_rate, max_iter)
    assert (preset.learning_rate, preset.batch_size) == (2e-4, 50)
    assert (preset.discriminator_steps, preset.encoder_steps) == (4, 4)
    assert (preset.prior_entropy_weight, preset.min_std) == (0.01, 0.5)
    assert (preset.ema_decay, preset.ema_start, preset.standing_passes) == (0.9999, 1000, 16)
    assert (preset.upsampling, preset.generator_spectral_norm) == ("bilinear", True)
    assert (preset.learning_rate_decay, preset.input_noise) == (0.0, 0.0)
    assert (preset.init_params, preset.consistency_weight) == ("random", 0.0)


@pytest.mark.parametrize("image", [None, (1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 128, 128)])
@pytest.mark.parametrize("n_clusters", [2, 100])
@pytest.mark.parametrize("n_features", [2, 784])
def test_choice(image, n_clusters, n_features):
    preset = choose(image, n_features, n_clusters)
    assert PRESETS[preset.name] is preset
    assert preset.kind == ("vector" if image is None else "image")


def test_presets_of_images_have_a_dimension_for_every_place_of_split():
    for preset in PRESETS.values():
        assert preset.conditioning != "split" or preset.latent_dim >= 6


def test_membership_cost_is_linear_in_the_number_of_clusters():
    def flops(n_clusters):
        prior = GaussianMixturePrior(n_clusters, 24)
        with FlopCounterMode(display=False) as counter:
            prior.log_responsibilities(torch.zeros(50, 24))
        return counter.get_total_flops()

    assert flops(1000) == 10 * flops(100) == 100 * flops(10) > 0


def test_devices():
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device(torch.device("cpu")) == torch.device("cpu")
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    for bad in ("abacus", "mps", "meta", "cuda:99", ""):
        with pytest.raises(ValueError, match="device="):
            resolve_device(bad)
    assert inference_device("cuda:99") == torch.device("cpu")
    with pytest.raises(ValueError, match="cudda"):
        inference_device("cudda")


def test_data_larger_than_half_of_a_gpu_stay_on_the_host(monkeypatch):
    moved = []
    data = SimpleNamespace(nbytes=100, to=lambda device: moved.append(device) or "there")
    gpu = torch.device("cuda")
    for free, expected in ((200, "there"), (199, data)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, 1000))
        assert resident(data, gpu) == expected
    assert moved == [gpu]


def test_readme_names_every_preset():
    readme = (PACKAGE.parent / "docs" / "presets.md").read_text()
    assert all(f"`{name}`" in readme for name in PRESETS)
