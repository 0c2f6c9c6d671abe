"""The folder a run writes into."""

from pathlib import Path

from pytorch_lightning import Trainer


def run_folder(trainer: Trainer) -> Path:
    """The run's folder, the Trainer's ``default_root_dir``, made if it is not there (not for ``fast_dev_run``).

    Call it in every process: they agree on rank 0's.
    """
    folder = Path(trainer.strategy.broadcast(trainer.default_root_dir))
    if trainer.is_global_zero and not trainer.fast_dev_run:
        folder.mkdir(parents=True, exist_ok=True)
    return folder
