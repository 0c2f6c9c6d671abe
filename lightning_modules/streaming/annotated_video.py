"""The scores drawn into the video."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import av.container
from PIL import Image, ImageDraw, ImageFont
from torchvision.transforms.v2.functional import to_pil_image

from lightning_modules.streaming.scored_frame import ScoredFrame

SUFFIXES = (".mp4", ".mkv")
# A file whose process is killed can be read up to about there.
OPTIONS = {"flush_packets": "1", "movflags": "frag_keyframe+empty_moov+default_base_moof"}
TICK = Fraction(1, 90_000)  # the usual unit of a video's times, in seconds
SMALLEST_SIDE = 256  # pixels that leave room for text


class AnnotatedVideo:
    """A video (H.264) of the frames that were scored, at their own times, with the likeliest classes in a corner.

    Small frames are drawn larger, by a whole number.

    Args:
        path: The file, .mp4 or .mkv.
        class_names: The name of every class.

    Raises:
        FileExistsError: If it is there already.
        ValueError: If its name ends otherwise.
    """

    def __init__(self, path: Path, class_names: Sequence[str]) -> None:
        if path.suffix.lower() not in SUFFIXES:
            raise ValueError(f"Expected 'out' to end in {' or '.join(SUFFIXES)} (got '{path}')")
        if path.exists():
            raise FileExistsError(f"Expected 'out' to be a new file (got '{path}', which is there)")
        self.class_names = class_names
        self._path = path
        self._container: av.container.OutputContainer | None = None

    def write(self, scored: ScoredFrame) -> None:
        """Add a frame.

        Raises:
            ValueError: If it has another size than the first.
        """
        image = annotate(to_pil_image(scored.frame.image), scored.likeliest(self.class_names))
        if self._container is None:  # no earlier: a model that refuses the first frame leaves no file
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._container = av.open(str(self._path), "w", options=OPTIONS)
            self._stream = self._container.add_stream("libx264")
            self._stream.width, self._stream.height = image.size
            self._stream.pix_fmt = "yuv420p"
            self._stream.codec_context.time_base = TICK
            self._stream.codec_context.max_b_frames = 0  # with them the first frame of such a file would come late
        if image.size != (self._stream.width, self._stream.height):
            raise ValueError(
                f"Expected all frames to have the size of the first where 'out' is given (got {image.size} after "
                f"{(self._stream.width, self._stream.height)} at frame {scored.frame.number})"
            )
        picture = av.VideoFrame.from_image(image)
        picture.pts, picture.time_base = round(scored.frame.time / TICK), TICK
        self._container.mux(self._stream.encode(picture))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        if self._container is not None:
            self._container.mux(self._stream.encode(None))
            self._container.close()


def annotate(image: Image.Image, scores: Sequence[tuple[str, float]]) -> Image.Image:
    """A copy of a picture, of even sides of 256 pixels or more, with a bar for each of some classes.

    Args:
        image: The picture.
        scores: Names and probabilities.
    """
    factor = -(-SMALLEST_SIDE // min(image.size))
    width, height = (factor * side // 2 * 2 for side in image.size)  # the codec's colours are of 2×2 pixels
    image = image.resize((factor * image.width, factor * image.height), Image.Resampling.NEAREST)
    image = image.crop((0, 0, width, height))
    draw = ImageDraw.Draw(image, "RGBA")
    line = min(width, height) // 14
    for row, (name, share) in enumerate(scores):
        top = row * line
        draw.rectangle((0, top, width // 2, top + line - 1), fill=(0, 0, 0, 150))
        draw.rectangle((0, top, round(share * width / 2), top + line - 1), fill=(0, 114, 178, 200))
        draw.text(
            (3, top + line / 2), f"{share:4.0%} {name}", (255,) * 3, ImageFont.load_default(line - 4), anchor="lm"
        )
    return image
