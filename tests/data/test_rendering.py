from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional as tvf

from data.rendering import AntialiasedResize, paint, render


def resize_by_fractions(image, frame_size):
    """The triangle filter written out with fractions, one output pixel at a time, halves up."""
    size = len(image)
    scale = Fraction(size, frame_size)
    weights = [
        [
            max(Fraction(0), 1 - abs(j + Fraction(1, 2) - scale * (i + Fraction(1, 2))) / max(scale, 1))
            for j in range(size)
        ]
        for i in range(frame_size)
    ]
    taps = [[(j, w / sum(row)) for j, w in enumerate(row) if w] for row in weights]
    out = np.empty((frame_size, frame_size), dtype=np.uint8)
    for y in range(frame_size):
        for x in range(frame_size):
            value = sum(wy * wx * int(image[j, k]) for j, wy in taps[y] for k, wx in taps[x])
            out[y, x] = int(value + Fraction(1, 2))
    return out


def paint_pixel_by_pixel(images, digit_index, coords, canvas_size):
    """One canvas: the digits in order, a pixel of 10 or more replaces what is there."""
    canvas = np.zeros((canvas_size, canvas_size), dtype=np.uint8)
    for image, (row, column) in zip(digit_index, coords, strict=True):
        for y in range(28):
            for x in range(28):
                if images[image, y, x] >= 10:
                    canvas[row + y, column + x] = images[image, y, x]
    return canvas


def noise(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize(("canvas_size", "frame_size"), [(100, 64), (40, 64), (64, 64), (50, 7), (101, 37)])
def test_resize_is_the_exact_filter_rounded_half_up(canvas_size, frame_size):
    images = noise((2, canvas_size, canvas_size))
    resized = AntialiasedResize(canvas_size, frame_size)(images.transpose(1, 2, 0).astype(np.int16))
    for frame, image in enumerate(images):
        np.testing.assert_array_equal(resized[:, :, frame], resize_by_fractions(image, frame_size))


@pytest.mark.parametrize(("canvas_size", "frame_size"), [(100, 64), (100, 112), (72, 64), (64, 64), (200, 33)])
def test_resize_equals_torch_in_float64_but_for_exact_halves(canvas_size, frame_size):
    images = noise((20, canvas_size, canvas_size))
    images[:5] //= 255  # zeros and ones: many exact halves
    images[5:10] = images[5:10] // 128 * 255
    resized = AntialiasedResize(canvas_size, frame_size)(images.transpose(1, 2, 0).astype(np.int16))
    reference = torch.nn.functional.interpolate(
        torch.from_numpy(images)[:, None].double(), size=frame_size, mode="bilinear", antialias=True
    )[:, 0].numpy()
    half = np.abs(reference - np.floor(reference) - 0.5) < 1e-9
    expected = np.where(half, np.ceil(reference), np.round(reference))  # float64 cannot tell a half: ours rounds it up
    np.testing.assert_array_equal(resized.transpose(2, 0, 1), expected)


def test_resize_is_torchvisions_within_one_level():
    images = noise((8, 100, 100))
    resized = AntialiasedResize.of(100, 64)(images.transpose(1, 2, 0).astype(np.int16))
    reference = tvf.resize(torch.from_numpy(images)[:, None], [64, 64], antialias=True)[:, 0].numpy()
    assert np.abs(resized.transpose(2, 0, 1).astype(int) - reference).max() <= 1


def test_constant_frames_stay_constant():
    values = np.arange(256, dtype=np.int16)
    resized = AntialiasedResize.of(100, 64)(np.broadcast_to(values, (100, 100, 256)))
    np.testing.assert_array_equal(resized, np.broadcast_to(values, (64, 64, 256)))


@settings(max_examples=25, deadline=None)
@given(
    corners=st.lists(st.tuples(st.integers(0, 72), st.integers(0, 72)), min_size=1, max_size=4),
    seed=st.integers(0, 2**32 - 1),
)
def test_painting_against_pixel_by_pixel(corners, seed):
    images = noise((5, 28, 28), seed)
    images[:2] //= 16  # around the threshold of 10
    digit_index = np.random.default_rng(seed).integers(0, 5, len(corners))
    canvas = paint(images, digit_index[None], np.array(corners)[None, None], 100)
    np.testing.assert_array_equal(canvas[:, :, 0], paint_pixel_by_pixel(images, digit_index, corners, 100))


def test_later_digits_cover_earlier_ones_and_faint_pixels_do_not():
    images = np.zeros((3, 28, 28), dtype=np.uint8)
    images[0], images[1], images[2] = 200, 10, 9
    corners = np.zeros((1, 1, 3, 2), dtype=np.int64)
    assert (paint(images, np.array([[0, 1, 2]]), corners, 100)[:28, :28] == 10).all()
    assert (paint(images, np.array([[1, 2, 0]]), corners, 100)[:28, :28] == 200).all()
    assert not paint(images, np.array([[2, -1, -1]]), corners, 100).any()  # -1: nothing there


def test_render_is_paint_then_resize_frame_by_frame(digits):
    rng = np.random.default_rng(0)
    digit_index, coords = rng.integers(0, len(digits), (3, 4)), rng.integers(0, 72, (3, 5, 4, 2))
    frames = render(digits.images, digit_index, coords, 100, 64)
    assert frames.shape == (3, 5, 64, 64)
    for video, frame in [(0, 0), (1, 3), (2, 4)]:
        canvas = paint_pixel_by_pixel(digits.images, digit_index[video], coords[video, frame], 100)
        reference = torch.nn.functional.interpolate(
            torch.from_numpy(canvas)[None, None].double(), size=64, mode="bilinear", antialias=True
        )[0, 0].numpy()
        np.testing.assert_allclose(frames[video, frame], reference, atol=0.5 + 1e-9)


def test_any_number_of_videos_at_once_gives_the_same_frames(digits):
    rng = np.random.default_rng(0)
    digit_index, coords = rng.integers(0, len(digits), (40, 2)), rng.integers(0, 72, (40, 10, 2, 2))
    together = render(digits.images, digit_index, coords, 100, 64)
    for part in (slice(0, 1), slice(3, 36)):
        np.testing.assert_array_equal(render(digits.images, digit_index[part], coords[part], 100, 64), together[part])
