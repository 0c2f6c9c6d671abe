"""The classifier in a checkpoint, with what it says of itself."""

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningDataModule
from pytorch_lightning.cli import instantiate_module

from lightning_modules.data_description import DATA_DESCRIPTION, describe_data
from lightning_modules.video_classification import VideoClassification
from rstg_pyg import VideoClassifier
from rstg_pyg.models.model_folder import complete_config, find_folder


def load_classifier(ckpt_path: Path | None, pretrained: str | None) -> VideoClassifier:
    """The classifier that a command's arguments name, in eval mode on the CPU.

    Args:
        ckpt_path: Checkpoint of a video classifier that fit trained.
        pretrained: A model that ships with the package, or a folder that save-pretrained wrote.

    Raises:
        ValueError: If not exactly one of the two is given, or the checkpoint does not say what its network is.
        FileNotFoundError: If there is no such model.
    """
    if ckpt_path is not None and pretrained is None:
        return load_trained(ckpt_path)
    if pretrained is not None and ckpt_path is None:
        return VideoClassifier.from_pretrained(find_folder(pretrained, "'pretrained' to be a folder"))
    raise ValueError(f"Expected 'ckpt_path' or 'pretrained', and not both (got {ckpt_path} and {pretrained})")


def load_trained(ckpt_path: Path) -> VideoClassifier:
    """The network of a checkpoint, in eval mode on the CPU, with the config to build it again.

    Args:
        ckpt_path: Checkpoint of a video classifier that fit trained.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If the checkpoint does not say what its network is, or its data what they are, or the network is no
            :class:`rstg_pyg.VideoClassifier`.
    """
    config = complete_config(read_description(ckpt_path))
    network = VideoClassification.load_from_checkpoint(ckpt_path, map_location="cpu").network
    if not isinstance(network, VideoClassifier):
        raise ValueError(
            f"Expected 'ckpt_path' to hold a VideoClassifier (got a {type(network).__name__} in '{ckpt_path}')"
        )
    network.config = config
    return network.eval()


def read_description(ckpt_path: Path) -> dict[str, Any]:
    """What :meth:`rstg_pyg.VideoClassifier.from_config` needs, from a checkpoint.

    The network is that of the hyper-parameters, which have all links resolved. A checkpoint also holds the class names
    and the input; for one that was written when they did not, the data module is asked, and its data have to be there.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If the checkpoint was not written by ``main.py fit`` of a video classifier, or does not hold class
            names and input and the data module cannot say them.
    """
    if not ckpt_path.is_file():
        raise FileNotFoundError(f"Expected 'ckpt_path' to be a checkpoint (got '{ckpt_path}', which is no file)")
    checkpoint = torch.load(ckpt_path, map_location="cpu", mmap=True, weights_only=True)
    network = checkpoint.get("hyper_parameters", {}).get("network")
    arguments, described = checkpoint.get("datamodule_hyper_parameters"), checkpoint.get(DATA_DESCRIPTION)
    if network is None or (arguments is None and described is None):
        raise ValueError(
            "Expected 'ckpt_path' to be the checkpoint of a video classifier that main.py fit trained "
            f"(got '{ckpt_path}', which does not say what its network and data were)"
        )
    if described is None:
        arguments = {name: value for name, value in arguments.items() if name != "_instantiator"}
        try:
            described = describe_data(instantiate_module(LightningDataModule, arguments))
        except FileNotFoundError as error:
            raise ValueError(
                "Expected 'ckpt_path' to be a checkpoint that holds the names of its classes, or its training data to "
                f"be where they were (got '{ckpt_path}' without them, and of the data: {error})"
            ) from error
    return {"network": network, **described}
