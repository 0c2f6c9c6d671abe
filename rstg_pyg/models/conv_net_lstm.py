"""The baseline "ConvNet + LSTM" (paper §3.1)."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from rstg_pyg.models.frame_lstm import FrameLSTM
from rstg_pyg.nn.readout import Readout


class ConvNetLSTM(nn.Module):
    """Convolutions down a frame's feature map, what is left of it flattened, then an LSTM: sees space and time.

    Each layer is a 3×3 convolution of stride 2 and a ReLU, so that two of them leave 2×2 positions of an 8×8 map.

    Args:
        channels: Channels C of the features.
        hidden_channels: Size D of the LSTM; None is C.
        widths: Output channels of each layer; None is two layers of C.
        map_size: Height and width of the feature map.
        input_norm: See :class:`FrameLSTM`.
        readout: See :class:`FrameLSTM`.

    Shapes:
        - **input:** volume :math:`(B, T, C, H, W)` with H = W = ``map_size``
        - **output:** vector :math:`(B, D)`

    Raises:
        ValueError: If ``input_norm`` or ``readout`` is none of its choices, or the input has the wrong shape.
    """

    def __init__(
        self,
        channels: int,
        hidden_channels: int | None = None,
        widths: Sequence[int] | None = None,
        map_size: int = 8,
        input_norm: str | None = None,
        readout: Readout = "last",
    ) -> None:
        super().__init__()
        hidden_channels = channels if hidden_channels is None else hidden_channels
        widths = (channels, channels) if widths is None else widths
        self.map_shape = [channels, map_size, map_size]
        self.convs = nn.ModuleList(
            nn.Conv2d(before, after, kernel_size=3, stride=2, padding=1)
            for before, after in pairwise([channels, *widths])
        )
        for _ in widths:
            map_size = (map_size + 1) // 2
        self.lstm = FrameLSTM([channels, *widths][-1] * map_size**2, hidden_channels, input_norm, readout)

    def forward(self, volume: Tensor) -> Tensor:
        """Read the features ``[B, T, C, map_size, map_size]`` of a clip."""
        if volume.dim() != 5 or list(volume.shape[2:]) != self.map_shape:
            expected = ", ".join(str(size) for size in self.map_shape)
            raise ValueError(f"Expected 'volume' to be of shape [B, T, {expected}] (got {list(volume.shape)})")
        frames = volume.flatten(end_dim=1)
        for conv in self.convs:
            frames = F.relu(conv(frames), inplace=True)
        return self.lstm(frames.flatten(start_dim=1).unflatten(0, volume.shape[:2]))
