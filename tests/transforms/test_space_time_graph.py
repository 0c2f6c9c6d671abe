import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader
from torch_geometric.transforms import Compose

from rstg_pyg import RSTG, GridPyramid
from rstg_pyg.nn import NodesToVec
from rstg_pyg.transforms import SpaceTimeGraph, UnrolledSpaceTimeGraph


def clips(count, **fields):
    return [Data(volume=torch.randn(4, 5, 7, 6), y=i, **fields) for i in range(count)]


def test_fields():
    pyramid = GridPyramid()
    (clip,) = clips(1, name="clip")
    data = SpaceTimeGraph()(clip)
    assert set(data.keys()) == {"x", "edge_index", "pos", "box", "scale", "pos_map", "y", "name"}
    torch.testing.assert_close(data.x, pyramid.pool(clip.volume).transpose(0, 1))  # [N, T, F]
    assert data.x.shape == (14, 4, 5)
    for name in ("edge_index", "pos", "box", "scale"):
        assert torch.equal(data[name], getattr(pyramid, name))
    torch.testing.assert_close(data.pos_map, pyramid.pos_map())
    assert (data.y, data.name, data.num_nodes) == (0, "clip", 14)
    assert data.validate()
    assert set(clip.keys()) == {"volume", "y", "name"}  # the input is left as it was


def test_clips_share_no_memory():
    transform = SpaceTimeGraph()
    first, second = (transform(clip) for clip in clips(2))
    before = second.clone()
    for name in ("edge_index", "pos", "box", "scale", "pos_map"):
        first[name].zero_()
        assert torch.equal(second[name], before[name])
        assert torch.equal(transform(clips(1)[0])[name], before[name])


def test_a_loader_batch_runs_as_clip_by_clip(device):
    transform = SpaceTimeGraph()
    graphs = [transform(clip) for clip in clips(3)]
    (batch,) = DataLoader(graphs, batch_size=3)
    assert batch.x.shape == (3 * 14, 4, 5)
    assert batch.pos_map.shape == (3 * 14, 36)
    assert batch.y.tolist() == [0, 1, 2]
    assert batch.edge_index.max() == 3 * 14 - 1

    batch = batch.to(device)
    rstg = RSTG(5, 8, pos_channels=36, num_groups=3).to(device)
    nodes, _ = rstg(batch.x.transpose(0, 1)[None], batch.edge_index, batch.pos_map, group=batch.scale)
    out = NodesToVec()(nodes, batch=batch.batch)
    for i, graph in enumerate(graphs):
        graph = graph.to(device)
        nodes, _ = rstg(graph.x.transpose(0, 1)[None], graph.edge_index, graph.pos_map, group=graph.scale)
        torch.testing.assert_close(out[i : i + 1], NodesToVec()(nodes))


def test_number_of_nodes_given_before_is_not_that_of_the_graph():
    graphs = [SpaceTimeGraph((2, 1))(clip) for clip in clips(2, num_nodes=7)]
    assert [graph.num_nodes for graph in graphs] == [5, 5]
    assert Batch.from_data_list(graphs).edge_index.max() == 9


def test_follows_the_device_of_the_volume(device):
    data = SpaceTimeGraph()(clips(1)[0].to(device))
    assert {value.device.type for _, value in data if isinstance(value, torch.Tensor)} == {device.type}


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_graph_is_of_the_type_of_the_volume(dtype):
    (clip,) = clips(1)
    expected = SpaceTimeGraph()(clip)
    clip.volume = clip.volume.to(dtype)
    data = SpaceTimeGraph()(clip)
    for name in ("x", "pos", "box", "pos_map"):
        assert data[name].dtype == dtype
        torch.testing.assert_close(data[name].float(), expected[name], rtol=1e-2, atol=1e-2)
    rstg = RSTG(5, 8, pos_channels=36).to(dtype)
    assert rstg(data.x.transpose(0, 1)[None], data.edge_index, data.pos_map)[0].dtype == dtype


def test_labels():
    transform = SpaceTimeGraph(num_classes=4)
    volume = torch.rand(2, 1, 6, 6)
    for good in (0, 3, torch.tensor(2), torch.tensor([1])):
        assert transform(Data(volume=volume, y=good)).y is good
    for bad in (-1, 4, torch.tensor([4])):
        with pytest.raises(ValueError, match=r"Expected 'y' to be in \[0, 4\) \(got (-1|4)\)"):
            transform(Data(volume=volume, y=bad))
    for bad in (None, 1.0, torch.tensor(1.0), torch.tensor([1, 2])):
        with pytest.raises(ValueError, match=r"Expected 'y' to be one integer in \[0, 4\)"):
            transform(Data(volume=volume, y=bad))


def test_arguments_and_repr():
    transform = SpaceTimeGraph(((4, 7), 2), pos_map_size=3, sigma=0.0, num_classes=46)
    data = transform(Data(volume=torch.rand(2, 1, 9, 9), y=45))
    torch.testing.assert_close(data.pos_map, GridPyramid(((4, 7), 2)).pos_map(3, 0.0))
    assert repr(transform) == "SpaceTimeGraph(((4, 7), 2), pos_map_size=3, sigma=0.0, num_classes=46)"
    assert repr(SpaceTimeGraph()) == "SpaceTimeGraph((3, 2, 1), pos_map_size=6, sigma=1.0)"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (torch.rand(2, 1, 6, 6), r"Expected 'data' to be a Data with a tensor 'volume' \[T, C, H, W\] \(got Tensor\)"),
        (Data(x=torch.rand(3, 4)), r"Expected 'data' to be a Data .*\(got Data\(x=\[3, 4\]\)\)"),
        (Data(volume=torch.rand(1, 6, 6)), r"Expected 'volume' to be of shape \[T, C, H, W\] .*\(got \[1, 6, 6\]\)"),
        (Data(volume=torch.rand(0, 1, 6, 6)), r"without empty dimensions \(got \[0, 1, 6, 6\]\)"),
        (Data(volume=torch.zeros(2, 1, 6, 6, dtype=torch.uint8)), r"floating point type \(got torch.uint8\)"),
        (Data(volume=torch.full((2, 1, 6, 6), float("nan"))), r"to be finite \(got 72 NaN or infinite\)"),
        (Data(volume=torch.full((2, 1, 6, 6), float("inf"))), "Expected 'volume' to be finite"),
        (Data(volume=torch.rand(2, 1, 2, 6)), "Expected 'volume' to have at least 3 rows and 3 columns"),
    ],
)
def test_bad_data(data, message):
    with pytest.raises(ValueError, match=message):
        SpaceTimeGraph()(data)


def test_clips_become_graphs_before_they_are_batched():
    with pytest.raises(ValueError, match=r"'data' to be of one clip \(got a batch of 2\): make graphs before batching"):
        SpaceTimeGraph()(Batch.from_data_list(clips(2)))


def test_composes():
    data = Compose([SpaceTimeGraph(), UnrolledSpaceTimeGraph()])(clips(1)[0])
    assert data.x.shape == (4 * 14, 5)
