import pytest
import torch

from rstg_pyg.models import GlobalAveragePool


def test_by_hand():
    volume = torch.zeros(1, 2, 2, 1, 3)  # one clip, two frames, two channels, three positions
    volume[0, 0, 0, 0] = torch.tensor([1.0, 2.0, 3.0])
    volume[0, 1, 1, 0, 2] = 12.0
    assert GlobalAveragePool()(volume).tolist() == [[1.0, 2.0]]


def test_bad_volumes():
    with pytest.raises(ValueError, match=r"Expected 'volume' to be of shape \[B, T, C, H, W\] \(got \[2, 4, 8, 8\]\)"):
        GlobalAveragePool()(torch.rand(2, 4, 8, 8))
