"""Detections as PyG data: a node for every box of every frame, the same track for the same object."""

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform
from torch_geometric.utils import to_dense_batch

from rstg_pyg.graph.position_map import POS_MAP_SIZE, box_coverage, smooth_coverage
from rstg_pyg.transforms.one_clip import check_one_clip


@functional_transform("box_graph")
class BoxGraph(BaseTransform):
    """Turn the boxes of a clip into a sequence of graphs, one a frame (functional name: ``box_graph``).

    Takes data with

    - **volume:** ``[T, C, H, W]``, a backbone's features or raw frames,
    - **box:** ``[M, 4]``, the boxes (y0, x0, y1, x1) of all frames, frame by frame, as a share of the frame,
    - **frame:** ``[M]`` int64, the frame of each box, which does not decrease,
    - **track:** ``[M]`` int64, the object that each box shows: a number of any size, at most once a frame.

    M may be 0: the graph has no nodes then. The volume leaves the data, which then has besides

    - **x:** ``[M, C]`` mean of the features in each box (RoIAlign of size 1),
    - **edge_index:** ``[2, E]``, edges between boxes of one frame, both ways, sorted by destination, then source,
    - **pos:** ``[M, 2]`` centres (y, x),
    - **motion:** ``[M, 4]``, the way from the track's box before, in that box's own size: (Δy / h, Δx / w,
      log h' / h, log w' / w), as detectors encode boxes; 0 for the first box of a track,
    - **pos_map:** ``[M, pos_map_size²]`` position maps, as those of a :class:`~rstg_pyg.GridPyramid`'s cells.

    all but the edges of the volume's type. Everything else is kept, but for ``num_nodes``.
    :class:`rstg_pyg.nn.TrackRSTG` takes the result, and PyG's own loader batches it. Clips become graphs one by one,
    and are batched after that.

    Args:
        min_iou: Two boxes of a frame are joined where their intersection over union is above it; None joins none.
        max_distance: They are also joined where their centres are at most so far apart, as a share of the frame (√2
            joins all); None joins none.
        pos_map_size: Side of the square position maps.
        sigma: Standard deviation of the position maps' Gaussian filter, in map cells.

    Raises:
        ValueError: If an argument is out of range, it is given a batch, or an input is missing, has the wrong shape or
            type, or holds values that are not as described.
        ImportError: If torchvision, whose RoIAlign it uses, is not installed.
    """

    def __init__(
        self,
        min_iou: float | None = 0.0,
        max_distance: float | None = None,
        pos_map_size: int = POS_MAP_SIZE,
        sigma: float = 1.0,
    ) -> None:
        if min_iou is not None and not 0 <= min_iou < 1:
            raise ValueError(f"Expected 'min_iou' to be in [0, 1) or None (got {min_iou})")
        if max_distance is not None and not max_distance >= 0:
            raise ValueError(f"Expected 'max_distance' to be non-negative or None (got {max_distance})")
        if pos_map_size < 1:
            raise ValueError(f"Expected 'pos_map_size' to be positive (got {pos_map_size})")
        if not sigma >= 0:
            raise ValueError(f"Expected 'sigma' to be non-negative (got {sigma})")
        self.min_iou = min_iou
        self.max_distance = max_distance
        self.pos_map_size = pos_map_size
        self.sigma = sigma

    def forward(self, data: Data) -> Data:
        """Replace ``volume`` by the graphs of its frames' boxes."""
        volume, box, frame, track = _checked_boxes(data)
        data.x = _roi_align(volume, box, frame)
        data.edge_index = self._join(box, frame)
        data.pos = ((box[:, :2] + box[:, 2:]) / 2).to(volume.dtype)
        data.motion = _motion(box, track).to(volume.dtype)
        data.pos_map = smooth_coverage(box_coverage(box, self.pos_map_size), self.sigma).to(volume.dtype)
        del data.volume
        if "num_nodes" in data:
            del data.num_nodes
        return data

    def _join(self, box: Tensor, frame: Tensor) -> Tensor:
        if len(box) == 0:
            return frame.new_zeros(2, 0)
        # One row a frame that has boxes, so that the cost does not grow with the square of the clip.
        _, row = frame.unique_consecutive(return_inverse=True)
        boxes, there = to_dense_batch(box, row)  # [G, n, 4], [G, n]
        number = torch.zeros_like(there, dtype=torch.int64)
        number[there] = torch.arange(len(box), device=box.device)

        joined = boxes.new_zeros(*there.shape, there.size(1), dtype=torch.bool)
        corner, opposite = boxes[..., :2], boxes[..., 2:]
        if self.min_iou is not None:
            begin = torch.maximum(corner[:, :, None], corner[:, None])
            end = torch.minimum(opposite[:, :, None], opposite[:, None])
            both = (end - begin).clamp(min=0).prod(dim=-1)  # [G, n, n]
            area = (opposite - corner).prod(dim=-1)
            joined |= both > self.min_iou * (area[:, :, None] + area[:, None] - both)
        if self.max_distance is not None:
            centre = (corner + opposite) / 2
            joined |= (centre[:, :, None] - centre[:, None]).norm(dim=-1) <= self.max_distance
        joined &= there[:, :, None] & there[:, None]
        joined.diagonal(dim1=1, dim2=2).fill_(False)
        group, destination, source = joined.nonzero().unbind(dim=1)
        return torch.stack([number[group, source], number[group, destination]])

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}(min_iou={self.min_iou}, max_distance={self.max_distance}, "
            f"pos_map_size={self.pos_map_size}, sigma={self.sigma})"
        )


