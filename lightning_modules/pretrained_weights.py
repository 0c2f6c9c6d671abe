"""Weights to start from: read from a file, loaded strictly, with a report."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from rstg_pyg.models.small_cnn import AddCoordinates, ResidualBlock
from rstg_pyg.models.state_comparison import state_differences

NETWORK_PREFIXES = ("network.",)  # in checkpoints of our LightningModules
FRAME_LOSS_PREFIXES = ("frame_loss.", "loss.")  # of a classification's, and of a pre-training's


def read_weights(path: str | Path, name: str, prefixes: Sequence[str]) -> dict[str, Tensor]:
    """Read a module's state from ``.safetensors``, or out of a Lightning checkpoint.

    Args:
        path: The file.
        name: The argument's name in errors.
        prefixes: What may stand before the names of the module's tensors in a checkpoint; the first that is there
            counts.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a checkpoint does not hold the module.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"Expected '{name}' to be a .safetensors file or a checkpoint (got '{path}', which is no file)"
        )
    if path.suffix == ".safetensors":
        return load_file(path)
    state = torch.load(path, map_location="cpu", weights_only=True).get("state_dict", {})
    for prefix in prefixes:
        weights = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        if weights:
            return weights
    raise ValueError(
        f"Expected '{name}' to hold tensors named {' or '.join(f'{p}*' for p in prefixes)} "
        f"(got '{path}' with {sorted(state)[:5]}...)"
    )


def load_weights(
    module: nn.Module, path: str | Path, name: str, prefixes: Sequence[str], but: str | None = None
) -> str:
    """Load a module's weights; every tensor must be there, and none besides.

    Residual blocks and coordinates of a :class:`~rstg_pyg.models.SmallCNN` that the file knows nothing of stay as they
    are: the identity, where they are new.

    Args:
        module: The module.
        path: See :func:`read_weights`, as the others.
        name: The argument's name in errors.
        prefixes: Prefixes in a checkpoint.
        but: A sub-module whose tensors are left as they are, whatever the file has.

    Returns:
        The report: what was loaded from where.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If names or shapes differ; the error lists matched, missing, unexpected and misshapen tensors.
    """
    left = [] if but is None else [but]
    own, weights = (_without(state, left) for state in (module.state_dict(), read_weights(path, name, prefixes)))
    added = [place for place, part in module.named_modules() if isinstance(part, ResidualBlock | AddCoordinates)]
    left += [place for place in added if _holds(own, place) and not _holds(weights, place)]
    differences = state_differences(_without(own, left), weights)
    if differences:
        raise ValueError(f"Expected '{name}' to match {type(module).__name__} (got '{path}')\n{differences}")
    module.load_state_dict(weights, strict=False)
    size = sum(value.numel() for value in weights.values())
    rest = f", all but {', '.join(left)}," if left else ""
    return f"{name}: {len(weights)} tensors ({size:,} numbers) of {type(module).__name__}{rest} from {path}"


def _holds(state: Mapping[str, Tensor], part: str) -> bool:
    return any(name.startswith(f"{part}.") for name in state)


def _without(state: Mapping[str, Tensor], parts: Sequence[str]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if not any(name.startswith(f"{part}.") for part in parts)}
