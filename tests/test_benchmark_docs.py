"""Figures in docs/benchmarks.md say which code they are of, and older_rows.py reads them."""

import re

import pytest
from test_docs import ROOT, load

older_rows = load(ROOT / "benchmarks" / "older_rows.py")
ROWS = list(older_rows.rows_of((ROOT / "docs" / "benchmarks.md").read_text()))

TEXT = """
Words. | no table |

<!-- tables.py: suite_behind -->

| method | rank | commit |
| --- | --- | --- |
| pseudo-labels | 3.4 | 6c99cd4, b32db5a |
| MPCC, `a\\|b` | 1,234567 | 6c99cd4 |
| KMeans | 6.1 | 92e87e8 |

<!-- tables.py: end -->

| message | cause |
| --- | --- |
| one | two |
"""


def test_rows_of_figures_name_their_commits():
    assert len(ROWS) > 100
    for row in ROWS:
        assert list(row.cells)[-1] == "commit", row
        assert older_rows.COMMITS.fullmatch(row.cells["commit"]), row
        assert row.commits == re.split(", ", row.cells["commit"])


def test_it_is_known_what_every_table_measures():
    assert all(row.table for row in ROWS)
    paths = {path for row in ROWS for path in row.measured}
    assert paths
    assert all((ROOT / path).exists() for path in paths)


def test_rows_are_read():
    suite, mpcc, kmeans, outside = older_rows.rows_of(TEXT)
    assert suite.table == "suite_behind"
    assert suite.cells == {"method": "pseudo-labels", "rank": "3.4", "commit": "6c99cd4, b32db5a"}
    assert suite.commits == ["6c99cd4", "b32db5a"]
    assert suite.measured == older_rows.SEARCH
    assert mpcc.title == "MPCC, `a\\|b`"
    assert mpcc.commits == ["6c99cd4"]
    assert mpcc.measured == older_rows.FIT
    assert kmeans.measured == ()
    assert outside == ("", {"message": "one", "cause": "two"}, [])
    with pytest.raises(ValueError, match="not in MEASURED"):
        _ = outside.measured


def run(monkeypatch, capsys, git):
    monkeypatch.setattr(older_rows, "git", git)
    monkeypatch.setattr("sys.argv", ["older_rows.py", "--table", "suite", "aim_grid"])
    older_rows.main()
    return capsys.readouterr().out


def test_without_git_nothing_is_older(monkeypatch, capsys):
    out = run(monkeypatch, capsys, lambda *arguments: None)
    assert "0 of " in out
    assert "git does not tell" in out


def test_rows_before_the_last_change_are_listed(monkeypatch, capsys):
    def git(*arguments):
        if arguments[0] == "log":
            return "74f1b3e 2026-11-30"
        if arguments[0] == "rev-list":
            return "12"
        # The change is in the suite's first commit alone.
        return None if arguments[0] == "merge-base" and arguments[-1] != "6c99cd4" else ""

    out = run(monkeypatch, capsys, git)
    of_suite = "suite, b32db5a: 12 changes since, the last 74f1b3e 2026-11-30"
    assert f"{of_suite}\n    pseudo-labels\n" in out
    assert f"{of_suite}\n    MPCC, `labels_only=True`\n" in out
    assert "suite, 6c99cd4" not in out
    assert "aim_grid, fda58d6" in out
    assert "KMeans" not in out
    assert "git does not tell" not in out


def test_a_commit_that_is_not_here_is_not_older(monkeypatch, capsys):
    def git(*arguments):
        return "74f1b3e 2026-11-30" if arguments[0] == "log" else None

    assert "0 of " in run(monkeypatch, capsys, git)
