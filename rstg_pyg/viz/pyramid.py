"""The graph of a frame: its grids over the picture, and its nodes and edges scale above scale."""

import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Affine2D
from torch import Tensor
from torch_geometric.data import Data

from rstg_pyg.graph import GridPyramid
from rstg_pyg.viz.canvas import BLANK_SIZE, SCALE_COLOURS, coverage, frames_of, regions_of, show_frame
from rstg_pyg.viz.planes import DISTANCE, X_AXIS, Y_AXIS, slanted, slanted_cells
from rstg_pyg.viz.record import Record, check_one_clip


def draw_pyramid(
    source: Record | Tensor | Data, pyramid: GridPyramid | None = None, *, frame: int = 0, clip: int = 0
) -> Figure:
    """Draw the graph of a frame.

    Left: the frame with the cells of each scale and the numbers of their nodes. Right: the frame and, above it, one
    plane a scale with what its nodes average, the edges inside the scales in their colours, those between them in grey.

    Args:
        source: A record; a clip ``[T, 1 or 3, H, W]`` in [0, 1]; or data with ``box`` and ``edge_index`` as
            :class:`rstg_pyg.transforms.SpaceTimeGraph` makes it (its frames are ``data.video``, if there).
        pyramid: The graph over a clip; None otherwise.
        frame: Number of the frame.
        clip: Number of the clip in a record.

    Raises:
        ValueError: If ``source`` is none of these or does not fit ``pyramid``.
        IndexError: If there is no such frame or clip.
    """
    video, box, scale, edge_index = _graph_of_frame(source, pyramid, clip)
    if not 0 <= frame < len(video):
        raise IndexError(f"Expected 'frame' to be in 0..{len(video) - 1} (got {frame})")
    picture, num_scales = video[frame], int(scale.max()) + 1
    figure = Figure(figsize=(8.6, 2.9 + 0.75 * num_scales), layout="constrained")
    flat, slanted = figure.subplots(1, 2, width_ratios=(1, 1.25))
    _draw_cells(flat, picture, box, scale)
    _draw_planes(slanted, picture, box, scale, edge_index)
    return figure


