import pytest
import torch

from rstg_pyg import VideoClassifier
from rstg_pyg.models import ClassifierHead, SmallCNN
from rstg_pyg.nn import RSTGToVec
from rstg_pyg.viz import record


@pytest.fixture(scope="session")
def classifier():
    """An untrained classifier of three classes over 2×2 + 1 nodes, two iterations."""
    torch.manual_seed(0)
    graph = RSTGToVec(channels=6, node_channels=8, pyramid=(2, 1), num_iterations=2, residual=True)
    return VideoClassifier(SmallCNN(1, (4, 6)), graph, ClassifierHead(8, 3)).requires_grad_(False).eval()


@pytest.fixture(scope="session")
def rec(classifier):
    """A record of it on two clips of four frames."""
    torch.manual_seed(1)
    with record(classifier, ["left", "right", "<none>"]) as rec:
        classifier(torch.rand(2, 4, 1, 16, 16))
    return rec
