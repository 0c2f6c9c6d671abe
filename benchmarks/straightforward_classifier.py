"""The video classifier as one would write it first: the yardstick of the training step."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from benchmarks.plain_route import plain_route
from rstg_pyg.models import SmallCNN, VideoClassifier


class StraightforwardCNN(nn.Module):
    """Three times (3×3 convolution, ReLU, 2×2 max-pool) over frames as they come, channels first.

    Args:
        in_channels: Channels of the frames.
        widths: Output channels of each layer.

    Shapes:
        - **input:** video :math:`(B, T, C_{in}, H, W)`
        - **output:** volume :math:`(B, T, C, H/8, W/8)` for three widths
    """

    def __init__(self, in_channels: int, widths: list[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise([in_channels, *widths]):
            layers += [nn.Conv2d(before, after, kernel_size=3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        self.layers = nn.Sequential(*layers)

    def forward(self, video: Tensor) -> Tensor:
        """Read the frames of a video ``[B, T, C, H, W]``."""
        return self.layers(video.flatten(end_dim=1)).unflatten(0, video.shape[:2])


@torch.no_grad()
def straightforward_classifier(network: VideoClassifier) -> VideoClassifier:
    """A copy of a classifier over a :class:`SmallCNN` that computes the same in the straightforward way.

    The graph takes PyG's plain route, and a :class:`StraightforwardCNN` with the same weights is the backbone.
    """
    backbone = network.backbone
    assert isinstance(backbone, SmallCNN)
    copy = plain_route(network)
    widths = [weight.size(0) for weight in backbone.parameters() if weight.dim() == 4]
    cnn = StraightforwardCNN(backbone.in_channels, widths).to(next(backbone.parameters()))
    for mine, theirs in zip(cnn.parameters(), backbone.parameters(), strict=True):
        mine.copy_(theirs).requires_grad_(theirs.requires_grad)
    copy.backbone = cnn
    return copy
