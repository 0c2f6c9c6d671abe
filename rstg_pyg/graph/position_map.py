"""Position maps: where in the frame a node's region lies, as a small image (paper §2.1)."""

import torch
from torch import Tensor, nn

POS_MAP_SIZE = 6


def smooth_coverage(coverage: Tensor, sigma: float) -> Tensor:
    """Filter what regions cover of each map cell: 5×5 Gaussian, zero-padded, which leaves a flat position map.

    Args:
        coverage: ``[N, size, size]`` share of each map cell that lies in each region.
        sigma: Standard deviation of the filter, in map cells; 0 leaves the map unfiltered.

    Returns:
        ``[N, size * size]``.

    Raises:
        ValueError: If ``sigma`` is negative.
    """
    if sigma < 0:
        raise ValueError(f"Expected 'sigma' to be non-negative (got {sigma})")
    if sigma > 0:
        offsets = torch.arange(-2, 3, device=coverage.device, dtype=coverage.dtype)
        taps = torch.exp(-(offsets**2) / (2 * sigma**2))
        taps = taps / taps.sum()
        kernel = (taps[:, None] * taps[None, :])[None, None]
        coverage = nn.functional.conv2d(coverage[:, None], kernel, padding=2)[:, 0]
    return coverage.flatten(start_dim=1)


def box_coverage(box: Tensor, size: int) -> Tensor:
    """Share of each cell of a ``size × size`` map that each box covers.

    Args:
        box: ``[N, 4]`` (y0, x0, y1, x1) as a share of the frame.
        size: Side of the square map, in map cells.

    Returns:
        ``[N, size, size]``.

    Raises:
        ValueError: If ``size`` is not positive.
    """
    if size < 1:
        raise ValueError(f"Expected 'size' to be positive (got {size})")
    cell = torch.arange(size, device=box.device, dtype=box.dtype)
    begin, end = (box * size)[..., None].split(2, dim=1)  # [N, 2, 1] each
    rows, columns = (torch.minimum(end, cell + 1) - torch.maximum(begin, cell)).clamp(min=0).unbind(dim=1)
    return rows[:, :, None] * columns[:, None, :]
