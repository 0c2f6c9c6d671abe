import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]


def test_best_checkpoint_of_a_run_whose_folder_was_moved_stays_the_best(cli, tiny, tmp_path):
    arguments = ["fit", *tiny, "--best_checkpoint.monitor", "epoch", "--best_checkpoint.mode", "min"]
    cli(*arguments, "--run_dir", tmp_path / "run")
    best = (tmp_path / "run" / "checkpoints" / "best.ckpt").read_bytes()
    (tmp_path / "run").rename(tmp_path / "moved")
    resumed = cli(*arguments, "--run_dir", tmp_path / "moved", "--ckpt_path", "last", "--trainer.max_epochs", 2)
    assert resumed.trainer.global_step == 12
    assert (tmp_path / "moved" / "checkpoints" / "best.ckpt").read_bytes() == best
    assert resumed.trainer.checkpoint_callback.best_model_path == str(tmp_path / "moved" / "checkpoints" / "best.ckpt")

    other = cli(*arguments, "--run_dir", tmp_path / "other", "--trainer.max_epochs", 2,
                "--ckpt_path", tmp_path / "moved" / "checkpoints" / "best.ckpt")  # fmt: skip
    assert other.trainer.checkpoint_callback.best_model_path == str(tmp_path / "other" / "checkpoints" / "best.ckpt")


def test_best_checkpoint_of_a_fit_that_was_stopped_in_mid_epoch_stays_the_best(cli, tiny, tmp_path):
    arguments = ["fit", *tiny, "--best_checkpoint.monitor", "step", "--best_checkpoint.mode", "min"]
    arguments += ["--run_dir", tmp_path, "--trainer.val_check_interval", 3]
    cli(*arguments, "--trainer.max_steps", 3)
    best = tmp_path / "checkpoints" / "best.ckpt"
    (tmp_path / "checkpoints" / "last.ckpt").rename(tmp_path / "before.ckpt")
    state = torch.load(tmp_path / "before.ckpt", weights_only=True)
    key = next(key for key in state["callbacks"] if key.startswith("BestCheckpoint"))
    assert state["callbacks"][key]["best_model_path"] == ""  # written before the validation
    first = best.read_bytes()
    resumed = cli(*arguments, "--ckpt_path", tmp_path / "before.ckpt", "--trainer.max_steps", 6)
    assert resumed.trainer.global_step == 6
    assert best.read_bytes() == first


@pytest.mark.slow
def test_fit_killed_in_mid_epoch_ends_with_the_weights_of_the_uninterrupted_one(cli, tiny, tmp_path):
    arguments = ["fit", *tiny, "--trainer.max_epochs", 2, "--last_checkpoint.every_n_train_steps", 4]
    arguments += ["--data.num_workers", 1, "--trainer.deterministic", "true"]  # six steps an epoch
    folder = tmp_path / "killed"
    killer = ["--trainer.callbacks+", "witnesses.Killer", "--trainer.callbacks.step", 9]
    threads = str(torch.get_num_threads())  # sums differ in their last bits with the number of threads
    killed = subprocess.run(
        [sys.executable, ROOT / "main.py", *map(str, [*arguments, *killer, "--run_dir", folder])],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": threads},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    last = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert (last["epoch"], last["global_step"]) == (1, 8)

    resumed = cli(*arguments, "--run_dir", folder, "--ckpt_path", "last").trainer
    whole = cli(*arguments, "--run_dir", tmp_path / "whole").trainer
    assert resumed.global_step == whole.global_step == 12
    resumed, whole = (
        torch.load(t.checkpoint_callbacks[1].best_model_path, weights_only=True) for t in (resumed, whole)
    )
    assert resumed["global_step"] == whole["global_step"] == 12
    torch.testing.assert_close(resumed["state_dict"], whole["state_dict"], rtol=0, atol=0)
    torch.testing.assert_close(resumed["optimizer_states"], whole["optimizer_states"], rtol=0, atol=0)
    assert resumed["lr_schedulers"] == whole["lr_schedulers"]
