"""The time stage: one recurrent cell per node, weights shared by all nodes."""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rstg_pyg.nn.sequence_checks import check_lengths, check_state

RNN = Literal["lstm", "gru", "rnn"]
State = tuple[Tensor, ...]
RNNS: dict[str, type[nn.LSTM] | type[nn.GRU] | type[nn.RNN]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


class TimeStage(nn.Module):
    r"""Time stage of the recurrent space-time graph (paper §2.2, eq. 6).

    .. math::
        \mathbf{h}_i^t = f_{time}(\mathbf{v}_i^t, \mathbf{h}_i^{t-1})

    Every node is one row of a batch of :math:`B \cdot N` sequences, so the whole clip is one fused recurrent call; the
    single frame of a stream is one call of the cell, as a sequence kernel would prepare its weights anew each time.

    Args:
        channels: Size D of the node features and of the state.
        rnn: ``"lstm"`` (paper), ``"gru"`` or ``"rnn"``.
        residual: Add the input to the output (not to the state).

    Shapes:
        - **input:** node features :math:`(B, T, N, D)`, state tensors :math:`(B, N, D)`
        - **output:** node features :math:`(B, T, N, D)`, state tensors :math:`(B, N, D)`

    Raises:
        ValueError: If ``rnn`` is none of its choices, or an input has the wrong rank, size or type.
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
            state: Tuple of ``[B, N, D]``, (h, c) of an LSTM, (h,) otherwise, of any floating point type; None starts
                from zeros.
            lengths: ``[B]`` int64, number of valid frames of each clip; frames beyond it give zeros and leave the
                state as it is.

        Returns:
            ``[B, T, N, D]`` features and the state after the last valid frame.
        """
        self._check_sequence(x, state, lengths)
        num_clips, num_frames, num_nodes, _ = x.shape
        sequence = x.permute(1, 0, 2, 3).reshape(num_frames, num_clips * num_nodes, self.channels)
        before: State | None = None
        if state is not None:
            dtype = self.rnn.all_weights[0][0].dtype
            before = tuple(s.reshape(1, num_clips * num_nodes, self.channels).to(dtype) for s in state)
        if lengths is not None:
            # Packing needs at least one frame a row: rows without one run a frame that is discarded below.
            frames = lengths.clamp(min=1).repeat_interleave(num_nodes).cpu()
            packed, after = self._run(pack_padded_sequence(sequence, frames, enforce_sorted=False), before)
            out, _ = pad_packed_sequence(packed, total_length=num_frames)
        elif num_frames == 1 and before is not None:
            after = self._step(sequence[0], before)
            out = after[0]
        else:
            out, after = self._run(sequence, before)

        out = out.view(num_frames, num_clips, num_nodes, self.channels).permute(1, 0, 2, 3)
        if self.residual:
            out = out + x
        states = tuple(s.view(num_clips, num_nodes, self.channels) for s in after)
        if lengths is not None:
            beyond = torch.arange(num_frames, device=x.device) >= lengths[:, None]
            out = out.masked_fill(beyond[:, :, None, None], 0.0)
            empty = (lengths == 0)[:, None, None]
            old = state if state is not None else tuple(torch.zeros_like(s) for s in states)
            states = tuple(torch.where(empty, o.to(s.dtype), s) for o, s in zip(old, states, strict=True))
        return out, states

    def _check_sequence(self, x: Tensor, state: State | None, lengths: Tensor | None) -> None:
        if x.dim() != 4 or x.size(-1) != self.channels:
            raise ValueError(f"Expected 'x' to be of shape [B, T, N, {self.channels}] (got {list(x.shape)})")
        check_state(state, [[x.size(0), x.size(2), self.channels]] * self.num_states)
        check_lengths(lengths, x.size(0))

    def _run(self, sequence: Any, before: State | None) -> tuple[Any, State]:
        if self.num_states == 1:
            out, after = self.rnn(sequence, None if before is None else before[0].contiguous())
            return out, (after,)
        states = None if before is None else tuple(s.contiguous() for s in before)
        if torch.is_autocast_enabled("cpu") and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            # Autocast sends an LSTM to oneDNN in half precision even where oneDNN has none (torch 2.14).
            with torch.backends.mkldnn.flags(enabled=False):
                return self.rnn(sequence, states)
        return self.rnn(sequence, states)

    def _step(self, frame: Tensor, before: State) -> State:
        weights = self.rnn.all_weights[0]
        if self.num_states == 2:
            return torch.lstm_cell(frame, tuple(s[0] for s in before), *weights)
        cell = torch.gru_cell if self.rnn.mode == "GRU" else torch.rnn_tanh_cell
        return (cell(frame, before[0][0], *weights),)
