"""Modules from plain configuration: the ``class_path`` and ``init_args`` trees of LightningCLI configs."""

from importlib import import_module
from typing import Any

from torch import nn

PACKAGE = "rstg_pyg"


def build(tree: Any) -> nn.Module:
    """Build the module that a tree describes, and the modules among its arguments.

    Nothing is imported but modules of ``rstg_pyg``: a configuration that came from elsewhere runs no other code.

    Args:
        tree: ``{"class_path": "rstg_pyg.models.SmallCNN", "init_args": {...}}``; without ``init_args`` the defaults.
            An argument that is such a tree itself is built first, and so are the values of one that is a mapping to
            such trees.

    Raises:
        ValueError: If the tree has other keys, its class is no module of ``rstg_pyg``, or its arguments are not the
            class's.
    """
    if not isinstance(tree, dict) or not {"class_path"} <= tree.keys() <= {"class_path", "init_args"}:
        got = sorted(tree) if isinstance(tree, dict) else repr(tree)
        raise ValueError(f"Expected a class to be given as 'class_path' and 'init_args' (got {got})")
    module_class = find_class(tree["class_path"])
    given = tree.get("init_args") or {}
    if not isinstance(given, dict):
        raise ValueError(f"Expected 'init_args' of {tree['class_path']} to be a mapping (got {given!r})")
    arguments = {name: _build_argument(value) for name, value in given.items()}
    try:
        return module_class(**arguments)
    except TypeError as error:
        raise ValueError(f"Expected 'init_args' to be arguments of {tree['class_path']} ({error})") from error


def _build_argument(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return build(value) if "class_path" in value else {name: _build_argument(inner) for name, inner in value.items()}


def find_class(class_path: Any) -> type[nn.Module]:
    """Import a module class of ``rstg_pyg``.

    Args:
        class_path: Where it can be imported from, such as ``"rstg_pyg.nn.RSTGToVec"``.

    Raises:
        ValueError: If there is no such class, or it is not one that ``rstg_pyg`` defines.
    """
    found = None
    place, _, name = str(class_path).rpartition(".")
    if place.split(".")[0] == PACKAGE:
        try:
            found = getattr(import_module(place), name, None)
        except ModuleNotFoundError as error:
            if str(error.name).split(".")[0] != PACKAGE:  # a library that the class needs
                raise
    # What a file of ours imports can be reached through it, but is defined elsewhere.
    if isinstance(found, type) and issubclass(found, nn.Module) and found.__module__.split(".")[0] == PACKAGE:
        return found
    raise ValueError(
        f"Expected 'class_path' to be a module class of {PACKAGE}, such as {PACKAGE}.nn.RSTGToVec (got {class_path!r})"
    )
