"""The figures of docs/boxes.md are those of the kept curves; tests/test_code_blocks.py runs its Python."""

import json
import re
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "boxes.md"
TEXT = PAGE.read_text()


def test_figures_are_those_of_the_curves():
    curves = json.loads((PAGE.parent / "boxes" / "curves.json").read_text())
    rows = re.findall(r"^\| ([\d,]+) \| (.*) \|$", TEXT, flags=re.M)
    assert len(rows) > 3
    for videos, cells in rows:
        at = [curve["videos"].index(int(videos.replace(",", ""))) for curve in curves.values()]
        accuracies = [curve["val/acc"][i] for curve, i in zip(curves.values(), at, strict=True)]
        assert cells.split(" | ") == [f"{100 * accuracy:.1f}" for accuracy in accuracies]
