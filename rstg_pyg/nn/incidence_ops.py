"""What the fused space stage does along edges, as products with the incidence matrices of a small graph.

The same functions as in :mod:`~rstg_pyg.nn.edge_ops`, but for ``source`` and ``destination``, which are ``[Ns, E]`` and
``[N, E]``: one where the edge ends at the node, zero elsewhere. Reading a node per edge and adding an edge to its node
wait for memory; a product reads, weighs and sums at once, at the rate of matrix products. As zero times NaN is NaN,
what is not finite reaches all nodes of its graph.
"""

import torch
from torch import Tensor

from rstg_pyg.nn.edge_ops import through_relu


def ends(edge_index: Tensor, send: Tensor, receive: Tensor) -> tuple[Tensor, Tensor]:
    """Incidence matrices of ``edge_index [2, E]``, of the type of ``send``."""
    source, destination = (
        (end == torch.arange(nodes.size(1), device=end.device)[:, None]).to(send.dtype)
        for end, nodes in zip(edge_index, (send, receive), strict=True)
    )
    return source, destination


def lift(send: Tensor, receive: Tensor, source: Tensor, destination: Tensor) -> Tensor:
    """First layer on the edges: ``[G, Ns, D]``, ``[G, N, D]`` → ReLU(send_j + receive_i) ``[G, E, D]``."""
    both = torch.cat([source, destination]).t().contiguous()
    return torch.bmm(both.expand(send.size(0), -1, -1), torch.cat([send, receive], dim=1)).relu_()


def gather(message: Tensor, alpha: Tensor, destination: Tensor, out: Tensor) -> None:
    """Add alpha · ReLU(message) of ``[G, E, D]`` and ``[G, E]`` to ``out [G, N, D]``; ``message`` is overwritten."""
    out += torch.bmm(alpha[:, None, :] * destination, message.relu_())


def gather_backward(grad: Tensor, message: Tensor, alpha: Tensor, destination: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of :func:`gather` by message ``[G, E, D]`` and alpha ``[G, E]`` from that of its sum ``[G, N, D]``.

    ``message`` is overwritten.
    """
    message.relu_()
    grad_alpha = (torch.bmm(grad, message.mT) * destination).sum(dim=1)
    return through_relu(torch.bmm((alpha[:, None, :] * destination).mT, grad), message), grad_alpha


def lift_backward(
    grad: Tensor, hidden: Tensor, source: Tensor, destination: Tensor, grad_send: Tensor, grad_receive: Tensor
) -> None:
    """Add the gradients of :func:`lift`, from that of its output ``hidden [G, E, D]``, to both ends."""
    both = torch.cat([source, destination]).expand(grad.size(0), -1, -1)
    nodes = torch.bmm(both, through_relu(grad, hidden))
    grad_send += nodes[:, : grad_send.size(1)]
    grad_receive += nodes[:, grad_send.size(1) :]
