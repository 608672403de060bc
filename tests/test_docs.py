"""Pages that are made from the code or from stored results are up to date."""

import ast
import importlib.util
import re
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import skmpcc
from skmpcc import inspection, light_curves, metrics, model_selection, plotting, report

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
    found = set()
    for page in tables.PAGES:
        text = page.read_text()
        assert text == tables.with_tables(text, rows)
        found |= set(re.findall(r"<!-- tables\.py: (\w+) -->", text)) - {"end"}
    assert found == set(tables.TABLES)


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


GUIDES = "\n".join(
    (ROOT / "docs" / f"{name}.md").read_text()
    for name in ("quick-start", "tables", "images", "light-curves", "reference")
)
EXAMPLES = sorted((ROOT / "docs" / "examples").glob("plot_*.py"))


def test_the_gallery_lists_every_example():
    order = load(ROOT / "docs" / "gallery_order.py")
    assert sorted(order.ORDER) == [path.name for path in EXAMPLES]


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_examples_have_a_title_a_link_from_a_guide_and_say_what_to_read_next(path):
    text = path.read_text()
    title, line, blank = ast.get_docstring(ast.parse(text)).splitlines()[:3]
    assert title
    assert line == "=" * len(title)
    assert not blank
    assert "**Read next:**" in text.rpartition("# %%")[2]
    assert f"(examples/{path.name})" in GUIDES


def test_examples_show_every_display():
    shown = "\n".join(path.read_text() for path in EXAMPLES)
    for name in plotting.__all__:
        assert f"{name}.from_" in shown or not name.endswith("Display"), name


def test_api_pages_list_all_that_is_public():
    public = {*skmpcc.__all__, *plotting.__all__, *light_curves.__all__, *inspection.__all__}
    for module in (metrics, model_selection, report):
        public |= {
            name
            for name, thing in vars(module).items()
            if getattr(thing, "__module__", None) == module.__name__ and not name.startswith("_")
        }
    assert "html_report" in public
    assert public <= set((ROOT / "docs" / "api" / "index.rst").read_text().split())
