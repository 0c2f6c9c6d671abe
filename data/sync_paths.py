"""Which digits a SyncMNIST video shows and where: drawn at random, or recorded in a file."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data.argument_checks import check_seed
from data.counter_rng import below, random_bits
from data.curriculum import Curriculum
from data.digits import DigitImages
from data.npz_arrays import read_npz
from data.pair_labels import NO_PAIR, pair_to_label
from data.rendering import DIGIT_SIZE

PUBLISHED_TEST_PATHS = Path(__file__).parent / "syncmnist_paths" / "5syncmnist_test_paths.npz"

# Which draw of a video's random sequence is used for what. A digit's draws have their own places whether or not the
# video shows it, and frames come last: so more digits or more frames leave the rest of a video as it is.
_NO_PAIR_DRAW = 0
_CLASS_DRAWS = 1 + np.arange(10)
_IMAGE_DRAWS = 11 + np.arange(10)
_START_DRAWS = 21 + np.arange(20).reshape(10, 2)
_MOVE_DRAWS = 41 + np.arange(20).reshape(10, 2)
_DRAWS_PER_FRAME = 20
# Frames end where nobody comes, so what was thought of later has its place far behind them.
_OVERLAP_DRAW = 1 << 30
_OFFSET_DRAWS = _OVERLAP_DRAW + 1 + np.arange(2)
PROBABILITY_UNITS = 1 << 24
OVERLAP_DISTANCE = 12
"""How far, in canvas pixels and on each axis, a digit that lies over another may be off."""


class SyncPaths(NamedTuple):
    """What a batch of videos is made of. The first two digits of a video are the pair.

    Attributes:
        coords: Row and column of each digit's top-left corner on the canvas, in every frame, after the move: (B, T, n,
            2).
        classes: The digits 0-9, (B, n); -1 in the places of digits that a video does not show.
        digit_index: Index into the images of :class:`~data.digits.DigitImages`, (B, n); -1 likewise.
        synchronous: Whether the pair moves in synchrony, bool (B,).
        label: 0-44 for the pairs, 45 for "no pair", (B,).
    """

    coords: NDArray[np.int64]
    classes: NDArray[np.int64]
    digit_index: NDArray[np.int64]
    synchronous: NDArray[np.bool_]
    label: NDArray[np.int64]


class RandomPaths:
    """Paths drawn as the published data set was made; each is a pure function of (seed, split, index).

    Corners start uniformly on the canvas. Before every frame, the first too, each digit moves by an integer drawn
    uniformly from [lo, hi) on each axis, lo = max(-max_move, -p) and hi = min(max_move, last - p), where p is its
    position and `last` the last one. A synchronous pair moves by one common draw from the intersection of its digits'
    ranges, and not at all on an axis where that is empty. In a share `overlap` of the videos the second digit starts
    over the first, up to 12 canvas pixels off. Arguments are those of :class:`~data.syncmnist.SyncMNIST`.
    """

    def __init__(
        self,
        digits: DigitImages,
        num_digits: Curriculum,
        num_frames: int,
        canvas_size: int,
        max_move: Curriculum,
        no_pair: Curriculum,
        overlap: Curriculum,
        seed: int,
    ) -> None:
        check_seed(seed)
        self.digits = digits
        self.num_digits, self.max_move, self.no_pair, self.overlap = num_digits, max_move, no_pair, overlap
        self.num_frames = num_frames
        self.last_position = canvas_size - DIGIT_SIZE - 1
        self.seed = seed
        self.stream = f"syncmnist/{digits.split}"

    def __call__(self, indices: ArrayLike) -> SyncPaths:
        """The paths of the videos at `indices` (B,); n is the largest number of digits anywhere in the stream."""
        indices = np.asarray(indices, dtype=np.int64)
        n = self.num_digits.max_units
        shown = np.arange(n) < self.num_digits.units(indices)[:, None]  # [B, n]
        classes = self._draw_classes(indices, n)
        digit_index = self.digits.pick(classes, self._bits(indices, _IMAGE_DRAWS[:n]))
        lonely = self._happens(indices, _NO_PAIR_DRAW, self.no_pair)
        label = np.where(lonely, NO_PAIR, pair_to_label(classes[:, 0], classes[:, 1]))
        return SyncPaths(
            coords=self._walk(indices, n, ~lonely),
            classes=np.where(shown, classes, -1),
            digit_index=np.where(shown, digit_index, -1),
            synchronous=~lonely,
            label=label,
        )

    def _bits(self, indices: NDArray[np.int64], draws: ArrayLike) -> NDArray[np.uint64]:
        return random_bits(self.seed, self.stream, indices, draws)

    def _happens(self, indices: NDArray[np.int64], draw: int, probability: Curriculum) -> NDArray[np.bool_]:
        return below(self._bits(indices, draw), PROBABILITY_UNITS) < probability.units(indices)

    def _draw_classes(self, indices: NDArray[np.int64], n: int) -> NDArray[np.int64]:
        """The first n of a shuffled 0-9 (Fisher and Yates): all different, every ordered pair equally likely."""
        order = np.tile(np.arange(10), (len(indices), 1))
        bits = self._bits(indices, _CLASS_DRAWS[:n])
        rows = np.arange(len(indices))
        for k in range(n):
            other = k + below(bits[:, k], 10 - k)
            order[rows, k], order[rows, other] = order[rows, other], order[rows, k]
        return order[:, :n]

    def _walk(self, indices: NDArray[np.int64], n: int, synchronous: NDArray[np.bool_]) -> NDArray[np.int64]:
        position = below(self._bits(indices, _START_DRAWS[:n]), self.last_position + 1)  # [B, n, 2]
        over = self._happens(indices, _OVERLAP_DRAW, self.overlap)
        second = position[over, 0] + offset(self._bits(indices[over], _OFFSET_DRAWS))
        position[over, 1] = np.clip(second, 0, self.last_position)
        max_move = self.max_move.units(indices)[:, None, None]
        paired = synchronous[:, None, None] & (np.arange(n)[:, None] < 2)  # [B, n, 1]
        draws = _MOVE_DRAWS[:n] + _DRAWS_PER_FRAME * np.arange(self.num_frames)[:, None, None]
        bits = self._bits(indices, draws)  # [B, T, n, 2]
        bits[:, :, 1] = np.where(
            synchronous[:, None, None], bits[:, :, 0], bits[:, :, 1]
        )  # the pair shares the first digit's
        coords = np.empty((len(indices), self.num_frames, n, 2), dtype=np.int64)
        for t in range(self.num_frames):
            lo = np.maximum(-max_move, -position)
            hi = np.minimum(max_move, self.last_position - position)
            lo = np.where(paired, lo[:, :2].max(axis=1, keepdims=True), lo)
            hi = np.where(paired, hi[:, :2].min(axis=1, keepdims=True), hi)
            position = position + np.where(hi > lo, lo + below(bits[:, t], np.maximum(hi - lo, 1)), 0)
            coords[:, t] = position
        return coords


def offset(bits: NDArray[np.uint64]) -> NDArray[np.int64]:
    """How far a digit that lies over another is off, uniformly in whole canvas pixels up to ``OVERLAP_DISTANCE``."""
    return below(bits, 2 * OVERLAP_DISTANCE + 1) - OVERLAP_DISTANCE


class RecordedPaths:
    """Paths read from an npz file, as the published test set is kept in ``data/syncmnist_paths``.

    Its arrays are ``coords`` uint8 [V, T, n, 2], ``digit_index`` uint16 [V, n] and ``synchronous`` bool [V].

    Args:
        path: The file.
        digits: The full MNIST test set, which ``digit_index`` counts in.
        canvas_size: Side of the canvas in pixels.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged or what it holds does not fit together, or `digits` are not the full test
            set.
    """

    def __init__(self, path: str | Path, digits: DigitImages, canvas_size: int) -> None:
        if (digits.source, digits.split) != ("mnist", "test"):
            raise ValueError(
                f"Expected 'digits' to be the full MNIST test set, which {path} counts its images in (got {digits!r}); "
                "pass DigitImages('test', 'mnist', root=...), on the command line `--data.source mnist --data.root ...`"
            )
        remedy = "The published test set can be restored with `git checkout -- data/syncmnist_paths`."
        shapes = {
            "coords": ("integer", (None, None, None, 2)),
            "digit_index": ("integer", (None, None)),
            "synchronous": ("bool", (None,)),
        }
        arrays = read_npz(path, shapes, remedy)
        self.coords = arrays["coords"].astype(np.int64)
        self.digit_index = arrays["digit_index"].astype(np.int64)
        self.synchronous = arrays["synchronous"]
        num_videos, num_frames, num_digits = self.coords.shape[:3]
        if min(num_videos, num_frames) < 1 or not 2 <= num_digits <= 10:
            raise ValueError(
                f"Expected 'coords' of {path} to hold at least one video and frame, and 2 to 10 digits "
                f"(got {list(self.coords.shape)})"
            )
        for name, shape in (("digit_index", (num_videos, num_digits)), ("synchronous", (num_videos,))):
            if arrays[name].shape != shape:
                raise ValueError(
                    f"Expected '{name}' of {path} to be {list(shape)}, since 'coords' is {list(self.coords.shape)} "
                    f"(got {list(arrays[name].shape)})"
                )
        _check_range(path, "digit_index", self.digit_index, len(digits) - 1)
        _check_range(path, "coords", self.coords, canvas_size - DIGIT_SIZE)
        self.classes = digits.labels[self.digit_index].astype(np.int64)
        same = np.flatnonzero(self.synchronous & (self.classes[:, 0] == self.classes[:, 1]))
        if len(same):
            raise ValueError(
                f"Expected the first two digits of every synchronous video of {path} to be of different classes "
                f"(got {self.classes[same[0], 0]} twice in video {same[0]})"
            )
        self.label = np.full(num_videos, NO_PAIR)
        pair = self.classes[self.synchronous]
        self.label[self.synchronous] = pair_to_label(pair[:, 0], pair[:, 1])

    def __call__(self, indices: ArrayLike) -> SyncPaths:
        """The paths of the videos at `indices` (B,)."""
        at = np.asarray(indices, dtype=np.int64)
        return SyncPaths(self.coords[at], self.classes[at], self.digit_index[at], self.synchronous[at], self.label[at])


def _check_range(path: str | Path, name: str, values: NDArray[np.int64], last: int) -> None:
    if values.min() < 0 or values.max() > last:
        got = values.min() if values.min() < 0 else values.max()
        raise ValueError(f"Expected '{name}' of {path} to be between 0 and {last} (got {got})")
