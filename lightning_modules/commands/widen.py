"""A trained network with wider nodes."""

from pathlib import Path

from lightning_modules.trained_classifier import load_classifier
from rstg_pyg import models


def widen(folder: Path, ckpt_path: Path | None = None, pretrained: str | None = None, seed: int = 0) -> None:
    """Write a classifier with twice its node channels, computing the same, for fit to go on from.

    The folder is as save-pretrained writes it. A fit whose config has the doubled channels takes its model.safetensors
    as --model.network_weights.

    Args:
        folder: Where to write config.json and model.safetensors; those there already are replaced.
        ckpt_path: Checkpoint of a video classifier that fit trained; this or pretrained.
        pretrained: A model that ships with the package, or a folder that save-pretrained wrote.
        seed: Seed of the shares that the two copies of a channel have in what is made of it.

    Raises:
        ValueError: If the classifier is not an RSTGToVec with a ClassifierHead, or its backbone has twice the channels
            of its nodes.
    """
    wide = models.widen(load_classifier(ckpt_path, pretrained), seed)
    wide.save_pretrained(folder)
    numbers = sum(tensor.numel() for tensor in wide.state_dict().values())
    print(f"Wrote {folder}: {wide.graph.rstg.hidden_channels} node channels, {numbers:,} numbers")
