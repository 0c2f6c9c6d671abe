"""From a scene to frames: textured objects, a bright and a dark one, on a textured background that moves."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.video.scenes.actions import Moves

SHAPES = ("disc", "box", "diamond", "star")
_TEXTURE = 64


@dataclass(frozen=True)
class Scene:
    """A scene, with all that its frames follow from.

    Args:
        height: Height of the frames in pixels.
        width: Width of the frames in pixels.
        num_frames: Frames in the video.
        moves: The objects' ways.
        begin: The moment at which the objects start, in shares of the video.
        end: The moment at which they have arrived.
        shapes: Two of :data:`SHAPES`, the first object's and the second's if there is one.
        textures: Of the background and the two objects, uint8 (3, 64, 64, 3); they tile.
        pan: The way of the background over the video, (x, y) in units of the frame's shorter side.
        backwards: Whether the frames come in reverse order.
    """

    height: int
    width: int
    num_frames: int
    moves: Moves
    begin: float
    end: float
    shapes: tuple[str, str]
    textures: NDArray[np.uint8]
    pan: NDArray[np.float64]
    backwards: bool = False

    def frames(self) -> NDArray[np.uint8]:
        """The frames, uint8 (T, H, W, 3)."""
        unit = min(self.height, self.width)
        x, y = (np.arange(self.width) + 0.5) / unit, (np.arange(self.height) + 0.5) / unit
        frames = np.empty((self.num_frames, self.height, self.width, 3), dtype=np.uint8)
        for number, moment in enumerate(np.linspace(0, 1, self.num_frames)):
            shift = self.pan * (moment - 0.5)
            frame = sample_texture(self.textures[0], x - shift[0], y - shift[1], repeats=1.5)
            progress = np.clip((moment - self.begin) / (self.end - self.begin), 0, 1)
            places = self.moves.start + (self.moves.end - self.moves.start) * progress
            for body in reversed(range(len(places))):  # the first object is in front
                radius = self.moves.radius[body]
                dx, dy = x - places[body, 0], y - places[body, 1]
                columns, rows = (np.flatnonzero(np.abs(d) < 1.2 * radius) for d in (dx, dy))
                if not len(columns) or not len(rows):
                    continue
                box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
                dx, dy = dx[box[1]], dy[box[0]]
                inside = coverage(self.shapes[body], dx / radius, dy[:, None] / radius)
                softened = np.clip(0.5 + inside * radius * unit, 0, 1)[..., None]
                frame[box] += softened * (sample_texture(self.textures[1 + body], dx, dy, repeats=3.0) - frame[box])
            frames[number] = np.rint(frame)
        return frames[::-1].copy() if self.backwards else frames


def coverage(shape: str, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far a place is inside a shape of radius 1 around the origin, negative outside, in radii."""
    if shape == "disc":
        return 1 - np.hypot(x, y)
    if shape == "box":
        return 0.85 - np.maximum(np.abs(x), np.abs(y))
    if shape == "diamond":
        return (1.15 - np.abs(x) - np.abs(y)) / np.sqrt(2)
    return 0.85 + 0.2 * np.cos(5 * np.arctan2(y, x)) - np.hypot(x, y)


def sample_texture(
    texture: NDArray[np.uint8], x: NDArray[np.float64], y: NDArray[np.float64], repeats: float
) -> NDArray[np.float64]:
    """The texture's colours at a grid of places, bilinear, tiled `repeats` times over one unit: float (H, W, 3)."""
    return _interpolated(_interpolated(texture, y * repeats).swapaxes(0, 1), x * repeats).swapaxes(0, 1)


def make_texture(draws: NDArray[np.float64], darkest: float, brightest: float, contrast: float) -> NDArray[np.uint8]:
    """A texture that tiles: a colour, and noise at three scales around it.

    Args:
        draws: Numbers in [0, 1), (3 + 3 * (16 + 64 + 256),).
        darkest: The least that red, green and blue of the colour are, as a share of the range.
        brightest: The most that they are.
        contrast: How far the noise goes from the colour, as a share of the range.

    Returns:
        uint8 (64, 64, 3).
    """
    colour, noise = draws[:3], draws[3:]
    texture = np.zeros((_TEXTURE, _TEXTURE, 3))
    for side in (4, 8, 16):
        grid, noise = noise[: 3 * side * side].reshape(side, side, 3), noise[3 * side * side :]
        texture += _enlarged(grid - 0.5) * np.sqrt(4 / side)
    return np.rint(255 * np.clip(darkest + (brightest - darkest) * colour + contrast * texture, 0, 1)).astype(np.uint8)


NUM_TEXTURE_DRAWS = 3 + 3 * (16 + 64 + 256)


def _enlarged(grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """A tile (s, s, 3) enlarged to (64, 64, 3)."""
    place = np.arange(_TEXTURE) / _TEXTURE
    return _interpolated(_interpolated(grid, place).swapaxes(0, 1), place).swapaxes(0, 1)


def _interpolated(rows: NDArray, place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows between rows, linear and wrapped around; places are in shares of their number."""
    low = np.floor(place * len(rows)).astype(int)
    share = (place * len(rows) - low)[:, None, None]
    return rows[low % len(rows)] * (1 - share) + rows[(low + 1) % len(rows)] * share
