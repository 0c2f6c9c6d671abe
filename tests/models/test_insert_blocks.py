import copy
import pickle

import pytest
import torch
from torch import nn
from torchvision.models import resnet18
from torchvision.models.video import mc3_18, r2plus1d_18, r3d_18, s3d

from rstg_pyg import RSTGBlock
from rstg_pyg.models import FrameByFrame, insert_blocks

RESNET_PLACES = {"stem": 64, "layer1": 64, "layer2": 128, "layer2.0.conv1": 128, "layer3": 256, "layer4": 512}
S3D_PLACES = {"features.0": 64, "features.1": 64, "features.5": 256, "features.6.branch1": 192, "features.12": 832}
PLACES = {r3d_18: RESNET_PLACES, mc3_18: RESNET_PLACES, r2plus1d_18: RESNET_PLACES, s3d: S3D_PLACES}


def block_for(channels):
    return RSTGBlock(channels, 8, num_iterations=1)


def woken(block):
    """A block that is no longer the identity."""
    nn.init.ones_(block.norm.weight)
    return block


@torch.no_grad()
@pytest.mark.parametrize("build", PLACES)
def test_output_is_unchanged_at_first_and_changes_with_each_block(build):
    network = build(num_classes=4)
    network.avgpool = nn.AdaptiveAvgPool3d(1)  # S3D's own wants 224×224
    names = list(network.state_dict())
    video = torch.rand(2, 3, 4 if build is not s3d else 8, 48, 48)
    plain = copy.deepcopy(network)
    blocks = {place: block_for(channels) for place, channels in PLACES[build].items()}
    assert insert_blocks(network, blocks) is network
    assert [name for name in network.state_dict() if not name.startswith("inserted_blocks.")] == names
    for training in (False, True):
        outs = []
        for model in (plain, network):
            torch.manual_seed(1)  # S3D has dropout
            outs.append(model.train(training)(video))
        torch.testing.assert_close(outs[1], outs[0], rtol=1e-5, atol=1e-6)
    for block in blocks.values():
        woken(block)
        torch.manual_seed(1)
        assert (network(video) - outs[0]).abs().max() > 1e-3
        nn.init.zeros_(block.norm.weight)


@torch.no_grad()
def test_volumes_of_3d_convolutions():
    first, second = nn.Conv3d(3, 4, 3), nn.Conv3d(4, 5, 3)
    block = woken(block_for(4))
    video = torch.rand(2, 3, 6, 9, 8)
    expected = second(block(first(video).transpose(1, 2)).transpose(1, 2))
    torch.testing.assert_close(insert_blocks(nn.Sequential(first, second), {"0": block})(video), expected)


@torch.no_grad()
def test_volumes_with_time_before_channels():
    block = woken(block_for(4))
    first = FrameByFrame(nn.Conv2d(3, 4, 3))
    video = torch.rand(2, 5, 3, 9, 8)
    expected = block(first(video)).relu()
    network = nn.Sequential(first, nn.ReLU())
    torch.testing.assert_close(insert_blocks(network, {"0": block}, time_dim=1)(video), expected)


@torch.no_grad()
def test_frames_of_a_2d_resnet():
    resnet = resnet18(num_classes=4).eval()
    plain = copy.deepcopy(resnet)
    block = block_for(128)
    network = insert_blocks(FrameByFrame(resnet), {"network.layer2": block})
    for num_frames in (5, 3):  # T is the video's
        video = torch.rand(2, num_frames, 3, 32, 32)
        frames = video.flatten(end_dim=1)
        nn.init.zeros_(block.norm.weight)
        torch.testing.assert_close(network(video), plain(frames).unflatten(0, (2, num_frames)))

        woken(block)
        x = plain.maxpool(plain.relu(plain.bn1(plain.conv1(frames))))
        x = plain.layer2(plain.layer1(x))
        x = block(x.unflatten(0, (2, num_frames))).flatten(end_dim=1)
        x = plain.fc(plain.layer4(plain.layer3(x)).mean(dim=(2, 3)))
        torch.testing.assert_close(network(video), x.unflatten(0, (2, num_frames)))


