import csv
import json
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from jsonargparse import ArgumentParser, Namespace
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from safetensors.torch import save_file
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.compat.proto.event_pb2 import SessionLog

from lightning_modules import VideoClassification
from lightning_modules.cli import _SaveConfig, claim_folder, default_precision
from lightning_modules.csv_log import read_metrics


@pytest.fixture(scope="module")
def predicted(cli, fitted):
    folder, _ = fitted
    cli("predict", "--config", folder / "config.yaml", "--ckpt_path", "best")
    return folder / "predict" / "predictions.npz"


def test_printed_config_can_be_fed_back(cli, tiny, tmp_path, capsys):
    with pytest.raises(SystemExit):
        cli("fit", *tiny, "--print_config")
    printed = capsys.readouterr().out
    (tmp_path / "printed.yaml").write_text(printed)
    with pytest.raises(SystemExit):
        cli("fit", "--config", tmp_path / "printed.yaml", "--print_config")
    assert capsys.readouterr().out == printed
    graph = yaml.safe_load(printed)["model"]["init_args"]["network"]["init_args"]["graph"]["init_args"]
    assert (graph["node_channels"], graph["schedule"]) == (8, "all_temp")


def test_fit_leaves_checkpoints_logs_config_and_curve(fitted):
    folder, run = fitted
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert (folder / "learning_curve.png").stat().st_size > 1000
    assert list(folder.glob("events.out.tfevents.*"))
    assert [type(logger) for logger in run.trainer.loggers] == [TensorBoardLogger, CSVLogger]
    metrics = read_metrics(folder / "metrics.csv")
    assert metrics["train/loss"][0] == [0, 1]
    assert metrics["val/acc"][0] == [1]
    assert {"train/acc", "val/loss", "val/acc_top5", "lr-AdamW"} <= metrics.keys()
    saved = yaml.safe_load((folder / "config.yaml").read_text())
    assert saved["run_dir"] == str(folder)
    assert saved["trainer"]["precision"] == "32-true"


def test_data_tells_the_model_its_classes_and_channels(fitted):
    _, run = fitted
    assert run.model.num_classes == run.datamodule.num_classes == 46
    assert run.model.network.head[-1].out_features == 46
    assert run.model.network.backbone.in_channels == run.datamodule.channels


def test_parts_that_need_nothing_of_the_data_are_told_nothing(cli, tiny, tmp_path):
    graph = {"class_path": "rstg_pyg.models.MeanPoolLSTM", "init_args": {"channels": 1, "hidden_channels": 4}}
    head = {"class_path": "torch.nn.Linear", "init_args": {"in_features": 4, "out_features": 46}}
    parts = {"backbone": {"class_path": "torch.nn.Identity"}, "graph": graph, "head": head}
    network = {"class_path": "rstg_pyg.VideoClassifier", "init_args": parts}
    model = {"network": network, "backbone_weights": None, "freeze_backbone": False}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"model": model}))
    arguments = [*tiny, "--config", tmp_path / "own.yaml", "--run_dir", tmp_path / "run"]
    fit = cli("fit", *arguments, "--trainer.limit_train_batches", 1)
    run = cli("test", "--config", tmp_path / "run" / "config.yaml", "--ckpt_path", "last")
    torch.testing.assert_close(run.model.state_dict(), fit.model.state_dict())
    assert cli("fit", *arguments, "--ckpt_path", "last", "--trainer.max_epochs", 2).trainer.current_epoch == 2


def test_folder_with_the_weights_gives_the_same_scores(cli, fitted, tmp_path):
    folder, fit = fitted
    save_file(fit.model.network.state_dict(), tmp_path / "model.safetensors")
    scores = [
        cli("test", "--config", folder / "config.yaml", "--ckpt_path", given).trainer.logged_metrics
        for given in ("last", tmp_path)
    ]
    assert scores[0] == scores[1]


