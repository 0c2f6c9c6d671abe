"""SyncMNIST: find the two digits that move in synchrony."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from data.argument_checks import check_index, check_sizes
from data.batches import StackedItems
from data.curriculum import Curriculum, Table
from data.digits import DigitImages
from data.pair_labels import NUM_CLASSES
from data.rendering import DIGIT_SIZE, render
from data.sync_paths import PROBABILITY_UNITS, RandomPaths, RecordedPaths, SyncPaths

Item = tuple[Tensor, int] | tuple[Tensor, Tensor, int]


class SyncMNIST(Dataset[Item]):
    r"""Videos of moving digits, all of different classes, of which one pair moves in synchrony.

    The class of a video is its pair: (i, j), i > j, has label i(i-1)/2 + j, and 45 stands for "no pair". An item is
    ``(video, label)``; video `index` is a pure function of (seed, split of `digits`, index), so that any worker, in any
    order and on any machine, makes the same bytes. Nothing is stored, and videos are made by the batch
    (``__getitems__``).

    `num_digits`, `max_move`, `no_pair` and `overlap` may be curricula: tables of (index, value) pairs, piecewise linear
    in the index of the video (see :class:`~data.curriculum.Curriculum`; the first two are rounded to integers).

    Shapes:
        - **item:** video uint8 :math:`(T, 1, S, S)`, label int
        - **batch:** video uint8 :math:`(B, T, 1, S, S)`, label int64 :math:`(B,)`
        - with ``boxes``, between the two: float32 :math:`(T, n, 4)`, in a batch :math:`(B, T, n, 4)`, the digits' boxes
          (y0, x0, y1, x1) in shares of the frame, NaN in the places of digits that a video does not show
        - with ``centres``, likewise: float32 :math:`(T, 10, 2)`, in a batch :math:`(B, T, 10, 2)`, row and column of
          the centre of each class 0-9 in shares of the frame's side, NaN where the video does not show it

    Args:
        digits: The images to draw from; their split is the split of the videos.
        num_digits: Digits in a video, 2-10; the paper has 3 and 5.
        num_frames: Frames in a video, T.
        frame_size: Side of a frame in pixels, S.
        canvas_size: Side in pixels of the canvas on which the 28×28 digits move, before it is resized to the frame.
        max_move: The bound of a digit's move per frame and axis, in canvas pixels: moves are drawn from
            [-max_move, max_move), cut so that the digit stays inside.
        no_pair: The probability that a video has no synchronous pair.
        overlap: The probability that the second digit starts over the first, up to 12 canvas pixels off on each axis. A
            pair covers each other in all frames then. 0 leaves it to chance, as published.
        num_videos: The length of the dataset.
        seed: The seed, in [0, 2^64).
        boxes: Whether items hold the boxes of the digits.
        centres: Whether items hold the centres of the digits, by class.

    Raises:
        ValueError: If an argument is out of range, or both `boxes` and `centres` are wanted.
        TypeError: If a curriculum is neither a number nor a list of pairs.

    Source: Nicolicioiu, Duta and Leordeanu, "Recurrent Space-time Graph Neural Networks" (NeurIPS 2019), §3.1.
    """

    num_classes = NUM_CLASSES

    def __init__(
        self,
        digits: DigitImages,
        num_digits: int | Table = 3,
        num_frames: int = 10,
        frame_size: int = 64,
        canvas_size: int = 100,
        max_move: int | Table = 10,
        no_pair: float | Table = 1 / 92,
        overlap: float | Table = 0.0,
        num_videos: int = 600_000,
        seed: int = 0,
        boxes: bool = False,
        centres: bool = False,
    ) -> None:
        if boxes and centres:
            raise ValueError("Expected 'centres' to be False beside boxes=True (got True)")
        check_sizes(num_frames=num_frames, frame_size=frame_size, canvas_size=canvas_size, num_videos=num_videos)
        self.digits = digits
        self.num_frames = num_frames
        self.frame_size = frame_size
        self.canvas_size = canvas_size
        self.num_videos = num_videos
        self.with_boxes = boxes
        self.with_centres = centres
        self._paths: RandomPaths | RecordedPaths = RandomPaths(
            digits,
            num_frames=num_frames,
            canvas_size=canvas_size,
            seed=seed,
            **make_curricula(num_digits, max_move, no_pair, overlap),
        )

    @classmethod
    def from_paths(
        cls,
        path: str | Path,
        digits: DigitImages,
        frame_size: int = 64,
        canvas_size: int = 100,
        boxes: bool = False,
    ) -> "SyncMNIST":
        """The videos whose paths are recorded in an npz file, such as the published 5SyncMNIST test set.

        Args:
            path: The file, see :class:`~data.sync_paths.RecordedPaths`.
            digits: The full MNIST test set, ``DigitImages("test", "mnist", root=...)``.
            frame_size: Side of a frame in pixels.
            canvas_size: Side of the canvas in pixels.
            boxes: Whether items hold the boxes of the digits.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the file is damaged or does not fit, or `digits` are not the full test set.
        """
        check_sizes(frame_size=frame_size, canvas_size=canvas_size)
        paths = RecordedPaths(path, digits, canvas_size)
        num_videos, num_frames, num_digits = paths.coords.shape[:3]
        dataset = cls(digits, num_digits, num_frames, frame_size, canvas_size, num_videos=num_videos, boxes=boxes)
        dataset._paths = paths
        return dataset

    def __len__(self) -> int:
        return self.num_videos

    def paths(self, indices: Sequence[int]) -> SyncPaths:
        """What the videos at `indices` are made of: coordinates, classes, images and whether the pair is synchronous.

        Raises:
            IndexError: If an index is out of range.
        """
        for index in (min(indices), max(indices)) if len(indices) else ():
            check_index(index, len(self))
        return self._paths(indices)

    def boxes(self, paths: SyncPaths) -> Tensor:
        """The boxes of the digits, float32 (B, T, n, 4), NaN in the places of digits that a video does not show."""
        corner = torch.from_numpy(paths.coords)
        box = torch.cat([corner, corner + DIGIT_SIZE], dim=-1) / self.canvas_size
        absent = torch.from_numpy(paths.digit_index < 0)
        return box.masked_fill(absent[:, None, :, None], math.nan)

    def centres(self, paths: SyncPaths) -> Tensor:
        """The centres of the digits by class, float32 (B, T, 10, 2), NaN for those that a video does not show."""
        video, place = np.nonzero(paths.digit_index >= 0)
        centres = np.full((*paths.coords.shape[:2], 10, 2), np.nan, dtype=np.float32)
        centre = (paths.coords + DIGIT_SIZE / 2) / self.canvas_size
        centres[video, :, paths.classes[video, place]] = centre[video, :, place]
        return torch.from_numpy(centres)

    def batch(self, indices: Sequence[int]) -> tuple[Tensor, ...]:
        """The videos at `indices`, uint8 (B, T, 1, S, S), their boxes or centres if wanted, and labels, int64 (B,)."""
        paths = self.paths(indices)
        frames = render(self.digits.images, paths.digit_index, paths.coords, self.canvas_size, self.frame_size)
        places = [self.boxes(paths)] if self.with_boxes else [self.centres(paths)] if self.with_centres else []
        return torch.from_numpy(frames).unsqueeze(2), *places, torch.from_numpy(paths.label)

    def __getitem__(self, index: int) -> Item:
        *fields, label = self.batch([index])
        return *(field[0] for field in fields), int(label)

    def __getitems__(self, indices: Sequence[int]) -> list[Item]:
        return StackedItems(self.batch(indices))


def make_curricula(
    num_digits: int | Table,
    max_move: int | Table,
    no_pair: float | Table,
    overlap: float | Table = 0.0,
    prefix: str = "",
) -> dict[str, Curriculum]:
    """Checks the settings that may change along the stream; errors name them with `prefix` before."""
    return {
        "num_digits": Curriculum(num_digits, f"{prefix}num_digits", 2, 10),
        "max_move": Curriculum(max_move, f"{prefix}max_move", 1, math.inf),
        "no_pair": Curriculum(no_pair, f"{prefix}no_pair", 0, 1, scale=PROBABILITY_UNITS),
        "overlap": Curriculum(overlap, f"{prefix}overlap", 0, 1, scale=PROBABILITY_UNITS),
    }
