"""The space stage under its users' tools: compile, explainers, hetero graphs, lazy sizes, and bad input."""

import pytest
import torch
from torch_geometric.explain import AttentionExplainer, Explainer, GNNExplainer
from torch_geometric.nn import to_hetero

from rstg_pyg import GridPyramid, RSTGConv

ATTENTIONS = ["dot", "additive", "sum"]


@pytest.mark.parametrize(
    ("attention", "options", "backend"),
    [
        ("dot", {"pos_channels": 36, "num_groups": 3, "norm": "layer"}, "aot_eager"),
        ("additive", {"normalize": False, "residual": True, "norm": "batch"}, "eager"),  # as whole, and sooner made
        ("sum", {"pos_channels": 36}, "eager"),
    ],
)
def test_compile_without_graph_break(attention, options, backend):
    torch._dynamo.reset()
    conv = RSTGConv(8, 8, attention=attention, **options).eval()
    pyramid = GridPyramid()
    pos_map = pyramid.pos_map() if conv.pos_channels else None
    group = pyramid.scale if conv.num_groups > 1 else None
    mask = torch.rand(2, 90) < 0.8
    compiled = torch.compile(conv, fullgraph=True, backend=backend)
    for weight, edge_mask in [(None, None), (torch.rand(90), mask)]:
        inputs = (torch.randn(2, 14, 8), pyramid.edge_index, pos_map, weight, group, edge_mask)
        out, (_, alpha) = conv(*inputs, return_attention_weights=True)
        compiled_out, (_, compiled_alpha) = compiled(*inputs, return_attention_weights=True)
        torch.testing.assert_close(compiled_out, out)
        torch.testing.assert_close(compiled_alpha, alpha)
    torch.testing.assert_close(compiled(*inputs), out)
    torch._dynamo.reset()


class NodeClassifier(torch.nn.Module):
    def __init__(self, attention):
        super().__init__()
        self.first = RSTGConv(4, 8, attention=attention)
        self.second = RSTGConv(8, 3, attention=attention)

    def forward(self, x, edge_index):
        return self.second(self.first(x, edge_index), edge_index)


def explain(model, algorithm, **node_mask):
    return Explainer(
        model,
        algorithm,
        explanation_type="model",
        edge_mask_type="object",
        model_config={"mode": "multiclass_classification", "task_level": "graph", "return_type": "raw"},
        **node_mask,
    )


@pytest.mark.parametrize("attention", ["dot", "additive"])
def test_attention_explainer_reads_the_attention(attention):
    model, edge_index = NodeClassifier(attention), GridPyramid().edge_index
    x = torch.randn(14, 4)
    hidden, (_, first) = model.first(x, edge_index, return_attention_weights=True)
    _, (_, second) = model.second(hidden, edge_index, return_attention_weights=True)
    explanation = explain(model, AttentionExplainer(reduce="max"))(x, edge_index)
    torch.testing.assert_close(explanation.edge_mask, torch.maximum(first, second).detach())


def test_gnn_explainer_gives_masks_and_leaves_the_layer_as_it_was():
    model, edge_index = NodeClassifier("dot"), GridPyramid().edge_index
    x = torch.randn(14, 4)
    before = model(x, edge_index)
    explanation = explain(model, GNNExplainer(epochs=3), node_mask_type="attributes")(x, edge_index)
    assert explanation.edge_mask.shape == (90,)
    assert explanation.node_mask.shape == (14, 4)
    assert (explanation.edge_mask > 0).any()
    torch.testing.assert_close(model(x, edge_index), before)
    assert model.first(torch.randn(2, 14, 4), edge_index).shape == (2, 14, 8)


class FrameClassifier(NodeClassifier):
    def forward(self, x, edge_index):
        frames = x.unflatten(-1, (2, 4)).transpose(0, 1)  # two frames in one feature vector
        return super().forward(frames, edge_index).mean(dim=0)


@pytest.mark.parametrize(
    ("algorithm", "message"),
    [
        (GNNExplainer(epochs=1), r"Expected 'x' to be of shape \[N, F\] while the layer is being explained"),
        (AttentionExplainer(), "Cannot reduce attention coefficients"),  # PyG's own words
    ],
)
def test_explaining_many_frames_at_once_is_an_error(algorithm, message):
    with pytest.raises(ValueError, match=message):
        explain(FrameClassifier("dot"), algorithm)(torch.randn(14, 8), GridPyramid().edge_index)


def test_explain_flag_names_the_single_frame():
    conv = RSTGConv(4, 8)
    conv.explain = True
    with pytest.raises(ValueError, match="explain a single frame or the unrolled space-time graph"):
        conv(torch.randn(2, 14, 4), GridPyramid().edge_index)


