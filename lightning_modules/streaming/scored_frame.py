"""A frame of a stream with its scores."""

from collections.abc import Sequence
from typing import NamedTuple

from data.playback import TimedFrame

NUM_SHOWN = 3  # classes that are shown, the likeliest


class ScoredFrame(NamedTuple):
    """What is known after a frame.

    Attributes:
        frame: The frame.
        probabilities: Of every class.
        latency: Seconds that the model took.
        dropped: Frames dropped since the stream began.
    """

    frame: TimedFrame
    probabilities: list[float]
    latency: float
    dropped: int

    def likeliest(self, class_names: Sequence[str]) -> list[tuple[str, float]]:
        """The likeliest classes and their probabilities, from the likeliest on."""
        ranked = sorted(zip(class_names, self.probabilities, strict=True), key=lambda pair: -pair[1])
        return ranked[:NUM_SHOWN]
