"""Whether a classifier can be given a video frame by frame."""

import torch
from torch import Tensor, nn

from rstg_pyg.models import VideoClassifier

# Of the trial: what reaches a frame from less far than this is found.
NUM_FRAMES = 7


def check_ready(model: VideoClassifier, frame: Tensor) -> None:
    """Raise an error where a model's frame-by-frame scores would not be those of whole clips.

    Args:
        model: The classifier.
        frame: ``[B, channels, H, W]``, to try its backbone on.

    Raises:
        ValueError: If ``model`` is in training mode, or its backbone's features of a frame depend on the frames around,
            or ``frame`` is not floating point.
    """
    check_in_eval_mode(model)
    if not frame.is_floating_point():
        raise ValueError(f"Expected 'frames' to be of floating point type, in [0, 1] (got {frame.dtype})")
    if not _reads_frames_alone(model.backbone, frame[:1]):
        raise ValueError(
            "Expected 'model' to have a backbone that reads every frame by itself (got a "
            f"{type(model.backbone).__name__}, whose features of a frame change with the frames around it)"
        )


def check_in_eval_mode(model: VideoClassifier) -> None:
    """Raise an error where a model is in training mode.

    Raises:
        ValueError: If it is.
    """
    if model.training:
        raise ValueError("Expected 'model' to be in eval mode, as after model.eval() (got one in training mode)")


def _reads_frames_alone(backbone: nn.Module, frame: Tensor) -> bool:
    """Compare the features of the frame, and of others around it in a clip, with those that each has by itself."""
    generator = torch.Generator().manual_seed(0)  # any others do, but not some made of the frame, which may equal it
    clip = torch.rand(NUM_FRAMES, *frame.shape[1:], generator=generator).to(frame)
    clip[NUM_FRAMES // 2] = frame[0].nan_to_num(0, 0, 0)  # a damaged frame says nothing about the backbone
    together = backbone(clip[None])
    if together.size(1) != NUM_FRAMES:
        return False
    alone = backbone(clip[:, None])
    if alone.size(1) != 1:
        return False
    tolerance = torch.finfo(alone.dtype).eps ** 0.5 * alone.abs().max()
    return bool((together[0] - alone[:, 0]).abs().max() <= tolerance)
