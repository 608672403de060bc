"""Recipes of docs/recipes/ run as they stand, in an empty folder, and are on their page."""

import ast
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support import slow

ROOT = Path(__file__).parent.parent
RECIPES = sorted((ROOT / "docs" / "recipes").glob("*.py"))
# More than ten seconds, of which most start workers.
SLOW = {"dask_distributed", "ray_map_batches", "spark_batch_udf"}


def packages(path):
    """Packages that a script imports from, without those that come with Python."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module.partition(".")[0])
    return sorted(names - sys.stdlib_module_names)


CASES = [slow(path) if path.stem in SLOW else path for path in RECIPES]


@pytest.mark.parametrize("path", CASES, ids=[path.stem for path in RECIPES])
def test_recipe_runs(path, tmp_path):
    missing = [name for name in packages(path) if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    found = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, str(path)]
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": found}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_every_recipe_is_on_the_page():
    page = (ROOT / "docs" / "recipes.md").read_text()
    included = re.findall(r"```\{literalinclude\} recipes/(\w+)\.py", page)
    assert sorted(included) == [path.stem for path in RECIPES]
    assert included == re.findall(r"\(recipes/(\w+)\.py\)", page)
