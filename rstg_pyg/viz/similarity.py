"""How alike the nodes' states are, to each other and to what they were."""

from collections.abc import Sequence

import torch
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Data

from rstg_pyg.viz.canvas import SCALE_COLOURS, chosen_frames, frames_of
from rstg_pyg.viz.record import Record, as_record


def state_similarity(states: Tensor) -> Tensor:
    """Cosine similarity of all pairs of nodes, ``[*, N, D]`` → ``[*, N, N]``; 0 where a state is zero."""
    unit = F.normalize(states.float(), dim=-1)
    return unit @ unit.mT


def draw_similarity(
    source: Record | Tensor | Data,
    model: nn.Module | None = None,
    *,
    clip: int = 0,
    stage: int = -1,
    frames: Sequence[int] | None = None,
    title: str = "",
) -> Figure:
    """Draw how alike the states of the nodes are over a clip (cosine similarity).

    Upper row: every pair of nodes after one stage, a matrix a frame. Lower left: the mean over pairs of different nodes
    after each stage; near one, messages have made all nodes the same. Lower right: each node after the chosen stage
    with itself one frame before, averaged by scale.

    Args:
        source: A record, or the clip or data that ``model`` runs; see :func:`~rstg_pyg.viz.record.as_record`.
        model: The model; None beside a record.
        clip: Number of the clip.
        stage: Index into the record's ``stages``; -1 is what leaves the graph.
        frames: Frames of the upper row; None draws all.
        title: Title of the figure.

    Raises:
        ValueError: If there is no such frame, or no second node.
        IndexError: If there is no such clip or stage.
    """
    rec = as_record(source, model)
    num_frames, num_stages = len(frames_of(rec, clip)), len(rec.stages)
    shown = chosen_frames(frames, num_frames)
    if not -num_stages <= stage < num_stages:
        raise IndexError(f"Expected 'stage' to be in {-num_stages}..{num_stages - 1} (got {stage})")
    states = rec.states[clip].float()  # [T, S, N, D]
    similarity = state_similarity(states)
    num_nodes = states.size(2)
    if num_nodes < 2:
        raise ValueError(f"Expected states of at least two nodes, to be compared with each other (got {num_nodes})")
    off_diagonal = ~torch.eye(num_nodes, dtype=torch.bool)
    before_and_after = F.cosine_similarity(states[1:, stage], states[:-1, stage], dim=-1)  # [T - 1, N]
    scale = torch.zeros(num_nodes, dtype=torch.int64) if rec.scale is None else rec.scale

    figure = Figure(figsize=(1.15 * len(shown) + 1.4, 4.2), layout="constrained")
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=(1, 1.5))[:, 0]
    norm, colormap = Normalize(-1, 1), colormaps["PuOr"]
    axes = above.subplots(1, len(shown), squeeze=False)[0]
    for axis, t in zip(axes, shown, strict=True):
        axis.imshow(similarity[t, stage].numpy(), cmap=colormap, norm=norm, interpolation="nearest")
        axis.set(xticks=[], yticks=[])
        axis.set_title(f"t = {t}", fontsize=8)
    axes[0].set_ylabel(f"after {rec.stages[stage]}\nnode × node", fontsize=8)
    above.colorbar(ScalarMappable(norm, colormap), ax=list(axes), shrink=0.9, aspect=14, pad=0.01).ax.tick_params(
        labelsize=7
    )

    pairs, itself = below.subplots(1, 2, sharey=True)
    shades = colormaps["viridis"](torch.linspace(0, 0.92, num_stages).numpy())
    for s, name in enumerate(rec.stages):
        mean = similarity[:, s][:, off_diagonal].mean(dim=-1)
        style = "--" if name.startswith("space") else "-"
        pairs.plot(range(num_frames), mean, style, color=shades[s], label=name, linewidth=1.5, marker=".", markersize=4)
    for level in range(int(scale.max()) + 1):
        colour = SCALE_COLOURS[level % len(SCALE_COLOURS)]
        mean = before_and_after[:, scale == level].mean(dim=-1)
        itself.plot(range(1, num_frames), mean, ".-", color=colour, label=f"scale {level}", linewidth=1.5)
    pairs.set_title("between nodes, by stage", fontsize=9)
    itself.set_title(f"with the frame before, after {rec.stages[stage]}", fontsize=9)
    pairs.set_ylabel("mean cosine similarity", fontsize=8)
    for axis in (pairs, itself):
        axis.set_xlabel("frame t", fontsize=8)
        axis.set_xlim(-0.3, num_frames - 0.7)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3, linewidth=0.5)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.suptitle(title, fontsize=10)
    return figure
