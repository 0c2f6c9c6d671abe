"""Weights of a pre-trained backbone: read from a file, loaded strictly, with a report."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from rstg_pyg.models.state_comparison import state_differences

CHECKPOINT_PREFIXES = ("network.backbone.", "backbone.")


def read_backbone_weights(path: str | Path) -> dict[str, Tensor]:
    """Read a backbone's state from ``.safetensors``, or out of a Lightning checkpoint.

    Args:
        path: Exported by :class:`~lightning_modules.DigitPretraining`, or any checkpoint of our LightningModules.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a checkpoint holds no backbone.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"Expected 'backbone_weights' to be a .safetensors file or a checkpoint (got '{path}', which is no file)"
        )
    if path.suffix == ".safetensors":
        return load_file(path)
    state = torch.load(path, map_location="cpu", weights_only=True).get("state_dict", {})
    for prefix in CHECKPOINT_PREFIXES:
        weights = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        if weights:
            return weights
    raise ValueError(
        f"Expected 'backbone_weights' to hold tensors named {' or '.join(f'{p}*' for p in CHECKPOINT_PREFIXES)} "
        f"(got '{path}' with {sorted(state)[:5]}...)"
    )


def load_backbone_weights(backbone: nn.Module, path: str | Path) -> str:
    """Load a backbone's weights; every tensor must be there, and none besides.

    Returns:
        The report: what was loaded from where.

    Raises:
        ValueError: If names or shapes differ; the error lists matched, missing, unexpected and misshapen tensors.
    """
    weights = read_backbone_weights(path)
    differences = state_differences(backbone.state_dict(), weights)
    if differences:
        raise ValueError(
            f"Expected 'backbone_weights' to match {type(backbone).__name__} (got '{path}')\n{differences}"
        )
    backbone.load_state_dict(weights)
    size = sum(value.numel() for value in weights.values())
    return f"Backbone weights: {len(weights)} tensors ({size:,} numbers) of {type(backbone).__name__} from {path}"
