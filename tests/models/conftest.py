"""What the tests of trainable models share."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F


@pytest.fixture(scope="session")
def loss_after_training():
    """Train a classifier on one batch; gives the last loss."""

    def train(classifier, video, label):
        optimizer = torch.optim.Adam(classifier.parameters(), lr=3e-3)
        for _ in range(150):
            loss = F.cross_entropy(classifier(video), label)
            if loss < 0.05:
                break
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return loss

    return train


@pytest.fixture
def sweeps():
    """Sixteen videos that differ by the order of their frames alone, and their classes."""
    label = torch.arange(16) % 2
    frames = torch.rand(16, 4, 1, 16, 16) * 0.2
    sweep = torch.zeros(4, 1, 16, 16)
    for t in range(4):
        sweep[t, :, :, 4 * t : 4 * t + 4] = 1.0  # a bar that moves to the right: class 0; backwards: class 1
    return frames + torch.where(label[:, None, None, None, None] == 0, sweep, sweep.flip(0)), label


@pytest.fixture(scope="session")
def shuffle_pixels():
    """Give every frame of a volume ``[B, T, C, H, W]`` an order of its pixels of its own."""

    def shuffle(volume):
        order = torch.rand(*volume.shape[:2], 1, volume.shape[-2] * volume.shape[-1]).argsort(dim=-1)
        pixels = volume.flatten(start_dim=3)
        return pixels.gather(-1, order.expand_as(pixels)).view_as(volume)

    return shuffle


@pytest.fixture(scope="session")
def used():
    """Put a model into evaluation, trained as it were: no norm is as it was made, non-local blocks do something."""

    def use(model):
        for module in model.modules():
            if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)):
                with torch.no_grad():
                    nn.init.uniform_(module.weight, 0.5, 1.0)
                    nn.init.normal_(module.bias, std=0.1)
                    nn.init.normal_(module.running_mean, std=0.1)
                    nn.init.uniform_(module.running_var, 0.5, 1.5)
        return model.eval()

    return use
