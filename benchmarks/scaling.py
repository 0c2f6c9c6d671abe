"""How time, memory and messages grow with the clip, the batch, the graph and the iterations."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from benchmarks.memory import MIB, peak_tensor_bytes
from benchmarks.results import Curve, Figure, Result, Row, curve, measured, ratios
from benchmarks.settings import Settings
from benchmarks.timing import interleave, log_log_slope
from rstg_pyg import RSTG, GridPyramid
from rstg_pyg.cost import count_messages

ABOUT = """\
Forward + backward of RSTG (all-temp, LSTM, additive attention, position maps) over nodes, one size varied at a time:
seconds (all sizes timed in turns) and peak tensor bytes beyond inputs and parameters (counted as in the section on
memory). An exponent is the least-squares slope of the logarithms; 1 is linear. Messages are counted in a run, in two
ways: by PyG's message hook (a hook makes the layer take the plain route), and as attention weights that the fused route
returns; both are divided by what `rstg_pyg.cost.count_messages` says, T·E·K."""

FINER = ((2, 1), (4, 2, 1), (8, 4, 2, 1), (16, 8, 4, 2, 1))
ROUNDS = 5


@dataclass(frozen=True)
class Size:
    """One size of the graph stack."""

    channels: int
    num_clips: int
    num_frames: int
    scales: tuple[int, ...]
    num_iterations: int


def run(settings: Settings) -> Result:
    """Time and count all sizes."""
    base = Size(8, 2, 3, (3, 2, 1), 2) if settings.quick else Size(256, 4, 10, (3, 2, 1), 3)
    frames, clips, iterations = (5, 10, 20, 40, 80, 160), (1, 2, 4, 8, 16, 32), (1, 2, 4, 8)
    kept = 2 if settings.quick else None
    sweeps: dict[str, dict[int, Size]] = {
        "T": {n: replace(base, num_frames=n) for n in frames[:kept]},
        "B": {n: replace(base, num_clips=n) for n in clips[:kept]},
        "N": {GridPyramid(scales).num_nodes: replace(base, scales=scales) for scales in FINER[:kept]},
        "K": {n: replace(base, num_iterations=n) for n in iterations[:kept]},
    }
    steps = {size: make_step(size, settings.device) for sweep in sweeps.values() for size in sweep.values()}
    times = interleave(steps, settings.num_rounds(ROUNDS), settings.device, "scaling")
    peaks = {size: peak_tensor_bytes(step, settings.device) / MIB for size, step in steps.items()}

    table, curves = [], []
    for name, sweep in sweeps.items():
        points = list(sweep)
        slopes = [log_log_slope(points, seconds) for seconds in zip(*(times[s] for s in sweep.values()), strict=True)]
        span = f"{name} = {points[0]} to {points[-1]}"
        linear = (0.9, 1.1) if name == "T" else (None, None)
        table.append(measured(f"time, exponent of {name}, {span}", "", slopes, *linear))
        memory = [peaks[size] for size in sweep.values()]
        table.append(Row(f"memory, exponent of {name}, {span}", "", log_log_slope(points, memory), None, *linear))
        relative = {n: ratios(times[size], times[sweep[points[0]]]) for n, size in sweep.items()}
        curves += [
            curve(f"over {name}", "time", relative),
            Curve(f"over {name}", "memory", points, [peak / memory[0] for peak in memory]),
            Curve(f"over {name}", "linear", points, [n / points[0] for n in points]),
        ]
    table += [
        Row(f"messages counted / formula, {way}", "", counted, None, 1.0, 1.0)
        for way, counted in count_ratios(base, settings.device).items()
    ]
    sizes = (
        f"B = {base.num_clips}, T = {base.num_frames}, C = D = {base.channels}, scales {base.scales}, "
        f"K = {base.num_iterations}, but for what is varied; N by the pyramids "
        f"{', '.join(str(scales) for scales in FINER[:kept])}"
    )
    return Result("Scaling", ABOUT, sizes, table, Figure("log", "", "relative to the smallest", curves))


def build(size: Size, device: torch.device) -> tuple[RSTG, GridPyramid, Tensor]:
    """The graph, its pyramid, and nodes ``[B, T, N, D]``."""
    pyramid = GridPyramid(size.scales).to(device)
    rstg = RSTG(size.channels, size.channels, size.num_iterations, attention="additive", pos_channels=36).to(device)
    x = torch.randn(size.num_clips, size.num_frames, pyramid.num_nodes, size.channels, device=device)
    return rstg, pyramid, x


def make_step(size: Size, device: torch.device) -> Callable[[], object]:
    """Forward + backward at one size, as a contestant."""
    rstg, pyramid, x = build(size, device)
    leaves = [x.requires_grad_(), *rstg.parameters()]
    pos_map = pyramid.pos_map()

    def step() -> tuple[Tensor, ...]:
        out = rstg(x, pyramid.edge_index, pos_map)[0]
        return torch.autograd.grad(out, leaves, torch.ones_like(out))

    return step


def count_ratios(size: Size, device: torch.device) -> dict[str, float]:
    """Messages of a run, counted in two ways, over the formula's."""
    rstg, pyramid, x = build(size, device)
    assert rstg.space is not None
    by_formula = size.num_clips * count_messages(rstg, size.num_frames, pyramid.num_nodes, pyramid.num_edges)
    pos_map = pyramid.pos_map()
    with torch.no_grad():
        attention = rstg(x, pyramid.edge_index, pos_map, return_attention_weights=True)[2]
        hooked: list[int] = []
        rstg.space.register_message_forward_hook(
            lambda module, inputs, messages: hooked.append(messages.numel() // messages.size(-1))
        )
        rstg(x, pyramid.edge_index, pos_map)
    return {
        "message hook": sum(hooked) / by_formula,
        "attention weights of the fused route": attention.numel() / by_formula,
    }
