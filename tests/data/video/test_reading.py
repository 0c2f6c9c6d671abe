import pickle
import struct
import sys
import weakref
import zlib

import av
import numpy as np
import pytest
import torch
from PIL import Image

from data.video import VideoError, open_video
from data.video.frame_folder import FrameFolder
from data.video.pyav_file import PyAVFile

DECODERS = ["pyav", "torchcodec"]


def needs(decoder):
    if decoder == "torchcodec":
        pytest.importorskip("torchcodec", reason="torchcodec is not installed", exc_type=Exception)


@pytest.fixture(scope="module")
def files(tmp_path_factory, numbered_frames, write_video, write_reordered, write_folder):
    root, frames = tmp_path_factory.mktemp("videos"), numbered_frames(30)
    return {
        "vp9": write_video(root / "a.webm", frames),
        "vp9 of varying rate": write_video(root / "b.webm", frames, jump=(11, 40)),
        "vp9 with key frames": write_video(root / "c.webm", frames, key_every=8),
        "h264 with B-frames": write_reordered(root / "d.mp4"),
        "mpeg4": write_video(root / "e.avi", frames, "mpeg4", key_every=5),
        "h264 in an MPEG stream": write_video(root / "f.mts", frames, "libx264", key_every=10),
        "folder": write_folder(root / "g", frames),
    }


TORCHCODEC_KINDS = ["vp9", "vp9 of varying rate", "vp9 with key frames", "h264 with B-frames"]
KINDS = [*TORCHCODEC_KINDS, "mpeg4", "h264 in an MPEG stream", "folder"]


@pytest.mark.parametrize(
    ("kind", "decoder"), [*((kind, "pyav") for kind in KINDS), *((kind, "torchcodec") for kind in TORCHCODEC_KINDS)]
)
def test_frames_are_those_asked_for(files, shown_numbers, kind, decoder):
    needs(decoder)
    with open_video(files[kind], decoder) as video:
        assert video.num_frames == 30
        for indices in ([0], [29], [3, 28, 3, 11, 12], [17, 18, 19], list(range(30))):
            frames = video.read(indices)
            assert (frames.dtype, frames.shape) == (torch.uint8, (len(indices), 3, 32, 48))
            assert shown_numbers(frames) == indices


@pytest.mark.parametrize("kind", TORCHCODEC_KINDS)
def test_torchcodec_gives_the_frames_of_pyav(files, kind):
    needs("torchcodec")
    indices = [0, 5, 6, 29]
    with open_video(files[kind], "pyav") as first, open_video(files[kind], "torchcodec") as second:
        torch.testing.assert_close(first.read(indices), second.read(indices), atol=2, rtol=0)


@pytest.mark.parametrize("kind", ["mpeg4", "h264 in an MPEG stream"])
def test_containers_that_torchcodec_gets_wrong_are_decoded_with_pyav(files, monkeypatch, kind):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)  # as if it were installed
    with open_video(files[kind]) as video:
        assert isinstance(video, PyAVFile)
    with pytest.raises(
        VideoError, match=rf"Expected {files[kind]} to be one of .3gp, .* since 'decoder' is 'torchcodec'"
    ):
        open_video(files[kind], "torchcodec")


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize(("cosine", "sine", "turns"), [(0, 1, 3), (-1, 0, 2), (0, -1, 1)])
def test_rotation_noted_in_the_file_is_applied(tmp_path, write_video, note_rotation, decoder, cosine, sine, turns):
    needs(decoder)
    frames = np.zeros((2, 32, 48, 3), np.uint8)
    frames[:, :16, :16] = 200
    path = write_video(tmp_path / "upright.mp4", frames, "libx264")
    turned_path = note_rotation(path, tmp_path / "turned.mp4", cosine, sine)
    with open_video(path, decoder) as upright, open_video(turned_path, decoder) as turned:
        assert torch.equal(turned.read([1]), torch.rot90(upright.read([1]), turns, dims=(-2, -1)))


