from pathlib import Path

import pytest
import torch
import yaml
from pytorch_lightning.cli import ReduceLROnPlateau
from safetensors.torch import load_file, save_file
from torch import nn

from data.video.scenes import SceneSet, write_v1
from lightning_modules import DigitPretraining, VideoClassification
from lightning_modules.optimization import MuonAdamW, WarmupCosine
from lightning_modules.pretrained_weights import load_weights
from lightning_modules.trained_classifier import load_trained
from rstg_pyg import VideoClassifier
from rstg_pyg.models import GlobalAveragePool, InflatedResNet, NonLocalBlock, PooledRSTGToVec, SmallCNN, SmallI3D
from rstg_pyg.models.load_pretrained import BACKBONE_PREFIXES
from rstg_pyg.models.state_comparison import state_differences

VARIANTS = {
    "space_only": {"schedule": "space_only", "positional": False, "readout": "mean"},
    "time_only": {"schedule": "time_only", "positional": False, "readout": "last"},
    "homogeneous": {"schedule": "homogeneous", "positional": False, "readout": "last"},
    "one_temp": {"schedule": "one_temp", "positional": False, "readout": "last"},
    "all_temp": {"schedule": "all_temp", "positional": False, "readout": "last"},
    "positional_all_temp": {"schedule": "all_temp", "positional": True, "readout": "last"},
}

BASELINES = {
    "mean_pool_lstm": ("SmallCNN", "MeanPoolLSTM"),
    "conv_net_lstm": ("SmallCNN", "ConvNetLSTM"),
    "i3d": ("SmallI3D", "GlobalAveragePool"),
    "non_local": ("SmallI3D", "GlobalAveragePool"),
}
SHIPPED = {
    "1_wide_moves": None,
    "2_three_digits": None,
    "3_five_digits": None,
    "4_five_digits_and_cnn": None,
    "5_five_digits_again": "rstg-5syncmnist",
    "6_three_digits_again": None,
    "7_three_digits_longer": "rstg-3syncmnist",
}
# Inflation, non-local blocks, places of the graph inside, what reads the features.
SCENES = {
    "c2d": ("c2d", 0, [], GlobalAveragePool),
    "c2d_to_vec": ("c2d", 0, [], PooledRSTGToVec),
    "i3d": ("i3d", 0, [], GlobalAveragePool),
    "i3d_to_map_res3_res4": ("i3d", 0, ["res3/0", "res4/0"], GlobalAveragePool),
    "non_local": ("i3d", 2, [], GlobalAveragePool),
}
# A variant or baseline lies over each base in the same way: every base meets some, every one of them meets a base.
WIDTHS = {"cpu": 128, "paper": 512}


def over_alternate_bases(files):
    return [(tuple(WIDTHS)[i % len(WIDTHS)], file) for i, file in enumerate(files)]


@pytest.fixture
def no_draws(monkeypatch):
    """Leave parameters as memory was: the draws take most of the time."""
    for name in ("kaiming_uniform_", "uniform_", "xavier_uniform_", "orthogonal_"):
        monkeypatch.setattr(nn.init, name, lambda tensor, *args, **kwargs: tensor)


def instantiate(cli, tmp_path, *files):
    """The objects that config files make, without running anything."""
    configs = [argument for file in files for argument in ("--config", file)]
    return cli(*configs, "--run_dir", tmp_path, "--trainer.logger", "false", "--trainer.accelerator", "cpu", run=False)


