"""The configs of more than one machine, as far as one machine without a GPU shows them."""

import os
import subprocess

import pytest

from rstg_pyg.models.inflated_resnet import InflatedBlock
from rstg_pyg.nn import RSTGBlock


@pytest.fixture
def over_a_row(cli, configs, tmp_path):
    """Make what a config of the cluster makes of a run."""

    def make(name):
        files = ("syncmnist/cpu.yaml", "syncmnist/all_temp.yaml", f"cluster/{name}.yaml")
        arguments = [argument for file in files for argument in ("--config", configs / file)]
        quiet = ("--trainer.logger", "false", "--trainer.accelerator", "cpu", "--trainer.devices", 1)
        return cli(*arguments, *quiet, "--run_dir", tmp_path / "run", run=False)

    return make


def test_ddp(over_a_row):
    trainer = over_a_row("ddp").trainer
    assert type(trainer.strategy).__name__ == "DDPStrategy"
    assert trainer.num_nodes == 2


def test_fsdp_gathers_residual_blocks_and_graphs(over_a_row, monkeypatch):
    from pytorch_lightning.strategies import FSDPStrategy

    made = []
    init = FSDPStrategy.__init__
    monkeypatch.setattr(FSDPStrategy, "__init__", lambda self, **given: (made.append(given), init(self, **given))[1])
    with pytest.raises(ValueError, match="requires a GPU accelerator"):
        over_a_row("fsdp")
    assert set(made[0]["auto_wrap_policy"]) == {InflatedBlock, RSTGBlock}
    assert made[0]["state_dict_type"] == "full"


def test_slurm_job_goes_on_in_its_folder_once_it_has_a_checkpoint(configs, tmp_path):
    (tmp_path / "srun").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "srun").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "7"}

    def submit():
        job = ["sh", configs / "cluster/slurm.sh", "--config", "row.yaml"]
        return subprocess.check_output(job, cwd=tmp_path, env=environment, text=True).strip()

    run = "--run_dir runs/slurm-7 --trainer.devices 4"
    assert submit() == f"python main.py fit --config row.yaml {run}"
    (tmp_path / "runs/slurm-7/checkpoints").mkdir(parents=True)
    (tmp_path / "runs/slurm-7/checkpoints/last.ckpt").touch()
    assert submit() == f"python main.py fit --config row.yaml --ckpt_path last {run}"
