"""The benchmarks' contestants compute what they are compared with."""

import pytest
import torch
from torch.nn import functional as F

from benchmarks import training_worker
from benchmarks.conv_lstm import ConvLSTM
from benchmarks.dense_reference import DenseRSTG
from benchmarks.plain_route import plain_route
from benchmarks.straightforward_classifier import StraightforwardCNN, straightforward_classifier
from rstg_pyg import RSTG, GridPyramid
from rstg_pyg.models import ClassifierHead, SmallCNN, VideoClassifier
from rstg_pyg.nn import RSTGToVec


@pytest.fixture
def classifier():
    graph = RSTGToVec(channels=6, node_channels=6, input_norm="batch", norm="layer", residual=True)
    return VideoClassifier(SmallCNN(widths=(4, 5, 6)), graph, ClassifierHead(6, 46))


def test_dense_reference_equals_rstg_in_values_and_gradients():
    pyramid = GridPyramid((3, 2, 1))
    pos_map = pyramid.pos_map()
    rstg = RSTG(8, 8, num_iterations=2, attention="additive", pos_channels=36).double()
    dense = DenseRSTG(8, 36, num_iterations=2).double()
    dense.load_rstg(rstg)
    x = torch.randn(2, 4, 14, 8, dtype=torch.float64)
    cotangent = torch.randn_like(x)

    outs, gradients = [], []
    for network in (rstg, dense):
        leaf = x.clone().requires_grad_()
        out = network(leaf, pyramid.edge_index, pos_map.double())
        out = out[0] if network is rstg else out
        out.backward(cotangent)
        outs.append(out)
        gradients.append(leaf.grad)
    torch.testing.assert_close(*outs)
    torch.testing.assert_close(*gradients)

    # Loading the weights again with gradients in their place compares all of them, layer by layer.
    expected = DenseRSTG(8, 36, num_iterations=2).double()
    for parameter in rstg.parameters():
        parameter.data = parameter.grad
    expected.load_rstg(rstg)
    for name, parameter in dense.named_parameters():
        torch.testing.assert_close(parameter.grad, expected.get_parameter(name).data, msg=name)


def test_plain_route_is_a_copy_with_the_same_numbers():
    pyramid = GridPyramid((3, 2, 1))
    rstg = RSTG(8, 8, attention="additive")
    plain = plain_route(rstg)
    assert (plain.space.fused, rstg.space.fused) == (False, True)
    x = torch.randn(2, 3, 14, 8)
    torch.testing.assert_close(plain(x, pyramid.edge_index)[0], rstg(x, pyramid.edge_index)[0])


def test_straightforward_classifier_computes_the_same(classifier):
    classifier = classifier.double()
    straightforward = straightforward_classifier(classifier)
    assert isinstance(straightforward.backbone, StraightforwardCNN)
    video = torch.rand(3, 4, 1, 32, 32, dtype=torch.float64)
    gradients = []
    for network in (classifier, straightforward):
        loss = F.cross_entropy(network(video), torch.tensor([0, 7, 45]))
        gradients.append(torch.autograd.grad(loss, network.parameters()))
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("freeze_backbone", [False, True])
def test_timed_step_has_the_gradients_of_the_whole(classifier, freeze_backbone):
    classifier.backbone.requires_grad_(not freeze_backbone)
    video, label = torch.randint(256, (3, 4, 1, 32, 32), dtype=torch.uint8), torch.tensor([0, 7, 45])
    trained = [parameter for parameter in classifier.parameters() if parameter.requires_grad]
    expected = torch.autograd.grad(F.cross_entropy(classifier(video / 255), label), trained)

    class Videos:
        def batch(self, indices):
            return video, label

    # A step of minus one adds the gradients, not clipped, to the weights.
    before = [parameter.detach().clone() for parameter in trained]
    optimizer = torch.optim.SGD(trained, lr=1.0)
    training = training_worker.Training(classifier, optimizer, 1e9, Videos(), 3, torch.device("cpu"))
    seconds = training_worker.timed_step(training, 0)
    for old, new, gradient in zip(before, trained, expected, strict=True):
        torch.testing.assert_close(old - new, gradient, rtol=1e-3, atol=1e-5)
    assert list(seconds) == list(training_worker.STAGES)


@pytest.mark.parametrize("conv", ["gatv2", "transformer"])
def test_conv_lstm_keeps_frames_and_clips_apart(conv):
    pyramid = GridPyramid((2, 1))
    stack = ConvLSTM(conv, 8, 36, num_iterations=2)
    x = torch.randn(3, 4, 5, 8)
    whole = stack(x, pyramid.edge_index, pyramid.pos_map())
    alone = [stack(clip[None, :2], pyramid.edge_index, pyramid.pos_map()) for clip in x]
    torch.testing.assert_close(torch.cat(alone), whole[:, :2])
