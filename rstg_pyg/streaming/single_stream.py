"""One stream: the scores of a video after every frame."""

import time
from collections.abc import Iterable, Iterator
from typing import Literal, overload

import torch
from torch import Tensor

from rstg_pyg.models import VideoClassifier
from rstg_pyg.nn.time_stage import State
from rstg_pyg.streaming.readiness import check_in_eval_mode, check_ready


@overload
def stream(
    model: VideoClassifier, frames: Iterable[Tensor], state: State | None = None, return_latency: Literal[False] = False
) -> Iterator[Tensor]: ...


@overload
def stream(
    model: VideoClassifier, frames: Iterable[Tensor], state: State | None = None, *, return_latency: Literal[True]
) -> Iterator[tuple[Tensor, float]]: ...


def stream(
    model: VideoClassifier, frames: Iterable[Tensor], state: State | None = None, return_latency: bool = False
) -> Iterator[Tensor | tuple[Tensor, float]]:
    """Classify a video while it comes in, a frame at a time.

    ``for scores in stream(model, frames)``: after frame t they are those of the clip that ends at t. What is kept
    between frames is the state alone, whose size, like the time a frame takes, does not depend on how many came before.

    Args:
        model: The classifier, in eval mode.
        frames: ``[channels, H, W]`` each, in [0, 1], on the model's device. One is taken at a time, when the scores of
            the one before have been used.
        state: State of :meth:`VideoClassifier.step <rstg_pyg.VideoClassifier.step>` to go on from; None begins a video.
        return_latency: Also give the seconds from a frame's arrival to its scores, to the end of their computation on
            accelerators.

    Yields:
        ``[classes]`` logits, with the latency if asked for. They take no gradients.

    Raises:
        ValueError: If ``model`` is in training mode or does not read its frames one by one, or a frame does not fit it.
    """
    for number, frame in enumerate(frames):
        if frame.dim() != 3:
            raise ValueError(f"Expected 'frames' to be of shape [channels, H, W] each (got {list(frame.shape)})")
        with torch.no_grad():  # not around the loop: it would hold between frames too
            if number == 0:
                check_ready(model, frame[None])
            check_in_eval_mode(model)
            began = time.perf_counter()
            scores, state = model.step(frame[None], state)
            if return_latency and scores.device.type != "cpu":
                torch.accelerator.synchronize(scores.device)
            latency = time.perf_counter() - began
        yield (scores[0], latency) if return_latency else scores[0]
