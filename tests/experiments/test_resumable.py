import shutil

import pytest

from experiments import resumable
from experiments.resumable import digest_files, fit


def test_stopped_training_goes_on_and_a_finished_one_is_left_alone(tmp_path):
    calls, stops, folder = [], iter((True, True, False)), tmp_path / "run"

    def main(*arguments):
        calls.append(arguments)
        (folder / "checkpoints").mkdir(parents=True, exist_ok=len(calls) > 2)
        if len(calls) == 2:  # the first was stopped before it had a checkpoint
            (folder / "checkpoints/last.ckpt").touch()
        if next(stops):
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            fit(folder, main, "--config", "row.yaml")
    for _ in range(2):
        fit(folder, main, "--config", "row.yaml")
    begun = ("fit", "--config", "row.yaml", "--run_dir", str(folder))
    gone_on = ("fit", "--config", str(folder / "config.yaml"), "--ckpt_path", "last", "--run_dir", str(folder))
    assert calls == [begun, begun, gone_on]


def test_training_that_began_with_other_arguments_is_not_gone_on_with(tmp_path):
    folder = tmp_path / "run"

    def main(*arguments):
        (folder / "checkpoints").mkdir()
        (folder / "checkpoints/last.ckpt").touch()

    fit(folder, main, "--lr", "1")
    with pytest.raises(ValueError, match=r"to have begun with\n--lr 2 # .*\n\(got\n--lr 1 # .*\)\nRemove"):
        fit(folder, main, "--lr", "2")
    (folder / "begun").unlink()
    with pytest.raises(ValueError, match="arguments that are not known"):
        fit(folder, main, "--lr", "1")
    shutil.rmtree(folder)
    fit(folder, main, "--lr", "2")


def test_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"to be new or of a training that began here \(got other files in it\)"):
        fit(tmp_path, pytest.fail, "--lr", "1")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_digest_sees_configs_and_the_weights_they_name_but_no_comments(tmp_path, monkeypatch):
    monkeypatch.setattr(resumable, "REPOSITORY", tmp_path)
    (tmp_path / "configs").mkdir()
    base, weights = tmp_path / "configs/base.yaml", tmp_path / "configs/cnn.safetensors"
    base.write_text("model: {files: [configs/cnn.safetensors, configs/none.safetensors], lr: 1}")
    weights.write_bytes(b"old")
    (tmp_path / "elsewhere.ckpt").write_bytes(b"old")
    arguments = ["--config", "configs/base.yaml", "--weights", "elsewhere.ckpt"]
    first = digest_files(arguments)
    (tmp_path / "elsewhere.ckpt").write_bytes(b"new")
    base.write_text("# said otherwise\nmodel:\n  lr: 1\n  files: [configs/cnn.safetensors, configs/none.safetensors]\n")
    assert digest_files(arguments) == first
    weights.write_bytes(b"new")
    second = digest_files(arguments)
    base.write_text(base.read_text().replace("lr: 1", "lr: 2"))
    assert len({first, second, digest_files(arguments), digest_files([])}) == 4


def test_training_that_began_with_other_files_is_not_gone_on_with(tmp_path, monkeypatch):
    monkeypatch.setattr(resumable, "REPOSITORY", tmp_path)
    (tmp_path / "configs").mkdir()
    config = tmp_path / "configs/base.yaml"
    config.write_text("lr: 1")
    fit(tmp_path / "run", lambda *_: None, "--config", "configs/base.yaml")
    config.write_text("lr: 2")
    with pytest.raises(
        ValueError, match=r"(?s)--config configs/base.yaml # files .*got\n--config configs/base.yaml # "
    ):
        fit(tmp_path / "run", lambda *_: None, "--config", "configs/base.yaml")
