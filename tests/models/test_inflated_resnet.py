import pytest
import torch
import torchvision
from torch import nn

from rstg_pyg import RSTGBlock, VideoClassifier, summary
from rstg_pyg.models import ClassifierHead, GlobalAveragePool, InflatedResNet, NonLocalBlock
from rstg_pyg.models.class_tree import build

PLAIN = {"mean": 0.0, "std": 1.0}
I3D_KERNELS = {"res2": [3, 3, 3], "res3": [3, 1, 3, 1], "res4": [3, 1, 3, 1, 3, 1], "res5": [1, 3, 1]}


@torch.no_grad()
def inflate(model, resnet):
    """Give a network torchvision's convolutions and norms, which stand in the same order, whatever they are called."""
    for kind, kind3d in ((nn.Conv2d, nn.Conv3d), (nn.BatchNorm2d, nn.BatchNorm3d)):
        flat, deep = ([m for m in net.modules() if isinstance(m, k)] for net, k in ((resnet, kind), (model, kind3d)))
        for one, other in zip(flat, deep, strict=True):
            state = one.state_dict()
            if kind is nn.Conv2d:
                state["weight"] = torch.stack([state["weight"] / other.kernel_size[0]] * other.kernel_size[0], dim=2)
            other.load_state_dict(state)


