"""Classifiers that are traced in a moment."""

import pytest
import torch

from rstg_pyg import VideoClassifier
from rstg_pyg.models import ClassifierHead, SmallCNN
from rstg_pyg.nn import RSTGToVec

CLIP = [3, 1, 8, 8]  # frames, channels, height, width


@pytest.fixture(scope="session")
def make_classifier():
    """A classifier whose parameters are large enough for every part to show."""

    def make(**options):
        torch.manual_seed(0)
        graph = RSTGToVec(channels=4, node_channels=4, pyramid=(2, 1), num_iterations=1, **options)
        model = VideoClassifier(SmallCNN(1, widths=(2, 4)), graph, ClassifierHead(4, 3)).eval()
        for name, parameter in model.graph.named_parameters():
            if "norm" not in name:
                torch.nn.init.normal_(parameter, std=0.6)
        return model

    return make


@pytest.fixture(scope="session")
def model(make_classifier):
    """One whose state holds memories in both types: floats, and the read-out's count of frames."""
    return make_classifier(readout="mean", attention="additive", update_per_scale=True)


@pytest.fixture(scope="session")
def program(model):
    """The programs of both parts, each made once."""
    from rstg_pyg.export import export_program

    return {part: export_program(model, part, CLIP) for part in ("clip", "step")}
