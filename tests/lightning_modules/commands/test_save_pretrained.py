import json
import runpy
import sys
from pathlib import Path

import pytest
import torch
import yaml
from pytorch_lightning import LightningDataModule

from data import class_names
from lightning_modules import VideoClassification
from lightning_modules.commands.save_pretrained import save_pretrained
from lightning_modules.trained_classifier import read_description
from rstg_pyg import VideoClassifier

MAIN = Path(__file__).parents[3] / "main.py"


class PlainData(LightningDataModule):
    """Says nothing of its videos."""


@pytest.fixture(scope="module")
def saved(fitted, tmp_path_factory):
    """The folder that the command makes of a run's best checkpoint, and what it prints."""
    run, _ = fitted
    folder = tmp_path_factory.mktemp("saved") / "model"
    arguments = ["save-pretrained", "--ckpt_path", run / "checkpoints/best.ckpt", "--folder", folder]
    with pytest.MonkeyPatch.context() as patch:
        printed: list[str] = []
        patch.setattr(sys, "argv", ["main.py", *map(str, arguments)])
        patch.setattr("builtins.print", lambda *values, **_: printed.append(" ".join(map(str, values))))
        runpy.run_path(str(MAIN), run_name="__main__")
    return folder, "\n".join(printed)


@torch.no_grad()
def test_folder_scores_the_runs_videos_as_the_checkpoint_does(fitted, saved):
    run, cli = fitted
    trained = VideoClassification.load_from_checkpoint(run / "checkpoints/best.ckpt").eval()
    loaded = VideoClassifier.from_pretrained(saved[0])
    cli.datamodule.setup("test")
    for video, _ in cli.datamodule.test_dataloader():
        assert torch.equal(loaded(video.float() / 255), trained(video))


def test_config_is_the_runs_with_its_links_resolved(fitted, saved):
    run, cli = fitted
    config = json.loads((saved[0] / "config.json").read_text())
    expected = yaml.safe_load((run / "config.yaml").read_text())["model"]["init_args"]["network"]
    expected["init_args"]["head"]["init_args"]["num_classes"] = 46
    expected["init_args"]["backbone"]["init_args"]["in_channels"] = 1
    assert config["network"] == expected
    assert config["class_names"] == class_names()
    assert config["input"] == {"channels": 1, "num_frames": 3, "frame_size": [32, 32], "value_range": [0.0, 1.0]}
    cli.datamodule.setup("test")
    assert list(cli.datamodule.test_dataloader().dataset[0][0].shape) == [3, 1, 32, 32]


def test_says_what_it_wrote(saved):
    folder, printed = saved
    numbers = sum(tensor.numel() for tensor in VideoClassifier.from_pretrained(folder).state_dict().values())
    assert f"Wrote {folder}: config.json, model.safetensors ({numbers:,} numbers)\n" in printed
    assert "46 classes, clips of [T, channels, H, W] = [3, 1, 32, 32]" in printed
    assert "bit for bit" in printed
    assert "no README.md yet: docs/model_card.md" in printed


def test_card_goes_along(fitted, tmp_path, capsys):
    run, _ = fitted
    (tmp_path / "card.md").write_text("# A card\n")
    save_pretrained(run / "checkpoints/best.ckpt", tmp_path / "model", tmp_path / "card.md")
    assert (tmp_path / "model/README.md").read_text() == "# A card\n"
    shown = capsys.readouterr().out
    assert "numbers), README.md\n" in shown
    assert "docs/model_card.md" not in shown


def test_weights_that_do_not_come_back_are_an_error(fitted, tmp_path, monkeypatch):
    run, _ = fitted
    loaded = VideoClassifier.from_pretrained
    files = [tmp_path / "model/config.json", tmp_path / "model/model.safetensors"]
    files[0].parent.mkdir()
    for file in files:
        file.write_text("the earlier one")

    def damaged(folder):
        classifier = loaded(folder)
        torch.nn.init.zeros_(classifier.head[-1].bias)
        return classifier

    monkeypatch.setattr(VideoClassifier, "from_pretrained", damaged)
    with pytest.raises(RuntimeError, match=r"Expected '.*model' to give the checkpoint's logits"):
        save_pretrained(run / "checkpoints/best.ckpt", tmp_path / "model")
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == files
    assert [file.read_text() for file in files] == ["the earlier one"] * 2
    monkeypatch.undo()
    save_pretrained(run / "checkpoints/best.ckpt", tmp_path / "model")
    assert loaded(tmp_path / "model").config["class_names"] == class_names()


@pytest.mark.parametrize(
    "checkpoint",
    [
        {"state_dict": {}},
        {"hyper_parameters": {"num_classes": 4}, "datamodule_hyper_parameters": {}},  # made in Python
        {"hyper_parameters": {"backbone": {}, "num_classes": 10}, "datamodule_hyper_parameters": {}},  # pre-training
        {"hyper_parameters": {"network": {}}},
        {"hyper_parameters": {"num_classes": 4}, "data_description": {"class_names": ["a"]}},
    ],
)
def test_checkpoint_that_does_not_say_what_it_is(tmp_path, checkpoint):
    torch.save(checkpoint, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match=r"Expected 'ckpt_path' to be .*got '.*other.ckpt', which does not say"):
        save_pretrained(tmp_path / "other.ckpt", tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_data_module_that_does_not_describe_its_videos(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "plain_data", sys.modules[__name__])
    checkpoint = {
        "hyper_parameters": {"network": {}},
        "datamodule_hyper_parameters": {"_class_path": "plain_data.PlainData", "_instantiator": "any"},
    }
    torch.save(checkpoint, tmp_path / "plain.ckpt")
    with pytest.raises(
        ValueError, match=r"PlainData to have \['class_names', 'channels', 'num_frames', 'frame_size'\]"
    ):
        read_description(tmp_path / "plain.ckpt")
