"""RSTG-to-map: the graph as a residual block between two stages of any backbone."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rstg_pyg.graph import GridPyramid
from rstg_pyg.graph.grid_pyramid import Scale
from rstg_pyg.nn.time_stage import State
from rstg_pyg.nn.volume_rstg import VolumeRSTG


class RSTGBlock(VolumeRSTG):
    r"""Residual block with the recurrent space-time graph inside (paper §2.3, "RSTG-to-map").

    .. math::
        F' = F + \mathrm{unpool}(\mathrm{LayerNorm}(W \, \mathrm{RSTG}(\mathrm{pool}(F))))

    The last norm's scale starts at zero, so that a pre-trained network is left as it is.

    Args:
        channels: Channels C of the volume.
        node_channels: Size D of nodes, messages and memories.
        pyramid: The graph of a frame, or its scales.
        **volume_rstg: See :class:`VolumeRSTG`.

    Shapes:
        - **input:** volume :math:`(B, T, C, H, W)`
        - **output:** volume :math:`(B, T, C, H, W)`
    """

    def __init__(
        self,
        channels: int,
        node_channels: int,
        pyramid: GridPyramid | Sequence[Scale] = (3, 2, 1),
        **volume_rstg: Any,
    ) -> None:
        if channels < 1:
            raise ValueError(f"Expected 'channels' to be positive, as the block gives them back (got {channels})")
        super().__init__(channels=channels, node_channels=node_channels, pyramid=pyramid, **volume_rstg)
        self.lin_out = nn.Linear(node_channels, channels)
        self.norm = nn.LayerNorm(channels)
        nn.init.zeros_(self.norm.weight)

    def forward(
        self, volume: Tensor, lengths: Tensor | None = None, return_attention_weights: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Run a clip.

        Args:
            volume: ``[B, T, C, H, W]`` features.
            lengths: ``[B]`` int64, valid frames of each clip; the others are passed through.
            return_attention_weights: Also return the attention ``[B, T, K, E]``.

        Returns:
            ``[B, T, C, H, W]``, with the attention if asked for.
        """
        out, _, alpha = self._add_graph(volume, None, lengths)
        return (out, alpha) if return_attention_weights else out

    def step(self, frame: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Run the next frame of a stream: ``[B, C, H, W]`` → the same shape, and the state."""
        if frame.dim() != 4:
            raise ValueError(f"Expected 'frame' to be of shape [B, C, H, W] (got {list(frame.shape)})")
        out, state, _ = self._add_graph(frame[:, None], state, None)
        return out[:, 0], state

    def _add_graph(self, volume: Tensor, state: State | None, lengths: Tensor | None) -> tuple[Tensor, State, Tensor]:
        nodes, state, alpha = self.run(volume, state, lengths)
        nodes = self.norm(self.lin_out(nodes))
        if lengths is not None:
            padding = torch.arange(volume.size(1), device=volume.device) >= lengths[:, None]
            nodes = nodes.masked_fill(padding[..., None, None], 0.0)
        return volume + self.pyramid.unpool(nodes, (volume.size(-2), volume.size(-1))), state, alpha
