import itertools
import math

import pytest
import torch
from torch import nn

from rstg_pyg.models import NonLocalBlock


def trained(block):
    """A block that is no longer the identity, with statistics of its own."""
    with torch.no_grad():
        for tensor in (block.norm.weight, block.norm.bias, block.norm.running_mean):
            nn.init.normal_(tensor)
        nn.init.uniform_(block.norm.running_var, 0.5, 2.0)
    return block.double().eval()


def slow_block(block, volume, window):
    """Equations 1, 4 and 6 of Wang et al., position by position; φ and g read maxima over ``window`` in space."""

    def embed(conv, x):
        return conv.weight.flatten(start_dim=1) @ x + conv.bias

    def positions(height, width):
        return list(itertools.product(range(volume.size(2)), range(height), range(width)))

    def pooled(conv, clip, t, y, x):
        cells = itertools.product(range(y * window, (y + 1) * window), range(x * window, (x + 1) * window))
        return embed(conv, torch.stack([clip[:, t, row, column] for row, column in cells]).amax(dim=0))

    height, width = volume.shape[-2:]
    norm, out = block.norm, volume.clone()
    for b, clip in enumerate(volume):
        heard = positions(height // window, width // window)
        keys = [pooled(block.phi, clip, *j) for j in heard]
        values = [pooled(block.g, clip, *j) for j in heard]
        for t, y, x in positions(height, width):
            query = embed(block.theta, clip[:, t, y, x])
            weights = [math.exp(query @ key) for key in keys]
            gathered = sum(w * value for w, value in zip(weights, values, strict=True)) / sum(weights)
            z = embed(block.out, gathered)
            z = (z - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
            out[b, :, t, y, x] += z
    return out


@torch.no_grad()
@pytest.mark.parametrize("sub_sample", [False, True])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize(("channels", "inner_channels", "size"), [(6, None, (3, 2, 4)), (4, 3, (1, 5, 3))])
def test_is_the_equations_position_by_position(channels, inner_channels, size, memory_format, sub_sample):
    block = trained(NonLocalBlock(channels, inner_channels, sub_sample))
    assert block.theta.out_channels == 3  # half of 6, or as told
    volume = torch.randn(2, channels, *size, dtype=torch.float64).contiguous(memory_format=memory_format)
    torch.testing.assert_close(block(volume), slow_block(block, volume, window=2 if sub_sample else 1))


@pytest.mark.parametrize("sub_sample", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_starts_as_the_identity_and_leaves_it(training, sub_sample, device):
    block = NonLocalBlock(8, sub_sample=sub_sample).to(device).train(training)
    volume = torch.randn(2, 8, 3, 4, 4, device=device)
    assert torch.equal(block(volume), volume)
    block(volume).square().sum().backward()
    assert block.norm.weight.grad.abs().min() > 0


@torch.no_grad()
def test_positions_have_no_order():
    block = trained(NonLocalBlock(4))
    volume = torch.randn(2, 4, 3, 4, 5, dtype=torch.float64)
    order = torch.randperm(3 * 4 * 5)

    def permute(x):
        return x.flatten(start_dim=2)[..., order].view_as(x)

    torch.testing.assert_close(block(permute(volume)), permute(block(volume)))
    assert (block(permute(volume)) - block(volume)).abs().max() > 1e-3


def test_bad_volumes():
    with pytest.raises(ValueError, match=r"Expected 'volume' to be of shape \[B, 4, T, H, W\] \(got \[2, 4, 8, 8\]\)"):
        NonLocalBlock(4)(torch.rand(2, 4, 8, 8))
    with pytest.raises(ValueError, match=r"\[B, 4, T, H, W\] \(got \[2, 10, 4, 8, 8\]\)"):
        NonLocalBlock(4)(torch.rand(2, 10, 4, 8, 8))
    with pytest.raises(ValueError, match=r"at least 2 rows and columns, to be sub-sampled \(got \[2, 4, 3, 1, 8\]\)"):
        NonLocalBlock(4, sub_sample=True)(torch.rand(2, 4, 3, 1, 8))
