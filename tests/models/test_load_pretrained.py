import pickle

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from rstg_pyg import RSTGBlock
from rstg_pyg.models import InflatedResNet, load_pretrained

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
PYTORCHVIDEO_STAGES = {"res2": 1, "res3": 3, "res4": 4, "res5": 5}
COUNTS = {"res2": 3, "res3": 4, "res4": 6, "res5": 3}


def convolutions_and_norms(model):
    """Each convolution of a bottleneck network, stage by stage: the place, the convolution, the norm behind it."""
    yield ("stem",), model.stem[0], model.stem[1]
    for stage, count in COUNTS.items():
        for block in range(count):
            module = getattr(getattr(model, stage), str(block))
            for letter, number in zip("abc", "123", strict=True):
                yield (stage, block, letter), getattr(module, f"conv{number}"), getattr(module, f"norm{number}")
            if block == 0:
                yield (stage, block, "shortcut"), *module.shortcut


def as_pytorchvideo(model):
    """A checkpoint as pytorchvideo's hub has it."""
    state = {"blocks.6.proj.weight": torch.rand(400, 9), "blocks.6.proj.bias": torch.rand(400)}
    for place, conv, norm in convolutions_and_norms(model):
        if place == ("stem",):
            names = "blocks.0.conv", "blocks.0.norm"
        else:
            stage, block, letter = place
            start = f"blocks.{PYTORCHVIDEO_STAGES[stage]}.res_blocks.{block}"
            names = f"{start}.branch2.conv_{letter}", f"{start}.branch2.norm_{letter}"
            if letter == "shortcut":
                names = f"{start}.branch1_conv", f"{start}.branch1_norm"
        for name, module in zip(names, (conv, norm), strict=True):
            state |= {f"{name}.{tensor}": value for tensor, value in module.state_dict().items()}
    return {"model_state": state}


def as_caffe2(model, with_statistics=True):
    """Blobs as the release of Non-local Neural Networks has them."""
    blobs = {"model_iter": 400000, "lr": np.float32(1e-4), "pred_w": np.zeros((400, 9)), "pred_b": np.zeros(400)}

    def add_norm(name, norm):
        blobs[f"{name}_s"], blobs[f"{name}_b"] = norm.weight, norm.bias
        if with_statistics:
            blobs[f"{name}_rm"], blobs[f"{name}_riv"] = norm.running_mean, norm.running_var

    for place, conv, norm in convolutions_and_norms(model):
        if place == ("stem",):
            name, norm_name = "conv1", "res_conv1_bn"
        else:
            stage, block, letter = place
            name = f"{stage}_{block}_branch{'1' if letter == 'shortcut' else f'2{letter}'}"
            norm_name = f"{name}_bn"
        blobs[f"{name}_w"] = conv.weight
        blobs[f"{name}_w_momentum"] = torch.zeros(1)
        add_norm(norm_name, norm)
    for stage in ("res3", "res4"):
        for block in range(1, COUNTS[stage], 2):
            module = getattr(getattr(model, stage), f"non_local{block}", None)
            if module is None:
                continue
            name = f"nonlocal_conv{stage[-1]}_{block}"
            for layer in ("theta", "phi", "g", "out"):
                # The release divides the product of theta and phi by the root of their size.
                scale = module.theta.out_channels**0.5 if layer == "theta" else 1
                blobs[f"{name}_{layer}_w"] = getattr(module, layer).weight * scale
                blobs[f"{name}_{layer}_b"] = getattr(module, layer).bias * scale
            add_norm(f"{name}_bn", module.norm)
    arrays = {name: blob.detach().numpy() if isinstance(blob, torch.Tensor) else blob for name, blob in blobs.items()}
    return {"blobs": arrays}


def write(checkpoint, path):
    if path.suffix == ".pkl":
        path.write_bytes(pickle.dumps(checkpoint, protocol=2))
    else:
        torch.save(checkpoint, path)
    return path


