import runpy
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

from lightning_modules.commands.check_data import check_data

MAIN = Path(__file__).parents[3] / "main.py"


@pytest.fixture
def config(tmp_path):
    """A run's config over two classes of two videos, one frame each."""
    for split in ("train", "val"):
        for name in ("a/1", "b/2"):
            (tmp_path / split / name).mkdir(parents=True)
            Image.new("RGB", (16, 16)).save(tmp_path / split / name / "1.jpg")
    data = {"class_path": "data.VideoFolderDataModule", "init_args": {"crop": 8, "eval_crop": 8, "resize": 8}}
    data["init_args"] |= {"train": str(tmp_path / "train"), "val": str(tmp_path / "val")}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.dump({"model": {"class_path": "anything"}, "data": data, "trainer": {"max_epochs": 3}}))
    return path


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["main.py", "check-data", *map(str, arguments)])
    runpy.run_path(str(MAIN), run_name="__main__")


def test_good_data_set(config, monkeypatch, capsys):
    run(monkeypatch, "--config", config, "--num_workers", 0)
    assert "train: 2 videos, 0 of them cannot be used\nval: 2 videos, 0 of" in capsys.readouterr().out


def test_missing_config_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Expected 'config' to be a YAML file \(got '.*no.yaml', which is no"):
        check_data(tmp_path / "no.yaml")


def test_damaged_data_set_ends_with_status_1(config, monkeypatch, capsys):
    (config.parent / "val/b/2/1.jpg").write_bytes(b"nothing")
    with pytest.raises(SystemExit, match="1"):
        run(monkeypatch, "--config", config, "--num_workers", 0)
    shown = capsys.readouterr().out
    assert f"val b/2: Expected {config.parent}/val/b/2/1.jpg to be a whole image" in shown
    assert "val: 2 videos, 1 of them cannot be used" in shown


def test_lists_that_cannot_be_used_do_not_end_the_search(config, monkeypatch, capsys):
    (config.parent / "train/b/2/1.jpg").write_bytes(b"nothing")
    (config.parent / "val.csv").write_text("path,label\nval/a/1,a\nval/b/2,\n")
    content = yaml.safe_load(config.read_text())
    content["data"]["init_args"] |= {"val": str(config.parent / "val.csv"), "predict": str(config.parent / "no.csv")}
    config.write_text(yaml.dump(content))
    with pytest.raises(SystemExit, match="1"):
        run(monkeypatch, "--config", config, "--num_workers", 0)
    shown = [line for line in capsys.readouterr().out.splitlines() if ": " in line]
    assert [line.partition(": ")[0] for line in shown] == [
        "val list",
        "test list",
        "predict list",
        "train b/2",
        "train",
    ]
    assert "since 'val' needs it (got 1 without, the first ['val/b/2'])" in shown[0]
    assert shown[-1] == "train: 2 videos, 1 of them cannot be used"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"with a section data \(got .*without\)"),
        ("data: data.SyncMNISTDataModule", r"to be a data set of video files \("),
    ],
)
def test_config_without_videos_is_named(tmp_path, content, message):
    (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(ValueError, match=message):
        check_data(tmp_path / "config.yaml")