def test_lazy_sizes():
    edge_index = GridPyramid().edge_index
    lazy = RSTGConv(-1, 6, pos_channels=2)
    x, pos_map = torch.randn(2, 14, 5), torch.rand(14, 2)
    out = lazy(x, edge_index, pos_map)
    known = RSTGConv(5, 6, pos_channels=2)
    known.load_state_dict(lazy.state_dict())
    torch.testing.assert_close(known(x, edge_index, pos_map), out)

    bipartite = RSTGConv((-1, -1), 6)
    assert bipartite((torch.randn(14, 3), torch.randn(14, 4)), edge_index).shape == (14, 6)
    assert bipartite.lin_source.weight.shape == (6, 3)
    assert bipartite.lin_destination.weight.shape == (6, 4)


@pytest.mark.parametrize("channels", [1, 5])
def test_lazy_size_that_does_not_fit_the_residual(channels):
    conv = RSTGConv(-1, 6, residual=True)
    with pytest.raises(ValueError, match=rf"'x' to have 6 features, .* residual=True \(got {channels}\)"):
        conv(torch.randn(14, channels), GridPyramid().edge_index)
    assert conv(torch.randn(14, 6), GridPyramid().edge_index).shape == (14, 6)


def test_state_dict_round_trip(tmp_path):
    conv = RSTGConv(4, 6, attention="additive", pos_channels=2, num_groups=2, norm="batch")
    torch.save(conv.state_dict(), tmp_path / "conv.pt")
    other = RSTGConv(4, 6, attention="additive", pos_channels=2, num_groups=2, norm="batch")
    other.load_state_dict(torch.load(tmp_path / "conv.pt", weights_only=True))
    inputs = (torch.randn(3, 4), torch.tensor([[0, 1], [1, 2]]), torch.rand(3, 2), None, torch.tensor([0, 1, 1]))
    torch.testing.assert_close(other(*inputs), conv(*inputs))
    other.reset_parameters()
    assert all(
        not torch.equal(other.state_dict()[name], value)
        for name, value in conv.state_dict().items()
        if name.endswith("weight") and "norm" not in name
    )


def test_to_hetero_copies_the_layer_per_edge_type():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = RSTGConv((-1, -1), 6)

        def forward(self, x, edge_index):
            return self.conv(x, edge_index)

    metadata = (["fine", "coarse"], [("fine", "up", "coarse"), ("coarse", "down", "fine"), ("fine", "beside", "fine")])
    net = to_hetero(Net(), metadata, aggr="sum")
    x = {"fine": torch.randn(9, 4), "coarse": torch.randn(4, 5)}
    edges = {
        ("fine", "up", "coarse"): torch.tensor([[0, 3, 8], [0, 0, 3]]),
        ("coarse", "down", "fine"): torch.tensor([[0, 0], [0, 3]]),
        ("fine", "beside", "fine"): torch.tensor([[0, 1], [1, 0]]),
    }
    out = net(x, edges)
    up, down, beside = (net.conv["__".join(edge_type)] for edge_type in metadata[1])
    torch.testing.assert_close(out["coarse"], up((x["fine"], x["coarse"]), edges["fine", "up", "coarse"]))
    torch.testing.assert_close(
        out["fine"],
        down((x["coarse"], x["fine"]), edges["coarse", "down", "fine"])
        + beside((x["fine"], x["fine"]), edges["fine", "beside", "fine"]),
    )


