"""From the digits' places to frames: painting on the canvas and the antialiased resize.

Everything is integer arithmetic, or floating point on integers small enough to be exact, so the same places give the
same bytes on every machine. A stack of frames has the frame as its last axis here: every operation then runs over long
rows.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

DIGIT_SIZE = 28
INK = 10
"""Pixels of a digit with at least this value replace the canvas; fainter ones leave it as it is."""
_FRAMES_AT_ONCE = 320  # keeps the work inside a core's cache


def render(
    images: NDArray[np.uint8],
    digit_index: NDArray[np.int64],
    coords: NDArray[np.int64],
    canvas_size: int,
    frame_size: int,
) -> NDArray[np.uint8]:
    """Paints the digits of each video in order, later over earlier, and resizes the canvas to the frame.

    Args:
        images: All digit images, (M, 28, 28).
        digit_index: Which images each video shows, (B, n); -1 for none.
        coords: Row and column of each digit's top-left corner on the canvas, (B, T, n, 2).
        canvas_size: Side of the square canvas in pixels.
        frame_size: Side of the square frame in pixels.

    Returns:
        Frames of shape (B, T, frame_size, frame_size).
    """
    num_videos, num_frames = coords.shape[:2]
    frames = np.empty((num_videos, num_frames, frame_size, frame_size), dtype=np.uint8)
    step = max(1, _FRAMES_AT_ONCE // num_frames)
    resize = AntialiasedResize.of(canvas_size, frame_size)
    for first in range(0, num_videos, step):
        part = slice(first, first + step)
        resized = resize(paint(images, digit_index[part], coords[part], canvas_size))
        flat = resized.reshape(frame_size**2, -1)
        out = frames[part].reshape(-1, frame_size**2)
        for frame in range(0, len(out), 32):  # transposed in blocks: in one go it is four times slower
            out[frame : frame + 32] = flat[:, frame : frame + 32].T
    return frames


def paint(
    images: NDArray[np.uint8], digit_index: NDArray[np.int64], coords: NDArray[np.int64], canvas_size: int
) -> NDArray[np.int16]:
    """Paints digits on empty canvases; arguments as in :func:`render`. Returns (canvas_size, canvas_size, B * T)."""
    num_videos, num_frames, num_digits = coords.shape[:3]
    canvas = np.zeros((canvas_size**2, num_videos * num_frames), dtype=np.int16)
    flat_canvas = canvas.reshape(-1)
    corner = coords[..., 0] * canvas_size + coords[..., 1]  # [B, T, n]
    place = corner * canvas.shape[1] + np.arange(canvas.shape[1]).reshape(num_videos, num_frames, 1)
    for k in range(num_digits):
        shown = np.flatnonzero(digit_index[:, k] >= 0)
        pixels = images[digit_index[shown, k]]
        video, row, column = np.nonzero(pixels >= INK)
        offset = (row * canvas_size + column) * canvas.shape[1]  # [ink]
        flat_canvas[place[shown[video], :, k] + offset[:, None]] = pixels[video, row, column][:, None]
    return canvas.reshape(canvas_size, canvas_size, -1)


class AntialiasedResize:
    r"""Bilinear resize of square frames with antialiasing, exact, with halves rounded up.

    The filter is the one of ``torch.nn.functional.interpolate(mode="bilinear", antialias=True)``: with
    :math:`s = C / F` the output pixel i is the mean of the inputs j weighted by the triangle
    :math:`\max(0, 1 - |j + 1/2 - s (i + 1/2)| / \max(s, 1))`. Multiplied by :math:`2 \max(C, F)` these weights are
    integers

    .. math::
        w_{ij} = \max(0,\; 2 \max(C, F) - |(2j + 1) F - (2i + 1) C|),

    so that an output is a ratio of integers, :math:`\sum w_{ik} w_{jl} x_{kl} / (S_i S_j)` with :math:`S_i = \sum_j
    w_{ij}`, and its rounding does not depend on the machine.

    Args:
        canvas_size: Side C of the input.
        frame_size: Side F of the output.
    """

    def __init__(self, canvas_size: int, frame_size: int) -> None:
        inputs, outputs = 2 * np.arange(canvas_size) + 1, 2 * np.arange(frame_size)[:, None] + 1
        weights = np.maximum(0, 2 * max(canvas_size, frame_size) - np.abs(inputs * frame_size - outputs * canvas_size))
        weights //= np.gcd.reduce(weights, axis=None)
        total = weights.sum(axis=1)
        denominator = total[:, None] * total  # [F, F]
        self._taps = [[(int(j), int(w[j])) for j in np.flatnonzero(w)] for w in weights]
        self._row_type = np.int16 if 255 * total.max() < 2**15 else np.int32
        # Half-up rounding of n / d is floor((n + d // 2) / d). Half a unit more keeps the quotient at least 1 / (2 d)
        # away from the next integer on both sides. In float32 the error of the quotient is below 256 * 2^-23, which is
        # less while d < 2^14.
        self._type = np.float32 if denominator.max() < 2**14 else np.float64
        self._offset = (denominator // 2 + 0.5).astype(self._type)
        self._inverse = (1 / denominator).astype(self._type)

    @staticmethod
    @lru_cache(maxsize=8)
    def of(canvas_size: int, frame_size: int) -> "AntialiasedResize":
        """The resize between two sizes, made once."""
        return AntialiasedResize(canvas_size, frame_size)

    def __call__(self, canvas: NDArray[np.int16]) -> NDArray[np.uint8]:
        """Resizes (C, C, frames) with values 0-255 to (F, F, frames)."""
        frame_size, (canvas_size, _, num_frames) = len(self._taps), canvas.shape
        canvas = canvas.astype(self._row_type, copy=False)
        rows = np.empty((frame_size, canvas_size, num_frames), dtype=self._row_type)
        product = np.empty((canvas_size, num_frames), dtype=self._row_type)
        for out, taps in zip(rows, self._taps, strict=True):
            _weighted_sum([(canvas[j], w) for j, w in taps], out, product)
        frames = np.empty((frame_size, frame_size, num_frames), dtype=np.uint8)
        columns: dict[int, np.ndarray] = {}
        total = np.empty((frame_size, num_frames), dtype=self._type)
        product = np.empty_like(total)
        for i, taps in enumerate(self._taps):
            # Neighbouring outputs share inputs: each is converted once, just before its first use.
            columns = {j: columns[j] if j in columns else rows[:, j].astype(self._type) for j, _ in taps}
            _weighted_sum([(columns[j], w) for j, w in taps], total, product)
            total += self._offset[i, :, None]
            total *= self._inverse[i, :, None]
            frames[:, i] = total  # the cast drops the fraction
        return frames


def _weighted_sum(terms: list[tuple[np.ndarray, int]], out: np.ndarray, product: np.ndarray) -> None:
    """Writes the sum of weight times array to `out`, using `product` as work space."""
    np.multiply(*terms[0], out=out)
    for array, weight in terms[1:]:
        np.multiply(array, weight, out=product)
        np.add(out, product, out=out)
