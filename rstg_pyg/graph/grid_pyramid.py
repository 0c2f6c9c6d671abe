"""The nodes and edges of one frame: a pyramid of grids laid over the feature map."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rstg_pyg.autocast import autocast_dtype
from rstg_pyg.graph.position_map import POS_MAP_SIZE, smooth_coverage

Scale = int | Sequence[int]


class GridPyramid(nn.Module):
    r"""Graph of one frame: every cell of every grid in a small pyramid is a node (paper §2, "Graph Creation").

    Nodes are ordered scale by scale as given, row-major inside a scale; ``(3, 2, 1)`` numbers the 3×3 cells 0–8, the
    2×2 cells 9–12 and the whole frame 13. Two cells of one scale are joined when they share a side, two cells of
    different scales when their regions intersect with positive area. Edges go both ways and there are no self-loops.

    All overlaps are computed in integers, so pooling weights are exact for any feature-map size, not only multiples of
    the grid.

    Args:
        scales: Grids of the pyramid, each an int (square grid) or ``(rows, columns)``.

    Attributes:
        edge_index: ``[2, E]`` int64, source and destination, sorted by destination, then source.
        box: ``[N, 4]`` float, the cell's ``(y0, x0, y1, x1)`` as a share of the frame.
        pos: ``[N, 2]`` float, the cell's centre ``(y, x)`` as a share of the frame.
        scale: ``[N]`` int64, index into ``scales``.

    Raises:
        ValueError: If ``scales`` is empty or holds anything but positive integers or pairs of them.
    """

    edge_index: Tensor
    box: Tensor
    pos: Tensor
    scale: Tensor
    _cell: Tensor
    _grid: Tensor

    def __init__(self, scales: Sequence[Scale] = (3, 2, 1)) -> None:
        super().__init__()
        if not isinstance(scales, Sequence) or not scales:
            raise ValueError(f"Expected 'scales' to hold at least one grid (got {scales!r})")
        self.scales = tuple(_rows_and_columns(scale) for scale in scales)

        cells = [
            (level, row, column, rows, columns)
            for level, (rows, columns) in enumerate(self.scales)
            for row in range(rows)
            for column in range(columns)
        ]
        # On the meta device nobody knows which cells are joined.
        table = torch.tensor(cells, device="cpu" if torch.get_default_device().type == "meta" else None)
        level, cell, grid = table[:, 0], table[:, 1:3], table[:, 3:5]
        box = torch.cat([cell / grid, (cell + 1) / grid], dim=1)

        self.register_buffer("scale", level, persistent=False)
        self.register_buffer("_cell", cell, persistent=False)
        self.register_buffer("_grid", grid, persistent=False)
        self.register_buffer("box", box, persistent=False)
        self.register_buffer("pos", (box[:, :2] + box[:, 2:]) / 2, persistent=False)
        self.register_buffer("edge_index", self._build_edges(), persistent=False)

    @property
    def num_nodes(self) -> int:
        """Number of nodes N."""
        return sum(rows * columns for rows, columns in self.scales)

    @property
    def num_edges(self) -> int:
        """Number of directed edges E."""
        return self.edge_index.size(1)

    @property
    def num_scales(self) -> int:
        """Number of scales S."""
        return len(self.scales)

    def _build_edges(self) -> Tensor:
        cell, grid, level = self._cell, self._grid, self.scale
        same_scale = level[:, None] == level[None, :]
        share_side = (cell[:, None] - cell[None, :]).abs().sum(dim=-1) == 1
        # Cell i of n and cell j of m overlap on an axis where i/n < (j+1)/m and j/m < (i+1)/n.
        start_before_end = cell[:, None] * grid[None, :] < (cell[None, :] + 1) * grid[:, None]
        intersect = (start_before_end & start_before_end.transpose(0, 1)).all(dim=-1)
        adjacency = torch.where(same_scale, share_side, intersect)
        destination, source = adjacency.nonzero().unbind(dim=1)
        return torch.stack([source, destination])

    def _overlap(self, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Length shared by each cell and each pixel, per axis: ``[N, H]`` and ``[N, W]``, in pixels / grid cells."""
        lengths = []
        for axis, extent in enumerate(size):
            cell, grid = self._cell[:, axis, None], self._grid[:, axis, None]
            pixel = torch.arange(extent, device=cell.device)
            end = torch.minimum((cell + 1) * extent, (pixel + 1) * grid)
            begin = torch.maximum(cell * extent, pixel * grid)
            lengths.append((end - begin).clamp(min=0))
        return lengths[0], lengths[1]

    def _coverage(self, size: tuple[int, int], dtype: torch.dtype) -> Tensor:
        """Share of each pixel covered by each cell, ``[N, H, W]``; over a scale's cells it sums to one."""
        vertical, horizontal = self._overlap(size)
        rows = vertical.to(dtype) / self._grid[:, 0, None]
        columns = horizontal.to(dtype) / self._grid[:, 1, None]
        return rows[:, :, None] * columns[:, None, :]

    def pos_map(self, size: int = POS_MAP_SIZE, sigma: float = 1.0) -> Tensor:
        """Position map of every node (paper §2.1, "Position-aware messages").

        Args:
            size: Side of the square map, in map cells.
            sigma: Standard deviation of the 5×5 Gaussian filter, in map cells; 0 leaves the map unfiltered.

        Returns:
            ``[N, size * size]``: share of each map cell covered by the node's region, filtered with zero padding.

        Raises:
            ValueError: If ``size`` is not positive or ``sigma`` is negative.
        """
        if size < 1:
            raise ValueError(f"Expected 'size' to be positive (got {size})")
        return smooth_coverage(self._coverage((size, size), self.box.dtype), sigma)

    def pool(self, volume: Tensor) -> Tensor:
        """Average the feature map over each node's region, exactly.

        A pixel cut by a cell border counts by its overlapping area.

        Args:
            volume: ``[*, C, H, W]`` features, H and W at least as fine as the finest grid.

        Returns:
            ``[*, N, C]`` node features.

        Raises:
            ValueError: If ``volume`` has fewer than three dimensions, is not floating point, or is coarser than the
                finest grid.
        """
        _check_floating("volume", volume, min_dim=3, layout="[*, C, H, W]")
        height, width = volume.shape[-2:]
        self._check_size("volume", (height, width))
        vertical, horizontal = self._overlap((height, width))
        if (autocast_dtype(volume) or volume.dtype) == torch.float16:
            # A weight of 1 / (H·W) would be subnormal: columns first, then rows, which are summed in float32.
            columns = torch.matmul(volume, (horizontal.to(volume.dtype) / width).t())
            return (columns * (vertical / height).t()).sum(dim=-2).to(columns.dtype).transpose(-1, -2)
        weight = (vertical.to(volume.dtype) / height)[:, :, None] * (horizontal.to(volume.dtype) / width)[:, None, :]
        return torch.matmul(weight.flatten(start_dim=1), volume.flatten(start_dim=-2).transpose(-1, -2))

    def unpool(self, nodes: Tensor, size: tuple[int, int]) -> Tensor:
        """Send node features back to their regions and sum the scales (paper §2.3, "RSTG-to-map").

        Each pixel of a scale takes the area-weighted mean of that scale's cells over it.

        Args:
            nodes: ``[*, N, C]`` node features.
            size: ``(H, W)`` of the map, in pixels, at least as fine as the finest grid.

        Returns:
            ``[*, C, H, W]`` features; ``unpool(pool(c))`` of a constant c is S·c for S scales.

        Raises:
            ValueError: If ``nodes`` does not hold N nodes of floating point, or ``size`` is coarser than the finest
                grid.
        """
        _check_floating("nodes", nodes, min_dim=2, layout="[*, N, C]")
        if nodes.size(-2) != self.num_nodes:
            raise ValueError(f"Expected 'nodes' to hold {self.num_nodes} nodes (got {nodes.size(-2)})")
        height, width = size
        self._check_size("size", (height, width))
        weight = self._coverage((height, width), nodes.dtype).flatten(start_dim=1)
        return torch.matmul(nodes.transpose(-1, -2), weight).unflatten(-1, (height, width))

    def _check_size(self, name: str, size: tuple[int, int]) -> None:
        rows = max(rows for rows, _ in self.scales)
        columns = max(columns for _, columns in self.scales)
        if size[0] < rows or size[1] < columns:
            raise ValueError(
                f"Expected '{name}' to have at least {rows} rows and {columns} columns, one for each cell of the "
                f"finest grid (got {size[0]}x{size[1]})"
            )

    def __repr__(self) -> str:
        grids = ", ".join(f"{rows}x{columns}" for rows, columns in self.scales)
        return f"{self.__class__.__name__}({grids}: {self.num_nodes} nodes, {self.num_edges} edges)"


def _rows_and_columns(scale: Scale) -> tuple[int, int]:
    pair = tuple(scale) if isinstance(scale, Sequence) else (scale, scale)
    if len(pair) != 2 or not all(isinstance(n, int) and n > 0 for n in pair):
        raise ValueError(f"Expected 'scales' to hold positive ints or (rows, columns) pairs (got {scale!r})")
    return pair[0], pair[1]


def _check_floating(name: str, tensor: Tensor, *, min_dim: int, layout: str) -> None:
    if tensor.dim() < min_dim:
        raise ValueError(f"Expected '{name}' to be of shape {layout} (got {list(tensor.shape)})")
    if not tensor.is_floating_point():
        raise ValueError(f"Expected '{name}' to be of floating point type (got {tensor.dtype})")
