"""The whole graph at the paper's size against its references and the hardware's roofline."""

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor, nn

from benchmarks.conv_lstm import ConvLSTM
from benchmarks.dense_reference import DenseRSTG
from benchmarks.plain_route import plain_route
from benchmarks.results import Figure, Result, Row, curve, measured, ratios
from benchmarks.settings import Settings, computes_bf16
from benchmarks.timing import interleave
from rstg_pyg import RSTG, GridPyramid
from rstg_pyg.cost import count_multiply_adds

ABOUT = """\
The recurrent graph over a feature volume (pooling, all-temp with an LSTM, K space stages with additive attention and
position maps; no read-out): forward without gradients, and forward + backward to the volume and all parameters.

- **fused** is RSTG as it comes, **plain** the same with `RSTGConv.fused = False`: PyG's own propagation.
- **dense** concatenates every ordered pair of nodes and sends it through both layers of the message MLP, frame by
  frame, masking pairs without an edge: the same numbers (`benchmarks/dense_reference.py`, tested equal).
- **GATv2 + LSTM** and **Transformer + LSTM** are what a PyG user would compose instead, at the same sizes: PyG's layer
  on the disjoint batch of all frames, position maps as edge features (`benchmarks/conv_lstm.py`). Other functions, and
  cheaper ones: their messages are no MLP.
- The **roofline** is the time the graph's multiply-adds (paper §2.4; three times for forward + backward, nothing
  recomputed) would take at the rate of a matrix product [B·T·E, D]·[D, D] in the same precision, timed in turn with
  the others.

bf16 is torch's autocast. A ratio is how many times faster the first is than the second."""

RSTG_NAME, DENSE = "fused", "dense"
PASSES = {"forward": 1, "forward + backward": 3}
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
ROOFLINE_SHARE = {"fp32": 65, "bf16": 40}
DENSE_RATIO = {("fp32", "fp32"): 3.0, ("bf16", "bf16"): 5.0, ("bf16", "fp32"): 12.0}
ROUNDS = 10
PRODUCTS = 5  # matrix products timed in a row, for the sustained rate


def run(settings: Settings) -> Result:
    """Time all stacks in all passes and precisions, in turns."""
    device = settings.device
    num_clips, num_frames, channels, num_iterations = (2, 3, 16, 3) if settings.quick else (16, 10, 512, 3)
    pyramid = GridPyramid((3, 2, 1)).to(device)
    volume = torch.randn(num_clips, num_frames, channels, 6, 6, device=device, requires_grad=True)
    stacks = build_stacks(channels, num_iterations, pyramid)
    precisions = [name for name in PRECISIONS if name == "fp32" or settings.force_bf16 or computes_bf16(device)]

    contestants: dict[tuple[str, str, str], Callable[[], object]] = {}
    for precision in precisions:
        for name, stack in stacks.items():
            contestants[name, "forward", precision] = make_forward(stack, volume, precision)
            contestants[name, "forward + backward", precision] = make_training(stack, volume, precision)
        rows = num_clips * num_frames * pyramid.num_edges
        contestants["product", "", precision] = make_product(rows, channels, precision, device)
    times = interleave(contestants, settings.num_rounds(ROUNDS), device, "graph stack")

    rstg = stacks[RSTG_NAME].stack
    multiply_adds = num_clips * count_multiply_adds(rstg, num_frames, pyramid.num_nodes, pyramid.num_edges)
    product_flops = 2 * PRODUCTS * num_clips * num_frames * pyramid.num_edges * channels**2
    for precision, (passes, share) in product(precisions, PASSES.items()):
        times["roofline", passes, precision] = [
            seconds * share * 2 * multiply_adds / product_flops for seconds in times["product", "", precision]
        ]
    table = [
        measured(
            f"fused {precision}, share of its roofline, {passes}",
            "%",
            [100 * r for r in ratios(times["roofline", passes, precision], times[RSTG_NAME, passes, precision])],
            at_least=ROOFLINE_SHARE[precision],
        )
        for precision, passes in product(precisions, PASSES)
    ]
    pairs = [(RSTG_NAME, precision, name, precision) for precision in precisions for name in list(stacks)[1:]]
    pairs += [(RSTG_NAME, "bf16", DENSE, "fp32")] if "bf16" in precisions else []
    table += [
        measured(
            f"{ours} {our_precision} against {theirs} {their_precision}, {passes}",
            "×",
            ratios(times[theirs, passes, their_precision], times[ours, passes, our_precision]),
            at_least=DENSE_RATIO[our_precision, their_precision] if theirs == DENSE else None,
        )
        for (ours, our_precision, theirs, their_precision), passes in product(pairs, PASSES)
    ]
    names = [*stacks, "roofline"]
    table += [
        measured(f"{name} {precision}, {passes}", "ms", [1e3 * s for s in times[name, passes, precision]])
        for precision, passes, name in product(precisions, PASSES, names)
    ]
    for precision in precisions:
        rates = [product_flops / s / 1e9 for s in times["product", "", precision]]
        table.append(measured(f"matrix product {precision}", "GFLOP/s", rates))
    if "bf16" not in precisions:
        table.append(Row("all of bf16: this processor emulates it (`--force-bf16` measures it all the same)"))

    curves = [
        curve(passes, precision, {name: [1e3 * s for s in times[name, passes, precision]] for name in names})
        for passes, precision in product(PASSES, precisions)
    ]
    sizes = (
        f"B = {num_clips}, T = {num_frames}, 6×6 features, C = D = {channels}, scales (3, 2, 1), K = {num_iterations}; "
        f"{multiply_adds / 1e9:,.1f}·10⁹ multiply-adds forward"
    )
    return Result("Graph stack", ABOUT, sizes, table, Figure("bars", "ms", "", curves))


