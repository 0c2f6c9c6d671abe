import pytest
import torch
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.explain import AttentionExplainer, Explainer

from rstg_pyg import RSTGConv
from rstg_pyg.transforms import SpaceTimeGraph, UnrolledSpaceTimeGraph


@pytest.fixture
def by_hand():
    """Two nodes, three frames, one feature; node i of frame t holds 10 t + i."""
    x = torch.tensor([[[0.0], [10.0], [20.0]], [[1.0], [11.0], [21.0]]])
    return Data(x=x, edge_index=torch.tensor([[1, 0], [0, 1]]), pos=torch.tensor([[0.0, 0.2], [0.0, 0.7]]), y=3)


def test_nodes_and_edges_by_hand(by_hand):
    data = UnrolledSpaceTimeGraph()(by_hand)
    assert data.x.squeeze(-1).tolist() == [0, 1, 10, 11, 20, 21]
    assert data.frame.tolist() == [0, 0, 1, 1, 2, 2]
    assert data.edge_index.t().tolist() == [
        *([1, 0], [0, 1], [3, 2], [2, 3], [5, 4], [4, 5]),
        *([0, 2], [1, 3], [2, 4], [3, 5]),
    ]
    assert data.edge_type.tolist() == [0] * 6 + [1] * 4
    torch.testing.assert_close(data.pos[4:], by_hand.pos)
    assert data.y == 3
    assert data.validate()
    assert by_hand.x.shape == (2, 3, 1)


def test_whatever_has_a_row_for_each_node_is_repeated(by_hand):
    by_hand.edge_index = torch.tensor([[1, 0, 0], [0, 1, 0]])
    by_hand.walk = torch.tensor([[3, 4, 5], [6, 7, 8]])
    by_hand.y = torch.tensor([1, 0])  # two labels of the clip
    by_hand.names = ["left", "right"]
    by_hand.frame = torch.tensor([7, 7])  # the clip's in a longer video: the number in the clip takes its place
    data, hetero = UnrolledSpaceTimeGraph()(by_hand), UnrolledSpaceTimeGraph(to_hetero=True)(by_hand)
    assert data.walk.tolist() == hetero["node"].walk.tolist() == 3 * [[3, 4, 5], [6, 7, 8]]
    assert data.y.tolist() == hetero.y.tolist() == [1, 0]
    assert data.names == hetero.names == ["left", "right"]
    assert data.frame.tolist() == hetero["node"].frame.tolist() == [0, 0, 1, 1, 2, 2]


def test_hetero_holds_the_same_edges(by_hand):
    data, hetero = UnrolledSpaceTimeGraph()(by_hand), UnrolledSpaceTimeGraph(to_hetero=True)(by_hand)
    assert isinstance(hetero, HeteroData)
    assert hetero.metadata() == (["node"], [("node", "spatial", "node"), ("node", "temporal", "node")])
    spatial, temporal = hetero["node", "spatial", "node"], hetero["node", "temporal", "node"]
    assert torch.equal(spatial.edge_index, data.edge_index[:, data.edge_type == 0])
    assert torch.equal(temporal.edge_index, data.edge_index[:, data.edge_type == 1])
    for name in ("x", "pos", "frame"):
        assert torch.equal(hetero["node"][name], data[name])
    assert hetero.y == 3
    assert hetero.validate()
    assert torch.equal(hetero.to_homogeneous().edge_index, data.edge_index)


def test_the_paper_pyramid():
    data = UnrolledSpaceTimeGraph()(SpaceTimeGraph()(Data(volume=torch.randn(5, 3, 6, 6))))
    assert data.x.shape == (5 * 14, 3)
    assert data.edge_index.shape == (2, 5 * 90 + 4 * 14)
    assert (data.frame[data.edge_index[1]] - data.frame[data.edge_index[0]] == data.edge_type).all()
    for name in ("pos", "box", "scale", "pos_map"):
        assert torch.equal(data[name][:14], data[name][-14:])
        assert data[name].size(0) == 70


def test_one_frame_has_no_temporal_edges(by_hand):
    by_hand.x = by_hand.x[:, :1]
    assert torch.equal(UnrolledSpaceTimeGraph()(by_hand).edge_index, by_hand.edge_index)
    assert UnrolledSpaceTimeGraph(to_hetero=True)(by_hand)["node", "temporal", "node"].edge_index.shape == (2, 0)


