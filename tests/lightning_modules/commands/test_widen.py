import pytest
import torch

from lightning_modules import VideoClassification
from lightning_modules.commands import widen as command
from rstg_pyg import VideoClassifier


def test_fit_goes_on_from_what_the_command_writes(fitted, cli, tiny, tmp_path, capsys):
    run, _ = fitted
    checkpoint, folder = run / "checkpoints/best.ckpt", tmp_path / "wide"
    command.widen(folder, ckpt_path=checkpoint)
    trained = VideoClassification.load_from_checkpoint(checkpoint).network.eval()
    wide = VideoClassifier.from_pretrained(folder)
    channels = 2 * trained.graph.rstg.hidden_channels
    numbers = sum(tensor.numel() for tensor in wide.state_dict().values())
    assert f"{channels} node channels, {numbers:,} numbers" in capsys.readouterr().out
    clip = torch.rand(2, 3, 1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(wide(clip), trained(clip), rtol=1e-4, atol=1e-5)

    doubled = {"graph.node_channels": channels, "head.in_channels": channels}
    arguments = [argument for name, value in doubled.items() for argument in (f"--model.network.{name}", value)]
    weights = ["--model.network_weights", folder / "model.safetensors", "--model.optimizer.lr", 0]
    fit = cli("fit", *tiny, "--run_dir", tmp_path / "run", "--trainer.limit_train_batches", 1, *arguments, *weights)
    after = dict(fit.model.network.named_parameters())
    assert all(torch.equal(value, after[name]) for name, value in wide.named_parameters())


def test_other_logits_are_not_written(fitted, tmp_path, monkeypatch):
    run, _ = fitted

    def break_it(model, seed):
        wide = widen(model, seed)
        with torch.no_grad():
            wide.head[0].bias += 1e-3
        return wide

    widen = command.models.widen
    monkeypatch.setattr(command.models, "widen", break_it)
    with pytest.raises(RuntimeError, match=r"to give the logits for random clips to 0.0001 \(got a difference of 0.0"):
        command.widen(tmp_path / "wide", ckpt_path=run / "checkpoints/best.ckpt")
    assert not (tmp_path / "wide").exists()
