"""The numbers of the space stage: worked by hand, against plain Python, and what follows from the equations."""

import itertools
from math import exp

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rstg_pyg import GridPyramid, RSTGConv

ATTENTIONS = ["dot", "additive", "sum"]
KINDS = list(itertools.product(ATTENTIONS, [True, False]))


def random_graph(num_nodes, num_edges, num_sources=None):
    """Edges in any order, without duplicates; some neighbourhoods stay empty."""
    num_sources = num_sources or num_nodes
    chosen = torch.randperm(num_sources * num_nodes)[:num_edges]
    return torch.stack([chosen // num_nodes, chosen % num_nodes])


def test_an_update_of_another_group_that_overflows_is_not_felt():
    conv = RSTGConv(2, 2, num_groups=2)
    for parameter in conv.mlp_update[1].parameters():
        torch.nn.init.constant_(parameter, float("inf"))
    x, edge_index = torch.rand(3, 2), torch.tensor([[0, 1], [1, 2]])
    out = conv(x, edge_index, group=torch.tensor([0, 0, 1]))
    assert out.isfinite().all(dim=-1).tolist() == [True, True, False]


def conv_by_hand(attention, normalize):
    """One input feature, four equal output channels: all numbers below can be followed in the head."""
    conv = RSTGConv(1, 4, attention=attention, normalize=normalize)
    column = torch.ones(4, 1)
    with torch.no_grad():
        conv.lin_source.weight.copy_(2 * column)
        conv.lin_destination.weight.copy_(-column)
        conv.lin_destination.bias.fill_(1)
        conv.lin_send.weight.copy_(2 * torch.eye(4))
        conv.lin_send.bias.fill_(-1)
        if attention == "dot":
            conv.att_source.weight.copy_(torch.tensor([[1.0], [0], [0], [0]]))
            conv.att_destination.weight.copy_(torch.tensor([[2.0], [5], [7], [9]]))
        if attention == "additive":
            conv.att_source.weight.fill_(1)
            conv.att_destination.weight.fill_(-1)
        first, _, last, _ = conv.mlp_update[0]
        first.weight.copy_(torch.cat([column, torch.eye(4)], dim=1))
        first.bias.fill_(-2)
        last.weight.copy_(torch.eye(4))
        last.bias.fill_(1)
    return conv


@pytest.mark.parametrize(
    ("attention", "normalize", "scores", "gathered"),
    [
        # Nodes 1, 2, 3; edges 0→1, 2→1, 1→2. Hidden relu(2 v_j - v_i + 1) = 1, 5, 2; messages relu(2 h - 1) = 1, 9, 3.
        # Dot: v_j · 2 v_i = 4, 12, 12; over √4 = 2, 6, 6. Additive: v_j - v_i = -1, 1, -1, leaky: -0.2, 1, -0.2.
        ("dot", False, [4, 12, 12], [0, 4 * 1 + 12 * 9, 12 * 3]),
        ("dot", True, [1 / (1 + exp(4)), 1 / (1 + exp(-4)), 1], [0, 9 - 8 / (1 + exp(4)), 3]),
        ("additive", False, [-0.2, 1, -0.2], [0, 8.8, -0.6]),
        ("additive", True, [1 / (1 + exp(1.2)), 1 / (1 + exp(-1.2)), 1], [0, 9 - 8 / (1 + exp(1.2)), 3]),
        ("sum", False, [1, 1, 1], [0, 10, 3]),
        ("sum", True, [0.5, 0.5, 1], [0, 5, 3]),
    ],
)
def test_three_nodes_by_hand(attention, normalize, scores, gathered, device):
    conv = conv_by_hand(attention, normalize).to(device)
    x = torch.tensor([[1.0], [2.0], [3.0]], device=device)
    edge_index = torch.tensor([[0, 2, 1], [1, 1, 2]], device=device)
    out, (edges, alpha) = conv(x, edge_index, return_attention_weights=True)
    assert edges is edge_index
    torch.testing.assert_close(alpha.cpu(), torch.tensor(scores, dtype=torch.float32))
    # Update: relu(relu(v + g - 2) + 1).
    expected = torch.tensor([max(v + g - 2, 0) + 1 for v, g in zip([1, 2, 3], gathered, strict=True)])
    torch.testing.assert_close(out.cpu(), expected[:, None].expand(3, 4).float())


def test_message_carries_the_position_of_its_sender():
    conv = conv_by_hand("sum", normalize=False)
    positional = RSTGConv(1, 4, attention="sum", normalize=False, pos_channels=2)
    positional.load_state_dict(conv.state_dict(), strict=False)
    with torch.no_grad():
        positional.lin_pos.weight.copy_(torch.tensor([[10.0, 100.0]] * 4))
    x, edge_index = torch.tensor([[1.0], [2.0]]), torch.tensor([[0], [1]])
    pos_map = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    # Hidden 2·1 - 2 + 1 + 10 = 11, message 21, update 2 + 21 - 2 + 1 = 22; the destination's own map plays no part.
    torch.testing.assert_close(positional(x, edge_index, pos_map)[1], torch.full((4,), 22.0))


@pytest.mark.parametrize(("attention", "normalize"), KINDS)
@pytest.mark.parametrize(
    ("num_nodes", "num_edges", "options"),
    [
        (6, 14, {}),
        (6, 0, {}),
        (1, 0, {}),
        (1, 1, {}),
        (5, 9, {"pos_channels": 3}),
        (5, 9, {"num_groups": 3}),
        (5, 9, {"residual": True}),
        (5, 9, {"norm": "layer", "residual": True}),
        (5, 9, {"norm": "batch", "pos_channels": 3, "num_groups": 2}),
        (5, 9, {"weighted": True}),
    ],
)
def test_against_plain_python(reference_conv, attention, normalize, num_nodes, num_edges, options):
    options = dict(options)
    weighted = options.pop("weighted", False)
    conv = RSTGConv(4, 4, attention=attention, normalize=normalize, **options).double()
    for parameter in conv.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    x = torch.randn(num_nodes, 4, dtype=torch.float64)
    edge_index = random_graph(num_nodes, num_edges)
    pos_map = torch.rand(num_nodes, 3, dtype=torch.float64) if conv.pos_channels else None
    group = torch.randint(conv.num_groups, (num_nodes,)) if conv.num_groups > 1 else None
    edge_weight = torch.rand(num_edges, dtype=torch.float64) if weighted else None

    out, (_, alpha) = conv(x, edge_index, pos_map, edge_weight, group, return_attention_weights=True)
    expected, expected_alpha = reference_conv(conv, x, edge_index, pos_map, edge_weight, group)
    if options.get("norm") == "layer":
        centred = expected - expected.mean(dim=1, keepdim=True)
        expected = centred / (expected.var(dim=1, correction=0, keepdim=True) + 1e-5).sqrt()
        expected = expected * conv.norm.weight + conv.norm.bias
    if options.get("norm") == "batch":
        centred = expected - expected.mean(dim=0)
        expected = centred / (expected.var(dim=0, correction=0) + 1e-5).sqrt() * conv.norm.weight + conv.norm.bias
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(alpha, expected_alpha)


@settings(max_examples=25, deadline=None)
@given(num_nodes=st.integers(1, 7), density=st.floats(0, 1), kind=st.sampled_from(KINDS), seed=st.integers(0, 999))
def test_random_graphs_against_plain_python(reference_conv, num_nodes, density, kind, seed):
    torch.manual_seed(seed)
    conv = RSTGConv(3, 5, *kind).double()
    x = torch.randn(num_nodes, 3, dtype=torch.float64)
    edge_index = random_graph(num_nodes, round(density * num_nodes**2))
    torch.testing.assert_close(conv(x, edge_index), reference_conv(conv, x, edge_index)[0])


@pytest.mark.parametrize(("attention", "normalize"), KINDS)
def test_bipartite_against_plain_python(reference_conv, attention, normalize):
    conv = RSTGConv((3, 4), 5, attention=attention, normalize=normalize, pos_channels=2).double()
    x = (torch.randn(2, 6, 3, dtype=torch.float64), torch.randn(2, 4, 4, dtype=torch.float64))
    edge_index, pos_map = random_graph(4, 11, num_sources=6), torch.rand(6, 2, dtype=torch.float64)
    out = conv(x, edge_index, pos_map)
    assert out.shape == (2, 4, 5)
    for b in range(2):
        torch.testing.assert_close(out[b], reference_conv(conv, (x[0][b], x[1][b]), edge_index, pos_map)[0])


@settings(max_examples=25, deadline=None)
@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 999))
def test_node_permutation_equivariance(kind, seed):
    torch.manual_seed(seed)
    conv = RSTGConv(3, 4, *kind, pos_channels=2, num_groups=3).double()
    edge_index = random_graph(8, 20)
    x, pos_map = torch.randn(2, 8, 3, dtype=torch.float64), torch.rand(8, 2, dtype=torch.float64)
    group = torch.randint(3, (8,))
    new_to_old = torch.randperm(8)
    old_to_new = new_to_old.argsort()
    shuffled_edges = old_to_new[edge_index][:, torch.randperm(20)]
    permuted = conv(x[:, new_to_old], shuffled_edges, pos_map[new_to_old], group=group[new_to_old])
    torch.testing.assert_close(permuted, conv(x, edge_index, pos_map, group=group)[:, new_to_old])


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_attention_sums_to_one_over_each_neighbourhood(attention, device):
    conv = RSTGConv(3, 4, attention=attention).to(device)
    edge_index = random_graph(9, 30).to(device)
    _, (_, alpha) = conv(torch.randn(2, 5, 9, 3, device=device), edge_index, return_attention_weights=True)
    assert alpha.shape == (2, 5, 30)
    assert (alpha >= 0).all()
    total = alpha.new_zeros(2, 5, 9).index_add_(2, edge_index[1], alpha)
    has_neighbours = torch.zeros(9, device=device).index_fill_(0, edge_index[1], 1.0)
    torch.testing.assert_close(total, has_neighbours.expand(2, 5, 9))


