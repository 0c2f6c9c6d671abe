"""Whether an exported program says what its model says."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rstg_pyg.export.programs import Part, first_state
from rstg_pyg.models import VideoClassifier

TOLERANCE = 1e-4


@torch.no_grad()
def largest_difference(run: Callable[..., Any], model: VideoClassifier, part: Part, clips: Tensor) -> float:
    """Largest difference between the logits of a program and those of its model for whole clips.

    Where the largest logit is above 1, the difference is given as a share of it: that is how single precision rounds.

    A step is driven over the clips frame by frame, from a state of zeros: what it says after the last frame is compared
    with what the model says of the clips.

    Args:
        run: What :func:`load_program` gives.
        model: The classifier it came from.
        part: Which part it is.
        clips: ``[B, T, channels, H, W]``.
    """
    if part == "clip":
        logits = run(clips)
    else:
        state = first_state(model, clips[:, 0])
        for frame in clips.unbind(dim=1):
            logits, *state = run(frame, *state)
    expected = model(clips)
    return ((logits - expected).abs().max() / expected.abs().max().clamp(min=1)).item()
