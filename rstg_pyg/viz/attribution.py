"""Which nodes of which frames decided the class."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PatchCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor, nn
from torch_geometric.data import Data

from rstg_pyg.evaluation import evaluation_mode
from rstg_pyg.models import VideoClassifier
from rstg_pyg.nn import RSTG
from rstg_pyg.viz.canvas import chosen_frames, frames_of, regions_of, show_frame
from rstg_pyg.viz.record import as_record, check_one_clip, the_graph

Method = Literal["gradient_x_input", "integrated_gradients"]
METHODS = ("gradient_x_input", "integrated_gradients")
FOR, AGAINST = "#E69F00", "#56B4E9"
BOTH = LinearSegmentedColormap.from_list("for and against", [AGAINST, "#404040", FOR])


def node_attribution(
    model: nn.Module,
    video: Tensor,
    target: int | Sequence[int] | Tensor | None = None,
    method: Method = "gradient_x_input",
    num_steps: int = 50,
) -> Tensor:
    r"""What each node of each frame adds to the logit of a class.

    The features :math:`\mathbf{v}_i^t` that enter the graph, pooled from the backbone's, are what is judged. The
    model runs in evaluation mode.

    - ``"gradient_x_input"``: :math:`\sum_c v_{i,c}^t \, \partial s / \partial v_{i,c}^t`, the change of the logit s as
      the node's features are scaled up.
    - ``"integrated_gradients"`` (Sundararajan et al., 2017): its average along the way from zero features, by
      ``captum`` (``pip install captum``). Summed over nodes and frames it is the logit minus that of zero
      features.

    Args:
        model: Video → logits ``[B, classes]``, with one :class:`rstg_pyg.RSTG` inside.
        video: ``[B, T, channels, H, W]`` clips, whatever ``model`` takes.
        target: Class of all clips or of each; None takes the class that the model says.
        method: One of the two above.
        num_steps: Steps of the integral.

    Returns:
        ``[B, T, N]``, on the device of the features.

    Raises:
        ValueError: If ``method`` is none of its choices, ``target`` is no class, or ``model`` does not hold exactly one
            RSTG.
        ImportError: If ``method="integrated_gradients"`` and captum is not installed.
    """
    if method not in METHODS:
        raise ValueError(f"Expected 'method' to be one of {list(METHODS)} (got {method!r})")
    rstg = the_graph(model)
    behind_backbone = isinstance(model, VideoClassifier) and rstg in model.graph.modules()
    at_once = num_steps if behind_backbone else 1
    attribute = _gradient_x_input if method == "gradient_x_input" else _integrated_gradients(num_steps, at_once)
    # cuDNN has no backward pass for a recurrent cell in evaluation mode.
    with evaluation_mode(model), torch.backends.cudnn.flags(enabled=False):
        nodes, logits = _run(model, rstg, video)
        attributions = []
        # Clip by clip: any number of versions of its nodes then shares one run of the backbone.
        for b, label in enumerate(_checked_classes(target, logits)):
            with _logit_of_nodes(model, rstg, video[b : b + 1], label) as logit:
                attributions.append(attribute(logit, nodes[b : b + 1]))
    return torch.cat(attributions)


def draw_attribution(
    source: Tensor | Data,
    model: nn.Module,
    target: int | Tensor | None = None,
    *,
    method: Method = "gradient_x_input",
    frames: Sequence[int] | None = None,
    title: str = "",
) -> Figure:
    """Draw which nodes of which frames decided the class of a clip: see :func:`node_attribution`.

    A column is a frame, a row a scale: orange regions speak for the class, blue ones against it. The bars below sum
    each frame over its nodes.

    Args:
        source: A clip ``[T, channels, H, W]`` in [0, 1], or data with one as ``video``; of other channels than one or
            three it is drawn over white frames. A record does not do: the model runs anew.
        model: Video → logits, with one graph over a :class:`rstg_pyg.GridPyramid` inside.
        target: The class; None takes the one that the model says.
        method: See :func:`node_attribution`.
        frames: Frames to draw; None draws all.
        title: Title of the figure.

    Raises:
        ValueError: If ``source`` is no clip and has none, or as in :func:`node_attribution`.
    """
    check_one_clip(source)
    clip = source.get("video") if isinstance(source, Data) else source
    if not isinstance(clip, Tensor) or clip.dim() != 4:
        got = list(clip.shape) if isinstance(clip, Tensor) else source if isinstance(source, Data) else type(source)
        raise ValueError(
            f"Expected 'source' to be a clip [T, channels, H, W], or a Data with one as 'video' (got {got})"
        )
    attribution = node_attribution(model, clip[None], target, method)[0].float().cpu()
    rec = as_record(clip, model)
    video, (box, scale) = frames_of(rec, 0), regions_of(rec)
    shown = chosen_frames(frames, len(video))
    height, width = video.shape[-2:]
    top = attribution.abs().max().clamp(min=1e-12).item()
    norm = Normalize(-top, top)
    num_scales = int(scale.max()) + 1

    figure = Figure(figsize=(1.25 * len(shown) + 1.3, 1.25 * num_scales + 1.7), layout="constrained")
    axes = figure.subplots(
        num_scales + 1, len(shown), squeeze=False, sharey="row", height_ratios=[1] * num_scales + [0.7]
    )
    total = attribution.sum(dim=1)
    for column, t in enumerate(shown):
        for level in range(num_scales):
            axis, here = axes[level, column], scale == level
            show_frame(axis, video[t])
            cells = [
                Rectangle((x0 * width - 0.5, y0 * height - 0.5), (x1 - x0) * width, (y1 - y0) * height)
                for y0, x0, y1, x1 in box[here].tolist()
            ]
            colours = [to_rgba(_colour(value), 0.9 * abs(value) / top) for value in attribution[t, here].tolist()]
            axis.add_collection(PatchCollection(cells, facecolors=colours, edgecolors="#808080", linewidths=0.5))
        axes[0, column].set_title(f"t = {t}", fontsize=8)
        bar = axes[-1, column]
        bar.bar(0, total[t], width=0.6, color=_colour(total[t].item()))
        bar.axhline(0, color="black", linewidth=0.6)
        bar.set(xlim=(-1, 1), xticks=[])
        bar.tick_params(labelsize=7, left=column == 0)
        bar.spines[["top", "right", "bottom"] + (["left"] if column else [])].set_visible(False)
    for level in range(num_scales):
        axes[level, 0].set_ylabel(f"scale {level}", fontsize=8)
    axes[-1, 0].set_ylabel("frame", fontsize=8)
    colorbar = figure.colorbar(ScalarMappable(norm, BOTH), ax=axes[:-1], aspect=24, pad=0.01)
    colorbar.ax.tick_params(labelsize=7)
    colorbar.set_label(method.replace("_x_", " × ").replace("_", " "), fontsize=8)
    figure.suptitle(title, fontsize=10)
    return figure


def _colour(value: float) -> str:
    return FOR if value > 0 else AGAINST


def _run(model: nn.Module, rstg: RSTG, video: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes ``[B, T, N, C]`` that enter the graph, and logits."""
    seen: list[Tensor] = []
    handle = rstg.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(args[0] if args else kwargs["x"]), with_kwargs=True
    )
    try:
        with torch.no_grad():
            logits = model(video)
    finally:
        handle.remove()
    return seen[0], logits


