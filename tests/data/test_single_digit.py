import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from data import SingleDigit, collate_stacked


def test_frames_are_pure_functions_of_their_index(digits):
    dataset = SingleDigit(digits, return_box=True)
    frames, labels, boxes = dataset.batch(range(40))
    assert frames.shape == (40, 1, 64, 64)
    assert (frames.dtype, labels.dtype, boxes.dtype) == (torch.uint8, torch.int64, torch.float32)
    frame, label, box = dataset[17]
    assert torch.equal(frame, frames[17])
    assert label == labels[17]
    assert torch.equal(box, boxes[17])
    loader = DataLoader(dataset, batch_size=7, sampler=range(39, -1, -1), num_workers=2, collate_fn=collate_stacked)
    for got, expected in zip(map(torch.cat, zip(*loader, strict=True)), (frames, labels, boxes), strict=True):
        assert torch.equal(got, expected.flip(0))
    assert not torch.equal(SingleDigit(digits, seed=1).batch(range(40))[0], frames)


def test_box_holds_all_the_ink(digits):
    frames, _, boxes = SingleDigit(digits, return_box=True).batch(range(200))
    for frame, (y0, x0, y1, x1) in zip(frames[:, 0], boxes * 64, strict=True):
        rows, columns = torch.nonzero(frame, as_tuple=True)
        assert rows.min() >= y0 - 2  # the filter spreads ink by up to a frame pixel and a half
        assert columns.min() >= x0 - 2
        assert rows.max() + 1 <= y1 + 2
        assert columns.max() + 1 <= x1 + 2
    torch.testing.assert_close(boxes[:, 2:] - boxes[:, :2], torch.full((200, 2), 0.28))


def test_classes_and_places_are_uniform(digits):
    dataset = SingleDigit(digits)
    digit_index, corner = dataset._draw(range(50_000))
    for values, bins, limit in ((digits.labels[digit_index], 10, 30), (corner, 72, 120)):
        counts = np.bincount(values.ravel(), minlength=bins)
        assert len(counts) == bins
        assert ((counts - counts.mean()) ** 2 / counts.mean()).sum() < limit


@pytest.mark.parametrize("argument", ["frame_size", "canvas_size", "num_frames"])
def test_wrong_arguments_are_named(digits, argument):
    with pytest.raises(ValueError, match=rf"'{argument}' to be an integer of at least \d+ \(got 0\)"):
        SingleDigit(digits, **{argument: 0})
