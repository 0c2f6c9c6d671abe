"""A trained network as a folder to share."""

from pathlib import Path

import torch

from lightning_modules.trained_classifier import load_trained
from rstg_pyg import VideoClassifier
from rstg_pyg.models.model_folder import clip_shape


def save_pretrained(ckpt_path: Path, folder: Path, card: Path | None = None) -> None:
    """Write the network of a checkpoint as a folder that VideoClassifier.from_pretrained reads.

    The folder is read back, and has to give the checkpoint's logits on a random clip bit for bit.

    Args:
        ckpt_path: Checkpoint of a video classifier that fit trained.
        folder: Where to write config.json and model.safetensors; those there already are replaced.
        card: Model card, a Markdown file to become README.md; without one the folder's README.md stays as it is.

    Raises:
        ValueError: If the checkpoint does not say what its network is, or its data what they are.
        FileExistsError: If a card is given and the folder has one.
    """
    trained = load_trained(ckpt_path)
    trained.save_pretrained(folder, card)

    loaded = VideoClassifier.from_pretrained(folder)
    clip = torch.rand(1, *clip_shape(loaded.config))
    with torch.no_grad():
        if not torch.equal(loaded(clip), trained(clip)):
            raise RuntimeError(f"Expected '{folder}' to give the checkpoint's logits on a random clip (they differ)")
    numbers = sum(tensor.numel() for tensor in loaded.state_dict().values())
    print(
        f"Wrote {folder}: config.json, model.safetensors ({numbers:,} numbers){', README.md' if card else ''}\n"
        f"{len(loaded.config['class_names'])} classes, clips of [T, channels, H, W] = {clip_shape(loaded.config)}\n"
        "Read back, it gives the checkpoint's logits on a random clip, bit for bit"
    )
    if not (folder / "README.md").exists():
        print("It has no README.md yet: docs/model_card.md is a model card to fill in")
