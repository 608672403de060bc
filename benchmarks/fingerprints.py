"""Hashes of what default fits compute: whether a change of the code left the results bit for bit alone.

python benchmarks/fingerprints.py --write FILE.json      # before a change
python benchmarks/fingerprints.py --compare FILE.json    # after it, on the same machine

The exit status is 1 on a difference. Fits run on one thread, because sums over several threads round
differently. Hashes of different processors or versions of PyTorch cannot be compared, so both are stored
beside them.
"""

import argparse
import hashlib
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from common import machine
from numpy.typing import NDArray
from sklearn import datasets

from skmpcc import MPCCClusterer

SETS: dict[str, Callable[[], tuple[NDArray, int]]] = {
    "iris": lambda: (datasets.load_iris().data, 3),
    "wine": lambda: (datasets.load_wine().data, 3),
    "digits": lambda: (datasets.load_digits().data, 10),
    "digits_images": lambda: (datasets.load_digits().images, 10),
}
SAME_MACHINE = ("processor", "torch")


def fingerprint(values: NDArray) -> str:
    """Hash of an array's bytes."""
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()[:16]


def fingerprints(name: str) -> dict[str, str | int]:
    """Hashes of the fitted means, covariances and labels of a default fit."""
    X, n_clusters = SETS[name]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        clusterer = MPCCClusterer(n_clusters, random_state=0).fit(X)
    return {
        "means": fingerprint(clusterer.means_),
        "covariances": fingerprint(clusterer.covariances_),
        "labels": fingerprint(clusterer.labels_),
        "iterations": clusterer.n_iter_,
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", choices=SETS, default=list(SETS))
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", type=Path, help="a JSON file")
    action.add_argument("--compare", type=Path, help="a JSON file that --write made")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = {"machine": machine(), "fits": {name: fingerprints(name) for name in options.data}}
    if options.write:
        options.write.write_text(json.dumps(found, indent=1) + "\n")
        return 0
    stored = json.loads(options.compare.read_text())
    for key in SAME_MACHINE:
        if stored["machine"][key] != found["machine"][key]:
            print(f"not comparable: {key} was {stored['machine'][key]}, is {found['machine'][key]}")
            return 2
    differ = False
    for name, values in found["fits"].items():
        equal = values == stored["fits"][name]
        differ |= not equal
        print(f"{name}: equal" if equal else f"{name}: {values} instead of {stored['fits'][name]}")
    return int(differ)


if __name__ == "__main__":
    sys.exit(main())