@torch.no_grad()
@pytest.mark.parametrize("depth", [18, 50])
def test_torchvisions_image_networks(used, tmp_path, depth):
    resnet = used(getattr(torchvision.models, f"resnet{depth}")(weights=None))
    path = write(resnet.state_dict(), tmp_path / "resnet.pth")
    frame = torch.rand(1, 3, 32, 32)
    mean, std = (torch.tensor(IMAGENET[name])[:, None, None] for name in ("mean", "std"))
    expected = nn.Sequential(*list(resnet.children())[:-2])((frame - mean) / std)
    model = InflatedResNet(3, "c2d", depth, **IMAGENET).eval()
    report = load_pretrained(model, path)
    torch.testing.assert_close(model(frame[:, None].expand(-1, 2, -1, -1, -1))[:, 0], expected)
    assert report.is_complete
    assert report.layout == "torchvision"
    assert report.left_out == ("fc.bias", "fc.weight")
    assert sorted(report.matched) == sorted(model.state_dict())
    assert report.inflated == ()

    model = InflatedResNet(3, "i3d", depth, **IMAGENET)
    report = load_pretrained(model, path)
    for name in report.inflated:
        kernel = model.get_parameter(name)
        assert kernel.size(2) == (5 if name == "stem.0.weight" else 3)
        assert (kernel == kernel[:, :, :1]).all()
    assert len(report.inflated) == (1 + 2 + 1 + 1 + 1 if depth == 18 else 1 + 3 + 2 + 3 + 1)
    torch.testing.assert_close(model.stem[0].weight.sum(dim=2), resnet.conv1.weight)
    torch.testing.assert_close(model.res5.get_submodule("1").conv1.weight.sum(dim=2), resnet.layer4[1].conv1.weight)


@torch.no_grad()
@pytest.mark.parametrize("inflation", ["c2d", "i3d"])
@pytest.mark.parametrize("layout", ["pytorchvideo", "video-nonlocal-net", "rstg_pyg"])
def test_video_networks(used, tmp_path, layout, inflation):
    source = used(InflatedResNet(3, inflation, width=4))
    if layout == "rstg_pyg":
        path = tmp_path / "backbone.safetensors"
        save_file(source.state_dict(), path)
    elif layout == "pytorchvideo":
        path = write(as_pytorchvideo(source), tmp_path / "i3d.pyth")
    else:
        path = write(as_caffe2(source), tmp_path / "i3d.pkl")
    model = InflatedResNet(3, inflation, width=4, blocks={"res3.2": RSTGBlock(32, 8)}).eval()
    report = load_pretrained(model, path)
    video = torch.rand(1, 4, 3, 64, 64)
    torch.testing.assert_close(model(video), source(video))
    assert report.layout == layout
    assert report.new == tuple(name for name in model.state_dict() if name.startswith("inserted_blocks."))
    assert report.inflated == ()
    counts = {name for name in model.state_dict() if name.endswith("num_batches_tracked")}
    assert set(model.state_dict()) - set(report.matched) - set(report.new) <= counts
    assert f"matched: {len(report.matched)}, of which inflated in time: 0" in str(report)


@torch.no_grad()
def test_released_non_local_network(used, tmp_path):
    source = used(InflatedResNet(width=4, non_local=True, pool_padding=0))
    path = write(as_caffe2(source), tmp_path / "non_local.pkl")
    model = InflatedResNet(width=4, non_local=True, pool_padding=0).eval()
    assert load_pretrained(model, path).new == ()
    video = torch.rand(1, 4, 3, 64, 64)
    torch.testing.assert_close(model(video), source(video))
    with pytest.raises(ValueError, match=r"unexpected: \['nonlocal_conv3_1_bn_b',"):
        load_pretrained(InflatedResNet(width=4), path)


@torch.no_grad()
def test_released_network_with_frozen_batch_norms(used, tmp_path):
    source = used(InflatedResNet(3, "c2d", width=4))
    for module in source.modules():
        if isinstance(module, nn.BatchNorm3d):  # no more than scale and shift
            module.running_mean.zero_()
            module.running_var.fill_(1 - module.eps)
    path = write(as_caffe2(source, with_statistics=False), tmp_path / "affine.pkl")
    model = used(InflatedResNet(3, "c2d", width=4))
    load_pretrained(model, path)
    video = torch.rand(1, 2, 3, 32, 32)
    torch.testing.assert_close(model(video), source(video))


@torch.no_grad()
def test_non_local_blocks_are_new_over_a_network_without(used, tmp_path):
    source = used(InflatedResNet(3, "c2d", width=4))
    path = write(as_pytorchvideo(source), tmp_path / "c2d.pyth")
    model = InflatedResNet(3, "i3d", width=4, non_local=True)
    report = load_pretrained(model, path)
    assert len(report.new) == 5 * (8 + 5)
    assert all(".non_local" in name for name in report.new)
    assert len(report.inflated) == 10  # C2D's kernels of one frame


def test_backbone_out_of_a_training_checkpoint(used, tmp_path):
    source = used(InflatedResNet(3, "c2d", 18, 4))
    state = {f"network.backbone.{name}": value for name, value in source.state_dict().items()}
    path = write({"state_dict": state | {"network.head.0.weight": torch.rand(2)}}, tmp_path / "last.ckpt")
    model = InflatedResNet(3, "c2d", 18, 4)
    assert load_pretrained(model, path).left_out == ()
    torch.testing.assert_close(model.state_dict(), source.state_dict())


