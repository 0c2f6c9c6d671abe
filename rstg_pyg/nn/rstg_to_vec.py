"""RSTG-to-vec: a feature volume read out as one vector per clip."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from rstg_pyg.graph import GridPyramid
from rstg_pyg.graph.grid_pyramid import Scale
from rstg_pyg.nn.readout import NodesToVec, Readout
from rstg_pyg.nn.time_stage import State
from rstg_pyg.nn.volume_rstg import VolumeRSTG


class RSTGToVec(VolumeRSTG):
    """One vector per clip from a feature volume (paper §2.3, "RSTG-to-vec").

    Args:
        channels: Channels C of the volume; -1 derives them from the first input.
        node_channels: Size D of nodes, messages and memories.
        pyramid: The graph of a frame, or its scales.
        readout: See :class:`NodesToVec`; None is the paper's, ``"mean"`` for ``space_only`` and ``"last"`` otherwise.
        **volume_rstg: Further arguments of :class:`VolumeRSTG`.

    Shapes:
        - **input:** volume :math:`(B, T, C, H, W)`
        - **output:** vector :math:`(B, D)`, attention :math:`(B, T, K, E)`
    """

    def __init__(
        self,
        channels: int,
        node_channels: int,
        pyramid: GridPyramid | Sequence[Scale] = (3, 2, 1),
        readout: Readout | None = None,
        **volume_rstg: Any,
    ) -> None:
        super().__init__(channels, node_channels, pyramid, **volume_rstg)
        default: Readout = "mean" if self.rstg.schedule == "space_only" else "last"
        self.readout = NodesToVec(default if readout is None else readout)

    def forward(
        self, volume: Tensor, lengths: Tensor | None = None, return_attention_weights: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Read a clip.

        Args:
            volume: ``[B, T, C, H, W]`` features.
            lengths: ``[B]`` int64, valid frames of each clip.
            return_attention_weights: Also return the attention ``[B, T, K, E]``.

        Returns:
            ``[B, D]``, with the attention if asked for.
        """
        nodes, _, alpha = self.run(volume, lengths=lengths)
        out = self.readout(nodes, lengths=lengths)
        return (out, alpha) if return_attention_weights else out

    def step(self, frame: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Read a stream after its next frame: the vector that :meth:`forward` gives for the clip that ends there.

        Args:
            frame: ``[B, C, H, W]`` features.
            state: State returned by the previous step; None at the first frame.

        Returns:
            ``[B, D]`` and the state: the tensors of :class:`RSTG`, then those of the read-out, all ``[B, ...]``. Zeros
            in a sample's part of each make its next frame the first.

        Raises:
            ValueError: If ``frame`` or ``state`` has the wrong shape or type.
        """
        if frame.dim() != 4:
            raise ValueError(f"Expected 'frame' to be of shape [B, C, H, W] (got {list(frame.shape)})")
        graph_state = readout_state = None
        if state is not None:
            split = len(state) - self.readout.num_states
            graph_state, readout_state = state[:split], state[split:]
        nodes, graph_state, _ = self.run(frame[:, None], graph_state)
        out, readout_state = self.readout.step(nodes[:, 0], readout_state)
        return out, (*graph_state, *readout_state)
