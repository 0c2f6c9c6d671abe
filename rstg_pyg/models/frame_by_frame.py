"""Networks of images over the frames of a video."""

from torch import Tensor, nn


class FrameByFrame(nn.Module):
    r"""A network of images run on every frame alone, such as torchvision's 2-D ResNets.

    Args:
        network: Images ``[B, channels, H, W]`` → anything with as many first entries: maps ``[B, C, h, w]``, or class
            scores ``[B, classes]``.

    Shapes:
        - **input:** video :math:`(B, T, \text{channels}, H, W)`
        - **output:** :math:`(B, T, *)`

    Raises:
        ValueError: If the input has the wrong rank.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, video: Tensor) -> Tensor:
        """Read the frames of a video ``[B, T, channels, H, W]``."""
        if video.dim() != 5:
            raise ValueError(f"Expected 'video' to be of shape [B, T, channels, H, W] (got {list(video.shape)})")
        return self.network(video.flatten(end_dim=1)).unflatten(0, video.shape[:2])