def test_repr():
    conv = RSTGConv(16, 32, attention="additive", normalize=False, pos_channels=36, num_groups=3)
    assert repr(conv) == (
        "RSTGConv(16, 32, attention='additive', normalize=False, pos_channels=36, num_groups=3, norm=Identity(), "
        "residual=False)"
    )
    assert repr(RSTGConv(8, 8, norm="layer", residual=True)) == (
        "RSTGConv(8, 8, attention='dot', normalize=True, pos_channels=0, num_groups=1, "
        f"norm={torch.nn.LayerNorm(8)}, residual=True)"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"attention": "cosine"}, r"Expected 'attention' to be one of \['dot', 'additive', 'sum'\] \(got 'cosine'\)"),
        ({"norm": "group"}, r"Expected 'norm' to be one of .* \(got 'group'\)"),
        ({"out_channels": 0}, r"Expected 'out_channels' to be positive \(got 0\)"),
        ({"pos_channels": -1}, r"Expected 'pos_channels' to be non-negative \(got -1\)"),
        ({"num_groups": 0}, r"Expected 'num_groups' to be positive \(got 0\)"),
        ({"residual": True, "out_channels": 5}, r"with residual=True \(got 5 and 4\)"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        RSTGConv(**({"in_channels": 4, "out_channels": 4} | arguments))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"x": (torch.rand(3, 4), None)}, r"Expected 'x' to be a tensor or a pair .*\(got a NoneType in it\)"),
        ({"x": torch.rand(4)}, r"Expected 'x' to be of shape \[\*, N, F\] \(got \[4\]\)"),
        ({"x": torch.zeros(3, 4, dtype=torch.long)}, r"Expected 'x' to be of floating point type \(got torch.int64\)"),
        ({"x": torch.rand(2, 0, 4)}, r"Expected 'x' to hold at least one node \(got \[2, 0, 4\]\)"),
        ({"x": torch.rand(3, 5)}, r"Expected 'x' to have 4 features \(got 5\)"),
        ({"pos_map": None}, r"Expected 'pos_map' to be of shape \[3, 2\] \(got None\)"),
        ({"pos_map": torch.rand(3, 3)}, r"Expected 'pos_map' to be of shape \[3, 2\] \(got \[3, 3\]\)"),
        ({"pos_map": torch.rand(2, 3, 2)}, r"Expected 'pos_map' to be of shape \[3, 2\]"),
        ({"group": None}, r"Expected 'group' to be int64 of shape \[3\] \(got None\)"),
        ({"group": torch.zeros(3)}, r"Expected 'group' to be int64 of shape \[3\] \(got torch.float32 \[3\]\)"),
        ({"group": torch.zeros(2, dtype=torch.long)}, r"Expected 'group' to be int64 of shape \[3\]"),
        ({"edge_weight": torch.rand(2, 1)}, r"Expected 'edge_weight' to be of shape \[2\] \(got \[2, 1\]\)"),
        ({"edge_weight": torch.rand(1)}, r"Expected 'edge_weight' to be of shape \[2\] \(got \[1\]\)"),
        (
            {"edge_mask": torch.ones(2)},
            r"Expected 'edge_mask' to be bool of shape \[\*, 2\] \(got torch.float32 \[2\]\)",
        ),
        ({"edge_mask": torch.ones(1, dtype=torch.bool)}, r"Expected 'edge_mask' to be bool of shape \[\*, 2\]"),
        ({"edge_mask": torch.tensor(True)}, r"Expected 'edge_mask' to be bool of shape \[\*, 2\]"),
        ({"edge_index": torch.rand(2, 2)}, "Expected 'edge_index' to be of integer type"),
        (
            {"edge_index": torch.zeros(2, 2, dtype=torch.uint8)},
            r"Expected 'edge_index' to be int64 or int32 \(got torch.uint8\)",
        ),
        ({"edge_index": torch.zeros(3, 2, dtype=torch.long)}, r"Expected 'edge_index' to have size '2'"),
        ({"edge_index": torch.zeros(2, dtype=torch.long)}, "Expected 'edge_index' to be two-dimensional"),
    ],
)
def test_bad_inputs(inputs, message):
    conv = RSTGConv(4, 4, pos_channels=2, num_groups=2)
    good = {
        "x": torch.rand(3, 4),
        "edge_index": torch.tensor([[0, 1], [1, 2]]),
        "pos_map": torch.rand(3, 2),
        "group": torch.tensor([0, 1, 1]),
    }
    conv(**good)
    with pytest.raises(ValueError, match=message):
        conv(**(good | inputs))


@pytest.mark.parametrize("layout", [torch.sparse_csr, torch.sparse_coo])
def test_edges_of_a_sparse_graph_are_counted(layout):
    conv, x = RSTGConv(4, 4), torch.rand(3, 4)
    adj_t = torch.tensor([[0.0, 1.0, 1.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]).to_sparse(layout=layout)
    with pytest.raises(ValueError, match=r"Expected 'edge_weight' to be of shape \[3\] \(got \[1\]\)"):
        conv(x, adj_t, edge_weight=torch.rand(1))
    with pytest.raises(
        ValueError, match=r"Expected 'edge_mask' to be bool of shape \[\*, 3\] \(got torch.bool \[5, 2\]\)"
    ):
        conv(x, adj_t, edge_mask=torch.ones(5, 2, dtype=torch.bool))


def test_position_and_group_where_the_layer_has_none():
    conv, x, edge_index = RSTGConv(4, 4), torch.rand(3, 4), torch.tensor([[0, 1], [1, 2]])
    with pytest.raises(ValueError, match="Expected 'pos_map' to be None"):
        conv(x, edge_index, torch.rand(3, 2))
    with pytest.raises(ValueError, match="Expected 'group' to be None"):
        conv(x, edge_index, group=torch.zeros(3, dtype=torch.long))
