"""The recurrent graph over a backbone's feature volume: pool into nodes, run the graph."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from rstg_pyg.graph import GridPyramid
from rstg_pyg.graph.grid_pyramid import Scale
from rstg_pyg.graph.position_map import POS_MAP_SIZE
from rstg_pyg.nn.rstg import RSTG
from rstg_pyg.nn.time_stage import State


class VolumeRSTG(nn.Module):
    """Pool a feature volume into the nodes of a :class:`GridPyramid` and run an :class:`RSTG` over them.

    Args:
        channels: Channels C of the volume; -1 derives them from the first input.
        node_channels: Size D of nodes, messages and memories.
        pyramid: The graph of a frame, or its scales.
        positional: Position-aware messages (6×6 map of the sender, paper §2.1).
        update_per_scale: One update MLP per scale instead of one for all.
        **rstg: Further arguments of :class:`RSTG`.
    """

    def __init__(
        self,
        channels: int,
        node_channels: int,
        pyramid: GridPyramid | Sequence[Scale] = (3, 2, 1),
        positional: bool = True,
        update_per_scale: bool = False,
        **rstg: Any,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.pyramid = pyramid if isinstance(pyramid, GridPyramid) else GridPyramid(pyramid)
        self.positional = positional
        self.update_per_scale = update_per_scale
        self.rstg = RSTG(
            channels,
            node_channels,
            pos_channels=POS_MAP_SIZE**2 if positional else 0,
            num_groups=self.pyramid.num_scales if update_per_scale else 1,
            **rstg,
        )
        self.register_buffer("_pos_map", self.pyramid.pos_map(POS_MAP_SIZE) if positional else None, persistent=False)

    def run(
        self,
        volume: Tensor,
        state: State | None = None,
        lengths: Tensor | None = None,
    ) -> tuple[Tensor, State, Tensor]:
        """Run the graph over a volume.

        Args:
            volume: ``[B, T, C, H, W]`` features.
            state: State of the previous chunk; None at the start.
            lengths: ``[B]`` int64, valid frames of each clip.

        Returns:
            ``[B, T, N, D]`` node features, the state, ``[B, T, K, E]`` attention.

        Raises:
            ValueError: If ``volume`` has the wrong rank, channels or type.
        """
        if volume.dim() != 5:
            raise ValueError(f"Expected 'volume' to be of shape [B, T, C, H, W] (got {list(volume.shape)})")
        if self.channels not in (-1, volume.size(2)):
            raise ValueError(f"Expected 'volume' to have {self.channels} channels (got {volume.size(2)})")
        group = self.pyramid.scale if self.update_per_scale else None
        return self.rstg(
            self.pyramid.pool(volume),
            self.pyramid.edge_index,
            self._pos_map,
            group=group,
            state=state,
            lengths=lengths,
            return_attention_weights=True,
        )
