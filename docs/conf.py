"""How the site is made: `make docs`.

The pages are Markdown that reads well in a repository browser too. What only a site needs is added
here while they are read: the order of pages, links to the gallery, the list of public names.
"""

from __future__ import annotations

import importlib
import os
import re
from pathlib import Path
from typing import Any

from docutils.utils.math.latex2mathml import tex2mathml
from sphinx_gallery.sorting import ExplicitOrder

from skvade import __version__

project = "skvade"
author = copyright = "The skvade developers"
release = version = __version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_templates", "generated/names.rst"]
default_role = "literal"  # `labels_` in docstrings is code

# -------------------------------------------------------------------- pages
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4

html_theme = "pydata_sphinx_theme"
html_title = "skvade"
html_static_path = ["_static"]
html_favicon = "_static/favicon.svg"
html_context = {"default_mode": "auto"}  # without it the theme complains on the console
html_css_files = ["skvade.css"]
html_sourcelink_suffix = ""
html_show_sourcelink = False
html_theme_options = {
    "header_links_before_dropdown": 6,
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "navbar_persistent": ["search-button"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {"index": [], "install": [], "quick_start": [], "changelog": [], "citation": []}
html_math_renderer = "mathml"

# Which pages stand below which; in the repository a link does.
CONTENTS = {
    "index": ["/install", "/quick_start", "/user_guide", "Methods </methods/README>",
              "/gallery/index", "/api", "/development"],
    "user_guide": ["/reproducible_clusters", "/number_and_verdict", "/tables", "/deployment",
                   "/distributed"],
    "methods/README": ["vade", "gmvae", "m2", "dec", "idec", "depict", "dcn", "vade_classifier",
                       "m2_classifier", "adgm", "auxiliary_task"],
    "development": ["/measurements", "/benchmarks", "/results", "/changelog", "/citation"],
}  # fmt: skip

# ---------------------------------------------------------------- reference
PUBLIC = ("skvade", "skvade.inspection", "skvade.metrics", "skvade.datasets")
NAMES = Path(__file__).parent / "generated" / "names.rst"
autosummary_generate = [str(NAMES)]
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # types are in the descriptions
numpydoc_show_class_members = False  # the template of a class shows its methods
numpydoc_class_members_toctree = False

# numpydoc judges every docstring; what it says is an error here (sphinx -W), except for these.
numpydoc_validation_checks = {
    "all",
    "ES01",  # an extended summary: where one line says it all, it ends there
    "EX01",  # an example: every public class and function has one (tests/test_docs.py), which
    # shows the methods together
    "GL01",  # summaries begin in the line of the opening quotes, as ruff keeps them
    "PR08",  # a capital: some descriptions begin with the paper's symbol
    "PR07",  # a description: not where name, type and shape say it all
    "RT02",  # returned values are not named
    "RT03",  # as PR07
    "SA01",  # See Also: in classes that have siblings, not in their methods
    "SS05",  # "Rows ..." and "Measures ..." are nouns
    "SS06",  # a summary in one line: formulas and long names need two at times
}
numpydoc_validation_exclude = {
    # What scikit-learn wrote, in methods that are inherited.
    r"\.(fit_predict|fit_transform|get_feature_names_out|get_metadata_routing|get_params)$",
    r"\.(set_callbacks|set_output|set_params|set_fit_request|set_inverse_transform_request|set_score_request)$",
}

# ------------------------------------------------------------------ gallery
EXAMPLES = [
    "plot_digits.py",
    "plot_comparison.py",
    "plot_table.py",
    "plot_missing_values.py",
    "plot_customers.py",
    "plot_topics.py",
    "plot_counts.py",
    "cells_anndata.py",
    "plot_styles.py",
    "plot_generation.py",
    "plot_convolutional.py",
    "plot_search.py",
    "plot_training.py",
    "plot_anomalies.py",
    "plot_circles_moons.py",
]
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "within_subsection_order": ExplicitOrder([*EXAMPLES, "*"]),
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("skvade",),
    "abort_on_example_error": True,
    "download_all_examples": False,
    "run_stale_examples": True,  # the library may have changed where an example has not
    "write_computation_times": False,  # their page asks other hosts for scripts
    "remove_config_comments": True,
    "show_memory": False,
    "show_signature": False,
    "plot_gallery": os.environ.get("SKVADE_GALLERY", "1") != "0",
}


# ------------------------------------------------------------- small mends
def drop_references(app: Any, what: str, name: str, obj: Any, options: Any, lines: list) -> None:
    """Inherited docstrings name sections and terms of scikit-learn's site, which this is not."""
    text = "\n".join(lines)
    text = re.sub(r"See :ref:`sphx_glr[^`]*`\s+for an example[^.]*\.\n", "", text)
    text = re.sub(r":(?:ref|term):`([^<`]+?)(?:\s*<[^>]*>)?`", r"\1", text)
    lines[:] = text.split("\n")


def show_formulas(app: Any, what: str, name: str, obj: Any, options: Any, lines: list) -> None:
    """Indented formulas of a docstring's first part become literal blocks; |z| is no markup."""
    end = next((i for i, line in enumerate(lines) if re.match(r"^-{4,}$", line)), len(lines))
    for i in reversed(range(end)):
        if not lines[i].startswith("    "):
            lines[i] = re.sub(r"(?<=[\s(])\|(?=\w)", r"\|", lines[i])
        elif not lines[i - 1].strip() and not lines[i - 2].startswith(" "):
            lines[i:i] = ["::", ""]
    lines[:] = [re.sub(r"\((\w+)_,\)", r"(\1\_,)", line) for line in lines]


def visit_math(self: Any, node: Any) -> None:
    """MathML, which browsers show by themselves: neither a script nor a network is needed."""
    from docutils import nodes

    block = isinstance(node, nodes.math_block)
    text = re.sub(r"\\(log|exp) ?(?![a-z(])", r"\\\1\\, ", node.astext())
    self.body.append(tex2mathml(text, as_block=block))
    raise nodes.SkipNode


def list_names(module: str, folder: str) -> str:
    """The public names of a module, each with a page of its own in the folder, as a table."""
    names = [name for name in importlib.import_module(module).__all__ if name != "__version__"]
    lines = [f".. currentmodule:: {module}", "", ".. autosummary::", f"   :toctree: {folder}",
             "   :nosignatures:", "", *(f"   {name}" for name in names)]  # fmt: skip
    return "\n".join(lines)


def complete_page(app: Any, docname: str, source: list[str]) -> None:
    """Add to a page what only the site needs."""
    text = re.sub(r"\((?:\.\./)+examples/(plot_\w+)\.py\)", r"(/gallery/\1.rst)", source[0])
    text = text.replace("(../README.md", "(/index.md")
    if docname == "api":
        text = re.sub(r"^\| `(skvade[\w.]+)`", r"| {py:obj}`\1`", text, flags=re.MULTILINE)
        for module in PUBLIC:
            names = list_names(module, NAMES.parent.name)
            text += f"\n\n## {module}\n\n```{{eval-rst}}\n{names}\n```\n"
    if docname in CONTENTS:
        pages = "\n".join(CONTENTS[docname])
        text += f"\n\n```{{toctree}}\n:hidden:\n\n{pages}\n```\n"
    source[0] = text


def write_names(app: Any, config: Any) -> None:
    """Where autosummary reads which pages it is to write."""
    NAMES.parent.mkdir(exist_ok=True)
    NAMES.write_text("\n\n".join(list_names(module, ".") for module in PUBLIC))


def setup(app: Any) -> None:
    """Connect the above."""
    app.connect("config-inited", write_names)
    app.connect("source-read", complete_page)
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math, None))
    app.connect("autodoc-process-docstring", drop_references, priority=100)
    app.connect("autodoc-process-docstring", show_formulas, priority=100)
