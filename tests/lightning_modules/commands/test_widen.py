import runpy
import sys
from pathlib import Path

import torch

from lightning_modules import VideoClassification
from lightning_modules.pretrained_weights import NETWORK_PREFIXES, load_weights
from rstg_pyg import VideoClassifier

MAIN = Path(__file__).parents[3] / "main.py"


def test_fit_goes_on_from_what_the_command_writes(fitted, tmp_path, monkeypatch, capsys):
    run, _ = fitted
    checkpoint = run / "checkpoints/best.ckpt"
    arguments = ["widen", "--ckpt_path", checkpoint, "--folder", tmp_path / "wide"]
    monkeypatch.setattr(sys, "argv", ["main.py", *map(str, arguments)])
    runpy.run_path(str(MAIN), run_name="__main__")

    trained = VideoClassification.load_from_checkpoint(checkpoint).network.eval()
    wide = VideoClassifier.from_pretrained(tmp_path / "wide")
    channels = trained.graph.rstg.hidden_channels
    numbers = sum(tensor.numel() for tensor in wide.state_dict().values())
    assert f"{2 * channels} node channels, {numbers:,} numbers" in capsys.readouterr().out

    network = VideoClassifier.from_config(wide.config)  # as a config of the doubled channels makes it
    load_weights(network, tmp_path / "wide/model.safetensors", "network_weights", NETWORK_PREFIXES)
    clip = torch.rand(2, 3, 1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(network.eval()(clip), trained(clip), rtol=1e-4, atol=1e-5)
