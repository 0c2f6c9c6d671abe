from collections import Counter
from fractions import Fraction
from math import exp

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rstg_pyg import GridPyramid

PYRAMIDS = [(3, 2, 1), ((4, 7), (2, 3), 1), (1,), (2, 5)]


def cells_of(scales):
    """Each cell as (scale, y0, x0, y1, x1) in fractions of the frame."""
    for level, scale in enumerate(scales):
        rows, columns = (scale, scale) if isinstance(scale, int) else scale
        for row in range(rows):
            for column in range(columns):
                y, x = Fraction(row, rows), Fraction(column, columns)
                yield level, y, x, y + Fraction(1, rows), x + Fraction(1, columns)


def shared_length(a0, a1, b0, b1):
    return max(min(a1, b1) - max(a0, b0), Fraction(0))


def area_in_pixels(cell, row, column, height, width):
    """Area shared by a cell and pixel (row, column), in pixels."""
    _, y0, x0, y1, x1 = cell
    return shared_length(y0 * height, y1 * height, row, row + 1) * shared_length(
        x0 * width, x1 * width, column, column + 1
    )


def brute_force_pool(volume, scales):
    height, width = volume.shape[-2:]
    nodes = []
    for cell in cells_of(scales):
        total, area = 0, Fraction(0)
        for row in range(height):
            for column in range(width):
                shared = area_in_pixels(cell, row, column, height, width)
                total = total + float(shared) * volume[..., row, column]
                area += shared
        nodes.append(total / float(area))
    return torch.stack(nodes, dim=-2)


def neighbours(pyramid, node):
    source, destination = pyramid.edge_index
    return set(source[destination == node].tolist())


def test_nodes_are_ordered_scale_by_scale_and_row_major():
    pyramid = GridPyramid((3, 2, 1))
    assert pyramid.num_nodes == 14
    assert pyramid.scale.tolist() == [0] * 9 + [1] * 4 + [2]
    third = 1 / 3
    by_hand = {
        0: (0, 0, third, third),
        1: (0, third, third, 2 * third),
        5: (third, 2 * third, 2 * third, 1),
        6: (2 * third, 0, 1, third),
        9: (0, 0, 0.5, 0.5),
        10: (0, 0.5, 0.5, 1),
        11: (0.5, 0, 1, 0.5),
        13: (0, 0, 1, 1),
    }
    for node, box in by_hand.items():
        torch.testing.assert_close(pyramid.box[node], torch.tensor(box, dtype=torch.float32))
    torch.testing.assert_close(pyramid.pos[5], torch.tensor([0.5, 5 / 6]))
    torch.testing.assert_close(pyramid.pos[11], torch.tensor([0.75, 0.25]))


def test_edges_of_the_paper_pyramid():
    pyramid = GridPyramid()
    source, destination = pyramid.edge_index
    edges = set(zip(source.tolist(), destination.tolist(), strict=True))
    assert pyramid.edge_index.shape == (2, 90)
    assert pyramid.edge_index.dtype == torch.int64
    assert len(edges) == 90
    assert edges == {(i, j) for j, i in edges}
    assert all(i != j for i, j in edges)
    assert [len(neighbours(pyramid, i)) for i in range(14)] == [4, 6, 4, 6, 9, 6, 4, 6, 4, 7, 7, 7, 7, 13]
    assert neighbours(pyramid, 0) == {1, 3, 9, 13}
    assert neighbours(pyramid, 1) == {0, 2, 4, 9, 10, 13}
    assert neighbours(pyramid, 4) == {1, 3, 5, 7, 9, 10, 11, 12, 13}
    assert neighbours(pyramid, 8) == {5, 7, 12, 13}
    assert neighbours(pyramid, 10) == {1, 2, 4, 5, 9, 12, 13}
    assert neighbours(pyramid, 13) == set(range(13))


@pytest.mark.parametrize("scales", PYRAMIDS)
def test_edges_and_boxes_against_fractions(scales):
    pyramid = GridPyramid(scales)
    cells = list(cells_of(scales))
    expected = []
    for i, (level_i, *box_i) in enumerate(cells):
        for j, (level_j, *box_j) in enumerate(cells):
            vertical = shared_length(box_i[0], box_i[2], box_j[0], box_j[2])
            horizontal = shared_length(box_i[1], box_i[3], box_j[1], box_j[3])
            touch_above = box_i[0] == box_j[2] or box_i[2] == box_j[0]
            touch_beside = box_i[1] == box_j[3] or box_i[3] == box_j[1]
            if level_i != level_j:
                joined = vertical > 0 and horizontal > 0
            else:
                joined = (touch_above and horizontal > 0) or (touch_beside and vertical > 0)
            if joined:
                expected.append([j, i])  # walks destinations in order, then sources
    assert pyramid.edge_index.t().tolist() == expected
    assert pyramid.num_edges == len(expected)
    torch.testing.assert_close(pyramid.box, torch.tensor([[float(b) for b in cell[1:]] for cell in cells]))
    assert pyramid.num_nodes == len(cells)


