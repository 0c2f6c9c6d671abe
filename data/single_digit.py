"""Single random digits, to pre-train a backbone on."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from data.argument_checks import check_index, check_seed, check_sizes
from data.batches import StackedItems
from data.counter_rng import below, random_bits
from data.digits import DigitImages
from data.rendering import DIGIT_SIZE, render


class SingleDigit(Dataset[tuple]):
    r"""Frames with one random digit at a random place, made by the code that makes the SyncMNIST videos.

    Frame `index` is a pure function of (seed, split of `digits`, index).

    Shapes:
        - **item:** frame uint8 :math:`(1, S, S)`, label int 0-9; with `return_box` also box float32 :math:`(4,)`
        - **batch:** frame uint8 :math:`(B, 1, S, S)`, label int64 :math:`(B,)`, box float32 :math:`(B, 4)`

    Args:
        digits: The images to draw from.
        frame_size: Side of a frame in pixels, S.
        canvas_size: Side in pixels of the canvas with the 28×28 digit, before it is resized to the frame.
        num_frames: The length of the dataset.
        return_box: Whether an item also has the digit's place, as in :meth:`boxes`.
        seed: The seed, in [0, 2^64).

    Raises:
        ValueError: If an argument is out of range.

    Source: the pre-training of the backbone, Nicolicioiu, Duta and Leordeanu (NeurIPS 2019), §3.1.
    """

    num_classes = 10

    def __init__(
        self,
        digits: DigitImages,
        frame_size: int = 64,
        canvas_size: int = 100,
        num_frames: int = 600_000,
        return_box: bool = False,
        seed: int = 0,
    ) -> None:
        check_seed(seed)
        check_sizes(frame_size=frame_size, canvas_size=canvas_size, num_frames=num_frames)
        self.digits = digits
        self.frame_size = frame_size
        self.canvas_size = canvas_size
        self.num_frames = num_frames
        self.return_box = return_box
        self.seed = seed

    def __len__(self) -> int:
        return self.num_frames

    def _draw(self, indices: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        for index in (min(indices), max(indices)) if len(indices) else ():
            check_index(index, len(self))
        bits = random_bits(self.seed, f"single_digit/{self.digits.split}", indices, np.arange(4))
        digit_index = self.digits.pick(below(bits[:, 0], 10), bits[:, 1])
        return digit_index, below(bits[:, 2:], self.canvas_size - DIGIT_SIZE)

    def boxes(self, indices: Sequence[int]) -> Tensor:
        """The digits' 28×28 squares as (y0, x0, y1, x1) in shares of the frame's side, float32 (B, 4)."""
        corner = torch.from_numpy(self._draw(indices)[1])
        return torch.cat([corner, corner + DIGIT_SIZE], dim=1).float() / self.canvas_size

    def batch(self, indices: Sequence[int]) -> tuple[Tensor, ...]:
        """The frames at `indices`, uint8 (B, 1, S, S), their labels, int64 (B,), and with `return_box` their boxes."""
        digit_index, corner = self._draw(indices)
        coords = corner[:, None, None]  # one frame, one digit
        frames = render(self.digits.images, digit_index[:, None], coords, self.canvas_size, self.frame_size)
        label = torch.from_numpy(self.digits.labels[digit_index].astype(np.int64))
        boxes = (self.boxes(indices),) if self.return_box else ()
        return torch.from_numpy(frames), label, *boxes

    def __getitem__(self, index: int) -> tuple:
        frame, label, *boxes = self.batch([index])
        return frame[0], int(label), *(box[0] for box in boxes)

    def __getitems__(self, indices: Sequence[int]) -> list[tuple]:
        return StackedItems(self.batch(indices))
