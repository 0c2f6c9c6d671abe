import os
import struct
from pathlib import Path

import av
import numpy as np
import pytest

from data import DigitImages


@pytest.fixture(scope="session")
def digits():
    return DigitImages("train")


def write_idx(path, array):
    header = np.array([0x800 + array.ndim, *array.shape], dtype=">i4").tobytes()
    path.write_bytes(header + array.astype(np.uint8).tobytes())


@pytest.fixture(scope="session")
def fake_mnist_root(tmp_path_factory):
    """A torchvision root whose images are the bundled ones: 5,100 to train, 200 to test, labels 0-9 in turn."""
    bundled = DigitImages("train")
    root = tmp_path_factory.mktemp("mnist")
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    by_class = [np.flatnonzero(bundled.labels == c) for c in range(10)]
    order = np.stack([rows[:530] for rows in by_class], axis=1).ravel()  # 0, 1, .. 9, 0, 1, ..
    for prefix, part in (("train", order[:5100]), ("t10k", order[5100:])):
        write_idx(raw / f"{prefix}-images-idx3-ubyte", bundled.images[part])
        write_idx(raw / f"{prefix}-labels-idx1-ubyte", bundled.labels[part])
    return root


@pytest.fixture(scope="session")
def mnist_root():
    root = os.environ.get("RSTG_MNIST_ROOT")
    if not root or not (Path(root) / "MNIST" / "raw").is_dir():
        pytest.skip("needs the full MNIST: set RSTG_MNIST_ROOT to a torchvision root that holds MNIST/raw")
    return root


@pytest.fixture(scope="session")
def write_video():
    """Encode frames as a file; `jump` (after, by) leaves out time stamps, so that the rate is not constant."""

    def write(path, frames, codec="libvpx-vp9", jump=None, key_every=None):
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=12, options={"crf": "4", "b": "0", "cpu-used": "8"})
            stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
            stream.codec_context.thread_count = 1
            if codec in ("mpeg4", "mpeg2video"):
                stream.codec_context.qmin, stream.codec_context.qmax = 1, 2
            if key_every is not None:
                stream.codec_context.gop_size = key_every
            for number, array in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(array, format="rgb24")
                frame.pts = number if jump is None or number <= jump[0] else number + jump[1]
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return Path(path)

    return write


@pytest.fixture(scope="session")
def note_rotation():
    """Copy an MP4 file whose header says that it is to be shown rotated, by a cosine and a sine."""

    def note(path, copy, cosine, sine):
        content = bytearray(path.read_bytes())
        place = content.index(b"tkhd") + 44  # the display matrix in the header of the track
        matrix = [cosine, sine, 0, -sine, cosine, 0]
        content[place : place + 24] = struct.pack(">6i", *(value << 16 for value in matrix))
        copy.write_bytes(content)
        return copy

    return note
