"""Print the lowest versions that pyproject.toml claims, as pip wants them."""

import argparse
import tomllib
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--without", nargs="*", default=[], help="packages to leave out")
options = parser.parse_args()
with (Path(__file__).parent.parent / "pyproject.toml").open("rb") as file:
    claims = [claim.split(">=") for claim in tomllib.load(file)["project"]["dependencies"]]
lowest = [(name, version.split(",")[0]) for name, version in claims]
print(*(f"{name}=={version}.0" for name, version in lowest if name not in options.without))
