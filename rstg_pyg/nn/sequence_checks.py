"""Checks of what goes along with a sequence of frames."""

import torch
from torch import Tensor


def check_lengths(lengths: Tensor | None, num_clips: int) -> None:
    """Raise a ValueError unless there is one integer a clip."""
    if lengths is not None and (list(lengths.shape) != [num_clips] or lengths.dtype != torch.int64):
        raise ValueError(
            f"Expected 'lengths' to be int64 of shape [{num_clips}] (got {lengths.dtype} {list(lengths.shape)})"
        )


def check_state(state: tuple[Tensor, ...] | None, shapes: list[list[int]]) -> None:
    """Raise a ValueError unless a state is a tensor of each of the shapes."""
    if state is not None and [list(s.shape) for s in state] != shapes:
        raise ValueError(
            f"Expected 'state' to be a tuple of tensors of shapes {shapes} (got {[list(s.shape) for s in state]})"
        )
