"""Peak memory of a training step of the space stage, fused against plain."""

import torch
from torch import Tensor

from benchmarks.memory import MIB, peak_tensor_bytes
from benchmarks.plain_route import plain_route
from benchmarks.results import Curve, Figure, Result, Row
from benchmarks.settings import Settings
from benchmarks.timing import log_log_slope
from rstg_pyg import GridPyramid, RSTGConv

ABOUT = """\
The most bytes that tensors hold at one time during forward + backward of the space stage alone (`RSTGConv`, additive
attention, position maps), beyond its inputs and parameters; the gradients count. On CPUs this is the peak of the
running sum over every allocation and release of torch's CPU allocator, as the profiler records them, temporaries
inside kernels included; on CUDA `max_memory_allocated`. A count, not a measurement: it has no spread."""

PYRAMIDS = ((3, 2, 1), (4, 3, 2, 1), (6, 4, 2, 1), (8, 4, 3, 2, 1), (12, 6, 3, 1), (13, 7, 3, 1))
FEWER = 4


def run(settings: Settings) -> Result:
    """Count both routes over pyramids, and over edges alone."""
    frames, channels, pyramids = (2, 16, PYRAMIDS[:2]) if settings.quick else (160, 512, PYRAMIDS)
    conv = RSTGConv(channels, channels, attention="additive", pos_channels=36).to(settings.device)
    routes = {"fused": conv, "plain": plain_route(conv)}
    graphs = [GridPyramid(scales).to(settings.device) for scales in pyramids]
    nodes, edges = [graph.num_nodes for graph in graphs], [graph.num_edges for graph in graphs]
    peaks = {
        name: [peak_of_step(route, graph, graph.edge_index, frames) / MIB for graph in graphs]
        for name, route in routes.items()
    }

    first = f"N = {nodes[0]}, E = {edges[0]}"
    table = [Row(f"fused / plain, {first}", "×", peaks["fused"][0] / peaks["plain"][0], at_most=0.25)]
    largest = graphs[-1]
    for name, route in routes.items():
        few = peak_of_step(route, largest, largest.edge_index[:, ::FEWER], frames) / MIB
        table.append(
            Row(
                f"{name}, N = {nodes[-1]}: E = {edges[-1]} / E = {-(-edges[-1] // FEWER)}",
                "×",
                peaks[name][-1] / few,
                at_most=1.1 if name == "fused" else None,
            )
        )
    for name in routes:
        table.append(Row(f"{name}, exponent of N over the pyramids", "", log_log_slope(nodes, peaks[name])))
    for i in range(len(graphs)):
        for name in routes:
            table.append(Row(f"{name}, N = {nodes[i]}, E = {edges[i]}", "MiB", peaks[name][i]))

    curves = [Curve(f"{frames} frames, D = {channels}", name, edges, peaks[name]) for name in routes]
    sizes = f"{frames} frames, D = {channels}, pyramids {', '.join(map(str, pyramids))}"
    return Result("Memory of the space stage", ABOUT, sizes, table, Figure("log", "edges", "peak, MiB", curves))


def peak_of_step(conv: RSTGConv, graph: GridPyramid, edge_index: Tensor, frames: int) -> int:
    """Peak bytes of forward + backward over ``[frames, N, D]`` nodes, after one step to warm up."""
    x = torch.randn(frames, graph.num_nodes, conv.out_channels, device=graph.box.device, requires_grad=True)
    cotangent = torch.ones_like(x)
    pos_map = graph.pos_map()

    def step() -> tuple[Tensor, ...]:
        return torch.autograd.grad(conv(x, edge_index, pos_map), [x, *conv.parameters()], cotangent)

    step()
    return peak_tensor_bytes(step, graph.box.device)
