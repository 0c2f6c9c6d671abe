"""The read-out of the convolutional baselines: the mean over time and space."""

from torch import Tensor, nn


class GlobalAveragePool(nn.Module):
    """One vector per clip: the mean of its features over all frames and positions.

    Shapes:
        - **input:** volume :math:`(B, T, C, H, W)`
        - **output:** vector :math:`(B, C)`

    Raises:
        ValueError: If the input has the wrong rank.
    """

    def forward(self, volume: Tensor) -> Tensor:
        """Read the features ``[B, T, C, H, W]`` of a clip."""
        if volume.dim() != 5:
            raise ValueError(f"Expected 'volume' to be of shape [B, T, C, H, W] (got {list(volume.shape)})")
        return volume.mean(dim=(1, 3, 4))
