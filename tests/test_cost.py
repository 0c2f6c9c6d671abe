import itertools

import pytest
import torch

from rstg_pyg import (
    RSTG,
    GridPyramid,
    RSTGBlock,
    VideoClassifier,
    count_messages,
    count_multiply_adds,
    count_recurrent_updates,
    summary,
)
from rstg_pyg.models import (
    BoxRSTGToVec,
    ClassifierHead,
    ConvNetLSTM,
    GlobalAveragePool,
    MeanPoolLSTM,
    NonLocalBlock,
    SmallCNN,
    SmallI3D,
)
from rstg_pyg.nn import RSTGToVec

SCHEDULES = ["all_temp", "one_temp", "space_only", "time_only", "homogeneous"]
T, N, E, D = 5, 14, 90, 8


def test_the_design_formulas_at_the_defaults():
    rstg = RSTG(D, D)
    assert count_messages(rstg, T, N, E) == T * 90 * 3
    assert count_recurrent_updates(rstg, T, N) == T * 14 * 4
    assert count_multiply_adds(rstg, T, N, E) == T * 1012 * D**2


@pytest.mark.parametrize(("schedule", "rnn"), list(itertools.product(SCHEDULES, ["lstm", "gru", "rnn"])))
@pytest.mark.parametrize("attention", ["dot", "additive", "sum"])
def test_formula_equals_the_count(schedule, rnn, attention, device):
    rstg = RSTG(D, D, 2, attention, schedule=schedule, rnn=rnn, num_groups=2).to(device)
    x, group = torch.rand(2, T, N, D, device=device), torch.arange(N, device=device) % 2
    costs = summary(rstg, x, GridPyramid().edge_index.to(device), group=group)
    senders = 2 * N if schedule == "homogeneous" else N
    projections = T * (senders + N) * D * rstg.num_space_stages if attention == "additive" else 0
    assert costs.graph_multiply_adds == costs.graph_formula + projections
    assert costs.graph_formula == count_multiply_adds(rstg, T, N, E)
    assert costs.multiply_adds == costs.graph_multiply_adds
    assert costs.recurrent_updates == count_recurrent_updates(rstg, T, N)
    assert costs.parameters == costs.graph_parameters == sum(p.numel() for p in rstg.parameters())


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_messages_are_those_the_layer_sends(schedule):
    rstg = RSTG(D, D, 2, schedule=schedule)
    sent = 0

    def count(conv, inputs, out):
        nonlocal sent
        sent += int((inputs[-1]["alpha"] > 0).sum())  # a past that is not there yet is an edge of weight zero

    if rstg.space is not None:
        rstg.space.register_message_forward_hook(count)
    edge_index = GridPyramid().edge_index
    costs = summary(rstg, torch.rand(1, T, N, D), edge_index)
    assert costs.messages == sent == count_messages(rstg, T, N, E)


def test_lower_order_terms():
    rstg = RSTG(3, D, pos_channels=36)
    pyramid = GridPyramid()
    costs = summary(rstg, torch.rand(1, T, N, 3), pyramid.edge_index, pyramid.pos_map())
    # The C → D layer of every frame, and the position maps once per space stage.
    assert costs.graph_multiply_adds == costs.graph_formula + T * N * 3 * D + 3 * N * 36 * D


@pytest.mark.parametrize(("channels", "pairs"), [(17, 0), (18, N**2)])  # 8·14² = 1568 is between 90·17 and 90·18
def test_dot_products_are_counted_where_all_pairs_are_multiplied(channels, pairs):
    costs = summary(RSTG(channels, channels), torch.rand(1, T, N, channels), GridPyramid().edge_index)
    assert costs.graph_multiply_adds == costs.graph_formula + T * 3 * pairs * channels


def test_classifier_per_clip():
    graph = RSTGToVec(channels=8, node_channels=8, num_iterations=2, positional=False)
    classifier = VideoClassifier(SmallCNN(1, (4, 4, 8)), graph, ClassifierHead(8, 5))
    one, four = (summary(classifier, torch.rand(batch, T, 1, 32, 32)) for batch in (1, 4))
    assert one == four
    convolutions = T * 9 * (1 * 4 * 32**2 + 4 * 4 * 16**2 + 4 * 8 * 8**2)
    pool = T * N * 4 * 4 * 8
    assert one.multiply_adds == convolutions + pool + one.graph_formula + 8 * 5
    assert one.messages == count_messages(classifier, T) == T * 90 * 2
    assert one.recurrent_updates == count_recurrent_updates(classifier, T) == T * 14 * 3
    assert one.graph_parameters < one.parameters == sum(p.numel() for p in classifier.parameters())


def test_lstm_baselines_by_hand():
    volume = torch.rand(2, T, 6, 8, 8)
    assert summary(MeanPoolLSTM(6), volume).multiply_adds == T * 8 * 6**2
    costs = summary(ConvNetLSTM(6, hidden_channels=D, widths=(4, 5)), volume)
    assert costs.multiply_adds == T * (9 * (6 * 4 * 4**2 + 4 * 5 * 2**2) + 5 * 2**2 * D + 8 * D**2)
    assert (costs.messages, costs.recurrent_updates, costs.graph_parameters) == (0, 0, 0)