@contextmanager
def _logit_of_nodes(model: nn.Module, rstg: RSTG, clip: Tensor, label: int) -> Iterator[Callable[[Tensor], Tensor]]:
    """A function from nodes ``[S, T, N, C]`` to the logit ``[S]`` of a class, of a clip ``[1, ...]`` with these nodes.

    Its backward pass belongs into the block, too: gradient checkpointing runs the graph again there.
    """
    nodes: Tensor

    def put_in(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return ((nodes, *args[1:]), kwargs) if args else ((), kwargs | {"x": nodes})

    def logit(given: Tensor) -> Tensor:
        nonlocal nodes
        nodes = given
        return model(clip)[:, label]

    handle = rstg.register_forward_pre_hook(put_in, with_kwargs=True)
    try:
        yield logit
    finally:
        handle.remove()


def _gradient_x_input(logit: Callable[[Tensor], Tensor], nodes: Tensor) -> Tensor:
    with torch.enable_grad():
        nodes = nodes.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(logit(nodes).sum(), nodes)
    return (gradient * nodes).sum(dim=-1).detach()


def _integrated_gradients(num_steps: int, at_once: int) -> Callable[[Callable[[Tensor], Tensor], Tensor], Tensor]:
    """With ``at_once`` versions of the nodes in a batch: where what is around the graph takes one clip, one."""
    try:
        from captum.attr import IntegratedGradients
    except ImportError as error:
        raise ImportError("method='integrated_gradients' needs captum: pip install captum") from error

    def attribute(logit: Callable[[Tensor], Tensor], nodes: Tensor) -> Tensor:
        along_the_way = IntegratedGradients(logit).attribute(nodes, n_steps=num_steps, internal_batch_size=at_once)
        return along_the_way.sum(dim=-1).detach()

    return attribute


def _checked_classes(target: int | Sequence[int] | Tensor | None, logits: Tensor) -> list[int]:
    if target is None:
        return logits.argmax(dim=-1).tolist()
    num_clips, num_classes = logits.shape
    given = torch.as_tensor(target)  # a label out of a batch or of numpy is no int
    classes = (given.expand(num_clips) if given.dim() == 0 else given).tolist()
    if len(classes) != num_clips or not all(0 <= label < num_classes for label in classes):
        raise ValueError(
            f"Expected 'target' to be a class in 0..{num_classes - 1}, or one for each of {num_clips} clips "
            f"(got {target!r})"
        )
    return classes
