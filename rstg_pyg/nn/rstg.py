"""The recurrent space-time graph: space and time stages, alternated by a schedule."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch_geometric.nn.dense import Linear
from torch_geometric.typing import Adj, OptTensor
from torch_geometric.utils import is_sparse, to_edge_index

from rstg_pyg.graph.num_edges import num_edges
from rstg_pyg.nn.norm import NORMS, node_norm, normalize_nodes
from rstg_pyg.nn.rstg_conv import ATTENTIONS, Attention, RSTGConv
from rstg_pyg.nn.sequence_checks import check_lengths, check_state
from rstg_pyg.nn.time_stage import RNN, RNNS, State, TimeStage

Schedule = Literal["all_temp", "one_temp", "space_only", "time_only", "homogeneous"]
SpaceArguments = tuple[Adj, OptTensor, OptTensor, OptTensor]
SCHEDULES = ("all_temp", "one_temp", "space_only", "time_only", "homogeneous")


class RSTG(nn.Module):
    r"""Recurrent space-time graph over a sequence of graphs with common edges (paper §2).

    ================  ==================================================================================================
    ``schedule``      per time step
    ================  ==================================================================================================
    ``all_temp``      (time k, then space) for k = 0..K-1, then time K: the paper's model
    ``one_temp``      K space stages, then one time stage
    ``space_only``    K space stages on each frame, no recurrence (read out by the mean over time)
    ``time_only``     one time stage on the input features, no messages
    ``homogeneous``   no recurrent cell: at pass k the node's own state after pass k one frame ago is one more sender
                      of the same space stage (absent in the first frame); K passes and a closing one
    ================  ==================================================================================================

    The space stage is shared by frames and iterations. One recurrent cell serves iterations 0..K-1, each with a memory
    of its own, a second cell the last time stage. As space at (t, k) needs only time's output at (t, k), and time k
    only frame t-1 at the same k, the loop over k runs outside and every stage handles all frames at once; :meth:`step`
    gives the same numbers frame by frame. ``homogeneous`` makes pass k of frame t with pass k+1 of frame t-1, along the
    diagonals: T + K calls of its space stage.

    Args:
        in_channels: Size C of the node features; -1 derives it from the first input.
        hidden_channels: Size D of nodes, messages and memories. A linear layer C → D comes first where C ≠ D (and
            always for ``in_channels=-1``).
        num_iterations: Number K of space stages.
        attention: See :class:`RSTGConv`.
        normalize: See :class:`RSTGConv`.
        pos_channels: See :class:`RSTGConv`.
        num_groups: See :class:`RSTGConv`.
        schedule: One of the table above.
        rnn: ``"lstm"`` (paper), ``"gru"`` or ``"rnn"``.
        input_norm: ``"layer"``, ``"batch"`` or ``None``: normalisation of the node features that enter the graph.
        norm: Normalisation of every space stage's output.
        residual: Residual connection around every stage, in space and in time.

    Shapes:
        - **input:** node features :math:`(B, T, N, C)`, edge index :math:`(2, E)`
        - **output:** node features :math:`(B, T, N, D)`, state: a tuple of :math:`(B, M, N, D)` tensors for M memories,
          in the homogeneous schedule :math:`(B, K + 1, N, D)` features and :math:`(B)` bool, whether a clip has begun

    Raises:
        ValueError: If an argument is outside its choices, or an input has the wrong rank, size or type.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        num_iterations: int = 3,
        attention: Attention = "dot",
        normalize: bool = True,
        pos_channels: int = 0,
        num_groups: int = 1,
        schedule: Schedule = "all_temp",
        rnn: RNN = "lstm",
        input_norm: str | None = None,
        norm: str | None = None,
        residual: bool = False,
    ) -> None:
        super().__init__()
        # Checked here, as a schedule may leave a stage out and a wrong argument must not pass with it.
        for name, value, choices in (
            ("schedule", schedule, SCHEDULES),
            ("attention", attention, ATTENTIONS),
            ("rnn", rnn, RNNS),
            ("input_norm", input_norm, NORMS),
            ("norm", norm, NORMS),
        ):
            if value not in choices:
                raise ValueError(f"Expected '{name}' to be one of {list(choices)} (got {value!r})")
        if num_iterations < 1:
            raise ValueError(f"Expected 'num_iterations' to be positive (got {num_iterations})")
        self.in_channels = in_channels
        self.hidden_channels = hidden_channels
        self.num_iterations = num_iterations
        self.schedule = schedule

        self.lin_in: nn.Module = nn.Identity()
        if in_channels != hidden_channels:
            self.lin_in = Linear(in_channels, hidden_channels, weight_initializer="glorot")
        self.input_norm = node_norm(input_norm, hidden_channels)
        self.space: RSTGConv | None = None
        if schedule != "time_only":
            self.space = RSTGConv(
                hidden_channels, hidden_channels, attention, normalize, pos_channels, num_groups, norm, residual
            )
        self.time = TimeStage(hidden_channels, rnn, residual) if schedule == "all_temp" else None
        self.last_time = (
            TimeStage(hidden_channels, rnn, residual) if schedule not in ("space_only", "homogeneous") else None
        )

    @property
    def num_space_stages(self) -> int:
        """Number of space stages run on each frame, the K of the returned attention."""
        return {"time_only": 0, "homogeneous": self.num_iterations + 1}.get(self.schedule, self.num_iterations)

    @property
    def num_memories(self) -> int:
        """Number M of memories each node carries."""
        memories = {"one_temp": 1, "time_only": 1, "space_only": 0}
        return memories.get(self.schedule, self.num_iterations + 1)

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        for stage in self.children():
            if callable(reset := getattr(stage, "reset_parameters", None)):
                reset()

    def extra_repr(self) -> str:
        """Show the arguments in ``repr``."""
        return (
            f"{self.in_channels}, {self.hidden_channels}, num_iterations={self.num_iterations}, "
            f"schedule={self.schedule!r}"
        )

    def forward(
        self,
        x: Tensor,
        edge_index: Adj,
        pos_map: OptTensor = None,
        edge_weight: OptTensor = None,
        group: OptTensor = None,
        state: State | None = None,
        lengths: OptTensor = None,
        return_attention_weights: bool = False,
    ) -> tuple[Tensor, State] | tuple[Tensor, State, Tensor]:
        """Run the graph over a clip, or over the next chunk of one.

        Args:
            x: ``[B, T, N, C]`` node features.
            edge_index: ``[2, E]``, :class:`~torch_geometric.EdgeIndex` or ``torch.sparse`` ``adj_t``.
            pos_map: ``[N, P]`` position maps; required iff ``pos_channels`` > 0.
            edge_weight: ``[E]``, multiplies the attention after normalisation, see :class:`RSTGConv`.
            group: ``[N]`` int64; required iff ``num_groups`` > 1.
            state: State returned by the previous chunk; None at the start of a clip.
            lengths: ``[B]`` int64, valid frames of each clip; the others give zeros and change nothing.
            return_attention_weights: Also return the attention.

        Returns:
            ``[B, T, N, D]`` node features, the state after the last valid frame and, if asked for, the attention
            ``[B, T, K, E]`` (``homogeneous``: K+1 passes; what is missing to one is the weight of the node's past).
        """
        self._check_sequence(x, state, lengths)
        valid = None if lengths is None else torch.arange(x.size(1), device=x.device) < lengths[:, None]
        (x,) = _per_frame(lambda frames: (normalize_nodes(self.input_norm, self.lin_in(frames)),), x, valid)
        space_arguments = (edge_index, pos_map, edge_weight, group)
        if self.schedule == "homogeneous":
            x, state, alphas = self._run_homogeneous(x, space_arguments, state, valid)
        else:
            x, state, alphas = self._run_stages(x, space_arguments, state, lengths, valid)
        return (x, state, alphas) if return_attention_weights else (x, state)

    def step(
        self,
        frame: Tensor,
        edge_index: Adj,
        pos_map: OptTensor = None,
        edge_weight: OptTensor = None,
        group: OptTensor = None,
        state: State | None = None,
        return_attention_weights: bool = False,
        inplace: bool = False,
    ) -> tuple[Tensor, State] | tuple[Tensor, State, Tensor]:
        """Run the graph over the next frame of a stream: :meth:`forward` without the time axis.

        Args:
            frame: ``[B, N, C]`` node features.
            edge_index: See :meth:`forward`, as all other arguments.
            pos_map: ``[N, P]``.
            edge_weight: ``[E]``.
            group: ``[N]``.
            state: State returned by the previous step; None at the first frame.
            return_attention_weights: Also return the attention ``[B, K, E]``.
            inplace: Write the new state over ``state``, so that a stream's state stays where it is; gradients must be
                off.

        Returns:
            ``[B, N, D]`` node features, the state and, if asked for, the attention.
        """
        if inplace and torch.is_grad_enabled():
            raise ValueError("Expected 'inplace' to be False where gradients are on (got True)")
        if frame.dim() != 3:
            raise ValueError(f"Expected 'frame' to be of shape [B, N, C] (got {list(frame.shape)})")
        out, after, *alpha = self(
            frame[:, None], edge_index, pos_map, edge_weight, group, state, None, return_attention_weights
        )
        if inplace and state is not None:
            after = tuple(old.copy_(new) for old, new in zip(state, after, strict=True))
        return (out[:, 0], after, *(a[:, 0] for a in alpha))

    def reset_state(self, state: State, reset: Tensor) -> State:
        """Start some samples of a batch of streams anew.

        Args:
            state: State of :meth:`forward` or :meth:`step`.
            reset: ``[B]`` bool, samples whose next frame is the first of a clip.

        Returns:
            The state with those samples as before the first frame.

        Raises:
            ValueError: If ``reset`` is not bool of shape ``[B]``.
        """
        size = state[0].size(0) if state else reset.numel()
        if reset.dtype != torch.bool or list(reset.shape) != [size]:
            raise ValueError(f"Expected 'reset' to be bool of shape [{size}] (got {reset.dtype} {list(reset.shape)})")
        return tuple(s.masked_fill(reset.view(-1, *[1] * (s.dim() - 1)), 0) for s in state)

    def _run_stages(
        self, x: Tensor, space_arguments: SpaceArguments, state: State | None, lengths: OptTensor, valid: OptTensor
    ) -> tuple[Tensor, State, Tensor]:
        memories: list[State] = []
        alphas: list[Tensor] = []

        def run_time(cell: TimeStage, x: Tensor) -> Tensor:
            before = None if state is None else tuple(s[:, len(memories)] for s in state)
            x, after = cell(x, before, lengths)
            memories.append(after)
            return x

        for _ in range(self.num_space_stages):
            if self.time is not None:
                x = run_time(self.time, x)
            x, alpha = _per_frame(lambda frames: self._run_space(frames, space_arguments), x, valid)
            alphas.append(alpha)
        if self.last_time is not None:
            x = run_time(self.last_time, x)

        new_state = tuple(torch.stack(tensors, dim=1) for tensors in zip(*memories, strict=True))
        if not alphas:
            return x, new_state, x.new_zeros(*x.shape[:2], 0, num_edges(space_arguments[0]))
        return x, new_state, torch.stack(alphas, dim=2)

    def _run_space(self, x: Tensor, space_arguments: SpaceArguments) -> tuple[Tensor, Tensor]:
        assert self.space is not None
        edge_index, pos_map, edge_weight, group = space_arguments
        out, (_, alpha) = self.space(x, edge_index, pos_map, edge_weight, group, return_attention_weights=True)
        return out, alpha

    def _run_homogeneous(
        self, x: Tensor, space_arguments: SpaceArguments, state: State | None, valid: OptTensor
    ) -> tuple[Tensor, State, Tensor]:
        assert self.space is not None
        edge_index, pos_map, edge_weight, group = space_arguments
        num_clips, num_frames, num_nodes, channels = x.shape
        spatial = num_edges(edge_index)
        source, destination = self.space.ends_of(edge_index, x[:, 0], x[:, 0])
        if edge_weight is None and is_sparse(edge_index):
            _, edge_weight = to_edge_index(edge_index)

        # The past of node i is sender N + i: one more edge, to i alone.
        node = torch.arange(num_nodes, device=x.device)
        edges = torch.stack([torch.cat([source, node + num_nodes]), torch.cat([destination, node])])
        pos_maps = None if pos_map is None else torch.cat([pos_map, pos_map])
        weights = None if edge_weight is None else torch.cat([edge_weight, edge_weight.new_ones(num_nodes)])

        if state is None:
            state = (
                x.new_zeros(num_clips, self.num_memories, num_nodes, channels),
                torch.zeros(num_clips, dtype=torch.bool, device=x.device),
            )
        pasts, has_past = state[0].to(x.dtype), state[1]
        outs: list[Tensor] = []
        alpha = x.new_zeros(num_clips, num_frames, self.num_space_stages, spatial)
        for diagonal in range(num_frames + self.num_space_stages - 1):
            # Pass k of frame t takes pass k-1 of frame t and pass k of frame t-1. Both are of the diagonal before, and
            # in `pasts`: one call makes all passes of a diagonal.
            here = passes_of_diagonal(diagonal, num_frames, self.num_space_stages)
            passes = torch.arange(here.start, here.stop, device=x.device)
            times = diagonal - passes
            kept = None if valid is None else valid[:, times].nonzero(as_tuple=True)
            frames = torch.cat([x[:, min(diagonal, num_frames - 1), None], pasts[:, :-1]], dim=1)[:, here]
            own = pasts[:, here]
            mask = torch.ones(*frames.shape[:2], spatial + num_nodes, dtype=torch.bool, device=x.device)
            mask[..., spatial:] = (has_past[:, None] | (times > 0))[..., None]
            senders = torch.cat([frames, own], dim=-2)
            after, (_, weight) = self.space(
                (_pick(senders, kept), _pick(frames, kept)),
                edges,
                pos_maps,
                weights,
                group,
                _pick(mask, kept),
                return_attention_weights=True,
            )
            places = (slice(None), times, passes) if kept is None else (kept[0], times[kept[1]], passes[kept[1]])
            alpha[places] = weight[..., :spatial].to(alpha.dtype)
            pasts = torch.cat([pasts[:, : here.start], _put(after, own, kept), pasts[:, here.stop :]], dim=1)
            if here.stop == self.num_space_stages:
                outs.append(pasts[:, -1])
        out = torch.stack(outs, dim=1).to(x.dtype)
        if valid is None:
            has_past = torch.ones_like(has_past)
        else:
            out, has_past = out.masked_fill(~valid[..., None, None], 0), has_past | valid[:, 0]
        return out, (pasts.to(x.dtype), has_past), alpha

    def _check_sequence(self, x: Tensor, state: State | None, lengths: OptTensor) -> None:
        if x.dim() != 4 or 0 in x.shape[:3]:
            raise ValueError(f"Expected 'x' to be of shape [B, T, N, C] with B, T, N > 0 (got {list(x.shape)})")
        if not x.is_floating_point():
            raise ValueError(f"Expected 'x' to be of floating point type (got {x.dtype})")
        if self.in_channels != -1 and x.size(-1) != self.in_channels:
            raise ValueError(f"Expected 'x' to have {self.in_channels} features (got {x.size(-1)})")
        check_lengths(lengths, x.size(0))
        memory = [x.size(0), self.num_memories, x.size(2), self.hidden_channels]
        shapes = [memory] * (self.last_time.num_states if self.last_time is not None else 0)
        if self.schedule == "homogeneous":
            shapes = [memory, [x.size(0)]]
        check_state(state, shapes)


