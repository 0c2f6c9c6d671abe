"""The notebooks run from their first cell to the last, and are kept as they ran."""

import os
import re
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="needs the extra 'notebooks'")
pytest.importorskip("nbclient", reason="needs the extra 'notebooks'")

from notebooks.execute import execute  # noqa: E402 -- needs nbclient

CHECKOUT = Path(__file__).parent.parent
NOTEBOOKS = sorted((CHECKOUT / "notebooks").glob("*.ipynb"))

assert NOTEBOOKS


EVERY_NOTEBOOK = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def kinds_of_output(cell):
    return [sorted(output.get("data", {output.get("name"): None})) for output in cell.outputs]


def numbers(cell):
    """The numbers that a cell prints or gives."""
    texts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    return [float(number) for text in texts if not text.startswith("<") for number in re.findall(r"-?\d+\.?\d*", text)]


@EVERY_NOTEBOOK
def test_notebook_is_kept_as_it_ran(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]


@pytest.mark.slow
@EVERY_NOTEBOOK
def test_notebook_runs(path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(CHECKOUT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")  # as in `make notebooks`, which keeps them
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    kept, ran = nbformat.read(path, as_version=4), execute(path)  # a cell that fails is an error here
    for before, now in zip(code_cells(kept), code_cells(ran), strict=True):
        assert kinds_of_output(now) == kinds_of_output(before), now.source
        assert numbers(now) == pytest.approx(numbers(before), rel=0.05, abs=0.05), now.source