class VolumeStack(nn.Module):
    """Pooling and one of the stacks: ``[B, T, C, H, W]`` → ``[B, T, N, D]``."""

    def __init__(self, pyramid: GridPyramid, stack: nn.Module) -> None:
        super().__init__()
        self.pyramid = pyramid
        self.stack = stack
        self.register_buffer("pos_map", pyramid.pos_map())

    def forward(self, volume: Tensor) -> Tensor:
        """Run the graph over a volume."""
        out = self.stack(self.pyramid.pool(volume), self.pyramid.edge_index, self.pos_map)
        return out[0] if isinstance(out, tuple) else out


def build_stacks(channels: int, num_iterations: int, pyramid: GridPyramid) -> dict[str, VolumeStack]:
    """All stacks; RSTG's come with the same weights."""
    pos_channels = pyramid.pos_map().size(1)
    rstg = RSTG(channels, channels, num_iterations, attention="additive", pos_channels=pos_channels)
    dense = DenseRSTG(channels, pos_channels, num_iterations)
    dense.load_rstg(rstg)
    stacks = {
        RSTG_NAME: rstg,
        "plain": plain_route(rstg),
        DENSE: dense,
        "GATv2 + LSTM": ConvLSTM("gatv2", channels, pos_channels, num_iterations),
        "Transformer + LSTM": ConvLSTM("transformer", channels, pos_channels, num_iterations),
    }
    return {name: VolumeStack(pyramid, stack).to(pyramid.box.device) for name, stack in stacks.items()}


def make_forward(stack: VolumeStack, volume: Tensor, precision: str) -> Callable[[], object]:
    """The forward pass as a contestant."""

    def forward() -> None:
        with torch.no_grad(), torch.autocast(volume.device.type, PRECISIONS["bf16"], enabled=precision == "bf16"):
            stack(volume)

    return forward


def make_training(stack: VolumeStack, volume: Tensor, precision: str) -> Callable[[], object]:
    """Forward and backward to the volume and all parameters as a contestant."""
    leaves = [volume, *stack.parameters()]

    def train() -> None:
        with torch.autocast(volume.device.type, PRECISIONS["bf16"], enabled=precision == "bf16"):
            out = stack(volume)
        torch.autograd.grad(out, leaves, torch.ones_like(out))

    return train


def make_product(rows: int, channels: int, precision: str, device: torch.device) -> Callable[[], object]:
    """Matrix products [rows, D]·[D, D] into memory that is there already, as a contestant."""
    x = torch.randn(rows, channels, device=device, dtype=PRECISIONS[precision])
    weight = torch.randn(channels, channels, device=device, dtype=PRECISIONS[precision])
    out = torch.empty_like(x)

    def multiply() -> None:
        for _ in range(PRODUCTS):
            torch.mm(x, weight, out=out)

    return multiply
