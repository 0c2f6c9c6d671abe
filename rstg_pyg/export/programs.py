"""The two programs that a classifier makes: a clip, and a stream's step."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from rstg_pyg.models import BoxRSTGToVec, VideoClassifier
from rstg_pyg.models.model_folder import clip_shape as described_clip_shape
from rstg_pyg.nn.time_stage import State
from rstg_pyg.streaming.readiness import check_in_eval_mode, check_ready

Part = Literal["clip", "step"]
PARTS = ("clip", "step")
# Sizes of 0 and 1 are special to torch.export: a program traced with them would take no other.
EXAMPLE_BATCH = 2


def export_program(
    model: VideoClassifier, part: Part, clip_shape: Sequence[int] | None = None
) -> torch.export.ExportedProgram:
    """Trace a classifier with ``torch.export``, for batches of any size.

    ======== =================================================== ===================================
    ``part`` takes                                               gives
    ======== =================================================== ===================================
    ``clip`` ``[B, T, channels, H, W]`` video, T fixed           ``[B, classes]`` logits
    ``step`` ``[B, channels, H, W]`` frame, then the state's     ``[B, classes]`` logits of the clip
             tensors, zeros where the frame is a video's first   that ends here, the state's tensors
    ======== =================================================== ===================================

    The step is the way to videos of any length: ``logits, *state = program.module()(frame, *state)``. The state begins
    as :func:`first_state`.

    Args:
        model: The classifier, in eval mode. The program runs on its device, in its type.
        part: One of the table.
        clip_shape: ``[T, channels, H, W]``; None for what the model's ``config`` says. A step takes no heed of T.

    Raises:
        ValueError: If ``part`` is none of its choices, the model is in training mode, has boxes for nodes or no config
            to take ``clip_shape`` from; for a step, if the model cannot take a video frame by frame.
    """
    if part not in PARTS:
        raise ValueError(f"Expected 'part' to be one of {list(PARTS)} (got {part!r})")
    check_in_eval_mode(model)
    if isinstance(model.graph, BoxRSTGToVec):
        raise ValueError(
            "Expected 'model' to have a graph over the clip alone (got a BoxRSTGToVec: the number of its nodes depends "
            "on which boxes are there, and a traced program cannot follow that)"
        )
    clip = random_clips(model, EXAMPLE_BATCH, clip_shape)
    batch = {0: torch.export.Dim("batch")}
    with torch.no_grad():
        if part == "clip":
            return _without_places(torch.export.export(_Clip(model), (clip,), dynamic_shapes=(batch,)))
        state = first_state(model, clip[:, 0])
        shapes = (batch, tuple(batch for _ in state)) if state else (batch,)
        return _without_places(torch.export.export(_Step(model), (clip[:, 0], *state), dynamic_shapes=shapes))


def _without_places(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """Forget which lines of code, in which folders of this machine, the nodes came from."""
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)
    return program


def random_clips(model: VideoClassifier, num_clips: int, clip_shape: Sequence[int] | None = None) -> Tensor:
    """Clips that a classifier can take, uniform in [0, 1].

    Raises:
        ValueError: If neither ``clip_shape`` nor the model's ``config`` says of which shape.
    """
    if clip_shape is None:
        if model.config is None:
            raise ValueError("Expected 'clip_shape' to be [T, channels, H, W] for a model without 'config' (got None)")
        clip_shape = described_clip_shape(model.config)
    if len(clip_shape) != 4:
        raise ValueError(f"Expected 'clip_shape' to be [T, channels, H, W] (got {list(clip_shape)})")
    like = next(model.parameters())
    return torch.rand(num_clips, *clip_shape, dtype=like.dtype, device=like.device)


@torch.no_grad()
def first_state(model: VideoClassifier, frame: Tensor) -> State:
    """The state before a video's first frame, all zeros.

    Args:
        model: The classifier, in eval mode.
        frame: ``[B, channels, H, W]``, of the sizes to come.

    Raises:
        ValueError: If the model cannot take a video frame by frame.
    """
    check_ready(model, frame)
    _, state = model.step(frame)
    return tuple(torch.zeros_like(tensor) for tensor in state)


class _Clip(nn.Module):
    """Stands around the classifier, whose ``graph`` would clash with a GraphModule's own."""

    def __init__(self, classifier: VideoClassifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, clip: Tensor) -> Tensor:
        return self.classifier(clip)


class _Step(nn.Module):
    def __init__(self, classifier: VideoClassifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, frame: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        logits, state = self.classifier.step(frame, state)
        return logits, *state
