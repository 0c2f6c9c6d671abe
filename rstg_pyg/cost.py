"""What a model costs: parameters, messages, recurrent updates and multiply-adds of one clip (paper §2.4)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from rstg_pyg.evaluation import evaluation_mode
from rstg_pyg.graph.num_edges import num_edges
from rstg_pyg.nn.fused_gather import without_incidence
from rstg_pyg.nn.rstg import RSTG
from rstg_pyg.nn.track_rstg import TrackRSTG
from rstg_pyg.nn.volume_rstg import VolumeRSTG

Shape = Sequence[int]
NUM_MATRICES = {"LSTM": 8, "GRU": 6, "RNN_TANH": 2}


@dataclass(frozen=True)
class Summary:
    """Costs of one clip, as :func:`summary` counts them.

    What is counted leaves out the frames beyond ``lengths``; messages, updates and the formula are of all frames, with
    no state before the first.

    Attributes:
        parameters: Number of parameters of the model.
        graph_parameters: Those of its recurrent graphs.
        messages: Messages sent over edges, T·E·K.
        recurrent_updates: Updates of recurrent cells, T·N·(K+1).
        multiply_adds: Multiply-adds of the model's matrix products, convolutions, recurrent cells and non-local
            attention, as counted.
        graph_multiply_adds: Those of its recurrent graphs.
        graph_formula: Those of its recurrent graphs by :func:`count_multiply_adds`, which leaves out what does not grow
            with D²: the C → D layer before the graph, the position maps (once per clip and space stage, as they are the
            same for all frames), the projections of additive attention and the dot products of the attention. Those are
            counted as N²·D for each frame and space stage where the layer multiplies all pairs of nodes, 8·N² ≤ E·D;
            elsewhere they are E·D elementwise products, of which neither of the two figures has any.
    """

    parameters: int
    graph_parameters: int
    messages: int
    recurrent_updates: int
    multiply_adds: int
    graph_multiply_adds: int
    graph_formula: int

    def __str__(self) -> str:
        rows = [
            ("parameters", self.parameters, ""),
            ("  of the graph", self.graph_parameters, ""),
            ("messages", self.messages, "T·E·K"),
            ("recurrent updates", self.recurrent_updates, "T·N·(K+1)"),
            ("multiply-adds", self.multiply_adds, "counted, forward; training costs about three times as much"),
            ("  of the graph", self.graph_multiply_adds, "counted"),
            ("  of the graph", self.graph_formula, "formula, T·[K(7N+E) + 8(K+1)N]·D² for dot attention and an LSTM"),
        ]
        return "\n".join(["per clip", *(f"{name:<18}{value:>18,}  {note}".rstrip() for name, value, note in rows)])


def count_messages(
    model: nn.Module, num_frames: int, num_nodes: int | None = None, num_edges: int | None = None
) -> int:
    """Messages sent in one clip by all :class:`RSTG` in a model: T·E·K (paper §2.4).

    ``homogeneous`` makes K+1 passes, in which each node's past is a sender too from the second frame on.

    Args:
        model: A model that holds any number of :class:`RSTG`.
        num_frames: Number T of frames, with no state before the first.
        num_nodes: Number N of nodes of a frame; not needed over a volume, whose pyramid tells.
        num_edges: Number E of directed edges of a frame, likewise.

    Raises:
        ValueError: If an :class:`RSTG` has no pyramid and ``num_nodes`` or ``num_edges`` is None.
    """
    return sum(_messages(rstg, num_frames, nodes, edges) for rstg, nodes, edges in _graphs(model, num_nodes, num_edges))


def count_recurrent_updates(model: nn.Module, num_frames: int, num_nodes: int | None = None) -> int:
    """Updates of recurrent cells in one clip by all :class:`RSTG` in a model: T·N·(K+1) (paper §2.4).

    One memory costs one update per node and frame: K+1 of them for ``all_temp``, 1 for ``one_temp`` and ``time_only``,
    none for the schedules without recurrent cell.

    Args:
        model: See :func:`count_messages`.
        num_frames: See :func:`count_messages`.
        num_nodes: See :func:`count_messages`.

    Raises:
        ValueError: If an :class:`RSTG` has no pyramid and ``num_nodes`` is None.
    """
    return sum(_updates(rstg, num_frames, nodes) for rstg, nodes, _ in _graphs(model, num_nodes, 0))


def count_multiply_adds(
    model: nn.Module, num_frames: int, num_nodes: int | None = None, num_edges: int | None = None
) -> int:
    """Multiply-adds of one clip in all :class:`RSTG` of a model, the terms in D² (paper §2.4).

    T·[K(7N + E) + 8(K+1)N]·D² with dot attention and an LSTM: each space stage sends (the first layer of its MLP twice
    per node, the second once per edge), projects for the attention (twice per node; not for the other attentions) and
    updates (three times per node and update MLP); a recurrent cell has 8 (LSTM), 6 (GRU) or 2 (RNN) matrices D×D.

    Args:
        model: See :func:`count_messages`.
        num_frames: See :func:`count_messages`.
        num_nodes: See :func:`count_messages`.
        num_edges: See :func:`count_messages`.

    Raises:
        ValueError: If an :class:`RSTG` has no pyramid and ``num_nodes`` or ``num_edges`` is None.
    """
    return sum(
        _multiply_adds(rstg, num_frames, nodes, edges) for rstg, nodes, edges in _graphs(model, num_nodes, num_edges)
    )


def summary(model: nn.Module, *inputs: Any, **named_inputs: Any) -> Summary:
    """Run a model once and count what one clip costs; print the result to read it.

    Args:
        model: A model whose first input is ``[B, T, ...]``, such as :class:`rstg_pyg.VideoClassifier`,
            :class:`rstg_pyg.RSTGBlock` or :class:`rstg_pyg.RSTG`.
        *inputs: Its inputs. The counts are divided by B.
        **named_inputs: Its named inputs.

    Raises:
        ValueError: If the first input is not a tensor ``[B, T, ...]``, or the model has a
            :class:`rstg_pyg.nn.TrackRSTG`.
    """
    if not inputs or not isinstance(inputs[0], Tensor) or inputs[0].dim() < 2:
        got = list(inputs[0].shape) if inputs and isinstance(inputs[0], Tensor) else [type(i).__name__ for i in inputs]
        raise ValueError(f"Expected 'inputs' to start with a tensor of shape [B, T, ...] (got {got})")
    if any(isinstance(module, TrackRSTG) for module in model.modules()):
        raise ValueError(
            f"Expected 'model' to have the same nodes and edges in every frame (got a {type(model).__name__} with a "
            "TrackRSTG, whose costs depend on which tracks are there)"
        )
    # The counter's module tracker takes no inputs with gradients where gradients are off.
    inputs, named_inputs = tree_map_only(
        Tensor, lambda tensor: tensor.detach() if tensor.requires_grad else tensor, (inputs, named_inputs)
    )
    graphs = {name: module for name, module in model.named_modules() if isinstance(module, RSTG)}
    messages, updates, formula = 0, 0, 0

    def count(rstg: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        nonlocal messages, updates, formula
        assert isinstance(rstg, RSTG)
        x, edge_index = (args[i] if i < len(args) else kwargs[name] for i, name in enumerate(("x", "edge_index")))
        num_clips, num_frames, num_nodes, _ = x.shape
        edges = num_edges(edge_index)
        messages += num_clips * _messages(rstg, num_frames, num_nodes, edges)
        updates += num_clips * _updates(rstg, num_frames, num_nodes)
        formula += num_clips * _multiply_adds(rstg, num_frames, num_nodes, edges)

    handles = [rstg.register_forward_pre_hook(count, with_kwargs=True) for rstg in graphs.values()]
    counter = FlopCounterMode(display=False, custom_mapping=KERNEL_FLOPS)
    try:
        with torch.no_grad(), evaluation_mode(model), without_incidence(), counter:
            model(*inputs, **named_inputs)
    finally:
        for handle in handles:
            handle.remove()

    flops = {name: sum(counts.values()) for name, counts in counter.get_flop_counts().items()}
    root = type(model).__name__
    num_clips = inputs[0].size(0)
    return Summary(
        parameters=_num_parameters(model),
        graph_parameters=sum(_num_parameters(rstg) for rstg in graphs.values()),
        messages=messages // num_clips,
        recurrent_updates=updates // num_clips,
        multiply_adds=flops.get("Global", 0) // 2 // num_clips,
        graph_multiply_adds=sum(flops.get(f"{root}.{name}" if name else root, 0) for name in graphs) // 2 // num_clips,
        graph_formula=formula // num_clips,
    )


def _graphs(model: nn.Module, num_nodes: int | None, num_edges: int | None) -> list[tuple[RSTG, int, int]]:
    volumes = [module for module in model.modules() if isinstance(module, VolumeRSTG)]
    graphs = [(volume.rstg, volume.pyramid.num_nodes, volume.pyramid.num_edges) for volume in volumes]
    sized = {rstg for rstg, _, _ in graphs}
    for module in model.modules():
        if isinstance(module, RSTG) and module not in sized:
            if num_nodes is None or num_edges is None:
                sizes = {"num_nodes": num_nodes, "num_edges": num_edges}
                missing = " and ".join(f"'{name}'" for name, size in sizes.items() if size is None)
                raise ValueError(f"Expected {missing} to be given for an RSTG without a pyramid (got None)")
            graphs.append((module, num_nodes, num_edges))
    return graphs


def _messages(rstg: RSTG, num_frames: int, num_nodes: int, num_edges: int) -> int:
    from_past = (num_frames - 1) * num_nodes if rstg.schedule == "homogeneous" else 0
    return (num_frames * num_edges + from_past) * rstg.num_space_stages


def _updates(rstg: RSTG, num_frames: int, num_nodes: int) -> int:
    return 0 if rstg.last_time is None else num_frames * num_nodes * rstg.num_memories


def _multiply_adds(rstg: RSTG, num_frames: int, num_nodes: int, num_edges: int) -> int:
    space, time = 0, 0
    if rstg.space is not None:
        attention = 2 if rstg.space.attention == "dot" else 0
        space = (2 + attention + 3 * rstg.space.num_groups) * num_nodes + num_edges
        if rstg.schedule == "homogeneous":
            # A second sender at every node, the past, with an edge of its own.
            space += (1 + attention // 2) * num_nodes + num_nodes
    if rstg.last_time is not None:
        time = NUM_MATRICES[rstg.last_time.rnn.mode] * num_nodes
    per_frame = space * rstg.num_space_stages + time * (rstg.num_memories if rstg.last_time is not None else 0)
    return num_frames * per_frame * rstg.hidden_channels**2


def _num_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _matrix_flops(rows: Shape, weights: Sequence[Shape]) -> int:
    matrices = sum(weight[0] * weight[1] for weight in weights if len(weight) == 2)
    steps = 1
    for size in rows[:-1]:
        steps *= size
    return 2 * steps * matrices


def _mkldnn_rnn_flops(x: Shape, w_input: Shape, w_hidden: Shape, *_: Any, out_shape: Any = None, **__: Any) -> int:
    return _matrix_flops(x, [w_input, w_hidden])


def _cudnn_rnn_flops(x: Shape, weights: Sequence[Shape], *_: Any, out_shape: Any = None, **__: Any) -> int:
    return _matrix_flops(x, weights)


def _attention_flops(query: Shape, key: Shape, value: Shape, *_: Any, out_shape: Any = None, **__: Any) -> int:
    return sdpa_flop_count(query, key, value)


# Kernels that torch's counter takes for free: recurrent ones (other routes, a GRU on the CPU or packed sequences, are
# made of plain matrix products, which it counts) and the CPU's fused attention.
KERNEL_FLOPS = {
    torch.ops.aten.mkldnn_rnn_layer: _mkldnn_rnn_flops,
    torch.ops.aten._cudnn_rnn: _cudnn_rnn_flops,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops,
}
