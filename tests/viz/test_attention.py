import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba

from rstg_pyg import GridPyramid
from rstg_pyg.viz import draw_attention


@pytest.fixture
def pyramid():
    return GridPyramid((2, 1))  # nodes 0-3 and 4; 16 edges


def test_strongest_edge_is_opaque_and_heat_is_what_is_listened_to(pyramid):
    attention = torch.zeros(2, 3, pyramid.num_edges)
    loud = 5
    attention[1, :, loud] = 0.5
    figure = draw_attention(torch.rand(2, 1, 8, 8), attention, pyramid, title="a clip")
    axes = np.array(figure.axes[:4]).reshape(2, 2)

    alphas = axes[0, 1].collections[0].get_colors()[:, 3]
    assert alphas[loud] == 1
    assert np.delete(alphas, loud).max() == 0
    assert axes[0, 0].collections[0].get_colors()[:, 3].max() == 0

    sender = pyramid.edge_index[0, loud].item()
    y0, x0, y1, x1 = (pyramid.box[sender] * 8).int().tolist()
    expected = np.zeros((8, 8))
    expected[y0:y1, x0:x1] = 0.5
    np.testing.assert_allclose(axes[1, 1].images[1].get_array(), expected)
    assert figure.get_suptitle() == "a clip"


def test_nodes_stand_at_the_centres_of_their_cells(pyramid):
    attention = torch.rand(1, 1, pyramid.num_edges)
    axes = draw_attention(torch.rand(1, 3, 4, 8), attention, pyramid).axes[0]
    finest, whole = (np.stack(line.get_data(), axis=1) for line in axes.lines)
    np.testing.assert_allclose(finest, [[1.5, 0.5], [5.5, 0.5], [1.5, 2.5], [5.5, 2.5]])
    np.testing.assert_allclose(whole, [[3.5, 1.5]])
    assert to_rgba(axes.lines[0].get_markeredgecolor()) == to_rgba("#56B4E9")


def test_negative_scores_are_drawn_by_their_magnitude(pyramid):
    attention = torch.linspace(-2, 1, pyramid.num_edges).expand(1, 1, -1)
    alphas = draw_attention(torch.rand(1, 1, 4, 4), attention, pyramid).axes[0].collections[0].get_colors()[:, 3]
    np.testing.assert_allclose(alphas, attention[0, 0].abs() / 2, atol=1e-6)


def test_only_the_frames_asked_for_are_drawn(pyramid):
    attention = torch.rand(5, 1, pyramid.num_edges)
    figure = draw_attention(torch.rand(5, 1, 4, 4), attention, pyramid, frames=[0, 3])
    assert [axes.get_title() for axes in figure.axes[:2]] == ["t = 0", "t = 3"]


@pytest.mark.parametrize(
    ("video", "attention", "message"),
    [
        ((5, 2, 4, 4), (5, 1, 16), r"Expected 'video' to be of shape \[T, 1 or 3, H, W\] \(got \[5, 2, 4, 4\]\)"),
        ((5, 1, 4, 4), (4, 1, 16), r"Expected 'attention' to be of shape \[5, K, 16\] \(got \[4, 1, 16\]\)"),
        ((5, 1, 4, 4), (5, 1, 90), r"Expected 'attention' to be of shape \[5, K, 16\]"),
        ((5, 1, 4, 4), (5, 0, 16), r"at least one iteration \(got K = 0"),
    ],
)
def test_what_does_not_belong_together_is_an_error(pyramid, video, attention, message):
    with pytest.raises(ValueError, match=message):
        draw_attention(torch.rand(video), torch.rand(attention), pyramid)
