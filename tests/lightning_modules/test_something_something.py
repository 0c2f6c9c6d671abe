"""The rows of configs/something_something, narrow, on encoded videos, through the command line."""

import os
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from socket import socket

import pytest
import torch
import yaml
from torch import nn
from torch.nn import functional as F

from data.video.scenes import SceneSet, write_v1, write_v2
from lightning_modules.commands.save_pretrained import save_pretrained
from rstg_pyg import VideoClassifier
from rstg_pyg.models import GlobalAveragePool, NonLocalBlock, PooledRSTGToVec
from rstg_pyg.models.class_tree import build

ROOT = Path(__file__).parents[2]
# Inflation, non-local blocks, places of the graph inside, what reads the features.
ROWS = {
    "c2d": ("c2d", 0, [], GlobalAveragePool),
    "i3d": ("i3d", 0, [], GlobalAveragePool),
    "non_local": ("i3d", 5, [], GlobalAveragePool),
    "c2d_to_vec": ("c2d", 0, [], PooledRSTGToVec),
    "i3d_to_vec": ("i3d", 0, [], PooledRSTGToVec),
    "i3d_to_map_res2": ("i3d", 0, ["res2/1"], GlobalAveragePool),
    "i3d_to_map_res3": ("i3d", 0, ["res3/2"], GlobalAveragePool),
    "i3d_to_map_res4": ("i3d", 0, ["res4/4"], GlobalAveragePool),
    "i3d_to_map_res3_res4": ("i3d", 0, ["res3/2", "res4/4"], GlobalAveragePool),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two steps of training videos, one to validate and test on; in both layouts."""
    root = tmp_path_factory.mktemp("scenes")
    scenes = {
        split: SceneSet(split, count, height=32, seconds=(0.4, 0.5))
        for split, count in (("train", 2), ("val", 1), ("test", 1))
    }
    write_v1(scenes, root)
    write_v2(scenes, root)
    return root


def narrow(tree):
    """A config's tree with a sixteenth of all channels."""
    if not isinstance(tree, dict):
        return tree
    widths = ("width", "channels", "in_channels", "node_channels")
    return {name: value // 16 if name in widths else narrow(value) for name, value in tree.items()}


@pytest.fixture(scope="module")
def arguments(configs, root, tmp_path_factory):
    """Arguments of a fit of a row, on the data of version 1 or 2."""
    folder = tmp_path_factory.mktemp("narrow")

    def make(row, version="v1"):
        files = []
        for name in ("paper", row):
            files += ["--config", folder / f"{name}.yaml"]
            tree = yaml.safe_load((configs / f"something_something/{name}.yaml").read_text())
            files[-1].write_text(yaml.safe_dump(narrow(tree)))
        settings = {"version": version, "num_frames": 4, "resize": 48, "crop": 48, "eval_crop": 48, "test_crops": 3}
        settings |= {"batch_size": 1, "num_workers": 0}
        return [
            *files,
            *("--data", "data.SomethingSomethingDataModule", "--data.root", root),
            *(f"--data.{name}={value}" for name, value in settings.items()),
            *("--trainer.accelerator", "cpu", "--trainer.precision", "32-true", "--trainer.max_epochs", 1),
            *("--trainer.num_sanity_val_steps", 0, "--trainer.enable_progress_bar", "false"),
            *("--trainer.logger", "false", "--trainer.enable_model_summary", "false"),
        ]

    return make


@pytest.fixture(scope="module")
def fitted(cli, arguments, tmp_path_factory):
    """Fit a row, once: stopped after a step, and gone on with. Gives its folder and the RSTGCLI that went on."""
    runs = {}

    def fit(row):
        if row not in runs:
            folder = tmp_path_factory.mktemp(row) / "run"
            save = ("--last_checkpoint.every_n_train_steps", 1)
            cli("fit", *arguments(row), "--run_dir", folder, "--trainer.max_steps", 1, *save)
            resumed = cli("fit", "--config", folder / "config.yaml", "--ckpt_path", "last", "--trainer.max_steps", -1)
            runs[row] = folder, resumed
        return runs[row]

    return fit


@pytest.fixture(scope="module")
def network_of(fitted):
    """Build the network of a row, trained as it were: norms know the videos, and the graph is no longer the identity.

    Options are the backbone's.
    """

    def make(row, **options):
        tree = deepcopy(fitted(row)[1].model.hparams["network"])
        tree["init_args"]["backbone"]["init_args"] |= options
        torch.manual_seed(0)
        network = build(tree)
        norms = [module for module in network.train().modules() if isinstance(module, nn.BatchNorm3d)]
        for norm in norms:
            norm.train().momentum = 1.0
        with torch.no_grad():
            network(torch.rand(4, 4, 3, 48, 48))
        for module in network.train().modules():
            if isinstance(module, (nn.LayerNorm, nn.BatchNorm3d)):
                nn.init.constant_(module.weight, 0.5)
        return network

    return make


def loss_and_gradients(network, video, autocast=False):
    """Cross-entropy of a video, and the gradients of all parameters."""
    torch.manual_seed(1)  # dropout
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        logits = network(video)
    loss = F.cross_entropy(logits.float(), torch.tensor([3]))
    return loss, dict(
        zip(
            [name for name, _ in network.named_parameters()],
            torch.autograd.grad(loss, list(network.parameters())),  # an error where a parameter has no part in the loss
            strict=True,
        )
    )


def test_every_row_is_tested_here(configs):
    folder = configs / "something_something"
    assert {path.stem for path in folder.iterdir()} == {"paper", "r2plus1d_18_to_map", *ROWS}


@pytest.mark.parametrize("row", ROWS)
def test_row_is_fitted_resumed_and_tested(cli, fitted, row):
    folder, resumed = fitted(row)
    assert resumed.trainer.global_step == 2
    tested = cli("test", "--config", folder / "config.yaml", "--ckpt_path", "last")
    scores, validated = tested.trainer.callback_metrics, resumed.trainer.callback_metrics
    assert scores["test/center_view_acc"] == validated["val/acc"]
    network = tested.model.network
    torch.testing.assert_close(network.state_dict(), resumed.model.network.state_dict(), rtol=0, atol=0)

    inflation, num_non_local, places, graph = ROWS[row]
    assert network.backbone.stem[0].kernel_size == (5 if inflation == "i3d" else 1, 7, 7)
    assert sum(isinstance(module, NonLocalBlock) for module in network.modules()) == num_non_local
    assert list(getattr(network.backbone, "inserted_blocks", {})) == places
    assert type(network.graph) is graph
    assert [type(layer).__name__ for layer in network.head] == ["Dropout", "Linear"]
    assert network.head[0].p == 0.3
    frozen = [module for module in resumed.model.network.backbone.modules() if isinstance(module, nn.BatchNorm3d)]
    assert all(torch.equal(norm.running_mean, torch.zeros_like(norm.running_mean)) for norm in frozen)
    assert (folder / "test/attention.png").exists() == (graph is PooledRSTGToVec)


@pytest.mark.parametrize("row", ROWS)
def test_gradient_checkpointing_and_bfloat16(network_of, row):
    video = torch.rand(1, 4, 3, 48, 48)
    loss, gradients = loss_and_gradients(network_of(row), video)
    with_checkpoints = loss_and_gradients(network_of(row, gradient_checkpointing=True), video)
    torch.testing.assert_close(with_checkpoints, (loss, gradients), rtol=1e-6, atol=1e-7)

    # In torch 2.14 oneDNN gives weights of Conv3d gradients of NaN in bfloat16 where the CPU has AVX512_BF16 alone.
    sound = torch.cpu._is_amx_tile_supported() or not torch.cpu._is_avx512_bf16_supported()
    with torch.backends.mkldnn.flags(enabled=sound):
        rounded_loss, rounded = loss_and_gradients(network_of(row), video, autocast=True)
    torch.testing.assert_close(rounded_loss, loss, rtol=0.03, atol=0)
    flat, rounded_flat = (
        torch.cat([gradient.flatten() for gradient in each.values()]) for each in (gradients, rounded)
    )
    assert F.cosine_similarity(flat, rounded_flat, dim=0) > 0.99
    assert rounded_flat.norm() == pytest.approx(flat.norm().item(), rel=0.05)


def test_torchvisions_network_from_a_config(cli, arguments, configs, tmp_path):
    file = configs / "something_something/r2plus1d_18_to_map.yaml"
    _, paper, _, _, *rest = arguments("c2d")
    run = ("--run_dir", tmp_path / "run", "--model.backbone_weights", "null", "--trainer.max_steps", 1)
    fit = cli("fit", "--config", paper, "--config", file, *rest, *run)
    network = fit.model.network
    assert list(network.backbone.inserted_blocks) == ["layer2", "layer3"]
    assert network.backbone.network == "r2plus1d_18"
    assert all(block.norm.weight.any() for block in network.backbone.inserted_blocks.values())  # zero before the step


def test_saved_folder_scores_as_the_checkpoint(fitted, tmp_path, capsys):
    folder, resumed = fitted("i3d_to_map_res3_res4")
    save_pretrained(folder / "checkpoints/last.ckpt", tmp_path / "model")
    assert "8 classes, clips of [T, channels, H, W] = [4, 3, 48, 48]" in capsys.readouterr().out
    loaded = VideoClassifier.from_pretrained(tmp_path / "model")
    assert loaded.config["class_names"] == resumed.datamodule.class_names
    video = torch.rand(1, 4, 3, 48, 48)
    with torch.no_grad():
        assert torch.equal(loaded(video), resumed.model.network.eval()(video))


def test_resumed_fit_ends_with_the_weights_of_the_uninterrupted_one(cli, arguments, fitted, tmp_path):
    _, resumed = fitted("i3d_to_map_res3_res4")
    whole = cli("fit", *arguments("i3d_to_map_res3_res4"), "--run_dir", tmp_path / "run")
    assert whole.trainer.global_step == 2
    torch.testing.assert_close(resumed.model.state_dict(), whole.model.state_dict(), rtol=0, atol=0)
    torch.testing.assert_close(
        resumed.trainer.optimizers[0].state_dict(), whole.trainer.optimizers[0].state_dict(), rtol=0, atol=0
    )


def recorded_gradients(folder, rank):
    return torch.load(folder / f"gradients_{rank}.pt", weights_only=True)


@pytest.mark.slow
def test_two_nodes_have_the_gradients_of_one_process(cli, arguments, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    fit = ["fit", *arguments("i3d_to_map_res3_res4"), "--model.network.head.dropout", 0, "--trainer.max_steps", 1]
    fit += ["--model.network.backbone.gradient_checkpointing", "true", "--trainer.callbacks+"]
    fit += ["witnesses.GradientRecorder", "--trainer.callbacks.folder"]
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    nodes = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--node-rank", str(rank)),
                *("--nproc-per-node", "1", "--master-addr", "127.0.0.1", "--master-port", str(port), ROOT / "main.py"),
                *map(str, [*fit, tmp_path / "two", "--run_dir", tmp_path / "two/run"]),
                *("--config", ROOT / "configs/cluster/ddp.yaml", "--trainer.devices", "1"),
            ],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    alone = cli(*fit, tmp_path / "one", "--run_dir", tmp_path / "one/run", "--data.batch_size", 2)
    for node in nodes:
        printed, _ = node.communicate(timeout=300)
        assert node.returncode == 0, printed
    expected = recorded_gradients(tmp_path / "one", 0)
    first, second = (recorded_gradients(tmp_path / "two", rank) for rank in range(2))
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    for name, gradient in first.items():
        assert (gradient - expected[name]).norm() <= 1e-4 * expected[name].norm(), name
    trained = torch.load(tmp_path / "two/run/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    torch.testing.assert_close(trained, alone.model.state_dict(), rtol=1e-5, atol=1e-7)
