import math
from functools import partial

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from data import PlacedDigits, PlacedDigitsDataModule, collate_stacked


def test_frames_are_pure_functions_of_their_index(digits):
    dataset = PlacedDigits(digits, max_digits=3)
    frames, shown, centre = dataset.batch(range(40))
    assert frames.shape == (40, 1, 64, 64)
    assert (frames.dtype, shown.dtype, centre.dtype) == (torch.uint8, torch.bool, torch.float32)
    for item, batch in zip(dataset[17], (frames, shown, centre), strict=True):
        assert torch.equal(item, batch[17])
    loader = DataLoader(dataset, batch_size=7, sampler=range(39, -1, -1), num_workers=2, collate_fn=collate_stacked)
    for got, expected in zip(map(torch.cat, zip(*loader, strict=True)), (frames, shown, centre), strict=True):
        assert torch.equal(got, expected.flip(0))
    assert not torch.equal(PlacedDigits(digits, max_digits=3, seed=1).batch(range(40))[0], frames)


def test_all_ink_is_around_the_centres(digits):
    frames, shown, centre = PlacedDigits(digits, max_digits=4).batch(range(200))
    for frame, classes, centres in zip(frames[:, 0], shown, centre * 64, strict=True):
        ink = torch.nonzero(frame)[:, None] + 0.5  # [pixels, 1, 2]
        distance = (ink - centres[classes]).abs().amax(dim=-1)  # [pixels, digits]
        # Half a digit is 9 frame pixels; the filter spreads ink by up to a frame pixel and a half.
        assert distance.amin(dim=1).max() <= 9 + 2
    assert centre[~shown].eq(0).all()


@pytest.mark.parametrize("max_digits", [1, 4])
def test_numbers_classes_and_places_are_uniform(digits, max_digits):
    classes, images, corners = PlacedDigits(digits, max_digits).draw(range(20_000))
    shown = classes >= 0
    assert np.array_equal(shown, images >= 0)
    assert np.array_equal(digits.labels[images[shown]], classes[shown])
    assert all(len(set(row[row >= 0])) == (row >= 0).sum() for row in classes[:500])  # all different
    for values, low, bins, limit in (
        (shown.sum(axis=1), 1, max_digits, 25),
        (classes[shown], 0, 10, 30),
        (corners, 0, 72, 120),
    ):
        counts = np.bincount(values.ravel() - low, minlength=bins)
        assert len(counts) == bins
        assert ((counts - counts.mean()) ** 2 / counts.mean()).sum() < limit


def test_second_digit_over_the_first(digits):
    *apart, corners = PlacedDigits(digits, max_digits=3).draw(range(20_000))
    *same, over = PlacedDigits(digits, max_digits=3, overlap=1.0).draw(range(20_000))
    for got, expected in zip([*same, over[:, ::2]], [*apart, corners[:, ::2]], strict=True):
        assert np.array_equal(got, expected)
    assert (over.min(), over.max()) == (0, 71)
    offset = over[:, 1] - over[:, 0]
    assert np.abs(offset).max() == 12
    first = over[:, 0]
    inside = offset[((first >= 12) & (first <= 59)).all(axis=1)]
    counts = np.bincount(inside.ravel() + 12, minlength=25)
    assert ((counts - counts.mean()) ** 2 / counts.mean()).sum() < 60

    *_, some = PlacedDigits(digits, max_digits=3, overlap=0.3).draw(range(20_000))
    is_over = (some[:, 1] == over[:, 1]).all(axis=1)
    assert is_over.mean() == pytest.approx(0.3, abs=0.02)
    assert np.array_equal(some[~is_over], corners[~is_over])


@pytest.mark.parametrize(
    ("max_digits", "overlap", "message"),
    [
        (2, 1.5, r"'overlap' to be between 0 and 1 \(got 1.5\)"),
        (2, math.nan, r"'overlap' to be between 0 and 1 \(got nan\)"),
        (1, 0.5, r"'overlap' to be 0, as 'max_digits' is 1 \(got 0.5\)"),
    ],
)
def test_overlap_that_cannot_be(digits, max_digits, overlap, message):
    for make in (partial(PlacedDigits, digits), PlacedDigitsDataModule):
        with pytest.raises(ValueError, match=message):
            make(max_digits=max_digits, overlap=overlap)


@pytest.mark.parametrize("argument", ["max_digits", "frame_size", "canvas_size", "num_frames"])
def test_wrong_arguments_are_named(digits, argument):
    with pytest.raises(ValueError, match=rf"'{argument}' to be an integer of at least \d+ \(got 0\)"):
        PlacedDigits(digits, **{argument: 0})


def test_more_digits_than_classes(digits):
    with pytest.raises(ValueError, match=r"'max_digits' to be at most 10 \(got 11\)"):
        PlacedDigits(digits, max_digits=11)
