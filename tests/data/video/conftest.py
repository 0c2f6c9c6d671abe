"""Tiny videos, encoded on the spot; the fixtures give the functions that make them."""

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from data.video.scenes import SceneSet, write_v1, write_v2


@pytest.fixture(scope="session")
def numbered_frames():
    """Frames whose brightness is their number: 20, 24, 28, ..."""

    def make(num_frames, height=32, width=48):
        return np.stack([np.full((height, width, 3), 20 + 4 * number, np.uint8) for number in range(num_frames)])

    return make


@pytest.fixture(scope="session")
def shown_numbers():
    """The numbers of numbered frames [..., 3, H, W], as a (nested) list."""
    return lambda video: ((video.float().mean(dim=(-3, -2, -1)) - 20) / 4).round().long().tolist()


@pytest.fixture(scope="session")
def write_video():
    """Encode frames as a file; `jump` (after, by) leaves out time stamps, so that the rate is not constant."""

    def write(path, frames, codec="libvpx-vp9", jump=None, key_every=None):
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=12, options={"crf": "4", "b": "0", "cpu-used": "8"})
            stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
            stream.codec_context.thread_count = 1
            if codec == "mpeg4":
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
def write_folder():
    """Write frames as a folder of images."""

    def write(path, frames, name="{:05d}.jpg"):
        path.mkdir(parents=True)
        for number, frame in enumerate(frames, start=1):
            Image.fromarray(frame).save(path / name.format(number), quality=95)
        return path

    return write


@pytest.fixture(scope="session")
def scenes():
    """Tiny scenes of the three splits."""
    numbers = {"train": 4, "val": 3, "test": 2}
    return {split: SceneSet(split, number, height=64, seconds=(0.5, 0.8)) for split, number in numbers.items()}


@pytest.fixture(scope="session")
def scene_root(scenes, tmp_path_factory):
    """The scenes written in both layouts."""
    root = tmp_path_factory.mktemp("scenes")
    write_v1(scenes, root)
    write_v2(scenes, root)
    return root
