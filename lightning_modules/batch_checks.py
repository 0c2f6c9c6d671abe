"""Checks of values: the layers look at shapes only, so what a batch holds is looked at here."""

import torch
from torch import Tensor


def check_images(images: Tensor, name: str, shape: str) -> None:
    """Check rank, type and values of a batch of frames or videos.

    Args:
        images: Values 0..255 as uint8, or [0, 1] as floating point.
        name: The argument's name in errors.
        shape: Its shape in words, such as ``"[B, T, channels, H, W]"``.

    Raises:
        ValueError: If the rank or type is another, or a value is NaN or infinite.
    """
    if images.dim() != shape.count(",") + 1:
        raise ValueError(f"Expected '{name}' to be of shape {shape} (got {list(images.shape)})")
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise ValueError(f"Expected '{name}' to be uint8 or floating point (got {images.dtype})")
    if images.is_floating_point() and not all(bound.isfinite() for bound in images.aminmax()):  # NaN passes through
        count = int((~images.isfinite()).sum())
        raise ValueError(f"Expected '{name}' to hold finite values (got {count} that are NaN or infinite)")


def check_labels(labels: Tensor, num_classes: int) -> None:
    """Check the labels ``[B]`` of a batch.

    Raises:
        ValueError: If a label is outside ``[0, num_classes)``.
    """
    outside = labels[(labels < 0) | (labels >= num_classes)]
    if outside.numel() > 0:
        raise ValueError(f"Expected 'label' to be in [0, {num_classes - 1}] (got {outside.unique().tolist()})")


def check_loss(loss: Tensor, step: int) -> None:
    """Stop at the first loss that is no number, before it reaches the weights.

    Raises:
        ValueError: If the loss is NaN or infinite.
    """
    if not loss.isfinite():
        raise ValueError(
            f"Expected 'loss' to be finite (got {loss.item()} at training step {step}): "
            "try a smaller learning rate, gradient clipping or 32-bit precision"
        )


def to_unit_range(images: Tensor) -> Tensor:
    """Bring uint8 images to [0, 1] in torch's default type, which is the model's in a Trainer's step of any precision.

    Floating point images pass as they are: the Trainer has brought them to that type.
    """
    return images.to(torch.get_default_dtype()).div_(255) if images.dtype == torch.uint8 else images
