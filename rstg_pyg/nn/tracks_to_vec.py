"""Read-out of nodes that come and go: from tracks to one vector per clip."""

import torch
from torch import Tensor, nn
from torch_geometric.typing import OptTensor
from torch_geometric.utils import scatter

from rstg_pyg.nn.readout import READOUTS, Readout


class TracksToVec(nn.Module):
    """The sum over tracks of each one's last node, or of the mean over its nodes (paper §2.3 for nodes of any number).

    A track that is absent at the end of a clip still counts, as its memory does. Where every track is in every frame
    this is :class:`NodesToVec`.

    Args:
        readout: ``"last"`` (paper) or ``"mean"``.

    Shapes:
        - **input:** node features :math:`(M, D)`, frames and tracks :math:`(M)`
        - **output:** vector :math:`(G, D)` for G clips

    Raises:
        ValueError: If ``readout`` is none of its choices, or the input has the wrong shape.
    """

    def __init__(self, readout: Readout = "last") -> None:
        super().__init__()
        if readout not in READOUTS:
            raise ValueError(f"Expected 'readout' to be one of {list(READOUTS)} (got {readout!r})")
        self.readout = readout

    def forward(
        self, x: Tensor, frame: Tensor, track: Tensor, batch: OptTensor = None, batch_size: int | None = None
    ) -> Tensor:
        """Read node features out.

        Args:
            x: ``[M, D]`` features of the nodes of all frames.
            frame: ``[M]`` int64, the frame of each node.
            track: ``[M]`` int64, identity of each node within its clip.
            batch: ``[M]`` int64, clip of each node; None for one clip.
            batch_size: Number G of clips; None reads it from the values of ``batch``. A clip without nodes gives zeros.

        Returns:
            ``[G, D]``.
        """
        if x.dim() != 2:
            raise ValueError(f"Expected 'x' to be of shape [M, D] (got {list(x.shape)})")
        batch, batch_size = (torch.zeros_like(track), 1) if batch is None else (batch, batch_size)
        for name, numbers in (("frame", frame), ("track", track), ("batch", batch)):
            if list(numbers.shape) != [len(x)]:
                raise ValueError(f"Expected '{name}' to be of shape [{len(x)}] (got {list(numbers.shape)})")
        _, row, count = torch.stack([batch, track], dim=1).unique(dim=0, return_inverse=True, return_counts=True)
        if self.readout == "mean":
            x = x / count[row, None].to(x.dtype)
        else:
            last = frame == scatter(frame, row, reduce="max")[row]
            x, batch = x[last], batch[last]
        return scatter(x, batch, dim=0, dim_size=batch_size, reduce="sum")

    def extra_repr(self) -> str:
        """Show the read-out in ``repr``."""
        return f"readout={self.readout!r}"
