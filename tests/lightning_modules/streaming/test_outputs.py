import csv
import io

import av
import pytest
import torch
from PIL import Image
from rich.console import Console

from data.playback import TimedFrame
from lightning_modules.streaming import AnnotatedVideo, ScoredFrame, ScoresFile, TerminalLine
from lightning_modules.streaming.annotated_video import annotate

NAMES = ["left", "right", "up", "down"]


def scored(number, shares=(0.1, 0.6, 0.0, 0.3), size=(3, 10, 12)):
    frame = TimedFrame(number, number / 8, torch.full(size, 40, dtype=torch.uint8))
    return ScoredFrame(frame, list(shares), latency=0.0125, dropped=2)


def test_likeliest_first():
    assert scored(0).likeliest(NAMES) == [("right", 0.6), ("down", 0.3), ("left", 0.1)]


def test_line_a_frame_where_there_is_no_terminal():
    console = Console(file=io.StringIO(), soft_wrap=True)
    with TerminalLine(NAMES, console) as line:
        line.write(scored(16))
        line.write(scored(17))
    first, second = console.file.getvalue().splitlines()
    shares = ["right", "60.0%", "down", "30.0%", "left", "10.0%"]
    assert first.split() == ["frame", "16", "2.00", "s", *shares, "12.5", "ms", "2", "dropped"]
    assert second.split()[:2] == ["frame", "17"]


def test_one_line_that_is_written_over_on_a_terminal():
    console = Console(file=io.StringIO(), force_terminal=True, width=200)
    with TerminalLine(NAMES, console) as line:
        for number in range(5):
            line.write(scored(number))
    shown = console.file.getvalue()
    assert "right  60.0%" in shown
    assert shown.count("\n") == 1


def test_table_is_whole_after_every_row(tmp_path):
    with ScoresFile(tmp_path / "scores.csv", NAMES) as table:
        for number in (0, 3):
            table.write(scored(number))
            rows = list(csv.DictReader((tmp_path / "scores.csv").open()))
            assert rows[-1] == {
                "frame": str(number),
                "seconds": f"{number / 8:.6f}",
                "latency_ms": "12.500",
                "dropped": "2",
                "left": "0.1",
                "right": "0.6",
                "up": "0",
                "down": "0.3",
            }
    with pytest.raises(FileExistsError, match="Expected 'csv' to be a new file"):
        ScoresFile(tmp_path / "scores.csv", NAMES)


def test_video_keeps_the_frames_times(tmp_path):
    with AnnotatedVideo(tmp_path / "out.mp4", NAMES) as video:
        for number in (0, 1, 5, 6):
            video.write(scored(number))
    with av.open(str(tmp_path / "out.mp4")) as container:
        frames = list(container.decode(video=0))
    assert [frame.time for frame in frames] == pytest.approx([0, 1 / 8, 5 / 8, 6 / 8])
    picture = frames[0].to_ndarray(format="rgb24")
    assert picture.shape == (260, 312, 3)
    assert abs(picture[200:].astype(int) - 40).max() < 8  # nothing is drawn there
    with pytest.raises(FileExistsError, match="Expected 'out' to be a new file"):
        AnnotatedVideo(tmp_path / "out.mp4", NAMES)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_video_of_a_process_that_is_killed_is_readable_up_to_its_end(tmp_path, suffix):
    with AnnotatedVideo(tmp_path / f"out{suffix}", NAMES) as video:
        for number in range(600):
            video.write(scored(number))
        (tmp_path / f"killed{suffix}").write_bytes((tmp_path / f"out{suffix}").read_bytes())
    for name, most in (("killed", 600), ("out", 601)):
        with av.open(str(tmp_path / f"{name}{suffix}")) as container:
            assert 250 <= sum(1 for _ in container.decode(video=0)) < most


def test_bars_are_as_long_as_the_probabilities():
    picture = annotate(Image.new("RGB", (301, 300)), [("a", 1.0), ("b", 0.5)])
    assert picture.size == (300, 300)
    blue = [sum(picture.getpixel((x, y))[2] > 120 for x in range(300)) for y in (1, 300 // 14 + 1)]
    assert blue == pytest.approx([150, 75], abs=3)


def test_videos_that_cannot_be_written(tmp_path):
    with pytest.raises(ValueError, match=r"Expected 'out' to end in .mp4 or .mkv \(got '.*out.gif'\)"):
        AnnotatedVideo(tmp_path / "out.gif", NAMES)
    with AnnotatedVideo(tmp_path / "none.mp4", NAMES):
        pass
    assert not (tmp_path / "none.mp4").exists()
    with AnnotatedVideo(tmp_path / "out.mkv", NAMES) as video:
        video.write(scored(0))
        with pytest.raises(ValueError, match=r"Expected all frames to have the size of the first .*at frame 1"):
            video.write(scored(1, size=(3, 12, 12)))
