"""Tiny videos, encoded on the spot; the fixtures give the functions that make them."""

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
def write_folder():
    """Write frames as a folder of images."""

    def write(path, frames, name="{:05d}.jpg"):
        path.mkdir(parents=True)
        for number, frame in enumerate(frames, start=1):
            Image.fromarray(frame).save(path / name.format(number), quality=95)
        return path

    return write


@pytest.fixture(scope="session")
def damaged_video(write_video):
    """Write ten noisy frames, the first alone a key frame, as MPEG-4, with zeros for forty bytes inside of frame 6."""

    def write(path):
        generator = np.random.default_rng(0)
        still, noise = (generator.integers(0, 32, (number, 32, 48, 3), dtype=np.uint8) for number in (1, 10))
        write_video(path, still + noise, "mpeg4")
        content = bytearray(path.read_bytes())
        with av.open(str(path)) as container:
            packet = [packet for packet in container.demux(video=0) if packet.size][6]
        middle = packet.pos + packet.size // 2
        content[middle : middle + 40] = bytes(40)
        path.write_bytes(content)
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