def test_one_node_has_no_edges():
    pyramid = GridPyramid((1,))
    assert pyramid.edge_index.shape == (2, 0)
    volume = torch.rand(2, 3, 5, 4)
    torch.testing.assert_close(pyramid.pool(volume), volume.mean(dim=(-2, -1))[:, None])


@pytest.mark.parametrize(
    ("scales", "size"),
    [((3, 2, 1), (14, 14)), ((3, 2, 1), (6, 6)), (((4, 7), (2, 3), 1), (7, 9)), ((3,), (3, 3)), (((2, 5),), (9, 5))],
)
def test_pool_against_brute_force_areas(scales, size, device):
    volume = torch.randn(2, 3, *size, dtype=torch.float64)
    pooled = GridPyramid(scales).to(device).pool(volume.to(device))
    torch.testing.assert_close(pooled.cpu(), brute_force_pool(volume, scales))


@settings(max_examples=25, deadline=None)
@given(
    grid=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    size=st.tuples(st.integers(4, 9), st.integers(4, 9)),
)
def test_pool_and_unpool_of_any_size(grid, size):
    scales = (grid, 1)
    pyramid = GridPyramid(scales)
    volume = torch.randn(2, *size, dtype=torch.float64)
    torch.testing.assert_close(pyramid.pool(volume), brute_force_pool(volume, scales))

    nodes = torch.randn(pyramid.num_nodes, 2, dtype=torch.float64)
    expected = torch.zeros(2, *size, dtype=torch.float64)
    for cell, node in zip(cells_of(scales), nodes, strict=True):
        for row in range(size[0]):
            for column in range(size[1]):
                expected[:, row, column] += float(area_in_pixels(cell, row, column, *size)) * node
    torch.testing.assert_close(pyramid.unpool(nodes, size), expected)


def test_pool_cuts_pixels_by_area():
    pooled = GridPyramid((2,)).pool(torch.tensor([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]]))
    # The upper left cell is 1.5 × 1.5 pixels: 1 + 2/2 + 4/2 + 5/4 over 2.25.
    torch.testing.assert_close(pooled[0, 0], torch.tensor(5.25 / 2.25))


def test_unpool_mixes_cells_over_a_pixel_by_area():
    nodes = torch.tensor([[1.0], [2.0], [4.0], [8.0]])
    expected = torch.tensor([[1.0, 1.5, 2.0], [2.5, 3.75, 5.0], [4.0, 6.0, 8.0]])
    torch.testing.assert_close(GridPyramid((2,)).unpool(nodes, (3, 3))[0], expected)


@pytest.mark.parametrize("scales", PYRAMIDS)
@pytest.mark.parametrize("size", [(14, 14), (7, 9), (11, 7)])
def test_unpool_of_pooled_constant_is_the_constant_once_per_scale(scales, size):
    pyramid = GridPyramid(scales)
    volume = torch.full((2, 3, *size), 1.7, dtype=torch.float64)
    torch.testing.assert_close(pyramid.unpool(pyramid.pool(volume), size), len(scales) * volume)


@pytest.mark.parametrize("size", [(14, 14), (6, 6), (7, 9)])
def test_unpool_is_the_adjoint_of_area_sum_pooling(size):
    scales = ((4, 7), (2, 3), 1)
    pyramid = GridPyramid(scales)
    size = (max(size[0], 4), max(size[1], 7))
    volume = torch.randn(3, *size, dtype=torch.float64)
    nodes = torch.randn(pyramid.num_nodes, 3, dtype=torch.float64)
    cell_area = pyramid.box.double()[:, 2:] - pyramid.box.double()[:, :2]
    pixels = torch.tensor([float((c[3] - c[1]) * (c[4] - c[2])) for c in cells_of(scales)], dtype=torch.float64)
    torch.testing.assert_close(cell_area.prod(dim=1), pixels, rtol=1e-6, atol=0)
    area_sum = pyramid.pool(volume) * (pixels * size[0] * size[1])[:, None]
    # A pixel lies wholly inside the frame, so the rows of unpool need no further normalisation.
    torch.testing.assert_close((area_sum * nodes).sum(), (volume * pyramid.unpool(nodes, size)).sum())


def test_pos_map_unfiltered_by_hand():
    pyramid = GridPyramid()
    maps = pyramid.pos_map(sigma=0).view(14, 6, 6)
    for node, rows, columns in [(0, (0, 2), (0, 2)), (5, (2, 4), (4, 6)), (10, (0, 3), (3, 6)), (13, (0, 6), (0, 6))]:
        expected = torch.zeros(6, 6)
        expected[slice(*rows), slice(*columns)] = 1
        torch.testing.assert_close(maps[node], expected)
    # Four map cells over three cells of the grid: the first covers one and a third on each axis.
    coarse = pyramid.pos_map(size=4, sigma=0).view(14, 4, 4)
    axis = torch.tensor([1, 1 / 3, 0, 0])
    torch.testing.assert_close(coarse[0], torch.outer(axis, axis))
    axis = torch.tensor([0, 2 / 3, 2 / 3, 0])
    torch.testing.assert_close(coarse[4], torch.outer(axis, axis))


