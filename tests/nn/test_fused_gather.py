"""The fused route of the space stage gives what the layer's definition gives, and gives way where it cannot."""

import copy
import itertools
import pickle
from collections import defaultdict
from statistics import median
from unittest.mock import patch

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.nn.utils import parametrize
from torch_geometric import EdgeIndex
from torch_geometric.data import Batch, Data
from torch_geometric.nn import SumAggregation
from torch_geometric.nn.dense import Linear
from torch_geometric.utils import degree

from rstg_pyg import RSTG, GridPyramid, RSTGConv
from rstg_pyg.nn import edge_ops, fused_gather, incidence_ops, rstg_conv
from rstg_pyg.nn.fused_gather import gather_messages

ATTENTIONS = ["dot", "additive", "sum"]
KINDS = list(itertools.product(ATTENTIONS, [True, False]))
OPTIONS = [
    {},
    {"pos_channels": 3},
    {"num_groups": 3, "norm": "batch"},
    {"norm": "layer", "residual": True},
    {"pos_channels": 3, "num_groups": 2, "norm": "batch", "residual": True},
]
# 14 nodes joined by 90 edges: at 20 channels the products of all pairs of nodes are cheaper than those of the edges.
FEW_PAIRS = {"out_channels": 20}


def make_conv(attention="dot", normalize=True, in_channels=6, out_channels=6, device=None, dtype=None, **options):
    conv = RSTGConv(in_channels, out_channels, attention, normalize, **options)
    for name, parameter in conv.named_parameters():
        if "norm" not in name:
            torch.nn.init.normal_(parameter, std=0.5)
    return conv.to(device, dtype or torch.float64)


def random_edges(num_nodes, num_edges, num_sources=None):
    """Edges in any order, some of them twice; nothing arrives at node 0 where there is another node."""
    source = torch.randint(num_sources or num_nodes, (num_edges,))
    return torch.stack([source, torch.randint(min(1, num_nodes - 1), num_nodes, (num_edges,))])


def make_inputs(conv, edge_index, num_nodes, *leading, weighted=False):
    """Nodes, edges, and what else the layer takes, each of the layer's type and device."""
    like = conv.lin_send.weight
    edge_weight = None
    if weighted:
        edge_weight = torch.rand(edge_index.size(1)).to(like)
        edge_weight[::5] = 0
    return {
        "x": torch.randn(*leading, num_nodes, 6).to(like),
        "edge_index": edge_index.to(like.device),
        "pos_map": torch.rand(num_nodes, 3).to(like) if conv.pos_channels else None,
        "edge_weight": edge_weight,
        "group": torch.arange(num_nodes, device=like.device) % conv.num_groups if conv.num_groups > 1 else None,
    }


def run(conv, inputs, fused):
    """Output, attention, and the gradients of all floating-point inputs and parameters, by the route asked for."""
    conv, inputs = copy.deepcopy(conv), dict(inputs)
    conv.fused = fused
    leaves = {}

    def leaf(name, tensor):
        leaves[name] = tensor.detach().requires_grad_()
        return leaves[name]

    for name, value in inputs.items():
        if isinstance(value, tuple):
            inputs[name] = tuple(leaf(f"{name}[{i}]", part) for i, part in enumerate(value))
        elif value is not None and value.is_floating_point():
            inputs[name] = leaf(name, value)
    with patch.object(rstg_conv, "gather_messages", wraps=gather_messages) as spy:
        out, (_, alpha) = conv(**inputs, return_attention_weights=True)
    assert spy.call_count == fused
    leaves |= dict(conv.named_parameters())
    # Directions of their own, lest a gradient that lands on the wrong node, edge or channel go unseen.
    loss = sum(
        (tensor.double() * torch.linspace(-1, 2, tensor.numel(), device=tensor.device).view_as(tensor)).sum()
        for tensor in (out, alpha)
    )
    loss.backward()
    return {"out": out.detach(), "alpha": alpha.detach()} | {name: tensor.grad for name, tensor in leaves.items()}


def assert_routes_agree(conv, inputs, **tolerance):
    fused, plain = run(conv, inputs, fused=True), run(conv, inputs, fused=False)
    tolerance = tolerance or {"rtol": 1e-10, "atol": 1e-10}
    for name, expected in plain.items():
        torch.testing.assert_close(fused[name], expected, **tolerance, msg=lambda text, name=name: f"{name}: {text}")
    return fused


@pytest.fixture(params=[False, True], ids=["by index", "by incidence"])
def small_graphs(request, monkeypatch):
    """Both ways of a CPU along the edges of a small graph."""
    monkeypatch.setattr(fused_gather, "_are_many_small_graphs", lambda send, receive: request.param)


@pytest.fixture
def fused_calls(monkeypatch):
    """Grows by one whenever a layer takes the fused route."""
    calls = []
    monkeypatch.setattr(rstg_conv, "gather_messages", lambda *args: calls.append(args) or gather_messages(*args))
    return calls


@pytest.fixture
def pyramid_inputs(device):
    pyramid = GridPyramid().to(device)
    return {"x": torch.randn(2, 14, 6, dtype=torch.float64, device=device), "edge_index": pyramid.edge_index}


