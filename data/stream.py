"""Walking through a stream of videos: by epochs, by processes, and on from the middle of an epoch."""

import math
from collections.abc import Callable, Iterator
from typing import Any

from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler

_MEANING = {
    "step": "'batch_size' times processes",
    "epoch_items": "the items of an epoch",
    "stream_items": "the items of the training's stream",
}
"""What the items done in an epoch are counted by."""


class StreamSampler(DistributedSampler[int]):
    """The indices that one process takes in one epoch of a stream, in order.

    The items are independent draws, so nothing is shuffled: epoch e covers the indices from e * epoch_items on, modulo
    `stream_items`, and process r of R takes every R-th of them from the r-th on. The processes together take each index
    once; up to R - 1 indices at the end of an epoch are left out so that all take equally many.

    It is a ``DistributedSampler``, and therefore Lightning calls its ``set_epoch`` and does not put its own in its
    place.

    Args:
        stream_items: The length of the stream.
        epoch_items: Items in an epoch, over all processes.
        num_replicas: The number of processes, R.
        rank: The number of this process, r.

    Attributes:
        epoch: The epoch, set by ``set_epoch``.
        skipped_epochs: How many of the epochs before were counted without taking their items; the stream leaves no gap.
        first: How many items of the epoch, over all processes, the next iteration leaves out because they were seen.

    Raises:
        ValueError: If `epoch_items` is not between `num_replicas` and `stream_items`, or `rank` is not a process.
    """

    def __init__(self, stream_items: int, epoch_items: int, num_replicas: int = 1, rank: int = 0) -> None:
        if not num_replicas <= epoch_items <= stream_items:
            raise ValueError(
                f"Expected 'epoch_items' to be between {num_replicas}, the number of processes, and {stream_items}, "
                f"the length of the stream (got {epoch_items})"
            )
        super().__init__(range(stream_items), num_replicas=num_replicas, rank=rank, shuffle=False)
        self.stream_items = stream_items
        self.num_samples = epoch_items // num_replicas
        self.epoch_items = epoch_items
        self.skipped_epochs = 0
        self.first = 0

    def __iter__(self) -> Iterator[int]:
        start = (self.epoch - self.skipped_epochs) * self.epoch_items
        end = self.num_samples * self.num_replicas
        return ((start + item) % self.stream_items for item in range(self.first + self.rank, end, self.num_replicas))

    def __len__(self) -> int:
        """The items of this process in a whole epoch."""
        return self.num_samples


class StreamLoader(DataLoader):
    """A ``DataLoader`` that knows how many items it has handed out, and goes on from there after a restart.

    Lightning keeps ``state_dict()`` in its checkpoints. Only batches that were handed out count, not those that workers
    made in advance, so the first batch after a restart is exactly the next one.

    Args:
        dataset: The dataset.
        sampler: The sampler; the position is that of a :class:`StreamSampler`.
        batch_size: Items per batch and process.
        in_progress: Gives how many of the batches handed out are not trained on yet, and come again after a restart.
        **kwargs: Further arguments of ``DataLoader``.

    Raises:
        ValueError: If an epoch is gone on with in batches of another size, of which Lightning's count is not true, or
            as a part of another stream, in which other items would be those done.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        sampler: Any,
        batch_size: int | None,
        in_progress: Callable[[], int] = lambda: 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(dataset, batch_size=batch_size, sampler=sampler, **kwargs)
        self.in_progress = in_progress
        self._batches = 0  # handed out in the sampler's epoch, before a restart too
        self._resume: dict[str, int] | None = None

    def state_dict(self) -> dict[str, int]:
        """The epoch, its items done, those of a step and an epoch over all processes, and the epochs skipped before."""
        if self._resume is not None or not isinstance(self.sampler, StreamSampler):
            return self._resume or {}
        return self._position()

    def _position(self) -> dict[str, int]:
        return {
            "epoch": self.sampler.epoch,
            "items": (self._batches - self.in_progress()) * self._step,
            "step": self._step,
            "epoch_items": self.sampler.epoch_items,
            "stream_items": self.sampler.stream_items,
            "skipped_epochs": self.sampler.skipped_epochs,
        }

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Makes the next iteration go on from there."""
        self._resume = dict(state_dict) or None

    def __iter__(self) -> Iterator[Any]:
        # This runs at the first `next`, when Lightning has set the epoch; it calls `iter` before that.
        sampler, resume, self._resume = self.sampler, self._resume, None
        if not isinstance(sampler, StreamSampler):  # Lightning's `overfit_batches` puts another one in
            yield from super().__iter__()
            return
        sampler.first = 0
        if resume is not None and sampler.epoch == resume["epoch"]:
            now = self._position()
            for key, name in _MEANING.items():
                if resume.get(key, now[key]) != now[key]:
                    raise ValueError(
                        f"Expected {name} to be {resume[key]} until the epoch that was begun so ends (got {now[key]})"
                    )
            sampler.first, sampler.skipped_epochs = resume["items"], resume["skipped_epochs"]
        elif resume is not None:
            # With `max_steps` Lightning, restarted between epochs, counts one more epoch without a batch.
            sampler.skipped_epochs = resume["skipped_epochs"] + max(0, sampler.epoch - resume["epoch"] - 1)
        self._batches = math.ceil(sampler.first / self._step)
        for batch in super().__iter__():
            self._batches += 1
            yield batch

    @property
    def _step(self) -> int:
        """Items of a batch, over all processes."""
        return self.batch_sampler.batch_size * self.sampler.num_replicas
