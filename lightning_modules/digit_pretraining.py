"""Pre-training a backbone: which digit is in this frame, and where (paper §3.1)."""

import torch
from pytorch_lightning import Callback, LightningModule
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from pytorch_lightning.core.mixins.hparams_mixin import _given_hyperparameters
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_modules.batch_checks import check_images, check_labels, check_loss, to_unit_range
from lightning_modules.callbacks.backbone_export import BackboneExport
from lightning_modules.optimization import configure_optimizers, set_fit_length

Batch = tuple[Tensor, ...]


class DigitPretraining(LightningModule):
    """Trains a backbone to classify one digit placed at random in a frame, and exports it when the fit ends.

    The class is read from the mean over the feature map. With ``locate_weight`` > 0 a 1×1 convolution also says at
    every position of the map which digit covers it, if any, and how far its centre is: features that keep *where*.
    Batches are ``(frame, label)``, then with ``box``: ``[B, 4]`` (y0, x0, y1, x1) in [0, 1].

    Logs ``{train,val,test}/{loss,acc}``, where ``acc`` is that of the class.

    Args:
        backbone: Frames ``[B, 1, channels, H, W]`` in [0, 1] → features ``[B, 1, out_channels, h, w]``.
        num_classes: Number of classes.
        optimizer: Parameters → optimiser.
        scheduler: See :class:`~lightning_modules.VideoClassification`.
        locate_weight: Weight of the loss of the positions.
    """

    def __init__(
        self,
        backbone: nn.Module,
        num_classes: int,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        scheduler: LRSchedulerCallable | None = None,
        locate_weight: float = 0.0,
    ) -> None:
        super().__init__()
        # The CLI gives the plain configuration of what is injected; objects given in Python are not to be pickled.
        self.save_hyperparameters(ignore=[] if _given_hyperparameters.get() else ["backbone", "optimizer", "scheduler"])
        if locate_weight < 0:
            raise ValueError(f"Expected 'locate_weight' to be at least 0 (got {locate_weight})")
        self.backbone = backbone
        self.num_classes = num_classes
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.locate_weight = locate_weight
        self.classify = nn.Linear(backbone.out_channels, num_classes)
        self.locate = nn.Conv2d(backbone.out_channels, num_classes + 1 + 2, kernel_size=1) if locate_weight else None

    def forward(self, frame: Tensor) -> Tensor:
        """Classify frames ``[B, channels, H, W]``: logits ``[B, num_classes]``."""
        return self.classify(self.features(frame).mean(dim=(-2, -1)))

    def features(self, frame: Tensor) -> Tensor:
        """The backbone's features ``[B, C, h, w]`` of frames ``[B, channels, H, W]``."""
        return self.backbone(to_unit_range(frame).unsqueeze(1)).squeeze(1)

    def on_before_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Check the batch's values while it is on the host."""
        check_images(batch[0], name="frame", shape="[B, channels, H, W]")
        check_labels(batch[1], self.num_classes)
        if self.locate is not None and len(batch) < 3:
            raise ValueError(
                "Expected batches (frame, label, box) with 'locate_weight' > 0 (got no box: set 'return_box')"
            )
        return batch

    def on_train_start(self) -> None:
        """Tell the schedule how long the fit is."""
        set_fit_length(self.trainer)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of a batch."""
        return self._step(batch, "train")

    def on_before_backward(self, loss: Tensor) -> None:
        """Stop at a loss that is no number."""
        check_loss(loss, self.global_step)  # a GPU waits for this: as little as can be comes between it and backward

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Count a batch of the validation set."""
        self._step(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Count a batch of the test set."""
        self._step(batch, "test")

    def configure_callbacks(self) -> list[Callback]:
        """Export the backbone when the fit ends."""
        return [BackboneExport()]

    def configure_optimizers(self) -> dict:
        """Build the injected optimiser and schedule."""
        return configure_optimizers(self, self.optimizer, self.scheduler)

    def _step(self, batch: Batch, split: str) -> Tensor:
        frame, label, *box = batch
        features = self.features(frame)
        logits = self.classify(features.mean(dim=(-2, -1)))
        loss = F.cross_entropy(logits, label)
        if self.locate is not None:
            loss = loss + self.locate_weight * locate_loss(self.locate(features), label, *box)
        accuracy = (logits.argmax(dim=-1) == label).float().mean()
        options = {"batch_size": len(label), "prog_bar": True, "sync_dist": split != "train"}
        self.log(f"{split}/loss", loss, **options)
        self.log(f"{split}/acc", accuracy, **options)
        return loss


def locate_loss(located: Tensor, label: Tensor, box: Tensor) -> Tensor:
    """Loss of what each position of a feature map says about the digit.

    Args:
        located: ``[B, num_classes + 3, h, w]``: logits of the class of the digit that covers the position (the last
            one: none), then the way (row, column) to its centre, in half digits.
        label: ``[B]`` classes.
        box: ``[B, 4]`` (y0, x0, y1, x1) of the digits in [0, 1].

    Returns:
        Cross-entropy over the positions covered, the same over the others (of which there are many more), and the
        smooth L1 error of the way over those covered.
    """
    num_classes, (height, width) = located.size(1) - 3, located.shape[-2:]
    rows = (torch.arange(height, device=located.device) + 0.5) / height
    columns = (torch.arange(width, device=located.device) + 0.5) / width
    position = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))  # [2, h, w]
    low, high = box[:, :2, None, None], box[:, 2:, None, None]  # [B, 2, 1, 1]
    way = (low + high - 2 * position) / (high - low)  # [B, 2, h, w]
    covered = (way.abs() <= 1).all(dim=1)  # [B, h, w]
    target = torch.where(covered, label[:, None, None], num_classes)
    classes = F.cross_entropy(located[:, : num_classes + 1], target, reduction="none")  # [B, h, w]
    errors = F.smooth_l1_loss(located[:, num_classes + 1 :], way, reduction="none").sum(dim=1)  # [B, h, w]
    on_digit = ((classes + errors) * covered).sum() / covered.sum().clamp(min=1)
    return on_digit + (classes * ~covered).sum() / (~covered).sum().clamp(min=1)
