"""Deformed copies of digit images, to train on more handwriting than there is."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

MAX_TURN = 0.2
"""The most a copy is turned, in radians."""
MAX_STRETCH = 0.12
"""The most either axis is stretched or shrunk."""
MAX_SHEAR = 0.2
BEND = 0.05
"""Standard deviation of the bends, in halves of an image's side."""
BEND_POINTS = 5
"""Points on a side that are moved on their own; those between them follow smoothly."""
CHUNK = 4096


def deform(images: NDArray[np.uint8], copies: int) -> NDArray[np.uint8]:
    """Turned, stretched, sheared and bent copies of images, always the same ones.

    Every copy is deformed in a way of its own: by an affine map, and by moving the points of a coarse grid at random
    (Simard et al. 2003, "Best practices for convolutional neural networks applied to visual document analysis").
    Processors round differently: a pixel's value can be off by one from one kind of machine to another.

    Args:
        images: (M, H, W).
        copies: How many of each image.

    Returns:
        (copies·M, H, W): a copy of each image in their order, then another of each, and so on.
    """
    generator = torch.Generator().manual_seed(0)
    chunks = [
        _deform_once(torch.from_numpy(images[start : start + CHUNK]), generator).numpy()
        for _ in range(copies)
        for start in range(0, len(images), CHUNK)
    ]
    return np.concatenate(chunks) if chunks else images[:0]


def _deform_once(images: Tensor, generator: torch.Generator) -> Tensor:
    number, height, width = images.shape
    turn, shear, *stretch = (2 * torch.rand(4, number, generator=generator) - 1) * torch.tensor(
        [[MAX_TURN], [MAX_SHEAR], [MAX_STRETCH], [MAX_STRETCH]]
    )
    cos, sin, zero = turn.cos(), turn.sin(), torch.zeros_like(turn)
    rotation = torch.stack([cos, -sin, sin, cos], dim=-1).unflatten(-1, (2, 2))
    stretching = torch.stack([1 + stretch[0], shear, zero, 1 + stretch[1]], dim=-1).unflatten(-1, (2, 2))
    affine = torch.cat([rotation @ stretching, torch.zeros(number, 2, 1)], dim=-1)
    bends = BEND * torch.randn(number, 2, BEND_POINTS, BEND_POINTS, generator=generator)
    bend = F.interpolate(bends, (height, width), mode="bicubic", align_corners=True).movedim(1, -1)
    grid = F.affine_grid(affine, [number, 1, height, width], align_corners=False) + bend
    moved = F.grid_sample(images[:, None].float(), grid, padding_mode="zeros", align_corners=False)
    return moved[:, 0].round().to(torch.uint8)
