"""Callbacks that tests put into a run of another process."""

import os
import signal
from pathlib import Path

import torch
from pytorch_lightning import Callback


class Killer(Callback):
    """Kills the process, as a power cut would, after a training step.

    Args:
        step: The number of steps taken by then.
    """

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


class Recorder(Callback):
    """Writes the training videos a process saw as ``videos_<rank>.pt``, and the weights it ended with.

    Args:
        folder: Where to write.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.videos: list[torch.Tensor] = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.videos.append(batch[0].cpu())

    def on_train_end(self, trainer, pl_module):
        seen = {"videos": torch.cat(self.videos), "weights": pl_module.network.state_dict()}
        torch.save(seen, self.folder / f"videos_{trainer.global_rank}.pt")


class GradientRecorder(Callback):
    """Writes the gradients of the first training step, as the optimiser gets them, as ``gradients_<rank>.pt``.

    Args:
        folder: Where to write.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        if trainer.global_step == 0:
            gradients = {name: parameter.grad.clone() for name, parameter in pl_module.network.named_parameters()}
            torch.save(gradients, self.folder / f"gradients_{trainer.global_rank}.pt")
