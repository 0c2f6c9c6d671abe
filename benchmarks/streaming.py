"""Latency of a stream, frame by frame at batch 1."""

import resource
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, islice
from statistics import median, quantiles
from typing import Any

import torch
from rich.progress import track
from torch import Tensor

from benchmarks.memory import MIB, live_tensor_bytes
from benchmarks.results import Curve, Figure, Result, Row, measured, ratios
from benchmarks.settings import Settings
from benchmarks.timing import Stopwatch, slope
from rstg_pyg import RSTG, GridPyramid, RSTGBlock

ABOUT = """\
One clip at batch 1, frame by frame, without gradients: `RSTG.step` on nodes (additive attention, position maps) and
`RSTGBlock.step` on a feature volume. A second stream, begun anew at every chunk, takes every frame in turn with the
first: whatever else the machine does meets both, and only a latency that grows with the stream's length can part them.
The drift is the least-squares slope over the chunks times their number, as a share of the median: of the chunks' median
latencies, and of the medians of the first stream's latency over the second's. Memory is compared between the end of the
first chunk and the end of the stream: the bytes of all tensors alive, and the peak of the process's resident memory,
which would follow any growth. After that, chunks run as whole clips, in turn with as many frames of the stream."""
ABOUT_LONG = """\
One stream at batch 1 that goes on and on: `RSTG.step` on the same few frames of a small graph over and over, so that
only what it carries along could make it slower or larger. The second stream, begun anew at every chunk, takes every
tenth of its frames. Latency, drift and memory are taken as in the section on streaming."""
LONG_STREAM_BESIDE = 10


@dataclass(frozen=True)
class Stream:
    """A stream and the same frames as a whole clip."""

    frames: Tensor  # [1, T, ...]
    step: Callable[[Tensor, Any], tuple[Any, ...]]
    whole: Callable[[Tensor], object]


def run(settings: Settings) -> Result:
    """Run all streams."""
    num_chunks, chunk = settings.num_rounds(10), 4 if settings.quick else 100
    table: list[Row] = []
    curves = []
    for name, stream in build_streams(settings, chunk).items():
        rows, curve = measure(name, stream, num_chunks, settings)
        table += rows
        curves.append(curve)
    sizes = f"{num_chunks * chunk:,} frames in chunks of {chunk}; scales (3, 2, 1), K = 3"
    return Result("Streaming", ABOUT, sizes, table, Figure("linear", "frame", "ms per frame", curves))


def run_long(settings: Settings) -> Result:
    """Follow one stream for as many frames as the settings say."""
    num_chunks, num_frames = settings.num_rounds(100), settings.num_frames(1_000_000)
    chunk, pyramid = num_frames // num_chunks, GridPyramid((2, 1)).to(settings.device)
    if chunk < LONG_STREAM_BESIDE:
        raise ValueError(
            f"Expected '--frames' to be at least {LONG_STREAM_BESIDE} a round, {LONG_STREAM_BESIDE * num_chunks} "
            f"(got {num_frames})"
        )
    pos_map = pyramid.pos_map()
    rstg = RSTG(8, 8, num_iterations=1, attention="additive", pos_channels=pos_map.size(1)).to(settings.device)
    frames = torch.randn(1, 100, pyramid.num_nodes, 8, device=settings.device)
    name = "RSTG.step, C = D = 8"
    followed = follow(
        name,
        frames,
        lambda frame, state: rstg.step(frame, pyramid.edge_index, pos_map, state=state),
        num_chunks,
        chunk,
        settings,
        beside=LONG_STREAM_BESIDE,
    )
    curve = followed.curve(name)
    ends = {"first": curve.y[0], "last": curve.y[-1]}
    rows = [Row(f"{name}, median of the {end} {chunk:,} frames", "ms", value) for end, value in ends.items()]
    sizes = f"{num_chunks * chunk:,} frames in chunks of {chunk:,}; scales (2, 1), K = 1"
    figure = Figure("linear", "frame", "ms per frame", [curve])
    return Result("A long stream", ABOUT_LONG, sizes, [*followed.rows(name), *rows], figure)


def build_streams(settings: Settings, chunk: int) -> dict[str, Stream]:
    """The recurrent graph at the paper's size and the block at CPU size."""
    wide, narrow = (16, 8) if settings.quick else (512, 128)
    pyramid = GridPyramid((3, 2, 1)).to(settings.device)
    pos_map = pyramid.pos_map()
    rstg = RSTG(wide, wide, attention="additive", pos_channels=pos_map.size(1)).to(settings.device)
    block = RSTGBlock(narrow, narrow, attention="additive").to(settings.device)
    return {
        f"RSTG.step, C = D = {wide}": Stream(
            torch.randn(1, chunk, pyramid.num_nodes, wide, device=settings.device),
            lambda frame, state: rstg.step(frame, pyramid.edge_index, pos_map, state=state),
            lambda clip: rstg(clip, pyramid.edge_index, pos_map),
        ),
        f"RSTGBlock.step, C = D = {narrow}, 8×8": Stream(
            torch.randn(1, chunk, narrow, 8, 8, device=settings.device), block.step, block
        ),
    }