def test_space_stage_on_spatial_edges_equals_the_static_graph():
    graph = SpaceTimeGraph()(Data(volume=torch.randn(5, 3, 6, 6, dtype=torch.float64)))
    unrolled = UnrolledSpaceTimeGraph(to_hetero=True)(graph)
    conv = RSTGConv(3, 8, pos_channels=36).double()
    static = conv(graph.x.transpose(0, 1), graph.edge_index, graph.pos_map.double())
    nodes = unrolled["node"]
    flat = conv(nodes.x, unrolled["node", "spatial", "node"].edge_index, nodes.pos_map.double())
    torch.testing.assert_close(flat.view(5, 14, 8), static)


def test_can_be_batched_and_explained(by_hand):
    data = UnrolledSpaceTimeGraph()(by_hand)
    batch = Batch.from_data_list([data, data])
    assert batch.edge_index.max() == 11
    explainer = Explainer(
        RSTGConv(1, 3),
        AttentionExplainer(),
        explanation_type="model",
        edge_mask_type="object",
        model_config={"mode": "regression", "task_level": "graph"},
    )
    assert explainer(data.x, data.edge_index).edge_mask.shape == (10,)


@pytest.mark.parametrize("to_hetero", [False, True])
def test_number_of_nodes_given_for_a_frame_is_not_that_of_the_clip(by_hand, to_hetero):
    by_hand.num_nodes = 2
    data = UnrolledSpaceTimeGraph(to_hetero)(by_hand)
    assert data.num_nodes == 6
    assert "num_nodes" not in data
    batch = Batch.from_data_list([data, data])
    edges = batch["node", "spatial", "node"].edge_index if to_hetero else batch.edge_index
    assert edges.max() == 11
    assert by_hand.num_nodes == 2


def test_label_as_long_as_there_are_edges(by_hand):
    by_hand.edge_index, by_hand.y = torch.tensor([[1, 0, 1], [0, 1, 1]]), torch.arange(3)
    assert UnrolledSpaceTimeGraph()(by_hand).y.tolist() == [0, 1, 2]


@pytest.mark.parametrize("num_frames", [14, 90])
def test_frames_as_many_as_nodes_or_edges_are_the_clips(num_frames):
    video = torch.rand(num_frames, 1, 6, 6)
    data = SpaceTimeGraph()(Data(volume=video, video=video))
    for to_hetero in (False, True):
        assert torch.equal(UnrolledSpaceTimeGraph(to_hetero)(data).video, video)


def test_clips_are_unrolled_before_they_are_batched(by_hand):
    with pytest.raises(ValueError, match=r"'data' to be of one clip \(got a batch of 2\): make graphs before batching"):
        UnrolledSpaceTimeGraph()(Batch.from_data_list([by_hand, by_hand]))


def test_repr():
    assert repr(UnrolledSpaceTimeGraph()) == "UnrolledSpaceTimeGraph(to_hetero=False)"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": None}, r"Expected 'data' to be a Data with tensors 'x' and 'edge_index'"),
        ({"edge_index": None}, r"Expected 'data' to be a Data with tensors 'x' and 'edge_index'"),
        ({"edge_weight": torch.rand(2)}, r"no edge attributes but 'edge_index'.*\(got \['edge_weight'\]\)"),
        ({"x": torch.rand(2, 3)}, r"Expected 'x' to be of shape \[N, T, F\] .*\(got \[2, 3\]\)"),
        ({"x": torch.rand(0, 3, 1)}, r"without empty dimensions \(got \[0, 3, 1\]\)"),
        ({"x": torch.zeros(2, 3, 1, dtype=torch.long)}, r"floating point type \(got torch.int64\)"),
        ({"x": torch.full((2, 3, 1), float("nan"))}, r"Expected 'x' to be finite \(got 6 NaN or infinite\)"),
        ({"edge_index": torch.rand(2, 2)}, r"int64 of shape \[2, E\] \(got torch.float32 \[2, 2\]\)"),
        ({"edge_index": torch.tensor([0, 1])}, r"int64 of shape \[2, E\] \(got torch.int64 \[2\]\)"),
        ({"edge_index": torch.tensor([[0], [2]])}, r"Expected 'edge_index' to point at nodes 0..1 \(got 0..2\)"),
        ({"edge_index": torch.tensor([[-1], [0]])}, r"Expected 'edge_index' to point at nodes 0..1 \(got -1..0\)"),
    ],
)
def test_bad_data(by_hand, change, message):
    for name, value in change.items():
        by_hand[name] = value
    with pytest.raises(ValueError, match=message):
        UnrolledSpaceTimeGraph()(by_hand)
