"""Rules of the package's structure."""

import ast
import re
import subprocess
import sys
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
# The uppermost first: what is in one may import those below, and others of its own.
LEVELS = [
    {"__main__"},
    {"command"},
    {"report"},
    {"plotting"},
    {"inspection"},
    {"__init__"},
    {"vade", "light_curves", "model_selection"},
    {"aim", "classifier", "clusterer", "novelty", "vae"},
    {"_base", "metrics"},
    {"_parameters"},
    {"training"},
    {"fitted"},
    {"aim_presets", "variational_presets"},
    {"presets"},
    {"pseudo_labels", "engine"},
    {"data"},
    {"method"},
    {"settings"},
    {"_sklearn", "system"},
]
METHOD = [
    {"method.light_curves"},
    {"method.aim", "method.algorithm", "method.variational"},
    {"method.adversarial"},
    {"method.model", "method.trainer", "method.losses"},
    {"method.latent_model", "method.optimizers", "method.networks.build"},
    {"method.networks.series"},
    {"method.prior", "method.networks.image", "method.networks.vector", "method.networks.dcgan"},
    {"method.networks.layers", "method.networks.table"},
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


def room(module):
    return module.split(".")[0]


def test_every_module_has_its_place():
    assert {room(module) for module in MODULES} == set().union(*LEVELS)
    method = {module for module in MODULES if module.startswith("method.") and "__init__" not in module}
    assert method == set().union(*METHOD)
    assert len([module for module in MODULES if "." not in module]) <= 18


@pytest.mark.parametrize("level", range(len(LEVELS)))
def test_imports_run_downwards(level):
    """And not across: of rooms beside each other a module imports its own alone."""
    below = set().union(*LEVELS[level + 1 :])
    for module in (module for module in MODULES if room(module) in LEVELS[level]):
        imported = {room(name) for name in imports(MODULES[module])}
        assert imported <= below | {room(module)}, module


def test_the_method_is_told_from_top_to_bottom():
    for number, level in enumerate(METHOD):
        above = set().union(*METHOD[: number + 1])
        for module in level:
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
    of_curves = ("light_curves.vade", "light_curves.grid")
    modules = ("aim", "clusterer", "classifier", "vae", "vade", "_base", "_parameters", *of_curves)
    for module in modules:
        for imported in imports(MODULES[module]):
            assert room(imported) not in ("method", "engine", "pseudo_labels")


def test_private_names_of_scikit_learn_are_in_one_module():
    """They may change with any of its versions."""
    private = re.compile(
        r"sklearn[\w.]*\._|^from sklearn[\w.]* import .*\b_|\._(validate_params|init_callback)",
        re.MULTILINE,
    )
    found = {module for module, path in MODULES.items() if private.search(path.read_text())}
    assert found == {"_sklearn"}


# Functions of more than seven parameters: what users call, and what is still to be divided. The list may
# only shrink.
LONG_LISTS = {
    "light_curves.grid.__init__",
    "light_curves.vade.__init__",
    "aim.__init__",
    "vae.__init__",
    "classifier.__init__",
    "clusterer.__init__",
    "command.reading.read",
    "command.reading_text.read_text",
    "method.networks.image.__init__",
    "training.batches.__init__",
    "training.loop.train",
}


def functions():
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                yield f"{module}.{node.name}", node


def n_lines(node):
    """Lines of a function without its docstring."""
    body = node.body[1:] if ast.get_docstring(node) is not None and len(node.body) > 1 else node.body
    return node.end_lineno - body[0].lineno + 1


def test_functions_are_short():
    assert not {name for name, node in functions() if n_lines(node) > 60}


def test_functions_have_few_parameters():
    def n_parameters(node):
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        return sum(each.arg not in ("self", "cls") for each in arguments)

    assert {name for name, node in functions() if n_parameters(node) > 7} == LONG_LISTS


def test_membership_cost_is_linear_in_the_number_of_clusters():
    def flops(n_clusters):
        prior = GaussianMixturePrior(n_clusters, 24)
        with FlopCounterMode(display=False) as counter:
            prior.log_responsibilities(torch.zeros(50, 24))
        return counter.get_total_flops()

    assert flops(1000) == 10 * flops(100) == 100 * flops(10) > 0


def test_public_names_are_there_when_they_are_asked_for():
    """In a process that has imported the package and nothing else, which takes no time."""
    code = """
import sys, skmpcc
assert not {"torch", "numpy"} & set(sys.modules)
for name in (*skmpcc._SUBMODULES, *skmpcc.__all__):
    assert name in dir(skmpcc)
    getattr(skmpcc, name)
assert "matplotlib" not in sys.modules  # neither by skmpcc.plotting
from skmpcc import AIM, MPCCClassifier, show_versions
from skmpcc import *
import skmpcc.aim
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="module 'skmpcc' has no attribute 'other'"):
        skmpcc.other  # noqa: B018