@pytest.mark.parametrize("sub_sample", [False, True])
def test_non_local_block_by_hand(sub_sample, device):
    block = NonLocalBlock(8, sub_sample=sub_sample).to(device)
    positions = T * 4 * 6
    heard = positions // 4 if sub_sample else positions
    costs = summary(block, torch.rand(2, 8, T, 4, 6, device=device))
    assert costs.multiply_adds == 2 * (positions + heard) * 8 * 4 + 2 * positions * heard * 4


def test_small_i3d_by_hand():
    backbone = SmallI3D(1, widths=(4, 6), blocks=(1, 1), non_local_stages=(2,))
    classifier = VideoClassifier(backbone, GlobalAveragePool(), ClassifierHead(6, 5))
    stem = T * 75 * 1 * 4 * 16**2
    first = T * 27 * 2 * 4 * 4 * 8**2
    second = T * 4**2 * (27 * (4 * 6 + 6 * 6) + 4 * 6)
    non_local = 4 * T * 4**2 * 6 * 3 + 2 * (T * 4**2) ** 2 * 3
    costs = summary(classifier, torch.rand(2, T, 1, 32, 32))
    assert costs.multiply_adds == stem + first + second + non_local + 6 * 5
    convolutions = 75 * 4 + 27 * (2 * 4 * 4 + 4 * 6 + 6 * 6) + 4 * 6
    norms = 2 * (4 + 4 + 4 + 6 + 6 + 6 + 6)
    assert costs.parameters == convolutions + norms + 3 * (6 * 3 + 3) + (3 * 6 + 6) + (6 * 5 + 5)


def test_several_graphs_add_up():
    model = torch.nn.Sequential(RSTGBlock(4, 8), RSTGBlock(4, 8, (2, 1), schedule="one_temp"))
    first, second = (summary(block, torch.rand(1, T, 4, 6, 6)) for block in model)
    both = summary(model, torch.rand(1, T, 4, 6, 6))
    for field in ("parameters", "messages", "recurrent_updates", "multiply_adds", "graph_multiply_adds"):
        assert getattr(both, field) == getattr(first, field) + getattr(second, field)
    assert count_multiply_adds(model, T) == both.graph_formula


def test_packed_sequences_count_valid_frames():
    rstg = RSTG(D, D, schedule="time_only")
    x, edge_index = torch.rand(2, T, N, D), GridPyramid().edge_index
    costs = summary(rstg, x, edge_index, lengths=torch.tensor([T, 1]))
    assert costs.graph_multiply_adds == (T + 1) * N * 8 * D**2 // 2


def test_leaves_the_model_as_it_was():
    model = torch.nn.Sequential(RSTGBlock(4, 8, norm="batch"), RSTGBlock(4, 8, norm="batch").eval())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    summary(model, torch.rand(1, T, 4, 6, 6))
    assert [block.training for block in model] == [True, False]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_inputs_with_gradients():
    rstg, edge_index = RSTG(D, D), GridPyramid().edge_index
    x = torch.rand(2, T, N, D, requires_grad=True)
    _, state = rstg(x, edge_index)
    assert summary(rstg, x, edge_index, state=state) == summary(rstg, x.detach(), edge_index)
    assert x.grad is None


def test_reads_as_a_table():
    text = str(summary(RSTGBlock(4, 8), torch.rand(1, T, 4, 6, 6)))
    lines = text.splitlines()
    assert lines[0] == "per clip"
    assert any(line.split()[:2] == ["messages", "1,350"] for line in lines)
    assert any(line.split()[:3] == ["recurrent", "updates", "280"] for line in lines)


def test_errors():
    with pytest.raises(ValueError, match=r"Expected 'num_nodes' and 'num_edges' to be given .*\(got None\)"):
        count_messages(RSTG(D, D), T)
    with pytest.raises(ValueError, match=r"Expected 'num_edges' to be given .*\(got None\)"):
        count_multiply_adds(RSTG(D, D), T, N)
    with pytest.raises(ValueError, match=r"Expected 'num_nodes' to be given .*\(got None\)"):
        count_recurrent_updates(RSTG(D, D), T)
    with pytest.raises(ValueError, match=r"Expected 'inputs' to start with a tensor of shape \[B, T, ...\]"):
        summary(RSTG(D, D))
    with pytest.raises(ValueError, match=r"\(got \[3\]\)"):
        summary(RSTG(D, D), torch.rand(3))
    boxes = VideoClassifier(SmallCNN(1, (4, 8)), BoxRSTGToVec(8, D), ClassifierHead(D, 5))
    with pytest.raises(ValueError, match=r"same nodes and edges .* \(got a VideoClassifier with a TrackRSTG"):
        summary(boxes, torch.rand(1, 2, 1, 16, 16), boxes=torch.rand(1, 2, 3, 4))
