import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rstg_pyg import VideoClassifier
from rstg_pyg.models import ClassifierHead, ConvNetLSTM, SmallCNN


@pytest.mark.parametrize(("map_size", "left"), [(8, 2), (7, 2), (4, 1), (1, 1)])
def test_is_convolutions_then_torchs_lstm(map_size, left):
    model = ConvNetLSTM(3, hidden_channels=4, widths=(5, 6), map_size=map_size).double()
    lstm = nn.LSTM(4, 4, batch_first=True).double()
    lstm.load_state_dict(model.lstm.time.rnn.state_dict())
    volume = torch.randn(2, 3, 3, map_size, map_size, dtype=torch.float64)
    frames = []
    for frame in volume.unbind(dim=1):
        for conv in model.convs:
            frame = F.conv2d(frame, conv.weight, conv.bias, stride=2, padding=1).relu()
        assert frame.shape == (2, 6, left, left)
        frames.append(F.linear(frame.reshape(2, -1), model.lstm.lin_in.weight, model.lstm.lin_in.bias))
    torch.testing.assert_close(model(volume), lstm(torch.stack(frames, dim=1))[0][:, -1])


def test_is_as_wide_as_its_features_unless_told():
    model = ConvNetLSTM(6)
    assert [conv.out_channels for conv in model.convs] == [6, 6]
    assert model(torch.rand(2, 3, 6, 8, 8)).shape == (2, 6)


def test_no_layers_read_the_features_themselves():
    model, volume = ConvNetLSTM(2, hidden_channels=4, widths=(), map_size=3), torch.rand(2, 5, 2, 3, 3)
    torch.testing.assert_close(model(volume), model.lstm(volume.flatten(start_dim=2)))


def test_sees_where(shuffle_pixels):
    model = ConvNetLSTM(4, 8).double()
    volume = torch.randn(2, 3, 4, 8, 8, dtype=torch.float64)
    assert (model(shuffle_pixels(volume)) - model(volume)).abs().max() > 1e-3


def test_learns_what_only_the_order_of_the_frames_tells(sweeps, loss_after_training):
    graph = ConvNetLSTM(16, map_size=2, widths=(16,), input_norm="layer")
    classifier = VideoClassifier(SmallCNN(1, widths=(8, 8, 16)), graph, ClassifierHead(16, 2))
    assert loss_after_training(classifier, *sweeps) < 0.05


def test_bad_volumes():
    with pytest.raises(ValueError, match=r"Expected 'volume' to be of shape \[B, T, 4, 8, 8\] \(got \[2, 4, 8, 8\]\)"):
        ConvNetLSTM(4)(torch.rand(2, 4, 8, 8))
    with pytest.raises(ValueError, match=r"\[B, T, 4, 8, 8\] \(got \[2, 3, 4, 4, 4\]\)"):
        ConvNetLSTM(4)(torch.rand(2, 3, 4, 4, 4))
