"""The small CNN that reads SyncMNIST frames (paper §3.1)."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ResidualBlock(nn.Module):
    """ReLU(x + conv(ReLU(conv(x)))) with 3×3 convolutions; the identity of what is not negative until it is trained.

    The outer ReLU ties the last bias down: a batch norm behind would otherwise cancel it, and Adam would let it wander
    away from the norm's running mean.

    Shapes:
        - **input and output:** :math:`(B, C, H, W)`
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        for parameter in self.conv2.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """Add what the convolutions find."""
        return F.relu(x + self.conv2(F.relu(self.conv1(x), inplace=True)))


class AddCoordinates(nn.Module):
    """x + conv([row, column]): the map's rows and columns, from -1 to 1, through a 1×1 convolution that starts at zero.

    Convolutions see what is beside what; with this they can also tell where in the frame it is (Liu et al. 2018, "An
    intriguing failing of convolutional neural networks and the CoordConv solution").

    Shapes:
        - **input and output:** :math:`(B, C, H, W)`
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, channels, kernel_size=1)
        for parameter in self.conv.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """Add where each place of the map is."""
        height, width = x.shape[-2:]
        row, column = (
            (2 * torch.arange(size, device=x.device, dtype=x.dtype) + 1) / size - 1 for size in (height, width)
        )
        return x + self.conv(torch.stack(torch.meshgrid(row, column, indexing="ij"))[None])


class SmallCNN(nn.Module):
    """Three times (3×3 convolution, ReLU, 2×2 max-pool), frame by frame: the paper's "small CNN with 3 layers".

    Pooling comes before the ReLU: the same function, a quarter of the work. Frames are held channels-last, which is
    several times faster on CPUs.

    Args:
        in_channels: Channels of the frames.
        widths: Output channels of each layer (512 each in the authors' configuration).
        num_blocks: Residual blocks after each of the layers, or after the last of them for a single number; an addition
            to the paper: they tell digits that cover each other apart, and are cheap where the map is small.
        coordinates: Whether the last blocks get the coordinates of the map, see :class:`AddCoordinates`: what a node
            gets is an average over its region, and keeps the place of a digit where the features themselves name it.

    Shapes:
        - **input:** video :math:`(B, T, C_{in}, H, W)`
        - **output:** volume :math:`(B, T, C, H/8, W/8)` for three widths

    Raises:
        ValueError: If ``widths`` is empty, ``num_blocks`` is negative or does not fit the layers, ``coordinates`` are
            for no block, or the input has the wrong rank or channels.
    """

    def __init__(
        self,
        in_channels: int = 1,
        widths: Sequence[int] = (32, 64, 128),
        num_blocks: int | Sequence[int] = 0,
        coordinates: bool = False,
    ) -> None:
        super().__init__()
        if not widths:
            raise ValueError(f"Expected 'widths' to hold the output channels of at least one layer (got {widths!r})")
        numbers = [0] * (len(widths) - 1) + [num_blocks] if isinstance(num_blocks, int) else num_blocks
        if len(numbers) != len(widths) or min(numbers) < 0:
            raise ValueError(
                f"Expected 'num_blocks' to be non-negative, one for each of {len(widths)} layers or one for the last "
                f"(got {num_blocks})"
            )
        if coordinates and numbers[-1] == 0:
            raise ValueError(
                "Expected 'num_blocks' to end with a positive number, as 'coordinates' are for the last blocks "
                f"(got {num_blocks})"
            )
        self.in_channels = in_channels
        self.out_channels = widths[-1]
        channels = [in_channels, *widths]
        self.convs = nn.ModuleList(
            nn.Conv2d(before, after, kernel_size=3, padding=1) for before, after in pairwise(channels)
        )
        self.inner_blocks = nn.ModuleList(
            _blocks(width, number) for width, number in zip(widths[:-1], numbers[:-1], strict=True)
        )
        self.coordinates = AddCoordinates(self.out_channels) if coordinates else nn.Identity()
        self.blocks = _blocks(self.out_channels, numbers[-1])

    def forward(self, video: Tensor) -> Tensor:
        """Read the frames of a video ``[B, T, C, H, W]``."""
        if video.dim() != 5 or video.size(2) != self.in_channels:
            raise ValueError(
                f"Expected 'video' to be of shape [B, T, {self.in_channels}, H, W] (got {list(video.shape)})"
            )
        frames = video.flatten(end_dim=1).to(memory_format=torch.channels_last)
        for conv, blocks in zip(self.convs, [*self.inner_blocks, nn.Identity()], strict=True):
            frames = blocks(F.relu(F.max_pool2d(conv(frames), kernel_size=2), inplace=True))
        return self.blocks(self.coordinates(frames)).unflatten(0, video.shape[:2])


def _blocks(channels: int, number: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(channels) for _ in range(number)))
