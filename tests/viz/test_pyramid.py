import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from rstg_pyg import GridPyramid
from rstg_pyg.transforms import SpaceTimeGraph
from rstg_pyg.viz import draw_pyramid

PYRAMID = GridPyramid((2, 1))


def planes(figure):
    """Mean colours of the cells, and the edges, of each scale; the edges between scales."""
    between, *rest = figure.axes[1].collections
    cells, edges = rest[::2], rest[1::2]
    return [c.get_facecolor()[:, 0] for c in cells], [len(e.get_segments()) for e in edges], len(between.get_segments())


def test_cells_show_what_their_nodes_average_and_every_pair_is_joined_once():
    clip = torch.rand(3, 1, 8, 12)
    means, inside, between = planes(draw_pyramid(clip, PYRAMID, frame=2))
    np.testing.assert_allclose(np.concatenate(means), PYRAMID.pool(clip[2])[:, 0], rtol=1e-5)
    assert inside == [4, 0]
    assert between == 4
    assert sum(inside) + between == PYRAMID.num_edges / 2


def test_an_edge_of_one_direction_is_a_line_as_well():
    pyramid = GridPyramid((2, 1))
    for source, destination in ((0, 1), (1, 0)):
        one_way = pyramid.edge_index[:, pyramid.edge_index[source] < pyramid.edge_index[destination]]
        data = Data(box=pyramid.box, scale=pyramid.scale, edge_index=one_way)
        assert planes(draw_pyramid(data))[1:] == ([4, 0], 4)


def test_data_whose_video_is_no_picture():
    data = Data(box=PYRAMID.box, scale=PYRAMID.scale, edge_index=PYRAMID.edge_index, video=torch.rand(3, 2, 8, 8))
    with pytest.raises(ValueError, match=r"a clip \[T, 1 or 3, H, W\] \(got \[3, 2, 8, 8\]\)"):
        draw_pyramid(data)


def test_every_node_is_numbered_inside_its_cell():
    axes = draw_pyramid(torch.rand(1, 3, 8, 8), GridPyramid((3, 2, 1))).axes[0]
    assert [text.get_text() for text in axes.texts] == [str(node) for node in range(14)]
    assert len(axes.patches) == 14


def test_record_clip_and_data_give_the_same_picture(rec):
    clip = rec.video[1]
    data = SpaceTimeGraph(PYRAMID)(Data(volume=clip, video=clip))
    expected = planes(draw_pyramid(clip, PYRAMID, frame=3))
    for figure in (draw_pyramid(rec, frame=3, clip=1), draw_pyramid(data, frame=3)):
        np.testing.assert_allclose(np.concatenate(planes(figure)[0]), np.concatenate(expected[0]))
        assert planes(figure)[1:] == expected[1:]


def test_data_of_another_type(rec):
    clip = rec.video[0].double()
    data = SpaceTimeGraph(PYRAMID)(Data(volume=clip, video=clip))
    np.testing.assert_allclose(planes(draw_pyramid(data))[0][0], planes(draw_pyramid(rec))[0][0], rtol=1e-5)


def test_errors(rec):
    with pytest.raises(ValueError, match=r"Expected 'pyramid' over the clip given as 'source' \(got None\)"):
        draw_pyramid(torch.rand(1, 1, 4, 4))
    with pytest.raises(ValueError, match="Expected 'pyramid' to be None beside a Record"):
        draw_pyramid(rec, PYRAMID)
    with pytest.raises(ValueError, match=r"clip \[T, 1 or 3, H, W\] \(got \[4, 4\]\)"):
        draw_pyramid(torch.rand(4, 4), PYRAMID)
    with pytest.raises(ValueError, match="a Data with 'box' and 'edge_index'"):
        draw_pyramid(Data(x=torch.rand(4, 4)))
    with pytest.raises(IndexError, match=r"Expected 'frame' to be in 0..3 \(got 4\)"):
        draw_pyramid(rec, frame=4)
