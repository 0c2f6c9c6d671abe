"""The recurrent graph over frames whose nodes and edges differ: memories follow the nodes' tracks."""

import torch
from torch import Tensor, nn
from torch_geometric.typing import OptTensor

from rstg_pyg.nn.rstg import RSTG
from rstg_pyg.nn.time_stage import State, TimeStage


class TrackRSTG(nn.Module):
    r"""Run an :class:`RSTG` over a sequence of graphs whose nodes come and go, such as :class:`BoxGraph`'s.

    The nodes of all frames are one flat list, and edges join nodes of one frame: the space stage sees one disjoint
    graph. A track is a node's identity over the frames, and its memory follows it:

    - a track that is seen for the first time starts from zeros,
    - one that is absent sends nothing, and its memory stays as it is until the track is seen again. To begin anew
      instead, give the node that comes back a new track.

    Frames may have no nodes, all of them too: M may be 0.

    With a grid's cells as nodes and tracks it equals the :class:`RSTG` on the grid, whose weights it shares.

    Args:
        rstg: The graph, of any schedule but ``homogeneous``.

    Shapes:
        - **input:** node features :math:`(M, C)`, edge index :math:`(2, E)`, frames and tracks :math:`(M)`
        - **output:** node features :math:`(M, D)`, state: tracks :math:`(S, 2)` and a tuple of :math:`(S, M', D)`
          tensors for M' memories

    Raises:
        ValueError: If the schedule is ``homogeneous``, or an input has the wrong rank, size or type.
    """

    def __init__(self, rstg: RSTG) -> None:
        super().__init__()
        if rstg.schedule == "homogeneous":
            raise ValueError(
                "Expected 'rstg' to have another schedule than 'homogeneous', in which a node's past is one more "
                "sender of every frame and not the memory of a track (got 'homogeneous')"
            )
        self.rstg = rstg

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        frame: Tensor,
        track: Tensor,
        batch: OptTensor = None,
        pos_map: OptTensor = None,
        edge_weight: OptTensor = None,
        group: OptTensor = None,
        state: State | None = None,
        return_attention_weights: bool = False,
    ) -> tuple[Tensor, State] | tuple[Tensor, State, Tensor]:
        """Run the graph over clips, or over the next chunk of each.

        Args:
            x: ``[M, C]`` features of the nodes of all frames.
            edge_index: ``[2, E]`` int64, each between nodes of one clip's frame.
            frame: ``[M]`` int64, which orders the nodes of a track; a track has at most one node a frame.
            track: ``[M]`` int64, identity of each node within its clip.
            batch: ``[M]`` int64, clip of each node, as PyG's loader gives it; None for one clip.
            pos_map: ``[M, P]``, see :class:`RSTG` as the next two.
            edge_weight: ``[E]``.
            group: ``[M]`` int64.
            state: State returned by the previous chunk; None at the start.
            return_attention_weights: Also return the attention.

        Returns:
            ``[M, D]`` node features, the state and, if asked for, the attention ``[K, E]``. The state is ``[S, 2]``
            int64, clip and track of every track that was seen so far, and what each remembers, ``[S, M', D]`` each. It
            grows with the tracks: ``tuple(tensor[keep] for tensor in state)`` forgets those that are gone for good.
        """
        self._check_nodes(x, frame, track, batch, state)
        rstg = self.rstg
        x = rstg.lin_in(x)
        if len(x) == 0:
            x, state = self._run_nothing(x, track, state)
            return (x, state, x.new_zeros(rstg.num_space_stages, 0)) if return_attention_weights else (x, state)
        x = rstg.input_norm(x)
        memory = _TrackMemory(x, frame, track, torch.zeros_like(track) if batch is None else batch, state)
        alphas = []
        for _ in range(rstg.num_space_stages):
            assert rstg.space is not None
            if rstg.time is not None:
                x = memory.run(rstg.time, x)
            x, (_, alpha) = rstg.space(x, edge_index, pos_map, edge_weight, group, return_attention_weights=True)
            alphas.append(alpha)
        if rstg.last_time is not None:
            x = memory.run(rstg.last_time, x)
        if not return_attention_weights:
            return x, memory.state()
        return x, memory.state(), torch.stack(alphas) if alphas else x.new_zeros(0, edge_index.size(1))

    def step(
        self,
        x: Tensor,
        edge_index: Tensor,
        track: Tensor,
        batch: OptTensor = None,
        pos_map: OptTensor = None,
        edge_weight: OptTensor = None,
        group: OptTensor = None,
        state: State | None = None,
        return_attention_weights: bool = False,
    ) -> tuple[Tensor, State] | tuple[Tensor, State, Tensor]:
        """Run the graph over the next frame of a stream: :meth:`forward` where all nodes are of one frame."""
        return self(
            x,
            edge_index,
            torch.zeros_like(track),
            track,
            batch,
            pos_map,
            edge_weight,
            group,
            state,
            return_attention_weights,
        )

    def _run_nothing(self, x: Tensor, track: Tensor, state: State | None) -> tuple[Tensor, State]:
        """What comes of no nodes: none, with gradients of zeros for all parameters, and the memories as they were."""
        channels = self.rstg.hidden_channels
        if state is None:
            memories = (x.new_zeros(0, self.rstg.num_memories, channels),) * self._num_states
            state = (track.new_zeros(0, 2), *memories)
        # A part of every parameter, as training in several processes wants a gradient for each.
        return torch.cat([tensor.flatten()[:0] for tensor in (x, *self.parameters())]).view(0, channels), state

    @property
    def _num_states(self) -> int:
        return self.rstg.last_time.num_states if self.rstg.last_time is not None else 0

    def _check_nodes(self, x: Tensor, frame: Tensor, track: Tensor, batch: OptTensor, state: State | None) -> None:
        if x.dim() != 2 or not x.is_floating_point():
            raise ValueError(f"Expected 'x' to be floating point of shape [M, C] (got {x.dtype} {list(x.shape)})")
        if self.rstg.in_channels not in (-1, x.size(1)):
            raise ValueError(f"Expected 'x' to have {self.rstg.in_channels} features (got {x.size(1)})")
        for name, numbers in (("frame", frame), ("track", track), ("batch", batch)):
            if numbers is not None and (list(numbers.shape) != [len(x)] or numbers.dtype != torch.int64):
                raise ValueError(
                    f"Expected '{name}' to be int64 of shape [{len(x)}] (got {numbers.dtype} {list(numbers.shape)})"
                )
        if state is not None:
            tracks = state[0].size(0) if state else "S"
            expected = [[tracks, 2], *[[tracks, self.rstg.num_memories, self.rstg.hidden_channels]] * self._num_states]
            if [list(tensor.shape) for tensor in state] != expected:
                raise ValueError(
                    f"Expected 'state' to be a tuple of tensors of shapes {expected} "
                    f"(got {[list(tensor.shape) for tensor in state]})"
                )