def test_pos_map_filtered_by_hand():
    maps = GridPyramid().pos_map().view(14, 6, 6)
    total = 1 + 2 * exp(-0.5) + 2 * exp(-2)
    w0, w1, w2 = 1 / total, exp(-0.5) / total, exp(-2) / total
    # Node 0 covers the map's cells 0 and 1 on each axis; what the filter takes from outside the map is zero.
    axis = torch.tensor([w0 + w1, w1 + w0, w2 + w1, w2, 0, 0])
    torch.testing.assert_close(maps[0], torch.outer(axis, axis))
    axis = torch.tensor([w0 + w1 + w2, w0 + 2 * w1 + w2, 1, 1, w0 + 2 * w1 + w2, w0 + w1 + w2])
    torch.testing.assert_close(maps[13], torch.outer(axis, axis))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_pool_and_unpool_keep_the_type(dtype, device):
    pyramid = GridPyramid().to(device)
    volume = torch.rand(2, 3, 14, 14, device=device)
    nodes = pyramid.pool(volume.to(dtype))
    assert nodes.dtype == dtype
    assert pyramid.unpool(nodes, (14, 14)).dtype == dtype
    torch.testing.assert_close(nodes.float(), pyramid.pool(volume), rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("autocast", [True, False])
def test_large_frames_in_float16(autocast, device):
    pyramid = GridPyramid(((4, 7), (3, 3), 1)).to(device)
    volume = 1 + torch.rand(1, 2, 480, 640, device=device)
    expected = pyramid.pool(volume)
    with torch.autocast(device.type, torch.float16, enabled=autocast):
        nodes = pyramid.pool(volume if autocast else volume.half())
    assert nodes.dtype == torch.float16
    torch.testing.assert_close(nodes.float(), expected, rtol=1e-3, atol=0)


def test_gradients_of_pool_and_unpool():
    pyramid = GridPyramid()
    volume = torch.randn(2, 4, 5, dtype=torch.float64, requires_grad=True)
    nodes = torch.randn(14, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(pyramid.pool, volume)
    assert torch.autograd.gradcheck(lambda n: pyramid.unpool(n, (4, 5)), nodes)


@pytest.mark.parametrize("default", ["meta", "cpu"])
def test_made_where_other_modules_have_no_values(default):
    with torch.device(default):
        pyramid = GridPyramid((3, 2, 1))
    assert torch.equal(pyramid.edge_index, GridPyramid((3, 2, 1)).edge_index)


def test_buffers_are_not_saved_and_repr():
    pyramid = GridPyramid(((4, 7), (2, 3), 1))
    assert not pyramid.state_dict()
    degrees = Counter(pyramid.edge_index[1].tolist())
    assert sum(degrees.values()) == pyramid.num_edges
    assert repr(pyramid) == f"GridPyramid(4x7, 2x3, 1x1: 35 nodes, {pyramid.num_edges} edges)"


@pytest.mark.parametrize("scales", [(), 3, (0,), (-1, 1), ((2,), 1), ((2, 2, 2),), (2.5,), ((2, 0),)])
def test_bad_scales(scales):
    with pytest.raises(ValueError, match="Expected 'scales' to hold"):
        GridPyramid(scales)


def test_bad_volumes_and_nodes():
    pyramid = GridPyramid()
    with pytest.raises(ValueError, match=r"Expected 'volume' to be of shape \[\*, C, H, W\] \(got \[6, 6\]\)"):
        pyramid.pool(torch.rand(6, 6))
    with pytest.raises(ValueError, match="Expected 'volume' to be of floating point type"):
        pyramid.pool(torch.zeros(1, 6, 6, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"at least 3 rows and 3 columns.*\(got 2x6\)"):
        pyramid.pool(torch.rand(1, 2, 6))
    with pytest.raises(ValueError, match=r"Expected 'nodes' to be of shape \[\*, N, C\]"):
        pyramid.unpool(torch.rand(14), (6, 6))
    with pytest.raises(ValueError, match=r"Expected 'nodes' to hold 14 nodes \(got 13\)"):
        pyramid.unpool(torch.rand(13, 2), (6, 6))
    with pytest.raises(ValueError, match=r"Expected 'size' to have at least 3 rows"):
        pyramid.unpool(torch.rand(14, 2), (6, 2))
    with pytest.raises(ValueError, match="Expected 'size' to be positive"):
        pyramid.pos_map(size=0)
    with pytest.raises(ValueError, match="Expected 'sigma' to be non-negative"):
        pyramid.pos_map(sigma=-1.0)


def test_pooling_on_a_device_without_autocast():
    assert GridPyramid((2, 1)).to("meta").pool(torch.rand(3, 4, 6, 6, device="meta")).shape == (3, 5, 4)
