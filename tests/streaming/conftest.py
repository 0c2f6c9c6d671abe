"""Classifiers and videos small enough to stream in a moment."""

import pytest
import torch

from rstg_pyg import VideoClassifier
from rstg_pyg.models import ClassifierHead, SmallCNN
from rstg_pyg.nn import RSTGToVec

SCHEDULES = ["all_temp", "one_temp", "space_only", "time_only", "homogeneous"]


@pytest.fixture(scope="session")
def make_classifier():
    """A classifier in float64 whose parameters are large enough for every part to show."""

    def make(schedule="all_temp", readout="last", **options):
        graph = RSTGToVec(
            channels=4, node_channels=4, pyramid=(2, 1), num_iterations=2, schedule=schedule, readout=readout, **options
        )
        model = VideoClassifier(SmallCNN(1, widths=(2, 4)), graph, ClassifierHead(4, 3)).double().eval()
        for name, parameter in model.graph.named_parameters():
            if "norm" not in name:
                torch.nn.init.normal_(parameter, std=0.6)
        return model

    return make


@pytest.fixture(params=SCHEDULES)
def schedule(request):
    return request.param


@pytest.fixture(params=["last", "mean"])
def model(request, schedule, make_classifier):
    return make_classifier(schedule, request.param)


@pytest.fixture
def video():
    """A video of seven frames."""
    return torch.rand(7, 1, 8, 8, dtype=torch.float64)
