"""The configs of more than one machine, as far as one machine without a GPU shows them."""

import os
import subprocess

import yaml
from jsonargparse import ArgumentParser
from pytorch_lightning.strategies import DDPStrategy, FSDPStrategy, Strategy

from rstg_pyg.models.inflated_resnet import InflatedBlock
from rstg_pyg.nn import RSTGBlock


def test_ddp_is_laid_over_a_run(cli, configs, tmp_path):
    files = ("syncmnist/cpu.yaml", "syncmnist/all_temp.yaml", "cluster/ddp.yaml")
    arguments = [argument for file in files for argument in ("--config", configs / file)]
    quiet = ("--trainer.logger", "false", "--trainer.accelerator", "cpu", "--trainer.devices", 1)
    trainer = cli(*arguments, *quiet, "--run_dir", tmp_path / "run", run=False).trainer
    assert type(trainer.strategy) is DDPStrategy
    assert trainer.num_nodes == 2


def test_fsdp_gathers_a_residual_block_or_a_graph_at_a_time(configs):
    parser = ArgumentParser()
    parser.add_argument("--strategy", type=Strategy)
    trainer = yaml.safe_load((configs / "cluster/fsdp.yaml").read_text())["trainer"]
    strategy = parser.instantiate(parser.parse_object({"strategy": trainer["strategy"]})).strategy
    assert type(strategy) is FSDPStrategy
    assert strategy.kwargs["auto_wrap_policy"]._module_classes == {InflatedBlock, RSTGBlock}
    assert trainer["num_nodes"] == 2


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
