"""The models that ship with the package."""

import re

import pytest
import torch
import yaml
from torch.utils.data import DataLoader

from data import SyncMNIST
from data.digits import DigitImages
from rstg_pyg import VideoClassifier
from rstg_pyg.models.model_folder import SHIPPED

NUM_DIGITS = {"rstg-3syncmnist": 3, "rstg-5syncmnist": 5}


def card(name):
    """What a model card says: its head, and its text."""
    _, head, text = (SHIPPED / name / "README.md").read_text().split("---\n", maxsplit=2)
    return yaml.safe_load(head), text


def test_every_shipped_model_is_tested_here():
    assert {path.name for path in SHIPPED.iterdir()} == set(NUM_DIGITS)


@pytest.mark.parametrize("name", NUM_DIGITS)
def test_folder_is_small_and_its_card_filled_in(name):
    assert sum(path.stat().st_size for path in (SHIPPED / name).iterdir()) < 8e6
    head, text = card(name)
    (result,) = head["model-index"][0]["results"]
    assert f"| {100 * result['metrics'][0]['value']:.1f} %" in text
    assert name in text
    assert not re.search("NAME|DATASET|ACCURACY|FOLDER|PROTOCOL", text)


@pytest.mark.parametrize("name", NUM_DIGITS)
@torch.no_grad()
def test_accuracy_is_that_of_the_card(name):
    model = VideoClassifier.from_pretrained(name)
    num_videos = 256
    videos = SyncMNIST(DigitImages("test"), NUM_DIGITS[name], num_videos=num_videos)
    hits = [model(video / 255).argmax(dim=-1) == label for video, label in DataLoader(videos, 64)]
    share = torch.cat(hits).double().mean().item()
    head, _ = card(name)
    stated = head["model-index"][0]["results"][0]["metrics"][0]["value"]
    assert share == pytest.approx(stated, abs=3.3 * (stated * (1 - stated) / num_videos) ** 0.5)
