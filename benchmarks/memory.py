"""Largest resident memory of `fit` and `predict`, a line of JSON for each number of rows.

python benchmarks/memory.py
python benchmarks/memory.py --rows 10000 1000000 --kinds table file --output FILE

Each case runs in a process of its own: rows of 20 features around 10 centres, a table of 50 features in
a file that is mapped into memory ("file"), or images of 28 x 28 grey values, all in single precision. Of
memory that the data themselves take, a mapped file's counts as far as the system keeps it resident.
Fits are of `labels_only` and `MAX_ITER` iterations: what memory they take does not grow with iterations.
Figures are MiB above what the process had after its imports.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from common import machine
from numpy.typing import NDArray
from sklearn.utils import gen_batches

from skmpcc import MPCCClusterer

MAX_ITER = 100
N_CLUSTERS = 10
SIDE = 28
FEATURES = {"table": 20, "file": 50}
CHUNK = 100_000


def peak() -> float:
    """Largest resident memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def chunks(shape: tuple[int, ...]) -> Iterator[NDArray]:
    """Draw rows around some centres."""
    rng = np.random.default_rng(0)
    centres = 8.0 * rng.standard_normal((N_CLUSTERS, *shape[1:]), dtype=np.float32)
    for rows in gen_batches(shape[0], CHUNK):
        chosen = rng.integers(N_CLUSTERS, size=rows.stop - rows.start)
        yield rng.standard_normal((len(chosen), *shape[1:]), dtype=np.float32) + centres[chosen]


def one(kind: str, n: int) -> dict[str, Any]:
    """Fit and predict in this process."""
    shape = (n, SIDE, SIDE) if kind == "images" else (n, FEATURES[kind])
    before = peak()
    with tempfile.TemporaryDirectory() as folder:
        if kind == "file":
            path = Path(folder) / "X"
            with path.open("wb") as file:
                for chunk in chunks(shape):
                    chunk.tofile(file)
            X = np.memmap(path, np.float32, "r", shape=shape)
        else:
            X = np.empty(shape, np.float32)
            for rows, chunk in zip(gen_batches(n, CHUNK), chunks(shape), strict=True):
                X[rows] = chunk
        row: dict[str, Any] = {"kind": "memory", "data": kind, "rows": n}
        row["data_mib"] = X.nbytes / 2**20
        started = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            clusterer = MPCCClusterer(
                N_CLUSTERS, max_iter=MAX_ITER, labels_only=True, random_state=0
            ).fit(X)
        row["fit_seconds"] = time.perf_counter() - started
        row["fit_mib"] = peak() - before
        started = time.perf_counter()
        clusterer.predict(X)
        row["predict_seconds"] = time.perf_counter() - started
        row["both_mib"] = peak() - before
    return row | {"imports_mib": before, "machine": machine()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kinds", nargs="+", default=["table", "images"], choices=["images", *FEATURES])
    parser.add_argument("--rows", nargs="+", type=int, default=[10_000, 100_000, 1_000_000])
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent / "results" / "memory.jsonl"
    )
    parser.add_argument("--one", nargs=2, metavar=("KIND", "ROWS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        print(json.dumps(one(options.one[0], int(options.one[1]))))
        return
    for kind in options.kinds:
        for n in options.rows:
            command = [sys.executable, __file__, "--one", kind, str(n)]
            found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            with options.output.open("a") as file:
                file.write(found)
            print(found, end="", flush=True)


if __name__ == "__main__":
    main()
