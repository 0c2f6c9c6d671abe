"""The fast route of the space stage: send and gather without keeping a message in memory."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from functools import cache
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch_geometric import EdgeIndex

from rstg_pyg.autocast import autocast_dtype
from rstg_pyg.nn import edge_ops, incidence_ops

# Bytes of the messages [edges, D] worked on at a time: on a CPU, what its caches hold.
CPU_TILE = 3 * 2**19
CUDA_TILE = 2**28
# Sources and destinations together, up to which a CPU multiplies faster by incidence matrices than it reads and adds.
MAX_INCIDENCE_NODES = 64

_incidence_is_allowed = ContextVar("incidence_is_allowed", default=True)


@contextmanager
def without_incidence() -> Iterator[None]:
    """Keep the products with incidence matrices away, so that all matrix products are those of the model."""
    token = _incidence_is_allowed.set(False)
    try:
        yield
    finally:
        _incidence_is_allowed.reset(token)


def gather_messages(
    send: Tensor, receive: Tensor, alpha: Tensor, weight: Tensor, bias: Tensor, edge_index: Tensor
) -> Tensor:
    r"""Weighted sum of the messages that arrive at each node (paper eq. 1–3).

    .. math::
        \mathbf{g}_i = \sum_{j \in \mathcal{N}(i)}
            \alpha_{ji} \, \sigma(W \sigma(\mathbf{s}_j + \mathbf{r}_i) + \mathbf{b})

    The same function as :meth:`RSTGConv.message` and its aggregation. Edges are worked through in tiles that fit the
    cache, and the backward pass computes every tile anew: memory grows with the nodes, not with the edges. Where a CPU
    has many graphs of few nodes, products with their incidence matrices read and sum the edges: there, what is not
    finite reaches all nodes of its graph.

    Args:
        send: ``[*, Ns, D]`` what the sources bring to the first layer, their position included.
        receive: ``[*, N, D]`` what the destinations bring to it, its bias included.
        alpha: ``[*, E]`` attention.
        weight: ``[D, D]`` of the second layer.
        bias: ``[D]`` of the second layer.
        edge_index: ``[2, E]`` int64 or int32, sources and destinations.

    Returns:
        ``[*, N, D]``, of autocast's type where that is on.
    """
    if isinstance(edge_index, EdgeIndex):
        edge_index = edge_index.as_tensor()  # a wrapper has no memory of its own that a kernel could read
    if (dtype := autocast_dtype(send)) is not None:
        send, receive, weight, bias = (tensor.to(dtype) for tensor in (send, receive, weight, bias))
    batch = send.shape[:-2]
    if not batch == receive.shape[:-2] == alpha.shape[:-1]:
        batch = torch.broadcast_shapes(batch, receive.shape[:-2], alpha.shape[:-1])
    graphs = batch.numel()
    out = _GatherMessages.apply(
        send.expand(*batch, -1, -1).reshape(graphs, *send.shape[-2:]),
        receive.expand(*batch, -1, -1).reshape(graphs, *receive.shape[-2:]),
        alpha.to(send.dtype).expand(*batch, -1).reshape(graphs, alpha.size(-1)),
        weight,
        bias,
        edge_index,
    )
    return out.view(*batch, *receive.shape[-2:])


class _GatherMessages(torch.autograd.Function):
    """:func:`gather_messages` of ``[G, Ns, D]``, ``[G, N, D]`` and ``[G, E]``."""

    @staticmethod
    def forward(
        ctx: Any, send: Tensor, receive: Tensor, alpha: Tensor, weight: Tensor, bias: Tensor, edge_index: Tensor
    ) -> Tensor:
        ctx.save_for_backward(send, receive, alpha, weight, bias, edge_index)
        ops, out = _edge_ops(send, receive), _zero_sum(receive)
        for graphs, edges in _tiles(send, edge_index):
            source, destination = edge_index[:, edges]
            hidden = ops.lift(send[graphs], receive[graphs], source, destination)
            message = _second_layer(hidden, weight, bias)
            ops.gather(message, alpha[graphs, edges], destination, out[graphs])
        return out.to(receive.dtype)

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        device = grad_out.device.type
        has_autocast = torch.amp.is_autocast_available(device)
        with torch.autocast(device, enabled=False) if has_autocast else nullcontext():  # types are the forward pass's
            if torch.is_grad_enabled() or _is_batched(grad_out):
                return _differentiable_backward(ctx, grad_out)
            return *_backward(grad_out, *ctx.saved_tensors), None


def _backward(
    grad_out: Tensor,
    send: Tensor,
    receive: Tensor,
    alpha: Tensor,
    weight: Tensor,
    bias: Tensor,
    edge_index: Tensor,
) -> tuple[Tensor, ...]:
    inputs = (send, receive, alpha, weight, bias)
    grads = tuple(map(_zero_sum, inputs))
    grad_send, grad_receive, grad_alpha, grad_weight, grad_bias = grads
    ops = _edge_ops(send, receive)
    for graphs, edges in _tiles(send, edge_index):
        source, destination = edge_index[:, edges]
        hidden = ops.lift(send[graphs], receive[graphs], source, destination)
        message = _second_layer(hidden, weight, bias)
        grad, grad_alpha[graphs, edges] = ops.gather_backward(
            grad_out[graphs], message, alpha[graphs, edges], destination
        )
        del message
        grad_weight += torch.mm(grad.flatten(end_dim=1).t(), hidden.flatten(end_dim=1))
        grad_bias += grad.sum(dim=1, dtype=grad_bias.dtype).sum(dim=0)
        grad = torch.mm(grad.flatten(end_dim=1), weight).view_as(hidden)
        ops.lift_backward(grad, hidden, source, destination, grad_send[graphs], grad_receive[graphs])
        del grad, hidden
    return tuple(grad.to(x.dtype) for grad, x in zip(grads, inputs, strict=True))


def _edge_ops(send: Tensor, receive: Tensor) -> ModuleType:
    """What computes along the edges of these nodes."""
    if send.is_cuda:
        return _cuda_edge_ops()
    return incidence_ops if _are_many_small_graphs(send, receive) else edge_ops


def _are_many_small_graphs(send: Tensor, receive: Tensor) -> bool:
    """Whether a CPU has graphs of few nodes, whose incidence matrices are smaller than the messages.

    A single one, as a disjoint batch is, reads and adds: what is not finite stays where no edge takes it.
    """
    num_graphs, num_sources, channels = send.shape
    return (
        send.device.type == "cpu"
        and _incidence_is_allowed.get()
        and num_graphs > 1
        and num_sources + receive.size(1) <= min(MAX_INCIDENCE_NODES, channels)
    )


@cache
def _cuda_edge_ops() -> ModuleType:
    """Triton kernels where Triton runs, PyTorch operations elsewhere."""
    try:
        from rstg_pyg.nn import triton_edge_ops
    except ImportError:
        return edge_ops
    return triton_edge_ops if triton_edge_ops.can_run() else edge_ops


def _zero_sum(tensor: Tensor) -> Tensor:
    """Zeros to add to, contiguous: half precision is summed in float32."""
    return tensor.new_zeros(tensor.shape, dtype=torch.promote_types(tensor.dtype, torch.float32))


def _tiles(send: Tensor, edge_index: Tensor) -> Iterator[tuple[slice, slice]]:
    """Graphs and edges of each tile: some whole graphs or, of a large graph, some edges."""
    num_graphs, _, channels = send.shape
    num_edges = edge_index.size(1)
    rows = max((CUDA_TILE if send.is_cuda else CPU_TILE) // (channels * send.element_size()), 1)
    graph_step, edge_step = max(rows // max(num_edges, 1), 1), min(rows, max(num_edges, 1))
    for graph in range(0, num_graphs, graph_step):
        for edge in range(0, num_edges, edge_step):
            yield slice(graph, graph + graph_step), slice(edge, edge + edge_step)


def _second_layer(hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.addmm(bias, hidden.flatten(end_dim=1), weight.t()).view_as(hidden)


def _is_batched(tensor: Tensor) -> bool:
    """Whether a vmap runs over the gradient, be it ``is_grads_batched``'s own kind: it cannot fill tensors in place."""
    return torch._C._functorch.is_batchedtensor(tensor) or torch._C._functorch.is_legacy_batchedtensor(tensor)


@torch.enable_grad()
def _differentiable_backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
    """The gradients as functions that have gradients themselves, by plain operations on all edges at once."""
    *inputs, (source, destination) = ctx.saved_tensors
    send, receive, alpha, weight, bias = inputs
    hidden = F.relu(send.index_select(1, source) + receive.index_select(1, destination))
    message = alpha[..., None] * F.relu(F.linear(hidden, weight, bias))
    out = torch.zeros_like(receive).index_add(1, destination, message)
    needed = ctx.needs_input_grad[:-1]
    wanted = [tensor for tensor, need in zip(inputs, needed, strict=True) if need]
    grads = iter(torch.autograd.grad(out, wanted, grad_out, create_graph=True))
    return (*(next(grads) if need else None for need in needed), None)
