"""Small videos on disk."""

import av
import numpy as np
import pytest
from av.video.frame import PictureType
from PIL import Image


@pytest.fixture
def images():
    """Twelve RGB frames of 24×32 pixels, each of one grey level of its own that a lossy codec keeps apart."""
    return [np.full((24, 32, 3), 20 * number, dtype=np.uint8) for number in range(12)]


@pytest.fixture
def video_file(tmp_path, images):
    """They as an MP4 of 20 frames a second."""
    path = tmp_path / "video.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=20, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def write_reordered(write_video):
    """Encode twenty frames of a moving texture as H.264 with B-frames, 12 a second."""

    def write(path):
        cells = np.random.default_rng(0).integers(0, 256, (6, 8, 1), dtype=np.uint8)
        texture = cells.repeat(4, axis=0).repeat(4, axis=1).repeat(3, axis=2)
        write_video(path, np.stack([np.roll(texture, number, axis=1) for number in range(20)]), "libx264")
        with av.open(str(path)) as container:
            assert any(frame.pict_type == PictureType.B for frame in container.decode(video=0))
        return path

    return write


@pytest.fixture
def frame_folder(tmp_path, images):
    """They as PNG files, numbered without leading zeros."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"frame_{number}.png")
    (folder / "notes.txt").write_text("no image")
    return folder
