"""Training and testing a network that classifies videos."""

from collections import deque
from typing import Any, Self

import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from pytorch_lightning.core.mixins.hparams_mixin import _given_hyperparameters
from pytorch_lightning.utilities.rank_zero import rank_zero_info, rank_zero_warn
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix

from lightning_modules.batch_checks import check_images, check_labels, check_loss, to_unit_range
from lightning_modules.data_description import DATA_DESCRIPTION, check_class_names, describe_data, missing_attributes
from lightning_modules.optimization import ScheduledModule
from lightning_modules.pretrained_weights import FRAME_LOSS_PREFIXES, NETWORK_PREFIXES, load_weights, read_weights
from rstg_pyg.models import InflatedResNet, TorchvisionBackbone, load_pretrained
from rstg_pyg.models.insert_blocks import INSERTED
from rstg_pyg.models.load_pretrained import BACKBONE_PREFIXES, LoadingReport
from rstg_pyg.models.state_comparison import state_differences
from rstg_pyg.models.video_backbone import VideoBackbone

# Boxes come between video and label, or in training what a loss on frames looks for.
Batch = tuple[Tensor, Tensor] | tuple[Tensor, Tensor, Tensor]
TRAIN_ACCURACY_WINDOW = 20  # batches


class VideoClassification(ScheduledModule):
    """Cross-entropy training of a network on labelled videos.

    Logs ``train/loss``, ``train/acc`` (mean of the last 20 batches) and ``{val,test}/{loss,acc,acc_top5}``; counts the
    confusion matrix of a test in ``test_confusion``. Those of training are of the first process alone.

    A test or prediction may see several views of a video: their logits are averaged. The scores of the first view
    alone, the centre one, are then logged beside, as ``test/center_view_{acc,acc_top5}``.

    Args:
        network: Video ``[B, T, channels, H, W]`` in [0, 1] → logits ``[B, num_classes]``, such as
            :class:`rstg_pyg.models.VideoClassifier`.
        num_classes: Number of classes.
        optimizer: Parameters → optimiser.
        scheduler: Optimiser → learning-rate schedule, stepped with the optimiser
            (:class:`~pytorch_lightning.cli.ReduceLROnPlateau`: after each validation), or None.
        backbone_weights: ``.safetensors`` file or checkpoint with weights for ``network.backbone``, read when a fit
            starts from scratch; for an :class:`rstg_pyg.models.InflatedResNet` or a
            :class:`rstg_pyg.models.TorchvisionBackbone` what :func:`rstg_pyg.models.load_pretrained` takes.
        network_weights: ``.safetensors`` file or checkpoint with weights for all of ``network``, such as a run with
            fewer digits; they count, also for the backbone, where ``backbone_weights`` is given too. A file whose
            backbone is another one, with other tensors, gives all but the backbone then, with a warning.
        freeze_backbone: Whether ``network.backbone`` stays as it is.
        frame_loss: A loss on the backbone's features beside that of the classes, in training alone, such as
            :class:`~lightning_modules.DigitLoss`: features ``[B·T, C, h, w]`` and what a training batch then holds
            between video and label, ``[B·T, ...]`` → loss and scores. They are logged as ``train/frame_loss`` and
            ``train/frame_{name}``, of the batch alone.
        frame_loss_weights: Checkpoint with weights for ``frame_loss``: of a run that had one, or of the pre-training of
            the backbone, so that what reads the features need not be learnt anew; read when a fit starts from scratch.

    Raises:
        ValueError: If ``backbone_weights``, ``freeze_backbone`` or ``frame_loss`` is given for a network without
            ``backbone``, ``frame_loss`` for a frozen one, or ``frame_loss_weights`` without ``frame_loss``.
    """

    def __init__(
        self,
        network: nn.Module,
        num_classes: int,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        scheduler: LRSchedulerCallable | None = None,
        backbone_weights: str | None = None,
        network_weights: str | None = None,
        freeze_backbone: bool = False,
        frame_loss: nn.Module | None = None,
        frame_loss_weights: str | None = None,
    ) -> None:
        super().__init__()
        for name, wants_backbone in (
            ("backbone_weights", backbone_weights is not None),
            ("freeze_backbone", freeze_backbone),
            ("frame_loss", frame_loss is not None),
        ):
            if wants_backbone and not hasattr(network, "backbone"):
                raise ValueError(
                    f"Expected 'network' to have a 'backbone' where '{name}' is given (got {type(network).__name__})"
                )
        if frame_loss is not None and freeze_backbone:
            raise ValueError("Expected 'freeze_backbone' to be False where 'frame_loss' is to train it (got True)")
        if frame_loss is None and frame_loss_weights is not None:
            raise ValueError(f"Expected 'frame_loss' where 'frame_loss_weights' are given (got {frame_loss_weights!r})")
        # The CLI gives the plain configuration of what is injected; objects given in Python are not to be pickled.
        injected = [] if _given_hyperparameters.get() else ["network", "optimizer", "scheduler", "frame_loss"]
        self.save_hyperparameters(ignore=injected)
        self.network = network
        self.num_classes = num_classes
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.backbone_weights = backbone_weights
        self.network_weights = network_weights
        self.frame_loss = frame_loss
        self.frame_loss_weights = frame_loss_weights
        self.freeze_backbone = freeze_backbone
        if freeze_backbone:
            network.backbone.requires_grad_(False).eval()

        self.train_accuracies: deque[Tensor] = deque(maxlen=TRAIN_ACCURACY_WINDOW)
        # One metric's state must not stand for another's where their first batches agree: no compute groups.
        accuracies = {"acc": self._accuracy(top_k=1), "acc_top5": self._accuracy(top_k=min(5, num_classes))}
        self.val_accuracies = MetricCollection(accuracies, prefix="val/", compute_groups=False)
        self.test_accuracies = self.val_accuracies.clone(prefix="test/")
        self.center_view_accuracies = self.val_accuracies.clone(prefix="test/center_view_")
        self.test_confusion = MulticlassConfusionMatrix(num_classes, validate_args=False)

    def train(self, mode: bool = True) -> Self:
        """Set training mode, in which a frozen backbone stays in evaluation."""
        super().train(mode)
        if self.freeze_backbone:
            self.network.backbone.eval()
        return self

    def setup(self, stage: str) -> None:
        """Load the weights to start from where a fit starts from scratch."""
        if stage != "fit" or self.trainer.ckpt_path is not None:
            return
        for name, prefixes in (("backbone_weights", BACKBONE_PREFIXES), ("network_weights", NETWORK_PREFIXES)):
            path = getattr(self, name)
            if path is None:
                continue
            module = self.network.backbone if name == "backbone_weights" else self.network
            if isinstance(module, InflatedResNet | TorchvisionBackbone):
                try:
                    report = load_pretrained(module, path)
                except (FileNotFoundError, ValueError) as error:
                    raise type(error)(
                        f"Expected '{name}' to hold the weights of the {type(module).__name__} (got '{path}': {error})"
                    ) from error
                rank_zero_info(str(report))
                _warn_of_new_norms(module, report)
            elif name == "network_weights" and self.backbone_weights is not None and self._has_another_backbone(path):
                rank_zero_warn(load_weights(module, path, name, prefixes, but="backbone"))
            else:
                rank_zero_info(load_weights(module, path, name, prefixes))
        if self.frame_loss is not None and self.frame_loss_weights is not None:
            path, name = self.frame_loss_weights, "frame_loss_weights"
            rank_zero_info(load_weights(self.frame_loss, path, name, FRAME_LOSS_PREFIXES))
        frozen = getattr(getattr(self.network, "backbone", None), "freeze_batch_norm", False)
        if frozen and self.backbone_weights is None and self.network_weights is None:
            rank_zero_warn(
                "'freeze_batch_norm' is for pre-trained weights, and neither 'backbone_weights' nor 'network_weights' "
                "is given: the backbone's batch norms stay at mean 0 and variance 1"
            )

    def _has_another_backbone(self, path: str) -> bool:
        """Whether the backbone in a file of ``network_weights`` is not ours."""
        own, theirs = self.network.state_dict(), read_weights(path, "network_weights", NETWORK_PREFIXES)
        return bool(
            state_differences(*({k: v for k, v in s.items() if k.startswith("backbone.")} for s in (own, theirs)))
        )

    def forward(self, video: Tensor, boxes: Tensor | None = None) -> Tensor:
        """Classify videos.

        Args:
            video: ``[B, T, channels, H, W]``, uint8 or floating point in [0, 1].
            boxes: ``[B, T, n, 4]`` tracked boxes, for a network that takes them.

        Returns:
            ``[B, num_classes]`` logits.

        Raises:
            ValueError: If the network has another number of classes.
        """
        video = to_unit_range(video)
        logits = self.network(video) if boxes is None else self.network(video, boxes=boxes)
        if logits.size(-1) != self.num_classes:
            raise ValueError(f"Expected 'network' to give {self.num_classes} classes (got {logits.size(-1)})")
        return logits

    def view_logits(self, video: Tensor, boxes: Tensor | None = None) -> Tensor:
        """Classify every view of videos, one view at a time to save memory.

        Args:
            video: ``[B, V, T, channels, H, W]``, or ``[B, T, channels, H, W]`` for one view, as in :meth:`forward`.
            boxes: See :meth:`forward`; videos with boxes have one view.

        Returns:
            ``[V, B, num_classes]`` logits, float32 at least. Their mean over the views is the score of a video.
        """
        views = video.unbind(dim=1) if video.dim() == 6 else [video]
        logits = torch.stack([self(view, boxes) for view in views])
        return logits.to(torch.promote_types(logits.dtype, torch.float32))

    def on_before_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Check the batch's values while it is on the host."""
        video, *boxes, label = batch
        many_views = video.dim() == 6 and not boxes and (self.trainer.testing or self.trainer.predicting)
        check_images(video, name="video", shape=f"[B, {'V, ' if many_views else ''}T, channels, H, W]")
        if self.trainer.training and self.frame_loss is not None and not boxes:
            raise ValueError(
                "Expected training batches to hold what 'frame_loss' looks for between video and label (got video and "
                "label alone): for DigitLoss set `--data.train_centres true`"
            )
        if boxes and (not self.trainer.training or self.frame_loss is None) and boxes[0].size(-1) != 4:
            raise ValueError(
                "Expected 'boxes' to be of shape [B, T, n, 4] where no 'frame_loss' looks at what is between video and "
                f"label (got {list(boxes[0].shape)})"
            )
        if not self.trainer.predicting:  # what is to be predicted may have no label
            check_labels(label, self.num_classes)
        return batch

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what the data module says of its videos, if it does: whoever uses the checkpoint may not have them."""
        data = self.trainer.datamodule
        if not missing_attributes(data):
            checkpoint[DATA_DESCRIPTION] = describe_data(data)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse data whose labels mean other classes than those that the checkpoint was trained on."""
        if self._trainer is not None and DATA_DESCRIPTION in checkpoint:
            check_class_names(checkpoint[DATA_DESCRIPTION]["class_names"], self.trainer.datamodule)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of a batch."""
        video, *places, label = batch
        if self.frame_loss is None:
            logits = self(video, *places)
            loss = total = F.cross_entropy(logits, label)
        else:
            features: list[Tensor] = []
            with self.network.backbone.register_forward_hook(lambda module, args, output: features.append(output)):
                logits = self(video)
            frame_loss, scores = self.frame_loss(*(field.flatten(end_dim=1) for field in (*features, *places)))
            loss = F.cross_entropy(logits, label)
            total = loss + frame_loss
            self.log_dict({f"train/frame_{name}": value for name, value in {"loss": frame_loss, **scores}.items()})
        self.train_accuracies.append((logits.argmax(dim=-1) == label).float().mean())
        self.log("train/loss", loss, prog_bar=True)
        self.log("train/acc", torch.stack(list(self.train_accuracies)).mean(), prog_bar=True)
        return total

    def on_before_backward(self, loss: Tensor) -> None:
        """Stop at a loss that is no number."""
        check_loss(loss, self.global_step)  # a GPU waits for this: as little as can be comes between it and backward

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Count a batch of the validation set, and give its logits ``[1, B, num_classes]``."""
        video, *boxes, label = batch
        views = self.view_logits(video, *boxes)
        self._count(views.mean(dim=0), label, "val", self.val_accuracies)
        return views

    def on_test_epoch_start(self) -> None:
        """Begin the confusion matrix anew."""
        self.test_confusion.reset()

    def test_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Count a batch of the test set, and give the logits ``[V, B, num_classes]`` of all views."""
        video, *boxes, label = batch
        views = self.view_logits(video, *boxes)
        self._count(views.mean(dim=0), label, "test", self.test_accuracies)
        self.test_confusion.update(views.mean(dim=0), label)
        if len(views) > 1:
            self.center_view_accuracies.update(views[0], label)
            self.log_dict(self.center_view_accuracies, batch_size=len(label))
        return views

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Probabilities ``[B, num_classes]`` of a batch, and its labels ``[B]``, negative where there are none."""
        video, *boxes, label = batch
        return {"probabilities": self.view_logits(video, *boxes).mean(dim=0).float().softmax(dim=-1), "labels": label}

    def _accuracy(self, top_k: int) -> MulticlassAccuracy:
        return MulticlassAccuracy(self.num_classes, top_k=top_k, average="micro", validate_args=False)

    def _count(self, logits: Tensor, label: Tensor, split: str, accuracies: MetricCollection) -> None:
        accuracies.update(logits, label)
        loss = F.cross_entropy(logits, label)
        self.log(f"{split}/loss", loss, batch_size=len(label), sync_dist=True, prog_bar=True)
        self.log_dict(accuracies, batch_size=len(label), prog_bar=True)


def _warn_of_new_norms(backbone: VideoBackbone, report: LoadingReport) -> None:
    """Say which batch norms are frozen though nothing was ever normalised by them."""
    owners = {name.rpartition(".")[0] for name in report.new if name.endswith(".running_var")}
    new = sorted(name for name in owners if not name.startswith(f"{INSERTED}."))
    if backbone.freeze_batch_norm and new:
        rank_zero_warn(
            "'freeze_batch_norm' keeps those batch norms at mean 0 and variance 1 that the weights know nothing of: "
            + ", ".join(new)
        )