def test_every_config_is_tested_here(configs):
    assert {path.stem for path in (configs / "syncmnist").iterdir()} == {
        "paper",
        "cpu",
        "table1",
        "boxes",
        *VARIANTS,
        *BASELINES,
    }
    assert {path.stem for path in (configs / "debug").iterdir()} == {"overfit", "limit", "profile"}
    assert {path.stem for path in (configs / "pretrain").iterdir()} == {
        "digits",
        "demo_backbone",
        "classifying_backbone",
        "residual_backbone",
    }
    assert {path.stem for path in (configs / "shipped").iterdir()} == set(SHIPPED)
    assert {path.stem for path in (configs / "scenes").iterdir()} == {"base", *SCENES}
    # The last two have tests of their own.
    folders = {"syncmnist", "scenes", "debug", "pretrain", "shipped", "something_something", "cluster"}
    assert {path.name for path in configs.iterdir()} == {*folders, "demo.yaml"}


@pytest.mark.parametrize("training", SHIPPED)
def test_training_of_the_shipped_models(cli, configs, tmp_path, training):
    run = instantiate(cli, tmp_path, configs / "demo.yaml", configs / f"shipped/{training}.yaml")
    data, module = run.datamodule, run.model
    assert run.trainer.max_epochs * data.epoch_items == data.hparams.train_videos
    assert data.eval_settings == {"num_digits": 5 if "five" in training else 3, "max_move": 10, "no_pair": 0.0109}
    assert (data.test_paths is not None) == ("five" in training)
    number = int(training.split("_")[0])
    trains_cnn = number >= 4
    assert all(p.requires_grad == trains_cnn for p in module.network.backbone.parameters())
    assert (module.frame_loss is not None) == data.train_centres == trains_cnn
    assert (module.backbone_weights is not None) == (module.network_weights is None) == (number == 1)
    assert isinstance(module.configure_optimizers()["optimizer"], MuonAdamW)
    if SHIPPED[training]:
        weights = VideoClassifier.from_pretrained(SHIPPED[training]).state_dict()
        assert not state_differences(module.network.state_dict(), weights)


@pytest.mark.parametrize(("base", "variant"), over_alternate_bases(VARIANTS))
@pytest.mark.usefixtures("no_draws")
def test_variant_over_base(cli, configs, tmp_path, base, variant):
    run = instantiate(cli, tmp_path, configs / f"syncmnist/{base}.yaml", configs / f"syncmnist/{variant}.yaml")
    network = run.model.network
    graph = {"schedule": network.graph.rstg.schedule, "positional": network.graph.positional}
    assert {**graph, "readout": network.graph.readout.readout} == VARIANTS[variant]
    assert network.graph.rstg.hidden_channels == network.backbone.out_channels == WIDTHS[base]
    assert network.graph.pyramid.num_nodes == 14
    assert run.datamodule.hparams.train_videos == 600_000


@pytest.mark.parametrize(
    ("base", "baseline"), [*over_alternate_bases(BASELINES), ("cpu", "conv_net_lstm"), ("cpu", "non_local")]
)
@pytest.mark.usefixtures("no_draws")
def test_baseline_over_base(cli, configs, tmp_path, base, baseline):
    run = instantiate(cli, tmp_path, configs / f"syncmnist/{base}.yaml", configs / f"syncmnist/{baseline}.yaml")
    network, width = run.model.network, WIDTHS[base]
    assert (type(network.backbone).__name__, type(network.graph).__name__) == BASELINES[baseline]
    if isinstance(network.backbone, SmallI3D):
        width = network.backbone.out_channels
        non_local = [isinstance(layer, NonLocalBlock) for layer in network.backbone.stages[1]]
        assert non_local == ([False, True, False] if baseline == "non_local" else [False, False])
    else:
        assert network.backbone.out_channels == network.graph.lstm.time.channels == width
        assert isinstance(network.graph.lstm.input_norm, nn.BatchNorm1d)
    assert next(network.head.parameters()).size(-1) == width
    assert network.backbone.in_channels == run.datamodule.channels
    assert network(torch.zeros(1, 2, 1, 64, 64)).shape == (1, 46)
    assert run.datamodule.hparams.train_videos == 600_000


