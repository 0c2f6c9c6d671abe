"""A trained network with wider nodes."""

from pathlib import Path

import torch

from lightning_modules.trained_classifier import load_classifier
from rstg_pyg import models
from rstg_pyg.export.agreement import TOLERANCE
from rstg_pyg.export.programs import random_clips


@torch.no_grad()
def widen(folder: Path, ckpt_path: Path | None = None, pretrained: str | None = None, seed: int = 0) -> None:
    """Write a classifier with twice its node channels, computing the same, for fit to go on from.

    Before anything is written it has to give the classifier's logits for random clips to 1e-4. The folder is as
    save-pretrained writes it; a fit whose config has the doubled channels takes its model.safetensors as
    --model.network_weights.

    Args:
        folder: Where to write config.json and model.safetensors; those there already are replaced.
        ckpt_path: Checkpoint of a video classifier that fit trained; this or pretrained.
        pretrained: A model that ships with the package, or a folder that save-pretrained wrote.
        seed: Seed of the random split of every weight between the two copies of a channel.

    Raises:
        ValueError: If not one of ckpt_path and pretrained is given, or the classifier does not hold an RSTGToVec and a
            ClassifierHead, or its features have twice as many channels as its nodes.
        FileNotFoundError: If there is no such model.
        RuntimeError: If the wider classifier gives other logits.
    """
    model = load_classifier(ckpt_path, pretrained)
    wide = models.widen(model, seed)
    clips = random_clips(model, 3)
    difference = (wide(clips) - model(clips)).abs().max().item()
    if not difference <= TOLERANCE:
        raise RuntimeError(
            f"Expected the wider classifier to give the logits for random clips to {TOLERANCE:g} (got a difference of "
            f"{difference:.2g}): nothing was written"
        )
    wide.save_pretrained(folder)
    numbers = sum(tensor.numel() for tensor in wide.state_dict().values())
    print(
        f"Wrote {folder}: {wide.graph.rstg.hidden_channels} node channels, {numbers:,} numbers\n"
        f"It gives the logits for random clips as before: largest difference {difference:.1g}"
    )
