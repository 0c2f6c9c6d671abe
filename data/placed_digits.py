"""Frames with random digits at random places, to pre-train a backbone on."""

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
from data.sync_paths import PROBABILITY_UNITS, offset

NUM_CLASSES = 10
# Which draw of a frame's random sequence is used for what: each possible digit has its own.
_NUM_DIGITS_DRAW = 0
_CLASS_DRAWS = 1 + np.arange(10)
_IMAGE_DRAWS = 11 + np.arange(10)
_CORNER_DRAWS = 21 + np.arange(20).reshape(10, 2)
_OVERLAP_DRAW = 41
_OFFSET_DRAWS = 42 + np.arange(2)


class PlacedDigits(Dataset[tuple[Tensor, Tensor, Tensor]]):
    r"""Frames with digits of different classes at random places, made by the code that makes the SyncMNIST videos.

    Every number of digits from 1 to `max_digits` is equally likely. In a share of those with two or more, the second
    lies over the first, as in all frames of a video whose pair began so: its corner is up to 12 canvas pixels off,
    uniformly, and moved onto the canvas. Frame `index` is a pure function of (seed, split of `digits`, index).

    Shapes:
        - **item:** frame uint8 :math:`(1, S, S)`; shown bool :math:`(10,)`, which classes are there; centre float32
          :math:`(10, 2)`, row and column of each one's centre in shares of the frame's side, 0 where it is not there
        - **batch:** the same with :math:`B` before

    Args:
        digits: The images to draw from.
        max_digits: The most digits in a frame, 1-10; the paper has one (§3.1).
        overlap: The share of the frames with two digits or more in which the second lies over the first.
        frame_size: Side of a frame in pixels, S.
        canvas_size: Side in pixels of the canvas with the 28×28 digits, before it is resized to the frame.
        num_frames: The length of the dataset.
        seed: The seed, in [0, 2^64).

    Raises:
        ValueError: If an argument is out of range.

    Source: the pre-training of the backbone, Nicolicioiu, Duta and Leordeanu (NeurIPS 2019), §3.1.
    """

    num_classes = NUM_CLASSES

    def __init__(
        self,
        digits: DigitImages,
        max_digits: int = 1,
        overlap: float = 0.0,
        frame_size: int = 64,
        canvas_size: int = 100,
        num_frames: int = 600_000,
        seed: int = 0,
    ) -> None:
        check_seed(seed)
        check_sizes(frame_size=frame_size, canvas_size=canvas_size, num_frames=num_frames)
        check_max_digits(max_digits)
        check_overlap(overlap, max_digits)
        self.digits = digits
        self.max_digits = max_digits
        self.overlap = overlap
        self.frame_size = frame_size
        self.canvas_size = canvas_size
        self.num_frames = num_frames
        self.seed = seed

    def __len__(self) -> int:
        return self.num_frames

    def draw(self, indices: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """What the frames at `indices` show.

        Returns:
            Classes (B, n), images (B, n) and rows and columns of the corners on the canvas (B, n, 2) of up to n =
            `max_digits` digits; class and image are -1 in the places of digits that a frame does not show.

        Raises:
            IndexError: If an index is out of range.
        """
        for index in (min(indices), max(indices)) if len(indices) else ():
            check_index(index, len(self))
        n = self.max_digits
        bits = random_bits(self.seed, f"placed_digits/{self.digits.split}", indices, np.arange(_OFFSET_DRAWS.max() + 1))
        shown = np.arange(n) <= below(bits[:, [_NUM_DIGITS_DRAW]], n)
        classes = np.argsort(bits[:, _CLASS_DRAWS], axis=1, kind="stable")[:, :n]
        images = self.digits.pick(classes, bits[:, _IMAGE_DRAWS[:n]])
        places = self.canvas_size - DIGIT_SIZE
        corners = below(bits[:, _CORNER_DRAWS[:n]], places)
        over = below(bits[:, _OVERLAP_DRAW], PROBABILITY_UNITS) < round(self.overlap * PROBABILITY_UNITS)
        corners[over, 1:2] = np.clip(corners[over, 0] + offset(bits[over][:, _OFFSET_DRAWS]), 0, places - 1)[:, None]
        return np.where(shown, classes, -1), np.where(shown, images, -1), corners

    def batch(self, indices: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        """The frames at `indices`, uint8 (B, 1, S, S), their classes, bool (B, 10), and centres, float32 (B, 10, 2)."""
        classes, images, corners = self.draw(indices)
        frames = render(self.digits.images, images, corners[:, None], self.canvas_size, self.frame_size)
        shown = np.zeros((len(indices), NUM_CLASSES), dtype=bool)
        centre = np.zeros((len(indices), NUM_CLASSES, 2), dtype=np.float32)
        frame, place = np.nonzero(classes >= 0)
        shown[frame, classes[frame, place]] = True
        centre[frame, classes[frame, place]] = (corners[frame, place] + DIGIT_SIZE / 2) / self.canvas_size
        return torch.from_numpy(frames), torch.from_numpy(shown), torch.from_numpy(centre)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        frame, shown, centre = self.batch([index])
        return frame[0], shown[0], centre[0]

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Tensor, ...]]:
        return StackedItems(self.batch(indices))


def check_max_digits(max_digits: int) -> None:
    """Raises ValueError unless `max_digits` is an integer from 1 to 10."""
    check_sizes(max_digits=max_digits)
    if max_digits > NUM_CLASSES:
        raise ValueError(f"Expected 'max_digits' to be at most {NUM_CLASSES} (got {max_digits})")


def check_overlap(overlap: float, max_digits: int) -> None:
    """Raises ValueError unless `overlap` is a share, and 0 where there is no second digit."""
    if max_digits == 1 and overlap != 0:
        raise ValueError(f"Expected 'overlap' to be 0, as 'max_digits' is 1 (got {overlap})")
    if not 0 <= overlap <= 1:
        raise ValueError(f"Expected 'overlap' to be between 0 and 1 (got {overlap})")
