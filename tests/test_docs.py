"""Every public name is documented, and no link of a page in the repository is broken."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

from tests.conftest import FAMILY

ROOT = Path(__file__).parent.parent
MODULES = ("skvade", "skvade.datasets", "skvade.distributed", "skvade.inspection", "skvade.metrics")
PUBLIC = [
    f"{module}.{name}"
    for module in MODULES
    for name in importlib.import_module(module).__all__
    if name != "__version__"
]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def named(name):
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_has_an_example(name):
    doc = inspect.getdoc(named(name))
    assert "Examples\n--------\n" in doc
    assert ">>> " in doc.split("Examples\n--------\n")[1]


def test_every_public_name_is_in_the_api():
    text = (ROOT / "docs" / "api.md").read_text()
    assert [name for name in PUBLIC if f"`{name}`" not in text] == []


@pytest.mark.parametrize("cls", FAMILY, ids=lambda cls: cls.__name__)
def test_every_parameter_is_described(cls):
    section = inspect.getdoc(cls).split("Parameters\n----------\n")[1].split("\nAttributes\n")[0]
    described = dict(re.findall(r"^(\w[\w, ]*) : .+\n((?: +.+\n?)+)", section, re.MULTILINE))
    names = {name: text for names, text in described.items() for name in names.split(", ")}
    assert list(names) == list(inspect.signature(cls).parameters)


def documented(name):
    """The docstrings of a public name, and those of what a class offers, by where they are."""
    public = named(name)
    found = {name: inspect.getdoc(public) or ""}
    for attribute in dir(public) if inspect.isclass(public) else ():
        value = getattr(public, attribute)
        if not attribute.startswith("_") and callable(value):
            found[f"{name}.{attribute}"] = inspect.getdoc(value) or ""
    return found


@pytest.mark.parametrize("name", PUBLIC)
def test_no_name_in_a_docstring_becomes_a_reference(name):
    """To the site's reader `labels_` without its backticks is a link to a place that is none."""
    for place, doc in documented(name).items():
        text = re.sub(r"^(>>>|\.\.\.) .*$|``[^`]*``|`[^`]*`", "", doc, flags=re.MULTILINE)
        text = re.sub(r"^[\w, ]+ : .*$", "", text, flags=re.MULTILINE)  # numpydoc's definitions
        assert re.findall(r"(?<![\w.])[A-Za-z]\w*_(?![\w{])", text) == [], place


def test_links_of_the_changelog_have_no_anchors():
    """The site includes it in a page that stands elsewhere, from where it finds files only."""
    links = re.findall(r"\]\(([^)\s]+)\)", (ROOT / "CHANGELOG.md").read_text())
    assert [link for link in links if "#" in link and not link.startswith("http")] == []


def anchors(path):
    """The anchors that a repository browser gives to the headings of a page."""
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", text)):
        if link.startswith(("http", "gallery/")):  # the gallery is made with the site
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_the_version_stands_in_one_place():
    version = re.search(r'"(.+)"', (ROOT / "skvade" / "_version.py").read_text())[1]
    for name in ("pyproject.toml", "setup.cfg", "CITATION.cff", "docs/conf.py"):
        assert version not in (ROOT / name).read_text()


def test_what_the_pages_say_to_run_is_there():
    """Commands with a module of benchmarks, a target of make, or a file of tests."""
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    there = {f"make {name}" for name in targets}
    there |= {f"python -m benchmarks.{path.stem}" for path in (ROOT / "benchmarks").glob("*.py")}
    there |= {str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("*.py")}
    kinds = r"`(make [a-z-]+|python -m benchmarks\.\w+|tests/[\w/]+\.py)"
    named = {name for page in PAGES for name in re.findall(kinds, page.read_text())}
    assert len(named) > 30
    assert named - there == set()
