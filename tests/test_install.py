"""What ``pip install .`` gives: a wheel of the library alone that works without the checkout."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from rstg_pyg import VideoClassifier

CHECKOUT = Path(__file__).parent.parent
SOURCES = ["setup.cfg", "pyproject.toml", "README.md", "LICENSE", "rstg_pyg", "data", "lightning_modules", "tests"]


@pytest.fixture(scope="module")
def model():
    """A model to ship."""
    cnn = {"class_path": "rstg_pyg.models.SmallCNN", "init_args": {"widths": [2, 2, 4]}}
    graph = {"class_path": "rstg_pyg.nn.RSTGToVec", "init_args": {"channels": 4, "node_channels": 4}}
    head = {"class_path": "rstg_pyg.models.ClassifierHead", "init_args": {"in_channels": 4, "num_classes": 2}}
    network = {
        "class_path": "rstg_pyg.VideoClassifier",
        "init_args": {"backbone": cnn, "graph": graph, "head": head},
    }
    described = {"channels": 1, "num_frames": 2, "frame_size": [24, 24], "value_range": [0.0, 1.0]}
    return VideoClassifier.from_config({"network": network, "class_names": ["left", "right"], "input": described})


@pytest.fixture(scope="module")
def wheel(tmp_path_factory, model):
    """The wheel, built from a copy of the sources so that the checkout stays clean, with one more model."""
    copy = tmp_path_factory.mktemp("copy")
    for name in SOURCES:
        source = CHECKOUT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        elif source.exists():
            shutil.copy(source, copy / name)
    card = copy / "card.md"
    card.write_text("# Tiny\n")
    model.save_pretrained(copy / "rstg_pyg/pretrained/tiny", card)
    dist = tmp_path_factory.mktemp("dist")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        str(copy),
        "--no-deps",
        "--no-build-isolation",
        "-q",
        "-w",
        str(dist),
    ]
    built = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = dist.glob("*.whl")
    return path


def test_wheel_holds_the_library_alone(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = next(archive.read(name).decode() for name in names if name.endswith(".dist-info/METADATA"))
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"rstg_pyg"}
    in_checkout = {str(path.relative_to(CHECKOUT)) for path in (CHECKOUT / "rstg_pyg").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == in_checkout
    assert {"rstg_pyg/py.typed", "rstg_pyg/viz/page.html"} <= set(names)
    shipped = {str(path.relative_to(CHECKOUT)) for path in (CHECKOUT / "rstg_pyg/pretrained").glob("*/*")}
    tiny = {f"rstg_pyg/pretrained/tiny/{name}" for name in ("config.json", "model.safetensors", "README.md")}
    assert {name for name in names if name.startswith("rstg_pyg/pretrained/")} == shipped | tiny
    assert any(name.startswith("rstg_pyg-") and name.endswith("/LICENSE") for name in names)
    assert "Name: rstg-pyg" in metadata
    assert "Provides-Extra: scatter" in metadata
    required = [
        line.split()[1] for line in metadata.splitlines() if line.startswith("Requires-Dist") and ";" not in line
    ]
    assert sorted(requirement.split(">")[0] for requirement in required) == [
        "safetensors",
        "torch",
        "torch-geometric",
    ]


def test_layer_and_shipped_model_run_from_the_wheel_in_an_empty_directory(wheel, model, tmp_path):
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    script = f"""
import importlib.util, sys
sys.path[:] = [path for path in sys.path if path != {str(CHECKOUT)!r}]
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in str(finder)]
import torch, rstg_pyg
assert rstg_pyg.__file__.startswith({str(site)!r}), rstg_pyg.__file__
for name in ("data", "lightning_modules"):
    assert importlib.util.find_spec(name) is None, name
from rstg_pyg import RSTG, GridPyramid, RSTGBlock, RSTGConv, VideoClassifier
import rstg_pyg.transforms
pyramid = GridPyramid()
print(RSTGConv(8, 16)(torch.rand(2, 14, 8), pyramid.edge_index).shape)
block = RSTGBlock(8, 16)
volume = torch.rand(1, 3, 8, 6, 6)
assert torch.equal(block(volume), volume)
shipped = VideoClassifier.from_pretrained("tiny")
print(shipped(torch.ones(1, 2, 1, 24, 24)).tolist())
for optional in ("pytorch_lightning", "matplotlib", "torchvision"):
    assert optional not in sys.modules, optional
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment["PYTHONPATH"] = str(site)
    command = [sys.executable, "-P", "-W", "ignore", "-c", script]
    ran = subprocess.run(command, cwd=empty, env=environment, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    shape, logits = ran.stdout.splitlines()
    assert shape == "torch.Size([2, 14, 16])"
    torch.testing.assert_close(torch.tensor(json.loads(logits)), model.eval()(torch.ones(1, 2, 1, 24, 24)))
    assert not list(empty.iterdir())
