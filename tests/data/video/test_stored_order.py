"""Files whose frames are stored in another order than they are shown in, or are not all shown."""

import av
import numpy as np
import pytest
import torch

from data.video.pyav_file import PyAVFile

REORDERED = [
    ("mp4", "libx264"),
    ("mkv", "libx264"),
    ("ts", "libx264"),
    ("mpg", "mpeg2video"),
    ("avi", "mpeg4"),
    ("avi", "libx264"),
]


def needs_encoder(codec):
    try:
        av.codec.Codec(codec, "w")
    except av.codec.codec.UnknownCodecError:
        pytest.skip(f"this FFmpeg has no encoder {codec}")


def assert_any_frames_are_those_of(path, expected):
    generator = np.random.default_rng(0)
    alone = [[number] for number in generator.permutation(len(expected)).tolist()]
    together = [generator.integers(len(expected), size=size).tolist() for size in (2, 3, 5, 8, 40)]
    with PyAVFile(path) as video:
        assert video.num_frames == len(expected)
        for indices in [*alone, *together]:
            assert torch.equal(video.read(indices), expected[indices]), indices


@pytest.mark.parametrize(("suffix", "codec"), REORDERED)
def test_any_frames_among_b_frames_are_those_of_a_whole_decode(
    tmp_path, write_reordered, decoded, shown_numbers, suffix, codec
):
    needs_encoder(codec)
    path = write_reordered(tmp_path / f"a.{suffix}", codec)
    expected = decoded(path)
    assert shown_numbers(expected) == list(range(30))
    assert_any_frames_are_those_of(path, expected)


@pytest.fixture
def hidden_in_vp8(tmp_path, moving_frames, write_video):
    """Thirty shown frames of VP8 and two hidden ones, as an encoder has them that looks ahead for references.

    In one pass libvpx makes none: two frames more are encoded, and their bits ``show_frame`` cleared.
    """
    needs_encoder("libvpx")
    frames = list(moving_frames(30))
    frames.insert(7, frames[12])
    frames.insert(18, frames[25])
    path = write_video(tmp_path / "a.webm", np.stack(frames), "libvpx", key_every=10)
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    assert len(packets) == 32
    for packet in (packets[7], packets[18]):
        assert content.count(packet) == 1
        content[content.index(packet)] &= ~0x10
    path.write_bytes(content)
    return path


def test_hidden_frames_of_vp8_are_not_counted(hidden_in_vp8, decoded, shown_numbers):
    expected = decoded(hidden_in_vp8)
    assert shown_numbers(expected) == list(range(30))
    assert_any_frames_are_those_of(hidden_in_vp8, expected)
