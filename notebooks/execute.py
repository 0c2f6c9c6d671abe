"""Run notebooks from their first cell to the last and keep what they give: ``python notebooks/execute.py PATH …``."""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode


def execute(path: Path) -> NotebookNode:
    """Run a notebook in its folder.

    Raises:
        nbclient.exceptions.CellExecutionError: If a cell fails.
    """
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": path.parent}},
        record_timing=False,
        coalesce_streams=True,  # what a cell prints may come in pieces
    ).execute()
    return notebook


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        nbformat.write(execute(Path(argument)), argument)
