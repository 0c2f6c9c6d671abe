"""An LSTM over the frames of a clip: what the recurrent baselines share."""

from torch import Tensor, nn

from rstg_pyg.nn.norm import node_norm, normalize_nodes
from rstg_pyg.nn.readout import NodesToVec, Readout
from rstg_pyg.nn.time_stage import TimeStage


class FrameLSTM(nn.Module):
    r"""An LSTM over one vector a frame, read out as one vector a clip.

    What stands around the LSTM is what stands around an :class:`~rstg_pyg.nn.RSTG`: a linear layer C → D where C ≠ D,
    a normalisation, a read-out.

    Args:
        in_channels: Size C of the vectors.
        hidden_channels: Size D of the LSTM.
        input_norm: ``"layer"``, ``"batch"`` or ``None``: normalisation of the vectors that enter the LSTM.
        readout: ``"last"``, the last time step, or ``"mean"``, the mean over time.

    Shapes:
        - **input:** vectors of the frames :math:`(B, T, C)`
        - **output:** vector :math:`(B, D)`

    Raises:
        ValueError: If ``input_norm`` or ``readout`` is none of its choices.
    """

    def __init__(
        self, in_channels: int, hidden_channels: int, input_norm: str | None = None, readout: Readout = "last"
    ) -> None:
        super().__init__()
        same = in_channels == hidden_channels
        self.lin_in = nn.Identity() if same else nn.Linear(in_channels, hidden_channels)
        self.input_norm = node_norm(input_norm, hidden_channels)
        self.time = TimeStage(hidden_channels)
        self.readout = NodesToVec(readout)

    def forward(self, frames: Tensor) -> Tensor:
        """Read the vectors ``[B, T, C]`` of a clip's frames."""
        nodes = self.lin_in(frames).unsqueeze(dim=2)  # [B, T, 1, D]: the frame is its own only node
        nodes = normalize_nodes(self.input_norm, nodes)
        nodes, _ = self.time(nodes)
        return self.readout(nodes)
