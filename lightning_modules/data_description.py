"""What a data module says of its videos: a checkpoint keeps it, and can be used without the data."""

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from pytorch_lightning import LightningDataModule

DATA_DESCRIPTION = "data_description"  # its key in a checkpoint
ATTRIBUTES = ("class_names", "channels", "num_frames", "frame_size")


def missing_attributes(data: LightningDataModule | None) -> list[str]:
    """What a data module would need to have to be described, and has not."""
    return [name for name in ATTRIBUTES if not hasattr(data, name)]


def check_class_names(trained: Sequence[str], data: LightningDataModule | None) -> None:
    """Check that the classes of a data module, if it says them, are those of a trained network, label by label.

    Args:
        trained: The names of the network's classes.
        data: The data module.

    Raises:
        ValueError: If a class is another one.
    """
    names = list(map(str, getattr(data, "class_names", trained)))
    differing = [(label, *pair) for label, pair in enumerate(zip_longest(trained, names)) if pair[0] != pair[1]]
    if differing:
        label, expected, got = differing[0]
        raise ValueError(
            f"Expected the data to have the classes that the network was trained on, in their order (got {got!r} in "
            f"place of {expected!r} as class {label}; {len(differing)} differ)"
        )


def describe_data(data: Any) -> dict[str, Any]:
    """The ``class_names`` and ``input`` of :meth:`rstg_pyg.VideoClassifier.from_config`, from a data module.

    Raises:
        ValueError: If the data module does not say its class names, channels, frames and frame size.
    """
    missing = missing_attributes(data)
    if missing:
        raise ValueError(f"Expected the data module {type(data).__name__} to have {missing} (got none)")
    return {
        "class_names": list(map(str, data.class_names)),
        "input": {
            "channels": data.channels,
            "num_frames": data.num_frames,
            "frame_size": [data.frame_size, data.frame_size],
            "value_range": [0.0, 1.0],
        },
    }