# --- The same numbers -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_graphs")
def test_two_channels_by_hand(device):
    # Sources 1, 2 bring (2, 0) and (-3, 4); the destination (1, -1). Edges 0→0, 1→0 and 0→0 again, weights 2, 3, -1.
    # Hidden: relu(3, -1) = (3, 0) and relu(-2, 3) = (0, 3). Second layer: h1 + h2 - 1 and -h1 + 2 h2 give (2, -3) and
    # (2, 6), after the ReLU (2, 0) and (2, 6). Sum: 2 (2, 0) + 3 (2, 6) - (2, 0) = (8, 18); nothing reaches node 1.
    send = torch.tensor([[2.0, 0.0], [-3.0, 4.0]], device=device, requires_grad=True)
    receive = torch.tensor([[1.0, -1.0], [5.0, 5.0]], device=device, requires_grad=True)
    alpha = torch.tensor([2.0, 3.0, -1.0], device=device, requires_grad=True)
    weight = torch.tensor([[1.0, 1.0], [-1.0, 2.0]], device=device, requires_grad=True)
    bias = torch.tensor([-1.0, 0.0], device=device, requires_grad=True)
    edge_index = torch.tensor([[0, 1, 0], [0, 0, 0]], device=device)
    out = gather_messages(send, receive, alpha, weight, bias, edge_index)
    assert out.tolist() == [[8, 18], [0, 0]]
    # Gradient (1, 10) of node 0: by alpha 2, 2 + 60, 2. By the second layer's output, where open: edge 0 (2, 0), edge 1
    # (3, 30), edge 2 (-1, 0). By hidden: (2, 2), (3 - 30, 3 + 60), (-1, -1), where open (2, 0), (0, 63), (-1, 0).
    out.backward(torch.tensor([[1.0, 10.0], [7.0, 7.0]], device=device))
    assert alpha.grad.tolist() == [2, 62, 2]
    assert bias.grad.tolist() == [4, 30]
    assert weight.grad.tolist() == [[3 * (2 - 1), 3 * 3], [0, 3 * 30]]
    assert send.grad.tolist() == [[1, 0], [0, 63]]
    assert receive.grad.tolist() == [[1, 63], [0, 0]]


@pytest.mark.usefixtures("small_graphs")
@pytest.mark.parametrize(("attention", "normalize"), KINDS)
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("leading", [(), (2, 3)])
def test_routes_agree_for_every_kind_of_layer(attention, normalize, options, leading, device):
    conv = make_conv(attention, normalize, device=device, **options)
    inputs = make_inputs(conv, random_edges(9, 40), 9, *leading, weighted=True)
    results = assert_routes_agree(conv, inputs)
    untouched = {"att_source.weight", "att_destination.weight"}
    assert all(gradient.any() for name, gradient in results.items() if name not in untouched)
    inputs = {name: v.float() if v is not None and v.is_floating_point() else v for name, v in inputs.items()}
    assert_routes_agree(conv.float(), inputs, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("small_graphs")
@pytest.mark.parametrize(("attention", "normalize"), KINDS)
@pytest.mark.parametrize("mask_shape", [(40,), (3, 40), (2, 1, 40)])
@pytest.mark.parametrize("few_pairs", [True, False])
def test_routes_agree_with_masked_edges(attention, normalize, mask_shape, few_pairs, device, monkeypatch):
    monkeypatch.setattr(rstg_conv, "_few_pairs", lambda *_: few_pairs)
    conv = make_conv(attention, normalize, device=device)
    inputs = make_inputs(conv, random_edges(9, 40), 9, 2, 3, weighted=True)
    mask = (torch.rand(mask_shape) < 0.6).to(device)
    mask[..., inputs["edge_index"][1] == 4] = False  # a neighbourhood that vanishes
    assert_routes_agree(conv, inputs | {"edge_mask": mask})


@pytest.mark.usefixtures("small_graphs")
@pytest.mark.parametrize(("attention", "normalize"), KINDS)
@pytest.mark.parametrize(("sources", "destinations"), [((), ()), ((2, 3), (2, 3)), ((), (3,)), ((1, 3), (2, 3))])
@pytest.mark.parametrize("few_pairs", [True, False])
def test_routes_agree_on_bipartite_graphs(attention, normalize, sources, destinations, few_pairs, device, monkeypatch):
    monkeypatch.setattr(rstg_conv, "_few_pairs", lambda *_: few_pairs)
    conv = make_conv(attention, normalize, in_channels=(4, 5), pos_channels=3, device=device)
    like = conv.lin_send.weight
    source, destination = torch.randn(*sources, 7, 4), torch.randn(*destinations, 5, 5)
    inputs = {
        "x": (source.to(like), destination.to(like)),
        "edge_index": random_edges(5, 21, num_sources=7).to(device),
        "pos_map": torch.rand(7, 3).to(like),
        "edge_weight": torch.rand(21).to(like),
    }
    assert_routes_agree(conv, inputs)


@pytest.mark.usefixtures("small_graphs")
@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize(
    ("num_nodes", "num_edges", "leading"),
    [(1, 0, ()), (1, 3, ()), (4, 0, (2,)), (2, 1, (2,)), (4, 9, (0,)), (4, 9, (2, 0)), (1, 0, (0,))],
)
@pytest.mark.parametrize("few_pairs", [True, False])
def test_routes_agree_where_almost_nothing_is_left(
    attention, num_nodes, num_edges, leading, few_pairs, device, monkeypatch
):
    monkeypatch.setattr(rstg_conv, "_few_pairs", lambda *_: few_pairs)
    conv = make_conv(attention, device=device, pos_channels=3)
    inputs = make_inputs(conv, random_edges(num_nodes, num_edges), num_nodes, *leading, weighted=True)
    results = assert_routes_agree(conv, inputs)
    assert results["out"].shape == (*leading, num_nodes, 6)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_routes_agree_on_the_largest_pyramid(attention, device):
    pyramid = GridPyramid((16, 8, 4, 2, 1))
    assert pyramid.num_nodes == 341
    conv = make_conv(attention, device=device, pos_channels=3)
    assert_routes_agree(conv, make_inputs(conv, pyramid.edge_index, 341, 2))


@pytest.mark.parametrize(
    "options", [{"attention": "dot"}, {"attention": "dot", **FEW_PAIRS}, {"attention": "additive"}]
)
def test_disjoint_batch_agrees_with_the_static_graph_of_the_plain_route(options, device):
    conv = make_conv(**options, device=device, pos_channels=3)
    inputs = make_inputs(conv, GridPyramid().edge_index, 14, 6)
    batch = Batch.from_data_list(
        [Data(x=x, edge_index=inputs["edge_index"], pos_map=inputs["pos_map"]) for x in inputs["x"]]
    )
    disjoint = assert_routes_agree(conv, {"x": batch.x, "edge_index": batch.edge_index, "pos_map": batch.pos_map})
    static = run(conv, inputs, fused=False)
    for name in ("out", "alpha", "x"):
        torch.testing.assert_close(disjoint[name].view_as(static[name]), static[name])


@pytest.mark.parametrize("options", [{"attention": "dot"}, FEW_PAIRS, {"attention": "additive"}, {"attention": "sum"}])
@pytest.mark.parametrize("sort_order", ["col", "row", None])
def test_edge_index_of_pyg_agrees_with_the_plain_route_on_a_tensor(options, sort_order, device):
    conv = make_conv(**options, device=device)
    inputs = make_inputs(conv, GridPyramid().edge_index, 14, 2, weighted=True)
    edges = inputs["edge_index"]
    order = torch.randperm(90, device=device) if sort_order is None else edges[int(sort_order == "col")].argsort()
    inputs |= {"edge_index": edges[:, order], "edge_weight": inputs["edge_weight"][order]}
    typed = inputs | {"edge_index": EdgeIndex(edges[:, order], sparse_size=(14, 14), sort_order=sort_order)}
    torch.testing.assert_close(run(conv, typed, fused=True), run(conv, inputs, fused=False))


@pytest.mark.usefixtures("small_graphs")
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_int32_edges_agree_with_int64(attention):
    conv = make_conv(attention)
    inputs = make_inputs(conv, random_edges(9, 40), 9, 2)
    small = inputs | {"edge_index": inputs["edge_index"].int()}
    torch.testing.assert_close(run(conv, small, fused=True), run(conv, inputs, fused=False))


@pytest.mark.usefixtures("small_graphs")
@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("few_pairs", [True, False])
def test_routes_agree_on_inputs_that_are_not_contiguous(attention, few_pairs, device, monkeypatch):
    monkeypatch.setattr(rstg_conv, "_few_pairs", lambda *_: few_pairs)
    conv = make_conv(attention, device=device, pos_channels=3)
    inputs = make_inputs(conv, random_edges(9, 40), 9, 2, 3, weighted=True)
    x = inputs["x"]
    strided = {
        "edge_index": inputs["edge_index"].t().contiguous().t(),
        "pos_map": inputs["pos_map"].t().contiguous().t(),
        "edge_weight": inputs["edge_weight"].repeat_interleave(2)[::2],
    }
    layouts = [
        x.transpose(0, 1).contiguous().transpose(0, 1),  # time first, as RSTG has it
        x.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0),
        x.repeat_interleave(2, dim=-1)[..., ::2],
        x[:1].expand(2, -1, -1, -1),
    ]
    assert not any(layout.is_contiguous() for layout in layouts)
    for layout in layouts:
        assert_routes_agree(conv, inputs | strided | {"x": layout})


