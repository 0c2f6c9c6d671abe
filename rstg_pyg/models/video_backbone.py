"""What backbones over clips of natural video share."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from rstg_pyg.models.insert_blocks import INSERTED


class VideoBackbone(nn.Module):
    """Frames are normalised as a pre-trained network had them, and its batch norms may be frozen.

    Args:
        in_channels: Channels of the frames.
        mean: Mean of the frames, one for all channels or one for each, which is taken away first.
        std: Standard deviation, likewise, which is divided by.
        freeze_batch_norm: Batch norms, those of inserted blocks left out, normalise by their running statistics in
            training too.

    Raises:
        ValueError: If ``mean`` or ``std`` does not fit ``in_channels``.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        in_channels: int,
        mean: float | Sequence[float],
        std: float | Sequence[float],
        freeze_batch_norm: bool,
    ) -> None:
        super().__init__()
        for name, values in (("mean", mean), ("std", std)):
            numbers = [float(value) for value in ([values] if isinstance(values, (int, float)) else values)]
            if len(numbers) not in (1, in_channels) or (name == "std" and min(numbers) <= 0):
                wanted = "positive and " if name == "std" else ""
                raise ValueError(f"Expected '{name}' to be {wanted}one number, or {in_channels} (got {values})")
            self.register_buffer(name, torch.tensor(numbers)[:, None, None], persistent=False)
        self.in_channels = in_channels
        self.freeze_batch_norm = freeze_batch_norm

    def train(self, mode: bool = True) -> Self:
        """Set training mode, in which frozen batch norms stay in evaluation."""
        super().train(mode)
        if self.freeze_batch_norm:
            for name, module in self.named_modules():
                if isinstance(module, _BatchNorm) and not name.startswith(f"{INSERTED}."):
                    module.eval()
        return self

    def normalize(self, video: Tensor) -> Tensor:
        """Take the mean away from a video ``[B, T, C, H, W]`` in [0, 1], and divide by the deviation."""
        return (video - self.mean) / self.std
