"""The hooks that read the stages of a recurrent graph as it runs."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.hooks import RemovableHandle
from torch_geometric.utils import is_sparse, to_edge_index

from rstg_pyg.evaluation import evaluation_mode
from rstg_pyg.models import VideoClassifier
from rstg_pyg.nn import RSTG, RSTGToVec
from rstg_pyg.nn.rstg import passes_of_diagonal
from rstg_pyg.nn.time_stage import State, TimeStage
from rstg_pyg.nn.volume_rstg import VolumeRSTG

GATES = {"LSTM": ("input", "forget", "output"), "GRU": ("reset", "update"), "RNN_TANH": ()}
ARGUMENTS = ("x", "edge_index", "pos_map", "edge_weight", "group", "state", "lengths")


def in_backward() -> bool:
    """Whether gradients are being computed, for which gradient checkpointing runs modules, and their hooks, again."""
    return torch._C._current_graph_task_id() != -1


class Recorder:
    """Reads one call of an :class:`rstg_pyg.RSTG` after the other; :func:`~rstg_pyg.viz.record` keeps what it reads.

    Args:
        model: The model around the graph.
        rstg: The graph.
        class_names: Names of the classes; None takes the model's own, or numbers.
    """

    def __init__(self, model: nn.Module, rstg: RSTG, class_names: Sequence[str] | None) -> None:
        self.rstg = rstg
        self.class_names = class_names
        volumes = (module for module in model.modules() if isinstance(module, VolumeRSTG))
        self.pyramid = next((volume.pyramid for volume in volumes if volume.rstg is rstg), None)
        self.running = False

    def attach(self) -> list[RemovableHandle]:
        """Register the hooks."""
        rstg = self.rstg
        handles = [
            rstg.register_forward_pre_hook(self._begin, with_kwargs=True),
            rstg.input_norm.register_forward_hook(self._read_input),
            rstg.register_forward_hook(self._end, always_call=True),
        ]
        for cell in (rstg.time, rstg.last_time):
            if cell is not None:
                handles.append(cell.register_forward_hook(self._read_time))
        if rstg.space is not None:
            handles.append(rstg.space.register_message_forward_hook(self._read_messages))
            handles.append(rstg.space.register_forward_hook(self._read_space))
        return handles

    def _begin(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if in_backward():
            return
        given = dict(zip(ARGUMENTS, args, strict=False)) | kwargs
        x, edge_index, lengths = given["x"], given["edge_index"], given.get("lengths")
        if is_sparse(edge_index):
            (destination, source), _ = to_edge_index(edge_index)
            edge_index = torch.stack([source, destination])
        self.running = True
        self.edge_index = edge_index.as_subclass(Tensor)
        self.goes_on = given.get("state") is not None
        self.num_frames, self.num_nodes = x.shape[1:3]
        self.lengths = lengths
        self.valid = None if lengths is None else torch.arange(x.size(1), device=x.device) < lengths[:, None]
        self.order: list[str] = []
        self.time_states: list[Tensor] = []
        self.space_states: list[Tensor] = []
        self.gates: list[Tensor] = []
        self.attention: list[Tensor] = []
        self.message_norm: list[Tensor] = []

    def _end(self, *_: Any) -> None:
        self.running = False

    def _read_input(self, _: nn.Module, args: tuple[Any, ...], nodes: Tensor) -> None:
        if self.running:  # a batch norm has the nodes of all frames on one axis
            frames = nodes.detach().reshape(-1, self.num_nodes, nodes.size(-1))
            self.input = self._all_frames(frames.unflatten(0, (self.num_frames, -1)) if self.valid is None else frames)

    def _read_messages(self, _: nn.Module, args: tuple[Any, ...], messages: Tensor) -> None:
        if self.running:  # a layer may serve elsewhere too
            self.message_norm.append(messages.detach().norm(dim=-1))

    def _read_space(self, _: nn.Module, args: tuple[Any, ...], output: tuple[Tensor, tuple[Any, Tensor]]) -> None:
        if not self.running:
            return
        nodes, (_, alpha) = output
        self.order.append("space")
        self.space_states.append(nodes.detach())
        self.attention.append(alpha.detach())

    def _read_time(self, cell: nn.Module, args: tuple[Any, ...], output: tuple[Tensor, State]) -> None:
        if not self.running:
            return
        assert isinstance(cell, TimeStage)
        (x, before, _), nodes = args, output[0].detach()
        gates = _mean_gates(cell, x.detach(), nodes, before)
        if self.valid is not None:
            gates = gates.masked_fill(~self.valid[:, :, None, None], 0.0)
        self.order.append("time")
        self.time_states.append(nodes)
        self.gates.append(gates)

    def content(self) -> dict[str, Any]:
        """The fields of a :class:`~rstg_pyg.viz.Record` that the last call of the graph fills."""
        x, num_edges = self.input, self.edge_index.size(1)
        order = self.order[: self.rstg.num_space_stages] if self.rstg.schedule == "homogeneous" else self.order
        space, time = iter(self._stages(self.space_states)), iter(self.time_states)
        states = [x, *(next(space if kind == "space" else time) for kind in order)]
        names = [f"{kind} {order[:stage].count(kind)}" for stage, kind in enumerate(order)]
        cell = self.rstg.last_time
        no_edges, no_gates = x.new_zeros(*x.shape[:2], 0, num_edges), x.new_zeros(*x.shape[:2], 0, x.size(2), 0)

        # The pasts of a homogeneous graph are senders beyond the edges given.
        attention, message_norm = (
            torch.stack([edges[..., :num_edges] for edges in self._stages(recorded)], dim=2) if recorded else no_edges
            for recorded in (self.attention, self.message_norm)
        )
        return {
            "edge_index": self.edge_index.cpu(),
            "attention": attention.cpu(),
            "message_norm": message_norm.cpu(),
            "states": torch.stack(states, dim=2).cpu(),
            "stages": ("input", *names),
            "gates": torch.stack(self.gates, dim=2).cpu() if self.gates else no_gates.cpu(),
            "gate_names": () if cell is None else GATES[cell.rnn.mode],
            "box": None if self.pyramid is None else self.pyramid.box.cpu(),
            "scale": None if self.pyramid is None else self.pyramid.scale.cpu(),
        }

    @torch.no_grad()
    def scores(self, classifier: VideoClassifier) -> tuple[Tensor | None, tuple[str, ...]]:
        """Logits ``[B, T, classes]`` had the clips ended with each frame, and the names of the classes.

        None in place of the logits where the nodes of a frame do not tell them.

        Raises:
            ValueError: If there is not one name for each class.
        """
        class_names = self.class_names
        if class_names is None and classifier.config is not None:
            class_names = classifier.config["class_names"]
        # A subclass may make more of the vector than the nodes tell; features may have seen frames that come later.
        frames_alone = getattr(classifier.backbone, "frames_alone", True)
        if type(classifier.graph) is not RSTGToVec or not frames_alone:
            return None, tuple(class_names or ())
        readout = classifier.graph.readout
        nodes = next(reversed(self.time_states)) if self.time_states else self._stages(self.space_states)[-1]
        with evaluation_mode(classifier.head):
            scores = torch.stack(
                [
                    classifier.head(
                        readout(nodes[:, :t], lengths=None if self.lengths is None else self.lengths.clamp(max=t))
                    )
                    for t in range(1, self.num_frames + 1)
                ],
                dim=1,
            )
        names = tuple(map(str, range(scores.size(-1)))) if class_names is None else tuple(class_names)
        if len(names) != scores.size(-1):
            raise ValueError(f"Expected 'class_names' to hold {scores.size(-1)} names (got {len(names)})")
        return scores.cpu(), names

    def _stages(self, calls: list[Tensor]) -> list[Tensor]:
        """``[B, T, ...]`` of each space stage, from what its calls showed."""
        if self.rstg.schedule != "homogeneous":
            return [self._all_frames(call) for call in calls]
        passes: list[list[Tensor]] = [[] for _ in range(self.rstg.num_space_stages)]
        for diagonal, call in enumerate(calls):
            here = range(len(passes))[passes_of_diagonal(diagonal, self.num_frames, len(passes))]
            if self.valid is not None:
                call = _spread(call, self.valid[:, [diagonal - k for k in here]])
            for k, frame in zip(here, call.unbind(dim=1), strict=True):
                passes[k].append(frame)
        return [torch.stack(frames, dim=1) for frames in passes]

    def _all_frames(self, x: Tensor) -> Tensor:
        """``[B, T, ...]`` of ``[T, B, ...]``, or of the valid frames alone."""
        if self.valid is None:
            return x.transpose(0, 1)
        return _spread(x, self.valid)


def _spread(x: Tensor, valid: Tensor) -> Tensor:
    """``[B, T, ...]`` of the valid frames alone, with zeros elsewhere."""
    return x.new_zeros(*valid.shape, *x.shape[1:]).index_put((valid,), x)


def _mean_gates(cell: TimeStage, x: Tensor, out: Tensor, before: State | None) -> Tensor:
    """Gates of a recurrent cell ``[B, T, N, G]``, averaged over its units, from its input and output."""
    states = out - x if cell.residual else out
    first = torch.zeros_like(states[:, 0]) if before is None else before[0].detach()
    previous = torch.cat([first[:, None].to(states.dtype), states[:, :-1]], dim=1)
    weight_x, weight_h, bias_x, bias_h = (weight.detach() for weight in cell.rnn.all_weights[0])
    sums = F.linear(x, weight_x, bias_x) + F.linear(previous, weight_h, bias_h)
    parts = sums.sigmoid().unflatten(-1, (-1, cell.channels)).mean(dim=-1)
    gates = {"LSTM": [0, 1, 3], "GRU": [0, 1], "RNN_TANH": []}[cell.rnn.mode]  # without the candidates
    return parts[..., gates]
