import itertools
import shutil
import socket
import threading
from types import SimpleNamespace

import av
import numpy as np
import pytest
import torch

from data.playback import newest_frames, open_source
from data.video.pyav_file import PyAVFile


def test_file(video_file, images):
    source = open_source(str(video_file))
    frames = list(source)
    assert not source.live
    assert [frame.number for frame in frames] == list(range(12))
    assert [frame.time for frame in frames] == pytest.approx([number / 20 for number in range(12)])
    for frame, image in zip(frames, images, strict=True):
        assert frame.image.dtype == torch.uint8
        assert frame.image.shape == (3, 24, 32)
        assert (frame.image.int() - int(image[0, 0, 0])).abs().max() <= 2


@pytest.mark.parametrize(("cosine", "sine", "turns"), [(0, 1, 3), (-1, 0, 2), (0, -1, 1)])
def test_rotation_noted_in_the_file_is_applied(tmp_path, write_video, note_rotation, cosine, sine, turns):
    frames = np.zeros((2, 32, 48, 3), np.uint8)
    frames[:, :16, :16] = 200
    upright = write_video(tmp_path / "upright.mp4", frames, "libx264")
    turned = note_rotation(upright, tmp_path / "turned.mp4", cosine, sine)
    for first, second in zip(open_source(str(upright)), open_source(str(turned)), strict=True):
        assert torch.equal(second.image, torch.rot90(first.image, turns, dims=(-2, -1)))


def test_folder_in_the_order_of_its_numbers(frame_folder, images):
    frames = list(open_source(str(frame_folder), frame_rate=10))
    assert [frame.time for frame in frames] == pytest.approx([number / 10 for number in range(12)])
    for frame, image in zip(frames, images, strict=True):
        assert torch.equal(frame.image, torch.from_numpy(image).permute(2, 0, 1))
    assert next(iter(list(open_source(str(frame_folder)))[1:])).time == pytest.approx(1 / 25)


@pytest.mark.parametrize("suffix", ["mp4", "ts", "avi"])
def test_times_grow_from_frame_to_frame_among_b_frames(tmp_path, write_reordered, suffix):
    path = write_reordered(tmp_path / f"a.{suffix}")
    frames = list(open_source(str(path)))
    with PyAVFile(path) as video:
        assert torch.equal(torch.stack([frame.image for frame in frames]), video.read(range(20)))
    times = [frame.time for frame in frames]
    assert all(before < after for before, after in itertools.pairwise(times))
    tolerance = 3 / 12 if suffix == "avi" else 1e-4  # AVI files hold the times of decoding, not those of display
    assert times == pytest.approx([number / 12 for number in range(20)], abs=tolerance)


def test_times_grow_from_image_to_image(frame_folder):
    for rate in (None, 0.5, 29.97, 1000):
        times = [frame.time for frame in open_source(str(frame_folder), rate)]
        assert len(times) == 12
        assert all(before < after for before, after in itertools.pairwise(times))


def test_every_fifth_frame_keeps_its_number_and_its_pace(frame_folder, images):
    source = open_source(str(frame_folder), frame_rate=1000, stride=5)
    assert not source.live
    for frames in (list(source), list(newest_frames(source))[-1:]):
        assert [frame.number for frame in frames] == [0, 5, 10][-len(frames) :]
        assert [frame.time for frame in frames] == [frame.number / 1000 for frame in frames]
        assert torch.equal(frames[-1].image, torch.from_numpy(images[10]).permute(2, 0, 1))


@pytest.mark.parametrize(
    ("address", "length", "live"),
    [
        ("0", None, True),
        ("rtsp://host/path", None, True),
        ("https://host/video.mp4", 12, False),
        ("http://host/camera", None, True),
    ],
)
def test_cameras_and_addresses_are_opened_as_such(monkeypatch, address, length, live):
    opened = {}

    def remember(place, **options):
        opened.update(options, place=place)
        raise OSError(5, "no such thing")

    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("av.open", remember)
    with pytest.raises(ValueError, match=rf"Expected 'source' to be a video \(got '{address}': no such thing\)"):
        open_source(address)
    assert opened["place"] == ("/dev/video0" if address == "0" else address)
    assert opened["format"] == ("v4l2" if address == "0" else None)
    assert opened["timeout"] == 10
    streams = SimpleNamespace(video=[object()])
    monkeypatch.setattr("av.open", lambda place, **options: SimpleNamespace(duration=length, streams=streams))
    assert open_source(address).live == live


def test_a_colon_in_a_name_is_no_protocol(video_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(video_file, "12:30.mp4")
    assert len(list(open_source("12:30.mp4"))) == 12


def test_a_live_address(images):
    """Frames of rising brightness, over and over, sent to a port of this machine at 50 a second."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"udp://127.0.0.1:{probe.getsockname()[1]}"
    enough = threading.Event()

    def send():
        with av.open(address, "w", format="mpegts") as container:
            stream = container.add_stream("mpeg2video", rate=25, options={"g": "1", "qmin": "1", "qmax": "1"})
            stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
            for image in itertools.cycle(images):
                if enough.wait(0.02):
                    return
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))

    sender = threading.Thread(target=send)
    sender.start()
    try:
        source = open_source(address)
        frames = [frame for frame, _ in zip(source, range(30), strict=False)]
    finally:
        enough.set()
        sender.join()
    assert source.live
    assert [frame.number for frame in frames] == list(range(30))
    brightness = [frame.image.float().mean() / 20 for frame in frames]
    assert [round(float(now - brightness[0])) % 12 for now in brightness] == [number % 12 for number in range(30)]
    times = [frame.time for frame in frames]
    assert times == pytest.approx([number / 25 for number in range(30)], abs=0.1)


def test_file_of_a_codec_without_a_decoder_is_named(video_file):
    video_file.write_bytes(video_file.read_bytes().replace(b"avc1", b"ZZZZ"))
    with pytest.raises(ValueError, match=rf"Expected '{video_file}' to be a whole video \(.*: Decoder not found\)"):
        list(open_source(str(video_file)))


def test_what_cannot_be_played(tmp_path, video_file, frame_folder):
    with pytest.raises(FileNotFoundError, match=r"Expected 'source' to be .* \(got 'gone.mp4', which is not there\)"):
        open_source("gone.mp4")
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(ValueError, match=r"Expected 'source' to be a video \(got '.*text.mp4': Invalid data"):
        open_source(str(tmp_path / "text.mp4"))
    with pytest.raises(ValueError, match=r"Expected 'frame_rate' for a folder of images alone \(got 5 for"):
        open_source(str(video_file), frame_rate=5)
    with pytest.raises(ValueError, match=r"Expected 'frame_rate' to be positive \(got 0\)"):
        open_source(str(frame_folder), frame_rate=0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty to hold frames, .jpg, .jpeg, .png \(got none\)"):
        open_source(str(tmp_path / "empty"))
    (frame_folder / "frame_3.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"frame_3.png to be a whole image"):
        list(open_source(str(frame_folder)))
