import pytest
import torch

from rstg_pyg import VideoClassifier
from rstg_pyg.models import ClassifierHead, MeanPoolLSTM, SmallCNN
from rstg_pyg.nn import RSTGToVec


@pytest.mark.parametrize("readout", ["last", "mean"])
@pytest.mark.parametrize("hidden_channels", [None, 4])
def test_is_the_time_only_graph_of_one_node(readout, hidden_channels):
    model = MeanPoolLSTM(6, hidden_channels, "batch", readout).double()
    graph = RSTGToVec(
        channels=6,
        node_channels=hidden_channels or 6,
        pyramid=(1,),
        positional=False,
        schedule="time_only",
        input_norm="batch",
        readout=readout,
    ).double()
    for name in ("lin_in", "input_norm", "time"):
        theirs = graph.rstg.last_time if name == "time" else getattr(graph.rstg, name)
        theirs.load_state_dict(getattr(model.lstm, name).state_dict())
    volume = torch.randn(2, 3, 6, 5, 4, dtype=torch.float64)
    torch.testing.assert_close(model(volume), graph(volume))


def test_does_not_see_where(shuffle_pixels):
    model = MeanPoolLSTM(4, 8).double()
    volume = torch.randn(2, 3, 4, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(model(shuffle_pixels(volume)), model(volume))


def test_learns_what_only_the_order_of_the_frames_tells(sweeps, loss_after_training):
    graph = MeanPoolLSTM(16, input_norm="layer")
    classifier = VideoClassifier(SmallCNN(1, widths=(8, 8, 16)), graph, ClassifierHead(16, 2))
    assert loss_after_training(classifier, *sweeps) < 0.05


def test_bad_volumes():
    with pytest.raises(ValueError, match=r"Expected 'volume' to be of shape \[B, T, 4, H, W\] \(got \[2, 4, 8, 8\]\)"):
        MeanPoolLSTM(4)(torch.rand(2, 4, 8, 8))
    with pytest.raises(ValueError, match=r"\[B, T, 4, H, W\] \(got \[2, 3, 5, 8, 8\]\)"):
        MeanPoolLSTM(4)(torch.rand(2, 3, 5, 8, 8))
