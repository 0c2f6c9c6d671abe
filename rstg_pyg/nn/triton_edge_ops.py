"""What the fused space stage does along edges, as Triton kernels: :mod:`~rstg_pyg.nn.edge_ops` in one launch each.

Edges come in any order. Sums are walked edge by edge: neighbours in the list that share a node, as in a list sorted by
destination, are summed in registers, and only their total is added to memory, atomically. Indices are not checked.
"""

import warnings
from typing import Any

import torch
import triton  # type: ignore[import-untyped]
from torch import Tensor
from triton import language as tl

# Edges and channels of one program.
EDGES = 16
CHANNELS = 256


def lift(send: Tensor, receive: Tensor, source: Tensor, destination: Tensor) -> Tensor:
    """First layer on the edges: ``[G, Ns, D]``, ``[G, N, D]`` → ReLU(send_j + receive_i) ``[G, E, D]``."""
    send, receive = send.contiguous(), receive.contiguous()
    num_graphs, num_sources, channels = send.shape
    hidden = send.new_empty(num_graphs, source.numel(), channels)
    arguments = (send, receive, source.contiguous(), destination.contiguous(), hidden, num_sources, receive.size(1))
    _launch(_lift, hidden, EDGES, _channel_blocks(channels), *arguments, num_warps=4)
    return hidden


def gather(message: Tensor, alpha: Tensor, destination: Tensor, out: Tensor) -> None:
    """Add alpha · ReLU(message) of ``[G, E, D]`` and ``[G, E]`` to ``out [G, N, D]``, contiguous, float32 or double."""
    message = message.contiguous()
    arguments = (message, alpha.contiguous(), destination.contiguous(), out, out.size(1))
    _launch(_gather, message, _edges_in_order(message), _channel_blocks(message.size(2)), *arguments, num_warps=1)