def test_container_says_nothing_of_the_number_of_frames(files):
    with av.open(str(files["vp9"])) as container:
        assert container.streams.video[0].frames == 0  # so it has to be counted


@pytest.mark.parametrize("kind", KINDS)
def test_check_decodes_every_frame_and_keeps_none(files, kind, monkeypatch):
    images, alive = [], []
    with FrameFolder(files[kind]) if kind == "folder" else PyAVFile(files[kind]) as video:
        decode = video._images

        def watched(wanted):
            for image in decode(wanted):
                frame = image[1] if isinstance(image, tuple) else image
                images.append(weakref.ref(frame))
                alive.append(sum(ref() is not None for ref in images))
                yield image

        monkeypatch.setattr(video, "_images", watched)
        video.check()
    assert len(images) == 30
    assert max(alive) <= 3


def test_decoding_starts_at_a_key_frame_and_ends_with_the_last_frame_wanted(files, monkeypatch):
    decoded = []
    with open_video(files["vp9 with key frames"], "pyav") as video:
        decode = video._decode

        def counted(first):
            for number, frame in decode(first):
                decoded.append(number)
                yield number, frame

        monkeypatch.setattr(video, "_decode", counted)
        video.read([18, 20])
    assert decoded == [16, 17, 18, 19, 20]


def test_threads_are_bounded(files, monkeypatch):
    counts = []
    opened = av.open

    def watched(path):
        container = opened(path)
        counts.append(container.streams.video[0].codec_context)
        return container

    monkeypatch.setattr(av, "open", watched)
    with open_video(files["vp9"], "pyav", threads=3) as video:
        video.read([0])
    assert [codec.thread_count for codec in counts] == [3, 3]


def cut(path, share, target):
    content = path.read_bytes()
    target.write_bytes(content[: int(len(content) * share)])
    return target


@pytest.mark.parametrize("kind", ["vp9", "h264 with B-frames", "mpeg4"])
@pytest.mark.parametrize("share", [0, 0.02, 0.5, 0.9])
def test_damaged_file_is_named(files, tmp_path, kind, share):
    path = cut(files[kind], share, tmp_path / f"cut{files[kind].suffix}")
    with pytest.raises(VideoError, match=rf"Expected {path} to"), open_video(path, "pyav") as video:
        video.read(range(video.num_frames))


def test_a_second_file_that_is_cut_short_is_named_like_the_first(files, tmp_path):
    cut = tmp_path / "cut.webm"
    cut.write_bytes(files["vp9"].read_bytes()[:-400])
    for _ in range(3):
        with pytest.raises(VideoError, match="to be a whole video"):
            PyAVFile(cut)


def test_a_colon_in_a_name_is_no_protocol(files, tmp_path, monkeypatch, shown_numbers):
    (tmp_path / "12:30.webm").write_bytes(files["vp9"].read_bytes())
    monkeypatch.chdir(tmp_path)
    with PyAVFile("12:30.webm") as video:
        assert shown_numbers(video.read([7])) == [7]


