import sys

import pytest
import torch
from torch import nn
from torchvision.models import get_model

from rstg_pyg import RSTGBlock, VideoClassifier
from rstg_pyg.models import ClassifierHead, TorchvisionBackbone, load_pretrained
from rstg_pyg.models.class_tree import build
from rstg_pyg.nn import RSTGToVec
from rstg_pyg.streaming.readiness import check_ready

KINETICS = torch.tensor([[0.43216, 0.394666, 0.37645], [0.22803, 0.22145, 0.216989]])
IMAGENET = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])
# Normalisation, frames that are left of 8, channels, a layer and its channels.
NETWORKS = {
    "mc3_18": (KINETICS, 8, 512, "layer2", 128),
    "r2plus1d_18": (KINETICS, 1, 512, "layer2", 128),
    "s3d": (KINETICS, 1, 1024, "features.5", 256),
    "resnet18": (IMAGENET, 8, 512, "layer2", 128),
}


@torch.no_grad()
@pytest.mark.parametrize("network", NETWORKS)
def test_is_torchvisions_network_up_to_its_pool_and_a_block_changes_what_follows(used, network, tmp_path):
    (mean, std), num_frames, channels, place, inner_channels = NETWORKS[network]
    whole = used(get_model(network, weights=None, num_classes=5))
    torch.save(whole.state_dict(), tmp_path / "weights.pth")
    block = RSTGBlock(inner_channels, 8, num_iterations=1)
    backbone = TorchvisionBackbone(network, blocks={place: block}).eval()
    report = load_pretrained(backbone, tmp_path / "weights.pth")
    assert report.layout == f"torchvision's {network}"
    assert {name.split(".")[0] for name in report.left_out} == {"classifier" if network == "s3d" else "fc"}
    assert {name.split(".")[0] for name in report.new} == {"inserted_blocks"}
    assert sorted([*report.matched, *report.new]) == sorted(backbone.state_dict())

    video = torch.rand(1, 8, 3, 48, 48)
    inputs = (video - mean[:, None, None]) / std[:, None, None]
    inputs = inputs.flatten(end_dim=1) if network == "resnet18" else inputs.transpose(1, 2)
    seen = []
    whole.avgpool.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    if network == "s3d":
        whole.avgpool = nn.Identity()  # its own wants 224×224
        seen.append(whole.features(inputs))
    else:
        whole(inputs)
    expected = seen[0][None] if network == "resnet18" else seen[0].transpose(1, 2)
    out = backbone(video)
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)
    assert out.shape[:3] == (1, num_frames, channels)
    assert backbone.out_channels == channels
    nn.init.constant_(block.norm.weight, 10.0)
    assert (backbone(video) - out).abs().max() > 1e-5


def test_classifier_from_plain_values_trains_with_frozen_batch_norms():
    block = {"class_path": "rstg_pyg.nn.RSTGBlock", "init_args": {"channels": 128, "node_channels": 8}}
    options = {"network": "resnet18", "freeze_batch_norm": True, "blocks": {"layer2": block}}
    backbone = build({"class_path": "rstg_pyg.models.TorchvisionBackbone", "init_args": options})
    before = {name: value.clone() for name, value in backbone.state_dict().items() if "running" in name}
    backbone(torch.rand(1, 2, 3, 48, 48)).mean().backward()
    assert all(torch.equal(backbone.state_dict()[name], value) for name, value in before.items())
    assert all(parameter.grad is not None for parameter in backbone.parameters())


@torch.no_grad()
def test_image_networks_read_frames_alone_and_can_be_streamed():
    model = VideoClassifier(
        TorchvisionBackbone("resnet18"), RSTGToVec(channels=512, node_channels=8), ClassifierHead(8, 3)
    ).eval()
    video = torch.rand(1, 3, 3, 96, 96)
    check_ready(model, video[:, 0])
    state = None
    for frame in video.unbind(dim=1):
        scores, state = model.step(frame, state)
    torch.testing.assert_close(scores, model(video), rtol=1e-4, atol=1e-5)


def test_weights_by_name_are_torchvisions(monkeypatch):
    from torchvision.models import ResNet18_Weights

    asked = []

    def get_state_dict(weights, **_):
        asked.append(weights)
        return get_model("resnet18", weights=None).state_dict()

    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", get_state_dict)
    assert load_pretrained(TorchvisionBackbone("resnet18"), "IMAGENET1K_V1").is_complete
    assert load_pretrained(TorchvisionBackbone("resnet18"), "DEFAULT").is_complete
    assert asked == [ResNet18_Weights.IMAGENET1K_V1, ResNet18_Weights.DEFAULT]


def test_errors():
    with pytest.raises(ValueError, match=r"Expected 'network' to be one of \['r3d_18', .*\(got 'r3d'\)"):
        TorchvisionBackbone("r3d")
    with pytest.raises(ValueError, match=r"Expected 'in_channels' to be 3, .* \(got 1\)"):
        TorchvisionBackbone("resnet18", in_channels=1)
    backbone = TorchvisionBackbone("resnet18")
    with pytest.raises(
        FileNotFoundError,
        match=r"Expected 'source' to be one of \['IMAGENET1K_V1', 'DEFAULT'\], .* \(got 'KINETICS400_V1'\)",
    ):
        load_pretrained(backbone, "KINETICS400_V1")
    with pytest.raises(ValueError, match=r"Expected 'video' to be of shape \[B, T, 3, H, W\]"):
        backbone(torch.rand(2, 3, 32, 32))


def test_without_torchvision_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    with pytest.raises(ImportError, match="TorchvisionBackbone needs torchvision: pip install torchvision"):
        TorchvisionBackbone("resnet18")
