"""The baseline "mean pooling + LSTM" (paper §3.1)."""

from torch import Tensor, nn

from rstg_pyg.models.frame_lstm import FrameLSTM
from rstg_pyg.nn.readout import Readout


class MeanPoolLSTM(nn.Module):
    """The mean over a frame's feature map, then an LSTM: sees time, and of space only what the features say of it.

    Args:
        channels: Channels C of the features.
        hidden_channels: Size D of the LSTM; None is C.
        input_norm: See :class:`FrameLSTM`.
        readout: See :class:`FrameLSTM`.

    Shapes:
        - **input:** volume :math:`(B, T, C, H, W)`
        - **output:** vector :math:`(B, D)`

    Raises:
        ValueError: If ``input_norm`` or ``readout`` is none of its choices, or the input has the wrong shape.
    """

    def __init__(
        self,
        channels: int,
        hidden_channels: int | None = None,
        input_norm: str | None = None,
        readout: Readout = "last",
    ) -> None:
        super().__init__()
        self.channels = channels
        hidden_channels = channels if hidden_channels is None else hidden_channels
        self.lstm = FrameLSTM(channels, hidden_channels, input_norm, readout)

    def forward(self, volume: Tensor) -> Tensor:
        """Read the features ``[B, T, C, H, W]`` of a clip."""
        if volume.dim() != 5 or volume.size(2) != self.channels:
            raise ValueError(
                f"Expected 'volume' to be of shape [B, T, {self.channels}, H, W] (got {list(volume.shape)})"
            )
        return self.lstm(volume.mean(dim=(-2, -1)))
