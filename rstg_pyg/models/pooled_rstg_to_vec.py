"""RSTG-to-vec beside the pooling of a pre-trained backbone (paper §3.2)."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from rstg_pyg.graph import GridPyramid
from rstg_pyg.graph.grid_pyramid import Scale
from rstg_pyg.models.global_average_pool import GlobalAveragePool
from rstg_pyg.nn.readout import NodesToVec, Readout
from rstg_pyg.nn.volume_rstg import VolumeRSTG


class PooledRSTGToVec(VolumeRSTG):
    r"""The mean of a clip's features, and the graph's vector added to it.

    .. math::
        \mathbf{f} = \mathrm{mean}(F) + \mathrm{LayerNorm}(W \, \mathrm{RSTG\text{-}to\text{-}vec}(F))

    The norm's scale starts at zero, as that of :class:`rstg_pyg.RSTGBlock`, so that training starts from the backbone
    with :class:`GlobalAveragePool`.

    Args:
        channels: Channels C of the volume.
        node_channels: Size D of nodes, messages and memories.
        pyramid: The graph of a frame, or its scales.
        readout: See :class:`rstg_pyg.nn.RSTGToVec`.
        **volume_rstg: See :class:`rstg_pyg.nn.volume_rstg.VolumeRSTG`.

    Shapes:
        - **input:** volume :math:`(B, T, C, H, W)`
        - **output:** vector :math:`(B, C)`

    Raises:
        ValueError: If ``channels`` is not positive, or for what :class:`rstg_pyg.nn.RSTGToVec` raises.
    """

    def __init__(
        self,
        channels: int,
        node_channels: int,
        pyramid: GridPyramid | Sequence[Scale] = (3, 2, 1),
        readout: Readout | None = None,
        **volume_rstg: Any,
    ) -> None:
        if channels < 1:
            raise ValueError(f"Expected 'channels' to be positive, as the vector has as many (got {channels})")
        super().__init__(channels=channels, node_channels=node_channels, pyramid=pyramid, **volume_rstg)
        default: Readout = "mean" if self.rstg.schedule == "space_only" else "last"
        self.to_vec = NodesToVec(default if readout is None else readout)
        self.pool = GlobalAveragePool()
        self.lin_out = nn.Linear(node_channels, channels)
        self.norm = nn.LayerNorm(channels)
        nn.init.zeros_(self.norm.weight)

    def forward(
        self, volume: Tensor, lengths: Tensor | None = None, return_attention_weights: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Read a clip.

        Args:
            volume: ``[B, T, C, H, W]`` features.
            lengths: Must be None: the mean is over all frames.
            return_attention_weights: Also return the attention ``[B, T, K, E]``.

        Returns:
            ``[B, C]``, with the attention if asked for.

        Raises:
            ValueError: If ``lengths`` is given.
        """
        if lengths is not None:
            raise ValueError("Expected 'lengths' to be None, as the pooling is over all frames (got a tensor)")
        nodes, _, alpha = self.run(volume)
        out = self.pool(volume) + self.norm(self.lin_out(self.to_vec(nodes)))
        return (out, alpha) if return_attention_weights else out