def test_boxes_over_the_tables_config(cli, configs, tmp_path):
    run = instantiate(cli, tmp_path, configs / "syncmnist/table1.yaml", configs / "syncmnist/boxes.yaml")
    grid = instantiate(
        cli, tmp_path, configs / "syncmnist/table1.yaml", configs / "syncmnist/positional_all_temp.yaml"
    ).model.network.graph.rstg
    boxes = run.model.network.graph.tracks.rstg
    # The same graph, but for what a node starts from: its place and motion besides.
    assert boxes.in_channels == grid.in_channels + 8
    shapes = [{k: v.shape for k, v in rstg.state_dict().items() if "lin_in" not in k} for rstg in (boxes, grid)]
    assert shapes[0] == shapes[1]


def test_boxes_are_trained_tested_and_predicted(cli, configs, tmp_path):
    files = (configs / "syncmnist/cpu.yaml", configs / "syncmnist/boxes.yaml", Path(__file__).parent / "tiny.yaml")
    arguments = [argument for file in files for argument in ("--config", file)]
    arguments += ["--run_dir", tmp_path / "run", "--data.num_digits", "[[0, 2], [4, 2], [5, 3]]"]
    run = cli("fit", *arguments, "--trainer.limit_train_batches", 2)
    assert run.trainer.global_step == 2
    boxes = next(iter(run.datamodule.train_dataloader()))[1]
    assert boxes.shape == (4, 3, 3, 4)
    assert boxes[..., 2, :].isnan().all()  # the first batch has videos of two digits alone
    run = cli("test", *arguments, "--ckpt_path", "last")
    assert 0 <= run.trainer.callback_metrics["test/acc"] <= 1
    cli("predict", *arguments, "--ckpt_path", "last")
    assert (tmp_path / "run/predict/predictions.npz").is_file()


def test_run_with_a_loss_on_frames_is_tested_without_it(cli, configs, tmp_path):
    files = (configs / "syncmnist/cpu.yaml", Path(__file__).parent / "tiny.yaml")
    arguments = [argument for file in files for argument in ("--config", file)] + ["--run_dir", tmp_path / "run"]
    loss = ["--model.frame_loss", "lightning_modules.DigitLoss", "--model.frame_loss.channels", 8]
    run = cli("fit", *arguments, *loss, "--data.train_centres", "true", "--trainer.limit_train_batches", 2)
    assert run.trainer.callback_metrics["train/frame_distance"] > 0
    run = cli("test", *arguments, "--ckpt_path", "last")
    assert 0 <= run.trainer.callback_metrics["test/acc"] <= 1
    trained = load_trained(tmp_path / "run/checkpoints/last.ckpt").state_dict()
    torch.testing.assert_close(trained, run.model.network.state_dict())


def test_i3d_is_as_large_as_the_graph(cli, configs, tmp_path):
    sizes = [
        sum(parameter.numel() for parameter in instantiate(cli, tmp_path, *files).model.network.parameters())
        for files in (
            (configs / "syncmnist/cpu.yaml", configs / "syncmnist/positional_all_temp.yaml"),
            (configs / "syncmnist/cpu.yaml", configs / "syncmnist/i3d.yaml"),
        )
    ]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.1)


@pytest.mark.parametrize("baseline", ["conv_net_lstm", "non_local"])  # one on each backbone
def test_baseline_is_trained_and_tested(cli, configs, tmp_path, baseline):
    files = (
        configs / "syncmnist/cpu.yaml",
        Path(__file__).parent / "tiny.yaml",
        configs / f"syncmnist/{baseline}.yaml",
    )
    arguments = [argument for file in files for argument in ("--config", file)]
    arguments += ["--run_dir", tmp_path / "run", "--trainer.limit_train_batches", 2]
    pretrained = BASELINES[baseline][0] == "SmallCNN"
    if pretrained:
        weights = SmallCNN(1, widths=(4, 8, 8)).state_dict()
        save_file(weights, tmp_path / "backbone.safetensors")
        arguments += ["--model.backbone_weights", tmp_path / "backbone.safetensors", "--model.freeze_backbone", "true"]
    if baseline == "conv_net_lstm":
        arguments += ["--model.network.graph.map_size", 4]
    network = cli("fit", *arguments).model.network
    if pretrained:
        torch.testing.assert_close(network.backbone.state_dict(), weights, rtol=0, atol=0)
    cli("test", "--config", tmp_path / "run/config.yaml", "--ckpt_path", "best")
    assert (tmp_path / "run/test/confusion_matrix.png").is_file()
    assert not (tmp_path / "run/test/attention.png").exists()  # no graph, no picture of it


