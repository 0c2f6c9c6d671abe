"""The rows of make video-demo at tiny sizes, its table, and its page."""

import json
import subprocess

import pytest
from PIL import Image

from experiments.resumable import REPOSITORY
from experiments.video_demo import rows
from experiments.video_demo.report import table, write_report
from experiments.video_demo.rows import TITLES, Figures, fit_arguments, make_row, make_scenes
from lightning_modules.cli import RSTGCLI

TINY = {
    "data": {
        "num_frames": 4,
        "resize": 48,
        "crop": 48,
        "eval_crop": 48,
        "test_crops": 3,
        "batch_size": 2,
        "num_workers": 0,
    },
    "trainer": {"max_epochs": 1, "log_every_n_steps": 1, "enable_progress_bar": False, "accelerator": "cpu"},
}


def figures_of(row, accuracy=0.5):
    curve = [0.25, accuracy]
    return Figures(row, [16, 32], curve, curve, 0.5, 0.625, 0.375, 0.75, 40.0, 2.5, 1234, 5_600_000, "a processor", "c")


@pytest.fixture
def calls(monkeypatch):
    """``main.py`` runs in this process; what it is called with."""
    calls = []
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setattr("sys.argv", ["main.py"])

    def main(*arguments):
        calls.append(arguments)
        RSTGCLI(list(arguments))

    monkeypatch.setattr(rows, "run_main", main)
    return calls


def test_row_is_made_once_and_reported(calls, tmp_path):
    make_scenes(tmp_path / "scenes", train=24, val=8, height=16)
    make_scenes(tmp_path / "scenes")  # they are there
    assert len(list((tmp_path / "scenes/20bn-something-something-v1").iterdir())) == 24 + 8 + 8
    arguments = [f"--{group}.{name}={value}" for group, values in TINY.items() for name, value in values.items()]
    figures = make_row("c2d_to_vec", tmp_path, arguments)
    assert [call[0] for call in calls] == ["fit", "test"]
    assert make_row("c2d_to_vec", tmp_path, arguments) == figures
    with pytest.raises(ValueError, match="to have begun with"):
        make_row("c2d_to_vec", tmp_path, [*arguments, "--data.num_frames=8"])
    assert len(calls) == 2
    assert figures.videos == [24]
    assert (
        figures.command
        == "python main.py fit --config configs/scenes/base.yaml --config configs/scenes/c2d_to_vec.yaml"
    )
    # The last checkpoint's centre view is the last validation's clip.
    assert figures.center_view == figures.accuracy[-1]
    assert figures.center_view_within_pairs == figures.accuracy_within_pairs[-1]

    with pytest.raises(ValueError, match="to have begun with"):
        write_report(tmp_path, tmp_path / "out")
    shown = write_report(tmp_path, tmp_path / "out", arguments)
    assert (tmp_path / "out/table.txt").read_text() == f"{shown}\n"
    assert shown.count("not run") == 4 * (len(TITLES) - 1)
    assert Image.open(tmp_path / "out/attention.gif").n_frames == 2  # the backbone pools pairs of frames
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "attention.gif", "confusion_c2d_to_vec.png", "curves.png", "figures.json", "scenes.png", "table.txt",
    }  # fmt: skip


def test_table_by_hand():
    lines = table([figures_of("i3d")]).splitlines()
    assert len(lines) == 2 + len(TITLES)
    assert lines[2] == "| C2D | not run | not run | not run | not run | – | – | – |"
    assert lines[4] == "| I3D | 75.0 | 37.5 | 62.5 | 50.0 | 1,234 | 6 M | 2.5 min |"


def test_page_has_the_table_of_the_kept_figures():
    kept = [Figures(**figures) for figures in json.loads((REPOSITORY / "docs/video/figures.json").read_text())]
    assert table(kept) in (REPOSITORY / "docs/video.md").read_text()


def test_rows_are_the_configs():
    assert {path.stem for path in (REPOSITORY / "configs/scenes").iterdir()} == {"base", *TITLES}
    assert all((REPOSITORY / word).is_file() for row in TITLES for word in fit_arguments(row) if word != "--config")


def test_training_that_fails_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 3))
    with pytest.raises(RuntimeError, match=r"main.py fit .*configs/scenes/i3d.yaml .* stopped with 3"):
        make_row("i3d", tmp_path)
    assert not (tmp_path / "i3d" / "fitted").exists()
