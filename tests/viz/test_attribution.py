import numpy as np
import pytest
import torch

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


def test_target_is_what_the_model_says_and_the_model_stays_as_it_was(classifier, video):
    classifier.train()
    said = classifier.eval()(video).argmax(dim=-1).tolist()
    classifier.train()
    torch.testing.assert_close(node_attribution(classifier, video), node_attribution(classifier, video, said))
    assert classifier.training
    assert not classifier.graph.rstg._forward_pre_hooks
    classifier.eval()


def test_bars_are_the_sums_over_the_nodes(classifier, video):
    figure = draw_attribution(video[0], classifier, target=1)
    bars = [axes.patches[0].get_height() for axes in figure.axes[6:9]]
    attribution = node_attribution(classifier, video[:1], target=1)[0]
    np.testing.assert_allclose(bars, attribution.sum(dim=1), rtol=1e-5)
    cells = figure.axes[0].collections[0].get_facecolor()  # scale 0 of frame 0
    np.testing.assert_allclose(cells[:, 3], 0.9 * attribution[0, :4].abs() / attribution.abs().max(), rtol=1e-4)
    np.testing.assert_array_equal(cells[:, 0] > 0.5, attribution[0, :4] > 0)  # orange speaks for the class


def test_errors(classifier, video):
    with pytest.raises(
        ValueError, match=r"Expected 'method' to be one of \['gradient_x_input', 'integrated_gradients'"
    ):
        node_attribution(classifier, video, method="saliency")
    with pytest.raises(ValueError, match=r"a class in 0..2, or one for each of 2 clips \(got 3\)"):
        node_attribution(classifier, video, target=3)
    with pytest.raises(ValueError, match=r"\(got \[0\]\)"):
        node_attribution(classifier, video, target=[0])
    with pytest.raises(ValueError, match=r"Expected 'source' to be a clip \[T, channels, H, W\] \(got \[2, 3, 1, 16"):
        draw_attribution(video, classifier)
