"""Boxes as nodes of a classifier: places are numbers only, clips do not meet, absent boxes are absent."""

import math

import pytest
import torch

from rstg_pyg import VideoClassifier
from rstg_pyg.models import BoxRSTGToVec, ClassifierHead, SmallCNN


@pytest.fixture
def graph():
    return BoxRSTGToVec(channels=3, node_channels=4, num_iterations=1).double()


def make_boxes(*shape):
    corner = torch.rand(*shape, 2).double() * 0.6
    return torch.cat([corner, corner + 0.3], dim=-1)


def test_batch_equals_one_by_one_and_the_order_of_boxes_does_not_matter(graph):
    volume, boxes = torch.rand(2, 3, 3, 5, 5).double(), make_boxes(2, 3, 4)
    boxes[0, 1:, 2] = math.nan  # leaves
    boxes[1, :2, 0] = math.nan  # comes late
    boxes[1, :, 3] = math.nan  # is never there
    expected = torch.cat([graph(volume[b : b + 1], boxes[b : b + 1]) for b in range(2)])
    torch.testing.assert_close(graph(volume, boxes), expected)
    torch.testing.assert_close(graph(volume, boxes[:, :, [2, 0, 3, 1]]), expected)
    torch.testing.assert_close(graph(volume[1:], boxes[1:, :, :3]), expected[1:])
    assert (graph(volume, boxes.index_fill(0, torch.tensor(0), math.nan))[0] == 0).all()  # a clip without boxes


def test_boxes_of_another_type_than_the_network(graph):
    volume, boxes = torch.rand(2, 3, 3, 5, 5), make_boxes(2, 3, 4)
    expected = graph(volume.double(), boxes)
    out = graph.float()(volume, boxes)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out.double(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("schedule", ["all_temp", "space_only"])
@pytest.mark.parametrize("input_norm", [None, "batch"])
def test_batch_without_boxes_gives_zeros_and_gradients_of_zeros(schedule, input_norm):
    graph = BoxRSTGToVec(3, 4, schedule=schedule, num_iterations=1, input_norm=input_norm).double()
    norms = {name: value.clone() for name, value in graph.named_buffers()}
    volume = torch.rand(2, 3, 3, 5, 5).double().requires_grad_()
    vector = graph(volume, torch.full((2, 3, 2, 4), math.nan).double())
    assert vector.tolist() == [[0.0] * 4] * 2
    vector.sum().backward()
    for tensor in (volume, *graph.parameters()):  # a process of several waits for the gradient of each
        assert torch.equal(tensor.grad, torch.zeros_like(tensor))
    torch.testing.assert_close(dict(graph.named_buffers()), norms, rtol=0, atol=0)


def test_scale_of_the_features_does_not_matter_and_that_of_the_boxes_does(graph):
    volume, boxes = 10 * torch.rand(2, 3, 3, 5, 5).double(), make_boxes(2, 3, 4)
    expected = graph(volume, boxes)
    torch.testing.assert_close(graph(400 * volume + 7, boxes), expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(graph(volume, 0.5 * boxes), expected, rtol=1e-4, atol=1e-5)


def test_motion_and_position_are_seen_where_asked_for():
    volume, boxes = torch.ones(1, 2, 3, 5, 5).double(), make_boxes(1, 2, 2)
    for options in ({"motion": False}, {"positional": False}, {"readout": "mean"}, {"schedule": "space_only"}):
        graph = BoxRSTGToVec(channels=3, node_channels=4, num_iterations=1, **options).double()
        moved = boxes.clone()
        moved[:, 1, 1] += 0.05
        assert not torch.equal(graph(volume, boxes), graph(volume, moved))
    assert BoxRSTGToVec(3, 4).tracks.rstg.in_channels == 11
    assert BoxRSTGToVec(3, 4, motion=False).tracks.rstg.in_channels == 7
    assert BoxRSTGToVec(3, 4, schedule="space_only").readout.readout == "mean"


def test_classifier_hands_boxes_to_its_graph():
    network = VideoClassifier(SmallCNN(1, (2, 3)), BoxRSTGToVec(3, 4), ClassifierHead(4, 5)).eval()
    video, boxes = torch.rand(2, 3, 1, 16, 16), make_boxes(2, 3, 2).float()
    expected = network.head(network.graph(network.backbone(video), boxes))
    torch.testing.assert_close(network(video, boxes=boxes), expected)
    with pytest.raises(ValueError, match=r"Expected 'boxes' to be of shape \[2, 3, 'n', 4\] \(got None\)"):
        network(video)


def test_errors(graph):
    volume, boxes = torch.rand(1, 2, 3, 5, 5).double(), make_boxes(1, 2, 2)
    with pytest.raises(
        ValueError, match=r"Expected 'volume' to be of shape \[B, T, 3, H, W\] \(got \[1, 2, 2, 5, 5\]\)"
    ):
        graph(volume[:, :, :2], boxes)
    with pytest.raises(ValueError, match=r"Expected 'boxes' to be of shape \[1, 2, 'n', 4\] \(got \[1, 1, 2, 4\]\)"):
        graph(volume, boxes[:, :1])
    boxes[0, 0, 0, 1] = math.nan  # half a box is none that is absent
    with pytest.raises(ValueError, match=r"Expected 'box' to hold"):
        graph(volume, boxes)
