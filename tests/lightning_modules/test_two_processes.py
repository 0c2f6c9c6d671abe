import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from pytorch_lightning import Callback

from lightning_modules.callbacks import throughput
from lightning_modules.csv_log import read_metrics

ROOT = Path(__file__).parents[2]
TWO = ["--trainer.strategy", "ddp", "--trainer.devices", "2", "--trainer.accelerator", "cpu"]


class StepClock(Callback):
    """By the clock of the throughput a training step takes a second."""

    def on_train_start(self, trainer, pl_module):
        self.perf_counter = lambda: trainer.global_step
        throughput.time = self


def run_main(*arguments):
    subprocess.run(
        [sys.executable, ROOT / "main.py", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        timeout=300,
        check=True,
    )


@pytest.mark.slow
def test_each_process_trains_on_its_own_videos(cli, tiny, tmp_path):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)  # another fit's
    folder = tmp_path / "run-2"
    recorder = ["--trainer.callbacks+", "witnesses.Recorder", "--trainer.callbacks.folder", tmp_path]
    run_main("fit", *tiny, *TWO, *recorder, "--run_dir", tmp_path / "run")
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["run", "run-2"]
    assert list((tmp_path / "run").glob("**/*")) == [tmp_path / "run" / "checkpoints"]

    first, second = (torch.load(tmp_path / f"videos_{rank}.pt") for rank in range(2))
    torch.testing.assert_close(first["weights"], second["weights"], rtol=0, atol=0)
    single = cli(*tiny, "--run_dir", folder, run=False)
    single.datamodule.setup("fit")
    stream = single.datamodule.make_dataset("train").batch(range(24))[0]
    assert torch.equal(first["videos"], stream[0::2])
    assert torch.equal(second["videos"], stream[1::2])
    assert read_metrics(folder / "metrics.csv")["val/acc"][0] == [2]  # 24 videos, 2 processes, batches of 4

    checkpoint = folder / "checkpoints" / "last.ckpt"
    run_main("test", "--config", folder / "config.yaml", "--ckpt_path", checkpoint)
    cli("test", *tiny, "--run_dir", tmp_path / "one", "--ckpt_path", checkpoint)
    both, alone = (read_metrics(run / "test" / "metrics.csv") for run in (folder, tmp_path / "one"))
    assert both.keys() == alone.keys()
    assert [both[name][1] for name in both] == [pytest.approx(alone[name][1], rel=1e-4) for name in both]
    both, alone = ((run / "test" / "confusion_matrix.csv").read_text() for run in (folder, tmp_path / "one"))
    assert both == alone

    run_main("predict", "--config", folder / "config.yaml", "--ckpt_path", checkpoint)
    both = dict(np.load(folder / "predict" / "predictions.npz"))
    cli("predict", *tiny, "--run_dir", tmp_path / "one", "--ckpt_path", checkpoint)
    alone = dict(np.load(tmp_path / "one" / "predict" / "predictions.npz"))
    np.testing.assert_array_equal(both["index"], np.arange(12))
    np.testing.assert_array_equal(both["label"], alone["label"])
    np.testing.assert_allclose(both["probabilities"], alone["probabilities"], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_videos_that_two_processes_cannot_share_evenly(cli, tiny, tmp_path):
    folder = tmp_path / "run"
    sizes = ["--data.batch_size", 2, "--data.epoch_videos", 11, "--data.val_videos", 2, "--data.test_videos", 5]
    clock = ["--trainer.callbacks+", "test_two_processes.StepClock"]
    counter = ["--trainer.callbacks+", "lightning_modules.callbacks.Throughput", "--trainer.callbacks.window", 2]
    run_main("fit", *tiny, *TWO, *sizes, *clock, *counter, "--run_dir", folder)
    steps, rates = read_metrics(folder / "metrics.csv")["train/videos_per_s"]
    assert (steps, rates) == ([2], [(2 * 2 + 2 * 1) / 2])  # five videos a process: the first two warm up

    checkpoint = folder / "checkpoints" / "last.ckpt"
    run_main("predict", "--config", folder / "config.yaml", "--ckpt_path", checkpoint)
    cli("predict", *tiny, *sizes, "--run_dir", tmp_path / "one", "--ckpt_path", checkpoint)
    both, alone = (dict(np.load(run / "predict" / "predictions.npz")) for run in (folder, tmp_path / "one"))
    assert both["index"].tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(both["label"], alone["label"])
    np.testing.assert_allclose(both["probabilities"], alone["probabilities"], rtol=1e-4, atol=1e-6)
    assert len(np.unique(alone["probabilities"], axis=0)) == 5
