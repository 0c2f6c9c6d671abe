"""Which scene is which video: a pure function of (seed, split, index)."""

import math

import numpy as np
from numpy.typing import NDArray

from data.argument_checks import check_index, check_seed, check_sizes
from data.counter_rng import random_bits
from data.video.scenes.actions import ACTIONS, NUM_DRAWS, class_templates
from data.video.scenes.scene import NUM_TEXTURE_DRAWS, SHAPES, Scene, make_texture
from data.video.something_something import SPLIT_FILES, Split

FRAMES_PER_SECOND = 12
ASPECTS = (4 / 3, 3 / 4)
"""Width by height of landscape and portrait videos."""
LOOKS = ((0.35, 0.6, 0.2), (0.75, 1.0, 0.3), (0.0, 0.2, 0.3))
"""Darkest and brightest colour and contrast of the background and the two objects."""


class SceneSet:
    """The scenes of a split.

    Of every eight videos in a row each class has one. What a scene looks like is drawn without regard to whether it is
    played forwards or backwards, so a video and its mirror image in time are equally likely: its frames without their
    order do not say which of the two classes of a pair it is.

    Args:
        split: ``"train"``, ``"val"`` or ``"test"``; they share no scenes.
        num_videos: Videos in the split.
        height: Height of the frames in pixels, an even number.
        seconds: The shortest and the longest video.
        portrait: The share of videos that are higher than wide.
        seed: The seed, in [0, 2^64).

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        split: Split,
        num_videos: int,
        height: int = 96,
        seconds: tuple[float, float] = (2.0, 6.0),
        portrait: float = 0.25,
        seed: int = 0,
    ) -> None:
        check_seed(seed)
        if split not in SPLIT_FILES:
            raise ValueError(f"Expected 'split' to be one of {list(SPLIT_FILES)} (got {split!r})")
        check_sizes(num_videos=num_videos, height=height)
        if height % 2 or height < 16:
            raise ValueError(f"Expected 'height' to be an even number of at least 16 (got {height})")
        if not 1 / FRAMES_PER_SECOND <= seconds[0] <= seconds[1] < math.inf:
            raise ValueError(
                f"Expected 'seconds' to be the shortest and the longest time, of 1/{FRAMES_PER_SECOND} s or more "
                f"(got {seconds})"
            )
        if not 0 <= portrait <= 1:
            raise ValueError(f"Expected 'portrait' to be in [0, 1] (got {portrait})")
        self.split = split
        self.num_videos = num_videos
        self.height = height
        self.seconds = seconds
        self.portrait = portrait
        self.seed = seed

    def __len__(self) -> int:
        return self.num_videos

    def template(self, index: int) -> str:
        """The template of a video, with brackets."""
        action, backwards = self._what(index)
        return ACTIONS[action].backwards if backwards else ACTIONS[action].forwards

    def label(self, index: int) -> int:
        """The label of a video, the place of its template among :func:`class_templates`."""
        return class_templates().index(self.template(index))

    def placeholders(self, index: int) -> list[str]:
        """What stands for each "[something]" in the template of a video."""
        (action, _), shapes = self._what(index), self.scene(index).shapes
        named = ACTIONS[action].named[: self.template(index).count("[something]")]
        return [f"a {shapes[body]}" for body in named]

    def scene(self, index: int, backwards: bool | None = None) -> Scene:
        """The scene of a video.

        Args:
            index: Which video.
            backwards: None for what the video shows; otherwise the scene is played the way asked for.

        Raises:
            IndexError: If `index` is out of range.
        """
        action, shown_backwards = self._what(index)
        draws = self._draws("scene", index, 8 + NUM_DRAWS)
        looks, where = draws[:8], draws[8:]
        aspect = ASPECTS[int(looks[0] < self.portrait)]
        width = 2 * round(self.height * aspect / 2)
        shortest, longest = (round(seconds * FRAMES_PER_SECOND) for seconds in self.seconds)
        unit = min(self.height, width)
        textures = self._draws("texture", index, 3 * NUM_TEXTURE_DRAWS).reshape(3, -1)
        angle, speed = 2 * np.pi * looks[6], 0.1 + 0.3 * looks[7]
        return Scene(
            height=self.height,
            width=width,
            num_frames=shortest + int(looks[1] * (longest - shortest + 1)),
            moves=ACTIONS[action].moves(where, np.array([width, self.height]) / unit),
            begin=0.25 * looks[2],
            end=1 - 0.25 * looks[3],
            shapes=(SHAPES[int(looks[4] * len(SHAPES))], SHAPES[int(looks[5] * len(SHAPES))]),
            textures=np.stack([make_texture(t, *look) for t, look in zip(textures, LOOKS, strict=True)]),
            pan=speed * np.array([np.cos(angle), np.sin(angle)]),
            backwards=shown_backwards if backwards is None else backwards,
        )

    def _what(self, index: int) -> tuple[int, bool]:
        """The number of the action and whether it is played backwards; eight in a row are a permutation of all."""
        check_index(index, len(self))
        block, place = divmod(index, 2 * len(ACTIONS))
        order = np.argsort(self._bits("class", block, 2 * len(ACTIONS)), kind="stable")
        return int(order[place]) // 2, bool(order[place] % 2)

    def _bits(self, what: str, index: int, number: int) -> NDArray[np.uint64]:
        return random_bits(self.seed, f"scenes/{self.split}/{what}", [index], np.arange(number))[0]

    def _draws(self, what: str, index: int, number: int) -> NDArray[np.float64]:
        """Numbers in [0, 1)."""
        return (self._bits(what, index, number) >> np.uint64(11)) / 2.0**53
