"""RSTG-to-vec with detection boxes as nodes."""

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from rstg_pyg.graph.position_map import POS_MAP_SIZE
from rstg_pyg.nn.readout import Readout
from rstg_pyg.nn.rstg import RSTG
from rstg_pyg.nn.track_rstg import TrackRSTG
from rstg_pyg.nn.tracks_to_vec import TracksToVec
from rstg_pyg.transforms.box_graph import BoxGraph


class BoxRSTGToVec(nn.Module):
    """One vector per clip from a feature volume and tracked boxes: :class:`BoxGraph`, :class:`TrackRSTG`, read-out.

    A node starts from the features in its box, normalised so that their scale cannot drown the rest, the box and, if
    wanted, the box's motion.

    Args:
        channels: Channels C of the volume.
        node_channels: Size D of nodes, messages and memories.
        min_iou: See :class:`BoxGraph`.
        max_distance: See :class:`BoxGraph`; the default joins all boxes of a frame.
        motion: Whether nodes know how their box has moved since the track's box before.
        positional: Position-aware messages (6×6 map of the sender's box, paper §2.1).
        readout: See :class:`TracksToVec`; None is ``"mean"`` for ``space_only`` and ``"last"`` otherwise.
        **rstg: Further arguments of :class:`rstg_pyg.RSTG`.

    Shapes:
        - **input:** volume :math:`(B, T, C, H, W)`, boxes :math:`(B, T, n, 4)`
        - **output:** vector :math:`(B, D)`

    Raises:
        ValueError: For what those classes raise, or if an input has the wrong shape.
    """

    def __init__(
        self,
        channels: int,
        node_channels: int,
        min_iou: float | None = None,
        max_distance: float | None = 1.5,
        motion: bool = True,
        positional: bool = True,
        readout: Readout | None = None,
        **rstg: Any,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.motion = motion
        self.positional = positional
        self.box_graph = BoxGraph(min_iou, max_distance)
        self.norm = nn.LayerNorm(channels)
        pos_channels = POS_MAP_SIZE**2 if positional else 0
        self.tracks = TrackRSTG(RSTG(channels + (8 if motion else 4), node_channels, pos_channels=pos_channels, **rstg))
        default: Readout = "mean" if self.tracks.rstg.schedule == "space_only" else "last"
        self.readout = TracksToVec(default if readout is None else readout)

    def forward(self, volume: Tensor, boxes: Tensor | None = None) -> Tensor:
        """Read a clip.

        Args:
            volume: ``[B, T, C, H, W]`` features.
            boxes: ``[B, T, n, 4]`` (y0, x0, y1, x1) as a share of the frame, NaN where there is none; place i of a clip
                is one object in all its frames.

        Returns:
            ``[B, D]``.
        """
        if volume.dim() != 5 or volume.size(2) != self.channels:
            raise ValueError(
                f"Expected 'volume' to be of shape [B, T, {self.channels}, H, W] (got {list(volume.shape)})"
            )
        if boxes is None or boxes.dim() != 4 or boxes.shape[:2] != volume.shape[:2] or boxes.size(3) != 4:
            came = None if boxes is None else list(boxes.shape)
            raise ValueError(f"Expected 'boxes' to be of shape {[*volume.shape[:2], 'n', 4]} (got {came})")
        num_clips, num_frames, num_tracks, _ = boxes.shape
        clip, time, place = (~boxes.isnan().all(dim=-1)).nonzero().unbind(dim=1)
        # The clips one after the other, as one sequence of graphs: their tracks differ.
        graph = self.box_graph(
            Data(
                volume=volume.flatten(end_dim=1),
                box=boxes[clip, time, place],
                frame=clip * num_frames + time,
                track=clip * num_tracks + place,
            )
        )
        features = self.norm(graph.x)
        box = graph.box.to(features.dtype)
        x = torch.cat([features, box, graph.motion] if self.motion else [features, box], dim=1)
        nodes, _ = self.tracks(
            x, graph.edge_index, graph.frame, graph.track, pos_map=graph.pos_map if self.positional else None
        )
        return self.readout(nodes, graph.frame, graph.track, clip, num_clips)
