"""The README's Python runs as it stands."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.S)


assert BLOCKS


def run(block):
    names: dict = {}
    exec(compile(block, str(README), "exec"), names)  # the block's own assertions are tests too
    return names


def test_layer_of_the_readme_runs():
    names = run(BLOCKS[0])
    assert names["frame_out"].shape == (8, 14, 128)
    assert (names["frame_out"] - names["out"][:, -1]).abs().max() < 1e-5


@pytest.mark.parametrize("block", BLOCKS[1:])
def test_python_of_the_readme_runs(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(block)
    for name in re.findall(r'"(\S+\.(?:png|html))"', block):
        assert (tmp_path / name).stat().st_size > 10_000


@pytest.mark.parametrize("link", re.findall(r"\]\((?!http)([^)]+)\)", README.read_text()))
def test_files_the_readme_shows_are_there(link):
    assert (README.parent / link).is_file()
