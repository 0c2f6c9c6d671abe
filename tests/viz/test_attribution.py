import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from rstg_pyg import RSTGBlock, VideoClassifier
from rstg_pyg.models import (
    ClassifierHead,
    FrameByFrame,
    GlobalAveragePool,
    InflatedResNet,
    PooledRSTGToVec,
    insert_blocks,
)
from rstg_pyg.models.gradient_checkpointing import CheckpointedSequential
from rstg_pyg.viz import draw_attribution, node_attribution


@pytest.fixture
def video():
    return torch.rand(2, 3, 1, 16, 16)


def logits_with_nodes(classifier, video, change):
    """Logits where ``change`` edits the nodes ``[B, T, N, C]`` that enter the graph."""
    graph = classifier.graph
    nodes = change(graph.pyramid.pool(classifier.backbone(video)))
    out, _ = graph.rstg(nodes, graph.pyramid.edge_index, graph._pos_map)
    return classifier.head(graph.readout(out))


def test_gradient_x_input_is_the_slope_as_a_node_is_scaled_up(classifier, video):
    classifier, video = classifier.double(), video.double()
    attribution = node_attribution(classifier, video, target=[2, 0])
    for t, n in [(0, 0), (1, 4), (2, 3)]:

        def scaled(factor, t=t, n=n):
            def change(nodes):
                nodes[:, t, n] *= factor
                return nodes

            return logits_with_nodes(classifier, video, change)[[0, 1], [2, 0]]

        slope = (scaled(1 + 1e-5) - scaled(1 - 1e-5)) / 2e-5
        torch.testing.assert_close(attribution[:, t, n], slope, rtol=1e-4, atol=1e-8)
    classifier.float()


def test_integrated_gradients_sum_to_the_change_of_the_logit(classifier, video):
    pytest.importorskip("captum")
    attribution = node_attribution(classifier, video, target=1, method="integrated_gradients", num_steps=100)
    change = classifier(video) - logits_with_nodes(classifier, video, torch.zeros_like)
    torch.testing.assert_close(attribution.sum(dim=(1, 2)), change[:, 1], rtol=1e-3, atol=1e-5)
    assert attribution.shape == (2, 3, 5)


@pytest.mark.parametrize("layers", [torch.nn.Sequential, CheckpointedSequential])
def test_integrated_gradients_of_a_block_inside_the_backbone(video, layers):
    pytest.importorskip("captum")
    block = RSTGBlock(4, 4, pyramid=(2, 1), schedule="time_only")  # no kinks: the sum meets the integral soon
    torch.nn.init.normal_(block.norm.weight)
    block.norm.eps = 1.0
    frames = layers(torch.nn.Conv2d(1, 4, 4, 4), torch.nn.Conv2d(4, 6, 1))
    backbone = insert_blocks(FrameByFrame(frames), {"network.0": block})
    model = VideoClassifier(backbone, GlobalAveragePool(), ClassifierHead(6, 3)).double()
    video = video.double()
    attribution = node_attribution(model, video, target=[1, 2], method="integrated_gradients", num_steps=20)
    with torch.no_grad():
        whole = model(video)
        block.rstg.register_forward_pre_hook(lambda _, args: (torch.zeros_like(args[0]), *args[1:]))
        change = whole - model(video)
    torch.testing.assert_close(attribution.sum(dim=(1, 2)), change[[0, 1], [1, 2]], rtol=1e-5, atol=0)
    assert attribution.shape == (2, 3, 5)


def test_target_is_what_the_model_says_and_the_model_stays_as_it_was(classifier, video):
    classifier.train()
    said = classifier.eval()(video).argmax(dim=-1).tolist()
    classifier.train()
    torch.testing.assert_close(node_attribution(classifier, video), node_attribution(classifier, video, said))
    assert classifier.training
    assert not classifier.graph.rstg._forward_pre_hooks
    classifier.eval()


def test_target_may_be_a_label_of_a_batch(classifier, video):
    expected = node_attribution(classifier, video, target=1)
    for target in (torch.tensor(1), np.int64(1), torch.tensor([1, 1])):
        assert torch.equal(node_attribution(classifier, video, target), expected)


def test_bars_are_the_sums_over_the_nodes(classifier, video):
    figure = draw_attribution(video[0], classifier, target=1)
    bars = [axes.patches[0].get_height() for axes in figure.axes[6:9]]
    attribution = node_attribution(classifier, video[:1], target=1)[0]
    np.testing.assert_allclose(bars, attribution.sum(dim=1), rtol=1e-5)
    cells = figure.axes[0].collections[0].get_facecolor()  # scale 0 of frame 0
    np.testing.assert_allclose(cells[:, 3], 0.9 * attribution[0, :4].abs() / attribution.abs().max(), rtol=1e-4)
    np.testing.assert_array_equal(cells[:, 0] > 0.5, attribution[0, :4] > 0)  # orange speaks for the class


@pytest.mark.parametrize("model_says_its_frames", [True, False])
def test_frames_behind_a_backbone_that_pools_time_are_the_first_of_each_step(model_says_its_frames):
    backbone = InflatedResNet(inflation="c2d", depth=18, width=2, res5_stride=1)
    parts = backbone, PooledRSTGToVec(channels=16, node_channels=4, pyramid=(2, 1)), ClassifierHead(16, 3)
    model = (VideoClassifier if model_says_its_frames else torch.nn.Sequential)(*parts)
    clip = torch.rand(6, 3, 32, 32)
    figure = draw_attribution(clip, model)
    shown = [axes.images[0].get_array() for axes in figure.axes[:3]]
    np.testing.assert_array_equal(shown, clip[[0, 2, 4]].permute(0, 2, 3, 1))


def test_data_with_a_video_is_drawn_as_the_clip(classifier, video):
    bars = [
        [axes.patches[0].get_height() for axes in draw_attribution(source, classifier, target=1).figure.axes[6:9]]
        for source in (video[0], Data(video=video[0]))
    ]
    assert bars[0] == bars[1]


def test_errors(classifier, video):
    with pytest.raises(
        ValueError, match=r"Expected 'method' to be one of \['gradient_x_input', 'integrated_gradients'"
    ):
        node_attribution(classifier, video, method="saliency")
    with pytest.raises(ValueError, match=r"a class in 0..2, or one for each of 2 clips \(got 3\)"):
        node_attribution(classifier, video, target=3)
    with pytest.raises(ValueError, match=r"\(got \[0\]\)"):
        node_attribution(classifier, video, target=[0])
    expected = r"Expected 'source' to be a clip \[T, channels, H, W\], or a Data with one as 'video' "
    with pytest.raises(ValueError, match=rf"{expected}\(got \[2, 3, 1, 16, 16\]\)"):
        draw_attribution(video, classifier)
    with pytest.raises(ValueError, match=rf"{expected}\(got Data\(x=\[5, 3\]\)\)"):
        draw_attribution(Data(x=torch.rand(5, 3)), classifier)
