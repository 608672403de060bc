"""List the rows of docs/benchmarks.md that are older than the code they measure.

python benchmarks/older_rows.py
python benchmarks/older_rows.py --table suite random_starts

A row is older if the code that it measures, some of the folders and files of skmpcc/, was changed after
the commit in the row's last column. Many such changes leave results alone: what is listed may have
changed. Changes from before a file was moved are not counted. Rows of other packages' methods are left
out. Without git, or without the history, nothing can be told, and the exit status is 0 all the same.
"""

import argparse
import re
import subprocess
import textwrap
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"

COMMIT = re.compile(r"\b[0-9a-f]{7}\b")
COMMITS = re.compile(r"[0-9a-f]{7}(, [0-9a-f]{7})*")
MARK = re.compile(r"<!-- tables\.py: (\w+) -->")

# What decides pseudo-labels, and what decides all else that a fit gives.
SEARCH = ("skmpcc/data", "skmpcc/pseudo_labels")
FIT = (*SEARCH, "skmpcc/method", "skmpcc/engine", "skmpcc/training", "skmpcc/presets.py")
CLASSIFIER = (*FIT, "skmpcc/classifier.py")
AIM = ("skmpcc/data", "skmpcc/method", "skmpcc/training", "skmpcc/aim.py", "skmpcc/aim_presets.py")
VAE = (
    *("skmpcc/data", "skmpcc/method", "skmpcc/training"),
    *("skmpcc/vae.py", "skmpcc/variational_presets.py"),
)
VADE = (*FIT, "skmpcc/vade.py", "skmpcc/variational_presets.py")
NETWORKS = ("skmpcc/method",)
# By the beginning of a table's name: `suite` is also for `suite_halves`.
MEASURED = {
    "accuracy": FIT,
    "ari": FIT,
    "nmi": FIT,
    "seconds": FIT,
    "suite": FIT,
    "images": FIT,
    "mixed": (*FIT, *VADE, *VAE, "skmpcc/fitted"),
    "inspection": (*FIT, "skmpcc/fitted", "skmpcc/inspection"),
    "generation": (*FIT, "skmpcc/fitted"),
    "classification": CLASSIFIER,
    "numbers": (*SEARCH, "skmpcc/training/number.py", "skmpcc/model_selection.py"),
    "which_clusterer": FIT,
    "samples_of_classes": (*CLASSIFIER, "skmpcc/fitted"),
    "learned_from_samples": (*CLASSIFIER, "skmpcc/fitted"),
    "random_starts": FIT,
    "paper": FIT,
    "aim": AIM,
    "light_curves": (*VADE, "skmpcc/fitted", "skmpcc/light_curves"),
    "codes": (*FIT, *AIM, *VAE, *VADE, "skmpcc/fitted"),
}
# By the beginning of a row's method, where it is not all of the table's.
OF_METHOD = {
    "pseudo-labels": SEARCH,
    "the encoder alone": NETWORKS,
    "AIM": AIM,
    "VAE": VAE,
    "VaDE": VADE,
}
# Methods of other packages.
OTHERS = (
    "KMeans",
    "GaussianMixture",
    "a GaussianMixture",
    "spectral",
    "UMAP",
    "HDBSCAN",
    "Ward",
    "principal components",
    "IsolationForest",
    "Forest Flow",
    "LabelSpreading",
    "SelfTrainingClassifier",
    "columns alone",
    "the fitted",
    "period",
    "three numbers",
    "numbers and colours",
    "LOF",
    "random forest",
    "QDA",
)


class Row(NamedTuple):
    """A row of a table: the table's name, the cells by their columns' titles, and the commits."""

    table: str
    cells: dict[str, str]
    commits: list[str]

    @property
    def measured(self) -> tuple[str, ...]:
        """Paths that decide what the row says; none for a method of another package."""
        method = self.cells.get("method", "")
        if method.startswith(OTHERS):
            return ()
        for begins, paths in (OF_METHOD | MEASURED).items():
            if (method if begins in OF_METHOD else self.table).startswith(begins):
                return paths
        raise ValueError(f"What the table {self.table!r} measures is not in MEASURED.")

    @property
    def title(self) -> str:
        """What tells the row from others: its first cells, up to the method if it has one."""
        titles = list(self.cells)
        end = titles.index("method") + 1 if "method" in titles else 1
        return ", ".join(filter(None, (self.cells[title] for title in titles[:end])))


def rows_of(text: str) -> Iterator[Row]:
    """Rows of all tables of a page, by the names between marks; the name is "" outside of these."""
    table, titles = "", None
    for line in text.splitlines():
        if found := MARK.match(line):
            table = "" if found[1] == "end" else found[1]
        if not line.startswith("|"):
            titles = None
            continue
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if titles is None:
            titles = cells
        elif not all(re.fullmatch(":?-+:?", cell) for cell in cells):
            yield Row(table, dict(zip(titles, cells, strict=True)), COMMIT.findall(cells[-1]))


@cache
def git(*arguments: str) -> str | None:
    """What git prints; None if it is missing, fails, or answers no by its exit status."""
    try:
        asked = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def last_change(paths: tuple[str, ...]) -> str | None:
    """Last commit that changed one of the paths, and its date."""
    return git("log", "-1", "--abbrev=7", "--format=%h %ad", "--date=short", "--", *paths) or None


def is_older(commit: str, change: str) -> bool | None:
    """Whether a commit lacks a change, which is another commit; None if git does not know both."""
    if any(git("cat-file", "-e", f"{each}^{{commit}}") is None for each in (commit, change)):
        return None
    return git("merge-base", "--is-ancestor", change, commit) is None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", nargs="+", default=[], help="names of tables (default: all)")
    wanted = parser.parse_args().table
    older: dict[tuple[str, str, tuple[str, ...]], list[str]] = defaultdict(list)
    n_older = n_unknown = n_rows = 0
    for row in rows_of(PAGE.read_text()):
        if not row.measured or (wanted and row.table not in wanted):
            continue
        n_rows += 1
        change = last_change(row.measured)
        lacks = {each: change and is_older(each, change.split()[0]) for each in row.commits}
        if any(lacks.values()):
            n_older += 1
            for each in (each for each in lacks if lacks[each]):
                older[row.table, each, row.measured].append(row.title)
        elif None in lacks.values():
            n_unknown += 1
    for (table, each, measured), titles in older.items():
        since = git("rev-list", "--count", f"{each}..HEAD", "--", *measured)
        print(f"{table}, {each}: {since} changes since, the last {last_change(measured)}")
        print(textwrap.fill("; ".join(titles), 100, initial_indent="    ", subsequent_indent="    "))
    print(f"{n_older} of {n_rows} rows are older than the code they measure.")
    if n_unknown:
        print(f"Of {n_unknown} git does not tell: the history is not here.")


if __name__ == "__main__":
    main()
