"""What happened inside the recurrent graph during a forward pass."""

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from rstg_pyg.evaluation import evaluation_mode
from rstg_pyg.models import VideoClassifier
from rstg_pyg.nn import RSTG, TrackRSTG
from rstg_pyg.viz.recorder import Recorder, in_backward


@dataclass
class Record:
    """What happened inside an :class:`rstg_pyg.RSTG` during its last clips, as :func:`record` writes it down.

    Tensors are detached and on the CPU: B clips, T frames, N nodes, E edges, K space stages, M time stages, G gates.

    Attributes:
        edge_index: ``[2, E]`` source and destination.
        attention: ``[B, T, K, E]`` weight of every message, as the space stage returns it.
        message_norm: ``[B, T, K, E]`` norm of every message as it arrives, its weight included: ‖α·m‖.
        states: ``[B, T, 1 + K + M, N, D]`` node features that enter the graph, and those after each stage.
        stages: Their names, such as ``("input", "time 0", "space 0", ..., "time 3")``.
        gates: ``[B, T, M, N, G]`` gates of the recurrent cells, averaged over their D units.
        gate_names: Names of the G gates: input, forget and output of an LSTM, reset and update of a GRU.
        box: ``[N, 4]`` region (y0, x0, y1, x1) of each node as a share of the frame, or None.
        scale: ``[N]`` scale of each node, or None.
        video: ``[B, T, channels, H, W]`` frames in [0, 1], or None. Where the backbone pools time, the first of the
            frames behind each step of the graph.
        scores: ``[B, T, classes]`` logits had the clip ended with that frame, or None. Only of a plain
            :class:`~rstg_pyg.nn.RSTGToVec`, whose vector follows from the nodes alone.
        class_names: Names of the classes.
    """

    edge_index: Tensor
    attention: Tensor
    message_norm: Tensor
    states: Tensor
    stages: tuple[str, ...]
    gates: Tensor
    gate_names: tuple[str, ...]
    # Factories, as a plain default would be there in a record that is empty.
    box: Tensor | None = field(default_factory=lambda: None)
    scale: Tensor | None = field(default_factory=lambda: None)
    video: Tensor | None = field(default_factory=lambda: None)
    scores: Tensor | None = field(default_factory=lambda: None)
    class_names: tuple[str, ...] = field(default_factory=tuple)

    @property
    def state_norm(self) -> Tensor:
        """``[B, T, 1 + K + M, N]`` norm of every node's features, before the first stage and after each."""
        return self.states.norm(dim=-1)

    def to_html(self, path: str | Path, clip: int = 0, title: str = "") -> Path:
        """Write a clip as an interactive page; see :func:`~rstg_pyg.viz.page.write_page`."""
        from rstg_pyg.viz.page import write_page

        return write_page(self, path, clip, title)

    def __getattr__(self, name: str) -> Any:
        if name in Record.__dataclass_fields__ and "states" not in vars(self):
            raise AttributeError(f"No {name!r} yet: a record is empty until its model has run")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


@contextmanager
def record(model: nn.Module, class_names: Sequence[str] | None = None) -> Iterator[Record]:
    """Write down what happens inside the recurrent graph of a model.

    .. code-block:: python

        with record(model) as rec:
            model(video)
        rec.attention  # [B, T, K, E]

    Hooks do all of it, and are gone when the block ends: a model that is not being recorded pays nothing. Inside the
    block the space stage gives way to PyG's plain propagation, so that single messages can be looked at; its numbers
    are those of the fused route up to rounding. Gradients, and the hooks of others such as PyG's explainers, are left
    alone.

    Clips that begin (no ``state`` is given) begin the record anew; a call that carries a state on, such as
    :meth:`rstg_pyg.RSTG.step` on a stream, adds its frames. The rows of a batch of streams must then stay the same
    ones; where their number changes the record begins anew.

    Args:
        model: A module with one :class:`rstg_pyg.RSTG` inside. A :class:`rstg_pyg.VideoClassifier` also shows its
            frames and, where its graph is an :class:`~rstg_pyg.nn.RSTGToVec` behind a backbone that reads every frame
            by itself, its scores over time: those of whole clips, not of single steps.
        class_names: Names of the classes; None takes those of the classifier's ``config`` or, without one, numbers.

    Yields:
        The record, empty until the model has run.

    Raises:
        ValueError: If ``model`` does not hold exactly one RSTG, or, when it runs, ``class_names`` does not hold one
            name for each class.
    """
    rec = Record.__new__(Record)  # without content: reading it says so
    recorder = Recorder(model, the_graph(model), class_names)

    def write_graph(*_: Any) -> None:
        if in_backward():
            return
        content = recorder.content()
        if recorder.goes_on and "states" in vars(rec) and len(rec.states) == len(content["states"]):
            for name in ("attention", "message_norm", "states", "gates"):
                content[name] = torch.cat([getattr(rec, name), content[name]], dim=1)
        Record.__init__(rec, **content)

    def write_scores(classifier: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], _: Any) -> None:
        assert isinstance(classifier, VideoClassifier)
        video = (args[0] if args else kwargs["video"]).detach().cpu()
        rec.video = first_frames(video, recorder.num_frames, classifier.backbone).clone()
        rec.scores, rec.class_names = recorder.scores(classifier)

    handles = [*recorder.attach(), recorder.rstg.register_forward_hook(write_graph)]
    for module in model.modules():
        if isinstance(module, VideoClassifier):
            handles.append(module.register_forward_hook(write_scores, with_kwargs=True))
    try:
        with _uncompiled():
            yield rec
    finally:
        for handle in handles:
            handle.remove()


