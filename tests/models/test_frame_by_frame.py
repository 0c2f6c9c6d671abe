import pytest
import torch
from torch import nn

from rstg_pyg.models import FrameByFrame


def test_every_frame_is_an_image():
    image_network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    video = torch.rand(2, 5, 3, 8, 9)
    out = FrameByFrame(image_network)(video)
    torch.testing.assert_close(out, torch.stack([image_network(frame) for frame in video.unbind(dim=1)], dim=1))


def test_bad_video():
    with pytest.raises(ValueError, match=r"Expected 'video' to be of shape \[B, T, channels, H, W\] \(got \[2, 3, 8"):
        FrameByFrame(nn.Identity())(torch.rand(2, 3, 8, 9))
