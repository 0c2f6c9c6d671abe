"""What autocast makes of a tensor."""

import torch
from torch import Tensor


def autocast_dtype(tensor: Tensor) -> torch.dtype | None:
    """The type that autocast takes matrix products of a tensor in; None where it is off, or leaves the tensor as it is.

    It leaves float64, as in PyTorch's own operations. A device without autocast has no such state.
    """
    device = tensor.device.type
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device) and tensor.dtype != torch.float64:
        return torch.get_autocast_dtype(device)
    return None
