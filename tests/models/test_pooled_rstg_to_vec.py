import pytest
import torch
from torch import nn

from rstg_pyg import VideoClassifier
from rstg_pyg.models import ClassifierHead, GlobalAveragePool, InflatedResNet, PooledRSTGToVec
from rstg_pyg.nn import RSTGToVec
from rstg_pyg.viz import record


def test_is_the_pooled_features_at_first_and_the_graphs_vector_is_added():
    volume = torch.rand(2, 3, 6, 4, 5)
    module = PooledRSTGToVec(6, 8, num_iterations=2)
    assert torch.equal(module(volume), GlobalAveragePool()(volume))
    module(volume).sum().backward()
    assert module.norm.bias.grad.abs().min() > 0

    nn.init.ones_(module.norm.weight)
    graph = RSTGToVec(channels=6, node_channels=8, num_iterations=2)
    graph.load_state_dict({name: module.state_dict()[name] for name in graph.state_dict()})
    vector, alpha = graph(volume, return_attention_weights=True)
    expected = volume.mean(dim=(1, 3, 4)) + nn.functional.layer_norm(module.lin_out(vector), (6,))
    torch.testing.assert_close(module(volume), expected)
    torch.testing.assert_close(module(volume, return_attention_weights=True), (expected, alpha))


@torch.no_grad()
def test_on_an_inflated_resnet():
    backbone = InflatedResNet(3, "c2d", 18, 4, res5_stride=1)
    pooled = VideoClassifier(backbone, GlobalAveragePool(), ClassifierHead(32, 5)).eval()
    with_graph = VideoClassifier(backbone, PooledRSTGToVec(32, 8), pooled.head).eval()
    video = torch.rand(2, 4, 3, 48, 48)
    logits, alpha = with_graph(video, return_attention_weights=True)
    torch.testing.assert_close(logits, pooled(video))
    assert alpha.shape == (2, 2, 3, 90)
    with record(with_graph) as rec:
        with_graph(video)
    torch.testing.assert_close(rec.attention, alpha)
    assert rec.scores is None  # of a shorter clip the pooled features would be others


def test_errors():
    with pytest.raises(ValueError, match=r"Expected 'channels' to be positive, as the vector has as many \(got -1\)"):
        PooledRSTGToVec(-1, 8)
    with pytest.raises(ValueError, match=r"Expected 'lengths' to be None"):
        PooledRSTGToVec(6, 8)(torch.rand(2, 3, 6, 4, 4), lengths=torch.tensor([2, 3]))
