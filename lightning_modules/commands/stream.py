"""A classifier that follows a video."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import torch
from torch import Tensor

import rstg_pyg
from data.playback import TimedFrame, fit_frame, newest_frames, open_source
from lightning_modules.streaming import AnnotatedVideo, ScoredFrame, ScoresFile, TerminalLine
from lightning_modules.trained_classifier import load_classifier
from rstg_pyg import VideoClassifier


def stream(
    source: str,
    ckpt_path: Path | None = None,
    pretrained: str | None = None,
    when_late: Literal["block", "drop"] = "block",
    out: Path | None = None,
    csv: Path | None = None,
    frame_rate: float | None = None,
    stride: int = 1,
    device: str | None = None,
) -> None:
    """Classify a video frame by frame, and show the likeliest classes and the model's latency after each.

    After a frame the scores are those of everything since the first. Frames become grey for a model of one channel,
    are resized, their proportions kept, until they cover the model's frame size, and cut to it around the centre.
    Ctrl-C ends a stream that has no end, and so does a system that shuts down or a terminal that is closed; what was
    written until then is whole.

    Args:
        source: A video file, a folder of numbered images, the number of a camera, or an address like rtsp://host/path.
        ckpt_path: Checkpoint of a video classifier that fit trained; this or pretrained.
        pretrained: A model that ships with the package, or a folder that save-pretrained wrote.
        when_late: What happens to frames that come faster than the model takes them. With block every frame is scored:
            a file is read as fast as the model goes, a camera falls behind. With drop a file plays at its own pace, the
            model takes the newest frame, and those between are dropped and counted.
        out: Write the scored frames to this video, .mp4 or .mkv, with the likeliest classes drawn in.
        csv: Write every class's probability after every scored frame to this table.
        frame_rate: Frames a second of a folder of images; without it 25.
        stride: Take every stride-th frame alone, as far apart as the frames of the clips that the model was trained on.
        device: Where the model runs, such as cpu or cuda:1; without it the accelerator where there is one.

    Raises:
        FileNotFoundError: If the source or the model is not there.
        FileExistsError: If out or csv is there already.
        ValueError: If an argument is none of its choices, the source cannot be decoded, or the model cannot take a
            video frame by frame.
    """
    if when_late not in ("block", "drop"):
        raise ValueError(f"Expected 'when_late' to be one of ['block', 'drop'] (got {when_late!r})")
    model = load_classifier(ckpt_path, pretrained).to(_device(device))
    opened = open_source(source, frame_rate, stride)
    names = model.config["class_names"]

    count, scored, latency, worst, began = 0, None, 0.0, 0.0, perf_counter()
    with ExitStack() as stack:
        stack.enter_context(_ended_by_signals())
        writers: list[Any] = []
        for path, writer in ((out, AnnotatedVideo), (csv, ScoresFile)):
            if path is not None:
                writers.append(stack.enter_context(writer(path, names)))
        writers.append(stack.enter_context(TerminalLine(names)))
        frames = stack.enter_context(closing(newest_frames(opened) if when_late == "drop" else iter(opened)))
        try:
            for scored in score(model, frames, stride):
                for writer in writers:
                    writer.write(scored)
                count, latency, worst = count + 1, latency + scored.latency, max(worst, scored.latency)
        except KeyboardInterrupt:
            pass
    if scored is None:
        return
    print(
        f"{count} frames scored, {scored.dropped} dropped, {count / (perf_counter() - began):.1f} frames/s; "
        f"the model took {1e3 * latency / count:.1f} ms a frame, {1e3 * worst:.1f} ms at worst"
    )


def score(model: VideoClassifier, frames: Iterator[TimedFrame], stride: int = 1) -> Iterator[ScoredFrame]:
    """Class probabilities of a video after each of its frames.

    Args:
        model: The classifier, with a config that says what frames it wants.
        frames: The video.
        stride: Its frames are every ``stride``-th one of a source.

    Yields:
        The frames with their scores.
    """
    described = model.config["input"]
    device = next(model.parameters()).device
    newest: TimedFrame | None = None

    def fitted() -> Iterator[Tensor]:
        nonlocal newest
        for newest in frames:
            image = fit_frame(newest.image, described["channels"], described["frame_size"], described["value_range"])
            yield image.to(device)

    scores = rstg_pyg.stream(model, fitted(), return_latency=True)
    for count, (logits, latency) in enumerate(scores, start=1):
        assert newest is not None  # the model takes a frame when its scores are asked for, and no earlier
        yield ScoredFrame(newest, logits.softmax(dim=-1).tolist(), latency, dropped=newest.number // stride + 1 - count)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end a stream as Ctrl-C does, unless they are ignored, as under nohup."""
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _device(name: str | None) -> torch.device:
    if name is not None:
        try:
            return torch.device(name)
        except RuntimeError as error:
            raise ValueError(f"Expected 'device' to be one of torch's, such as cpu or cuda:1 (got {name!r})") from error
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return accelerator or torch.device("cpu")
