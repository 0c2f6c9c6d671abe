"""Gradient checkpointing: less memory in training, for a second forward pass of every block."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.utils.checkpoint import checkpoint


class CheckpointedSequential(nn.Sequential):
    """Modules one after the other, each of them :func:`checkpointed`; otherwise an :class:`torch.nn.Sequential`."""

    def forward(self, input: Tensor) -> Tensor:
        """Run the modules."""
        for module in self:
            input = checkpointed(module, input)
        return input


def checkpointed(module: nn.Module, input: Tensor) -> Tensor:
    """Run a module and keep its input alone for the backward pass, which runs it anew.

    The gradients are those without. What hangs on the module by forward hooks, such as inserted blocks, is run anew
    with it. Batch norms count a batch once.

    Args:
        module: The module; it must not change its input in place.
        input: What it is given.
    """
    if not torch.is_grad_enabled():
        return module(input)
    return checkpoint(module, input, use_reentrant=False, context_fn=lambda: (nullcontext(), statistics_kept()))


@contextmanager
def statistics_kept() -> Iterator[None]:
    """Batch norms that run inside normalise as ever, and leave their running statistics as they are."""
    kept: list[tuple[_BatchNorm, dict[str, Tensor]]] = []

    def use_copies(module: nn.Module, args: object) -> None:
        if isinstance(module, _BatchNorm) and module.training:
            statistics = dict(module.named_buffers(recurse=False))
            kept.append((module, statistics))
            for name, value in statistics.items():
                setattr(module, name, value.clone())

    hook = register_module_forward_pre_hook(use_copies)
    try:
        yield
    finally:
        hook.remove()
        for module, statistics in reversed(kept):
            for name, value in statistics.items():
                setattr(module, name, value)
