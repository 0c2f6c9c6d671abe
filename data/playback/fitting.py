"""From a frame of any size to what a network sees."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F


def fit_frame(
    image: Tensor, channels: int, frame_size: Sequence[int], value_range: Sequence[float] = (0.0, 1.0)
) -> Tensor:
    """Bring a frame to a network's channels, size and range.

    Grey for one channel. Resized, its proportions kept, until it just covers ``frame_size`` (bilinear, antialiased),
    and cut to that around the centre. Scaled from [0, 255] to ``value_range``.

    Args:
        image: uint8 ``[3, H, W]``.
        channels: 1 or 3.
        frame_size: Height and width wanted.
        value_range: What 0 and 255 become.

    Returns:
        float32 ``[channels, *frame_size]``.

    Raises:
        ValueError: If ``channels`` is neither 1 nor 3.
    """
    if channels not in (1, 3):
        raise ValueError(f"Expected 'channels' to be 1 or 3, as a video is grey or RGB (got {channels})")
    if channels == 1:
        image = F.rgb_to_grayscale(image.float()).round().to(torch.uint8)  # uint8 would be rounded down
    height, width = image.shape[-2:]
    scale = max(frame_size[0] / height, frame_size[1] / width)
    covering = [max(round(height * scale), frame_size[0]), max(round(width * scale), frame_size[1])]
    image = F.center_crop(F.resize(image, covering, antialias=True), list(frame_size))
    low, high = value_range
    return image.float() / 255 * (high - low) + low
