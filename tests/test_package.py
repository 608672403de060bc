"""Rules of the package's structure."""

import ast
import re
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import skmpcc
from skmpcc.method.prior import GaussianMixturePrior

PACKAGE = Path(skmpcc.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")
}
# Packages and modules below the estimator: whom they may import, beside themselves.
MAY_IMPORT = {
    "_sklearn": set(),
    "settings": {"_sklearn"},
    "devices": set(),
    "scaling": set(),
    "processes": set(),
    "progress": set(),
    "method": {"settings"},
    "engine": {"method", "settings", "devices", "processes"},
    "pseudo_labels": {"method", "devices", "progress", "scaling"},
    "training": {"engine", "pseudo_labels", "method", "settings", "devices", "progress", "processes"},
}

# Modules at the top level, which may import any of these and each other downwards.
TOP = [
    {"__init__"},
    {"__main__"},
    {"_command"},
    {"report"},
    {"plotting"},
    {"aim", "clusterer", "classifier", "model_selection"},
    {"_fit_aim"},
    {"_fit"},
    {"_rows", "_start", "_convergence"},
    {"_latent", "_parameters", "_classes", "scoring", "monitoring", "metrics"},
    {"_checkpoint"},
    {"saving", "export"},
    {"inference", "aim_presets"},
    {"_sliced"},
    {"_reading"},
    {"_reading_text"},
    {"_reading_numbers", "_reading_images"},
    {"inputs", "presets", "versions", "_files", "_frames"},
]
METHOD = [
    {"method.aim"},
    {"method.algorithm"},
    {"method.model", "method.losses", "method.optimizers"},
    {"method.prior", "method.networks.image", "method.networks.vector", "method.networks.dcgan"},
    {"method.networks.layers"},
]


def imports(path):
    """Modules of this package that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("skmpcc"):
            module = node.module.removeprefix("skmpcc").removeprefix(".")
            if f"{module}.__init__" in MODULES or not module:
                yield from (f"{module}.{alias.name}".removeprefix(".") for alias in node.names)
            else:
                yield module
        elif isinstance(node, ast.Import):
            yield from (
                a.name.removeprefix("skmpcc.") for a in node.names if a.name.startswith("skmpcc")
            )


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_packages_import_those_below_them(package):
    found = 0
    for module, path in MODULES.items():
        if module.split(".")[0] != package:
            continue
        found += 1
        imported = {name.split(".")[0] for name in imports(path)}
        assert imported <= MAY_IMPORT[package] | {package}, module
    assert found


def test_every_module_has_its_place():
    top = set().union(*TOP)
    assert {module.split(".")[0] for module in MODULES} == top | set(MAY_IMPORT)
    method = {module for module in MODULES if module.startswith("method.") and "__init__" not in module}
    assert method == set().union(*METHOD)


@pytest.mark.parametrize("levels", [TOP, METHOD], ids=["top", "method"])
def test_imports_run_downwards(levels):
    for number, level in enumerate(levels):
        above = set().union(*levels[: number + 1])
        for module in level - {"__init__", "__main__", "plotting"}:
            assert not set(imports(MODULES[module])) & above, module


def test_imports_run_in_no_circle():
    below = {module: set(imports(path)) & set(MODULES) for module, path in MODULES.items()}

    def walk(module, above):
        assert module not in above, f"{module} imports itself by way of {above}"
        for imported in below[module]:
            walk(imported, (*above, module))

    for module in below:
        walk(module, ())


def test_the_method_is_plain_torch():
    found = 0
    for module, path in MODULES.items():
        if module.split(".")[0] in ("method", "engine"):
            found += 1
            text = path.read_text()
            assert not re.search(r"^\s*(from|import) (sklearn|numpy|scipy|joblib)", text, re.MULTILINE)
    assert found > 10


def test_the_estimators_know_no_networks_and_no_losses():
    for module in ("aim", "clusterer", "classifier", "_latent", "_parameters", "_classes"):
        for imported in imports(MODULES[module]):
            assert imported.split(".")[0] not in ("method", "engine", "pseudo_labels", "training")


def test_private_names_of_scikit_learn_are_in_one_module():
    """They may change with any of its versions."""
    private = re.compile(
        r"sklearn[\w.]*\._|^from sklearn[\w.]* import .*\b_|\._(validate_params|init_callback)",
        re.MULTILINE,
    )
    found = {module for module, path in MODULES.items() if private.search(path.read_text())}
    assert found == {"_sklearn"}


def test_files_are_short():
    for module, path in MODULES.items():
        assert len(path.read_text().splitlines()) <= 500, module


def test_membership_cost_is_linear_in_the_number_of_clusters():
    def flops(n_clusters):
        prior = GaussianMixturePrior(n_clusters, 24)
        with FlopCounterMode(display=False) as counter:
            prior.log_responsibilities(torch.zeros(50, 24))
        return counter.get_total_flops()

    assert flops(1000) == 10 * flops(100) == 100 * flops(10) > 0
