"""Loaders for datasets whose items are pure functions of their index."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset

from data.argument_checks import check_sizes
from data.batches import collate_stacked
from data.stream import StreamLoader, StreamSampler


class StreamDataModule(pl.LightningDataModule, ABC):
    """Trains on a stream, resumable in the middle of an epoch, and evaluates on sets in order.

    Args:
        batch_size: Items per batch and process.
        num_workers: Processes that make items; 0 for the training process itself.

    Attributes:
        channels: Channels of a frame.
        num_classes: Number of classes.
        epoch_items: Training items in an epoch over all processes.

    Raises:
        ValueError: If an argument is out of range.
    """

    channels: int
    num_classes: int
    epoch_items: int
    splits: ClassVar = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",), "predict": ("test",)}
    """The splits that each stage needs; `predict` takes the last."""

    def __init__(self, batch_size: int, num_workers: int) -> None:
        super().__init__()
        check_sizes(batch_size=batch_size, num_workers=num_workers)
        self.batch_size = batch_size
        self.num_workers = num_workers
        self._datasets: dict[str, Dataset] = {}

    @abstractmethod
    def make_dataset(self, split: Any) -> Dataset:
        """Makes the dataset of a split."""

    def setup(self, stage: str) -> None:
        """Makes the datasets that the stage (``fit``, ``validate``, ``test`` or ``predict``) needs."""
        for split in self.splits[stage]:
            if split not in self._datasets:
                self._datasets[split] = self.make_dataset(split)

    def _loader_arguments(self) -> dict[str, Any]:
        return {
            "batch_size": self.batch_size,
            "num_workers": self.num_workers,
            "collate_fn": collate_stacked,
            "pin_memory": torch.cuda.is_available(),
            "persistent_workers": self.num_workers > 0,
        }

    def train_dataloader(self) -> StreamLoader:
        """The stream, each process its own part, resumable in the middle of an epoch."""
        stream = self._datasets["train"]
        num_replicas, rank = (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)
        sampler = StreamSampler(len(stream), self.epoch_items, num_replicas, rank)  # type: ignore[arg-type]
        return StreamLoader(stream, sampler=sampler, in_progress=self._batches_in_progress, **self._loader_arguments())

    def _batches_in_progress(self) -> int:
        """How many training batches the Trainer has been given and not trained on: one within a step."""
        if self.trainer is None:
            return 0
        progress = self.trainer.fit_loop.epoch_loop.batch_progress.current
        return progress.ready - progress.processed

    def val_dataloader(self) -> DataLoader:
        """The validation set in order; over several processes Lightning shares it out."""
        return DataLoader(self._datasets["val"], **self._loader_arguments())

    def test_dataloader(self) -> DataLoader:
        """The test set in order; over several processes Lightning shares it out."""
        return DataLoader(self._datasets["test"], **self._loader_arguments())

    def predict_dataloader(self) -> DataLoader:
        """The set to predict in order; over several processes Lightning shares it out."""
        return DataLoader(self._datasets[self.splits["predict"][-1]], **self._loader_arguments())
