"""Pre-training a backbone: which digits are in this frame (paper §3.1), and where."""

from itertools import pairwise

import torch
from pytorch_lightning import Callback
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from pytorch_lightning.core.mixins.hparams_mixin import _given_hyperparameters
from pytorch_lightning.utilities.rank_zero import rank_zero_info
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_modules.batch_checks import check_images, check_loss, to_unit_range
from lightning_modules.callbacks.backbone_export import BackboneExport
from lightning_modules.optimization import ScheduledModule
from lightning_modules.pretrained_weights import load_weights
from rstg_pyg import GridPyramid
from rstg_pyg.models.load_pretrained import BACKBONE_PREFIXES
from rstg_pyg.nn.norm import NodeBatchNorm

Batch = tuple[Tensor, Tensor, Tensor]


class DigitPretraining(ScheduledModule):
    """Trains a backbone to say which digits a frame shows, and exports it when the fit ends.

    A linear layer, or an MLP, reads the nodes of a :class:`~rstg_pyg.GridPyramid`, as their averages are all that the
    graph gets of the features. With one digit a frame this is the paper's task; with ``locate_weight`` > 0 it also says
    where each digit is, for features that keep *where*. Batches are those of :class:`~data.PlacedDigitsDataModule`.

    Logs ``{train,val,test}/{loss,acc}``, where ``acc`` is the share of the digits shown that are among as many most
    likely classes, and, with ``locate_weight``, ``distance``: the mean distance between a digit's centre and where it
    is said to be, in percent of the frame's side.

    Args:
        backbone: Frames ``[B, 1, channels, H, W]`` in [0, 1] → features ``[B, 1, out_channels, h, w]``.
        num_classes: Number of classes.
        optimizer: Parameters → optimiser.
        scheduler: See :class:`~lightning_modules.VideoClassification`.
        locate_weight: Weight of the loss of the places.
        hidden_channels: Size of the hidden layers of an MLP that reads the nodes, two of them; None for a linear layer.
            What an MLP finds, a graph can find too, and a CNN that need not lay it out for a linear layer keeps more.
        backbone_weights: ``.safetensors`` file or checkpoint with weights for ``backbone``, read when a fit starts from
            scratch.

    Raises:
        ValueError: If ``locate_weight`` is negative or ``hidden_channels`` not positive.
    """

    def __init__(
        self,
        backbone: nn.Module,
        num_classes: int,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        scheduler: LRSchedulerCallable | None = None,
        locate_weight: float = 0.0,
        hidden_channels: int | None = None,
        backbone_weights: str | None = None,
    ) -> None:
        super().__init__()
        # The CLI gives the plain configuration of what is injected; objects given in Python are not to be pickled.
        self.save_hyperparameters(ignore=[] if _given_hyperparameters.get() else ["backbone", "optimizer", "scheduler"])
        if locate_weight < 0:
            raise ValueError(f"Expected 'locate_weight' to be at least 0 (got {locate_weight})")
        if hidden_channels is not None and hidden_channels < 1:
            raise ValueError(f"Expected 'hidden_channels' to be positive or None (got {hidden_channels})")
        self.backbone = backbone
        self.num_classes = num_classes
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.locate_weight = locate_weight
        self.backbone_weights = backbone_weights
        self.pyramid = GridPyramid()
        node_features = self.pyramid.num_nodes * backbone.out_channels
        sizes = [node_features, *([] if hidden_channels is None else [hidden_channels] * 2)]
        self.read = nn.Sequential(
            NodeBatchNorm(backbone.out_channels),
            nn.Flatten(),
            *(
                layer
                for before, after in pairwise(sizes)
                for layer in (nn.Linear(before, after), nn.ReLU(inplace=True))
            ),
            nn.Linear(sizes[-1], 3 * num_classes),
            nn.Unflatten(1, (num_classes, 3)),
        )

    def setup(self, stage: str) -> None:
        """Load the weights to start from where a fit starts from scratch."""
        if stage == "fit" and self.trainer.ckpt_path is None and self.backbone_weights is not None:
            report = load_weights(self.backbone, self.backbone_weights, "backbone_weights", BACKBONE_PREFIXES)
            rank_zero_info(report)

    def forward(self, frame: Tensor) -> Tensor:
        """Read frames ``[B, channels, H, W]``: ``[B, num_classes, 3]``, logit, row and column of each class."""
        return self.read(self.pyramid.pool(self.features(frame)))

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
        logits, place = self(frame).split([1, 2], dim=-1)
        logits = logits.squeeze(-1)
        loss = F.cross_entropy(logits, shown.float() / shown.sum(dim=1, keepdim=True))
        scores = {"acc": accuracy(logits, shown)}
        if self.locate_weight > 0:
            error = (place - centre)[shown]  # [digits, 2]
            loss = loss + self.locate_weight * F.smooth_l1_loss(error, torch.zeros_like(error), beta=0.05)
            scores["distance"] = 100 * error.detach().norm(dim=-1).mean()
        options = {"batch_size": len(frame), "prog_bar": True, "sync_dist": split != "train"}
        self.log_dict({f"{split}/{name}": value for name, value in {"loss": loss, **scores}.items()}, **options)
        return loss


def accuracy(logits: Tensor, shown: Tensor) -> Tensor:
    """Share of the classes shown that are among as many most likely ones, meaned over frames.

    Args:
        logits: ``[B, num_classes]``.
        shown: ``[B, num_classes]`` bool, at least one in each frame.
    """
    number = shown.sum(dim=1, keepdim=True)
    rank = logits.argsort(dim=1, descending=True).argsort(dim=1)
    return ((shown & (rank < number)).sum(dim=1) / number[:, 0]).mean()