def _per_frame(function: Callable[[Tensor], tuple[Tensor, ...]], x: Tensor, valid: OptTensor) -> tuple[Tensor, ...]:
    """Apply ``function`` to all frames of ``[B, T, ...]``, or to the valid ones alone with zeros elsewhere.

    Padding must not enter batch statistics, and need not cost anything. Frames lie time first in memory, as the
    recurrent calls read and leave them, so that no stage has to copy.
    """
    if valid is None:
        return tuple(out.transpose(0, 1) for out in function(x.transpose(0, 1)))
    outs = function(x[valid])
    return tuple(out.new_zeros(*valid.shape, *out.shape[1:]).index_put((valid,), out) for out in outs)


def passes_of_diagonal(diagonal: int, num_frames: int, num_passes: int) -> slice:
    """Passes k of a homogeneous graph that are made at once, each of the frame t = ``diagonal`` - k."""
    return slice(max(0, diagonal + 1 - num_frames), min(diagonal + 1, num_passes))


def _pick(x: Tensor, kept: tuple[Tensor, ...] | None) -> Tensor:
    return x if kept is None else x[kept]


def _put(values: Tensor, onto: Tensor, kept: tuple[Tensor, ...] | None) -> Tensor:
    return values if kept is None else onto.index_put(kept, values.to(onto.dtype))
