"""Many streams in one process."""

from collections.abc import Hashable, Mapping

import torch
from torch import Tensor

from rstg_pyg.models import VideoClassifier
from rstg_pyg.nn.time_stage import State
from rstg_pyg.streaming.readiness import check_in_eval_mode, check_ready


class StreamBatch:
    """Streams that share a model: each with a name and memories of its own, computed together.

    A stream's scores are those it would have alone, whatever the others do. It begins with :meth:`add` and ends with
    :meth:`remove`; between them any streams may take a step together, as their frames arrive.

    Args:
        model: The classifier, in eval mode.

    Attributes:
        names: The streams, in the order of the rows of ``state``.
        state: State of :meth:`VideoClassifier.step <rstg_pyg.VideoClassifier.step>`, a row a stream; None before the
            first step. With ``names`` it is all there is to save, and to set again. No later step changes it: the next
            state is a new tuple.
    """

    def __init__(self, model: VideoClassifier) -> None:
        self.model = model
        self.names: list[Hashable] = []
        self.state: State | None = None
        self._ready = False

    def add(self, name: Hashable) -> None:
        """Begin a stream.

        Raises:
            ValueError: If there is one of this name.
        """
        if name in self.names:
            raise ValueError(f"Expected 'name' to be new (got {name!r}, one of {self.names})")
        self.names.append(name)
        if self.state is not None:
            self.state = tuple(torch.cat([rows, rows.new_zeros(1, *rows.shape[1:])]) for rows in self.state)

    def remove(self, name: Hashable) -> None:
        """End a stream.

        Raises:
            ValueError: If there is none of this name.
        """
        row = self._row(name)
        del self.names[row]
        if self.state is not None:
            self.state = tuple(torch.cat([rows[:row], rows[row + 1 :]]) for rows in self.state)

    def reset(self, name: Hashable) -> None:
        """Begin a stream anew: its next frame is the first of a video.

        Raises:
            ValueError: If there is none of this name.
        """
        row = self._row(name)
        if self.state is not None:
            self.state = tuple(rows.index_fill(0, torch.tensor([row], device=rows.device), 0) for rows in self.state)

    @torch.no_grad()
    def step(self, frames: Mapping[Hashable, Tensor]) -> dict[Hashable, Tensor]:
        """Classify some of the streams after their next frames.

        Args:
            frames: ``[channels, H, W]`` in [0, 1], all of one size, for the streams that have one.

        Returns:
            ``[classes]`` logits of these streams.

        Raises:
            ValueError: If there is no stream of a name, no frame, frames differ in shape, or the model cannot take them
                (see :func:`stream`).
        """
        if not frames:
            raise ValueError("Expected 'frames' to hold a frame for at least one stream (got none)")
        if len({frame.shape for frame in frames.values()}) > 1:
            shapes = {name: list(frame.shape) for name, frame in frames.items()}
            raise ValueError(f"Expected 'frames' to be of one shape [channels, H, W] (got {shapes})")
        batch = torch.stack(list(frames.values()))
        rows = torch.tensor([self._row(name) for name in frames], device=batch.device)
        if batch.dim() != 4:
            raise ValueError(f"Expected 'frames' to be of shape [channels, H, W] each (got {list(batch.shape[1:])})")
        if not self._ready:
            check_ready(self.model, batch)
            self._ready = True
        check_in_eval_mode(self.model)

        before = None if self.state is None else tuple(old[rows] for old in self.state)
        scores, after = self.model.step(batch, before)
        if self.state is None:
            self.state = tuple(new.new_zeros(len(self.names), *new.shape[1:]) for new in after)
        states = zip(self.state, after, strict=True)
        self.state = tuple(old.index_copy(0, rows, new.to(old.dtype)) for old, new in states)
        return dict(zip(frames, scores, strict=True))

    def _row(self, name: Hashable) -> int:
        if name not in self.names:
            raise ValueError(f"Expected the name of a stream, one of {self.names} (got {name!r})")
        return self.names.index(name)
