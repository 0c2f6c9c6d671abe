"""Fit, test, predict and resume on encoded videos, through the command line."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image

from data.video.scenes import SceneSet, write_v2
from data.video.something_something import read_something_something_classes
from lightning_modules.commands.export import export
from lightning_modules.commands.save_pretrained import save_pretrained
from lightning_modules.commands.stream import stream
from lightning_modules.csv_log import read_metrics
from lightning_modules.trained_classifier import read_description
from rstg_pyg import VideoClassifier


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("scenes")
    write_v2({split: SceneSet(split, 4, height=32, seconds=(0.3, 0.4)) for split in ("train", "val", "test")}, root)
    return root


@contextmanager
def moved_away(root):
    """The data are elsewhere for the length of a block."""
    away = root.rename(root.with_name("away"))
    try:
        yield
    finally:
        away.rename(root)


@pytest.fixture(scope="module")
def arguments(configs, root):
    settings = {"version": "v2", "num_frames": 3, "resize": 32, "crop": 24, "eval_crop": 24, "test_crops": 3}
    data = [f"--data.{name}={value}" for name, value in (settings | {"batch_size": 2, "num_workers": 0}).items()]
    return [
        *("--config", configs / "syncmnist/cpu.yaml", "--config", configs / "syncmnist/time_only.yaml"),
        *("--model.network.backbone.widths", "[2,2,4]", "--model.network.graph.channels", 4),
        *("--model.network.graph.node_channels", 4, "--model.network.head.in_channels", 4),
        *("--data", "data.SomethingSomethingDataModule", "--data.root", root, *data),
        *("--trainer.accelerator", "cpu", "--trainer.max_epochs", 1, "--trainer.enable_progress_bar", "false"),
        *("--trainer.log_every_n_steps", 1, "--trainer.num_sanity_val_steps", 0, "--trainer.precision", "32-true"),
    ]


@pytest.fixture(scope="module")
def folder(cli, arguments, tmp_path_factory):
    folder = tmp_path_factory.mktemp("video") / "run"
    run = cli("fit", *arguments, "--run_dir", folder)
    assert run.model.num_classes == 8
    assert run.model.network.backbone.in_channels == 3
    return folder


def test_centre_view_of_a_test_scores_as_validation(cli, folder):
    cli("test", "--config", folder / "config.yaml", "--ckpt_path", "last")
    scores = read_metrics(folder / "test" / "metrics.csv")
    validated = read_metrics(folder / "metrics.csv")
    assert scores.keys() == {f"test/{name}" for name in ("loss", "acc", "acc_top5")} | {
        "test/center_view_acc",
        "test/center_view_acc_top5",
    }
    for name in ("acc", "acc_top5"):
        assert scores[f"test/center_view_{name}"][1] == validated[f"val/{name}"][1]


def test_prediction_of_the_test_split_names_its_videos(cli, folder):
    run = cli("predict", "--config", folder / "config.yaml", "--ckpt_path", "last")
    predicted = np.load(folder / "predict" / "predictions.npz")
    assert predicted["label"].tolist() == [-1] * 4
    names = run.datamodule.class_names
    assert predicted["id"].tolist() == ["9", "10", "11", "12"]
    assert predicted["class_names"].tolist() == names
    best = predicted["probabilities"].argmax(axis=1)
    expected = [f"{name};{names[label]}" for name, label in zip(["9", "10", "11", "12"], best, strict=True)]
    assert (folder / "predict" / "predictions.csv").read_text().splitlines() == expected


def test_checkpoint_is_streamed_exported_and_saved_where_its_data_are_not(folder, root, tmp_path, capsys):
    checkpoint = folder / "checkpoints/last.ckpt"
    (tmp_path / "frames").mkdir()
    Image.new("RGB", (32, 32)).save(tmp_path / "frames/0.png")
    with moved_away(root):
        save_pretrained(checkpoint, tmp_path / "model")
        export("exported_program", "clip", tmp_path / "clip.pt2", checkpoint)
        stream(str(tmp_path / "frames"), checkpoint, csv=tmp_path / "scores.csv", device="cpu")
    config = VideoClassifier.from_pretrained(tmp_path / "model").config
    assert config["class_names"] == read_something_something_classes(root, "v2")
    assert config["input"] == {"channels": 3, "num_frames": 3, "frame_size": [24, 24], "value_range": [0.0, 1.0]}
    assert "takes clip [batch, 3, 3, 24, 24]" in capsys.readouterr().out
    assert len((tmp_path / "scores.csv").read_text().splitlines()) == 2


def test_checkpoint_without_class_names_asks_the_data(folder, root, tmp_path):
    checkpoint = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    del checkpoint["data_description"]  # as before there were any
    torch.save(checkpoint, tmp_path / "old.ckpt")
    assert read_description(tmp_path / "old.ckpt") == read_description(folder / "checkpoints/last.ckpt")
    expected = r"Expected 'ckpt_path' to be .* names of its classes, .*got '.*old.ckpt' without them"
    with moved_away(root), pytest.raises(ValueError, match=expected):
        read_description(tmp_path / "old.ckpt")


def test_fit_stopped_in_mid_epoch_goes_on_with_the_next_videos(cli, arguments, folder, tmp_path):
    stopped = tmp_path / "run"
    save = ["--last_checkpoint.every_n_train_steps", 1]
    cli("fit", *arguments, "--run_dir", stopped, "--trainer.max_steps", 1, *save)
    cli("fit", "--config", stopped / "config.yaml", "--ckpt_path", "last", "--trainer.max_steps", -1)
    (steps, losses), (_, whole) = (read_metrics(run / "metrics.csv")["train/loss"] for run in (stopped, folder))
    assert steps == [0, 1]
    assert losses == pytest.approx(whole)
