"""Whether a classifier can be given a video frame by frame."""

import torch
from torch import Tensor, nn

from rstg_pyg.models import VideoClassifier


def check_ready(model: VideoClassifier, frame: Tensor) -> None:
    """Raise an error where a model's frame-by-frame scores would not be those of whole clips.

    Args:
        model: The classifier.
        frame: ``[B, channels, H, W]``, to try its backbone on.

    Raises:
        ValueError: If ``model`` is in training mode, or its backbone's features of a frame depend on the frames around.
    """
    if model.training:
        raise ValueError("Expected 'model' to be in eval mode, as after model.eval() (got one in training mode)")
    if not _reads_frames_alone(model.backbone, frame[:1]):
        raise ValueError(
            "Expected 'model' to have a backbone that reads every frame by itself (got a "
            f"{type(model.backbone).__name__}, whose features of a frame change with the frames around it)"
        )


def _reads_frames_alone(backbone: nn.Module, frame: Tensor) -> bool:
    """Put the same frame between copies of itself and between two others, and compare its features."""
    generator = torch.Generator().manual_seed(0)  # any others do, but not some made of the frame, which may equal it
    before, after = torch.rand(2, *frame.shape, generator=generator).to(frame)
    between_others = torch.stack([before, frame, after], dim=1)
    features = backbone(torch.cat([frame[:, None].expand_as(between_others), between_others]))
    if features.size(1) != 3:
        return False
    alike, other = features[:, 1]
    tolerance = torch.finfo(features.dtype).eps ** 0.5 * alike.abs().max()
    return bool((alike - other).abs().max() <= tolerance)
