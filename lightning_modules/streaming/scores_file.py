"""The scores as a table."""

import csv
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from lightning_modules.streaming.scored_frame import ScoredFrame


class ScoresFile:
    """A CSV file with a row a frame: number, time, latency, frames dropped so far, every class's probability.

    A row is in the file as soon as it is written; there is none before the first.

    Args:
        path: The file.
        class_names: The name of every class, which become columns.

    Raises:
        FileExistsError: If it is there already.
    """

    def __init__(self, path: Path, class_names: Sequence[str]) -> None:
        if path.exists():
            raise FileExistsError(f"Expected 'csv' to be a new file (got '{path}', which is there)")
        self.class_names = class_names
        self._path = path
        self._file: TextIO | None = None

    def write(self, scored: ScoredFrame) -> None:
        """Add a frame."""
        if self._file is None:  # no earlier: a model that refuses the first frame leaves no file
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("x", newline="", encoding="utf-8", buffering=1)
            self._writer = csv.writer(self._file)
            self._writer.writerow(["frame", "seconds", "latency_ms", "dropped", *self.class_names])
        place = [scored.frame.number, f"{scored.frame.time:.6f}", f"{1e3 * scored.latency:.3f}", scored.dropped]
        self._writer.writerow([*place, *(f"{share:.6g}" for share in scored.probabilities)])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        if self._file is not None:
            self._file.close()
