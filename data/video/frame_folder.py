"""A video as a folder of images, one a frame."""

import re
from collections.abc import Iterator, Sequence
from itertools import chain, islice, pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor

from data.video.video_error import VideoError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
DAMAGE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)  # Pillow's words for it


class FrameFolder:
    """The frames of a folder such as ``00001.jpg, 00002.jpg, …``, in the order of the numbers that end their names.

    Args:
        path: The folder. Hidden files, and those that are no images, are left alone.

    Raises:
        VideoError: If there are no images, one has no number, or a number is missing or there twice.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        files: dict[int, Path] = {}
        for file in self.path.iterdir():
            if file.name.startswith(".") or file.suffix.lower() not in IMAGE_SUFFIXES:
                continue
            number = re.search(r"\d+$", file.stem)
            if number is None:
                raise VideoError(
                    f"Expected the frames of {self.path} to be numbered, as in 00001.jpg (got {file.name})"
                )
            if files.setdefault(int(number[0]), file) != file:
                raise VideoError(f"Expected one frame {int(number[0])} in {self.path} (got two)")
        if not files:
            raise VideoError(f"Expected {self.path} to hold frames, {', '.join(IMAGE_SUFFIXES)} (got none)")
        numbers = sorted(files)
        gaps = (range(before + 1, after) for before, after in pairwise(numbers))
        missing = list(islice(chain.from_iterable(gaps), 10))
        if missing:
            raise VideoError(
                f"Expected {self.path} to hold all frames {numbers[0]} to {numbers[-1]} (got none for {missing})"
            )
        self._files = [files[number] for number in numbers]

    @property
    def num_frames(self) -> int:
        """Frames in the video."""
        return len(self._files)

    def read(self, indices: Sequence[int]) -> Tensor:
        """The frames at `indices`, counted from 0, uint8 [len(indices), 3, H, W].

        Raises:
            VideoError: If an image is damaged, has no values of 8 or 16 bits, or has another size than those before.
        """
        return torch.stack(list(self._images(indices)))

    def check(self) -> None:
        """Read all frames, and keep none.

        Raises:
            VideoError: See :meth:`read`.
        """
        for _ in self._images(range(self.num_frames)):
            pass

    def _images(self, indices: Sequence[int]) -> Iterator[Tensor]:
        first: Tensor | None = None
        for index in indices:
            file = self._files[index]
            try:
                with Image.open(file) as image:
                    ImageOps.exif_transpose(image, in_place=True)  # as it is to be seen: phones note the rotation
                    frame = pil_to_tensor(_eight_bits(image, file).convert("RGB"))
            except VideoError:
                raise
            except DAMAGE as error:
                raise VideoError(f"Expected {file} to be a whole image ({error})") from error
            first = frame if first is None else first
            if frame.shape != first.shape:
                expected, got = list(first.shape[1:]), list(frame.shape[1:])
                raise VideoError(f"Expected {file} to be of the size of the other frames, {expected} (got {got})")
            yield frame

    def __enter__(self) -> "FrameFolder":
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing is open between reads."""


def _eight_bits(image: Image.Image, file: Path) -> Image.Image:
    """The image, with 16-bit grey values brought to 8 bits, which Pillow would cut off at 255."""
    if image.mode not in ("I", "F") and not image.mode.startswith("I;16"):
        return image
    image.load()
    values = np.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 65535:
        raise VideoError(f"Expected {file} to have values of 8 or 16 bits (got Pillow's mode {image.mode!r})")
    return Image.fromarray(((values.astype(np.int64) + 128) // 257).astype(np.uint8))
