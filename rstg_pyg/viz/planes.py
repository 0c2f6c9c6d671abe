"""The slanted view of a graph: one plane a scale, the coarser the higher."""

import torch
from torch import Tensor

X_AXIS, Y_AXIS = (1.0, 0.0), (0.45, -0.5)  # where x and y of a frame point in the picture
DISTANCE = 0.72  # from plane to plane, upwards


def slanted(y: Tensor, x: Tensor, plane: Tensor) -> Tensor:
    """Points of the picture ``[*, 2]`` (rightwards, upwards) of points of a frame, in shares of it, on given planes."""
    flat = x[..., None] * torch.tensor(X_AXIS) + y[..., None] * torch.tensor(Y_AXIS)
    return flat + plane[..., None] * torch.tensor((0.0, DISTANCE))


def slanted_cells(box: Tensor, plane: Tensor) -> tuple[Tensor, Tensor]:
    """Centres ``[N, 2]`` and corners ``[N, 4, 2]`` of boxes (y0, x0, y1, x1) ``[N, 4]``."""
    y0, x0, y1, x1 = box.unbind(dim=1)
    corners = torch.stack([slanted(y, x, plane) for y, x in ((y0, x0), (y0, x1), (y1, x1), (y1, x0))], dim=1)
    return slanted((y0 + y1) / 2, (x0 + x1) / 2, plane), corners
