from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional as F

from data.video import UNLABELLED
from data.video.mirroring import mirrored_labels
from data.video.spatial import (
    EvenCrops,
    LabelAwareFlip,
    ResizeSide,
    center_transform,
    crop_corners,
    resized_size,
    training_transform,
    views_transform,
)


def positions(height, width, frames=3):
    """Frames whose channels are the row and the column, the same in every frame."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([rows, columns, rows + columns]).byte().expand(frames, -1, -1, -1)


@pytest.mark.parametrize(
    ("size", "side", "expected"),
    [
        ((100, 176), "height", (256, 451)),  # 450.56
        ((240, 427), "height", (256, 455)),  # 455.47
        ((240, 427), "short", (256, 455)),
        ((100, 100), "height", (256, 256)),
        ((100, 75), "height", (299, 224)),  # 192 would be narrower than the crop
        ((100, 75), "short", (341, 256)),
        ((1080, 608), "height", (398, 224)),
    ],
)
def test_resized_sizes_by_hand(size, side, expected):
    assert resized_size(*size, size=256, side=side, crop=224) == expected


@given(st.integers(8, 500), st.integers(8, 500), st.sampled_from(["height", "short"]))
def test_resized_frame_holds_the_crop_and_keeps_its_shape(height, width, side):
    high, wide = resized_size(height, width, 256, side, 224)
    assert min(high, wide) >= 224
    scale = max(high / height, wide / width)
    assert high == pytest.approx(height * scale, abs=1 + 0.5 * height / width)
    assert wide == pytest.approx(width * scale, abs=1 + 0.5 * width / height)


def test_resize_is_antialiased():
    stripes = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    stripes[..., ::2] = 200
    small, label = ResizeSide(16, crop=16)(stripes, 5)
    assert label == 5
    assert (small.int() - 100).abs().max() <= 25  # the mean, not one of the two


@given(st.integers(8, 90), st.integers(8, 90), st.sampled_from([1, 3, 5, 11]))
def test_views_cover_the_frame_and_differ(height, width, num_crops):
    corners = crop_corners(height, width, 8, num_crops)
    assert len(corners) == num_crops
    assert all(0 <= row <= height - 8 and 0 <= column <= width - 8 for row, column in corners)
    longer, along = max(height, width), int(width >= height)
    starts = sorted(corner[along] for corner in corners)
    if num_crops > 1:
        assert (starts[0], starts[-1]) == (0, longer - 8)
        gaps = [b - a for a, b in pairwise(starts)]
        assert max(gaps) - min(gaps) <= 1  # evenly, up to rounding
        assert len(set(corners)) == min(num_crops, longer - 8 + 1)
        if longer <= 8 * num_crops:
            assert max(gaps) <= 8  # no pixel between two crops
    if num_crops > 1 and longer - 8 >= num_crops:
        others = [corner[along] for corner in corners[1:]]
        assert others == sorted(others)


def test_papers_eleven_crops_by_hand():
    corners = crop_corners(256, 456, 256, 11)
    assert corners == [(0, 100), *((0, column) for column in (0, 20, 40, 60, 80, 120, 140, 160, 180, 200))]
    assert crop_corners(456, 256, 256, 11) == [(column, row) for row, column in corners]


@pytest.mark.parametrize(("height", "width"), [(33, 64), (64, 33), (41, 47)])
def test_first_view_is_the_centre_crop_of_validation(height, width):
    video = torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8)
    for side in ("height", "short"):
        views, _ = views_transform(32, side, 24, 5)(video, 0)
        center, _ = center_transform(32, side, 24)(video, 0)
        assert views.shape == (5, 2, 3, 24, 24)
        assert torch.equal(views[0], center)


def test_crops_are_what_their_corners_say():
    video = positions(16, 40)
    views, _ = EvenCrops(16, 3)(video, 0)
    assert views[:, 0, 1, 0, 0].tolist() == [12, 0, 24]
    assert all(torch.equal(view, video[..., c : c + 16]) for view, c in zip(views, (12, 0, 24), strict=True))


def test_all_frames_of_a_training_clip_are_treated_alike_and_clips_differently():
    transform = training_transform(40, "height", 32, brightness=0.3, mirrored=[0])
    clips = [transform(positions(40, 60), 0)[0] for _ in range(20)]
    assert all(torch.equal(frame, clip[0]) for clip in clips for frame in clip)
    assert len({tuple(clip.flatten().tolist()) for clip in clips}) == 20


def test_training_without_chance_is_a_crop():
    transform = training_transform(40, "height", 32, brightness=0.0, mirrored=None)
    for _ in range(10):
        clip, label = transform(positions(40, 60), 3)
        row, column = clip[0, :2, 0, 0].tolist()
        assert label == 3
        assert torch.equal(clip, positions(40, 60)[..., row : row + 32, column : column + 32])


def test_brightness_multiplies():
    video = torch.full((2, 3, 32, 32), 100, dtype=torch.uint8)
    transform = training_transform(32, "height", 32, brightness=0.2, mirrored=None)
    values = {int(transform(video, 0)[0].unique()) for _ in range(200)}  # one value a clip
    assert min(values) in (80, 81, 82)
    assert max(values) in (118, 119, 120)


NAMES = ["Pushing x from left to right", "Covering x", "Pushing x from right to left", "Going left", "Going right"]


def test_mirrored_labels():
    assert mirrored_labels(NAMES) == [2, 1, 0, 4, 3]
    assert mirrored_labels(["Leftovers are copyrighted", "Something upright"]) == [0, 1]
    with pytest.raises(ValueError, match=r"mirror image among the classes, .*\(got none for \['Going left'\]\)"):
        mirrored_labels(NAMES[:-1])


def test_sides_are_found_in_names_of_folders():
    pairs = [
        ("turn_left", "turn_right"),
        ("Left turn", "Right turn"),
        ("LEFT2", "RIGHT2"),
        ("left", "right"),
        ("moving_leftwards", "moving_rightwards"),
        ("turnLeft", "turnRight"),
        ("bright, to the left", "bright, to the right"),
        ("leftwards to the left", "rightwards to the right"),
        ("leftwards to the right", "rightwards to the left"),
        ("moveLeft to right", "moveRight to left"),
    ]
    names = [name for pair in pairs for name in pair]
    assert mirrored_labels(names) == [label ^ 1 for label in range(len(names))]
    with pytest.raises(ValueError, match=r"\(got none for \['turn_left', 'RIGHT2'\]\)"):
        mirrored_labels(["turn_left", "RIGHT2", "stop"])


def test_flip_takes_the_label_with_it():
    video = positions(4, 6)
    flipped, label = LabelAwareFlip(mirrored_labels(NAMES), 1.0)(video, 0)
    assert label == 2
    assert torch.equal(flipped, video.flip(-1))
    assert torch.equal(F.horizontal_flip(flipped), video)
    labels = [LabelAwareFlip(mirrored_labels(NAMES))(video, 3)[1] for _ in range(400)]
    assert 140 < labels.count(4) < 260  # half, within six standard deviations


def test_flip_leaves_a_video_without_a_label_without_one():
    flipped, label = LabelAwareFlip(mirrored_labels(NAMES), 1.0)(positions(4, 6), UNLABELLED)
    assert label == UNLABELLED
    assert torch.equal(flipped, positions(4, 6).flip(-1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ResizeSide(256, "width"), r"'side' to be one of \['height', 'short'\] \(got 'width'\)"),
        (lambda: ResizeSide(200, crop=224), r"'size' to be at least 224, the side of the crop \(got 200\)"),
        (lambda: EvenCrops(8, 10), r"'num_crops' to be odd, so that one is in the centre \(got 10\)"),
        (lambda: EvenCrops(32, 3)(positions(16, 40), 0), r"frames of at least 32×32 \(got 16×40\)"),
        (lambda: LabelAwareFlip([0], 1.5), r"'probability' to be in \[0, 1\] \(got 1.5\)"),
        (lambda: training_transform(32, "height", 32, -0.1, None), r"'brightness' to be in \[0, 1\] \(got -0.1\)"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
