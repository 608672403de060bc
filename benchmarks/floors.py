"""Labels of the data sets whose floors the tests hold, over many seeds: what the floors are set by.

python benchmarks/floors.py --seeds 0-9                      # all sets, pseudo-labels and labels alone
python benchmarks/floors.py --seeds 0-9 --fits whole --sets iris moons

Each set gets a line with the adjusted Rand index and the clustering accuracy of each seed, of its worst
one and of their mean. The sets, and how the tests fit them, are in `tests/floors.py`.
"""

import argparse
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from floors import FITS, SETS, fit, scored


def seeds(text: str) -> range:
    """Read the first and the last seed."""
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def main() -> None:
    """Fit and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--fits", nargs="+", choices=FITS, default=["pseudo_labels", "labels_only"])
    parser.add_argument("--seeds", type=seeds, default=seeds("0-9"), metavar="FIRST-LAST")
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    for name in options.sets:
        X, y = SETS[name]()
        for kind in options.fits:
            found, start = [], time.process_time()
            for seed in options.seeds:
                clusterer = fit(kind, X, y, seed)
                found.append([*scored(y, clusterer.pseudo_labels_), *scored(y, clusterer.labels_)])
            seconds = (time.process_time() - start) / len(options.seeds)
            print(f"{name}, {kind}: {seconds:.1f} s of the processor each", flush=True)
            columns = ["pseudo ari", "pseudo acc", "ari", "acc"][: 2 if kind == "pseudo_labels" else 4]
            for column, values in zip(columns, np.transpose(found), strict=False):
                each = " ".join(f"{value:.3f}" for value in values)
                print(
                    f"  {column:10} worst {values.min():.3f} mean {values.mean():.3f}  {each}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
