"""The random draws of a training step, dropout's among them."""

from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from data.counter_rng import random_bits


class StepSeed(Callback):
    """Seeds torch before every training batch, from the run's seed, the batch's number and the process's.

    So a fit that goes on from a checkpoint draws what the uninterrupted one would have drawn, and no two processes draw
    alike.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the run's seed."""
        self.seed = torch.initial_seed()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Seed."""
        # Not that of the batches begun: after a signal within a step, a batch begins twice.
        number = trainer.fit_loop.epoch_loop.batch_progress.total.completed
        torch.manual_seed(int(random_bits(self.seed, "training/step", [number], trainer.global_rank)[0]) >> 1)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the run's seed to a fit that follows in this process."""
        torch.manual_seed(self.seed)