def measure(name: str, stream: Stream, num_chunks: int, settings: Settings) -> tuple[list[Row], Curve]:
    """Rows and curve of a stream, whole clips beside it."""
    chunk = stream.frames.size(1)
    followed = follow(name, stream.frames, stream.step, num_chunks, chunk, settings)
    per_frame, whole = against_whole_clips(stream, num_chunks, settings)
    return [
        *followed.rows(name),
        measured(f"{name}, whole clip / T", "ms", whole),
        measured(f"{name}, frame by frame / whole clip", "×", ratios(per_frame, whole)),
    ], followed.curve(name)


@dataclass(frozen=True)
class Followed:
    """What a stream took, chunk by chunk.

    Args:
        latencies: Milliseconds of each frame, ``[chunks, frames]``.
        against: Those of the frames that a stream begun anew took too, as a share of its own, ``[chunks, frames]``.
        tensors: Growth of the tensors alive since the end of the first chunk, in bytes.
        resident: Growth of the peak of resident memory since the end of the first chunk, in bytes.
    """

    latencies: Tensor
    against: Tensor
    tensors: int
    resident: int

    def rows(self, name: str) -> list[Row]:
        """Rows of the table."""
        alone, against = (values.quantile(0.5, dim=1).tolist() for values in (self.latencies, self.against))
        every = self.latencies.flatten().tolist()
        return [
            measured(f"{name}, p50", "ms", every),
            Row(f"{name}, p99", "ms", quantiles(every, n=100, method="inclusive")[98]),
            Row(f"{name}, drift over the stream, the machine's noise included", "%", drift(alone)),
            Row(f"{name}, drift against a stream begun anew at every chunk", "%", drift(against), None, -5.0, 5.0),
            Row(f"{name}, growth of tensors alive", "MiB", self.tensors / MIB, None, None, 0.0),
            Row(f"{name}, growth of peak resident memory", "MiB", self.resident / MIB, None, None, 1.0),
        ]

    def curve(self, name: str) -> Curve:
        """Quartiles of each chunk."""
        num_chunks, chunk = self.latencies.shape
        low, middle, high = (self.latencies.quantile(share, dim=1).tolist() for share in (0.25, 0.5, 0.75))
        return Curve(name, "median", [chunk * (i + 1) for i in range(num_chunks)], middle, low, high)


@torch.no_grad()
def follow(
    name: str,
    frames: Tensor,
    step: Callable[[Tensor, Any], tuple[Any, ...]],
    num_chunks: int,
    chunk: int,
    settings: Settings,
    beside: int = 1,
) -> Followed:
    """Give a stream frames ``[1, T, ...]`` over and over, and every ``beside``-th to one begun anew at every chunk."""
    stopwatch = Stopwatch(settings.device)
    # All of their memory is there from the first frame on.
    latencies = torch.full((num_chunks, chunk), torch.nan, dtype=torch.float64)
    against = torch.full((num_chunks, len(range(0, chunk, beside))), torch.nan, dtype=torch.float64)
    source, state = cycle(frames.unbind(dim=1)), None
    memory: list[tuple[int, int]] = []
    for number in track(range(-1, num_chunks), description=name):  # one chunk to warm up
        begun = None
        for place, frame in enumerate(islice(source, chunk)):
            stopwatch.lap()
            _, state, *_ = step(frame, state)
            milliseconds = 1e3 * stopwatch.lap()
            latencies[number, place] = milliseconds  # the warm-up's are written over by the last chunk's
            if place % beside == 0:
                stopwatch.lap()
                _, begun, *_ = step(frame, begun)
                against[number, place // beside] = milliseconds / (1e3 * stopwatch.lap())
        if number in (0, num_chunks - 1):
            memory.append(
                (live_tensor_bytes(settings.device), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
            )
    (tensors, resident), (last_tensors, last_resident) = memory
    return Followed(latencies, against, last_tensors - tensors, last_resident - resident)


@torch.no_grad()
def against_whole_clips(stream: Stream, num_chunks: int, settings: Settings) -> tuple[list[float], list[float]]:
    """Milliseconds a frame, chunk by chunk: of the stream, and of whole clips in turn with it."""
    stopwatch, state = Stopwatch(settings.device), None
    per_frame, whole = [], []
    for _ in range(-1, num_chunks):
        times = []
        for frame in stream.frames.unbind(dim=1):
            stopwatch.lap()
            _, state, *_ = stream.step(frame, state)
            times.append(1e3 * stopwatch.lap())
        per_frame.append(median(times))
        stopwatch.lap()
        stream.whole(stream.frames)
        whole.append(1e3 * stopwatch.lap() / stream.frames.size(1))
    return per_frame[1:], whole[1:]


def drift(values: list[float]) -> float:
    """Slope over the chunks times their number, in percent of the median."""
    return 100 * slope(range(len(values)), values) * len(values) / median(values)
