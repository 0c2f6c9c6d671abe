"""A clip as PyG data: the same small graph for every frame, features over time on its nodes."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from rstg_pyg.graph import GridPyramid
from rstg_pyg.graph.grid_pyramid import Scale
from rstg_pyg.transforms.one_clip import check_one_clip


@functional_transform("space_time_graph")
class SpaceTimeGraph(BaseTransform):
    """Turn the volume of a clip into the graph of its frames (functional name: ``space_time_graph``).

    The volume, ``data.volume [T, C, H, W]``, holds a backbone's features or raw frames; it is averaged over the cells
    of a :class:`GridPyramid` and leaves the data, which then has

    - **x:** ``[N, T, C]`` node features over time,
    - **edge_index:** ``[2, E]``, the edges of every frame,
    - **pos:** ``[N, 2]`` cell centres (y, x) and **box:** ``[N, 4]`` cells (y0, x0, y1, x1), as a share of the frame,
    - **scale:** ``[N]``, the scale of each node (a ``group`` of :class:`rstg_pyg.RSTG`),
    - **pos_map:** ``[N, pos_map_size²]`` position maps,

    all but edges and scales of the volume's type. Everything else, such as the label ``y``, is kept, but for
    ``num_nodes``. PyG's own loader batches such data to ``x [ΣN, T, C]``; :class:`rstg_pyg.RSTG` takes its
    ``x.transpose(0, 1)[None]``, and the read-out its ``batch``. Clips become graphs one by one, and are batched after
    that.

    Args:
        pyramid: The graph of a frame, or its scales.
        pos_map_size: Side of the square position maps.
        sigma: Standard deviation of the position maps' Gaussian filter, in map cells.
        num_classes: If given, ``y`` must be a class in ``[0, num_classes)``.

    Raises:
        ValueError: If it is given a batch, the volume is missing, has the wrong rank, type or size, or holds NaN or
            infinity, or if the label is out of range.
    """

    def __init__(
        self,
        pyramid: GridPyramid | Sequence[Scale] = (3, 2, 1),
        pos_map_size: int = 6,
        sigma: float = 1.0,
        num_classes: int | None = None,
    ) -> None:
        # Its own: it follows the volumes from device to device, which a model's must not.
        self.pyramid = GridPyramid(pyramid.scales if isinstance(pyramid, GridPyramid) else pyramid)
        self.pos_map_size = pos_map_size
        self.sigma = sigma
        self.num_classes = num_classes
        self.pos_map = self.pyramid.pos_map(pos_map_size, sigma)

    def forward(self, data: Data) -> Data:
        """Replace ``volume`` by the graph of its frames, on the volume's device."""
        volume = self._checked_volume(data)
        if self.num_classes is not None:
            _check_label(data.get("y"), self.num_classes)

        device = volume.device
        data.x = self.pyramid.to(device).pool(volume).transpose(0, 1).contiguous()  # [N, T, C]
        # Copies, so that editing one clip's graph in place leaves the others alone.
        data.edge_index = self.pyramid.edge_index.clone()
        data.pos = self.pyramid.pos.to(volume.dtype, copy=True)
        data.box = self.pyramid.box.to(volume.dtype, copy=True)
        data.scale = self.pyramid.scale.clone()
        data.pos_map = self.pos_map.to(device, volume.dtype, copy=True)
        del data.volume
        if "num_nodes" in data:
            del data.num_nodes
        return data

    @staticmethod
    def _checked_volume(data: Data) -> Tensor:
        check_one_clip(data)
        volume = data.get("volume") if isinstance(data, Data) else None
        if not isinstance(volume, Tensor):
            got = data if isinstance(data, Data) else type(data).__name__
            raise ValueError(f"Expected 'data' to be a Data with a tensor 'volume' [T, C, H, W] (got {got})")
        if volume.dim() != 4 or 0 in volume.shape:
            raise ValueError(
                f"Expected 'volume' to be of shape [T, C, H, W] without empty dimensions (got {list(volume.shape)})"
            )
        if not volume.is_floating_point():
            raise ValueError(f"Expected 'volume' to be of floating point type (got {volume.dtype})")
        if not volume.isfinite().all():
            raise ValueError(f"Expected 'volume' to be finite (got {int((~volume.isfinite()).sum())} NaN or infinite)")
        return volume

    def __repr__(self) -> str:
        classes = "" if self.num_classes is None else f", num_classes={self.num_classes}"
        scales = [rows if rows == columns else (rows, columns) for rows, columns in self.pyramid.scales]
        return (
            f"{self.__class__.__name__}({tuple(scales)}, pos_map_size={self.pos_map_size}, sigma={self.sigma}{classes})"
        )


def _check_label(label: object, num_classes: int) -> None:
    value = torch.as_tensor(label) if isinstance(label, int | Tensor) else None
    if value is None or value.numel() != 1 or value.is_floating_point():
        raise ValueError(f"Expected 'y' to be one integer in [0, {num_classes}) (got {label!r})")
    if not 0 <= int(value) < num_classes:
        raise ValueError(f"Expected 'y' to be in [0, {num_classes}) (got {int(value)})")
