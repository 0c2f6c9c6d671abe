import shutil

import pytest

from experiments.resumable import fit


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
    with pytest.raises(ValueError, match=r"to have begun with\n--lr 2\n\(got\n--lr 1\)\nRemove"):
        fit(folder, main, "--lr", "2")
    (folder / "begun").unlink()
    with pytest.raises(ValueError, match="arguments that are not known"):
        fit(folder, main, "--lr", "1")
    shutil.rmtree(folder)
    fit(folder, main, "--lr", "2")
