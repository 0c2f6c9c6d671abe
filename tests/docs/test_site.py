"""The site has a place for every page and every public name. `make docs` is what builds it."""

import re
from importlib import import_module
from pathlib import Path

import pytest

import rstg_pyg

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.glob("**/*.md") if path.name != "notes.md"]


def in_navigation(page):
    """The pages that a page's tables of contents list."""
    found = []
    for tree in re.findall(r"^```{toctree}\n(.*?)^```$", (DOCS / f"{page}.md").read_text(), flags=re.S | re.M):
        entries = [line for line in tree.splitlines() if line and not line.startswith(":")]
        names = [re.sub(r".*<(.*)>", r"\1", entry) for entry in entries]
        found += [(DOCS / page).parent.joinpath(name).relative_to(DOCS).as_posix() for name in names if name != "self"]
    return found


def documented_modules():
    """The modules whose public names the reference pages list."""
    return [name for page in PAGES for name in re.findall(r"automodule:: (\S+)", (DOCS / f"{page}.md").read_text())]


def test_navigation_has_every_page_once():
    assert sorted(["index", *in_navigation("index"), *in_navigation("reference/index")]) == sorted(PAGES)


@pytest.mark.parametrize("name", rstg_pyg.__all__)
def test_reference_has_every_name_of_the_package(name):
    assert f"`rstg_pyg.{name}`" in (DOCS / "reference/index.md").read_text()
    listed = [name for module in map(import_module, documented_modules()) for name in vars(module).get("__all__", ())]
    module = getattr(rstg_pyg, name).__module__
    assert name in listed or module in documented_modules()


def test_every_package_with_public_names_is_documented():
    packages = [path.parent.relative_to(DOCS.parent) for path in DOCS.parent.glob("rstg_pyg/*/__init__.py")]
    assert {".".join(package.parts) for package in packages} <= set(documented_modules())
