"""The command line in this process, over a network and videos small enough for tests."""

import sys
from pathlib import Path

import pytest

from lightning_modules.cli import RSTGCLI

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def configs():
    return ROOT / "configs"


@pytest.fixture(scope="session")
def tiny(configs):
    """Arguments of a run that takes a moment."""
    files = (configs / "syncmnist/cpu.yaml", configs / "syncmnist/all_temp.yaml", Path(__file__).parent / "tiny.yaml")
    return [argument for file in files for argument in ("--config", str(file))]


@pytest.fixture(scope="session")
def cli():
    """Run the command line with these arguments; gives the RSTGCLI."""

    def run(*args, **kwargs):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["main.py"])
            return RSTGCLI(args=[str(arg) for arg in args], **kwargs)

    return run


@pytest.fixture(scope="session")
def fitted(cli, tiny, tmp_path_factory):
    """The folder of a run of two batches, and what ran it. Tests read it and leave it as it is."""
    folder = tmp_path_factory.mktemp("fitted") / "run"
    return folder, cli("fit", *tiny, "--run_dir", folder, "--trainer.limit_train_batches", 2)
