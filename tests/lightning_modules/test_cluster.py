"""The configs of more than one machine, as far as one machine without a GPU shows them."""

import os
import subprocess

import pytest
import yaml
from jsonargparse import ArgumentParser
from pytorch_lightning.strategies import DDPStrategy, FSDPStrategy, Strategy

from lightning_modules.cli import claim_folder
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


@pytest.fixture
def submit(configs, tmp_path):
    """Run the job's script with a stand-in for ``srun``; gives what it adds to the fit but the folder and devices."""
    (tmp_path / "srun").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "srun").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "7"}

    def run():
        job = ["sh", configs / "cluster/slurm.sh", "--config", "row.yaml"]
        line = subprocess.check_output(job, cwd=tmp_path, env=environment, text=True).strip()
        begin, end = "python main.py fit --config row.yaml", "--run_dir runs/slurm-7 --trainer.devices 4"
        assert line.startswith(begin)
        assert line.endswith(end)
        return line.removeprefix(begin).removesuffix(end).split()

    return run


def test_slurm_job_goes_on_from_its_newest_checkpoint(submit, tmp_path):
    assert submit() == []
    run = tmp_path / "runs/slurm-7"
    (run / "checkpoints").mkdir(parents=True)
    written = ["checkpoints/last.ckpt", "hpc_ckpt_1.ckpt", "hpc_ckpt_2.ckpt", "checkpoints/last.ckpt"]
    for time, name in enumerate(written):
        (run / name).touch()
        os.utime(run / name, (time, time))
        assert submit() == ["--ckpt_path", f"runs/slurm-7/{name}"]


def test_slurm_job_that_has_no_checkpoint_yet_begins_anew_in_its_folder(submit, tmp_path):
    run = tmp_path / "runs/slurm-7"
    (run / "checkpoints").mkdir(parents=True)
    (run / "config.yaml").touch()
    assert submit() == []
    assert claim_folder(str(run)) == str(run)


def test_fit_goes_on_from_what_lightning_writes_when_a_job_is_queued_anew(cli, tiny, submit, tmp_path):
    run = tmp_path / "runs/slurm-7"
    trainer = cli("fit", *tiny, "--run_dir", run, "--trainer.limit_train_batches", 2).trainer
    trainer.save_checkpoint(trainer._checkpoint_connector.hpc_save_path(trainer.default_root_dir))
    option, checkpoint = submit()
    resumed = cli("fit", *tiny, "--run_dir", run, "--trainer.max_epochs", 2, option, tmp_path / checkpoint).trainer
    assert resumed.ckpt_path == str(run / "hpc_ckpt_1.ckpt")
    assert resumed.global_step == 2 + 6
    assert list(run.parent.iterdir()) == [run]
