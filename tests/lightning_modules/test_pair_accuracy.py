import math

import pytest
import torch
from torch import tensor

from lightning_modules.pair_accuracy import PairAccuracy


def test_by_hand():
    metric = PairAccuracy([(0, 2), (3, 1)], num_classes=5)
    logits = tensor(
        [
            [1.0, 9.0, 0.0, 0.0, 9.0],  # label 0 over 2: right, though 1 and 4 are higher
            [1.0, 9.0, 0.0, 0.0, 9.0],  # label 2: wrong
            [0.0, 2.0, 0.0, 2.0, 0.0],  # label 1 and 3 are equal: half
            [0.0, 1.0, 5.0, 2.0, 0.0],  # label 3 over 1: right
            [9.0, 0.0, 0.0, 0.0, 0.0],  # label 4 is in no pair: left out
        ]
    )
    label = tensor([0, 2, 1, 3, 4])
    metric.update(logits[:2], label[:2])
    assert metric.compute() == 0.5
    metric.update(logits[2:], label[2:])
    assert metric.compute() == 2.5 / 4
    metric.reset()
    metric.update(logits[4:], label[4:])
    assert math.isnan(metric.compute())


def test_a_network_blind_to_the_order_of_frames_is_at_chance():
    logits = torch.rand(10, 4).repeat_interleave(2, dim=0)  # the same for a video and its reverse
    metric = PairAccuracy([(0, 1), (2, 3)], num_classes=4)
    metric.update(logits, tensor([0, 1, 2, 3] * 5))
    assert metric.compute() == 0.5


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([(0, 4)], r"Expected 'pairs' to be pairs of labels in \[0, 4\) \(got \[\(0, 4\)\]\)"),
        ([(0, 1, 2)], r"Expected 'pairs' to be pairs of labels"),
        ([(0, 1), (1, 2)], r"Expected 'pairs' to have no label twice"),
    ],
)
def test_errors(pairs, message):
    with pytest.raises(ValueError, match=message):
        PairAccuracy(pairs, num_classes=4)