def test_folder_of_a_network_of_other_classes_is_refused(cli, fitted, tmp_path):
    folder, fit = fitted
    save_file(fit.model.network.state_dict(), tmp_path / "model.safetensors")
    names = list(reversed(fit.datamodule.class_names))
    (tmp_path / "config.json").write_text(json.dumps({"class_names": names}))
    with pytest.raises(ValueError, match=r"in their order \(got '1-0' in place of 'no pair' as class 0; 46 differ\)"):
        cli("predict", "--config", folder / "config.yaml", "--ckpt_path", tmp_path)


@pytest.mark.parametrize("subcommand", ["validate", "test"])
def test_saved_config_and_checkpoint_give_the_same_scores(cli, fitted, subcommand):
    folder, fit = fitted
    checkpoint = folder / "checkpoints" / "last.ckpt"
    run = cli(subcommand, "--config", folder / "config.yaml", "--ckpt_path", checkpoint)
    torch.testing.assert_close(run.model.state_dict(), fit.model.state_dict())
    scores = read_metrics(folder / subcommand / "metrics.csv")
    split = {"validate": "val", "test": "test"}[subcommand]
    assert {f"{split}/loss", f"{split}/acc", f"{split}/acc_top5"} == scores.keys()
    if subcommand == "validate":
        assert scores["val/loss"][1] == pytest.approx(read_metrics(folder / "metrics.csv")["val/loss"][1])
    else:
        with (folder / "test" / "confusion_matrix.csv").open() as file:
            counts = np.array(list(csv.reader(file))[1:], dtype=int)[:, 1:]
        assert counts.shape == (46, 46)
        assert counts.sum() == 12
        assert counts.trace() == round(12 * scores["test/acc"][1][0])
        assert (folder / "test" / "confusion_matrix.png").is_file()
        assert (folder / "test" / "attention.png").stat().st_size > 10_000


def test_checkpoint_loads_without_a_config(fitted):
    folder, run = fitted
    checkpoint = folder / "checkpoints" / "last.ckpt"
    assert torch.load(checkpoint, weights_only=True)["hyper_parameters"]["num_classes"] == 46
    loaded = VideoClassification.load_from_checkpoint(checkpoint)
    torch.testing.assert_close(loaded.state_dict(), run.model.state_dict())


def test_checkpoint_lays_its_model_over_the_given_config(cli, configs, fitted):
    folder, _ = fitted
    one_temp = configs / "syncmnist" / "one_temp.yaml"
    checkpoint = folder / "checkpoints" / "best.ckpt"
    given = ["--config", folder / "config.yaml", "--config", one_temp, "--ckpt_path", checkpoint]
    with pytest.warns(
        UserWarning, match=r"is the checkpoint's, in which \S*graph\S*schedule is all_temp \(not one_temp\)$"
    ):
        run = cli("validate", *given)
    assert run.model.network.graph.rstg.schedule == "all_temp"


