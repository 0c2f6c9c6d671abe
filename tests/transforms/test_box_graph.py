"""Boxes as graphs: against the grid's pooling, edges and position maps, and by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader
from torchvision.ops import box_iou

from rstg_pyg import GridPyramid
from rstg_pyg.transforms import BoxGraph


def boxes_of(num_boxes):
    corner, size = torch.rand(num_boxes, 2).double() * 0.6, 0.1 + torch.rand(num_boxes, 2).double() * 0.3
    return torch.cat([corner, corner + size], dim=1)


def clip(frame=(0, 0, 1, 1, 1, 3), track=(5, 2, 9, 2, 5, 2), channels=2):
    box = boxes_of(len(frame))
    volume = torch.rand(4, channels, 6, 5).double()
    return Data(volume=volume, box=box, frame=torch.tensor(frame), track=torch.tensor(track), y=3)


def test_cells_as_boxes_equal_the_grid():
    pyramid = GridPyramid((4, 2, 1)).double()
    volume = torch.rand(2, 3, 8, 8).double()
    box = pyramid.box.repeat(2, 1)
    frame = torch.arange(2).repeat_interleave(pyramid.num_nodes)
    track = torch.arange(pyramid.num_nodes).repeat(2)
    data = BoxGraph()(Data(volume=volume, box=box, frame=frame, track=track))
    torch.testing.assert_close(data.x, pyramid.pool(volume).flatten(end_dim=1))
    torch.testing.assert_close(data.pos, pyramid.pos.repeat(2, 1))
    torch.testing.assert_close(data.pos_map, pyramid.pos_map().repeat(2, 1))
    assert data.motion.abs().max() == 0
    # Cells of different scales overlap where they intersect; those of one scale only touch.
    across = pyramid.scale[pyramid.edge_index[0]] != pyramid.scale[pyramid.edge_index[1]]
    expected = pyramid.edge_index[:, across]
    assert data.edge_index.tolist() == torch.cat([expected, expected + pyramid.num_nodes], dim=1).tolist()


def test_position_maps_of_thirds_equal_the_grid():
    pyramid = GridPyramid((3, 2, 1))
    nodes = torch.arange(pyramid.num_nodes)
    for size, sigma in ((6, 1.0), (5, 0.0)):
        data = Data(volume=torch.rand(1, 1, 6, 6), box=pyramid.box, frame=torch.zeros_like(nodes), track=nodes)
        torch.testing.assert_close(BoxGraph(pos_map_size=size, sigma=sigma)(data).pos_map, pyramid.pos_map(size, sigma))


@settings(max_examples=20, deadline=None)
@given(
    counts=st.lists(st.integers(0, 4), min_size=1, max_size=4).filter(any),
    min_iou=st.none() | st.floats(0, 0.5),
    max_distance=st.none() | st.floats(0, 1),
)
def test_edges_join_pairs_of_one_frame(counts, min_iou, max_distance):
    frame = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    track = torch.cat([torch.arange(n) for n in counts])
    box = boxes_of(len(frame))
    data = Data(volume=torch.rand(len(counts), 1, 4, 4).double(), box=box, frame=frame, track=track)
    edge_index = BoxGraph(min_iou, max_distance)(data).edge_index
    iou, centre = box_iou(box[:, [1, 0, 3, 2]], box[:, [1, 0, 3, 2]]), (box[:, :2] + box[:, 2:]) / 2
    expected = [
        [j, i]
        for i in range(len(box))
        for j in range(len(box))
        if i != j
        and frame[i] == frame[j]
        and (
            (min_iou is not None and iou[i, j] > min_iou)
            or (max_distance is not None and math.dist(centre[i].tolist(), centre[j].tolist()) <= max_distance)
        )
    ]
    assert edge_index.t().tolist() == expected


def test_motion_by_hand():
    box = torch.tensor([[0.0, 0.0, 0.2, 0.4], [0.5, 0.5, 0.6, 0.6], [0.1, 0.1, 0.5, 0.3], [0.1, 0.1, 0.5, 0.3]])
    frame, track = torch.tensor([0, 0, 1, 3]), torch.tensor([8, 1, 8, 8])
    motion = BoxGraph()(Data(volume=torch.rand(4, 1, 2, 2), box=box, frame=frame, track=track)).motion
    # From centre (.1, .2) and size (.2, .4) to centre (.3, .2) and size (.4, .2).
    expected = torch.zeros(4, 4)
    expected[2] = torch.tensor([1.0, 0.0, math.log(2), -math.log(2)])
    torch.testing.assert_close(motion, expected)


def test_a_box_reads_its_part_of_the_frame_alone():
    volume = torch.arange(16.0).view(1, 1, 4, 4)
    box = torch.tensor([[0.5, 0.0, 1.0, 0.25]])  # rows 2 and 3 of column 0
    data = BoxGraph()(Data(volume=volume, box=box, frame=torch.tensor([0]), track=torch.tensor([0])))
    assert data.x.tolist() == [[10.0]]


@pytest.mark.parametrize("autocast", [True, False])
def test_boxes_of_a_long_clip_in_bfloat16_read_their_own_frames(autocast):
    frame = torch.arange(300)
    volume = torch.arange(48.0).repeat(301, 2, 32, 1)  # the number of the column
    volume[:, 1] = (torch.arange(301.0) % 256).view(301, 1, 1)  # the frame's: bfloat16 has no odd ones above 256
    box = torch.tensor([0.0, 17 / 48, 1.0, 18 / 48]).expand(300, 4)
    data = Data(volume=volume.bfloat16(), box=box, frame=frame, track=frame)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        x = BoxGraph()(data).x
    assert x.dtype == torch.bfloat16
    assert x.tolist() == torch.stack([torch.full_like(frame, 17), frame % 256], dim=1).tolist()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_graph_is_of_the_type_of_the_volume(dtype):
    data = clip()
    expected = BoxGraph()(data)
    data.volume = data.volume.to(dtype)  # the boxes stay float64
    graph = BoxGraph()(data)
    assert graph.edge_index.tolist() == expected.edge_index.tolist()
    for name in ("x", "pos", "motion", "pos_map"):
        assert graph[name].dtype == dtype
        torch.testing.assert_close(graph[name].double(), expected[name], rtol=1e-2, atol=1e-2)


def test_clip_without_boxes_is_a_graph_without_nodes():
    data = clip(frame=(), track=())
    data.frame, data.track, data.box = torch.empty(0).long(), torch.empty(0).long(), torch.empty(0, 4).double()
    graph = BoxGraph(max_distance=0.5)(data)
    shapes = {"x": [0, 2], "edge_index": [2, 0], "pos": [0, 2], "motion": [0, 4], "pos_map": [0, 36]}
    assert {name: list(graph[name].shape) for name in shapes} == shapes
    assert graph.edge_index.dtype == torch.int64
    batch = next(iter(DataLoader([graph, BoxGraph(max_distance=0.5)(clip())], batch_size=2)))
    assert batch.batch.tolist() == [1] * 6


def test_number_of_nodes_given_before_is_not_that_of_the_graph():
    data = clip()
    data.num_nodes = 7
    graph = BoxGraph()(data)
    assert graph.num_nodes == 6
    assert Batch.from_data_list([graph, graph]).batch.tolist() == [0] * 6 + [1] * 6


def test_gradients_reach_the_volume():
    data = clip()
    volume = data.volume.requires_grad_()
    BoxGraph()(data).x.sum().backward()
    assert (volume.grad[2] == 0).all()  # a frame without boxes
    assert all(volume.grad[t].abs().sum() > 0 for t in (0, 1, 3))


def test_loader_and_repr():
    transform = BoxGraph(max_distance=0.5)
    assert repr(transform) == "BoxGraph(min_iou=0.0, max_distance=0.5, pos_map_size=6, sigma=1.0)"
    clips = [transform(clip()) for _ in range(2)]
    batch = next(iter(DataLoader(clips, batch_size=2)))
    assert batch.x.shape == (12, 2)
    assert batch.batch.tolist() == [0] * 6 + [1] * 6
    expected = torch.cat([clips[0].edge_index, clips[1].edge_index + 6], dim=1)
    assert batch.edge_index.tolist() == expected.tolist()
    assert batch.y.tolist() == [3, 3]
    assert "volume" not in batch


def test_clips_become_graphs_before_they_are_batched():
    images = [Data(volume=torch.rand(1, 2, 6, 5), box=torch.tensor([[0.0, 0.0, 0.5, 1.0]])) for _ in range(2)]
    for track, image in enumerate(images):
        image.frame, image.track = torch.tensor([0]), torch.tensor([track])
    with pytest.raises(ValueError, match=r"'data' to be of one clip \(got a batch of 2\): make graphs before batching"):
        BoxGraph()(Batch.from_data_list(images))  # else boxes of two images would be joined


def changed(**values):
    data = clip()
    for name, value in values.items():
        data[name] = value
    return data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (3, r"Expected 'data' to be a Data with tensors .* \(got int\)"),
        (Data(box=torch.rand(1, 4)), r"Expected 'data' to be a Data with tensors .* \(got Data\(box=\[1, 4\]\)\)"),
        (
            changed(volume=torch.rand(2, 6, 5)),
            r"Expected 'volume' .*\[T, C, H, W\].* \(got torch.float32 \[2, 6, 5\]\)",
        ),
        (changed(volume=torch.full((4, 2, 6, 5), math.nan)), r"Expected 'volume' to be finite \(got 240 NaN"),
        (changed(box=torch.rand(6, 5)), r"Expected 'box' .* of shape \[M, 4\] \(got torch.float32 \[6, 5\]\)"),
        (changed(box=torch.tensor([[0.0, 0, 18, 18]] * 6)), r"Expected 'box' .* as a share .*\(got \[0.0, 0.0, 18.0"),
        (
            changed(box=torch.tensor([[0.5, 0, 0.5, 1]] * 6)),
            r"Expected 'box' .* y0 < y1 .*\(got \[0.5, 0.0, 0.5, 1.0\]",
        ),
        (changed(box=torch.full((6, 4), math.nan)), r"Expected 'box' .*\(got \[nan"),
        (changed(frame=torch.zeros(6)), r"Expected 'frame' to be int64 of shape \[6\] \(got torch.float32 \[6\]\)"),
        (changed(frame=torch.tensor([0, 1, 0, 2, 2, 3])), r"Expected 'frame' .* in order \(got \[0, 1, 0, 2, 2, 3\]\)"),
        (changed(frame=torch.tensor([0, 0, 1, 1, 1, 4])), r"Expected 'frame' to go from 0 to 3 at most, .*4\]\)"),
        (changed(track=torch.tensor([5, 2, 9, 2, 9, 2])), r"Expected a 'track' .*\(got track 9 twice in frame 1\)"),
    ],
)
def test_errors_of_data(data, message):
    with pytest.raises(ValueError, match=message):
        BoxGraph()(data)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_iou": 1.0}, r"Expected 'min_iou' to be in \[0, 1\) or None \(got 1.0\)"),
        ({"max_distance": -0.1}, r"Expected 'max_distance' to be non-negative or None \(got -0.1\)"),
        ({"pos_map_size": 0}, r"Expected 'pos_map_size' to be positive \(got 0\)"),
        ({"sigma": -1.0}, r"Expected 'sigma' to be non-negative \(got -1.0\)"),
    ],
)
def test_errors_of_options(options, message):
    with pytest.raises(ValueError, match=message):
        BoxGraph(**options)
