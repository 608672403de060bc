"""How Sphinx builds these pages: python -m sphinx -W --keep-going -b html docs docs/_build/html."""

import re
import sys
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

import skmpcc

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))  # for gallery_order.py

project = "skmpcc"
author = "skmpcc developers"
project_copyright = author
version = release = skmpcc.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosectionlabel",
    "sphinx.ext.autosummary",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
# The gallery makes auto_examples from the examples.
exclude_patterns = ["_build", "examples"]

# ---- Links to headings: as on a repository's page from Markdown, by :ref:`page:heading` from examples
myst_heading_anchors = 4
autosectionlabel_prefix_document = True
autosectionlabel_maxdepth = 2

# ---- Docstrings
autosummary_generate = True
autodoc_typehints = "none"
autodoc_inherit_docstrings = False
default_role = "py:obj"
smartquotes = False
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False

# ---- Gallery
sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "within_subsection_order": "gallery_order.position",
    "backreferences_dir": "api/generated/backreferences",
    "doc_module": ("skmpcc",),
    "remove_config_comments": True,
    "download_all_examples": False,
    "show_signature": False,
    "min_reported_time": 1,
}

# ---- HTML
html_theme = "pydata_sphinx_theme"
html_title = "skmpcc"
html_static_path = ["_static"]
html_css_files = ["skmpcc.css"]
html_copy_source = False
html_show_sphinx = False
# Pages with their headings at the side; examples are short, and their code needs the room.
GUIDES = (
    "quick-start",
    "tables",
    "images",
    "light-curves",
    "reference",
    "distributed",
    "recipes",
    "which-clusterer",
    "benchmarks",
    "method",
    "presets",
)
WITH_CONTENTS = (*GUIDES, "CHANGELOG", "CONTRIBUTING", "api/**", "development/**", "lab-notes/**")
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 8,
    "secondary_sidebar_items": {page: ["page-toc"] for page in WITH_CONTENTS},
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {page: [] for page in ("index", *GUIDES)}

SPACE = "\N{NO-BREAK SPACE}"
# What the page of the lab notes has beside its table, which serves on a repository's page.
NOTES = """
```{toctree}
:hidden:
:glob:

20*
```
"""
# Links that lead to sources on a repository's page, and what they lead to here.
LINKS = [
    (re.compile(r"\]\((?:\.\./)?examples/README\.rst\)"), "](/auto_examples/index.rst)"),
    (re.compile(r"\]\((?:\.\./)?examples/(plot_\w+)\.py\)"), r"](/auto_examples/\1.rst)"),
    (
        re.compile(r"\]\(\.\./skmpcc/metrics\.py\)"),
        "](/api/generated/skmpcc.metrics.clustering_accuracy.rst)",
    ),
    (re.compile(r"\]\(\.\./skmpcc/report\.py\)"), "](/api/generated/skmpcc.report.html_report.rst)"),
]


def adapt_markdown(app: Sphinx, docname: str, source: list[str]) -> None:
    """Let links to sources lead to the pages made from them, and keep figures in one line."""
    if docname == "lab-notes/README":
        source[0] += NOTES
    if str(app.env.doc2path(docname)).endswith(".md"):
        source[0] = source[0].replace(" ± ", f"{SPACE}±{SPACE}")
        for pattern, replacement in LINKS:
            source[0] = pattern.sub(replacement, source[0])


class LinkNames(SphinxPostTransform):
    """Let names of classes and functions in the code of Markdown pages lead to their descriptions."""

    default_priority = 5  # before references are resolved

    def run(self, **kwargs: object) -> None:
        if not str(self.env.doc2path(self.env.docname)).endswith(".md"):
            return
        described = {
            key: name
            for name, entry in self.env.domains.python_domain.objects.items()
            if entry.objtype in ("class", "function") and not entry.aliased
            for key in (name, name.rpartition(".")[2])
        }
        for literal in list(self.document.findall(nodes.literal)):
            name = described.get(literal.astext().removesuffix("()"))
            if name is None or isinstance(literal.parent, nodes.reference | nodes.title):
                continue
            link = addnodes.pending_xref(
                "", literal.deepcopy(), refdomain="py", reftype="obj", reftarget=name
            )
            link["refdoc"] = self.env.docname
            literal.replace_self(link)


def skip_inherited(
    app: Sphinx, what: str, name: str, obj: object, skip: bool, options: object
) -> bool | None:
    """Leave out what scikit-learn's base classes bring, which is described there."""
    inherited = (getattr(obj, "__module__", None) or "").startswith("sklearn.")
    return True if inherited else None


def setup(app: Sphinx) -> None:
    app.connect("autodoc-skip-member", skip_inherited)
    app.connect("source-read", adapt_markdown)
    app.add_post_transform(LinkNames)
