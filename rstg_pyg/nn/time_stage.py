"""The time stage: one recurrent cell per node, weights shared by all nodes."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

RNN = Literal["lstm", "gru", "rnn"]
State = tuple[Tensor, ...]
RNNS: dict[str, type[nn.LSTM] | type[nn.GRU] | type[nn.RNN]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


class TimeStage(nn.Module):
    r"""Time stage of the recurrent space-time graph (paper §2.2, eq. 6).

    .. math::
        \mathbf{h}_i^t = f_{time}(\mathbf{v}_i^t, \mathbf{h}_i^{t-1})

    Every node is one row of a batch of :math:`B \cdot N` sequences, so the whole clip is one fused recurrent call.

    Args:
        channels: Size D of the node features and of the state.
        rnn: ``"lstm"`` (paper), ``"gru"`` or ``"rnn"``.
        residual: Add the input to the output (not to the state).

    Shapes:
        - **input:** node features :math:`(B, T, N, D)`, state tensors :math:`(B, N, D)`
        - **output:** node features :math:`(B, T, N, D)`, state tensors :math:`(B, N, D)`

    Raises:
        ValueError: If ``rnn`` is none of its choices.
    """

    def __init__(self, channels: int, rnn: RNN = "lstm", residual: bool = False) -> None:
        super().__init__()
        if rnn not in RNNS:
            raise ValueError(f"Expected 'rnn' to be one of {list(RNNS)} (got {rnn!r})")
        self.channels = channels
        self.residual = residual
        self.num_states = 2 if rnn == "lstm" else 1
        self.rnn = RNNS[rnn](channels, channels)

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        self.rnn.reset_parameters()

    def forward(self, x: Tensor, state: State | None = None, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        """Run the cell over a clip.

        Args:
            x: ``[B, T, N, D]`` node features.
            state: Tuple of ``[B, N, D]``, (h, c) of an LSTM, (h,) otherwise; None starts from zeros.
            lengths: ``[B]`` int64, number of valid frames of each clip; frames beyond it give zeros and leave the
                state as it is.

        Returns:
            ``[B, T, N, D]`` features and the state after the last valid frame.
        """
        num_clips, num_frames, num_nodes, _ = x.shape
        sequence = x.permute(1, 0, 2, 3).reshape(num_frames, num_clips * num_nodes, self.channels)
        before: Tensor | tuple[Tensor, ...] | None = None
        if state is not None:
            rows = tuple(s.reshape(1, num_clips * num_nodes, self.channels).contiguous() for s in state)
            before = rows if self.num_states == 2 else rows[0]

        if lengths is None:
            out, after = self.rnn(sequence, before)
        else:
            # Packing needs at least one frame a row: rows without one run a frame that is discarded below.
            packed = pack_padded_sequence(
                sequence, lengths.clamp(min=1).repeat_interleave(num_nodes).cpu(), enforce_sorted=False
            )
            out, after = self.rnn(packed, before)
            out, _ = pad_packed_sequence(out, total_length=num_frames)

        out = out.view(num_frames, num_clips, num_nodes, self.channels).permute(1, 0, 2, 3)
        if self.residual:
            out = out + x
        states = tuple(
            s.view(num_clips, num_nodes, self.channels) for s in (after if self.num_states == 2 else (after,))
        )
        if lengths is not None:
            beyond = torch.arange(num_frames, device=x.device) >= lengths[:, None]
            out = out.masked_fill(beyond[:, :, None, None], 0.0)
            empty = (lengths == 0)[:, None, None]
            old = state if state is not None else tuple(torch.zeros_like(s) for s in states)
            states = tuple(torch.where(empty, o.to(s.dtype), s) for o, s in zip(old, states, strict=True))
        return out, states
