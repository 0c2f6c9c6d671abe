"""A trained network as a folder to share."""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from lightning_modules.trained_classifier import load_trained
from rstg_pyg import VideoClassifier
from rstg_pyg.models.model_folder import check_card, clip_shape


def save_pretrained(ckpt_path: Path, folder: Path, card: Path | None = None) -> None:
    """Write the network of a checkpoint as a folder that VideoClassifier.from_pretrained reads.

    What is written is read back before anything in the folder is replaced, and has to give the checkpoint's logits on a
    random clip bit for bit.

    Args:
        ckpt_path: Checkpoint of a video classifier that fit trained.
        folder: Where to write config.json and model.safetensors; those there already are replaced.
        card: Model card, a Markdown file to become README.md; without one the folder's README.md stays as it is.

    Raises:
        ValueError: If the checkpoint does not say what its network is, or its data what they are, or a class of the
            network is not of this package.
        FileExistsError: If a card is given and the folder has one.
        FileNotFoundError: If the checkpoint or the card is not there.
        RuntimeError: If what is written gives other logits.
    """
    check_card(card, folder)
    trained = load_trained(ckpt_path)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent) as temporary:
        written = Path(temporary, "model")
        trained.save_pretrained(written, card)
        loaded = VideoClassifier.from_pretrained(written)
        clip = torch.rand(1, *clip_shape(loaded.config))
        with torch.no_grad():
            if not torch.equal(loaded(clip), trained(clip)):
                raise RuntimeError(
                    f"Expected '{folder}' to give the checkpoint's logits on a random clip (they differ): nothing was "
                    "written"
                )
        folder.mkdir(exist_ok=True)
        for file in written.iterdir():
            file.replace(folder / file.name)
    numbers = sum(tensor.numel() for tensor in loaded.state_dict().values())
    print(
        f"Wrote {folder}: config.json, model.safetensors ({numbers:,} numbers){', README.md' if card else ''}\n"
        f"{len(loaded.config['class_names'])} classes, clips of [T, channels, H, W] = {clip_shape(loaded.config)}\n"
        "Read back, it gives the checkpoint's logits on a random clip, bit for bit"
    )
    if not (folder / "README.md").exists():
        print("It has no README.md yet: docs/model_card.md is a model card to fill in")
