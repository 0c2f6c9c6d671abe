"""References by any name that Python knows an object by: ``rstg_pyg.RSTG`` is ``rstg_pyg.nn.RSTG``."""

from functools import cache
from importlib import import_module
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

PACKAGES = ("rstg_pyg", "data", "lightning_modules")


@cache
def full_name(name: str) -> str | None:
    """The module that an object is defined in and its name there, or None where nothing of ours has this name."""
    parts = name.split(".")
    if parts[0] not in PACKAGES:
        return None
    for end in range(len(parts), 0, -1):
        try:
            found: Any = import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[end:]:
            if not hasattr(found, attribute):
                return None
            found = getattr(found, attribute)
        return f"{found.__module__}.{found.__qualname__}" if hasattr(found, "__qualname__") else name
    return None


def resolve(app: Sphinx, env: BuildEnvironment, node: pending_xref, text: nodes.TextElement) -> nodes.Node | None:
    """Resolve a reference by a name other than its page's; what exists and is on no page stays text."""
    if node.get("refdomain") != "py":
        return None
    domain = env.domains.python_domain
    target = node["reftarget"]
    for wanted in filter(None, (full_name(target), full_name(f"{node.get('py:module')}.{target}"))):
        for documented in domain.objects:
            if full_name(documented) == wanted:
                return domain.resolve_xref(env, node["refdoc"], app.builder, node["reftype"], documented, node, text)
        return text
    return None


def setup(app: Sphinx) -> dict[str, bool]:
    """Look for names that Sphinx does not find."""
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
