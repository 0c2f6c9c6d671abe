"""The non-local block (Wang et al., CVPR 2018): attention among all positions of space and time."""

from torch import Tensor, nn
from torch.nn import functional as F


class NonLocalBlock(nn.Module):
    r"""Residual block in which every position attends to every position, the embedded Gaussian of Wang et al.

    .. math::
        \mathbf{y}_i = \sum_j \mathrm{softmax}_j(\theta(\mathbf{x}_i)^\top \phi(\mathbf{x}_j)) \, g(\mathbf{x}_j),
        \qquad \mathbf{z}_i = \mathbf{x}_i + \mathrm{BN}(W \mathbf{y}_i)

    The positions i, j are those of the whole volume, T·H·W of them; θ, φ, g and W are 1×1×1 convolutions. The scale of
    the batch norm starts at zero, as theirs does, so that the block starts as the identity and a pre-trained network is
    left as it is. Cost and attention are quadratic in the number of positions.

    Source: `Non-local Neural Networks <https://arxiv.org/abs/1711.07971>`_, eq. 1, 4, 6, §3.3 and §4.1.

    Args:
        channels: Channels C of the volume.
        inner_channels: Channels of θ, φ and g; None is C/2, as theirs.
        sub_sample: Max-pool what φ and g read, 2×2 in space: a quarter of the positions are attended to (§3.3,
            "subsampling trick", as the released networks have it).

    Shapes:
        - **input:** volume :math:`(B, C, T, H, W)`, channels first as 3-D convolutions have it; any T, H, W, with
          ``sub_sample`` H and W of at least 2
        - **output:** volume :math:`(B, C, T, H, W)`

    Raises:
        ValueError: If the input has the wrong rank or channels, or is too small to be sub-sampled.
    """

    def __init__(self, channels: int, inner_channels: int | None = None, sub_sample: bool = False) -> None:
        super().__init__()
        inner_channels = max(1, channels // 2) if inner_channels is None else inner_channels
        self.channels = channels
        self.theta = nn.Conv3d(channels, inner_channels, kernel_size=1)
        self.phi = nn.Conv3d(channels, inner_channels, kernel_size=1)
        self.g = nn.Conv3d(channels, inner_channels, kernel_size=1)
        self.pool = nn.MaxPool3d((1, 2, 2)) if sub_sample else nn.Identity()
        self.out = nn.Conv3d(inner_channels, channels, kernel_size=1)
        self.norm = nn.BatchNorm3d(channels)
        nn.init.zeros_(self.norm.weight)

    def forward(self, volume: Tensor) -> Tensor:
        """Let all positions of ``[B, C, T, H, W]`` attend to each other."""
        if volume.dim() != 5 or volume.size(1) != self.channels:
            raise ValueError(
                f"Expected 'volume' to be of shape [B, {self.channels}, T, H, W] (got {list(volume.shape)})"
            )
        if isinstance(self.pool, nn.MaxPool3d) and min(volume.shape[-2:]) < 2:
            raise ValueError(
                f"Expected 'volume' to have at least 2 rows and columns, to be sub-sampled (got {list(volume.shape)})"
            )
        pooled = self.pool(volume)
        query, key, value = (  # [B, 1, positions, inner_channels], contiguous as the fused kernels of attention want it
            embedded.flatten(start_dim=2).transpose(1, 2).unsqueeze(dim=1).contiguous()
            for embedded in (self.theta(volume), self.phi(pooled), self.g(pooled))
        )
        gathered = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        gathered = gathered.squeeze(dim=1).transpose(1, 2).unflatten(2, volume.shape[2:])
        return volume + self.norm(self.out(gathered))