def test_damage_inside_is_found_when_the_frame_is_wanted(files, tmp_path):
    content = bytearray(files["h264 with B-frames"].read_bytes())
    with av.open(str(files["h264 with B-frames"])) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][20]
        content[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    path = tmp_path / "zeros.mp4"
    path.write_bytes(content)
    with pytest.raises(VideoError, match=rf"Expected {path} to be a whole video"), open_video(path, "pyav") as video:
        video.read(range(30))


def test_damage_that_the_codec_guesses_over_is_named(tmp_path, damaged_video):
    path = damaged_video(tmp_path / "damaged.avi")
    with open_video(path, "pyav") as video:
        assert video.read(range(6)).shape == (6, 3, 32, 48)
        for indices in ([6], [9]):
            with pytest.raises(VideoError, match=rf"Expected {path} to be a whole video \(frame 6 is damaged\)"):
                video.read(indices)


@pytest.mark.parametrize("decoder", DECODERS)
def test_missing_empty_and_foreign_files_are_named(tmp_path, decoder):
    needs(decoder)
    (tmp_path / "empty.webm").touch()
    (tmp_path / "text.webm").write_text("not a video " * 100)
    for name in ("missing.webm", "empty.webm", "text.webm"):
        with pytest.raises(VideoError, match=rf"Expected .*{name} to be a whole video \(.+\)"):
            open_video(tmp_path / name, decoder)


def test_file_without_video(tmp_path):
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame(format="s16", layout="mono", samples=800)
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(VideoError, match=r"sound.wav to hold a video stream \(got none\)"):
        open_video(tmp_path / "sound.wav", "pyav")


@pytest.mark.parametrize(("name", "codec", "code"), [("a.mp4", "libx264", b"avc1"), ("a.avi", "mpeg4", b"FMP4")])
def test_file_of_a_codec_without_a_decoder_is_named(tmp_path, numbered_frames, write_video, name, codec, code):
    path = write_video(tmp_path / name, numbered_frames(3), codec)
    path.write_bytes(path.read_bytes().replace(code, b"ZZZZ"))
    with av.open(str(path)) as container:
        assert len(container.streams.video) == 1
    with pytest.raises(VideoError, match=rf"Expected {path} to be of a codec that FFmpeg decodes \(got none\)"):
        open_video(path, "pyav")


def test_folders_that_are_no_video(tmp_path, numbered_frames, write_folder):
    (tmp_path / "empty").mkdir()
    gap = write_folder(tmp_path / "gap", numbered_frames(4))
    (gap / "00003.jpg").unlink()
    times = write_folder(tmp_path / "times", numbered_frames(1), name="{:019d}.jpg")
    (times / "1700000000000000000.jpg").touch()  # nanoseconds: no list of all numbers between would fit in memory
    twice = write_folder(tmp_path / "twice", numbered_frames(2))
    (twice / "2.png").write_bytes((twice / "00002.jpg").read_bytes())
    unnumbered = write_folder(tmp_path / "unnumbered", numbered_frames(2))
    (unnumbered / "cover.jpg").write_bytes((unnumbered / "00002.jpg").read_bytes())
    for name, message in {
        "empty": r"empty to hold frames, .* \(got none\)",
        "gap": r"gap to hold all frames 1 to 4 \(got none for \[3\]\)",
        "times": r"times to hold all frames 1 to 17.* \(got none for \[2, 3, 4, 5, 6, 7, 8, 9, 10, 11\]\)",
        "twice": r"one frame 2 in .*twice \(got two\)",
        "unnumbered": r"unnumbered to be numbered, as in 00001.jpg \(got cover.jpg\)",
    }.items():
        with pytest.raises(VideoError, match=message):
            open_video(tmp_path / name)


def test_damaged_image_is_named(tmp_path, numbered_frames, write_folder):
    folder = write_folder(tmp_path / "video", numbered_frames(3))
    cut(folder / "00002.jpg", 0.9, folder / "00002.jpg")
    Image.new("RGB", (40, 32)).save(folder / "00003.jpg")
    with open_video(folder) as video:
        with pytest.raises(VideoError, match=r"Expected .*00002.jpg to be a whole image \(.+\)"):
            video.read([0, 1])
        with pytest.raises(
            VideoError, match=r"00003.jpg to be of the size of the other frames, \[32, 48\] \(got \[32, 40"
        ):
            video.read([0, 2])


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_rotation_that_a_phone_notes_in_an_image_is_applied(tmp_path, suffix):
    image = Image.new("RGB", (48, 32))
    image.paste((255, 255, 255), (0, 0, 16, 32))  # the left third as it is stored
    exif = image.getexif()
    exif[0x0112] = 6  # to be seen turned by a quarter clockwise: the stored left is above
    image.save(tmp_path / f"1.{suffix}", exif=exif)
    with open_video(tmp_path) as video:
        (frame,) = video.read([0])
    assert frame.shape == (3, 48, 32)
    assert frame[:, :12].min() > 200
    assert frame[:, 20:].max() < 50


def test_frames_are_ordered_by_number(tmp_path, numbered_frames, shown_numbers, write_folder):
    folder = write_folder(tmp_path / "video", numbered_frames(11), name="img_{}.jpg")  # img_10 is before img_2 by name
    for name in ("notes.txt", "._img_1.jpg", ".DS_Store", ".cover.jpg"):
        (folder / name).touch()
    with open_video(folder) as video:
        assert shown_numbers(video.read(range(11))) == list(range(11))


def test_grey_images_become_colour(tmp_path):
    (tmp_path / "video").mkdir()
    Image.new("L", (8, 8), 77).save(tmp_path / "video" / "1.png")
    with open_video(tmp_path / "video") as video:
        assert torch.equal(video.read([0]), torch.full((1, 3, 8, 8), 77, dtype=torch.uint8))


def test_sixteen_bits_become_eight(tmp_path, write_folder):
    values = np.array([[0, 128, 129, 257, 10000, 65535]])
    (tmp_path / "video").mkdir()
    for number, kind in enumerate((">u2", "<u2", "<i4"), start=1):  # the TIFF files have Pillow's modes I;16B and I
        form = "PNG" if kind == "<u2" else "TIFF"
        Image.fromarray(values.astype(kind)).save(tmp_path / f"video/{number}.png", form)
    with open_video(tmp_path / "video") as video:
        for frame in video.read([0, 1, 2]):
            assert frame[:, 0].tolist() == [[0, 0, 1, 1, 39, 255]] * 3


@pytest.mark.parametrize(
    ("values", "mode"), [([[0, 65536]], "I"), ([[-1, 3]], "I"), ([[0.0, 1.0]], "F"), ([[float("nan"), 1.0]], "F")]
)
def test_image_of_neither_eight_nor_sixteen_bits_is_named(tmp_path, values, mode):
    (tmp_path / "video").mkdir()
    kind = np.float32 if mode == "F" else np.int32
    Image.fromarray(np.array(values, kind)).save(tmp_path / "video/1.png", "TIFF")
    with (
        open_video(tmp_path / "video") as video,
        pytest.raises(VideoError, match=rf"Expected .*1.png to have values of 8 or 16 bits \(got .* mode '{mode}'\)"),
    ):
        video.read([0])


def test_damaged_image_of_sixteen_bits_is_named(tmp_path):
    (tmp_path / "video").mkdir()
    file = tmp_path / "video/1.png"
    noise = np.random.default_rng(0).integers(0, 65536, (32, 48), dtype=np.uint16)
    Image.fromarray(noise).save(file)
    cut(file, 0.5, file)
    with open_video(tmp_path / "video") as video, pytest.raises(VideoError, match=r"1.png to be a whole image \(.+\)"):
        video.read([0])


@pytest.mark.parametrize("damage", ["chunk", "size"])
def test_damage_that_pillow_has_other_words_for(tmp_path, damage):
    file = tmp_path / "1.png"
    Image.new("L", (8, 8)).save(file)
    content = file.read_bytes()
    signature, header, rest = content[:8], content[16:29], content[33:]
    if damage == "chunk":  # shorter than what it has to hold
        rest = chunk(b"pHYs", bytes(2)) + rest
    else:
        header = struct.pack(">II", 100_000, 100_000) + header[8:]
    file.write_bytes(signature + chunk(b"IHDR", header) + rest)
    with open_video(tmp_path) as video, pytest.raises(VideoError, match=r"1.png to be a whole image \(.+\)"):
        video.read([0])


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def test_error_comes_back_from_a_worker_as_it_was():
    error = pickle.loads(pickle.dumps(VideoError("Expected this")))
    assert (type(error), str(error)) == (VideoError, "Expected this")


def test_wrong_decoder_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"'decoder' to be one of \['auto', 'pyav', 'torchcodec'\] \(got 'ffmpeg'\)"):
        open_video(tmp_path, "ffmpeg")


def test_missing_torchcodec_is_named(files, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", None)
    with pytest.raises(
        ImportError, match=r"Expected torchcodec, .* since 'decoder' is 'torchcodec' \(the extra 'codec'"
    ):
        open_video(files["vp9"], "torchcodec")
