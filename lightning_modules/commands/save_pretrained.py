"""A trained network as a folder to share."""

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningDataModule
from pytorch_lightning.cli import instantiate_module

from lightning_modules.video_classification import VideoClassification
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
    network = VideoClassifier.from_config(read_description(ckpt_path))
    trained = VideoClassification.load_from_checkpoint(ckpt_path, map_location="cpu").network.eval()
    network.load_state_dict(trained.state_dict())
    network.save_pretrained(folder, card)

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


def read_description(ckpt_path: Path) -> dict[str, Any]:
    """What :meth:`rstg_pyg.VideoClassifier.from_config` needs, from the hyper-parameters in a checkpoint.

    The network's are there with all links resolved; class names and input are those of its data module.

    Raises:
        ValueError: If the checkpoint was not written by ``main.py fit`` of a video classifier, or the data module does
            not say its class names, channels, frames and frame size.
    """
    checkpoint = torch.load(ckpt_path, map_location="cpu", mmap=True, weights_only=True)
    network = checkpoint.get("hyper_parameters", {}).get("network")
    arguments = checkpoint.get("datamodule_hyper_parameters")
    if network is None or arguments is None:
        raise ValueError(
            "Expected 'ckpt_path' to be the checkpoint of a video classifier that main.py fit trained "
            f"(got '{ckpt_path}', which does not say what its network and data were)"
        )
    arguments = {name: value for name, value in arguments.items() if name != "_instantiator"}
    data = instantiate_module(LightningDataModule, arguments)
    missing = [name for name in ("class_names", "channels", "num_frames", "frame_size") if not hasattr(data, name)]
    if missing:
        raise ValueError(f"Expected the data module {type(data).__name__} to have {missing} (got none)")
    return {
        "network": network,
        "class_names": data.class_names,
        "input": {
            "channels": data.channels,
            "num_frames": data.num_frames,
            "frame_size": [data.frame_size, data.frame_size],
            "value_range": [0.0, 1.0],
        },
    }
