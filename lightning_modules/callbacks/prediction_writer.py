"""Predictions in a file."""

import csv
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import BasePredictionWriter
from pytorch_lightning.utilities.rank_zero import rank_zero_info
from torch import Tensor

from lightning_modules.callbacks.run_folder import run_folder


class PredictionWriter(BasePredictionWriter):
    """Writes ``predictions.npz`` when a prediction ends, one row per video in the data set's order.

    ==================  ===========================================
    ``index``           int64 ``[M]``, the video's place in its set
    ``probabilities``   float32 ``[M, num_classes]``
    ``label``           int64 ``[M]``, negative where not known
    ``id``              str ``[M]``, the video's name in the data set
    ``class_names``     str ``[num_classes]``
    ==================  ===========================================

    The last two are there where the data set names its videos. Then ``predictions.csv`` has a line ``id;class name``
    for each, with its most probable class: the form in which Something-Something gives its training set, and takes
    submissions. A name with a ``;``, a quotation mark or a line break in it is quoted, as usual in CSV.
    """

    def __init__(self) -> None:
        super().__init__(write_interval="batch")
        self._batches: list[tuple[Tensor, Tensor, Tensor]] = []

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget an earlier prediction."""
        self._batches = []

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: dict[str, Tensor],
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Keep a batch's rows."""
        index = torch.tensor(batch_indices, dtype=torch.int64)
        self._batches.append((index, prediction["probabilities"].cpu(), prediction["labels"].cpu()))

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gather the rows of all processes and write them."""
        path = run_folder(trainer) / "predictions.npz"
        rows = [torch.cat(column) for column in zip(*self._batches, strict=True)]
        if trainer.world_size > 1:
            gathered: list[Any] = [None] * trainer.world_size
            torch.distributed.all_gather_object(gathered, rows)
            rows = [torch.cat(column) for column in zip(*gathered, strict=True)]
        if not trainer.is_global_zero or trainer.fast_dev_run:
            return
        index, first = np.unique(rows[0].numpy(), return_index=True)  # processes may share videos to fill up
        probabilities, label = (column.numpy()[first] for column in rows[1:])
        videos = getattr(getattr(trainer.predict_dataloaders, "dataset", None), "videos", None)
        names = {}
        if videos is not None:
            names = {
                "id": np.array([videos.ids[video] for video in index]),
                "class_names": np.array(videos.class_names),
            }
        np.savez(path, index=index, probabilities=probabilities, label=label, **names)
        rank_zero_info(f"Wrote the predictions of {len(index)} videos to {path}")
        if videos is None:
            return
        best = probabilities.argmax(axis=1)
        # Names of files may be any bytes, which Python holds as surrogates where they are no UTF-8.
        with path.with_suffix(".csv").open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.writer(file, delimiter=";", lineterminator="\n")
            for video, likeliest in zip(index, best, strict=True):
                writer.writerow((videos.ids[video], videos.class_names[likeliest]))
