"""The script `skmpcc` beside `python -m skmpcc`."""

import signal
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import pytest

import skmpcc

ENTRY = "skmpcc.__main__:console"
# As the scripts that are installed, which are called so.
SCRIPT = """
import sys
from skmpcc.__main__ import console
sys.argv[0] = "/some/bin/skmpcc"
sys.exit(console())
"""


def ways(*arguments):
    return [sys.executable, "-c", SCRIPT, *arguments], [sys.executable, "-m", "skmpcc", *arguments]


def entry_points():
    try:
        found = distribution("skmpcc").entry_points
    except PackageNotFoundError:
        found = ()
    return {each.name: each.value for each in found if each.group == "console_scripts"}


def test_the_project_names_the_script():
    path = Path(skmpcc.__file__).parent.parent / "pyproject.toml"
    if not path.exists():
        pytest.skip("This is no checkout.")
    assert tomllib.loads(path.read_text())["project"]["scripts"] == {"skmpcc": ENTRY}


@pytest.mark.skipif(not entry_points(), reason="The installation is older than the script.")
def test_the_script_is_installed():
    assert entry_points() == {"skmpcc": ENTRY}


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [(["--help"], 0, "{} predict MODEL DATA"), (["predict", "--help"], 0, "usage: {} predict [-h]")],
)
def test_help_names_the_way_the_command_was_called(arguments, status, told):
    for command, name in zip(ways(*arguments), ("skmpcc", "python -m skmpcc"), strict=True):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == status
        assert f"usage: {name} " in done.stdout
        assert told.format(name) in done.stdout


def test_errors_have_the_status_2():
    for command in ways("none.csv", "--n-clusters", "3"):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 2
        assert done.stderr == "error: There is no file or folder none.csv.\n"


def test_interrupted_script(tmp_path):
    np.save(tmp_path / "data.npy", np.random.default_rng(0).normal(size=(2000, 8)))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # Where the tests run in the background, children would ignore the signal.
    heeding = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    command = ways("data.npy", "--n-clusters", "5")[0]
    with subprocess.Popen(command, cwd=tmp_path, **pipes, **heeding) as process:
        process.stdout.readline()  # then the fit begins
        process.send_signal(signal.SIGINT)
        assert process.communicate()[1].splitlines()[-1] == "interrupted"
    assert process.returncode == 130
