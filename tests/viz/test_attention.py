import copy
import dataclasses

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba

from rstg_pyg import GridPyramid
from rstg_pyg.viz import draw_attention, write_attention_movie
from rstg_pyg.viz.canvas import SCALE_COLOURS, coverage
from rstg_pyg.viz.record import Record

PYRAMID = GridPyramid((2, 1))  # nodes 0-3 and 4; 16 edges


def make_record(attention, video):
    """A record with the given attention ``[T, K, E]`` and frames ``[T, channels, H, W]``."""
    num_frames = len(video)
    return Record(
        edge_index=PYRAMID.edge_index,
        attention=attention[None],
        message_norm=attention[None].abs(),
        states=torch.zeros(1, num_frames, 2, 5, 3),
        stages=("input", "space 0"),
        gates=torch.zeros(1, num_frames, 0, 5, 0),
        gate_names=(),
        box=PYRAMID.box,
        scale=PYRAMID.scale,
        video=video[None],
    )


def edges_drawn(axis):
    """Opacity of every edge by its ends (y, x of sender and listener)."""
    lines = axis.collections[0]
    return {
        tuple(np.round(segment.flatten(), 3)): colour[3]
        for segment, colour in zip(lines.get_segments(), lines.get_colors(), strict=True)
    }


def test_strongest_edge_is_opaque_and_heat_is_what_is_listened_to():
    attention = torch.zeros(2, 3, PYRAMID.num_edges)
    loud = 5
    attention[1, :, loud] = 0.5
    figure = draw_attention(make_record(attention, torch.rand(2, 1, 8, 8)), title="a clip")
    axes = np.array(figure.axes[:4]).reshape(2, 2)

    sender, listener = PYRAMID.edge_index[:, loud].tolist()
    ends = ((PYRAMID.pos[[sender, listener]] * 8 - 0.5).flip(-1)).flatten().numpy()
    opacities = edges_drawn(axes[0, 1])
    assert {edge for edge, opacity in opacities.items() if opacity > 0} == {tuple(np.round(ends, 3))}
    assert max(opacities.values()) == 1
    assert max(edges_drawn(axes[0, 0]).values()) == 0

    y0, x0, y1, x1 = (PYRAMID.box[sender] * 8).int().tolist()
    expected = np.zeros((8, 8))
    expected[y0:y1, x0:x1] = 0.5
    np.testing.assert_allclose(axes[1, 1].images[1].get_array(), expected)
    assert figure.get_suptitle() == "a clip"


def test_one_node_and_one_iteration():
    attention = torch.rand(2, 3, PYRAMID.num_edges)
    figure = draw_attention(make_record(attention, torch.rand(2, 1, 8, 8)), node=4, iteration=1)
    heat = np.stack([axes.images[1].get_array() for axes in figure.axes[2:4]])
    arriving = attention[:, 1, PYRAMID.edge_index[1] == 4]  # from the four quarters, in order
    quarters = arriving.view(2, 2, 2).repeat_interleave(4, dim=1).repeat_interleave(4, dim=2)
    np.testing.assert_allclose(heat, quarters, rtol=1e-6)
    assert figure.axes[2].get_ylabel() == "node 4 listens to"
    assert sum(opacity > 0 for opacity in edges_drawn(figure.axes[0]).values()) == 4
    (box,) = figure.axes[0].patches
    assert (box.get_xy(), box.get_width(), box.get_height()) == ((-0.5, -0.5), 8, 8)


def test_nodes_stand_at_the_centres_of_their_cells():
    attention = torch.rand(1, 1, PYRAMID.num_edges)
    axes = draw_attention(make_record(attention, torch.rand(1, 3, 4, 8))).axes[0]
    finest, whole = (np.stack(line.get_data(), axis=1) for line in axes.lines)
    np.testing.assert_allclose(finest, [[1.5, 0.5], [5.5, 0.5], [1.5, 2.5], [5.5, 2.5]])
    np.testing.assert_allclose(whole, [[3.5, 1.5]])
    assert [to_rgba(line.get_markeredgecolor()) for line in axes.lines] == [to_rgba(c) for c in SCALE_COLOURS[:2]]