def test_prediction_file_holds_the_softmax_of_the_model(fitted, predicted):
    folder, run = fitted
    run.datamodule.setup("predict")
    model = VideoClassification.load_from_checkpoint(folder / "checkpoints" / "best.ckpt").eval()
    with torch.no_grad():
        expected = torch.cat([model(video).softmax(dim=-1) for video, _ in run.datamodule.predict_dataloader()])
    labels = torch.cat([label for _, label in run.datamodule.predict_dataloader()])
    file = np.load(predicted)
    np.testing.assert_allclose(file["probabilities"], expected.numpy(), rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(file["label"], labels.numpy())
    np.testing.assert_array_equal(file["index"], np.arange(12))


def test_second_fit_takes_a_folder_of_its_own(cli, tiny, fitted, capsys):
    folder, _ = fitted
    before = (folder / "metrics.csv").read_text()
    short = ["--trainer.limit_train_batches", 1, "--trainer.limit_val_batches", 0]
    run = cli("fit", *tiny, "--run_dir", f"{folder}/", *short)
    assert run.trainer.log_dir.rstrip("/") == f"{folder}-2"
    assert yaml.safe_load((folder.parent / "run-2" / "config.yaml").read_text())["run_dir"] == f"{folder}-2"
    assert (folder / "metrics.csv").read_text() == before


def test_fits_that_start_at_one_time_take_folders_of_their_own(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(claim_folder, [str(tmp_path / "run")] * 8))
    assert set(folders) == {str(tmp_path / name) for name in ("run", *(f"run-{count}" for count in range(2, 9)))}


def test_folder_of_a_start_that_failed_is_taken(tmp_path):
    assert claim_folder(str(tmp_path / "run")) == str(tmp_path / "run")
    assert claim_folder(str(tmp_path / "run")) == str(tmp_path / "run-2")
    (tmp_path / "run" / "checkpoints").rmdir()
    assert claim_folder(str(tmp_path / "run")) == str(tmp_path / "run")


def test_other_processes_claim_nothing_and_learn_the_folder_of_the_first(monkeypatch, tmp_path):
    monkeypatch.setattr("lightning_modules.cli.rank_zero_only.rank", 1)
    config = Namespace(run_dir=claim_folder(str(tmp_path / "run")), ckpt_path="other.ckpt")
    assert list(tmp_path.iterdir()) == []
    claimed = str(tmp_path / "run-2")
    strategy = SimpleNamespace(broadcast=lambda own: claimed)
    trainer = SimpleNamespace(strategy=strategy, log_dir=claimed, is_global_zero=False)
    _SaveConfig(ArgumentParser(), config, overwrite=True).setup(trainer, None, "fit")
    assert config == Namespace(run_dir=claimed, ckpt_path="other.ckpt")
    assert list(tmp_path.iterdir()) == []


def test_fit_whose_model_cannot_be_made_takes_no_folder(cli, tiny, tmp_path):
    with pytest.raises(ValueError, match="Expected 'num_iterations'"):
        cli("fit", *tiny, "--run_dir", tmp_path / "run", "--model.network.graph.num_iterations", 0)
    assert list(tmp_path.iterdir()) == []


def test_last_goes_on_in_the_same_folder(cli, tiny, tmp_path):
    folder = tmp_path / "run"
    short = ["--trainer.limit_train_batches", 2, "--trainer.limit_val_batches", 1]
    cli("fit", *tiny, "--run_dir", folder, *short)
    config = folder / "config.yaml"
    run = cli("fit", "--config", config, "--ckpt_path", "last", "--trainer.max_epochs", 2)
    assert run.trainer.global_step == 4
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert read_metrics(folder / "metrics.csv")["train/loss"][0] == [0, 1, 2, 3]
    assert read_metrics(folder / "metrics.csv")["val/acc"][0] == [1, 3]
    events = [event for file in sorted(folder.glob("events.*")) for event in EventFileLoader(str(file)).Load()]
    # TensorBoard forgets what came after the step that a session starts at.
    assert [event.step for event in events if event.session_log.status == SessionLog.START] == [2]
    assert yaml.safe_load(config.read_text())["ckpt_path"] is None


def test_run_is_named_after_its_configs(cli, tiny, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    run = cli("fit", *tiny, "--trainer.fast_dev_run", "true")
    assert run.config.fit.run_dir == "runs/cpu-all_temp-tiny"
    assert list(tmp_path.iterdir()) == []


def test_missing_checkpoint_is_named(cli, tiny, tmp_path):
    expected = (
        r"'--ckpt_path' to be best, last, a checkpoint, a folder, or one of .*'rstg-3syncmnist'.* \(got 'three'\)"
    )
    with pytest.raises(SystemExit, match=expected):
        cli("test", *tiny, "--run_dir", tmp_path, "--ckpt_path", "three")
    with pytest.raises(SystemExit, match=r"'--ckpt_path best'.*checkpoints/best.ckpt"):
        cli("test", *tiny, "--run_dir", tmp_path, "--ckpt_path", "best")


def test_folder_of_a_classifier_is_no_checkpoint_of_a_pretraining(cli, configs, tmp_path):
    arguments = ["--config", configs / "pretrain/digits.yaml", "--run_dir", tmp_path, "--trainer.accelerator", "cpu"]
    with pytest.raises(
        SystemExit, match=r"to be best, last or a checkpoint for DigitPretraining \(got the model '.*rst"
    ):
        cli("test", *arguments, "--ckpt_path", "rstg-3syncmnist")


@pytest.mark.parametrize("checkpoint", ["elsewhere/lst.ckpt", "rstg-3syncmnist"])
def test_fit_from_a_checkpoint_that_is_not_there_takes_no_folder(cli, tiny, tmp_path, checkpoint):
    with pytest.raises(SystemExit, match=rf"'--ckpt_path' to be best, last or a checkpoint \(got '{checkpoint}', no"):
        cli("fit", *tiny, "--run_dir", tmp_path / "run", "--ckpt_path", checkpoint)
    assert list(tmp_path.iterdir()) == []


def test_run_stays_in_its_folder_whatever_the_logger(cli, tiny, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    logger = ["--trainer.logger", "CSVLogger", "--trainer.logger.save_dir", "."]
    cli("fit", *tiny, "--run_dir", tmp_path / "run", *logger, "--trainer.limit_train_batches", 1)
    assert {"config.yaml", "learning_curve.png", "checkpoints"} <= {path.name for path in (tmp_path / "run").iterdir()}
    assert {path.name for path in tmp_path.iterdir()} == {"run", "lightning_logs"}
    with pytest.raises(SystemExit, match=r"Expected '--run_dir' in place of 'trainer.default_root_dir' \(got here\)"):
        cli("fit", *tiny, "--trainer.default_root_dir", "here")


@pytest.mark.parametrize("subcommand", ["validate", "test", "predict"])
def test_random_weights_are_not_scored(cli, tiny, tmp_path, subcommand):
    with pytest.raises(SystemExit, match=rf"Expected '--ckpt_path' to be .* to {subcommand} \(got none\)"):
        cli(subcommand, *tiny, "--run_dir", tmp_path)


@pytest.mark.parametrize(("native", "precision"), [(True, "bf16-mixed"), (False, "32-true")])
def test_precision_is_bfloat16_where_the_hardware_has_it(monkeypatch, native, precision):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: native)
    assert default_precision("cpu") == precision


def test_whole_model_in_another_type_gives_the_same_scores(cli, fitted, tmp_path):
    folder, _ = fitted
    given = ["--config", folder / "config.yaml", "--ckpt_path", folder / "checkpoints" / "last.ckpt"]
    single, double, half = (
        cli("test", *given, "--run_dir", tmp_path, "--trainer.precision", name)
        .trainer.logged_metrics["test/loss"]
        .item()
        for name in ("32-true", "64-true", "bf16-true")
    )
    assert double == pytest.approx(single, rel=1e-5)
    assert half == pytest.approx(single, rel=1e-2)
    assert (tmp_path / "test" / "attention.png").is_file()


def test_one_callback_without_a_list(cli, tiny, tmp_path):
    (tmp_path / "one.yaml").write_text(
        "trainer: {callbacks: {class_path: EarlyStopping, init_args: {monitor: val/loss}}}"
    )
    run = cli("fit", *tiny, "--config", tmp_path / "one.yaml", "--trainer.fast_dev_run", "true")
    assert run.trainer.early_stopping_callback.monitor == "val/loss"


def test_best_checkpoint_is_not_the_one_with_the_highest_loss(cli, tiny, tmp_path):
    given = [*tiny, "--run_dir", tmp_path / "run", "--best_checkpoint.monitor", "val/loss"]
    with pytest.raises(SystemExit, match=r"Expected 'best_checkpoint.mode' to be min for 'val/loss'"):
        cli("fit", *given)


@pytest.mark.parametrize("number", [3, -1])
def test_several_best_checkpoints_need_names_of_their_own(cli, tiny, tmp_path, number):
    given = [*tiny, "--run_dir", tmp_path / "run", "--best_checkpoint.save_top_k", number]
    with pytest.raises(SystemExit, match=rf"'best_checkpoint.save_top_k' is {number} \(got 'best', over which"):
        cli("fit", *given)