def _roi_align(volume: Tensor, box: Tensor, frame: Tensor) -> Tensor:
    try:
        from torchvision.ops import roi_align
    except ImportError as error:
        raise ImportError("BoxGraph needs torchvision, for its RoIAlign: pip install torchvision") from error

    height, width = volume.shape[-2:]
    dtype = torch.promote_types(volume.dtype, torch.float32)  # half precision has no number for many a frame
    box = box.to(dtype)
    corners = box[:, [1, 0, 3, 2]] * box.new_tensor([width, height, width, height])  # (x0, y0, x1, y1) in pixels
    rois = torch.cat([frame[:, None].to(dtype), corners], dim=1)
    return roi_align(volume.to(dtype), rois, output_size=1, aligned=True).flatten(start_dim=1).to(volume.dtype)


def _motion(box: Tensor, track: Tensor) -> Tensor:
    order = track.argsort(stable=True)  # the boxes of a track stand together, in the order of their frames
    ordered, tracks = box[order], track[order]
    corner, size = ordered[:, :2], ordered[:, 2:] - ordered[:, :2]
    centre = corner + size / 2
    moved = torch.cat([(centre[1:] - centre[:-1]) / size[:-1], (size[1:] / size[:-1]).log()], dim=1)
    motion = torch.zeros_like(box)
    motion[order[1:]] = torch.where((tracks[1:] == tracks[:-1])[:, None], moved, 0.0)
    return motion


def _checked_boxes(data: Data) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    check_one_clip(data)
    names = ("volume", "box", "frame", "track")
    if not isinstance(data, Data) or not all(isinstance(data.get(name), Tensor) for name in names):
        got = data if isinstance(data, Data) else type(data).__name__
        raise ValueError(f"Expected 'data' to be a Data with tensors 'volume', 'box', 'frame' and 'track' (got {got})")
    volume, box, frame, track = (data[name] for name in names)
    if volume.dim() != 4 or 0 in volume.shape or not volume.is_floating_point():
        raise ValueError(
            f"Expected 'volume' to be floating point of shape [T, C, H, W] without empty dimensions "
            f"(got {volume.dtype} {list(volume.shape)})"
        )
    if box.dim() != 2 or box.size(1) != 4 or not box.is_floating_point():
        raise ValueError(f"Expected 'box' to be floating point of shape [M, 4] (got {box.dtype} {list(box.shape)})")
    for name, numbers in (("frame", frame), ("track", track)):
        if list(numbers.shape) != [len(box)] or numbers.dtype != torch.int64:
            raise ValueError(
                f"Expected '{name}' to be int64 of shape [{len(box)}] (got {numbers.dtype} {list(numbers.shape)})"
            )
    if not volume.isfinite().all():
        raise ValueError(f"Expected 'volume' to be finite (got {int((~volume.isfinite()).sum())} NaN or infinite)")
    corner, opposite = box[:, :2], box[:, 2:]
    wrong = ~((corner >= 0) & (corner < opposite) & (opposite <= 1)).all(dim=1)
    if wrong.any():
        raise ValueError(
            f"Expected 'box' to hold (y0, x0, y1, x1) as a share of the frame, 0 <= y0 < y1 <= 1 and likewise for x "
            f"(got {box[wrong][0].tolist()})"
        )
    if len(box) > 0 and (frame[0] < 0 or frame[-1] >= len(volume) or (frame[1:] < frame[:-1]).any()):
        raise ValueError(f"Expected 'frame' to go from 0 to {len(volume) - 1} at most, in order (got {frame.tolist()})")
    pairs, count = torch.stack([frame, track]).unique(dim=1, return_counts=True)
    if (count > 1).any():
        twice = pairs[:, count > 1][:, 0].tolist()
        raise ValueError(f"Expected a 'track' at most once a frame (got track {twice[1]} twice in frame {twice[0]})")
    return volume, box, frame, track
