"""The checkpoint to go on from."""

from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint


class LastCheckpoint(ModelCheckpoint):
    """Keeps ``checkpoints/last.ckpt``: written every so many steps and when the fit ends.

    A validation that follows a step, or the end of an epoch, is not made up for by a fit that goes on from there: what
    is due then is written one step later. A fit that ends within an epoch (``max_steps``, ``max_time``) is written
    before Lightning counts the epoch as done; one that a validation in mid-epoch ends (``EarlyStopping``) after that,
    and going on from it begins the next epoch.

    Args:
        every_n_train_steps: Steps between two writes; a killed fit loses at most one more than that, or one more than
            it had made when its last validation began.

    Raises:
        ValueError: If ``every_n_train_steps`` is not positive.
    """

    def __init__(self, every_n_train_steps: int = 200) -> None:
        if every_n_train_steps < 1:
            raise ValueError(f"Expected 'every_n_train_steps' to be positive (got {every_n_train_steps})")
        super().__init__(filename="last", every_n_train_steps=every_n_train_steps, enable_version_counter=False)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count the steps from here on."""
        super().on_train_start(trainer, pl_module)
        self._last_global_step_saved = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write where it is time, or the fit ends in mid-epoch."""
        loop = trainer.fit_loop
        stops = (trainer.should_stop and loop._can_stop_early) or 0 <= trainer.max_steps <= trainer.global_step
        due = not loop.epoch_loop.batch_progress.is_last_batch
        if not stops:
            due = due and trainer.global_step - self._last_global_step_saved >= self._every_n_train_steps
            due = due and not loop.epoch_loop._should_check_val_fx(loop._data_fetcher)
            due = due and not loop.epoch_loop._should_accumulate()  # gradients that no checkpoint holds
        if due and not trainer.fast_dev_run:
            self._write(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the end of the fit."""
        if not self._should_skip_saving_checkpoint(trainer):
            self._write(trainer)

    def _write(self, trainer: Trainer) -> None:
        self._save_topk_checkpoint(trainer, self._monitor_candidates(trainer))
