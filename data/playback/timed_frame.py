"""A frame with its place in its video."""

from typing import NamedTuple

from torch import Tensor


class TimedFrame(NamedTuple):
    """One frame of a source.

    Attributes:
        number: Frames of the source before it.
        time: Seconds since the source's first frame.
        image: uint8 ``[3, H, W]``.
    """

    number: int
    time: float
    image: Tensor