@pytest.mark.usefixtures("small_graphs")
def test_gather_of_strided_and_broadcast_tensors(device):
    parts = [torch.randn(*shape, device=device) for shape in [(5, 2, 3, 4), (4, 3), (2, 1, 7), (4, 4), (4,)]]
    edge_index = torch.stack([torch.arange(7) % 5, torch.arange(7) % 3]).to(device)
    send, receive, weight = parts[0].permute(1, 2, 0, 3), parts[1].t(), parts[3].t()
    out = gather_messages(send, receive, parts[2], weight, parts[4], edge_index)
    dense = [send.contiguous(), receive.expand(2, 3, 3, 4).contiguous(), parts[2].expand(2, 3, 7).contiguous()]
    torch.testing.assert_close(out, gather_messages(*dense, weight.contiguous(), parts[4], edge_index))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_routes_agree_on_random_graphs(data, device):
    torch.manual_seed(data.draw(st.integers(0, 2**32 - 1)))
    num_sources, num_nodes = data.draw(st.integers(1, 8)), data.draw(st.integers(1, 8))
    edge = st.tuples(st.integers(0, num_sources - 1), st.integers(0, num_nodes - 1))
    edges = torch.tensor(data.draw(st.lists(edge, max_size=24)), dtype=torch.long).view(-1, 2).t()
    leading = data.draw(st.lists(st.integers(0, 3), max_size=2))
    conv = make_conv(*data.draw(st.sampled_from(KINDS)), in_channels=(2, 3), pos_channels=2, device=device)
    like = conv.lin_send.weight
    inputs = {
        "x": (torch.randn(*leading, num_sources, 2).to(like), torch.randn(*leading, num_nodes, 3).to(like)),
        "edge_index": edges.to(device),
        "pos_map": torch.rand(num_sources, 2).to(like),
        "edge_weight": torch.randn(edges.size(1)).to(like) if data.draw(st.booleans()) else None,
        "edge_mask": (torch.rand(edges.size(1)) < 0.7).to(device) if data.draw(st.booleans()) else None,
    }
    tile, few_pairs, by_incidence = data.draw(st.integers(1, 4096)), data.draw(st.booleans()), data.draw(st.booleans())
    with (
        patch.object(fused_gather, "CPU_TILE", tile),
        patch.object(fused_gather, "CUDA_TILE", tile),
        patch.object(fused_gather, "_are_many_small_graphs", lambda *_: by_incidence),
        patch.object(rstg_conv, "_few_pairs", lambda *_: few_pairs),
    ):
        assert_routes_agree(conv, inputs)


