import pytest
import torch
from torch import nn

from rstg_pyg.models.frame_lstm import FrameLSTM


@pytest.mark.parametrize("in_channels", [4, 6])
@pytest.mark.parametrize("readout", ["last", "mean"])
def test_is_torchs_lstm_over_normalised_frames(in_channels, readout):
    model = FrameLSTM(in_channels, 4, input_norm="batch", readout=readout).double()
    lstm = nn.LSTM(4, 4, batch_first=True).double()
    lstm.load_state_dict(model.time.rnn.state_dict())
    frames = torch.randn(3, 5, in_channels, dtype=torch.float64)
    features = frames if in_channels == 4 else frames @ model.lin_in.weight.T + model.lin_in.bias
    mean, variance = features.mean(dim=(0, 1)), features.var(dim=(0, 1), correction=0)
    out, _ = lstm((features - mean) / (variance + 1e-5).sqrt())
    expected = out[:, -1] if readout == "last" else out.mean(dim=1)
    torch.testing.assert_close(model(frames), expected)


def test_errors():
    with pytest.raises(ValueError, match=r"Expected 'readout' to be one of \['last', 'mean'\] \(got 'sum'\)"):
        FrameLSTM(4, 4, readout="sum")
    with pytest.raises(ValueError, match=r"Expected 'norm' to be one of .*\(got 'group'\)"):
        FrameLSTM(4, 4, input_norm="group")