@pytest.mark.parametrize(("attention", "normalize"), KINDS)
def test_nothing_arrives_from_outside_the_neighbourhood(attention, normalize):
    conv = RSTGConv(3, 16, attention=attention, normalize=normalize).double()
    edge_index = GridPyramid((3, 2)).edge_index
    x = torch.randn(13, 3, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda v: conv(v, edge_index).sum(dim=-1), x)  # [13, 13, 3]
    reached = jacobian.abs().sum(dim=-1) > 0
    joined = torch.eye(13, dtype=torch.bool)
    joined[edge_index[1], edge_index[0]] = True
    assert not reached[~joined].any()
    assert reached[joined].float().mean() > 0.9  # a ReLU may be shut now and then


@pytest.mark.parametrize(("attention", "normalize"), KINDS)
def test_edge_weight_zero_removes_the_message_alone(attention, normalize):
    conv = RSTGConv(3, 4, attention=attention, normalize=normalize).double()
    x, edge_index = torch.randn(6, 3, dtype=torch.float64), random_graph(6, 15)
    edge_weight = torch.ones(15, dtype=torch.float64)
    edge_weight[4] = 0
    edge_weight[7] = 2
    _, (_, alpha) = conv(x, edge_index, return_attention_weights=True)
    x = x.requires_grad_()
    out, (_, weighted) = conv(x, edge_index, edge_weight=edge_weight, return_attention_weights=True)
    torch.testing.assert_close(weighted, alpha * edge_weight)
    if attention == "sum":
        # Without scores, the sender of the removed message has no other way to its destination.
        source, destination = edge_index[:, 4].tolist()
        (gradient,) = torch.autograd.grad(out[destination].sum(), x)
        assert source == destination or not gradient[source].any()