@torch.no_grad()
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))])
def test_a_copy_has_blocks_of_its_own(duplicate):
    block = block_for(4)
    network = insert_blocks(nn.Sequential(nn.Conv3d(3, 4, 1)), {"0": block})
    video = torch.rand(1, 3, 2, 6, 6)
    before, other = network(video), duplicate(network)
    woken(block)
    torch.testing.assert_close(other(video), before)
    woken(other.inserted_blocks["0"])
    torch.testing.assert_close(other(video), network(video))
    assert (network(video) - before).abs().max() > 1e-3


def test_blocks_are_learnt_with_the_network():
    network = insert_blocks(r3d_18(num_classes=2), {"layer1": block_for(64)})
    network(torch.rand(2, 3, 4, 16, 16)).square().sum().backward()
    assert network.inserted_blocks["layer1"].norm.weight.grad.abs().max() > 0


def test_bad_places():
    with pytest.raises(ValueError, match=r"sub-modules of ResNet, such as \['layer\d'.*\] \(got 'layer5'\)"):
        insert_blocks(resnet18(), {"layer5": block_for(4)})
    with pytest.raises(ValueError, match=r"sub-modules of S3D, such as \['features', 'avgpool', 'classifier'\]"):
        insert_blocks(s3d(), {"xyz": block_for(4)})
    with pytest.raises(ValueError, match=r"runs itself, such as \['1.0'\] \(got '1', a container\)"):
        insert_blocks(nn.Sequential(nn.ReLU(), nn.ModuleList([nn.ReLU()])), {"1": block_for(4)})
    with pytest.raises(ValueError, match=r"Expected 'blocks' to hold blocks, each of them once \(got \[\]\)"):
        insert_blocks(resnet18(), {})
    with pytest.raises(TypeError, match=r"Expected 'blocks' to be a mapping of places to blocks \(got list\)"):
        insert_blocks(resnet18(), [block_for(4)])
    block = block_for(4)
    with pytest.raises(ValueError, match=r"each of them once \(got \['layer1', 'layer2'\]\)"):
        insert_blocks(resnet18(), {"layer1": block, "layer2": block})
    with pytest.raises(ValueError, match=r"Expected 'time_dim' to be one of \[1, 2\] \(got 0\)"):
        insert_blocks(resnet18(), {"layer1": block}, time_dim=0)
    network = insert_blocks(resnet18(), {"layer1.0": block})
    with pytest.raises(ValueError, match=r"without blocks yet \(got one with blocks behind \['layer1.0'\]\)"):
        insert_blocks(network, {"layer2": block_for(4)})


def test_bad_volumes():
    frames = torch.rand(4, 3, 32, 32)
    with pytest.raises(ValueError, match=r"given a video \[B, T, channels, H, W\], as 'layer1' gives single frames"):
        insert_blocks(resnet18(), {"layer1": block_for(64)})(frames)
    with pytest.raises(ValueError, match=r"Expected 'fc' to give a volume, .* \(got \[4, 1000\]\)"):
        insert_blocks(resnet18(), {"fc": block_for(64)})(frames)
    with pytest.raises(ValueError, match=r"Expected '0' to give 2 · 3 frames, .* \(got 2\)"):
        insert_blocks(nn.Sequential(nn.Flatten(1, 2)), {"0": block_for(64)})(torch.rand(2, 3, 4, 5, 6))
    with pytest.raises(ValueError, match=r"Expected the block behind '0' to give \[2, 4, 3, 5, 6\], as it got"):
        insert_blocks(nn.Sequential(nn.ReLU()), {"0": nn.Flatten(3)})(torch.rand(2, 3, 4, 5, 6))
    with pytest.raises(ValueError, match=r"Expected 'volume' to have 4 channels \(got 3\)") as error:
        insert_blocks(nn.Sequential(nn.ReLU()), {"0": block_for(4)})(torch.rand(2, 3, 4, 5, 6))
    assert error.value.__notes__ == ["In the block behind '0', which gave [2, 3, 4, 5, 6]"]
