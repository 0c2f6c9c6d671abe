"""Read-outs: from node features to a vector or back to a map (paper §2.3)."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch_geometric.typing import OptTensor
from torch_geometric.utils import scatter

from rstg_pyg.nn.sequence_checks import check_lengths
from rstg_pyg.nn.time_stage import State

Readout = Literal["last", "mean"]
READOUTS = ("last", "mean")


class NodesToVec(nn.Module):
    """RSTG-to-vec: the sum over nodes of the last time step (paper §2.3), or of the mean over time.

    Args:
        readout: ``"last"`` (paper) or ``"mean"``.

    Raises:
        ValueError: If ``readout`` is none of its choices, or an input has the wrong rank, size or type.
    """

    def __init__(self, readout: Readout = "last") -> None:
        super().__init__()
        if readout not in READOUTS:
            raise ValueError(f"Expected 'readout' to be one of {list(READOUTS)} (got {readout!r})")
        self.readout = readout
        self.num_states = 2 if readout == "mean" else 0

    def forward(
        self, x: Tensor, batch: OptTensor = None, batch_size: int | None = None, lengths: OptTensor = None
    ) -> Tensor:
        """Read node features out.

        Args:
            x: ``[B, T, N, D]`` node features.
            batch: ``[N]`` int64, the graph of each node of a disjoint :class:`~torch_geometric.data.Batch`, whose
                clips are ``x [1, T, ΣN, D]``.
            batch_size: Number G of graphs in ``batch``; None reads it from the values of ``batch``.
            lengths: ``[B]`` int64, valid frames of each clip, for sequences padded with zeros; a clip without any
                gives zeros.

        Returns:
            ``[B, D]``, or ``[G, D]`` with ``batch``.
        """
        if x.dim() != 4:
            raise ValueError(f"Expected 'x' to be of shape [B, T, N, D] (got {list(x.shape)})")
        if batch is not None and (x.size(0) != 1 or list(batch.shape) != [x.size(2)]):
            raise ValueError(
                f"Expected 'batch' to be of shape [N] beside 'x' of shape [1, T, N, D] "
                f"(got {list(batch.shape)} and {list(x.shape)})"
            )
        check_lengths(lengths, x.size(0))
        if self.readout == "last":
            clips = torch.arange(x.size(0), device=x.device)
            nodes = x[:, -1] if lengths is None else x[clips, lengths - 1]
        else:
            nodes = x.mean(dim=1) if lengths is None else x.sum(dim=1) / lengths.clamp(min=1).to(x.dtype)[:, None, None]
        if batch is None:
            return nodes.sum(dim=1)
        return scatter(nodes[0], batch, dim=0, dim_size=batch_size, reduce="sum")

    def step(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Read a stream out after its next frame: what :meth:`forward` gives for the clip that ends there.

        Args:
            x: ``[B, N, D]`` node features of the frame.
            state: State returned by the previous step; None at the first frame, for which zeros stand too.

        Returns:
            ``[B, D]`` and the state: nothing for ``"last"``, for ``"mean"`` the mean up to here ``[B, D]`` and the
            number of frames in it, ``[B]`` int64. A running mean, as a sum would outgrow its precision; never in half
            precision, where it would soon stand still.

        Raises:
            ValueError: If ``x`` or ``state`` has the wrong shape.
        """
        if x.dim() != 3:
            raise ValueError(f"Expected 'x' to be of shape [B, N, D] (got {list(x.shape)})")
        out = x.sum(dim=1)
        dtype = torch.promote_types(x.dtype, torch.float32)
        if state is None and self.readout == "mean":
            state = (torch.zeros_like(out, dtype=dtype), torch.zeros(out.size(0), dtype=torch.int64, device=x.device))
        shapes = [list(tensor.shape) for tensor in state or ()]
        expected = [list(out.shape), [out.size(0)]][: self.num_states]
        if shapes != expected:
            raise ValueError(f"Expected 'state' to be a tuple of tensors of shapes {expected} (got {shapes})")
        if self.readout == "last" or state is None:
            return out, ()
        mean, count = state
        count = count + 1
        mean = mean + (x.sum(dim=1, dtype=dtype) - mean) / count.to(dtype)[:, None]
        return mean.to(out.dtype), (mean, count)

    def extra_repr(self) -> str:
        """Show the read-out in ``repr``."""
        return f"readout={self.readout!r}"