def test_what_is_unexplained_is_an_error_unless_told_otherwise(used, tmp_path):
    checkpoint = as_pytorchvideo(used(InflatedResNet(3, "i3d", width=4)))
    state = checkpoint["model_state"]
    del state["blocks.0.norm.bias"]
    state["blocks.1.res_blocks.0.branch2.conv_a.weight"] = torch.rand(4, 5, 3, 1, 1)
    state["blocks.7.weight"] = torch.rand(1)
    path = write(checkpoint, tmp_path / "i3d.pyth")
    model = InflatedResNet(width=4)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=r"Expected 'source' to hold the weights of the backbone") as error:
        load_pretrained(model, path)
    for line in (
        "missing: ['stem.1.bias']",
        "unexpected: ['blocks.7.weight']",
        "of another shape: ['res2.0.conv1.weight: expected [4, 4, 3, 1, 1], got [4, 5, 3, 1, 1]']",
        "left out of the file: 2 ['blocks.6.proj.bias', 'blocks.6.proj.weight']",
    ):
        assert line in str(error.value)
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)

    report = load_pretrained(model, path, strict=False)
    assert not report.is_complete
    assert torch.equal(model.stem[0].weight, state["blocks.0.conv.weight"])
    assert torch.equal(model.stem[1].bias, before["stem.1.bias"])
    # An I3D's kernels are no C2D's.
    with pytest.raises(ValueError, match=r"stem.0.weight: expected \[4, 3, 1, 7, 7\], got \[4, 3, 5, 7, 7\]"):
        load_pretrained(InflatedResNet(3, "c2d", width=4), path)


def test_url_is_downloaded_once(used, tmp_path, monkeypatch):
    source = used(InflatedResNet(3, "c2d", 18, 4))
    downloads = []

    def download(url, path):
        downloads.append(url)
        torch.save(source.state_dict(), path)

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    for _ in range(2):
        model = InflatedResNet(3, "c2d", 18, 4)
        report = load_pretrained(model, "https://example.org/models/c2d.pth?version=1")
        torch.testing.assert_close(model.state_dict(), source.state_dict())
    assert downloads == [report.source] == ["https://example.org/models/c2d.pth?version=1"]
    (cached,) = (tmp_path / "checkpoints").iterdir()
    assert (cached.name[:4], cached.suffix) == ("c2d-", ".pth")


def test_urls_that_end_alike_are_files_of_their_own(used, tmp_path, monkeypatch):
    urls = [f"https://example.org/{end}" for end in ("a/model.pth", "b/model.pth", "b/model.pth?version=2")]
    sources = {url: used(InflatedResNet(3, "c2d", 18, 4)) for url in urls}
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(
        torch.hub, "download_url_to_file", lambda url, path: torch.save(sources[url].state_dict(), path)
    )
    for url, source in sources.items():
        model = InflatedResNet(3, "c2d", 18, 4)
        load_pretrained(model, url)
        torch.testing.assert_close(model.state_dict(), source.state_dict())


def test_errors(tmp_path):
    model = InflatedResNet(3, "c2d", 18, 4)
    with pytest.raises(FileNotFoundError, match=r"Expected 'source' to be a file or a URL \(got '.*none.pth'"):
        load_pretrained(model, tmp_path / "none.pth")
    path = write({"encoder.weight": torch.rand(1)}, tmp_path / "other.pth")
    with pytest.raises(
        ValueError, match=r"Expected a checkpoint with the first convolution of .*'conv1.weight'.*encoder"
    ):
        load_pretrained(model, path)
    path = write({"stem.0.weight": torch.rand(4, 3, 1, 7, 7), "epoch": 3}, tmp_path / "mixed.pth")
    with pytest.raises(ValueError, match=r"mixed.pth' to hold tensors by their names \(got .*{'epoch': 'int'}\)"):
        load_pretrained(model, path)
    path = write([1, 2], tmp_path / "list.pkl")
    with pytest.raises(ValueError, match=r"list.pkl' to hold tensors by their names \(got none\)"):
        load_pretrained(model, path)


@pytest.mark.parametrize("name", ["cut.pth", "cut.safetensors"])
def test_file_cut_short_is_named(used, tmp_path, name):
    state = used(InflatedResNet(3, "c2d", 18, 4)).state_dict()
    path = tmp_path / name
    if path.suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=f"Expected '{path}' to be a whole file of"):
        load_pretrained(InflatedResNet(3, "c2d", 18, 4), path)