def test_regions_cover_as_the_pyramid_says():
    pyramid = GridPyramid((3, 2, 1))
    nodes = torch.rand(1, 14, 1)
    expected = pyramid.unpool(nodes, (7, 10))[0, 0]
    torch.testing.assert_close(torch.einsum("n,nhw->hw", nodes[0, :, 0], coverage(pyramid.box, (7, 10))), expected)


def test_negative_scores_are_drawn_by_their_magnitude():
    attention = torch.linspace(-2, 1, PYRAMID.num_edges).expand(1, 1, -1)
    axes = draw_attention(make_record(attention, torch.rand(1, 1, 4, 4))).axes[0]
    expected = np.sort(attention[0, 0].abs().numpy()) / 2
    np.testing.assert_allclose(axes.collections[0].get_colors()[:, 3], expected, atol=1e-6)


def test_only_the_frames_asked_for_are_drawn():
    record = make_record(torch.rand(5, 1, PYRAMID.num_edges), torch.rand(5, 1, 4, 4))
    figure = draw_attention(record, frames=[0, 3])
    assert [axes.get_title() for axes in figure.axes[:2]] == ["t = 0", "t = 3"]


def test_clip_and_model_are_drawn_as_their_record(classifier, rec):
    figures = draw_attention(rec, clip=1), draw_attention(rec.video[1], classifier)
    heats = [np.stack([axes.images[1].get_array() for axes in figure.axes[4:8]]) for figure in figures]
    np.testing.assert_allclose(*heats, atol=1e-6)


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-6), (torch.bfloat16, 0.02)])
def test_models_of_any_type_are_drawn(classifier, rec, dtype, atol, tmp_path):
    model, video = copy.deepcopy(classifier).to(dtype), rec.video[1].to(dtype).requires_grad_()
    parts = torch.nn.Sequential(model.backbone, model.graph)  # its record has the frames as they were given
    figures = draw_attention(rec, clip=1), draw_attention(video, model), draw_attention(video, parts)
    heats = [np.stack([axes.images[1].get_array() for axes in figure.axes[4:8]]) for figure in figures]
    np.testing.assert_allclose(heats[1], heats[0], atol=atol)
    np.testing.assert_allclose(heats[2], heats[1], atol=atol)
    assert write_attention_movie(video, tmp_path / "clip.gif", model).is_file()


@pytest.mark.parametrize(
    ("changes", "options", "error", "message"),
    [
        ({"video": torch.rand(1, 5, 2, 4, 4)}, {}, ValueError, r"three channels \(got 2\): set record.video to"),
        ({"video": torch.rand(1, 4, 1, 4, 4)}, {}, ValueError, r"to hold 5 frames, one for each step .* \(got 4\)"),
        ({"box": None}, {}, ValueError, r"Expected a record with the nodes' regions \(got 'box' None\)"),
        ({"attention": torch.rand(1, 5, 0, 16)}, {}, ValueError, r"\(got K = 0 space stages and E = 16 edges\)"),
        ({"attention": torch.rand(1, 5, 1, 0)}, {}, ValueError, r"\(got K = 1 space stages and E = 0 edges\)"),
        ({}, {"clip": 1}, IndexError, r"Expected 'clip' to be in 0..0 \(got 1\)"),
        ({}, {"node": 5}, ValueError, r"Expected 'node' to be in 0..4 or None \(got 5\)"),
        ({}, {"iteration": 1}, ValueError, r"Expected 'iteration' to be in 0..0 or None \(got 1\)"),
        ({}, {"frames": [5]}, ValueError, r"Expected 'frames' to be some of 0..4 \(got \[5\]\)"),
    ],
)
def test_what_is_not_there_is_an_error(changes, options, error, message):
    record = make_record(torch.rand(5, 1, 16), torch.rand(5, 1, 4, 4))
    with pytest.raises(error, match=message):
        draw_attention(dataclasses.replace(record, **changes), **options)