def _uncompiled() -> AbstractContextManager[Any]:
    """Compiled code that has run before would run without the hooks; nothing is compiled without Dynamo."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


def as_record(source: Record | Tensor | Data, model: nn.Module | None = None) -> Record:
    """A record of what there is: of a record itself, or of a clip that a model runs.

    Args:
        source: A record; clips ``[B, T, channels, H, W]`` or one clip without B, for a ``model`` of video; or the data
            of one clip as :class:`rstg_pyg.transforms.SpaceTimeGraph` makes it, for the RSTG inside ``model``, with
            the frames in ``data.video [T, channels, H, W]`` if they are to be seen.
        model: What runs the clip, in evaluation mode and without gradients; None beside a record.

    Raises:
        ValueError: If ``source`` is none of these or a batch of several clips, or ``model`` is missing or too much.
    """
    if isinstance(source, Record):
        if model is not None:
            raise ValueError("Expected 'model' to be None beside a record (got a model)")
        return source
    if not isinstance(source, Data) and not (isinstance(source, Tensor) and source.dim() in (4, 5)):
        got = list(source.shape) if isinstance(source, Tensor) else type(source).__name__
        raise ValueError(f"Expected 'source' to be a Record, a clip [T, channels, H, W] or a Data (got {got})")
    if model is None:
        raise ValueError("Expected 'model' to run the clip given as 'source' (got None)")
    check_one_clip(source)
    with torch.no_grad(), evaluation_mode(model), record(model) as rec:
        if isinstance(source, Tensor):
            clips = source if source.dim() == 5 else source[None]
            model(clips)
            shown = clips.size(2) in (1, 3)  # what else a clip may hold, such as optical flow, is no picture
            rec.video = first_frames(clips.detach().cpu(), rec.states.size(1), model).clone() if shown else None
            return rec
        rstg = the_graph(model)
        rstg(
            source.x.transpose(0, 1)[None],
            source.edge_index,
            source.pos_map if rstg.space is not None and rstg.space.pos_channels > 0 else None,
            group=source.scale if rstg.space is not None and rstg.space.num_groups > 1 else None,
        )
    rec.box, rec.scale, video = (
        source[name].detach().cpu() if name in source else None for name in ("box", "scale", "video")
    )
    rec.video = None if video is None else video[None]
    return rec


def check_one_clip(source: Any) -> None:
    """Raise a ValueError for a batch of several graphs, which would be taken for one clip."""
    if isinstance(source, Batch) and source.num_graphs > 1:
        raise ValueError(f"Expected 'source' to be the data of one clip, such as batch[0] (got {source.num_graphs})")


def first_frames(video: Tensor, num_steps: int, model: nn.Module) -> Tensor:
    """The first of the frames behind each step of a graph: ``[B, T, ...]`` → ``[B, num_steps, ...]``.

    A backbone in ``model`` says by an attribute ``time_stride`` how many frames go by from step to step. Where none
    does, that is T by ``num_steps``; where this does not divide, strides have rounded it up or down, and what they come
    to is taken for a power of two.
    """
    strides = (getattr(module, "time_stride", None) for module in model.modules())
    stride = next((stride for stride in strides if stride is not None), None)
    if stride is None:
        ratio = video.size(1) / num_steps
        stride = int(ratio) if ratio.is_integer() else 2 ** round(math.log2(ratio))
    return video[:, ::stride][:, :num_steps]


def the_graph(model: nn.Module) -> RSTG:
    """The one :class:`rstg_pyg.RSTG` of a model.

    Raises:
        ValueError: If there is none, or more than one, or it runs over tracks.
    """
    tracks = [name or "itself" for name, module in model.named_modules() if isinstance(module, TrackRSTG)]
    if tracks:
        raise ValueError(f"Expected 'model' to hold an RSTG over clips (got one over tracks, TrackRSTG: {tracks})")
    graphs = {name: module for name, module in model.named_modules() if isinstance(module, RSTG)}
    if len(graphs) != 1:
        raise ValueError(
            f"Expected 'model' to hold one RSTG (got {len(graphs)}: {list(graphs)}): give the part of it to look into"
        )
    return next(iter(graphs.values()))
