"""What the fused space stage does along edges, between its matrix products, in PyTorch operations.

Shapes: G graphs that share E edges, from Ns sources to N destinations; ``source`` and ``destination`` are ``[E]``.
Sums over edges (``out``, ``grad_send``, ``grad_receive``) are contiguous, and float32 where the rest is half precision.
"""

import torch
from torch import Tensor


def lift(send: Tensor, receive: Tensor, source: Tensor, destination: Tensor) -> Tensor:
    """First layer on the edges: ``[G, Ns, D]``, ``[G, N, D]`` → ReLU(send_j + receive_i) ``[G, E, D]``."""
    return send.index_select(1, source).add_(receive.index_select(1, destination)).relu_()


def gather(message: Tensor, alpha: Tensor, destination: Tensor, out: Tensor) -> None:
    """Add alpha · ReLU(message) of ``[G, E, D]`` and ``[G, E]`` to ``out [G, N, D]``; ``message`` is overwritten."""
    out.index_add_(1, destination, message.relu_().mul_(alpha[..., None]).to(out.dtype))


def gather_backward(grad: Tensor, message: Tensor, alpha: Tensor, destination: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of :func:`gather` by message ``[G, E, D]`` and alpha ``[G, E]`` from that of its sum ``[G, N, D]``.

    ``message`` is overwritten.
    """
    message.relu_()
    grad = grad.index_select(1, destination)
    grad_alpha = torch.linalg.vecdot(grad, message)
    return through_relu(grad.mul_(alpha[..., None]), message), grad_alpha


def lift_backward(
    grad: Tensor, hidden: Tensor, source: Tensor, destination: Tensor, grad_send: Tensor, grad_receive: Tensor
) -> None:
    """Add the gradients of :func:`lift`, from that of its output ``hidden [G, E, D]``, to both ends.

    ``grad`` may be overwritten.
    """
    grad = through_relu(grad, hidden).to(grad_send.dtype)
    grad_send.index_add_(1, source, grad)
    grad_receive.index_add_(1, destination, grad)


def through_relu(grad: Tensor, activation: Tensor) -> Tensor:
    """Gradient by the input of a ReLU, from its output and the gradient by that, which may be overwritten."""
    if grad.itemsize < 4:  # in place, half precision is twice as slow
        return torch.ops.aten.threshold_backward(grad, activation, 0)
    return torch.ops.aten.threshold_backward.grad_input(grad, activation, 0, grad_input=grad)
