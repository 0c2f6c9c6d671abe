import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rstg_pyg import VideoClassifier
from rstg_pyg.models import ClassifierHead, GlobalAveragePool, NonLocalBlock, SmallI3D


def used(model):
    """A model in evaluation whose batch norms have seen something."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d):
            with torch.no_grad():
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.1)
                nn.init.normal_(module.running_mean, std=0.1)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model.double().eval()


def test_is_a_residual_network_written_out():
    model = used(SmallI3D(2, widths=(4, 6), blocks=(1, 2)))
    weights = model.state_dict()

    def conv(x, name, **options):
        return F.conv3d(x, weights[f"{name}.weight"], **options)

    def norm(x, name):
        mean, variance, weight, bias = (
            weights[f"{name}.{tensor}"][:, None, None, None]
            for tensor in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (variance + 1e-5).sqrt() * weight + bias

    def block(x, name, stride):
        out = norm(conv(x, f"{name}.conv1", stride=(1, stride, stride), padding=1), f"{name}.norm1").relu()
        out = norm(conv(out, f"{name}.conv2", padding=1), f"{name}.norm2")
        if stride == 2:
            x = norm(conv(x[..., ::2, ::2], f"{name}.shortcut.0"), f"{name}.shortcut.1")
        return (out + x).relu()

    video = torch.rand(2, 3, 2, 24, 32, dtype=torch.float64)
    x = norm(conv(video.transpose(1, 2), "stem.0", stride=(1, 2, 2), padding=(1, 2, 2)), "stem.1").relu()
    x = torch.stack([F.max_pool2d(frame, 3, stride=2, padding=1) for frame in x.unbind(dim=2)], dim=2)
    x = block(x, "stages.0.0", 1)
    x = block(block(x, "stages.1.0", 2), "stages.1.1", 1)
    assert x.shape == (2, 6, 3, 3, 4)
    torch.testing.assert_close(model(video), x.transpose(1, 2))
    assert (model.in_channels, model.out_channels) == (2, 6)


@torch.no_grad()
def test_sees_frames_alone_without_the_outer_slices_of_its_kernels():
    model = used(SmallI3D(widths=(4, 6), blocks=(1, 1)))
    video = torch.rand(2, 3, 1, 16, 16, dtype=torch.float64)
    alone = torch.cat([model(frame[:, None]) for frame in video.unbind(dim=1)], dim=1)
    assert (model(video) - alone).abs().max() > 1e-3
    for module in model.modules():
        if isinstance(module, nn.Conv3d) and module.kernel_size[0] == 3:
            module.weight[:, :, [0, 2]] = 0
    torch.testing.assert_close(model(video), torch.cat([model(frame[:, None]) for frame in video.unbind(dim=1)], dim=1))


@torch.no_grad()
@pytest.mark.parametrize(("non_local_stages", "reach"), [((), range(1, 8)), ((1,), range(9))])
def test_reaches_a_frame_further_with_each_convolution_and_everywhere_with_a_non_local_block(non_local_stages, reach):
    model = used(SmallI3D(widths=(8,), blocks=(1,), non_local_stages=non_local_stages))
    video = torch.rand(1, 9, 1, 16, 16, dtype=torch.float64)
    other = video.clone()
    other[:, 4] = torch.rand(1, 16, 16)
    changed = (model(other) - model(video)).abs().amax(dim=(0, 2, 3, 4)) > 0
    assert changed.nonzero().flatten().tolist() == list(reach)  # three convolutions on the way


@torch.no_grad()
def test_non_local_block_stands_in_its_stage_and_changes_nothing_at_first():
    model = SmallI3D(widths=(4, 6, 8), non_local_stages=(2,)).eval()
    video = torch.rand(1, 3, 1, 32, 32)
    before = model(video)
    assert [type(layer).__name__ for layer in model.stages[1]] == [
        "ResidualBlock3d",
        "NonLocalBlock",
        "ResidualBlock3d",
    ]
    assert sum(isinstance(module, NonLocalBlock) for module in model.modules()) == 1
    model.stages[1][1] = nn.Identity()
    assert torch.equal(model(video), before)


@pytest.mark.parametrize("non_local_stages", [(), (2,)])
def test_learns_what_only_the_order_of_the_frames_tells(non_local_stages, sweeps, loss_after_training):
    backbone = SmallI3D(widths=(4, 8), blocks=(1, 1), non_local_stages=non_local_stages)
    classifier = VideoClassifier(backbone, GlobalAveragePool(), ClassifierHead(8, 2))
    assert loss_after_training(classifier, *sweeps) < 0.05


def test_errors():
    with pytest.raises(ValueError, match=r"Expected 'widths' to hold the channels of at least one stage \(got \(\)\)"):
        SmallI3D(1, (), ())
    with pytest.raises(ValueError, match=r"Expected 'blocks' to be 2 positive numbers, as 'widths' \(got \[1\]\)"):
        SmallI3D(widths=(4, 4), blocks=[1])
    with pytest.raises(ValueError, match=r"Expected 'blocks' to be 2 positive numbers, as 'widths' \(got \[1, 0\]\)"):
        SmallI3D(widths=(4, 4), blocks=[1, 0])
    with pytest.raises(ValueError, match=r"Expected 'non_local_stages' to be in \[1, 3\] \(got \[0\]\)"):
        SmallI3D(non_local_stages=[0])
    with pytest.raises(ValueError, match=r"Expected 'video' to be of shape \[B, T, 1, H, W\] \(got \[2, 1, 32, 32\]\)"):
        SmallI3D()(torch.rand(2, 1, 32, 32))
    with pytest.raises(ValueError, match=r"Expected 'video' to be of shape \[B, T, 3, H, W\]"):
        SmallI3D(3)(torch.rand(2, 3, 1, 32, 32))