# --- Tiles and memory -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_graphs")
@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        # Rows of 8 float64 channels, 5 graphs of 40 edges.
        (1000, [(range(5), range(40))]),
        (100, [(range(2), range(40)), (range(2, 4), range(40)), (range(4, 5), range(40))]),
        (40, [(range(g, g + 1), range(40)) for g in range(5)]),
        (16, [(range(g, g + 1), r) for g in range(5) for r in (range(16), range(16, 32), range(32, 40))]),
        (0, [(range(g, g + 1), range(e, e + 1)) for g in range(5) for e in range(40)]),
    ],
)
def test_tiles_by_hand_and_their_sum(rows, expected, device, monkeypatch):
    conv = make_conv(device=device, out_channels=8)
    inputs = make_inputs(conv, random_edges(9, 40), 9, 5, weighted=True)
    whole = run(conv, inputs, fused=True)
    for name in ("CPU_TILE", "CUDA_TILE"):
        monkeypatch.setattr(fused_gather, name, rows * 8 * 8 + 7)
    send = torch.empty(5, 9, 8, dtype=torch.float64, device=device)
    tiles = fused_gather._tiles(send, inputs["edge_index"])
    assert [(range(5)[graphs], range(40)[edges]) for graphs, edges in tiles] == expected
    torch.testing.assert_close(run(conv, inputs, fused=True), whole, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ((2, 32, 32, 64), incidence_ops),
        ((2, 33, 32, 64), edge_ops),
        ((2, 32, 33, 70), edge_ops),
        ((2, 32, 32, 63), edge_ops),  # the matrices are larger than the messages
        ((1, 32, 32, 64), edge_ops),  # a disjoint batch
        ((0, 32, 32, 64), edge_ops),
    ],
)
def test_many_small_graphs_of_a_cpu_are_multiplied(sizes, expected):
    num_graphs, num_sources, num_destinations, channels = sizes
    nodes = torch.empty(num_graphs, num_sources, channels), torch.empty(num_graphs, num_destinations, channels)
    assert fused_gather._edge_ops(*nodes) is expected
    with fused_gather.without_incidence():
        assert fused_gather._edge_ops(*nodes) is edge_ops
    assert fused_gather._edge_ops(*nodes) is expected
    assert fused_gather._edge_ops(*(x.to("meta") for x in nodes)) is edge_ops


@pytest.mark.usefixtures("small_graphs")
def test_not_a_number_stays_in_its_graph(device):
    conv = make_conv(device=device)
    x = torch.randn(3, 14, 6, dtype=torch.float64, device=device)
    x[1, 4] = torch.nan
    x.requires_grad_()
    out = conv(x, GridPyramid().edge_index.to(device))
    out.sum().backward()
    for tensor in (out, x.grad):
        assert tensor.isnan().any(dim=-1).any(dim=-1).tolist() == [False, True, False]


def test_not_a_number_stays_in_its_part_of_a_disjoint_batch(device):
    conv = make_conv(out_channels=64, device=device)
    triangle = torch.tensor([[0, 1, 2], [1, 2, 0]], device=device)
    x = torch.randn(6, 6, dtype=torch.float64, device=device)
    x[4] = torch.nan
    out = conv(x, torch.cat([triangle, triangle + 3], dim=1))
    assert out.isnan().any(dim=-1).tolist() == [False, False, False, False, True, True]


@pytest.mark.usefixtures("small_graphs")
def test_products_of_a_node_and_an_edge_of_another_do_not_overflow(device):
    # Messages 1 and 30, edges 0 → 0 and 1 → 1: 64 · 30 · 40, beyond float16, is no gradient; 64 · 40 and 64 · 30 are.
    def half(*values):
        return torch.tensor(values, dtype=torch.float16, device=device).view(1, 2, 1).repeat(1, 1, 64)

    alpha = torch.ones(1, 2, dtype=torch.float16, device=device, requires_grad=True)
    weight = torch.eye(64, dtype=torch.float16, device=device)
    edge_index = torch.tensor([[0, 1], [0, 1]], device=device)
    out = gather_messages(half(1, 30), half(0, 0), alpha, weight, torch.zeros_like(weight[0]), edge_index)
    out.backward(half(40, 1))
    assert alpha.grad.tolist() == [[2560, 1920]]


@pytest.mark.usefixtures("small_graphs")
@pytest.mark.parametrize(("dtype", "large", "small"), [(torch.bfloat16, 0.5, 1 / 512), (torch.float16, 4e4, 1 / 64)])
def test_gradient_of_the_bias_is_summed_in_float32(dtype, large, small, device):
    # The sum of each graph's three edges is none of the small type: it would be lost, or beyond it, in between.
    grads = torch.tensor([[large, large, small], [-large, -large, small]])
    send, receive = torch.ones(2, 1, 4, dtype=dtype, device=device), torch.zeros(2, 3, 4, dtype=dtype, device=device)
    bias = torch.zeros(4, dtype=dtype, device=device, requires_grad=True)
    weight, alpha = torch.eye(4, dtype=dtype, device=device), torch.ones(2, 3, dtype=dtype, device=device)
    out = gather_messages(send, receive, alpha, weight, bias, torch.tensor([[0, 0, 0], [0, 1, 2]], device=device))
    out.backward(grads[..., None].expand(-1, -1, 4).to(device, dtype))
    assert bias.grad.tolist() == [2 * small] * 4


def bytes_saved(conv, edge_index):
    """Memory that the graph holds between forward and backward pass."""
    saved = []
    x = torch.randn(4, 14, 6, device=edge_index.device, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: saved.append(tensor) or tensor, lambda tensor: tensor):
        out = conv(x, edge_index)
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in saved}
    assert out.requires_grad
    return sum(storages.values())


@pytest.mark.usefixtures("small_graphs")
@pytest.mark.parametrize(("attention", "normalize"), KINDS)
def test_no_message_is_kept_for_the_backward_pass(attention, normalize, device):
    pyramid, complete = GridPyramid().edge_index.to(device), (1 - torch.eye(14)).nonzero().t().to(device)
    more_edges = complete.size(1) - pyramid.size(1)
    assert more_edges == 14 * 13 - 90
    growth = {}
    for channels, fused in itertools.product((32, 64), (True, False)):
        conv = make_conv(attention, normalize, out_channels=channels, device=device, dtype=torch.float32)
        conv.fused = fused
        growth[channels, fused] = bytes_saved(conv, complete) - bytes_saved(conv, pyramid)
    # Some numbers an edge, as attention is one; never a feature vector.
    assert growth[32, True] == growth[64, True]
    assert growth[64, True] <= 4 * more_edges * 10 * 4
    assert growth[64, False] - growth[32, False] >= 4 * more_edges * 32 * 4