class _TrackMemory:
    """The memories of all tracks, and the nodes of each track laid out as one sequence."""

    def __init__(self, x: Tensor, frame: Tensor, track: Tensor, batch: Tensor, before: State | None) -> None:
        own = torch.stack([batch, track], dim=1)
        known = own[:0] if before is None else before[0]
        self.tracks, row = torch.cat([known, own]).unique(dim=0, return_inverse=True)
        known_row, row = row[: len(known)], row[len(known) :]
        self.before: State | None = None
        if before is not None:  # [S, M', D] each, zeros for the tracks that are new
            zeros = (s.new_zeros(len(self.tracks), *s.shape[1:]) for s in before[1:])
            self.before = tuple(z.index_copy(0, known_row, s) for z, s in zip(zeros, before[1:], strict=True))
        # Only tracks that are seen run: [R], and the place of each node in the sequence of its track: [M].
        self.seen, self.row, self.lengths = row.unique(return_inverse=True, return_counts=True)
        order = frame.argsort(stable=True)
        order = order[self.row[order].argsort(stable=True)]
        first = self.lengths.cumsum(0) - self.lengths
        self.place = torch.empty_like(row)
        self.place[order] = torch.arange(len(row), device=row.device) - first.repeat_interleave(self.lengths)
        self.num_frames = int(self.lengths.max())
        self.ragged = bool((self.lengths < self.num_frames).any())
        self.after: list[State] = []

    def run(self, cell: TimeStage, x: Tensor) -> Tensor:
        """Run a cell along every track, ``[M, D]``, with the next memory."""
        sequences = x.new_zeros(len(self.seen), self.num_frames, x.size(1))
        sequences = sequences.index_put((self.row, self.place), x)[:, :, None]  # [R, L, 1, D]
        if self.before is None:
            memory: State = (x.new_zeros(len(self.tracks), x.size(1)),) * cell.num_states
        else:
            memory = tuple(s[:, len(self.after)] for s in self.before)
        out, after = cell(sequences, tuple(s[self.seen, None] for s in memory), self.lengths if self.ragged else None)
        updated = zip(memory, after, strict=True)
        self.after.append(tuple(old.to(new.dtype).index_copy(0, self.seen, new[:, 0]) for old, new in updated))
        return out[self.row, self.place, 0]

    def state(self) -> State:
        """The tracks and their memories."""
        return (self.tracks, *(torch.stack(tensors, dim=1) for tensors in zip(*self.after, strict=True)))
