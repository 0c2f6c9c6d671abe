"""Latency of a stream, frame by frame at batch 1."""

import resource
from collections.abc import Callable
from dataclasses import dataclass
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
        rows, latencies = measure(name, stream, num_chunks, settings)
        table += rows
        points = [median(chunk) for chunk in latencies]
        quarters = [quantiles(chunk, n=4) for chunk in latencies]
        frames = [chunk * (i + 1) for i in range(num_chunks)]
        curves.append(Curve(name, "median", frames, points, [q[0] for q in quarters], [q[2] for q in quarters]))
    sizes = f"{num_chunks * chunk:,} frames in chunks of {chunk}; scales (3, 2, 1), K = 3"
    return Result("Streaming", ABOUT, sizes, table, Figure("linear", "frame", "ms per frame", curves))


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


@torch.no_grad()
def measure(name: str, stream: Stream, num_chunks: int, settings: Settings) -> tuple[list[Row], list[list[float]]]:
    """Rows of a stream, and its milliseconds per frame, chunk by chunk."""
    stopwatch = Stopwatch(settings.device)
    state = None

    def step(frame: Tensor, state: Any) -> tuple[float, Any]:
        stopwatch.lap()
        _, state, *_ = stream.step(frame, state)
        return 1e3 * stopwatch.lap(), state

    latencies: list[list[float]] = []
    anew: list[list[float]] = []
    tensors, resident = [], []
    for _ in track(range(-1, num_chunks), description=name):  # one chunk to warm up
        latencies.append([])
        anew.append([])
        begun = None
        for frame in stream.frames.unbind(dim=1):
            milliseconds, state = step(frame, state)
            latencies[-1].append(milliseconds)
            milliseconds, begun = step(frame, begun)
            anew[-1].append(milliseconds)
        tensors.append(live_tensor_bytes(settings.device))
        resident.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    del latencies[0], anew[0], tensors[0], resident[0]

    per_frame, whole = [], []
    for _ in range(-1, num_chunks):
        times = []
        for frame in stream.frames.unbind(dim=1):
            milliseconds, state = step(frame, state)
            times.append(milliseconds)
        per_frame.append(median(times))
        stopwatch.lap()
        stream.whole(stream.frames)
        whole.append(1e3 * stopwatch.lap() / stream.frames.size(1))

    every = sorted(latency for times in latencies for latency in times)
    alone = [median(times) for times in latencies]
    against = [median(ratios(*pair)) for pair in zip(latencies, anew, strict=True)]
    return [
        measured(f"{name}, p50", "ms", every),
        Row(f"{name}, p99", "ms", quantiles(every, n=100, method="inclusive")[98]),
        Row(f"{name}, drift over the stream, the machine's noise included", "%", drift(alone)),
        Row(f"{name}, drift against a stream begun anew at every chunk", "%", drift(against), None, -5.0, 5.0),
        Row(f"{name}, growth of tensors alive", "MiB", (tensors[-1] - tensors[0]) / MIB, None, None, 0.0),
        Row(f"{name}, growth of peak resident memory", "MiB", (resident[-1] - resident[0]) / MIB, None, None, 1.0),
        measured(f"{name}, whole clip / T", "ms", whole[1:]),
        measured(f"{name}, frame by frame / whole clip", "×", ratios(per_frame[1:], whole[1:])),
    ], latencies


def drift(values: list[float]) -> float:
    """Slope over the chunks times their number, in percent of the median."""
    return 100 * slope(range(len(values)), values) * len(values) / median(values)
