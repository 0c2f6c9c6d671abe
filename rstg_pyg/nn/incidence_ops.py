"""What the fused space stage does along edges, as products with the incidence matrices of a small graph.

The same functions as in :mod:`~rstg_pyg.nn.edge_ops`. Reading a node per edge and adding an edge to its node wait for
memory; a product with a matrix of zeros and ones reads, weighs and sums at once, at the rate of matrix products. As
zero times NaN is NaN, what is not finite reaches all nodes of its graph.
"""

import torch
from torch import Tensor

from rstg_pyg.nn.edge_ops import through_relu


def lift(send: Tensor, receive: Tensor, source: Tensor, destination: Tensor) -> Tensor:
    """First layer on the edges: ``[G, Ns, D]``, ``[G, N, D]`` → ReLU(send_j + receive_i) ``[G, E, D]``."""
    ends = torch.cat([_incidence(source, send, send.dtype), _incidence(destination, receive, send.dtype)])
    per_edge = ends.t().contiguous().expand(send.size(0), -1, -1)
    return torch.bmm(per_edge, torch.cat([send, receive], dim=1)).relu_()


def gather(message: Tensor, alpha: Tensor, destination: Tensor, out: Tensor) -> None:
    """Add alpha · ReLU(message) of ``[G, E, D]`` and ``[G, E]`` to ``out [G, N, D]``; ``message`` is overwritten."""
    out += torch.bmm(alpha[:, None, :] * _incidence(destination, out, alpha.dtype), message.relu_())


def gather_backward(grad: Tensor, message: Tensor, alpha: Tensor, destination: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of :func:`gather` by message ``[G, E, D]`` and alpha ``[G, E]`` from that of its sum ``[G, N, D]``.

    ``message`` is overwritten.
    """
    message.relu_()
    # Picked, not multiplied by zero: products of a node and an edge of another may be beyond half precision.
    own = destination.long()[:, None].expand(message.size(0), -1, 1)
    grad_alpha = torch.bmm(message, grad.mT).gather(2, own).squeeze(2)
    weights = alpha[:, None, :] * _incidence(destination, grad, alpha.dtype)
    return through_relu(torch.bmm(weights.mT, grad), message), grad_alpha


def lift_backward(
    grad: Tensor, hidden: Tensor, source: Tensor, destination: Tensor, grad_send: Tensor, grad_receive: Tensor
) -> None:
    """Add the gradients of :func:`lift`, from that of its output ``hidden [G, E, D]``, to both ends.

    ``grad`` may be overwritten.
    """
    ends = torch.cat([_incidence(source, grad_send, grad.dtype), _incidence(destination, grad_receive, grad.dtype)])
    nodes = torch.bmm(ends.expand(grad.size(0), -1, -1), through_relu(grad, hidden))
    grad_send += nodes[:, : grad_send.size(1)]
    grad_receive += nodes[:, grad_send.size(1) :]


def _incidence(end: Tensor, nodes: Tensor, dtype: torch.dtype) -> Tensor:
    """``[N, E]`` for ``nodes [G, N, D]``: one where the edge ends at the node, zero elsewhere."""
    return nodes.new_zeros(nodes.size(1), end.numel(), dtype=dtype).scatter_(0, end.long()[None], 1)
