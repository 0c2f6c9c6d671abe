"""Accuracy among the two classes of a pair, in validation and test."""

from collections.abc import Sequence
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from lightning_modules.pair_accuracy import PairAccuracy


class AccuracyWithinPairs(Callback):
    """Logs ``{val,test}/acc_within_pairs``, of several views ``test/center_view_acc_within_pairs`` beside.

    For pairs of classes that look alike but for one thing, such as the direction of time, it says how well that one is
    told. The steps of the module give the logits ``[V, B, num_classes]`` of all views, the centre one first.

    Args:
        pairs: The pairs, by the names of their classes.

    Raises:
        ValueError: When the run starts, if the data have no class of a name, or for what
            :class:`~lightning_modules.pair_accuracy.PairAccuracy` raises.
    """

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self.pairs = pairs

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the classes in the data."""
        names = list(getattr(trainer.datamodule, "class_names", []))
        unknown = [name for pair in self.pairs for name in pair if name not in names]
        if unknown:
            raise ValueError(f"Expected 'pairs' to name classes of the data, {names} (got {unknown})")
        labels = [(names.index(first), names.index(second)) for first, second in self.pairs]
        self.all_views, self.center_view = (PairAccuracy(labels, len(names)) for _ in range(2))

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin anew."""
        for metric in (self.all_views, self.center_view):
            metric.to(pl_module.device).reset()

    on_test_epoch_start = on_validation_epoch_start

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """Count a batch."""
        views: Tensor = outputs
        label = batch[-1]
        self.all_views.update(views.mean(dim=0), label)
        if len(views) > 1:
            self.center_view.update(views[0], label)

    on_test_batch_end = on_validation_batch_end

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the accuracy of the validation set."""
        self._log(pl_module, "val/acc_within_pairs", self.all_views)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the accuracies of the test set."""
        self._log(pl_module, "test/acc_within_pairs", self.all_views)
        self._log(pl_module, "test/center_view_acc_within_pairs", self.center_view)

    def _log(self, pl_module: LightningModule, name: str, metric: PairAccuracy) -> None:
        if metric.update_called:
            pl_module.log(name, metric.compute(), prog_bar=True)
