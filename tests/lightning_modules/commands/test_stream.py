import csv
import os
import runpy
import signal
import sys
import time
import weakref
from pathlib import Path

import av
import pytest
import torch
from torchvision.transforms.v2.functional import to_pil_image

from data.playback import TimedFrame
from lightning_modules.commands.stream import _ended_by_signals, score, stream
from lightning_modules.trained_classifier import load_trained
from rstg_pyg import VideoClassifier

MAIN = Path(__file__).parents[3] / "main.py"


@pytest.fixture(scope="module")
def checkpoint(fitted):
    run, _ = fitted
    return run / "checkpoints/best.ckpt"


@pytest.fixture(scope="module")
def video(fitted):
    """A video of the run's test set, uint8 [T, 1, 32, 32]."""
    _, cli = fitted
    cli.datamodule.setup("test")
    return torch.cat([video for video, _ in (cli.datamodule.test_dataloader().dataset[i] for i in range(2))])


@pytest.fixture
def folder(video, tmp_path):
    for number, frame in enumerate(video):
        (tmp_path / "frames").mkdir(exist_ok=True)
        to_pil_image(frame).save(tmp_path / f"frames/{number}.png")
    return tmp_path / "frames"


@pytest.fixture
def file(video, tmp_path):
    """It as a video file, without loss."""
    path = tmp_path / "video.mkv"
    with av.open(str(path), "w") as container:
        output = container.add_stream("ffv1", rate=10)
        output.width, output.height, output.pix_fmt = 32, 32, "gray"
        for frame in video:
            container.mux(output.encode(av.VideoFrame.from_ndarray(frame[0].numpy(), format="gray")))
        container.mux(output.encode(None))
    return path


def read(path):
    with path.open() as table:
        return list(csv.DictReader(table))


@torch.no_grad()
def check_scores(rows, model, video):
    """Every row holds the probabilities of the clip that ends at its frame."""
    for t, row in enumerate(rows):
        expected = model(video[None, : t + 1].float() / 255)[0].softmax(dim=-1)
        got = torch.tensor([float(row[name]) for name in model.config["class_names"]])
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


def test_folder_of_frames_from_a_checkpoint(checkpoint, video, folder, tmp_path, monkeypatch, capsys):
    arguments = ["--ckpt_path", checkpoint, "--source", folder, "--frame_rate", 10, "--csv", tmp_path / "scores.csv"]
    monkeypatch.setattr(sys, "argv", ["main.py", "stream", *map(str, arguments), "--device", "cpu"])
    runpy.run_path(str(MAIN), run_name="__main__")
    rows = read(tmp_path / "scores.csv")
    assert [row["frame"] for row in rows] == [str(t) for t in range(len(video))]
    assert [float(row["seconds"]) for row in rows] == pytest.approx([t / 10 for t in range(len(video))])
    check_scores(rows, load_trained(checkpoint), video)
    *lines, summary = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [["frame", str(t)] for t in range(len(video))]
    assert summary.startswith(f"{len(video)} frames scored, 0 dropped, ")
    assert " ms a frame, " in summary


def test_file_with_a_saved_model_into_a_video(checkpoint, video, file, tmp_path, capsys):
    model = load_trained(checkpoint)
    model.save_pretrained(tmp_path / "model")
    paths = {"csv": tmp_path / "scores.csv", "out": tmp_path / "out.mp4"}
    stream(str(file), pretrained=str(tmp_path / "model"), device="cpu", **paths)
    check_scores(read(paths["csv"]), model, video)
    with av.open(str(paths["out"])) as container:
        assert [frame.time for frame in container.decode(video=0)] == pytest.approx([t / 10 for t in range(len(video))])
    with pytest.raises(FileExistsError, match="Expected 'out' to be a new file"):
        stream(str(file), pretrained=str(tmp_path / "model"), device="cpu", **paths)


