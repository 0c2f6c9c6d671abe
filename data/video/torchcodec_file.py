"""A video file, decoded with torchcodec."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from data.video.video_error import VideoError

TORCHCODEC_SUFFIXES = (".3gp", ".m4v", ".mkv", ".mov", ".mp4", ".webm")


class TorchCodecFile:
    """The frames of a video file by their exact numbers, as :class:`~data.video.pyav_file.PyAVFile` gives them.

    That holds for the containers of :data:`TORCHCODEC_SUFFIXES`. In those of MPEG streams (``.mpg``, ``.ts``), and in
    AVI files with B-frames, torchcodec 0.17 finds other frames than those asked for, without an error. Frames that the
    codec has filled with a guess over damage come without one, too, as torchcodec does not say which they are.

    Args:
        path: The file.
        threads: Threads that decode.

    Raises:
        ImportError: If torchcodec is not installed.
        VideoError: If the file is missing or damaged, holds no video, or is of another container.
    """

    def __init__(self, path: str | Path, threads: int = 1) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() not in TORCHCODEC_SUFFIXES:
            raise VideoError(
                f"Expected {self.path} to be one of {', '.join(TORCHCODEC_SUFFIXES)}, since 'decoder' is 'torchcodec', "
                "which gives wrong frames of other containers ('auto' decodes these with PyAV)"
            )
        try:
            from torchcodec.decoders import VideoDecoder
        except ImportError as error:
            raise ImportError(
                "Expected torchcodec, and FFmpeg's libraries, to be installed, since 'decoder' is 'torchcodec' "
                f"(the extra 'codec'; {error})"
            ) from error

        if not self.path.is_file():
            raise VideoError(f"Expected {self.path} to be a whole video (no such file)")
        try:
            self._decoder = VideoDecoder(str(self.path), num_ffmpeg_threads=threads, seek_mode="exact")
        except (RuntimeError, ValueError) as error:
            raise VideoError(f"Expected {self.path} to be a whole video ({_reason(error)})") from error
        if not self.num_frames:
            raise VideoError(f"Expected {self.path} to hold frames (got none)")

    @property
    def num_frames(self) -> int:
        """Frames in the video."""
        return len(self._decoder)

    def read(self, indices: Sequence[int]) -> Tensor:
        """The frames at `indices`, counted from 0, uint8 [len(indices), 3, H, W].

        Raises:
            VideoError: If one of them cannot be decoded.
        """
        try:
            return self._decoder.get_frames_at(list(indices)).data
        except (RuntimeError, IndexError) as error:
            raise VideoError(f"Expected {self.path} to be a whole video ({_reason(error)})") from error

    def __enter__(self) -> "TorchCodecFile":
        return self

    def __exit__(self, *error: object) -> None:
        """The decoder closes the file itself."""


def _reason(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
