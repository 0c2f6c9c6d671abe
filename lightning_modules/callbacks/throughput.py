"""Videos per second of training."""

import time
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer


class Throughput(Callback):
    """Logs ``train/videos_per_s`` (frames, in pre-training) of all processes together, waiting for data included.

    The first batch, which warms up, and validation are left out.

    Args:
        window: Batches per figure.
    """

    def __init__(self, window: int = 10) -> None:
        if window < 1:
            raise ValueError(f"Expected 'window' to be positive (got {window})")
        self.window = window
        self._start: float | None = None
        self._batches = self._videos = 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count a batch; log at the end of a window."""
        now = time.perf_counter()
        if self._start is not None:
            self._batches += 1
            self._videos += len(batch[0]) * trainer.world_size
            if self._batches < self.window:
                return
            pl_module.log("train/videos_per_s", self._videos / (now - self._start), prog_bar=True)
        self._start, self._batches, self._videos = now, 0, 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Wait for the first batch's end."""
        self._start = None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Wait for the next training batch's end."""
        self._start = None
