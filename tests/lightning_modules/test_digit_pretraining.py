import pytest
import torch
from pytorch_lightning import Trainer
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader

from lightning_modules import DigitLoss, DigitPretraining
from lightning_modules.callbacks import BackboneExport
from rstg_pyg.models import SmallCNN

TINY = [
    *("--model.backbone.widths", "[4, 4, 8]", "--data.frame_size", 32, "--data.batch_size", 8, "--data.num_workers", 0),
    *("--data.epoch_frames", 16, "--data.val_frames", 8, "--trainer.max_epochs", 1, "--trainer.accelerator", "cpu"),
    *("--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false"),
]


def frames():
    shown = torch.tensor([[1, 0], [1, 0], [0, 1], [1, 0], [0, 1]], dtype=torch.bool)
    return DataLoader(list(zip(torch.rand(5, 1, 24, 24), shown, torch.rand(5, 2, 2), strict=True)), batch_size=4)


def trainer(**settings):
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    return Trainer(accelerator="cpu", max_epochs=1, logger=False, **quiet, **settings)


def test_fit_exports_the_best_backbone(cli, configs, tmp_path):
    own = ["--trainer.callbacks+", "ModelCheckpoint", "--trainer.callbacks.dirpath", tmp_path / "own"]
    run = cli("fit", "--config", configs / "pretrain/digits.yaml", *TINY, "--run_dir", tmp_path / "run", *own)
    torch.nn.init.zeros_(run.model.backbone.convs[0].weight)  # what came after the best
    BackboneExport().on_fit_end(run.trainer, run.model)
    exported = load_file(tmp_path / "run" / "backbone.safetensors")
    assert exported["convs.0.weight"].any()
    best = DigitPretraining.load_from_checkpoint(tmp_path / "run" / "checkpoints" / "best.ckpt")
    torch.testing.assert_close(exported, dict(best.backbone.state_dict()))
    assert {"train/loss", "val/loss", "val/acc"} <= run.trainer.callback_metrics.keys()


def test_fit_starts_from_a_backbone_without_blocks_and_coordinates(tmp_path, caplog):
    plain = SmallCNN(widths=(2, 2, 4))
    save_file(plain.state_dict(), tmp_path / "plain.safetensors")
    frozen, start = {"optimizer": lambda p: torch.optim.SGD(p, lr=0.0)}, str(tmp_path / "plain.safetensors")
    backbone = SmallCNN(widths=(2, 2, 4), num_blocks=2, coordinates=True)
    module = DigitPretraining(backbone, 2, **frozen, backbone_weights=start)
    with caplog.at_level("INFO"):
        trainer(default_root_dir=tmp_path).fit(module, frames())
    assert "of SmallCNN, all but coordinates, blocks.0, blocks.1, from" in caplog.text
    video = torch.rand(2, 1, 1, 24, 24)
    torch.testing.assert_close(module.backbone(video), plain(video), rtol=0, atol=0)


@pytest.mark.parametrize("prefix", ["loss.", "frame_loss."])
def test_fit_starts_from_the_loss_of_another_training(tmp_path, prefix):
    trained = DigitLoss(4, num_classes=2, locate_weight=0.0).state_dict()
    state = {f"{prefix}{name}": value + 1 for name, value in trained.items()}
    torch.save({"state_dict": state}, tmp_path / "last.ckpt")
    frozen, start = {"optimizer": lambda p: torch.optim.SGD(p, lr=0.0)}, str(tmp_path / "last.ckpt")
    module = DigitPretraining(SmallCNN(widths=(2, 2, 4)), 2, **frozen, loss_weights=start)
    trainer(default_root_dir=tmp_path, limit_train_batches=0).fit(module, frames())
    torch.testing.assert_close(dict(module.loss.state_dict()), {k: value + 1 for k, value in trained.items()})
    module = DigitPretraining(SmallCNN(widths=(2, 2, 4)), 3, loss_weights=start)
    with pytest.raises(ValueError, match=r"(?s)'loss_weights' to match DigitLoss .*read.2"):
        trainer(default_root_dir=tmp_path).fit(module, frames())


def test_a_block_half_there_does_not_fit(tmp_path):
    state = SmallCNN(widths=(2, 2, 4), num_blocks=1).state_dict()
    del state["blocks.0.conv2.bias"]
    save_file(state, tmp_path / "half.safetensors")
    start = str(tmp_path / "half.safetensors")
    module = DigitPretraining(SmallCNN(widths=(2, 2, 4), num_blocks=2), 2, backbone_weights=start)
    with pytest.raises(ValueError, match=r"missing: \['blocks.0.conv2.bias'\]"):
        trainer().fit(module, frames())


@pytest.mark.parametrize(
    ("shown", "centre", "message"),
    [
        (torch.ones(1, 9).bool(), torch.rand(1, 10, 2), r"'shown' to be of shape \[1, 10\] \(got \[1, 9\]\)"),
        (torch.ones(1, 10).bool(), torch.rand(1, 10), r"'centre' to be of shape \[1, 10, 2\] \(got \[1, 10\]\)"),
        (torch.zeros(1, 10).bool(), torch.rand(1, 10, 2), r"'shown' to hold a digit for every frame"),
    ],
)
def test_batch_that_does_not_fit(shown, centre, message):
    module = DigitPretraining(SmallCNN(widths=(2, 2, 4)), num_classes=10)
    with pytest.raises(ValueError, match=message):
        module.on_before_batch_transfer((torch.rand(1, 1, 16, 16), shown, centre), 0)


def test_loss_that_is_no_number_stops_the_fit_before_the_weights_change():
    module = DigitPretraining(SmallCNN(widths=(2, 2, 4)), num_classes=2)
    with torch.no_grad():
        module.loss.read[2].bias[0] = torch.inf
    before = module.loss.read[2].weight.clone()
    with pytest.raises(ValueError, match=r"Expected 'loss' to be finite \(got nan at training step 0\)"):
        trainer().fit(module, frames())
    assert torch.equal(module.loss.read[2].weight, before)


def test_accuracy_is_over_frames_not_over_batches():
    module = DigitPretraining(SmallCNN(widths=(2, 2, 4)), num_classes=2)
    with torch.no_grad():
        module.loss.read[2].weight.zero_()
        module.loss.read[2].bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0, 0.0]))  # always says class 0
    (scores,) = trainer().test(module, frames(), verbose=False)  # batches of 4 and 1
    assert scores["test/acc"] == pytest.approx(3 / 5)
