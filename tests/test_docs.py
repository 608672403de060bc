"""Pages that are made from the code or from stored results are up to date."""

import importlib.util
import re
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import skmpcc

ROOT = Path(skmpcc.__file__).parent.parent


def load(path):
    """A script as a module, with its folder's other modules at hand."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module


def test_presets_page():
    generate = load(ROOT / "docs" / "generate.py")
    assert (ROOT / "docs" / "presets.md").read_text() == generate.presets_page()


def test_tables_of_figures():
    tables = load(ROOT / "benchmarks" / "tables.py")
    rows = tables.read(sorted(tables.RESULTS.glob("*.jsonl")))
    found = 0
    for page in tables.PAGES:
        text = page.read_text()
        assert text == tables.with_tables(text, rows)
        found += text.count("<!-- tables.py: end -->")
    assert found == len(tables.TABLES)


def test_version_and_citation_agree():
    citation = (ROOT / "docs" / "CITATION.cff").read_text()
    assert re.findall(r"^version: (\S+)$", citation, re.MULTILINE) == [skmpcc.__version__]
    assert version("skmpcc") == skmpcc.__version__


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target
