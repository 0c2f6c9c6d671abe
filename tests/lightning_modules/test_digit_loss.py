import math

import pytest
import torch

from lightning_modules import DigitLoss
from lightning_modules.digit_loss import accuracy


def test_a_linear_layer_reads_the_nodes():
    loss = DigitLoss(channels=4, num_classes=3).eval()
    features = torch.rand(5, 4, 3, 3)
    x = loss.pyramid.pool(features).flatten(1) / (1 + loss.read[0].eps) ** 0.5
    (linear,) = (layer for layer in loss.read if isinstance(layer, torch.nn.Linear))
    torch.testing.assert_close(loss.digits(features).flatten(1), linear(x))


@pytest.mark.parametrize("weight", [1.0, 0.25])
def test_by_hand(weight):
    loss = DigitLoss(channels=4, num_classes=4, locate_weight=2.0, weight=weight).eval()
    with torch.no_grad():
        loss.read[2].weight.zero_()
        said = loss.read[2].bias.view(4, 3)
        said.fill_(0.5)  # all in the middle
        said[:, 0] = torch.tensor([1.0, 3.0, 0.0, 0.0]).log().nan_to_num(neginf=-1e9)  # 1/4, 3/4, 0, 0
    centre = torch.full((1, 4, 2), math.nan)
    centre[0, :2] = torch.tensor([[0.5, 0.8], [0.5, 0.46]])
    value, scores = loss(torch.rand(1, 4, 3, 3), centre)
    classes = -(torch.tensor(1 / 4).log() + torch.tensor(3 / 4).log()) / 2
    places = (0 + (0.3 - 0.025) + 0 + 0.04**2 / (2 * 0.05)) / 4  # smooth L1 turns linear at 0.05
    torch.testing.assert_close(value, weight * (classes + 2 * places))
    assert scores["acc"] == 1
    torch.testing.assert_close(scores["distance"], torch.tensor(100 * (0.3 + 0.04) / 2))


def test_without_places_the_classes_alone():
    torch.manual_seed(0)
    loss, both = (DigitLoss(channels=4, num_classes=3, locate_weight=weight).eval() for weight in (0.0, 5.0))
    both.load_state_dict(loss.state_dict())
    features, centre = torch.rand(2, 4, 3, 3), torch.tensor([[[0.1, 0.2]] * 2 + [[math.nan] * 2]] * 2)
    value, scores = loss(features, centre)
    assert scores.keys() == {"acc"}
    said = loss.digits(features)[..., 0].log_softmax(dim=1)
    torch.testing.assert_close(value, -said[:, :2].mean())
    assert both(features, centre)[0] > value


def test_accuracy_counts_the_digits_that_are_there():
    logits = torch.tensor([[3.0, 2.0, 1.0, 0.0], [3.0, 2.0, 1.0, 0.0], [0.0, 0.0, 5.0, 0.0]])
    shown = torch.tensor([[1, 0, 1, 0], [0, 1, 1, 1], [0, 0, 1, 0]], dtype=torch.bool)
    # Of the two likeliest one is there, of the three likeliest two, and the likeliest is.
    torch.testing.assert_close(accuracy(logits, shown), torch.tensor((1 / 2 + 2 / 3 + 1) / 3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"locate_weight": -1.0}, r"Expected 'locate_weight' to be at least 0 \(got -1.0\)"),
        ({"weight": -0.5}, r"Expected 'weight' to be at least 0 \(got -0.5\)"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        DigitLoss(channels=4, **arguments)


def test_centres_of_other_frames_than_the_features():
    message = r"Expected 'centre' to be of shape \[6, 3, 2\], as there are 6 .* \(got \[8, 3, 2\]\)"
    with pytest.raises(ValueError, match=message):
        DigitLoss(channels=4, num_classes=3)(torch.rand(6, 4, 3, 3), torch.rand(8, 3, 2))
