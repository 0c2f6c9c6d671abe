"""Pre-training a backbone: which digits are in this frame (paper §3.1), and where."""

import math

import torch
from pytorch_lightning import Callback
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from pytorch_lightning.core.mixins.hparams_mixin import _given_hyperparameters
from pytorch_lightning.utilities.rank_zero import rank_zero_info
from torch import Tensor, nn

from lightning_modules.batch_checks import check_images, check_loss, to_unit_range
from lightning_modules.callbacks.backbone_export import BackboneExport
from lightning_modules.digit_loss import DigitLoss
from lightning_modules.optimization import ScheduledModule
from lightning_modules.pretrained_weights import FRAME_LOSS_PREFIXES, load_weights
from rstg_pyg.models.load_pretrained import BACKBONE_PREFIXES

Batch = tuple[Tensor, Tensor, Tensor]


class DigitPretraining(ScheduledModule):
    """Trains a backbone to say which digits a frame shows, and exports it when the fit ends.

    See :class:`DigitLoss`. With one digit a frame this is the paper's task; with ``locate_weight`` > 0 it also says
    where each digit is, for features that keep *where*. Batches are those of :class:`~data.PlacedDigitsDataModule`.

    Logs ``{train,val,test}/{loss,acc}`` and, with ``locate_weight``, ``distance``: the loss and its scores.

    Args:
        backbone: Frames ``[B, 1, channels, H, W]`` in [0, 1] → features ``[B, 1, out_channels, h, w]``.
        num_classes: Number of classes.
        optimizer: Parameters → optimiser.
        scheduler: See :class:`~lightning_modules.VideoClassification`.
        locate_weight: See :class:`DigitLoss`.
        backbone_weights: ``.safetensors`` file or checkpoint with weights for ``backbone``, read when a fit starts from
            scratch.
        loss_weights: Checkpoint with weights for the loss, read likewise: of such a run, or of a classification that
            has the loss on its frames; a backbone that was trained with it goes on saying things in the same way.

    Raises:
        ValueError: For what :class:`DigitLoss` raises.
    """

    def __init__(
        self,
        backbone: nn.Module,
        num_classes: int,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        scheduler: LRSchedulerCallable | None = None,
        locate_weight: float = 0.0,
        backbone_weights: str | None = None,
        loss_weights: str | None = None,
    ) -> None:
        super().__init__()
        # The CLI gives the plain configuration of what is injected; objects given in Python are not to be pickled.
        self.save_hyperparameters(ignore=[] if _given_hyperparameters.get() else ["backbone", "optimizer", "scheduler"])
        self.backbone = backbone
        self.num_classes = num_classes
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.backbone_weights = backbone_weights
        self.loss_weights = loss_weights
        self.loss = DigitLoss(backbone.out_channels, num_classes, locate_weight)

    def setup(self, stage: str) -> None:
        """Load the weights to start from where a fit starts from scratch."""
        if stage != "fit" or self.trainer.ckpt_path is not None:
            return
        if self.backbone_weights is not None:
            path, name = self.backbone_weights, "backbone_weights"
            rank_zero_info(load_weights(self.backbone, path, name, BACKBONE_PREFIXES))
        if self.loss_weights is not None:
            rank_zero_info(load_weights(self.loss, self.loss_weights, "loss_weights", FRAME_LOSS_PREFIXES))

    def forward(self, frame: Tensor) -> Tensor:
        """Read frames ``[B, channels, H, W]``: ``[B, num_classes, 3]``, logit, row and column of each class."""
        return self.loss.digits(self.features(frame))

    def features(self, frame: Tensor) -> Tensor:
        """The backbone's features ``[B, C, h, w]`` of frames ``[B, channels, H, W]``."""
        return self.backbone(to_unit_range(frame).unsqueeze(1)).squeeze(1)

    def on_before_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Check the batch's values while it is on the host."""
        frame, shown, centre = batch
        check_images(frame, name="frame", shape="[B, channels, H, W]")
        for name, tensor, shape in (("shown", shown, [self.num_classes]), ("centre", centre, [self.num_classes, 2])):
            if list(tensor.shape) != [len(frame), *shape]:
                raise ValueError(f"Expected '{name}' to be of shape {[len(frame), *shape]} (got {list(tensor.shape)})")
        if not shown.any(dim=1).all():
            raise ValueError("Expected 'shown' to hold a digit for every frame (got a frame without any)")
        return batch

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

    def _step(self, batch: Batch, split: str) -> Tensor:
        frame, shown, centre = batch
        loss, scores = self.loss(self.features(frame), centre.masked_fill(~shown[..., None], math.nan))
        options = {"batch_size": len(frame), "prog_bar": True, "sync_dist": split != "train"}
        self.log_dict({f"{split}/{name}": value for name, value in {"loss": loss, **scores}.items()}, **options)
        return loss
