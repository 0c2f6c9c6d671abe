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


def test_residual_blocks_are_the_identity_until_they_are_trained():
    plain, cnn = SmallCNN(widths=(4, 6)), SmallCNN(widths=(4, 6), num_blocks=2)
    assert not cnn.load_state_dict(plain.state_dict(), strict=False).unexpected_keys
    video = torch.rand(2, 3, 1, 16, 12)
    torch.testing.assert_close(cnn(video), plain(video), rtol=0, atol=0)
    block = cnn.blocks[1]
    with torch.no_grad():
        block.conv2.weight.normal_()
        block.conv2.bias.normal_()
    x = plain(video).flatten(end_dim=1)
    inner = F.conv2d(x, block.conv1.weight, block.conv1.bias, padding=1).relu()
    expected = (x + F.conv2d(inner, block.conv2.weight, block.conv2.bias, padding=1)).relu()
    torch.testing.assert_close(cnn(video).flatten(end_dim=1), expected)


def test_blocks_after_each_layer():
    plain, cnn = SmallCNN(widths=(4, 6, 5)), SmallCNN(widths=(4, 6, 5), num_blocks=(1, 2, 1))
    assert not cnn.load_state_dict(plain.state_dict(), strict=False).unexpected_keys
    video = torch.rand(2, 3, 1, 16, 24)
    torch.testing.assert_close(cnn(video), plain(video), rtol=0, atol=0)
    last = SmallCNN(widths=(4, 6, 5), num_blocks=(0, 0, 1))
    assert last.state_dict().keys() == SmallCNN(widths=(4, 6, 5), num_blocks=1).state_dict().keys()
    with torch.no_grad():
        for parameter in cnn.parameters():
            parameter.normal_(std=0.3)
    frames = video.flatten(end_dim=1)
    for conv, blocks in zip(cnn.convs, [*cnn.inner_blocks, cnn.blocks], strict=True):
        frames = blocks(F.max_pool2d(conv(frames), 2).relu())
    torch.testing.assert_close(cnn(video).flatten(end_dim=1), frames)


def test_coordinates_are_added_before_the_blocks():
    plain, cnn = SmallCNN(widths=(4, 6), num_blocks=1), SmallCNN(widths=(4, 6), num_blocks=1, coordinates=True)
    added = cnn.load_state_dict(plain.state_dict(), strict=False)
    assert added.missing_keys == ["coordinates.conv.weight", "coordinates.conv.bias"]
    assert not added.unexpected_keys
    video = torch.rand(2, 3, 1, 8, 16)  # a map of two rows and four columns
    torch.testing.assert_close(cnn(video), plain(video), rtol=0, atol=0)
    row, column = torch.rand(6), torch.rand(6)
    with torch.no_grad():
        cnn.coordinates.conv.weight.copy_(torch.stack([row, column], dim=1)[..., None, None])
    rows = torch.tensor([-0.5, 0.5]).view(2, 1)
    columns = torch.tensor([-0.75, -0.25, 0.25, 0.75])
    plane = row[:, None, None] * rows + column[:, None, None] * columns
    features = SmallCNN(widths=(4, 6))
    features.load_state_dict(plain.state_dict(), strict=False)
    torch.testing.assert_close(cnn(video).flatten(end_dim=1), cnn.blocks(features(video).flatten(end_dim=1) + plane))


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"Expected 'widths' to hold .* at least one layer \(got \[\]\)"):
        SmallCNN(widths=[])
    for wrong in (-1, (1, 1), (1, -1, 1), ()):
        with pytest.raises(ValueError, match=r"Expected 'num_blocks' to be non-negative, one for each of 3 layers"):
            SmallCNN(num_blocks=wrong)
    for none in (0, (1, 1, 0)):
        with pytest.raises(ValueError, match=r"Expected 'num_blocks' to end with a positive number, as 'coordinates'"):
            SmallCNN(num_blocks=none, coordinates=True)


def test_bad_videos():
    with pytest.raises(ValueError, match=r"Expected 'video' to be of shape \[B, T, 1, H, W\] \(got \[2, 3, 32, 32\]\)"):
        SmallCNN()(torch.rand(2, 3, 32, 32))
    with pytest.raises(ValueError, match=r"Expected 'video' to be of shape \[B, T, 3, H, W\]"):
        SmallCNN(3)(torch.rand(2, 3, 1, 32, 32))
