"""From decoded frames to what a network sees: sizes, crops, brightness, flips.

Every transform takes ``(video, label)`` and gives both back; all frames of a video are treated alike. The random ones
draw from torch's global generator. torchvision's own v2 transforms fit in beside them.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from data.argument_checks import check_sizes

Side = Literal["height", "short"]
SIDES: tuple[str, ...] = get_args(Side)


def resized_size(height: int, width: int, size: int, side: Side, crop: int) -> tuple[int, int]:
    """Height and width that a frame is resized to, its aspect ratio kept up to rounding.

    Args:
        height: Height of the frame.
        width: Width of the frame.
        size: What the side becomes.
        side: ``"height"`` (the paper) or ``"short"``, the shorter of the two.
        crop: The crop that must fit in: a frame that would become narrower or lower is made larger, up to it.
    """
    scale = size / (height if side == "height" else min(height, width))
    scale = max(scale, crop / min(height, width))
    return max(round(height * scale), crop), max(round(width * scale), crop)


class ResizeSide(nn.Module):
    """Resizes frames so that one side has a given size, and a crop fits in; antialiased and bilinear.

    Args:
        size: What the side becomes; the paper has 256.
        side: ``"height"``, as in the paper, or ``"short"``, the shorter side. They differ for portrait videos: with
            ``"height"`` these come out just wide enough for the crop.
        crop: Side of the crop that follows.

    Raises:
        ValueError: If `side` is neither, or `size` is less than `crop`.
    """

    def __init__(self, size: int = 256, side: Side = "height", crop: int = 224) -> None:
        super().__init__()
        check_sizes(size=size, crop=crop)
        if side not in SIDES:
            raise ValueError(f"Expected 'side' to be one of {list(SIDES)} (got {side!r})")
        if size < crop:
            raise ValueError(f"Expected 'size' to be at least {crop}, the side of the crop (got {size})")
        self.size, self.side, self.crop = size, side, crop

    def forward(self, video: Tensor, label: int) -> tuple[Tensor, int]:
        """Resize ``[T, 3, H, W]``."""
        size = resized_size(*video.shape[-2:], self.size, self.side, self.crop)
        return F.resize(video, list(size), antialias=True), label

    def extra_repr(self) -> str:
        """The arguments."""
        return f"size={self.size}, side={self.side!r}, crop={self.crop}"


def crop_corners(height: int, width: int, crop: int, num_crops: int) -> list[tuple[int, int]]:
    """Top-left corners (row, column) of square crops spread evenly along the longer side, the centre one first.

    The others follow from left to right or top to bottom; together they cover the frame when it is no longer than
    `num_crops` crops. On a square frame of the crop's size all are the same.

    Args:
        height: Height of the frame, at least `crop`.
        width: Width of the frame, at least `crop`.
        crop: Side of the crops.
        num_crops: How many, an odd number.

    Raises:
        ValueError: If the frame is smaller than a crop.
    """
    if min(height, width) < crop:
        raise ValueError(f"Expected frames of at least {crop}×{crop} (got {height}×{width})")
    center = round((height - crop) / 2), round((width - crop) / 2)  # as torchvision's centre crop
    others = [place / (num_crops - 1) for place in range(num_crops) if place != num_crops // 2]
    if width >= height:
        return [center, *((center[0], round(place * (width - crop))) for place in others)]
    return [center, *((round(place * (height - crop)), center[1]) for place in others)]


class EvenCrops(nn.Module):
    """Square crops spread evenly along the longer side, the centre crop first: ``[T, 3, H, W]`` → ``[C, T, 3, S, S]``.

    Args:
        size: Side of the crops, S; the paper has 256.
        num_crops: How many, C, an odd number; the paper has 11.

    Raises:
        ValueError: If `num_crops` is even, so that none is in the centre, or the frames are smaller than a crop.

    Source: Nicolicioiu, Duta and Leordeanu (NeurIPS 2019), §3.2.
    """

    def __init__(self, size: int = 256, num_crops: int = 11) -> None:
        super().__init__()
        check_sizes(size=size, num_crops=num_crops)
        if num_crops % 2 == 0:
            raise ValueError(f"Expected 'num_crops' to be odd, so that one is in the centre (got {num_crops})")
        self.size, self.num_crops = size, num_crops

    def forward(self, video: Tensor, label: int) -> tuple[Tensor, int]:
        """Crop."""
        corners = crop_corners(*video.shape[-2:], self.size, self.num_crops)
        crops = [video[..., row : row + self.size, column : column + self.size] for row, column in corners]
        return torch.stack(crops), label

    def extra_repr(self) -> str:
        """The arguments."""
        return f"size={self.size}, num_crops={self.num_crops}"


class LabelAwareFlip(nn.Module):
    """Mirrors a video left to right, and its label with it.

    Args:
        labels: The label that each label becomes; see :func:`~data.video.mirroring.mirrored_labels`. A negative one,
            of a video without a label, stays.
        probability: How often.

    Raises:
        ValueError: If `probability` is outside [0, 1].
    """

    def __init__(self, labels: Sequence[int], probability: float = 0.5) -> None:
        super().__init__()
        if not 0 <= probability <= 1:
            raise ValueError(f"Expected 'probability' to be in [0, 1] (got {probability})")
        self.labels = list(labels)
        self.probability = probability

    def forward(self, video: Tensor, label: int) -> tuple[Tensor, int]:
        """Flip, or not."""
        if torch.rand(()) >= self.probability:
            return video, label
        return F.horizontal_flip(video), self.labels[label] if label >= 0 else label

    def extra_repr(self) -> str:
        """The probability."""
        return f"probability={self.probability}"


def training_transform(
    resize: int, side: Side, crop: int, brightness: float, mirrored: Sequence[int] | None
) -> v2.Compose:
    """What training videos go through: resize, one random crop, one change of brightness, and a flip where asked for.

    Args:
        resize: See :class:`ResizeSide`.
        side: Likewise.
        crop: Side of the crop.
        brightness: Brightness is multiplied by a number from [1 - brightness, 1 + brightness].
        mirrored: The labels of mirrored videos, or None to flip none.

    Raises:
        ValueError: If an argument is out of range.
    """
    if not 0 <= brightness <= 1:
        raise ValueError(f"Expected 'brightness' to be in [0, 1] (got {brightness})")
    transforms: list[nn.Module] = [ResizeSide(resize, side, crop), v2.RandomCrop(crop)]
    if brightness > 0:
        transforms.append(v2.ColorJitter(brightness=brightness))
    if mirrored is not None:
        transforms.append(LabelAwareFlip(mirrored))
    return v2.Compose(transforms)


def center_transform(resize: int, side: Side, crop: int) -> v2.Compose:
    """What validation videos go through: resize and the centre crop."""
    return v2.Compose([ResizeSide(resize, side, crop), v2.CenterCrop(crop)])


def views_transform(resize: int, side: Side, crop: int, num_crops: int) -> v2.Compose:
    """What test videos go through: resize and evenly spread crops, ``[T, 3, H, W]`` → ``[C, T, 3, S, S]``."""
    return v2.Compose([ResizeSide(resize, side, crop), EvenCrops(crop, num_crops)])