def test_papers_recipe(cli, configs, tmp_path):
    run = instantiate(cli, tmp_path, configs / "syncmnist/paper.yaml", configs / "syncmnist/space_only.yaml")
    weight = nn.Parameter(torch.zeros(1))
    optimizer = run.model.optimizer([weight])
    assert isinstance(optimizer, torch.optim.SGD)
    assert {name: optimizer.defaults[name] for name in ("lr", "momentum", "nesterov")} == {
        "lr": 1e-4,
        "momentum": 0.9,
        "nesterov": True,
    }
    scheduler = run.model.scheduler(optimizer)
    assert isinstance(scheduler, ReduceLROnPlateau)
    assert (scheduler.monitor, scheduler.factor) == ("val/loss", 0.1)


def test_inflated_backbone_with_blocks_from_pretrained_weights_to_a_test(cli, configs, tmp_path):
    source = InflatedResNet(1, "c2d", 18, 4)
    torch.save({"state_dict": {f"backbone.{n}": w for n, w in source.state_dict().items()}}, tmp_path / "c2d.ckpt")
    block = {"class_path": "rstg_pyg.nn.RSTGBlock", "init_args": {"channels": 4, "node_channels": 4}}
    options = {"inflation": "c2d", "depth": 18, "width": 4, "blocks": {"res2.0": block}}
    backbone = {"class_path": "rstg_pyg.models.InflatedResNet", "init_args": options}
    graph = {"class_path": "rstg_pyg.models.GlobalAveragePool"}
    tree = {"model": {"network": {"backbone": backbone, "graph": graph, "head": {"in_channels": 32}}}}
    (tmp_path / "inflated.yaml").write_text(yaml.safe_dump(tree))
    files = (configs / "syncmnist/cpu.yaml", Path(__file__).parent / "tiny.yaml", tmp_path / "inflated.yaml")
    arguments = [argument for file in files for argument in ("--config", file)]
    arguments += ["--run_dir", tmp_path / "run", "--model.backbone_weights", tmp_path / "c2d.ckpt"]
    arguments += ["--model.freeze_backbone", "true", "--trainer.limit_train_batches", 1]
    trained = cli("fit", *arguments).model.network.backbone
    for name, weight in source.named_parameters():
        assert torch.equal(trained.get_parameter(name), weight)
    tested = cli("test", "--config", tmp_path / "run/config.yaml", "--ckpt_path", "best").model.network.backbone
    torch.testing.assert_close(tested.state_dict(), trained.state_dict(), rtol=0, atol=0)
    assert list(tested.inserted_blocks) == ["res2/0"]


@pytest.mark.parametrize("preset", ["overfit", "limit", "profile"])
def test_debug_preset_over_a_run(cli, configs, tmp_path, preset):
    files = ("syncmnist/cpu.yaml", "syncmnist/all_temp.yaml", f"debug/{preset}.yaml")
    run = instantiate(cli, tmp_path, *(configs / file for file in files))
    assert isinstance(run.model, VideoClassification)
    asked = yaml.safe_load((configs / "debug" / f"{preset}.yaml").read_text())["trainer"]
    for name in ("overfit_batches", "limit_train_batches", "max_epochs"):
        if name in asked:
            assert getattr(run.trainer, name) == asked[name]


