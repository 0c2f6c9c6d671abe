"""The folder that a model is shared in, laid out as a repository of the Hugging Face Hub.

It holds ``config.json``, ``model.safetensors`` (float32) and the model card, ``README.md``.
"""

import json
import math
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

import rstg_pyg
from rstg_pyg.models.state_comparison import state_differences

SHIPPED = Path(__file__).parents[1] / "pretrained"
FORMAT_VERSION = 1
CONFIG_KEYS = ("format_version", "rstg_pyg_version", "network", "class_names", "input")
INPUT_KEYS = ("channels", "num_frames", "frame_size", "value_range")


def complete_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Check a model's configuration, and add the versions where they are missing.

    Args:
        config: See :meth:`rstg_pyg.VideoClassifier.from_config`.

    Returns:
        A copy that holds what ``config.json`` can hold.

    Raises:
        ValueError: If the format is newer than this package, or keys or values are not as described.
    """
    if not isinstance(config, Mapping):
        raise ValueError(f"Expected 'config' to be a mapping (got {config!r})")
    version = config.get("format_version", FORMAT_VERSION)
    if version != FORMAT_VERSION:
        raise ValueError(
            f"Expected 'format_version' to be {FORMAT_VERSION}, which rstg_pyg {rstg_pyg.__version__} reads (got "
            f"{version!r}, written by rstg_pyg {config.get('rstg_pyg_version')}): a newer format needs a newer package"
        )
    config = {"format_version": FORMAT_VERSION, "rstg_pyg_version": rstg_pyg.__version__, **config}
    _check_keys("config", config, CONFIG_KEYS)
    _check_input(config["input"])
    names = config["class_names"]
    if not isinstance(names, (list, tuple)) or not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"Expected 'class_names' to be a list of strings, one a class (got {names!r})")
    try:
        return json.loads(json.dumps(config))
    except TypeError as error:
        raise ValueError(f"Expected 'config' to hold plain values, as JSON does ({error})") from error


def clip_shape(config: Mapping[str, Any]) -> list[int]:
    """Frames, channels, height and width of the clips that a configuration describes."""
    described = config["input"]
    return [described["num_frames"], described["channels"], *described["frame_size"]]


def find_folder(name_or_folder: str | Path, expected: str = "'name_or_folder' to be a folder") -> Path:
    """The folder of a shipped model, or the folder itself.

    Args:
        name_or_folder: The model's name, or the folder.
        expected: What the error says it should have been, besides a shipped model.

    Raises:
        FileNotFoundError: If it is neither; the error lists the models that ship.
    """
    shipped = sorted(path.parent.name for path in SHIPPED.glob("*/config.json"))
    if name_or_folder in shipped:
        return SHIPPED / name_or_folder
    if not Path(name_or_folder).is_dir():
        raise FileNotFoundError(
            f"Expected {expected}, or one of {shipped}, which ship with rstg_pyg (got {str(name_or_folder)!r})"
        )
    return Path(name_or_folder)


def read_config(folder: Path) -> dict[str, Any]:
    """Read ``config.json``.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it does not hold JSON.
    """
    path = _file_in(folder, "config.json")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"Expected '{path}' to hold JSON ({error})") from error


def load_weights(network: nn.Module, folder: Path) -> None:
    """Load ``model.safetensors`` into a network.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it is damaged, or its tensors are not the network's.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = _file_in(folder, "model.safetensors")
    try:
        weights = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"Expected '{path}' to be a safetensors file ({error})") from error
    copy_state(weights, network, name=str(path))


def copy_state(state: Mapping[str, Tensor], network: nn.Module, name: str) -> None:
    """Copy tensors into a network that has the same and no others.

    Args:
        state: The tensors, float32 where they are floating point.
        network: Where they go.
        name: What errors call the tensors.

    Raises:
        ValueError: If names, shapes or types differ.
    """
    differences = state_differences(network.state_dict(), state)
    if differences:
        raise ValueError(f"Expected '{name}' to hold the tensors of the network in its config\n{differences}")
    types = {str(state[key].dtype) for key, tensor in network.state_dict().items() if tensor.dtype != state[key].dtype}
    if types:
        raise ValueError(
            f"Expected '{name}' to hold float32, and integers where the network does (got {', '.join(sorted(types))})"
        )
    network.load_state_dict(state)


def write_folder(folder: str | Path, config: Mapping[str, Any], network: nn.Module, card: str | Path | None) -> None:
    """Write ``config.json``, ``model.safetensors`` and, where a card is given, ``README.md``.

    Raises:
        FileExistsError: If a card is given and there is one already; nothing is written then.
        FileNotFoundError: If the card is not there; nothing is written then either.
    """
    from safetensors.torch import save

    folder = Path(folder)
    check_card(card, folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
    text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    written = {"model.safetensors": save(tensors, {"format": "pt"}), "config.json": text.encode()}
    for name, content in written.items():
        (folder / f"{name}.tmp").write_bytes(content)
    for name in written:
        (folder / f"{name}.tmp").replace(folder / name)
    if card is not None:
        shutil.copyfile(card, folder / "README.md")


def check_card(card: str | Path | None, folder: Path) -> None:
    """Raise what :func:`write_folder` would for a model card."""
    if card is None:
        return
    if not Path(card).is_file():
        raise FileNotFoundError(f"Expected 'card' to be a Markdown file (got '{card}', which is no file)")
    if (folder / "README.md").exists():
        raise FileExistsError(
            f"Expected 'card' to be None where '{folder}' has a README.md, which stays as it is (got '{card}')"
        )


def _file_in(folder: Path, name: str) -> Path:
    if not (folder / name).is_file():
        raise FileNotFoundError(f"Expected '{folder}' to hold config.json and model.safetensors (got no {name})")
    return folder / name


def _check_keys(name: str, mapping: Any, keys: Collection[str]) -> None:
    if not isinstance(mapping, Mapping) or set(mapping) != set(keys):
        got = list(mapping) if isinstance(mapping, Mapping) else mapping
        raise ValueError(f"Expected '{name}' to have the keys {list(keys)} (got {got})")


def _check_input(described: Any) -> None:
    _check_keys("input", described, INPUT_KEYS)
    for name in ("frame_size", "value_range"):
        if not isinstance(described[name], (list, tuple)) or len(described[name]) != 2:
            raise ValueError(f"Expected '{name}' of 'input' to be a pair (got {described[name]!r})")
    for size in (described["channels"], described["num_frames"], *described["frame_size"]):
        if type(size) is not int or size < 1:
            raise ValueError(f"Expected 'input' to have sizes of at least 1 (got {dict(described)})")
    low, high = described["value_range"]
    if not all(isinstance(bound, (int, float)) and math.isfinite(bound) for bound in (low, high)) or not low < high:
        raise ValueError(f"Expected 'value_range' of 'input' to be two numbers, low < high (got {[low, high]})")
