"""What the tensors of :class:`rstg_pyg.models.InflatedResNet` are called in the checkpoints of others."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

CONVOLUTIONS = {"1": "a", "2": "b", "3": "c"}
CAFFE2_SUFFIXES = {"weight": "s", "bias": "b", "running_mean": "rm", "running_var": "riv"}


@dataclass(frozen=True)
class CheckpointLayout:
    """A way to name tensors.

    Attributes:
        name: What errors and reports call it.
        first: The tensor that tells the layout, that of the first convolution.
        rename: Name of a tensor of ours → its name there, or None where there is no such tensor.
        left_out: Pattern of tensors that are there and not for the backbone: the classifier, and what training keeps.
    """

    name: str
    first: str
    rename: Callable[[str], str | None]
    left_out: str


def find_layout(names: Mapping[str, object]) -> CheckpointLayout:
    """The layout that names of tensors are of.

    Raises:
        ValueError: If it is none of those known.
    """
    for layout in LAYOUTS:
        if layout.first in names:
            return layout
    known = {layout.name: layout.first for layout in LAYOUTS}
    raise ValueError(f"Expected a checkpoint with the first convolution of {known} (got {sorted(names)[:5]}...)")


def _torchvision(name: str) -> str | None:
    name = name.replace("stem.0.", "conv1.").replace("stem.1.", "bn1.")
    name = re.sub(r"^res(\d)\.(\d+)\.", lambda match: f"layer{int(match[1]) - 1}.{match[2]}.", name)
    return re.sub(r"\.norm(\d)\.", r".bn\1.", name).replace(".shortcut.", ".downsample.")


def _pytorchvideo(name: str) -> str | None:
    name = name.replace("stem.0.", "blocks.0.conv.").replace("stem.1.", "blocks.0.norm.")
    # The pool behind res2 is blocks.2.
    name = re.sub(
        r"^res(\d)\.(\d+)\.",
        lambda match: f"blocks.{1 if match[1] == '2' else match[1]}.res_blocks.{match[2]}.",
        name,
    )
    name = re.sub(r"\.(conv|norm)([123])\.", lambda match: f".branch2.{match[1]}_{CONVOLUTIONS[match[2]]}.", name)
    return name.replace(".shortcut.0.", ".branch1_conv.").replace(".shortcut.1.", ".branch1_norm.")


def _caffe2(name: str) -> str | None:
    module, _, tensor = name.rpartition(".")
    if tensor not in CAFFE2_SUFFIXES:  # the number of batches a norm has seen
        return None
    norm_suffix = f"_bn_{CAFFE2_SUFFIXES[tensor]}"
    if module in ("stem.0", "stem.1"):
        return "conv1_w" if module == "stem.0" else f"res_conv1{norm_suffix}"
    if match := re.fullmatch(r"res(\d)\.non_local(\d+)\.(\w+)", module):
        block = f"nonlocal_conv{match[1]}_{match[2]}"
        return f"{block}{norm_suffix}" if match[3] == "norm" else f"{block}_{match[3]}_{tensor[0]}"
    if match := re.fullmatch(r"res(\d)\.(\d+)\.(?:(conv|norm)([123])|shortcut\.([01]))", module):
        branch = "1" if match[5] else f"2{CONVOLUTIONS[match[4]]}"
        is_norm = match[3] == "norm" or match[5] == "1"
        return f"res{match[1]}_{match[2]}_branch{branch}{norm_suffix if is_norm else '_w'}"
    return None


OURS = CheckpointLayout("rstg_pyg", "stem.0.weight", lambda name: name, r"(?!)")
TORCHVISION = CheckpointLayout("torchvision", "conv1.weight", _torchvision, r"fc\..*")
PYTORCHVIDEO = CheckpointLayout("pytorchvideo", "blocks.0.conv.weight", _pytorchvideo, r"blocks\.6\.proj\..*")
CAFFE2 = CheckpointLayout("video-nonlocal-net", "conv1_w", _caffe2, r"pred_[wb]|.*_momentum|model_iter|lr")
LAYOUTS = (OURS, TORCHVISION, PYTORCHVIDEO, CAFFE2)