def test_pretraining(cli, configs, tmp_path):
    run = instantiate(cli, tmp_path, configs / "pretrain/digits.yaml")
    assert isinstance(run.model, DigitPretraining)
    assert run.model.num_classes == 10
    assert run.model.backbone.in_channels == run.datamodule.channels
    assert isinstance(run.model.scheduler(run.model.optimizer(run.model.parameters())), WarmupCosine)


@pytest.mark.parametrize(
    ("names", "files"),
    [
        (["demo_backbone"], ["demo"]),
        (["residual_backbone"], ["syncmnist/table1", "syncmnist/all_temp"]),
        (["residual_backbone", "classifying_backbone"], ["syncmnist/table1", "syncmnist/all_temp"]),
        (["residual_backbone"], ["demo", "shipped/1_wide_moves"]),
    ],
)
def test_pretrained_backbone_is_that_of_the_trainings(cli, configs, tmp_path, names, files):
    pretraining = instantiate(cli, tmp_path, *(configs / f"pretrain/{name}.yaml" for name in ["digits", *names]))
    run = instantiate(cli, tmp_path, *(configs / f"{file}.yaml" for file in files))
    backbones = [model.backbone.state_dict() for model in (pretraining.model, run.model.network)]
    backbones.append(load_file(configs / f"pretrain/{names[-1]}.safetensors"))
    shapes = [{key: tensor.shape for key, tensor in backbone.items()} for backbone in backbones]
    assert all(each == shapes[0] for each in shapes)


def test_demo_starts_from_the_backbone_that_is_shipped(cli, configs, tmp_path, monkeypatch):
    monkeypatch.chdir(configs.parent)
    run = instantiate(cli, tmp_path, configs / "demo.yaml")
    pretraining = instantiate(cli, tmp_path, configs / "pretrain/digits.yaml", configs / "pretrain/demo_backbone.yaml")
    network = run.model.network
    drawn = network.backbone.convs[0].weight.clone()
    report = load_weights(network.backbone, run.model.backbone_weights, "backbone_weights", BACKBONE_PREFIXES)
    load_weights(pretraining.model.backbone, run.model.backbone_weights, "backbone_weights", BACKBONE_PREFIXES)
    assert "6 tensors" in report
    assert not torch.equal(network.backbone.convs[0].weight, drawn)
    assert not any(parameter.requires_grad for parameter in network.backbone.parameters())
    assert run.datamodule.hparams.num_digits[-1][1] == 3


@pytest.mark.parametrize(
    "file",
    ["syncmnist/*.yaml", "something_something/*.yaml", "scenes/*.yaml", "debug/*.yaml", "pretrain/*.yaml", "demo.yaml"],
)
def test_config_says_what_it_is_and_how_to_run_it(configs, file):
    for path in configs.glob(file):
        comment = [line for line in path.read_text().splitlines() if line.startswith("#")]
        assert len(comment) >= 2
        assert any("python main.py fit --config configs/" in line for line in comment)


@pytest.mark.parametrize("row", SCENES)
def test_scenes(cli, configs, tmp_path, row):
    write_v1({"train": SceneSet("train", 1, height=16, seconds=(0.1, 0.1))}, tmp_path)
    (tmp_path / "data.yaml").write_text(yaml.safe_dump({"data": {"init_args": {"root": str(tmp_path)}}}))
    run = instantiate(
        cli, tmp_path, configs / "scenes/base.yaml", configs / f"scenes/{row}.yaml", tmp_path / "data.yaml"
    )
    network = run.model.network.eval()
    inflation, num_non_local, places, graph = SCENES[row]
    assert network.backbone.stem[0].kernel_size == (5 if inflation == "i3d" else 1, 7, 7)
    assert sum(isinstance(module, NonLocalBlock) for module in network.modules()) == num_non_local
    assert list(getattr(network.backbone, "inserted_blocks", {})) == places
    assert type(network.graph) is graph
    assert network(torch.rand(1, 2, 3, 64, 64)).shape == (1, 8)
