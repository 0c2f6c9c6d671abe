"""Frames and the regions of the nodes over them: what the pictures have in common."""

from collections.abc import Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Colormap
from torch import Tensor

from rstg_pyg.viz.record import Record

SCALE_COLOURS = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#0072B2", "#D55E00")  # Okabe and Ito's, for any eye
NODE_COLOUR = "#D55E00"
BLANK_SIZE = 64


def frames_of(rec: Record, clip: int) -> Tensor:
    """Frames of a clip ``[T, 1 or 3, H, W]``; white ones where the record has none.

    Raises:
        IndexError: If there is no such clip.
        ValueError: If the frames have neither one nor three channels, or are not one for each step of the graph.
    """
    num_clips, num_frames = rec.states.shape[:2]
    if not 0 <= clip < num_clips:
        raise IndexError(f"Expected 'clip' to be in 0..{num_clips - 1} (got {clip})")
    if rec.video is None:
        return torch.ones(num_frames, 1, BLANK_SIZE, BLANK_SIZE)
    if rec.video.size(1) != num_frames:
        raise ValueError(
            f"Expected 'video' to hold {num_frames} frames, one for each step of the graph (got {rec.video.size(1)}): "
            f"set record.video to those to show"
        )
    if rec.video.size(2) not in (1, 3):
        raise ValueError(f"Expected frames of one or three channels (got {rec.video.size(2)})")
    return rec.video[clip].float().clamp(0, 1)


def regions_of(rec: Record) -> tuple[Tensor, Tensor]:
    """Boxes ``[N, 4]`` and scales ``[N]`` of the nodes.

    Raises:
        ValueError: If the record has no regions.
    """
    if rec.box is None:
        raise ValueError("Expected a record with the nodes' regions (got 'box' None): set record.box = [N, 4] shares")
    scale = torch.zeros(len(rec.box), dtype=torch.int64) if rec.scale is None else rec.scale
    return rec.box.float(), scale


def some_iterations(per_iteration: Tensor, iteration: int | None) -> Tensor:
    """``[T, E]`` of ``[T, K, E]``: one iteration, or the mean of all.

    Raises:
        ValueError: If there are none, or not that one, or no edges.
    """
    _, num_iterations, num_edges = per_iteration.shape
    if num_iterations == 0 or num_edges == 0:
        raise ValueError(
            f"Expected a graph that sends messages (got K = {num_iterations} space stages and E = {num_edges} edges)"
        )
    if iteration is None:
        return per_iteration.mean(dim=1)
    if not 0 <= iteration < num_iterations:
        raise ValueError(f"Expected 'iteration' to be in 0..{num_iterations - 1} or None (got {iteration})")
    return per_iteration[:, iteration]


def chosen_frames(frames: Sequence[int] | None, num_frames: int) -> list[int]:
    """Frames to draw, all of them for None.

    Raises:
        ValueError: If one of them is not there.
    """
    chosen = list(range(num_frames)) if frames is None else list(frames)
    if not chosen or min(chosen) < 0 or max(chosen) >= num_frames:
        raise ValueError(f"Expected 'frames' to be some of 0..{num_frames - 1} (got {chosen})")
    return chosen


def check_node(node: int | None, num_nodes: int) -> None:
    """Raise a ValueError if there is no such node."""
    if node is not None and not 0 <= node < num_nodes:
        raise ValueError(f"Expected 'node' to be in 0..{num_nodes - 1} or None (got {node})")


def centres(box: Tensor, size: tuple[int, int]) -> Tensor:
    """Centres ``[N, 2]`` (y, x) of the nodes in pixel coordinates of a frame (H, W)."""
    return (box[:, :2] + box[:, 2:]) / 2 * torch.tensor(size) - 0.5


def coverage(box: Tensor, size: tuple[int, int]) -> Tensor:
    """Share of each pixel covered by each node's region, ``[N, H, W]``."""
    rows, columns = (
        (torch.minimum(end * extent, pixel + 1) - torch.maximum(begin * extent, pixel)).clamp(min=0)
        for begin, end, extent, pixel in (
            (box[:, axis, None], box[:, axis + 2, None], size[axis], torch.arange(size[axis])) for axis in (0, 1)
        )
    )
    return rows[:, :, None] * columns[:, None, :]


def show_frame(axis: Axes, frame: Tensor) -> None:
    """Show a frame ``[1 or 3, H, W]`` without ticks."""
    axis.imshow(frame.permute(1, 2, 0).squeeze(-1).numpy(), cmap="gray", vmin=0, vmax=1)
    axis.set_xticks([])
    axis.set_yticks([])


def show_nodes(axis: Axes, box: Tensor, scale: Tensor, size: tuple[int, int], marker: float = 3) -> None:
    """Show one marker a node, larger for coarser scales, in its scale's colour."""
    for level in scale.unique().tolist():
        y, x = centres(box, size)[scale == level].unbind(dim=1)
        colour = SCALE_COLOURS[level % len(SCALE_COLOURS)]
        axis.plot(x, y, "s", ms=marker * (1 + level), mfc="none", mec=colour, mew=marker / 4)


def show_edges(axis: Axes, ends: Tensor, strength: Tensor, colormap: Colormap, width: float = 2.2) -> None:
    """Show edges, ``ends [E, 2, 2]`` (y, x): the stronger in [0, 1], the more opaque, wide and bright."""
    colours = colormap(strength.numpy())
    colours[:, 3] = strength
    weakest_first = strength.argsort()
    lines = LineCollection(
        list(ends[weakest_first].flip(-1).numpy()),
        colors=colours[weakest_first.numpy()],
        linewidths=(width * (0.15 + strength[weakest_first])).numpy(),
        capstyle="round",
    )
    axis.add_collection(lines)