def test_network_with_a_backbone_of_ones_own(checkpoint, video, folder, tmp_path, monkeypatch):
    (tmp_path / "ownnet.py").write_text(
        "from rstg_pyg.models import SmallCNN\n\n\nclass Backbone(SmallCNN):\n    pass\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    trained = torch.load(checkpoint, weights_only=True)
    trained["hyper_parameters"]["network"]["init_args"]["backbone"]["class_path"] = "ownnet.Backbone"
    torch.save(trained, tmp_path / "own.ckpt")
    stream(str(folder), tmp_path / "own.ckpt", csv=tmp_path / "scores.csv", device="cpu")
    check_scores(read(tmp_path / "scores.csv"), load_trained(checkpoint), video)
    with pytest.raises(ValueError, match=r"module class of rstg_pyg.* \(got 'ownnet.Backbone'\)"):
        load_trained(tmp_path / "own.ckpt").save_pretrained(tmp_path / "model")


@pytest.mark.parametrize("when_late", ["block", "drop"])
def test_every_third_frame_is_a_stream_of_its_own(checkpoint, video, folder, tmp_path, monkeypatch, when_late):
    monkeypatch.setattr("lightning_modules.commands.stream.newest_frames", iter)
    scores = tmp_path / "new" / "scores.csv"
    stream(str(folder), checkpoint, when_late=when_late, stride=3, frame_rate=10, csv=scores, device="cpu")
    rows = read(scores)
    assert [(row["frame"], row["dropped"]) for row in rows] == [("0", "0"), ("3", "0")]
    assert [float(row["seconds"]) for row in rows] == pytest.approx([0, 0.3])
    check_scores(rows, load_trained(checkpoint), video[::3])


def test_a_model_that_refuses_the_first_frame_leaves_no_files(checkpoint, folder, tmp_path, monkeypatch):
    def refuse(*_):
        raise ValueError("no")

    monkeypatch.setattr(VideoClassifier, "step", refuse)
    with pytest.raises(ValueError, match="no"):
        stream(str(folder), checkpoint, csv=tmp_path / "a/scores.csv", out=tmp_path / "a/out.mp4", device="cpu")
    assert not (tmp_path / "a").exists()


def test_late_frames_are_dropped_and_counted(checkpoint, video, folder, tmp_path, monkeypatch, capsys):
    finished = []

    def play_all_at_once(source):  # as if the model took the whole video's time for the first frame
        frames = list(source)
        finished.append(len(frames))
        yield from (frames[0], frames[-1])

    monkeypatch.setattr("lightning_modules.commands.stream.newest_frames", play_all_at_once)
    stream(str(folder), checkpoint, when_late="drop", csv=tmp_path / "scores.csv", device="cpu")
    assert finished == [len(video)]
    assert [(row["frame"], row["dropped"]) for row in read(tmp_path / "scores.csv")] == [("0", "0"), ("5", "4")]
    assert "2 frames scored, 4 dropped" in capsys.readouterr().out


def test_slow_model_misses_frames_of_a_file_but_the_last(checkpoint, video, folder, tmp_path, monkeypatch):
    step = VideoClassifier.step

    def slow(*arguments):
        time.sleep(0.3)  # the whole video plays in 6 ms
        return step(*arguments)

    monkeypatch.setattr(VideoClassifier, "step", slow)
    stream(str(folder), checkpoint, when_late="drop", frame_rate=1000, csv=tmp_path / "scores.csv", device="cpu")
    rows = read(tmp_path / "scores.csv")
    assert len(rows) < len(video)
    assert rows[-1]["frame"] == str(len(video) - 1)
    assert int(rows[-1]["dropped"]) == len(video) - len(rows)
    assert all(float(row["latency_ms"]) >= 300 for row in rows)


def test_interrupt_ends_the_stream_and_leaves_whole_files(checkpoint, file, tmp_path, monkeypatch, capsys):
    step, calls = VideoClassifier.step, []

    def interrupted(*arguments):
        calls.append(None)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return step(*arguments)

    monkeypatch.setattr(VideoClassifier, "step", interrupted)
    stream(str(file), checkpoint, csv=tmp_path / "scores.csv", out=tmp_path / "out.mp4", device="cpu")
    assert len(read(tmp_path / "scores.csv")) == 3
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert len(list(container.decode(video=0))) == 3
    assert "3 frames scored, 0 dropped" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_signals_end_a_stream_as_ctrl_c_does_unless_they_are_ignored(monkeypatch, name):
    number = getattr(signal, name)
    before = signal.signal(number, signal.SIG_DFL)
    try:
        with pytest.raises(KeyboardInterrupt), _ended_by_signals():
            os.kill(os.getpid(), number)
        assert signal.getsignal(number) == signal.SIG_DFL
        signal.signal(number, signal.SIG_IGN)
        with _ended_by_signals():
            os.kill(os.getpid(), number)
    finally:
        signal.signal(number, before)


def test_a_stream_keeps_the_newest_frame_alone(checkpoint):
    alive = []

    def frames():
        for number in range(70):
            image = torch.zeros(3, 32, 32, dtype=torch.uint8)
            alive.append(weakref.ref(image))
            yield TimedFrame(number, number / 25, image)

    for scored in score(load_trained(checkpoint), frames()):
        assert scored.frame.number == len(alive) - 1
        assert sum(image() is not None for image in alive) <= 2


def test_arguments_that_say_too_little_or_too_much(checkpoint, folder):
    with pytest.raises(ValueError, match=r"Expected 'ckpt_path' or 'pretrained', and not both \(got None and None\)"):
        stream(str(folder))
    with pytest.raises(ValueError, match="Expected 'ckpt_path' or 'pretrained', and not both"):
        stream(str(folder), checkpoint, "model")
    with pytest.raises(ValueError, match=r"Expected 'stride' to be positive \(got 0\)"):
        stream(str(folder), checkpoint, stride=0)
    with pytest.raises(ValueError, match=r"Expected 'device' to be one of torch's, .* \(got 'cud'\)"):
        stream(str(folder), checkpoint, device="cud")
    with pytest.raises(FileNotFoundError, match=r"Expected 'ckpt_path' to be a checkpoint \(got 'best', which is no"):
        stream(str(folder), Path("best"))
    with pytest.raises(FileNotFoundError, match=r"Expected 'pretrained' to be a folder, or one of .* \(got 'rst'\)"):
        stream(str(folder), pretrained="rst")
    with pytest.raises(ValueError, match=r"Expected 'when_late' to be one of \['block', 'drop'\] \(got 'skip'\)"):
        stream(str(folder), checkpoint, when_late="skip")
