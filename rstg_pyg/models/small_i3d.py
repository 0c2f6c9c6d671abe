"""The baseline I3D on SyncMNIST, a small 3-D ResNet, and with a non-local block the baseline Non-Local (paper §3.1)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rstg_pyg.models.non_local_block import NonLocalBlock


class ResidualBlock3d(nn.Module):
    """Two 3×3×3 convolutions with batch norm beside a shortcut: the basic block of ResNet, inflated.

    Args:
        in_channels: Channels that come in.
        out_channels: Channels that go out.
        stride: Stride in space.

    Shapes:
        - **input:** volume :math:`(B, C_{in}, T, H, W)`
        - **output:** volume :math:`(B, C_{out}, T, H', W')`
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        strides = (1, stride, stride)
        self.conv1 = nn.Conv3d(in_channels, out_channels, kernel_size=3, stride=strides, padding=1, bias=False)
        self.norm1 = nn.BatchNorm3d(out_channels)
        self.conv2 = nn.Conv3d(out_channels, out_channels, kernel_size=3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm3d(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv3d(in_channels, out_channels, kernel_size=1, stride=strides, bias=False),
                nn.BatchNorm3d(out_channels),
            )

    def forward(self, volume: Tensor) -> Tensor:
        """Run ``[B, C_in, T, H, W]``."""
        out = F.relu(self.norm1(self.conv1(volume)), inplace=True)
        return F.relu(self.norm2(self.conv2(out)) + self.shortcut(volume), inplace=True)


class SmallI3D(nn.Module):
    """A small 3-D ResNet over the clip as a whole (paper §3.1: "I3D with a smaller ResNet").

    The stem, a 3×5×5 convolution and a 3×3 max-pool in space, leaves a quarter of height and width, every stage from
    the second on half of what it gets, by the stride of its first block. All frames are kept.

    Args:
        in_channels: Channels of the frames.
        widths: Channels of each stage; those of the first are the stem's too.
        blocks: Number of :class:`ResidualBlock3d` of each stage.
        non_local_stages: Stages, counted from 1, with a :class:`NonLocalBlock` behind their first residual block (the
            paper found one in the second stage to be best).

    Shapes:
        - **input:** video :math:`(B, T, C_{in}, H, W)`
        - **output:** volume :math:`(B, T, C, H/16, W/16)` for three stages, C the last width

    Raises:
        ValueError: If ``widths`` is empty, ``blocks`` or ``non_local_stages`` does not fit the stages, or the input has
            the wrong rank or channels.
    """

    frames_alone = False

    def __init__(
        self,
        in_channels: int = 1,
        widths: Sequence[int] = (16, 32, 64),
        blocks: Sequence[int] = (2, 2, 2),
        non_local_stages: Sequence[int] = (),
    ) -> None:
        super().__init__()
        if not widths:
            raise ValueError(f"Expected 'widths' to hold the channels of at least one stage (got {widths!r})")
        if len(blocks) != len(widths) or min(blocks) < 1:
            raise ValueError(
                f"Expected 'blocks' to be {len(widths)} positive numbers, as 'widths' (got {list(blocks)})"
            )
        if not set(non_local_stages) <= set(range(1, len(widths) + 1)):
            raise ValueError(f"Expected 'non_local_stages' to be in [1, {len(widths)}] (got {list(non_local_stages)})")
        self.in_channels = in_channels
        self.out_channels = widths[-1]
        channels = widths[0]
        self.stem = nn.Sequential(
            nn.Conv3d(in_channels, channels, (3, 5, 5), stride=(1, 2, 2), padding=(1, 2, 2), bias=False),
            nn.BatchNorm3d(channels),
            nn.ReLU(inplace=True),
            nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
        )
        self.stages = nn.Sequential()
        for stage, (width, count) in enumerate(zip(widths, blocks, strict=True), start=1):
            layers: list[nn.Module] = []
            for block in range(count):
                layers.append(ResidualBlock3d(channels, width, stride=2 if stage > 1 and block == 0 else 1))
                channels = width
            if stage in non_local_stages:
                layers.insert(1, NonLocalBlock(width))
            self.stages.append(nn.Sequential(*layers))

    def forward(self, video: Tensor) -> Tensor:
        """Read a video ``[B, T, C, H, W]``."""
        if video.dim() != 5 or video.size(2) != self.in_channels:
            raise ValueError(
                f"Expected 'video' to be of shape [B, T, {self.in_channels}, H, W] (got {list(video.shape)})"
            )
        volume = video.transpose(1, 2).contiguous(memory_format=torch.channels_last_3d)  # [B, C, T, H, W]
        return self.stages(self.stem(volume)).transpose(1, 2)
