"""ResNet over video: the backbones C2D, I3D and Non-Local (Wang et al., CVPR 2018)."""

from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rstg_pyg.models.gradient_checkpointing import CheckpointedSequential, checkpointed
from rstg_pyg.models.insert_blocks import insert_blocks
from rstg_pyg.models.non_local_block import NonLocalBlock
from rstg_pyg.models.video_backbone import VideoBackbone

Inflation = Literal["c2d", "i3d"]
BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}
STAGES = ("res2", "res3", "res4", "res5")
# Whether the first convolution of a block reaches over three frames; the pattern is repeated over a stage's blocks.
TEMPORAL: dict[str, dict[str, tuple[bool, ...]]] = {
    "c2d": {"res2": (False,), "res3": (False,), "res4": (False,), "res5": (False,)},
    "i3d": {"res2": (True,), "res3": (True, False), "res4": (True, False), "res5": (False, True)},
}


class InflatedBlock(nn.Module):
    """A residual block of ResNet: basic (3×3, 3×3) or bottleneck (1×1, 3×3, 1×1), its first convolution over time too.

    Args:
        in_channels: Channels that come in.
        inner_channels: Channels inside.
        out_channels: Channels that go out.
        bottleneck: Bottleneck rather than basic block.
        temporal: Whether the first convolution reaches over three frames rather than one.
        stride: Stride in space, of the first 3×3 convolution.

    Shapes:
        - **input:** volume :math:`(B, C_{in}, T, H, W)`
        - **output:** volume :math:`(B, C_{out}, T, H', W')`
    """

    def __init__(
        self,
        in_channels: int,
        inner_channels: int,
        out_channels: int,
        bottleneck: bool,
        temporal: bool,
        stride: int = 1,
    ) -> None:
        super().__init__()
        time = 3 if temporal else 1
        if bottleneck:
            self.conv1 = _conv(in_channels, inner_channels, time, 1)
            self.conv2 = _conv(inner_channels, inner_channels, 1, 3, stride)
        else:
            self.conv1 = _conv(in_channels, inner_channels, time, 3, stride)
            self.conv2 = _conv(inner_channels, out_channels, 1, 3)
        self.norm1 = nn.BatchNorm3d(inner_channels)
        self.norm2 = nn.BatchNorm3d(self.conv2.out_channels)
        self.conv3: nn.Module | None = None
        if bottleneck:
            self.conv3 = _conv(inner_channels, out_channels, 1, 1)
            self.norm3 = nn.BatchNorm3d(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(_conv(in_channels, out_channels, 1, 1, stride), nn.BatchNorm3d(out_channels))

    def forward(self, volume: Tensor) -> Tensor:
        """Run ``[B, C_in, T, H, W]``."""
        out = F.relu(self.norm1(self.conv1(volume)), inplace=True)
        out = self.norm2(self.conv2(out))
        if self.conv3 is not None:
            out = self.norm3(self.conv3(F.relu(out, inplace=True)))
        return F.relu(out + self.shortcut(volume), inplace=True)


class InflatedResNet(VideoBackbone):
    r"""ResNet-50 (or 18) over a clip: C2D, which sees frames alone but for one pool over time, I3D and Non-Local.

    =========  =====================================  ====================
    stage      C2D                                    I3D, where it differs
    =========  =====================================  ====================
    ``stem``   7×7, stride 2; max-pool 3×3, stride 2  5×7×7
    ``res2``   three bottlenecks, 4·width channels    3×1×1 in all blocks
    ``pool2``  max-pool of two frames, stride 2
    ``res3``   four, 8·width, stride 2                3×1×1 in blocks 1, 3
    ``res4``   six, 16·width, stride 2                3×1×1 in blocks 1, 3, 5
    ``res5``   three, 32·width                        3×1×1 in block 2
    =========  =====================================  ====================

    The temporal kernel is the first convolution's of a block. ResNet-18 has two basic blocks a stage, of 1, 2, 4 and
    8·width channels, inflated by the same pattern. The blocks of a stage are ``res3.0``, ``res3.1``, ..., a non-local
    block behind one of them ``res3.non_local1``.

    Source: `Non-local Neural Networks <https://arxiv.org/abs/1711.07971>`_, §4 and Table 1.

    Args:
        in_channels: Channels of the frames.
        inflation: ``"c2d"`` or ``"i3d"``.
        depth: 50 or 18.
        width: Channels of the stem.
        non_local: Non-local blocks, sub-sampled, behind every second block of res3 and res4 (five in ResNet-50).
        res5_stride: Stride in space of res5: 2 as usual, or 1.
        pool_padding: Padding of the stem's max-pool: 1 as usual, 0 as the networks released with Non-local Neural
            Networks have it.
        freeze_batch_norm: Batch norms normalise by their running statistics in training too, for small batches; scale
            and shift are learnt all the same.
        gradient_checkpointing: The stem and every block, with what is inserted behind it, keep their input alone for
            the backward pass and are computed anew there: less memory, and more time.
        mean: Mean of the frames, one for all channels or one for each, which is taken away first. The default is that
            of networks pre-trained on Kinetics; torchvision's on ImageNet have (0.485, 0.456, 0.406).
        std: Standard deviation, which is divided by; torchvision's on ImageNet have (0.229, 0.224, 0.225).
        blocks: Blocks to put behind sub-modules, see :func:`insert_blocks`. The paper's RSTG-to-map stands before the
            last block of a stage: ``{"res3.2": RSTGBlock(512, 512), "res4.4": RSTGBlock(1024, 512)}``.

    Shapes:
        - **input:** video :math:`(B, T, C_{in}, H, W)` in [0, 1]
        - **output:** volume :math:`(B, \lfloor T/2 \rfloor, C, H/32, W/32)`, or H/16, W/16 for ``res5_stride=1``

    Raises:
        ValueError: If an argument is none of its choices, for what :func:`insert_blocks` raises, or if the input has
            the wrong rank or channels or fewer than two frames.
    """

    res2: nn.Sequential
    res3: nn.Sequential
    res4: nn.Sequential
    res5: nn.Sequential
    frames_alone = False
    time_stride = 2

    def __init__(
        self,
        in_channels: int = 3,
        inflation: Inflation = "i3d",
        depth: Literal[18, 50] = 50,
        width: int = 64,
        non_local: bool = False,
        res5_stride: Literal[1, 2] = 2,
        pool_padding: Literal[0, 1] = 1,
        freeze_batch_norm: bool = False,
        gradient_checkpointing: bool = False,
        mean: float | Sequence[float] = 0.45,
        std: float | Sequence[float] = 0.225,
        blocks: Mapping[str, nn.Module] | None = None,
    ) -> None:
        for name, value, choices in (
            ("inflation", inflation, TEMPORAL),
            ("depth", depth, BLOCKS),
            ("res5_stride", res5_stride, (1, 2)),
            ("pool_padding", pool_padding, (0, 1)),
        ):
            if value not in choices:
                raise ValueError(f"Expected '{name}' to be one of {list(choices)} (got {value!r})")
        super().__init__(in_channels, mean, std, freeze_batch_norm)
        self.gradient_checkpointing = gradient_checkpointing
        bottleneck = depth == 50
        self.stem = nn.Sequential(
            _conv(in_channels, width, 5 if inflation == "i3d" else 1, 7, stride=2),
            nn.BatchNorm3d(width),
            nn.ReLU(inplace=True),
            nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, pool_padding, pool_padding)),
        )
        self.pool2 = nn.MaxPool3d((2, 1, 1))
        channels, inner_channels = width, width
        for stage, count, stride in zip(STAGES, BLOCKS[depth], (1, 2, 2, res5_stride), strict=True):
            out_channels = inner_channels * (4 if bottleneck else 1)
            layers = CheckpointedSequential() if gradient_checkpointing else nn.Sequential()
            for block, temporal in enumerate(islice(cycle(TEMPORAL[inflation][stage]), count)):
                layers.add_module(
                    str(block),
                    InflatedBlock(
                        channels, inner_channels, out_channels, bottleneck, temporal, stride if block == 0 else 1
                    ),
                )
                channels = out_channels
                if non_local and stage in ("res3", "res4") and block % 2 == 1:
                    layers.add_module(f"non_local{block}", NonLocalBlock(channels, sub_sample=True))
            self.add_module(stage, layers)
            inner_channels *= 2
        self.out_channels = channels
        for module in self.modules():
            if isinstance(module, nn.Conv3d) and module.bias is None:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if blocks is not None:
            insert_blocks(self, blocks)
        self.train()  # trainers take the modes of modules as they find them: frozen norms are so from the start

    def forward(self, video: Tensor) -> Tensor:
        """Read a video ``[B, T, C, H, W]``."""
        if video.dim() != 5 or video.size(1) < 2 or video.size(2) != self.in_channels:
            raise ValueError(
                f"Expected 'video' to be of shape [B, T, {self.in_channels}, H, W] with T of at least 2 "
                f"(got {list(video.shape)})"
            )
        volume = self.normalize(video).transpose(1, 2)
        volume = volume.contiguous(memory_format=torch.channels_last_3d)  # [B, C, T, H, W]
        volume = checkpointed(self.stem, volume) if self.gradient_checkpointing else self.stem(volume)
        volume = self.pool2(self.res2(volume))
        return self.res5(self.res4(self.res3(volume))).transpose(1, 2)


def _conv(in_channels: int, out_channels: int, time: int, space: int, stride: int = 1) -> nn.Conv3d:
    """A convolution that keeps the frames, and height and width but for its stride."""
    return nn.Conv3d(
        in_channels,
        out_channels,
        kernel_size=(time, space, space),
        stride=(1, stride, stride),
        padding=(time // 2, space // 2, space // 2),
        bias=False,
    )
