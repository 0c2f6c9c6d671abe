import pytest
import torch
from torch.nn import functional as F

from rstg_pyg.models import SmallCNN


def test_is_convolution_relu_and_pooling_of_each_frame(device):
    cnn = SmallCNN(1, widths=(4, 6, 8)).double().to(device)
    video = torch.rand(2, 3, 1, 32, 24, dtype=torch.float64, device=device)
    out = cnn(video)
    assert out.shape == (2, 3, 8, 4, 3)
    assert cnn.out_channels == 8
    frame = video[1, 2][None]
    for conv in cnn.convs:
        frame = F.max_pool2d(F.conv2d(frame, conv.weight, conv.bias, padding=1).relu(), 2)
    torch.testing.assert_close(out[1, 2], frame[0])


def test_bad_videos():
    with pytest.raises(ValueError, match=r"Expected 'video' to be of shape \[B, T, 1, H, W\] \(got \[2, 3, 32, 32\]\)"):
        SmallCNN()(torch.rand(2, 3, 32, 32))
    with pytest.raises(ValueError, match=r"Expected 'video' to be of shape \[B, T, 3, H, W\]"):
        SmallCNN(3)(torch.rand(2, 3, 1, 32, 32))