def gather_backward(grad: Tensor, message: Tensor, alpha: Tensor, destination: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of :func:`gather` by message ``[G, E, D]`` and alpha ``[G, E]`` from that of its sum ``[G, N, D]``."""
    grad, message, alpha = grad.contiguous(), message.contiguous(), alpha.contiguous()
    grad_message, grad_alpha = torch.empty_like(message), torch.empty_like(alpha)
    arguments = (grad, message, alpha, destination.contiguous(), grad_message, grad_alpha, grad.size(1))
    _launch(_gather_backward, message, EDGES, 1, *arguments, num_warps=4)
    return grad_message, grad_alpha


def lift_backward(
    grad: Tensor, hidden: Tensor, source: Tensor, destination: Tensor, grad_send: Tensor, grad_receive: Tensor
) -> None:
    """Add the gradients of :func:`lift`, whose output is ``hidden``, to both ends, contiguous, float32 or double."""
    grad, hidden = grad.contiguous(), hidden.contiguous()
    ends = (source.contiguous(), destination.contiguous(), grad_send, grad_receive)
    arguments = (grad, hidden, *ends, grad_send.size(1), grad_receive.size(1))
    _launch(_lift_backward, grad, _edges_in_order(grad), _channel_blocks(grad.size(2)), *arguments, num_warps=1)


def can_run() -> bool:
    """Whether Triton knows the device, and finds the C compiler it builds its launcher with."""
    try:
        triton.runtime.driver.active.get_current_target()
    except Exception as error:  # Triton has no class of its own for what may be missing
        warnings.warn(f"Triton cannot run here, so the space stage keeps to PyTorch operations: {error}", stacklevel=2)
        return False
    return True


def _edges_in_order(rows: Tensor) -> int:
    """Edges that one program sums: all of ``rows [G, E, D]`` where the order of a sum must not depend on chance."""
    return max(rows.size(1), 1) if torch.are_deterministic_algorithms_enabled() else EDGES


def _channel_blocks(channels: int) -> int:
    return triton.cdiv(channels, CHANNELS)


def _launch(kernel: Any, rows: Tensor, edges: int, channel_blocks: int, *arguments: Any, num_warps: int) -> None:
    """Run ``kernel`` on ``rows [G, E, D]``: one program for some ``edges`` of a graph and a block of channels."""
    num_graphs, num_edges, channels = rows.shape
    block = min(triton.next_power_of_2(channels), CHANNELS)
    with torch.cuda.device_of(rows):
        kernel[num_graphs * triton.cdiv(num_edges, edges), channel_blocks](
            *arguments, num_edges, channels, edges, block, num_warps=num_warps
        )


@triton.jit
def _lift(
    send: tl.tensor,
    receive: tl.tensor,
    source: tl.tensor,
    destination: tl.tensor,
    hidden: tl.tensor,
    num_sources: int,
    num_nodes: int,
    num_edges: int,
    channels: int,
    edges: tl.constexpr,
    block: tl.constexpr,
) -> None:
    graph, first = _graph_and_edge(num_edges, edges)
    edge = first + tl.arange(0, edges)
    column = tl.program_id(1) * block + tl.arange(0, block)
    is_edge = edge < num_edges
    mask = is_edge[:, None] & (column < channels)[None, :]
    sender = graph * num_sources + tl.load(source + edge, is_edge, 0)
    receiver = graph * num_nodes + tl.load(destination + edge, is_edge, 0)
    sent = _load(_cells(send, sender, column, channels), mask)
    received = _load(_cells(receive, receiver, column, channels), mask)
    tl.store(_cells(hidden, graph * num_edges + edge, column, channels), _relu(sent + received), mask)


@triton.jit
def _gather(
    message: tl.tensor,
    alpha: tl.tensor,
    destination: tl.tensor,
    out: tl.tensor,
    num_nodes: int,
    num_edges: int,
    channels: int,
    edges: int,
    block: tl.constexpr,
) -> None:
    graph, first = _graph_and_edge(num_edges, edges)
    column = tl.program_id(1) * block + tl.arange(0, block)
    mask = column < channels
    out += graph * num_nodes * channels + column
    node = tl.load(destination + first).to(tl.int64)
    total = tl.zeros([block], out.dtype.element_ty)
    for edge in range(first, min(first + edges, num_edges)):
        row = graph * num_edges + edge
        value = _load(alpha + row, True) * _relu(_load(message + row * channels + column, mask))
        next_node = tl.load(destination + edge).to(tl.int64)
        total = _flush(out, node, next_node, total, channels, mask) + value
        node = next_node
    tl.atomic_add(out + node * channels, total, mask, sem="relaxed")


@triton.jit
def _gather_backward(
    grad: tl.tensor,
    message: tl.tensor,
    alpha: tl.tensor,
    destination: tl.tensor,
    grad_message: tl.tensor,
    grad_alpha: tl.tensor,
    num_nodes: int,
    num_edges: int,
    channels: int,
    edges: tl.constexpr,
    block: tl.constexpr,
) -> None:
    graph, first = _graph_and_edge(num_edges, edges)
    edge = first + tl.arange(0, edges)
    is_edge = edge < num_edges
    row = graph * num_edges + edge
    receiver = graph * num_nodes + tl.load(destination + edge, is_edge, 0)
    weight = _load(alpha + row, is_edge)
    product = tl.zeros([edges, block], weight.dtype)
    for start in range(0, channels, block):
        column = start + tl.arange(0, block)
        mask = is_edge[:, None] & (column < channels)[None, :]
        activation = _relu(_load(_cells(message, row, column, channels), mask))
        gradient = _load(_cells(grad, receiver, column, channels), mask)
        product += gradient * activation
        through = _through_relu(weight[:, None] * gradient, activation)
        tl.store(_cells(grad_message, row, column, channels), through, mask)
    tl.store(grad_alpha + row, tl.sum(product, axis=1), is_edge)


@triton.jit
def _lift_backward(
    grad: tl.tensor,
    hidden: tl.tensor,
    source: tl.tensor,
    destination: tl.tensor,
    grad_send: tl.tensor,
    grad_receive: tl.tensor,
    num_sources: int,
    num_nodes: int,
    num_edges: int,
    channels: int,
    edges: int,
    block: tl.constexpr,
) -> None:
    graph, first = _graph_and_edge(num_edges, edges)
    column = tl.program_id(1) * block + tl.arange(0, block)
    mask = column < channels
    grad_send += graph * num_sources * channels + column
    grad_receive += graph * num_nodes * channels + column
    sender, receiver = tl.load(source + first).to(tl.int64), tl.load(destination + first).to(tl.int64)
    sent = tl.zeros([block], grad_send.dtype.element_ty)
    received = tl.zeros([block], grad_receive.dtype.element_ty)
    for edge in range(first, min(first + edges, num_edges)):
        cells = (graph * num_edges + edge) * channels + column
        value = _through_relu(_load(grad + cells, mask), _load(hidden + cells, mask))
        next_sender, next_receiver = tl.load(source + edge).to(tl.int64), tl.load(destination + edge).to(tl.int64)
        sent = _flush(grad_send, sender, next_sender, sent, channels, mask) + value
        received = _flush(grad_receive, receiver, next_receiver, received, channels, mask) + value
        sender, receiver = next_sender, next_receiver
    tl.atomic_add(grad_send + sender * channels, sent, mask, sem="relaxed")
    tl.atomic_add(grad_receive + receiver * channels, received, mask, sem="relaxed")


@triton.jit
def _flush(
    sums: tl.tensor, node: tl.tensor, next_node: tl.tensor, total: tl.tensor, channels: tl.tensor, mask: tl.tensor
) -> tl.tensor:
    """Where a run of edges of one node ends, add its total to the sums and begin anew."""
    if next_node != node:
        tl.atomic_add(sums + node * channels, total, mask, sem="relaxed")
        total = tl.zeros_like(total)
    return total


@triton.jit
def _graph_and_edge(num_edges: tl.tensor, edges: tl.tensor) -> tuple[tl.tensor, tl.tensor]:
    """Graph of this program, int64 for all that is derived from it, and the first of its edges."""
    blocks = tl.cdiv(num_edges, edges)
    program = tl.program_id(0)
    return (program // blocks).to(tl.int64), program % blocks * edges


@triton.jit
def _cells(base: tl.tensor, row: tl.tensor, column: tl.tensor, channels: tl.tensor) -> tl.tensor:
    return base + row[:, None] * channels + column[None, :]


@triton.jit
def _load(cells: tl.tensor, mask: tl.tensor) -> tl.tensor:
    """Values in float32, or double as they are."""
    value = tl.load(cells, mask, 0)
    return value if value.dtype == tl.float64 else value.to(tl.float32)


@triton.jit
def _relu(x: tl.tensor) -> tl.tensor:
    return tl.where(x < 0, 0, x)  # unlike a maximum, keeps NaN


@triton.jit
def _through_relu(grad: tl.tensor, activation: tl.tensor) -> tl.tensor:
    return tl.where(activation <= 0, 0, grad)
