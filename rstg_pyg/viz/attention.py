"""The attention of a clip's graph, drawn over its frames."""

from collections.abc import Sequence

import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor, nn
from torch_geometric.data import Data

from rstg_pyg.viz.canvas import (
    NODE_COLOUR,
    centres,
    check_node,
    chosen_frames,
    coverage,
    frames_of,
    regions_of,
    show_edges,
    show_frame,
    show_nodes,
    some_iterations,
)
from rstg_pyg.viz.record import Record, as_record

FRAME_INCHES = 1.5


def draw_attention(
    source: Record | Tensor | Data,
    model: nn.Module | None = None,
    *,
    clip: int = 0,
    node: int | None = None,
    iteration: int | None = None,
    frames: Sequence[int] | None = None,
    title: str = "",
) -> Figure:
    """Draw who listens to whom in every frame of a clip.

    Upper row: the frame with its nodes (one marker a cell, larger for coarser scales) and the attention of every edge;
    strong edges (by magnitude) are opaque and wide. Lower row: how much each region is listened to, the sum of
    attention over a node's listeners, sent back to the node's region. With ``node``, of the edges to that node alone:
    whom it listens to.

    Args:
        source: A record, or the clip or data that ``model`` runs; see :func:`~rstg_pyg.viz.record.as_record`.
        model: The model; None beside a record.
        clip: Number of the clip.
        node: The one listener to draw; None draws all.
        iteration: The space stage to draw; None averages over all.
        frames: Frames to draw; None draws all.
        title: Title of the figure.

    Raises:
        ValueError: If the record has no regions or no messages, or there is no such node, iteration or frame.
        IndexError: If there is no such clip.
    """
    rec = as_record(source, model)
    video, (box, scale) = frames_of(rec, clip), regions_of(rec)
    attention = attention_of(rec, clip, node, iteration)
    shown = chosen_frames(frames, len(video))
    size = (video.size(-2), video.size(-1))
    heat = torch.einsum("tn,nhw->thw", listened_to(attention, rec.edge_index, len(box)), coverage(box, size))
    norm = Normalize(heat[shown].min().item(), heat[shown].max().item())
    top = attention[shown].abs().max().clamp(min=1e-6)

    figure = Figure(figsize=(FRAME_INCHES * len(shown) + 0.6, 2 * FRAME_INCHES + 0.5), layout="constrained")
    axes = figure.subplots(2, len(shown), squeeze=False)
    for column, t in enumerate(shown):
        show_attention(axes[0, column], video[t], attention[t] / top, rec.edge_index, box, scale, node)
        show_frame(axes[1, column], video[t])
        axes[1, column].imshow(heat[t].numpy(), cmap="cividis", alpha=0.65, norm=norm)
        axes[0, column].set_title(f"t = {t}", fontsize=8)
    axes[0, 0].set_ylabel("attention", fontsize=8)
    axes[1, 0].set_ylabel("listened to" if node is None else f"node {node} listens to", fontsize=8)
    figure.colorbar(ScalarMappable(norm, "cividis"), ax=axes[1].tolist(), aspect=12, pad=0.01).ax.tick_params(
        labelsize=6
    )
    figure.suptitle(title, fontsize=10)
    return figure


def attention_of(rec: Record, clip: int, node: int | None, iteration: int | None) -> Tensor:
    """Attention ``[T, E]`` to draw: of one listener (zero for the others) or all, of one iteration or their mean."""
    check_node(node, rec.states.size(3))
    attention = some_iterations(rec.attention[clip].float(), iteration)
    return attention if node is None else attention * (rec.edge_index[1] == node)


def listened_to(attention: Tensor, edge_index: Tensor, num_nodes: int) -> Tensor:
    """Sum of attention ``[T, E]`` over the listeners of each node, ``[T, N]``."""
    return attention.new_zeros(len(attention), num_nodes).index_add_(1, edge_index[0], attention)


def show_attention(
    axis: Axes,
    frame: Tensor,
    strength: Tensor,
    edge_index: Tensor,
    box: Tensor,
    scale: Tensor,
    node: int | None,
    marker: float = 3,
) -> None:
    """Show a frame with its nodes and its edges, ``strength [E]`` in [-1, 1]."""
    show_frame(axis, frame)
    height, width = frame.shape[-2:]
    ends = centres(box, (height, width))[edge_index.t()]
    show_edges(axis, ends, strength.abs(), colormaps["cividis"], width=0.75 * marker)
    show_nodes(axis, box, scale, (height, width), marker)
    if node is not None:
        y0, x0, y1, x1 = box[node].tolist()
        corner = (x0 * width - 0.5, y0 * height - 0.5)
        size = ((x1 - x0) * width, (y1 - y0) * height)
        axis.add_patch(Rectangle(corner, *size, fill=False, edgecolor=NODE_COLOUR, linewidth=1.5))
