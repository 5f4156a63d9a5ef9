"""Configuration of the documentation: ``make docs`` builds it, without a network.

The source folder is the repository, so that the links of each page work there, too.
"""  # noqa: INP001 # Sphinx reads it as a script

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

from reference_pages import write_pages  # noqa: E402
from sphinx.application import Sphinx  # noqa: E402

from backupkit import __version__  # noqa: E402 # the one of this folder

project = "backupkit"
release = version = __version__
copyright = "the authors of backupkit"  # noqa: A001 # Sphinx's name

root_doc = "docs/index"
include_patterns = [
    "docs/**",
    "notebooks/*.ipynb",
    "notebooks/metrics.md",
    "data/README.md",
    "tests/samples/api/README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "README.md",
]
exclude_patterns = ["docs/_build", "docs/_templates"]
extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_design",
]
templates_path = ["_templates"]

# pages and notebooks
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
nb_execution_mode = "auto"
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_ipywidgets_js: dict[str, dict[str, str]] = {}  # they would come from the internet
nb_mime_priority_overrides = [
    # a page has no kernel: the still picture stands for a widget
    ("html", "application/vnd.jupyter.widget-view+json", None),
    ("html", "image/png", 10),
    ("html", "text/html", 20),
    ("html", "text/plain", 30),
]

# reference
autosummary_generate = ["docs/reference/python.md"]
autodoc_typehints = "none"  # numpydoc's sections state them
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

html_theme = "pydata_sphinx_theme"
html_title = "backupkit"
html_show_sourcelink = False
html_extra_path = ["_static/root"]  # leads from the folder to the first page
html_static_path = ["_static/style"]
html_css_files = ["site.css"]
html_copy_source = False
html_sidebars = {
    # they have no subpages
    "docs/index": [],
    "docs/tutorial": [],
    "docs/gallery": [],
    "notebooks/*": [],  # their tables need the width
}
html_theme_options = {
    "show_prev_next": False,
    "secondary_sidebar_items": {"[!n]**": ["page-toc"]},  # all but notebooks
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
}


def setup(app: Sphinx) -> None:
    """Write the generated pages before Sphinx looks for sources."""
    app.connect("builder-inited", write_pages, priority=100)