@torch.no_grad()
@pytest.mark.parametrize("depth", [18, 50])
def test_on_a_still_video_is_torchvisions_network_on_the_frame(used, depth):
    resnet = used(getattr(torchvision.models, f"resnet{depth}")(weights=None))
    frame = torch.rand(1, 3, 32, 64)
    expected = nn.Sequential(*list(resnet.children())[:-2])(frame)
    # The zeros before and after the clip reach 2 frames in by I3D's stem and 3 by res2, then 6 of the halved frames.
    for inflation, num_frames in (("c2d", 2), ("i3d", 38)):
        model = InflatedResNet(3, inflation, depth, **PLAIN).eval()
        inflate(model, resnet)
        out = model(frame[:, None].expand(-1, num_frames, -1, -1, -1))
        assert out.shape == (1, num_frames // 2, *expected.shape[1:])
        torch.testing.assert_close(out[:, num_frames // 4], expected, rtol=1e-4, atol=1e-4)


def test_parameters_are_torchvisions_and_those_of_the_temporal_kernels():
    with torch.device("meta"):
        for depth in (18, 50):
            resnet = getattr(torchvision.models, f"resnet{depth}")(weights=None)
            del resnet.fc
            expected = sum(parameter.numel() for parameter in resnet.parameters())
            model = InflatedResNet(3, "c2d", depth)
            assert sum(parameter.numel() for parameter in model.parameters()) == expected
        model = InflatedResNet(3, "i3d")
    assert {
        stage: [block.conv1.kernel_size[0] for block in getattr(model, stage).children()] for stage in I3D_KERNELS
    } == I3D_KERNELS
    temporal = 4 * 49 * 3 * 64  # of five slices, four more than C2D
    temporal += 2 * (64 * 64 + 2 * 256 * 64)  # of three, two more
    temporal += 2 * (256 * 128 + 512 * 128)
    temporal += 2 * (512 * 256 + 2 * 1024 * 256)
    temporal += 2 * 2048 * 512
    assert sum(parameter.numel() for parameter in model.parameters()) == expected + temporal


def test_costs_are_those_of_pytorchvideos_model_zoo():
    # Its table "Kinetics-400" gives C2D R50 and I3D R50 24.33 and 28.04 M parameters, and for 8 frames of 256×256 25.89
    # and 37.53 G, counted by fvcore, which takes 5 for each number that a batch norm gives.
    normed = []
    for inflation, parameters, published in (("c2d", 24.33, 25.89), ("i3d", 28.04, 37.53)):
        normed.clear()
        with torch.device("meta"):
            model = VideoClassifier(InflatedResNet(3, inflation), GlobalAveragePool(), ClassifierHead(2048, 400))
            for module in model.modules():
                if isinstance(module, nn.BatchNorm3d):
                    module.register_forward_hook(lambda module, inputs, out: normed.append(out.numel()))
            costs = summary(model, torch.rand(1, 8, 3, 256, 256))
        assert costs.parameters / 1e6 == pytest.approx(parameters, abs=0.005)
        assert (costs.multiply_adds + 5 * sum(normed)) / 1e9 == pytest.approx(published, abs=0.005)


def test_non_local_blocks_stand_behind_every_second_block_and_change_nothing_at_first():
    with torch.device("meta"):
        large, plain = InflatedResNet(non_local=True), InflatedResNet()
    added = [name for name, module in large.named_modules() if isinstance(module, NonLocalBlock)]
    assert added == ["res3.non_local1", "res3.non_local3", "res4.non_local1", "res4.non_local3", "res4.non_local5"]
    assert list(dict(large.res3.named_children())) == ["0", "1", "non_local1", "2", "3", "non_local3"]
    sizes = [sum(parameter.numel() for parameter in model.parameters()) for model in (large, plain)]
    assert sizes[0] - sizes[1] == sum(n * (4 * c * c // 2 + 3 * c // 2 + 3 * c) for n, c in ((2, 512), (3, 1024)))

    model = InflatedResNet(width=4, non_local=True).eval()
    video = torch.rand(1, 4, 3, 64, 64)
    with torch.no_grad():
        before = model(video)
        for name in added:
            stage, _, block = name.partition(".")
            setattr(getattr(model, stage), block, nn.Identity())
        assert torch.equal(model(video), before)


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({}, (2, 2, 128, 2, 3)),
        ({"res5_stride": 1}, (2, 2, 128, 4, 6)),
        ({"depth": 18}, (2, 2, 32, 2, 3)),
        ({"inflation": "c2d", "in_channels": 1}, (2, 2, 128, 2, 3)),
        ({"pool_padding": 0}, (2, 2, 128, 2, 3)),
    ],
)
def test_shapes(options, shape):
    model = InflatedResNet(width=4, **options)
    sizes = {}
    for stage in ("stem", "res2", "pool2", "res3", "res4", "res5"):
        getattr(model, stage).register_forward_hook(
            lambda module, inputs, out, stage=stage: sizes.__setitem__(stage, tuple(out.shape[2:]))
        )
    out = model(torch.rand(2, 5, model.in_channels, 64, 96))
    assert out.shape == shape
    assert model.out_channels == shape[2]
    height, width = (15, 23) if "pool_padding" in options else (16, 24)
    assert sizes["stem"] == sizes["res2"] == (5, height, width)
    assert sizes["pool2"] == (2, height, width)
    assert (sizes["res3"], sizes["res4"], sizes["res5"]) == ((2, 8, 12), (2, 4, 6), (2, *shape[3:]))


@torch.no_grad()
def test_takes_mean_and_deviation_away():
    model = InflatedResNet(3, "c2d", 18, 4, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7)).eval()
    plain = InflatedResNet(3, "c2d", 18, 4, **PLAIN).eval()
    plain.load_state_dict(model.state_dict())
    video = torch.rand(1, 2, 3, 32, 32)
    channels = [(video[:, :, c] - 0.1 * (c + 1)) / (0.5 + 0.1 * c) for c in range(3)]
    torch.testing.assert_close(model(video), plain(torch.stack(channels, dim=2)))


def test_frozen_batch_norms_keep_their_statistics_and_learn_their_scale():
    video = torch.rand(2, 2, 3, 32, 32)
    for freeze in (True, False):
        model = InflatedResNet(3, "c2d", 18, 4, freeze_batch_norm=freeze)
        before = {name: value.clone() for name, value in model.state_dict().items() if "running" in name}
        out = model(video)
        after = model.state_dict()
        assert all(torch.equal(after[name], value) for name, value in before.items()) == freeze
        out.square().sum().backward()
        assert model.stem[1].weight.grad.abs().max() > 0
    frozen = InflatedResNet(3, "c2d", 18, 4, freeze_batch_norm=True)
    assert torch.equal(frozen.train()(video), frozen.eval()(video))
    assert frozen.train().training


@torch.no_grad()
def test_graph_before_the_last_block_of_a_stage(used):
    blocks = {"res2.1": RSTGBlock(16, 8), "res3.2": RSTGBlock(32, 8), "res4.4": RSTGBlock(64, 8)}
    model = used(InflatedResNet(width=4, blocks=blocks))
    plain = InflatedResNet(width=4).eval()
    missing, unexpected = plain.load_state_dict(model.state_dict(), strict=False)
    assert missing == []
    assert {name.split(".")[0] for name in unexpected} == {"inserted_blocks"}
    video = torch.rand(1, 4, 3, 64, 64)
    torch.testing.assert_close(model(video), plain(video))

    for block in blocks.values():
        nn.init.ones_(block.norm.weight)
    x = plain.stem(((video - 0.45) / 0.225).transpose(1, 2))
    for stage, last in (("res2", 2), ("res3", 3), ("res4", 5)):
        *layers, after = getattr(plain, stage)
        x = nn.Sequential(*layers)(x).transpose(1, 2)
        assert x.size(1) == (4 if stage == "res2" else 2)
        x = after(blocks[f"{stage}.{last - 1}"](x).transpose(1, 2))
        x = plain.pool2(x) if stage == "res2" else x
    torch.testing.assert_close(model(video), plain.res5(x).transpose(1, 2))


def test_with_blocks_from_a_config():
    block = {"class_path": "rstg_pyg.nn.RSTGBlock", "init_args": {"channels": 32, "node_channels": 8}}
    init_args = {"depth": 50, "width": 4, "blocks": {"res3.2": block}}
    model = build({"class_path": "rstg_pyg.models.InflatedResNet", "init_args": init_args})
    assert [type(inserted) for inserted in model.inserted_blocks.values()] == [RSTGBlock]


def test_errors():
    with pytest.raises(ValueError, match=r"Expected 'inflation' to be one of \['c2d', 'i3d'\] \(got 'p3d'\)"):
        InflatedResNet(3, "p3d")
    with pytest.raises(ValueError, match=r"Expected 'depth' to be one of \[18, 50\] \(got 34\)"):
        InflatedResNet(depth=34)
    with pytest.raises(ValueError, match=r"Expected 'res5_stride' to be one of \[1, 2\] \(got 4\)"):
        InflatedResNet(res5_stride=4)
    with pytest.raises(ValueError, match=r"Expected 'mean' to be one number, or 3 \(got \[0.4, 0.5\]\)"):
        InflatedResNet(mean=[0.4, 0.5])
    with pytest.raises(ValueError, match=r"Expected 'std' to be positive and one number, or 3 \(got 0\)"):
        InflatedResNet(std=0)
    model = InflatedResNet(3, "c2d", 18, 4)
    for shape in ((1, 1, 3, 32, 32), (1, 3, 2, 32, 32), (2, 3, 32, 32)):
        with pytest.raises(ValueError, match=r"Expected 'video' to be of shape \[B, T, 3, H, W\] with T of at least 2"):
            model(torch.rand(shape))
