import math

import pytest
import torch
from pytorch_lightning import Trainer
from safetensors.torch import load_file
from torch.utils.data import DataLoader

from lightning_modules import DigitPretraining
from lightning_modules.digit_pretraining import locate_loss
from rstg_pyg.models import SmallCNN

TINY = [
    *("--model.backbone.widths", "[4, 4, 8]", "--data.frame_size", 32, "--data.batch_size", 8, "--data.num_workers", 0),
    *("--data.epoch_frames", 16, "--data.val_frames", 8, "--trainer.max_epochs", 1, "--trainer.accelerator", "cpu"),
    *("--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false"),
]


def frames():
    labels = torch.tensor([0, 0, 1, 0, 1])
    return DataLoader(list(zip(torch.rand(5, 1, 16, 16), labels, strict=True)), batch_size=4)


def trainer():
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    return Trainer(accelerator="cpu", max_epochs=1, logger=False, **quiet)


def test_fit_exports_the_best_backbone(cli, configs, tmp_path):
    run = cli("fit", "--config", configs / "pretrain/digits.yaml", *TINY, "--run_dir", tmp_path / "run")
    exported = load_file(tmp_path / "run" / "backbone.safetensors")
    best = DigitPretraining.load_from_checkpoint(run.trainer.checkpoint_callback.best_model_path)
    torch.testing.assert_close(exported, dict(best.backbone.state_dict()))
    assert {"train/loss", "val/loss", "val/acc"} <= run.trainer.callback_metrics.keys()


def test_places_ask_for_boxes():
    module = DigitPretraining(SmallCNN(widths=(2, 2, 4)), num_classes=10, locate_weight=1.0)
    with pytest.raises(ValueError, match="set 'return_box'"):
        module.on_before_batch_transfer((torch.rand(1, 1, 16, 16), torch.tensor([3])), 0)


def test_label_out_of_range():
    module = DigitPretraining(SmallCNN(widths=(2, 2, 4)), num_classes=10)
    with pytest.raises(ValueError, match=r"Expected 'label' to be in \[0, 9\] \(got \[10\]\)"):
        module.on_before_batch_transfer((torch.rand(1, 1, 16, 16), torch.tensor([10])), 0)


def test_loss_that_is_no_number_stops_the_fit_before_the_weights_change():
    module = DigitPretraining(SmallCNN(widths=(2, 2, 4)), num_classes=2)
    with torch.no_grad():
        module.classify.bias[0] = torch.inf
    before = module.classify.weight.clone()
    with pytest.raises(ValueError, match=r"Expected 'loss' to be finite \(got nan at training step 0\)"):
        trainer().fit(module, frames())
    assert torch.equal(module.classify.weight, before)


def test_accuracy_is_over_frames_not_over_batches():
    module = DigitPretraining(SmallCNN(widths=(2, 2, 4)), num_classes=2)
    with torch.no_grad():
        module.classify.weight.zero_()
        module.classify.bias.copy_(torch.tensor([1.0, 0.0]))  # always says class 0
    (scores,) = trainer().test(module, frames(), verbose=False)  # batches of 4 and 1
    assert scores["test/acc"] == pytest.approx(3 / 5)


def test_locate_loss_of_one_digit_by_hand():
    box = torch.tensor([[0.0, 0.0, 0.5, 0.6]])  # of the 2×2 positions, (0.25, 0.25) alone is inside
    label = torch.tensor([1])
    located = torch.zeros(1, 2 + 3, 2, 2)
    located[0, 1, 0, 0] = located[0, 2, 0, 1] = located[0, 2, 1, 0] = math.log(2.0)  # 2 : 1 : 1 for what is right
    located[0, 3:, 0, 0] = torch.tensor([0.0, (0.3 - 0.25) / 0.3])  # the centre is (0.25, 0.3), 0.3 half a width
    located[0, 3:, 1, 1] = 7.0  # nobody asks there
    on_digit, elsewhere = math.log(2), (math.log(2) + math.log(2) + math.log(3)) / 3  # the last says 1 : 1 : 1
    expected = on_digit + elsewhere
    torch.testing.assert_close(locate_loss(located, label, box), torch.tensor(expected))
