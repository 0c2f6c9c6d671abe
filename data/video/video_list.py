"""The videos of a split: where they are and what they show."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

UNLABELLED = -1
"""The label of a video whose class is not known."""


@dataclass(frozen=True)
class VideoList:
    """The videos of a split, by their place in it.

    Args:
        paths: A file, or a folder of frames, for each video.
        labels: Their labels, :data:`UNLABELLED` where not known.
        ids: The names that the data set gives them.
        class_names: The names of the classes by label.

    Raises:
        ValueError: If there are no videos, or the three lists differ in length.
    """

    paths: Sequence[Path]
    labels: Sequence[int]
    ids: Sequence[str]
    class_names: Sequence[str]

    def __post_init__(self) -> None:
        lengths = {name: len(getattr(self, name)) for name in ("paths", "labels", "ids")}
        if len(set(lengths.values())) > 1 or not self.paths:
            raise ValueError(f"Expected 'paths', 'labels' and 'ids' for the same videos, at least one (got {lengths})")

    def __len__(self) -> int:
        return len(self.paths)
