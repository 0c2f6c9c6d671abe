"""A video file, decoded with PyAV."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import av.logging
import torch
from av.container import InputContainer
from torch import Tensor

from data.video.frame_image import frame_image
from data.video.video_error import VideoError


class PyAVFile:
    """The frames of a video file by their exact numbers.

    What the container says of the number of frames or the length is not believed: the packets are counted, which needs
    no decoding, and their time stamps, sorted, number the frames. Decoding starts at the last key frame before the
    first frame wanted and ends with the last one wanted.

    Args:
        path: The file.
        threads: Threads that decode; a worker of a data loader does best with one.

    Raises:
        VideoError: If the file is missing or damaged, or holds no video.
    """

    def __init__(self, path: str | Path, threads: int = 1) -> None:
        self.path = Path(path)
        self.threads = threads
        self._container: InputContainer | None = None
        self._timestamps: list[int] = []
        self._key_timestamps: list[int] = []
        level, skip_repeated = av.logging.get_level(), av.logging.get_skip_repeated()
        av.logging.set_level(av.logging.ERROR)
        av.logging.set_skip_repeated(False)  # a second damaged file may have the message of the first
        try:
            with av.logging.Capture() as log:
                self._count_packets()
        finally:
            av.logging.set_level(level)
            av.logging.set_skip_repeated(skip_repeated)
        if log:  # such as "File ended prematurely", after which FFmpeg goes on with what there is
            raise VideoError(f"Expected {self.path} to be a whole video ({log[0][2].strip()})")
        if not self._timestamps:
            raise VideoError(f"Expected {self.path} to hold frames (got none)")

    def _count_packets(self) -> None:
        """Read all packets, and note their time stamps."""
        timestamps: list[int | None] = []
        try:
            container = self._open()
            codec = container.streams.video[0].codec_context
            for packet in container.demux(container.streams.video[0]):
                if packet.is_corrupt:
                    raise VideoError(f"Expected {self.path} to be a whole video (packet {len(timestamps)} is damaged)")
                if packet.size == 0 or packet.is_discard or (codec.name == "vp8" and _is_hidden_in_vp8(packet)):
                    continue
                timestamps.append(packet.pts)
                if packet.is_keyframe and packet.pts is not None:
                    self._key_timestamps.append(packet.pts)
        except (av.error.FFmpegError, OSError) as error:
            raise VideoError(f"Expected {self.path} to be a whole video ({error.strerror})") from error
        known = sorted({stamp for stamp in timestamps if stamp is not None})
        # Without a time stamp of its own for every packet, or with those of decoding in the place of those of display,
        # as in AVI files, frames are counted as they come.
        in_decoding_order = codec.has_b_frames and known == timestamps
        self._has_timestamps = len(known) == len(timestamps) and not in_decoding_order
        self._timestamps = known if self._has_timestamps else list(range(len(timestamps)))
        self._key_timestamps = sorted(self._key_timestamps) if self._has_timestamps else []

    def _open(self) -> InputContainer:
        """Open the file at its beginning."""
        self.close()
        # Absolute, as a name with a colon would be that of a protocol.
        self._container = container = av.open(str(self.path.absolute()))
        if not container.streams.video:
            raise VideoError(f"Expected {self.path} to hold a video stream (got none)")
        codec = container.streams.video[0].codec_context
        if codec is None:
            raise VideoError(f"Expected {self.path} to be of a codec that FFmpeg decodes (got none)")
        codec.thread_type = "AUTO"
        codec.thread_count = self.threads
        return container

    @property
    def num_frames(self) -> int:
        """Frames in the video."""
        return len(self._timestamps)

    def read(self, indices: Sequence[int]) -> Tensor:
        """The frames at `indices`, counted from 0, uint8 [len(indices), 3, H, W].

        Raises:
            VideoError: If one of them, or one decoded on the way to them, is damaged, or the size changes.
        """
        frames = dict(self._images(set(indices)))
        return torch.stack([frames[index] for index in indices])

    def check(self) -> None:
        """Decode all frames, and keep none.

        Raises:
            VideoError: See :meth:`read`.
        """
        for _ in self._images(set(range(self.num_frames))):
            pass

    def _images(self, wanted: set[int]) -> Iterator[tuple[int, Tensor]]:
        """The frames wanted, with their numbers, as they are decoded."""
        missing, sizes = set(wanted), set()
        try:
            for number, frame in self._decode(min(wanted)):
                if frame.is_corrupt:  # FFmpeg has noticed damage, and filled the frame with a guess
                    raise VideoError(f"Expected {self.path} to be a whole video (frame {number} is damaged)")
                if number in missing:
                    image = frame_image(frame)
                    missing.remove(number)
                    sizes.add(tuple(image.shape[1:]))
                    yield number, image
                if not missing:
                    break
        except (av.error.FFmpegError, OSError) as error:
            raise VideoError(f"Expected {self.path} to be a whole video ({error.strerror})") from error
        if missing:
            raise VideoError(
                f"Expected {self.path} to be a whole video (frame {min(missing)} of {self.num_frames} cannot be "
                "decoded)"
            )
        if len(sizes) > 1:
            raise VideoError(f"Expected the frames of {self.path} to have one size (got {sorted(sizes)})")

    def _decode(self, first: int) -> Iterator[tuple[int, av.VideoFrame]]:
        """Frames with their numbers, from the last key frame at or before frame `first` on."""
        keys = [stamp for stamp in self._key_timestamps if stamp <= self._timestamps[first]]
        if len(keys) > 1:  # from the only one, decoding starts at the beginning anyway
            frames = self._decode_from(keys[-1])
            start = next(frames, None)
            if start is not None and self._timestamps[start[0]] == keys[-1] and start[1].key_frame:
                yield start
                yield from frames
                return
            # Some containers, such as MPEG's, are searched by the time of decoding: what is found lies elsewhere.
        yield from self._decode_from(None)

    def _decode_from(self, key: int | None) -> Iterator[tuple[int, av.VideoFrame]]:
        """Frames with their numbers, from where the container finds a key frame's time stamp, or from the beginning."""
        container = self._open()
        stream = container.streams.video[0]
        if key is not None:
            container.seek(key, stream=stream)
        numbers: dict[int | None, int] = {stamp: number for number, stamp in enumerate(self._timestamps)}
        for count, frame in enumerate(container.decode(stream)):
            number = numbers.get(frame.pts) if self._has_timestamps else count
            if number is not None:
                yield number, frame

    def close(self) -> None:
        """Close the file; reading opens it again."""
        if self._container is not None:
            self._container.close()
            self._container = None

    def __enter__(self) -> "PyAVFile":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _is_hidden_in_vp8(packet: av.Packet) -> bool:
    """Whether a packet of VP8 is only for other frames to refer to (RFC 6386, section 9.1: the bit ``show_frame``)."""
    return not bytes(packet)[0] & 0x10