@pytest.mark.parametrize(("attention", "normalize"), KINDS)
def test_edge_mask_is_the_edge_deleted(attention, normalize):
    conv = RSTGConv(3, 4, attention=attention, normalize=normalize).double()
    x, edge_index = torch.randn(2, 6, 3, dtype=torch.float64), random_graph(6, 15)
    edge_mask = torch.rand(2, 15) < 0.5
    edge_mask[1, edge_index[1] == 2] = False  # a neighbourhood that vanishes
    out, (_, alpha) = conv(x, edge_index, edge_mask=edge_mask, return_attention_weights=True)
    for b in range(2):
        kept = edge_mask[b]
        expected, (_, expected_alpha) = conv(x[b], edge_index[:, kept], return_attention_weights=True)
        torch.testing.assert_close(out[b], expected)
        torch.testing.assert_close(alpha[b, kept], expected_alpha)
        assert not alpha[b, ~kept].any()


@pytest.mark.parametrize(("attention", "normalize"), KINDS)
def test_gradients(attention, normalize):
    conv = RSTGConv(2, 3, attention=attention, normalize=normalize, pos_channels=2, norm="layer").double()
    edge_index, pos_map = random_graph(4, 7), torch.rand(4, 2, dtype=torch.float64, requires_grad=True)
    edge_weight = torch.rand(7, dtype=torch.float64, requires_grad=True)
    x = torch.randn(2, 4, 2, dtype=torch.float64, requires_grad=True)
    names, parameters = zip(*conv.named_parameters(), strict=True)

    def run(x, pos_map, edge_weight, *parameters):
        arguments = (x, edge_index, pos_map, edge_weight)
        return torch.func.functional_call(conv, dict(zip(names, parameters, strict=True)), arguments)

    assert torch.autograd.gradcheck(run, (x, pos_map, edge_weight, *parameters), fast_mode=True)


def test_large_scores_stay_finite():
    conv = RSTGConv(3, 4)
    x = 1e4 * torch.randn(5, 3)
    out, (_, alpha) = conv(x, random_graph(5, 12), return_attention_weights=True)
    assert out.isfinite().all()
    assert alpha.isfinite().all()
