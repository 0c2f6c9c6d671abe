"""The attention of every pair of nodes over time."""

from collections.abc import Sequence

import torch
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch_geometric.data import Data

from rstg_pyg.viz.canvas import chosen_frames, frames_of, some_iterations
from rstg_pyg.viz.record import Record, as_record


def draw_attention_matrices(
    source: Record | Tensor | Data,
    model: nn.Module | None = None,
    *,
    clip: int = 0,
    frames: Sequence[int] | None = None,
    title: str = "",
) -> Figure:
    """Draw the attention of a clip as matrices: one column a frame, one row a space stage.

    A matrix has the listener in its rows, the sender in its columns, and is grey where there is no edge; lines part the
    scales. With softmax attention a row sums to one.

    Args:
        source: A record, or the clip or data that ``model`` runs; see :func:`~rstg_pyg.viz.record.as_record`.
        model: The model; None beside a record.
        clip: Number of the clip.
        frames: Frames to draw; None draws all.
        title: Title of the figure.

    Raises:
        ValueError: If the record has no messages, or there is no such frame.
        IndexError: If there is no such clip.
    """
    rec = as_record(source, model)
    shown = chosen_frames(frames, len(frames_of(rec, clip)))
    some_iterations(rec.attention[clip], None)  # an error where there are none
    attention = rec.attention[clip, shown].float()  # [T, K, E]
    num_nodes = rec.states.size(3)
    matrices = attention.new_full((*attention.shape[:2], num_nodes, num_nodes), torch.nan)
    matrices[:, :, rec.edge_index[1], rec.edge_index[0]] = attention
    low, high = min(attention.min().item(), 0.0), attention.max().item()
    # Weights without softmax may be negative: then a scale with white in the middle.
    norm = Normalize(low, high) if low == 0 else Normalize(-max(-low, high), max(-low, high))
    colormap = colormaps["cividis" if low == 0 else "PuOr"].with_extremes(bad="#d9d9d9")

    num_rows = attention.size(1)
    figure = Figure(figsize=(1.25 * len(shown) + 1.1, 1.25 * num_rows + 0.6), layout="constrained")
    axes = figure.subplots(num_rows, len(shown), squeeze=False)
    for column, t in enumerate(shown):
        for k in range(num_rows):
            axis = axes[k, column]
            axis.imshow(matrices[column, k].numpy(), cmap=colormap, norm=norm, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            if rec.scale is not None:
                for border in (rec.scale.diff().nonzero().flatten() + 0.5).tolist():
                    axis.axhline(border, color="white", linewidth=0.6)
                    axis.axvline(border, color="white", linewidth=0.6)
        axes[0, column].set_title(f"t = {t}", fontsize=8)
    for k in range(num_rows):
        axes[k, 0].set_ylabel(f"iteration {k}\nlistener", fontsize=8)
    for axis in axes[-1]:
        axis.set_xlabel("sender", fontsize=8)
    bar = figure.colorbar(ScalarMappable(norm, colormap), ax=axes, shrink=0.9, aspect=30, pad=0.01)
    bar.ax.tick_params(labelsize=7)
    bar.set_label("attention", fontsize=8)
    figure.suptitle(title, fontsize=10)
    return figure