# --- Half precision ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_graphs")
@pytest.mark.parametrize(("attention", "normalize"), KINDS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision_is_as_near_to_float64_as_the_plain_route(attention, normalize, dtype, autocast, device):
    def convert(inputs, dtype):
        return {n: v.to(dtype) if v is not None and v.is_floating_point() else v for n, v in inputs.items()}

    ratios = defaultdict(list)
    for _ in range(9):
        conv = make_conv(attention, normalize, **FEW_PAIRS, pos_channels=3, device=device)
        inputs = make_inputs(conv, GridPyramid().edge_index, 14, 4, weighted=True)
        # Numbers that the small type holds exactly, so that what differs is the arithmetic alone.
        conv, inputs = conv.to(dtype).double(), convert(convert(inputs, dtype), torch.float64)
        reference = run(conv, inputs, fused=False)
        working = torch.float32 if autocast else dtype
        conv, inputs = conv.to(working), convert(inputs, working)
        with torch.autocast(device.type, dtype=dtype, enabled=autocast):
            fused, plain = run(conv, inputs, fused=True), run(conv, inputs, fused=False)
        for name, expected in reference.items():
            assert fused[name].dtype == plain[name].dtype
            assert fused[name].isfinite().all()
            errors = [torch.linalg.vector_norm(results[name].double() - expected) for results in (fused, plain)]
            ratios[name].append(float(errors[0] / errors[1]) if errors[0] else 0.0)
    # Now and then a ReLU is shut by one route's rounding and not by the other's: the usual case counts.
    medians = {name: median(values) for name, values in ratios.items()}
    assert max(medians.values()) < 1.5, medians
    assert median(medians.values()) < 1.1, medians


@pytest.mark.parametrize("fused", [False, True])
def test_dot_products_beyond_float16_are_finite_once_scaled(fused, device):
    # 64 · 40² = 102,400 is beyond 65,504, and divided by √64 within.
    conv = RSTGConv(64, 64).to(device)
    with torch.no_grad():
        for layer in (conv.att_source, conv.att_destination):
            layer.weight.copy_(torch.eye(64))
    conv = conv.half()
    conv.fused = fused
    x, edge_index = torch.full((14, 64), 40.0, dtype=torch.float16, device=device), GridPyramid().edge_index.to(device)
    _, (_, alpha) = conv(x, edge_index, return_attention_weights=True)
    expected = 1 / degree(edge_index[1]).index_select(0, edge_index[1])
    torch.testing.assert_close(alpha, expected, rtol=1e-3, atol=0)


def test_kernels_are_given_tensors_with_memory_of_their_own():
    conv = RSTGConv(6, 8)
    edge_index = EdgeIndex(GridPyramid().edge_index, sparse_size=(14, 14))
    with patch.object(fused_gather.edge_ops, "lift", wraps=fused_gather.edge_ops.lift) as spy:
        conv(torch.randn(14, 6), edge_index)
    _, _, source, destination = spy.call_args.args
    assert type(source) is type(destination) is torch.Tensor


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_autocast_leaves_float64_as_it_is(attention, device):
    conv = make_conv(attention, device=device)
    inputs = make_inputs(conv, random_edges(9, 40), 9, 2)
    expected = run(conv, inputs, fused=False)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        torch.testing.assert_close(run(conv, inputs, fused=True), expected)


@pytest.mark.parametrize("create_graph", [False, True])
def test_backward_pass_inside_autocast_of_a_forward_pass_outside(create_graph, device):
    shapes = [(2, 14, 64), (2, 14, 64), (2, 90), (64, 64), (64,)]
    leaves = [torch.randn(shape, device=device, requires_grad=True) for shape in shapes]
    out = gather_messages(*leaves, GridPyramid().edge_index.to(device))
    directions = torch.randn_like(out)
    expected = torch.autograd.grad(out, leaves, directions, retain_graph=True, create_graph=create_graph)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        gradients = torch.autograd.grad(out, leaves, directions, create_graph=create_graph)
    torch.testing.assert_close(gradients, expected)


# --- Gradients of gradients, and of many directions at once -----------------------------------------------------------


@pytest.mark.usefixtures("small_graphs")
def test_gather_has_first_and_second_derivatives(device):
    torch.manual_seed(1)
    shapes = [(2, 3, 2), (2, 2, 2), (2, 4), (2, 2), (2,)]
    inputs = [torch.randn(*shape, dtype=torch.float64, device=device, requires_grad=True) for shape in shapes]
    send, receive, _, weight, bias = inputs
    edge_index = torch.tensor([[0, 1, 2, 1], [1, 0, 1, 1]], device=device)
    first = send[:, edge_index[0]] + receive[:, edge_index[1]]
    second = first.relu() @ weight.t() + bias
    for layer in (first, second):  # away from the kinks, on both sides of them
        assert layer.abs().min() > 1e-2
        assert layer.min() < 0 < layer.max()

    def gather(*tensors):
        return gather_messages(*tensors, edge_index)

    # Sums on a GPU come in any order: the tolerance between two runs.
    assert gradcheck(gather, inputs, nondet_tol=1e-10)
    assert gradgradcheck(gather, inputs, nondet_tol=1e-10)


@pytest.mark.parametrize(("attention", "normalize"), KINDS)
def test_gradient_penalty_by_both_routes(attention, normalize, device):
    conv = make_conv(attention, normalize, device=device, pos_channels=3)
    inputs = make_inputs(conv, random_edges(9, 40), 9, 2, weighted=True)
    x = inputs["x"].requires_grad_()
    results = []
    for conv.fused in (True, False):
        (gradient,) = torch.autograd.grad(conv(**inputs).square().sum(), x, create_graph=True)
        parameters = [p for name, p in conv.named_parameters() if not (attention == "sum" and "att" in name)]
        results.append((gradient, torch.autograd.grad(gradient.square().sum(), [x, *parameters])))
    torch.testing.assert_close(results[0], results[1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_functional_transforms_and_forward_mode_take_the_plain_route(attention, pyramid_inputs, fused_calls, device):
    conv = make_conv(attention, device=device)
    x, edge_index = pyramid_inputs.values()

    def loss(x):
        return conv(x, edge_index).square().sum()

    direction = torch.randn_like(x)
    gradient = torch.func.grad(loss)(x)
    torch.testing.assert_close(torch.func.vmap(torch.func.grad(loss))(x), gradient)
    _, slope = torch.func.jvp(loss, (x,), (direction,))
    with forward_ad.dual_level():
        dual = forward_ad.unpack_dual(loss(forward_ad.make_dual(x, direction))).tangent
    assert not fused_calls
    leaf = x.clone().requires_grad_()
    loss(leaf).backward()
    assert len(fused_calls) == 1
    torch.testing.assert_close(gradient, leaf.grad)
    torch.testing.assert_close(slope, (leaf.grad * direction).sum())
    torch.testing.assert_close(dual, slope)


@pytest.mark.usefixtures("small_graphs")
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_many_directions_at_once(attention, pyramid_inputs, device):
    conv = make_conv(attention, device=device)
    x, edge_index = pyramid_inputs.values()
    x = x.requires_grad_()
    leaves = [x, *conv.parameters()]
    directions = torch.randn(3, 2, 14, 6, dtype=torch.float64, device=device)
    conv.fused = False
    one_by_one = [torch.autograd.grad(conv(x, edge_index), leaves, direction) for direction in directions]
    expected = tuple(torch.stack(gradients) for gradients in zip(*one_by_one, strict=True))
    conv.fused = True
    out = conv(x, edge_index)
    batched = torch.autograd.grad(out, leaves, directions, retain_graph=True, is_grads_batched=True)
    torch.testing.assert_close(batched, expected)
    mapped = torch.func.vmap(lambda d: torch.autograd.grad(out, leaves, d, retain_graph=True))(directions)
    torch.testing.assert_close(mapped, expected)


@pytest.mark.parametrize("wanted", [("x",), ("edge_weight",), ("lin_send.bias",), ("x", "lin_send.weight"), ()])
def test_only_what_is_asked_for_has_a_gradient(wanted, device):
    conv = make_conv("sum", device=device).requires_grad_(False)
    inputs = make_inputs(conv, random_edges(9, 40), 9, 2, weighted=True)
    tensors = inputs | dict(conv.named_parameters())
    leaves = [tensors[name].requires_grad_() for name in wanted]
    results = []
    for conv.fused in (True, False):
        out = conv(**inputs)
        assert out.requires_grad == bool(wanted)
        if wanted:
            # Once as a plain gradient, once as one that has gradients itself.
            for create_graph in (False, True):
                gradients = torch.autograd.grad(
                    out.square().sum(), leaves, retain_graph=True, create_graph=create_graph
                )
                results.append(gradients)
    assert all(tensors[name].grad is None for name in tensors if tensors[name] is not None)
    for gradients in results:
        torch.testing.assert_close(gradients, results[-1])


def test_the_same_graph_twice_and_no_graph_at_all(pyramid_inputs, fused_calls, device):
    conv = make_conv(device=device)
    x = pyramid_inputs["x"].requires_grad_()
    out = conv(**pyramid_inputs)
    out.sum().backward(retain_graph=True)
    once = x.grad.clone()
    out.sum().backward()
    torch.testing.assert_close(x.grad, 2 * once)
    for no_graph in (torch.no_grad, torch.inference_mode):
        with no_graph():
            alone = conv(**pyramid_inputs)
        assert not alone.requires_grad
        torch.testing.assert_close(alone, out.detach())
    assert len(fused_calls) == 3


def test_gradient_checkpointing_by_both_routes(pyramid_inputs, device):
    conv = make_conv(device=device)
    x = pyramid_inputs["x"].requires_grad_()
    conv.fused = False
    (expected,) = torch.autograd.grad(conv(**pyramid_inputs).square().sum(), x)
    conv.fused = True
    out = torch.utils.checkpoint.checkpoint(lambda: conv(**pyramid_inputs), use_reentrant=False)
    torch.testing.assert_close(torch.autograd.grad(out.square().sum(), x)[0], expected)


# --- Which route ------------------------------------------------------------------------------------------------------


class DoubledMessage(RSTGConv):
    def message(self, hidden_j, hidden_i, alpha):
        return 2 * super().message(hidden_j, hidden_i, alpha)


class DoubledAggregate(RSTGConv):
    def aggregate(self, inputs, index, ptr=None, dim_size=None):
        return 2 * super().aggregate(inputs, index, ptr, dim_size)


class DoubledUpdate(RSTGConv):
    def update(self, inputs):
        return 2 * inputs


class DoubledAttention(RSTGConv):
    def edge_update(self, score_j, score_i, edge_weight, edge_mask, index, size_i):
        return 2 * super().edge_update(score_j, score_i, edge_weight, edge_mask, index, size_i)


class DoubledPropagate(RSTGConv):
    def propagate(self, edge_index, size=None, **kwargs):
        return 2 * super().propagate(edge_index, size, **kwargs)


class DoubledLinear(Linear):
    def forward(self, x):
        return 2 * super().forward(x)


class DoubledSum(SumAggregation):
    def forward(self, *args, **kwargs):
        return 2 * super().forward(*args, **kwargs)


class Doubled(torch.nn.Module):
    def forward(self, x):
        return 2 * x


def as_class(cls):
    return lambda conv: setattr(conv, "__class__", cls)


def replace_second_layer(conv):
    linear = DoubledLinear(20, 20)
    linear.load_state_dict(conv.lin_send.state_dict())
    conv.lin_send = linear.to(conv.lin_send.weight)


def parametrize_second_layer(conv):
    parametrize.register_parametrization(conv.lin_send, "weight", Doubled())
    parametrize.register_parametrization(conv.lin_send, "bias", Doubled())


def double_on_the_instance(name):
    def double(conv):
        before = getattr(conv, name)
        setattr(conv, name, lambda *args, **kwargs: 2 * before(*args, **kwargs))

    return double


DOUBLINGS = {
    "subclass message": DoubledMessage,
    "subclass aggregate": DoubledAggregate,
    "subclass update": DoubledUpdate,
    "subclass edge_update": DoubledAttention,
    "subclass propagate": DoubledPropagate,
    "message of the instance": double_on_the_instance("message"),
    "edge_update of the instance": double_on_the_instance("edge_update"),
    "message hook": lambda conv: conv.register_message_forward_hook(lambda _, __, out: 2 * out),
    "aggregate hook": lambda conv: conv.register_aggregate_forward_hook(lambda _, __, out: 2 * out),
    "propagate hook": lambda conv: conv.register_propagate_forward_hook(lambda _, __, out: 2 * out),
    "edge_update hook": lambda conv: conv.register_edge_update_forward_hook(lambda _, __, out: 2 * out),
    "message pre-hook": lambda conv: conv.register_message_forward_pre_hook(
        lambda _, inputs: inputs[0] | {"alpha": 2 * inputs[0]["alpha"]}
    ),
    "propagate pre-hook": lambda conv: conv.register_propagate_forward_pre_hook(
        lambda _, inputs: (*inputs[:2], inputs[2] | {"alpha": 2 * inputs[2]["alpha"]})
    ),
    "edge_update pre-hook": lambda conv: conv.register_edge_update_forward_pre_hook(
        lambda _, inputs: (*inputs[:2], inputs[2] | {"edge_weight": conv.lin_send.weight.new_full((90,), 2)})
    ),
    "second layer replaced": replace_second_layer,
    "second layer parametrized": parametrize_second_layer,
    "second layer hook": lambda conv: conv.lin_send.register_forward_hook(lambda _, __, out: 2 * out),
    "second layer's forward replaced": lambda conv: double_on_the_instance("forward")(conv.lin_send),
    "aggregation replaced": lambda conv: setattr(conv, "aggr_module", DoubledSum().to(conv.lin_send.weight.device)),
    "aggregation hook": lambda conv: conv.aggr_module.register_forward_hook(lambda _, __, out: 2 * out),
}


@pytest.mark.parametrize("doubling", DOUBLINGS.values(), ids=DOUBLINGS)
@pytest.mark.parametrize("attention", ["dot", "additive"])
def test_whatever_doubles_the_messages_is_heeded(doubling, attention, pyramid_inputs, fused_calls, device):
    conv = make_conv(attention, **FEW_PAIRS, device=device)
    expected = conv(**pyramid_inputs, edge_weight=torch.full((90,), 2.0, dtype=torch.float64, device=device))
    assert len(fused_calls) == 1
    if isinstance(doubling, type):
        other = doubling(6, 20, attention).to(device, torch.float64)
        other.load_state_dict(conv.state_dict())
        conv = other
    else:
        doubling(conv)
    torch.testing.assert_close(conv(**pyramid_inputs), expected)
    assert len(fused_calls) == 1


ONLOOKERS = {
    "aggregate pre-hook": lambda conv, hook: conv.register_aggregate_forward_pre_hook(hook),
    "second layer pre-hook": lambda conv, hook: conv.lin_send.register_forward_pre_hook(hook),
    "second layer backward hook": lambda conv, hook: conv.lin_send.register_full_backward_hook(hook),
    "second layer backward pre-hook": lambda conv, hook: conv.lin_send.register_full_backward_pre_hook(hook),
    "aggregation pre-hook": lambda conv, hook: conv.aggr_module.register_forward_pre_hook(hook),
}


@pytest.mark.parametrize("register", ONLOOKERS.values(), ids=ONLOOKERS)
def test_a_hook_on_messages_is_called_as_long_as_it_is_there(register, pyramid_inputs, fused_calls, device):
    conv, seen = make_conv(**FEW_PAIRS, device=device), []
    handle = register(conv, lambda *args: seen.append(args))
    conv(**pyramid_inputs).sum().backward()
    assert len(seen) == 1
    assert not fused_calls
    handle.remove()
    conv(**pyramid_inputs).sum().backward()
    assert len(seen) == len(fused_calls) == 1


def test_hooks_on_the_layer_itself_leave_it_fused(pyramid_inputs, fused_calls, device):
    conv, seen = make_conv(device=device), []
    conv.register_forward_pre_hook(lambda *args: seen.append("before"))
    conv.register_forward_hook(lambda *args: seen.append("after"))
    conv.register_full_backward_hook(lambda *args: seen.append("backward"))
    conv.mlp_update[0].register_forward_hook(lambda *args: seen.append("update"))
    conv(**pyramid_inputs).sum().backward()
    assert seen == ["before", "update", "after", "backward"]
    assert len(fused_calls) == 1


def test_the_flag_on_a_layer_and_on_the_class(pyramid_inputs, fused_calls, device, monkeypatch):
    conv, other = make_conv(device=device), make_conv(device=device)
    conv.fused = False
    conv(**pyramid_inputs)
    assert not fused_calls
    other(**pyramid_inputs)
    assert len(fused_calls) == 1
    monkeypatch.setattr(RSTGConv, "fused", False)
    other(**pyramid_inputs)
    assert len(fused_calls) == 1
    other.fused = True
    other(**pyramid_inputs)
    assert len(fused_calls) == 2


def test_explained_layers_take_the_plain_route(pyramid_inputs, fused_calls, device):
    conv = make_conv(**FEW_PAIRS, device=device)
    inputs = {"x": pyramid_inputs["x"][0], "edge_index": pyramid_inputs["edge_index"]}
    conv.explain = True
    conv._edge_mask, conv._apply_sigmoid = torch.rand(90, dtype=torch.float64, device=device), False
    explained = conv(**inputs)
    assert not fused_calls
    conv.explain = False
    torch.testing.assert_close(conv(**inputs, edge_weight=conv._edge_mask), explained)
    assert len(fused_calls) == 1


def test_sparse_adjacency_and_compiled_layers_take_the_plain_route(pyramid_inputs, fused_calls, device):
    conv = make_conv(**FEW_PAIRS, device=device)
    x, edge_index = pyramid_inputs.values()
    ones = torch.ones(90, dtype=torch.float64, device=device)
    adj_t = torch.sparse_coo_tensor(edge_index.flip(0), ones, (14, 14)).coalesce()
    torch._dynamo.reset()
    outs = [conv(x, adj_t), torch.compile(conv, backend="eager", fullgraph=True)(x, edge_index)]
    torch._dynamo.reset()
    assert not fused_calls
    expected = conv(x, edge_index)
    assert len(fused_calls) == 1
    for out in outs:
        torch.testing.assert_close(out, expected)


def test_pairs_are_few_where_edges_are_many(pyramid_inputs, device):
    x, edge_index = pyramid_inputs.values()
    # 8 · 14 · 14 = 1568 lies between 17 · 90 = 1530 and 18 · 90 = 1620.
    assert not rstg_conv._few_pairs(x.new_empty(14, 17), x.new_empty(14, 17), edge_index)
    assert rstg_conv._few_pairs(x.new_empty(14, 18), x.new_empty(14, 18), edge_index)


def test_shapes_alone_on_the_meta_device():
    conv = make_conv(device="meta", dtype=torch.float32)
    x = torch.empty(2, 14, 6, device="meta", requires_grad=True)
    out = conv(x, GridPyramid().edge_index.to("meta"))
    assert out.shape == (2, 14, 6)
    out.sum().backward()
    assert x.grad.shape == x.shape


# --- Edges that are not there -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, FEW_PAIRS, {"attention": "additive"}, {"attention": "sum"}])
@pytest.mark.parametrize("edge", [(-1, 0), (-1, 1), (0, -1), (14, 0), (14, 13), (0, 14), (29, -1), (-14, 1)])
@pytest.mark.parametrize("fused", [True, False])
def test_an_edge_of_no_node_is_an_index_error(options, edge, fused):
    # On a CPU alone: a CUDA kernel stops the process. Of 14 nodes, (14, 0) and (29, -1) name pairs 14 and 15 as well.
    conv = make_conv(**options)
    conv.fused = fused
    edge_index = GridPyramid().edge_index.clone()
    edge_index[:, 5] = torch.tensor(edge)
    with pytest.raises(IndexError, match=rf"'edge_index'.*\(got ({edge[0]}|{edge[1]})\)"):
        conv(torch.randn(2, 14, 6, dtype=torch.float64), edge_index)


@pytest.mark.parametrize("options", [{}, FEW_PAIRS, {"attention": "additive"}, {"attention": "sum"}])
@pytest.mark.parametrize("fused", [True, False])
def test_an_edge_index_of_another_size_is_an_error(options, fused, pyramid_inputs, device):
    conv = make_conv(**options, device=device)
    conv.fused = fused
    edge_index = EdgeIndex(pyramid_inputs["edge_index"], sparse_size=(20, 20))
    with pytest.raises(ValueError, match="size 14 in dimension -2, but expected size 20"):
        conv(pyramid_inputs["x"], edge_index)


# --- The whole stack, and copies --------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", ["all_temp", "one_temp", "space_only", "homogeneous"])
@pytest.mark.parametrize(("attention", "lengths"), [("dot", [3, 0]), ("additive", None)])
def test_stacks_agree_for_every_schedule(schedule, attention, lengths, device):
    rstg = RSTG(5, 16, 2, attention, pos_channels=36, num_groups=3, schedule=schedule, norm="layer", residual=True)
    rstg = rstg.double().to(device)
    pyramid = GridPyramid().to(device)
    x = torch.randn(2, 3, 14, 5, dtype=torch.float64, device=device, requires_grad=True)
    lengths = None if lengths is None else torch.tensor(lengths, device=device)
    edge_weight = torch.rand(90, dtype=torch.float64, device=device, requires_grad=True)
    results = []
    for rstg.space.fused in (True, False):
        with patch.object(rstg_conv, "gather_messages", wraps=gather_messages) as spy:
            out, state, alpha = rstg(
                x,
                pyramid.edge_index,
                pyramid.pos_map().double(),
                edge_weight,
                pyramid.scale,
                lengths=lengths,
                return_attention_weights=True,
            )
        calls = rstg.num_space_stages + (2 if schedule == "homogeneous" else 0)  # T = 3: T - 1 diagonals more
        assert spy.call_count == (calls if rstg.space.fused else 0)
        loss = out.square().sum() + alpha.square().sum()
        results.append((out, state, alpha, torch.autograd.grad(loss, [x, edge_weight, *rstg.parameters()])))
    torch.testing.assert_close(results[0], results[1], rtol=1e-9, atol=1e-9)


def test_copies_keep_the_route(pyramid_inputs, fused_calls, device):
    conv = make_conv(device=device)
    names = list(conv.state_dict())
    expected = conv(**pyramid_inputs)
    fused_calls.clear()
    conv.fused = False
    for twin in (copy.deepcopy(conv), pickle.loads(pickle.dumps(conv))):
        torch.testing.assert_close(twin(**pyramid_inputs), expected)
        assert not fused_calls
    # Weights know no route.
    assert list(conv.state_dict()) == names
    other = make_conv(device=device)
    other.load_state_dict(conv.state_dict())
    torch.testing.assert_close(other(**pyramid_inputs), expected)
    assert len(fused_calls) == 1
