"""Where frames come from: a video file, a folder of images, a camera, an address."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import av

from data.playback.timed_frame import TimedFrame
from data.video.frame_folder import FrameFolder
from data.video.frame_image import frame_image

FOLDER_FRAME_RATE = 25.0
LIVE_PROTOCOLS = ("rtsp://", "rtsps://", "rtmp://", "udp://", "rtp://", "srt://")
TIMEOUT = 10.0  # seconds without anything from a camera or an address
CAMERAS = {"linux": ("/dev/video{}", "v4l2"), "darwin": ("{}", "avfoundation")}


class Source(Protocol):
    """Frames in their order, to go through once."""

    live: bool  # whether frames come at their time, not when they are asked for

    def __iter__(self) -> Iterator[TimedFrame]:
        """The frames."""
        ...


def open_source(source: str, frame_rate: float | None = None, stride: int = 1) -> Source:
    """Open what a user names.

    Args:
        source: A video file, a folder of numbered images, the number of a camera, or an address such as
            ``rtsp://host/path``. (A file whose name is a number is ``./0``.)
        frame_rate: Frames a second of a folder, which does not say; None is 25.
        stride: Every ``stride``-th frame is given; frames keep their numbers.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        ValueError: If it cannot be read, ``frame_rate`` is given for what says its own, or ``stride`` is not positive.
    """
    if stride < 1:
        raise ValueError(f"Expected 'stride' to be positive (got {stride})")
    opened = _open(source, frame_rate)
    return opened if stride == 1 else StridedSource(opened, stride)


def _open(source: str, frame_rate: float | None) -> Source:
    if Path(source).is_dir() and not source.isdecimal():
        return FolderSource(Path(source), FOLDER_FRAME_RATE if frame_rate is None else frame_rate)
    if frame_rate is not None:
        raise ValueError(f"Expected 'frame_rate' for a folder of images alone (got {frame_rate} for {source!r})")
    return VideoSource(source)


class StridedSource:
    """Every so many frames of a source.

    Args:
        source: The source.
        stride: The first frame is given, and every ``stride``-th one after it.
    """

    def __init__(self, source: Source, stride: int) -> None:
        self.live = source.live
        self.source = source
        self.stride = stride

    def __iter__(self) -> Iterator[TimedFrame]:
        """Go through the source."""
        return (frame for frame in self.source if frame.number % self.stride == 0)


class VideoSource:
    """A video that PyAV decodes: a file, a camera or an address.

    Args:
        source: See :func:`open_source`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be opened or holds no video.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        camera, address = source.isdecimal(), "://" in source
        if not camera and not address and not Path(source).exists():
            raise FileNotFoundError(
                "Expected 'source' to be a video file, a folder of images, the number of a camera or an address such "
                f"as rtsp://host/path (got {source!r}, which is not there)"
            )
        # A file's name is made absolute, as one with a colon would be that of a protocol.
        place, form = source if address else str(Path(source).absolute()), None
        if camera:
            if sys.platform not in CAMERAS:
                raise ValueError(f"Expected 'source' to be no camera on {sys.platform} (got {source!r})")
            place, form = CAMERAS[sys.platform][0].format(source), CAMERAS[sys.platform][1]
        options = {"rtsp_transport": "tcp"} if source.startswith("rtsp") else {}
        try:
            self._container = av.open(
                place, format=form, options=options, timeout=TIMEOUT if camera or address else None
            )
        except (av.error.FFmpegError, OSError) as error:
            raise ValueError(f"Expected 'source' to be a video (got {source!r}: {error.strerror})") from error
        if not self._container.streams.video:
            self._container.close()
            raise ValueError(f"Expected 'source' to hold a video stream (got {source!r}, which holds none)")
        # A camera behind http:// has no length, a file there has one.
        self.live = camera or source.startswith(LIVE_PROTOCOLS) or (address and self._container.duration is None)

    def __iter__(self) -> Iterator[TimedFrame]:
        """Decode; the source is closed at the end.

        Raises:
            ValueError: If a frame cannot be decoded, or the source says neither its frames' times nor their rate.
        """
        number, first, last = 0, None, None
        with self._container as container:
            video = container.streams.video[0]
            video.thread_type = "SLICE" if self.live else "AUTO"  # threads over frames would hold some back
            try:
                for number, frame in enumerate(container.decode(video)):
                    time = frame.time
                    if time is None or (last is not None and time <= last):
                        if not video.average_rate:
                            raise ValueError(f"Expected {self.source!r} to say its frames' times (got none)")
                        time = 0.0 if last is None else last + 1 / float(video.average_rate)
                    first, last = time if first is None else first, time
                    yield TimedFrame(number, time - first, frame_image(frame))
            except (av.error.FFmpegError, OSError) as error:
                raise ValueError(
                    f"Expected {self.source!r} to be a whole video (after frame {number}: {error.strerror})"
                ) from error
        if first is None:
            raise ValueError(f"Expected {self.source!r} to hold frames (got none)")


class FolderSource:
    """A folder of images, one a frame; see :class:`~data.video.frame_folder.FrameFolder`.

    Args:
        folder: The folder.
        frame_rate: Frames a second.

    Raises:
        VideoError: If there are no images, or their numbers have gaps.
        ValueError: If ``frame_rate`` is not positive.
    """

    live = False

    def __init__(self, folder: Path, frame_rate: float) -> None:
        if not frame_rate > 0:
            raise ValueError(f"Expected 'frame_rate' to be positive (got {frame_rate})")
        self.frame_rate = frame_rate
        self.frames = FrameFolder(folder)

    def __iter__(self) -> Iterator[TimedFrame]:
        """Read the images.

        Raises:
            VideoError: If one is damaged.
        """
        for number in range(self.frames.num_frames):
            yield TimedFrame(number, number / self.frame_rate, self.frames.read([number])[0])
