"""torchvision's video networks, and its image networks frame by frame, as backbones."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Literal, get_args

from torch import Tensor, nn

from rstg_pyg.models.gradient_checkpointing import CheckpointedSequential
from rstg_pyg.models.insert_blocks import insert_blocks
from rstg_pyg.models.video_backbone import VideoBackbone

VideoNetwork = Literal["r3d_18", "mc3_18", "r2plus1d_18", "s3d"]
ImageNetwork = Literal["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]
NETWORKS: tuple[str, ...] = (*get_args(VideoNetwork), *get_args(ImageNetwork))
CLASSIFIER = ("avgpool", "fc", "classifier")  # the sub-modules that a backbone does without


class TorchvisionBackbone(VideoBackbone):
    r"""A network of torchvision up to its last feature volume, with blocks behind any of its layers.

    Its sub-modules have torchvision's names, and so have its weights, which :func:`rstg_pyg.models.load_pretrained`
    fetches: those of Kinetics-400 for video networks, of ImageNet for image networks. The frames are normalised as
    those weights want it.

    ==================================  ============  ======  =============================
    network                             frames        C       layers to put blocks behind
    ==================================  ============  ======  =============================
    ``r3d_18, mc3_18, r2plus1d_18``     an eighth     512     ``layer1`` ... ``layer4``
    ``s3d``                             an eighth     1024    ``features.0`` ... ``features.15``
    ``resnet18, resnet34``              all, alone    512     ``layer1`` ... ``layer4``
    ``resnet50, resnet101, resnet152``  all, alone    2048    ``layer1`` ... ``layer4``
    ==================================  ============  ======  =============================

    (``mc3_18`` keeps all frames.)

    Args:
        network: The network's name in torchvision.
        in_channels: Channels of the frames; torchvision's networks take 3.
        freeze_batch_norm: Batch norms normalise by their running statistics in training too, for small batches; scale
            and shift are learnt all the same.
        gradient_checkpointing: Every block of every layer keeps its input alone for the backward pass and is computed
            anew there: less memory, and more time. A block behind a whole layer is not computed anew. An image network
            with blocks takes no clips of another B or T between a forward pass and its backward pass then.
        blocks: Blocks to put behind sub-modules, see :func:`insert_blocks`, such as
            ``{"layer3": RSTGBlock(256, 128)}``.

    Shapes:
        - **input:** video :math:`(B, T, 3, H, W)` in [0, 1]
        - **output:** volume :math:`(B, T', C, H', W')`

    Raises:
        ValueError: If ``network`` is none of those, ``in_channels`` is not 3, for what :func:`insert_blocks` raises, or
            if the input has the wrong rank or channels.
        ImportError: If torchvision is not installed.
    """

    def __init__(
        self,
        network: VideoNetwork | ImageNetwork = "r2plus1d_18",
        in_channels: int = 3,
        freeze_batch_norm: bool = False,
        gradient_checkpointing: bool = False,
        blocks: Mapping[str, nn.Module] | None = None,
    ) -> None:
        if network not in NETWORKS:
            raise ValueError(f"Expected 'network' to be one of {list(NETWORKS)} (got {network!r})")
        if in_channels != 3:
            raise ValueError(f"Expected 'in_channels' to be 3, as torchvision's networks have it (got {in_channels})")
        try:
            from torchvision.models import get_model, get_model_weights
        except ImportError as error:
            raise ImportError("TorchvisionBackbone needs torchvision: pip install torchvision") from error

        preset = get_model_weights(network).DEFAULT.transforms()
        super().__init__(in_channels, preset.mean, preset.std, freeze_batch_norm)
        self.network = network
        self.takes_frames = self.frames_alone = network in get_args(ImageNetwork)
        self.time_stride = 8 if network in ("r3d_18", "r2plus1d_18", "s3d") else 1
        whole = get_model(network, weights=None)
        last = whole.classifier[1] if network == "s3d" else whole.fc
        self.out_channels: int = last.in_channels if network == "s3d" else last.in_features
        # torchvision runs its sub-modules one after the other, in this order.
        layers = {name: module for name, module in whole.named_children() if name not in CLASSIFIER}
        for name, module in layers.items():
            if gradient_checkpointing and type(module) is nn.Sequential:
                module = CheckpointedSequential(OrderedDict(module.named_children()))
            self.add_module(name, module)
        self.layers = tuple(layers)
        if blocks is not None:
            insert_blocks(self, blocks)
        self.train()  # trainers take the modes of modules as they find them: frozen norms are so from the start

    def forward(self, video: Tensor) -> Tensor:
        """Read a video ``[B, T, 3, H, W]``."""
        if video.dim() != 5 or video.size(2) != self.in_channels:
            raise ValueError(f"Expected 'video' to be of shape [B, T, 3, H, W] (got {list(video.shape)})")
        volume = self.normalize(video)
        volume = volume.flatten(end_dim=1) if self.takes_frames else volume.transpose(1, 2)
        for name in self.layers:
            volume = self.get_submodule(name)(volume)
        return volume.unflatten(0, video.shape[:2]) if self.takes_frames else volume.transpose(1, 2)
