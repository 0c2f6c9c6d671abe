"""The confusion matrix of a test."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor

from lightning_modules.callbacks.run_folder import run_folder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_NAMED = 20
"""The most classes whose names have room beside the matrix."""


class ConfusionFigure(Callback):
    """Writes a test's confusion matrix as ``confusion_matrix.csv`` (counts) and ``.png``, and to TensorBoard.

    Rows are the labels, columns the predictions. The module counts it in ``test_confusion``.
    """

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the matrix."""
        if not hasattr(pl_module, "test_confusion"):
            return
        counts = pl_module.test_confusion.compute().cpu()  # sums over the processes
        folder = run_folder(trainer)
        if not trainer.is_global_zero or trainer.fast_dev_run:
            return
        with (folder / "confusion_matrix.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["label", *range(len(counts))]])
            csv.writer(file).writerows([label, *row] for label, row in enumerate(counts.tolist()))
        names = getattr(trainer.datamodule, "class_names", ())
        figure = draw_confusion(counts, folder / "confusion_matrix.png", names)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_figure("test/confusion_matrix", figure, trainer.global_step)


def draw_confusion(counts: Tensor, path: Path, names: Sequence[str] = ()) -> "Figure":
    """Draw ``[classes, classes]`` counts as the share of each label's videos, with the names of few classes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 6))
    axes = figure.subplots()
    share = counts / counts.sum(dim=1, keepdim=True).clamp(min=1)
    image = axes.imshow(share.numpy(), vmin=0, vmax=1, cmap="viridis")
    axes.set(xlabel="predicted class", ylabel="label")
    if names and len(counts) <= MAX_NAMED:
        axes.set_xticks(range(len(counts)), names, rotation=30, ha="right", rotation_mode="anchor", parse_math=False)
        axes.set_yticks(range(len(counts)), names, parse_math=False)
    figure.colorbar(image, label="share of the label's videos")
    figure.savefig(path, dpi=120, bbox_inches="tight")
    return figure