def _graph_of_frame(
    source: Record | Tensor | Data, pyramid: GridPyramid | None, clip: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Frames ``[T, 1 or 3, H, W]``, boxes, scales and edges."""
    if isinstance(source, Tensor):
        if pyramid is None:
            raise ValueError("Expected 'pyramid' over the clip given as 'source' (got None)")
        own = GridPyramid(pyramid.scales)
        return _frames(source), own.box, own.scale, own.edge_index
    if pyramid is not None:
        raise ValueError(f"Expected 'pyramid' to be None beside a {type(source).__name__}, which has its own")
    if isinstance(source, Record):
        return frames_of(source, clip), *regions_of(source), source.edge_index
    if not isinstance(source, Data) or "box" not in source or "edge_index" not in source:
        raise ValueError(
            f"Expected 'source' to be a Record, a clip or a Data with 'box' and 'edge_index' (got {source})"
        )
    check_one_clip(source)
    num_frames = source.x.size(1) if "x" in source and source.x.dim() == 3 else 1
    video = source.video if "video" in source else torch.ones(num_frames, 1, BLANK_SIZE, BLANK_SIZE)
    scale = source.scale if "scale" in source else torch.zeros(len(source.box), dtype=torch.int64)
    return _frames(video), source.box.float().cpu(), scale.cpu(), source.edge_index.cpu()


def _frames(video: Tensor) -> Tensor:
    if video.dim() != 4 or video.size(1) not in (1, 3):
        raise ValueError(f"Expected 'source' to be, or to hold, a clip [T, 1 or 3, H, W] (got {list(video.shape)})")
    return video.detach().float().cpu().clamp(0, 1)


def _draw_cells(axis: Axes, picture: Tensor, box: Tensor, scale: Tensor) -> None:
    show_frame(axis, picture)
    height, width = picture.shape[-2:]
    num_scales = int(scale.max()) + 1
    for node, (corners, level) in enumerate(zip(box.tolist(), scale.tolist(), strict=True)):
        y0, x0, y1, x1 = corners
        inset = 0.006 + 0.014 * level  # cells of different scales share borders: none may hide another's
        colour = SCALE_COLOURS[level % len(SCALE_COLOURS)]
        axis.add_patch(
            Rectangle(
                ((x0 + inset) * width - 0.5, (y0 + inset) * height - 0.5),
                (x1 - x0 - 2 * inset) * width,
                (y1 - y0 - 2 * inset) * height,
                fill=False,
                edgecolor=colour,
                linewidth=1.4,
            )
        )
        # Each scale writes into a corner of its own.
        right, low = level % 2 == 1, level % 4 >= 2
        axis.annotate(
            str(node),
            ((x1 if right else x0) * width - 0.5, (y1 if low else y0) * height - 0.5),
            xytext=(-13 if right else 13, 13 if low else -13),  # inside the borders of all scales
            textcoords="offset points",
            ha="right" if right else "left",
            va="bottom" if low else "top",
            color=colour,
            fontsize=7.5,
            fontweight="bold",
            path_effects=[withStroke(linewidth=2, foreground="black")],
        )
    axis.set_xlabel(f"{len(box)} nodes at {num_scales} scale{'s' if num_scales > 1 else ''}", fontsize=9)


def _draw_planes(axis: Axes, picture: Tensor, box: Tensor, scale: Tensor, edge_index: Tensor) -> None:
    slant = Affine2D.from_values(*X_AXIS, *Y_AXIS, 0, 0)
    image = picture.permute(1, 2, 0).squeeze(-1).numpy()
    axis.imshow(image, cmap="gray", vmin=0, vmax=1, extent=(0, 1, 1, 0), transform=slant + axis.transData)

    share = coverage(box, (picture.size(-2), picture.size(-1))).flatten(start_dim=1)
    means = (share / share.sum(dim=1, keepdim=True)) @ picture.flatten(start_dim=1).t()  # [N, 1 or 3]
    means = means.expand(-1, 3)
    nodes, corners = slanted_cells(box, scale + 1.0)
    source, destination = edge_index.sort(dim=0).values.unique(dim=1)  # a line for both directions
    across = scale[source] != scale[destination]
    lines = torch.stack([nodes[source], nodes[destination]], dim=1)

    axis.add_collection(LineCollection(list(lines[across].numpy()), colors="#666666", linewidths=0.5, zorder=20))
    for level in range(int(scale.max()) + 1):
        colour, here, order = SCALE_COLOURS[level % len(SCALE_COLOURS)], scale == level, 10 + 15 * level
        cells = PolyCollection(
            list(corners[here].numpy()), facecolors=means[here].numpy(), edgecolors=colour, linewidths=1, alpha=0.85
        )
        axis.add_collection(cells).set_zorder(order)
        inside = lines[~across & (scale[source] == level)]
        axis.add_collection(LineCollection(list(inside.numpy()), colors=colour, linewidths=1.4)).set_zorder(order + 12)
        axis.plot(*nodes[here].t(), "o", ms=5, mfc=colour, mec="white", mew=0.7, zorder=order + 13)
        _label_plane(axis, f"scale {level}: {int(here.sum())} node{'s' if here.sum() > 1 else ''}", level + 1)
    _label_plane(axis, "frame", 0)
    axis.set(xlim=(-0.05, 2.05), ylim=(-0.55, DISTANCE * (int(scale.max()) + 1) + 0.05), aspect="equal")
    axis.set_axis_off()


def _label_plane(axis: Axes, text: str, plane: int) -> None:
    x, y = slanted(torch.tensor(0.5), torch.tensor(1.0), torch.tensor(float(plane))).tolist()  # right side's middle
    axis.annotate(text, (x, y), xytext=(8, 0), textcoords="offset points", va="center", fontsize=8)
