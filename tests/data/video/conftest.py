"""Tiny videos, encoded on the spot; the fixtures give the functions that make them."""

import av
import numpy as np
import pytest
import torch
from av.video.frame import PictureType
from PIL import Image

from data.video.scenes import SceneSet, write_v1, write_v2


@pytest.fixture(scope="session")
def numbered_frames():
    """Frames whose brightness is their number: 20, 24, 28, ..."""

    def make(num_frames, height=32, width=48):
        return np.stack([np.full((height, width, 3), 20 + 4 * number, np.uint8) for number in range(num_frames)])

    return make


@pytest.fixture(scope="session")
def moving_frames(numbered_frames):
    """Numbered frames with a texture that moves and has no brightness of its own."""

    def make(num_frames, height=32, width=48):
        cells = np.resize([-16, 16], height // 4 * (width // 4))
        cells = np.random.default_rng(0).permutation(cells).reshape(height // 4, width // 4, 1)
        texture = cells.repeat(4, axis=0).repeat(4, axis=1)
        moved = [np.roll(texture, (number, 2 * number), axis=(0, 1)) for number in range(num_frames)]
        return (numbered_frames(num_frames, height, width) + np.stack(moved)).astype(np.uint8)

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
def write_reordered(moving_frames):
    """Encode thirty moving frames with B-frames, which are stored after frames that are shown later."""

    def write(path, codec="libx264"):
        frames = moving_frames(30)
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=25, options={"crf": "4"})
            stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
            stream.codec_context.thread_count = 1
            stream.codec_context.max_b_frames, stream.codec_context.gop_size = 2, 10
            if codec != "libx264":
                stream.codec_context.qmin, stream.codec_context.qmax = 1, 2
            for number, array in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(array, format="rgb24")
                frame.pts = number
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        with av.open(str(path)) as container:
            kinds = [PictureType(frame.pict_type) for frame in container.decode(video=0)]
        assert kinds.count(PictureType.B) >= 10
        assert kinds.count(PictureType.I) >= 3
        return path

    return write


@pytest.fixture(scope="session")
def decoded():
    """All frames of a file as FFmpeg gives them one after the other, uint8 [T, 3, H, W]."""

    def decode(path):
        with av.open(str(path)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)

    return decode


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
