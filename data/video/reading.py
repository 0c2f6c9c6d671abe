"""One way to read a video, whatever it is stored as."""

import importlib.util
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal, Protocol, get_args

from torch import Tensor

from data.video.frame_folder import FrameFolder
from data.video.pyav_file import PyAVFile
from data.video.torchcodec_file import TORCHCODEC_SUFFIXES, TorchCodecFile

Decoder = Literal["auto", "pyav", "torchcodec"]
DECODERS: tuple[str, ...] = get_args(Decoder)


class Video(Protocol):
    """What a stored video can be asked."""

    @property
    def num_frames(self) -> int:
        """Frames in the video."""
        ...

    def read(self, indices: Sequence[int]) -> Tensor:
        """The frames at `indices`, counted from 0, uint8 [len(indices), 3, H, W]."""
        ...


class OpenVideo(Video, AbstractContextManager["OpenVideo"], Protocol):
    """A video between being opened and closed."""


def open_video(path: str | Path, decoder: Decoder = "auto", threads: int = 1) -> OpenVideo:
    """Open a video, for a ``with`` statement.

    Args:
        path: A video file, or a folder with an image for each frame.
        decoder: What decodes files: ``"pyav"``, ``"torchcodec"``, or ``"auto"`` for torchcodec where it is installed
            and gives the right frames: of MP4, QuickTime, Matroska and WebM files.
        threads: Threads that decode a file.

    Raises:
        VideoError: If the video is missing, damaged or empty.
        ValueError: If there is no such decoder.
    """
    if decoder not in DECODERS:
        raise ValueError(f"Expected 'decoder' to be one of {list(DECODERS)} (got {decoder!r})")
    if Path(path).is_dir():
        return FrameFolder(path)
    if decoder == "auto":
        known = Path(path).suffix.lower() in TORCHCODEC_SUFFIXES
        decoder = "torchcodec" if known and importlib.util.find_spec("torchcodec") else "pyav"
    return TorchCodecFile(path, threads) if decoder == "torchcodec" else PyAVFile(path, threads)
