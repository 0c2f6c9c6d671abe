"""The attention of a clip's graph, drawn over its frames."""

from collections.abc import Sequence

import torch
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from torch import Tensor

from rstg_pyg.graph import GridPyramid

FRAME_INCHES = 1.5


def draw_attention(
    video: Tensor,
    attention: Tensor,
    pyramid: GridPyramid,
    *,
    frames: Sequence[int] | None = None,
    title: str = "",
) -> Figure:
    """Draw who listens to whom in every frame of a clip.

    Upper row: the frame with its nodes (one marker a cell, larger for coarser scales) and the attention of every edge,
    averaged over iterations; strong edges (by magnitude) are opaque and wide. Lower row: how much each region is
    listened to, the sum of attention over a node's listeners, sent back to the node's region.

    Args:
        video: ``[T, channels, H, W]`` in [0, 1], one or three channels.
        attention: ``[T, K, E]`` attention of the clip.
        pyramid: The graph of a frame.
        frames: Frames to draw; None draws all.
        title: Title of the figure.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If ``video``, ``attention`` and ``pyramid`` do not belong together.
    """
    if video.dim() != 4 or video.size(1) not in (1, 3):
        raise ValueError(f"Expected 'video' to be of shape [T, 1 or 3, H, W] (got {list(video.shape)})")
    if attention.dim() != 3 or attention.size(0) != video.size(0) or attention.size(2) != pyramid.num_edges:
        raise ValueError(
            f"Expected 'attention' to be of shape [{video.size(0)}, K, {pyramid.num_edges}] "
            f"(got {list(attention.shape)})"
        )
    if attention.size(1) == 0:
        raise ValueError("Expected 'attention' of at least one iteration (got K = 0: no messages are sent)")
    shown = list(range(video.size(0))) if frames is None else list(frames)
    height, width = video.shape[-2:]
    video, attention = video.detach().float().cpu(), attention.detach().float().cpu().mean(dim=1)
    pyramid = GridPyramid(pyramid.scales)
    source, destination = pyramid.edge_index
    centres = pyramid.pos * torch.tensor([height, width]) - 0.5
    listened = torch.zeros(len(attention), pyramid.num_nodes).index_add_(1, source, attention)
    heat = pyramid.unpool(listened[..., None], (height, width))[:, 0]
    norm = Normalize(heat.min().item(), heat.max().item())
    top = attention[shown].abs().max().clamp(min=1e-6)

    figure = Figure(figsize=(FRAME_INCHES * len(shown), 2 * FRAME_INCHES + 0.7), layout="constrained")
    axes = figure.subplots(2, len(shown), squeeze=False)
    wires = torch.stack([centres[source], centres[destination]], dim=1).flip(-1).numpy()
    for column, t in enumerate(shown):
        picture = video[t].permute(1, 2, 0).squeeze(-1).clamp(0, 1).numpy()
        strength = (attention[t].abs() / top).numpy()
        colours = colormaps["cividis"](strength)
        colours[:, 3] = strength
        for axis in axes[:, column]:
            axis.imshow(picture, cmap="gray", vmin=0, vmax=1)
            axis.set_xticks([])
            axis.set_yticks([])
        axes[0, column].add_collection(LineCollection(list(wires), colors=colours, linewidths=0.3 + 2.2 * strength))
        for level in range(pyramid.num_scales):
            y, x = centres[pyramid.scale == level].unbind(dim=1)
            axes[0, column].plot(x, y, "s", ms=3 + 3 * level, mfc="none", mec="#56B4E9", mew=0.8)
        axes[1, column].imshow(heat[t].numpy(), cmap="cividis", alpha=0.6, norm=norm)
        axes[0, column].set_title(f"t = {t}", fontsize=8)
    axes[0, 0].set_ylabel("attention", fontsize=8)
    axes[1, 0].set_ylabel("listened to", fontsize=8)
    scale = ScalarMappable(norm, "cividis")
    figure.colorbar(scale, ax=axes[1].tolist(), fraction=0.02, pad=0.01).ax.tick_params(labelsize=6)
    figure.suptitle(title, fontsize=10)
    return figure
