"""Pre-trained weights for backbones over clips, with a report of what went where."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from torch import Tensor, nn

from rstg_pyg.models.checkpoint_layouts import CAFFE2, CheckpointLayout, find_layout
from rstg_pyg.models.inflated_resnet import InflatedResNet
from rstg_pyg.models.insert_blocks import INSERTED
from rstg_pyg.models.non_local_block import NonLocalBlock
from rstg_pyg.models.numpy_pickle import read_numpy_pickle
from rstg_pyg.models.torchvision_backbone import TorchvisionBackbone

WRAPPERS = ("model_state", "state_dict", "blobs")  # what checkpoints keep their tensors under
BACKBONE_PREFIXES = ("network.backbone.", "backbone.")  # in checkpoints of training
BATCH_COUNT = "num_batches_tracked"


@dataclass(frozen=True)
class LoadingReport:
    """What :func:`load_pretrained` did with each tensor, by its name in the network or, where it has none, in the file.

    Attributes:
        source: Where the weights are from.
        layout: Whose names they had.
        matched: Tensors that were loaded, among them the statistics of batch norms that were released as scale and
            shift alone: 0 and 1.
        inflated: Those of them that were repeated and divided in time.
        new: Tensors that the file could not have, which stay as they are: inserted and non-local blocks.
        left_out: Tensors of the file that a backbone does not have: the classifier's and the optimiser's.
        missing: Tensors that should be in the file and are not.
        unexpected: Tensors of the file that nothing is known of.
        misshapen: Tensors of another shape, with both.
    """

    source: str
    layout: str
    matched: tuple[str, ...]
    inflated: tuple[str, ...]
    new: tuple[str, ...]
    left_out: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshapen: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        """Whether nothing is unexplained."""
        return not (self.missing or self.unexpected or self.misshapen)

    def __str__(self) -> str:
        lines = [
            f"{self.source}, named as in {self.layout}",
            f"  matched: {len(self.matched)}, of which inflated in time: {len(self.inflated)}",
            f"  new in the network: {_shorten(self.new)}",
            f"  left out of the file: {_shorten(self.left_out)}",
            f"  missing: {list(self.missing)}",
            f"  unexpected: {list(self.unexpected)}",
            f"  of another shape: {list(self.misshapen)}",
        ]
        return "\n".join(lines)


def load_pretrained(
    backbone: InflatedResNet | TorchvisionBackbone, source: str | Path, strict: bool = True
) -> LoadingReport:
    """Load weights of an image network, or of a video network on Kinetics, into a backbone.

    A :class:`TorchvisionBackbone` takes what torchvision calls its network's weights, such as ``"KINETICS400_V1"``,
    ``"IMAGENET1K_V2"`` or ``"DEFAULT"``, or a file of its tensors.

    For an :class:`InflatedResNet` four layouts are known by their names: torchvision's ``resnet18`` and ``resnet50``;
    pytorchvideo's ``c2d_r50`` and ``i3d_r50``; the networks released with Non-local Neural Networks
    (``.pkl``, blobs of Caffe2, read without running anything but the making of arrays); and our own. Kernels without
    time, or over a single frame, are repeated over the frames that the backbone's kernel reaches and divided by their
    number.

    The networks were trained with a mean and deviation of their own: see :class:`InflatedResNet`, whose default is
    that of both Kinetics layouts. The released networks pool without padding (``pool_padding=0``).

    Args:
        backbone: The network to load into.
        source: A file, or the URL of one, which is kept in the cache of ``torch.hub``; of a
            :class:`TorchvisionBackbone` also the name of weights.
        strict: Whether anything unexplained is an error; the network is left as it is then.

    Returns:
        The report; print it to read it.

    Raises:
        FileNotFoundError: If there is no such file, nor weights of that name.
        ValueError: If the file does not hold tensors of a known layout, or, unless ``strict`` is False, a tensor is
            missing, unexpected or of another shape; the error is the report.
    """
    own = backbone.state_dict()
    state = _fetch(backbone, source) or _read(source, first=next(iter(own)))
    if not state:
        raise ValueError(f"Expected '{source}' to hold tensors by their names (got none)")
    if isinstance(backbone, TorchvisionBackbone):
        layout = CheckpointLayout(
            f"torchvision's {backbone.network}", next(iter(own)), lambda name: name, r"(fc|classifier)\..*"
        )
    else:
        layout = find_layout(state)
    theirs = {name: layout.rename(name) for name in own}
    non_local = [place for place, module in backbone.named_modules() if isinstance(module, NonLocalBlock)]
    may_be_new = [INSERTED]
    if not any(theirs[f"{place}.theta.weight"] in state for place in non_local):
        may_be_new += non_local
    # Networks fine-tuned with frozen batch norms were released with scale and shift alone.
    frozen = layout is CAFFE2 and not any(name.endswith("_rm") for name in state)

    loaded: dict[str, Tensor] = {}
    inflated, new, missing, misshapen = [], [], [], []
    for name, tensor in own.items():
        there = theirs[name]
        if there is not None and there in state:
            value = _over_time(state[there], tensor)
            if value.shape != tensor.shape:
                misshapen.append(f"{name}: expected {list(tensor.shape)}, got {list(state[there].shape)}")
                continue
            if tensor.dim() == 5 and value.numel() > state[there].numel():
                inflated.append(name)
            loaded[name] = value
        elif any(name.startswith(f"{place}.") for place in may_be_new):
            new.append(name)
        elif frozen and name.endswith(("running_mean", "running_var")):
            norm = backbone.get_submodule(name.rpartition(".")[0])
            assert isinstance(norm, nn.BatchNorm3d)
            loaded[name] = torch.full_like(tensor, 1 - norm.eps if name.endswith("running_var") else 0.0)
        elif not name.endswith(BATCH_COUNT):
            missing.append(name)
    if layout is CAFFE2:
        # It divides what the softmax is taken of by the root of the inner channels.
        for name in loaded:
            if ".theta." in name:
                loaded[name] = loaded[name] / loaded[name].size(0) ** 0.5

    rest = sorted(state.keys() - set(theirs.values()))
    left_out = [name for name in rest if re.fullmatch(layout.left_out, name)]
    report = LoadingReport(
        source=str(source),
        layout=layout.name,
        matched=tuple(loaded),
        inflated=tuple(inflated),
        new=tuple(new),
        left_out=tuple(left_out),
        missing=tuple(missing),
        unexpected=tuple(name for name in rest if name not in left_out),
        misshapen=tuple(misshapen),
    )
    if strict and not report.is_complete:
        raise ValueError(f"Expected 'source' to hold the weights of the backbone, or 'strict' to be False\n{report}")
    backbone.load_state_dict(loaded, strict=False)
    return report


def _fetch(backbone: nn.Module, source: str | Path) -> Mapping[str, Tensor] | None:
    """The tensors that torchvision has by a name, or None where the source is a file."""
    if not isinstance(backbone, TorchvisionBackbone) or Path(source).is_file() or urlparse(str(source)).scheme:
        return None
    from torchvision.models import get_model_weights

    weights = get_model_weights(backbone.network)
    if str(source) not in weights.__members__:
        raise FileNotFoundError(
            f"Expected 'source' to be one of {list(weights.__members__)}, a file or a URL (got '{source}')"
        )
    return weights[str(source)].get_state_dict(progress=True, check_hash=True)


def _read(source: str | Path, first: str) -> Mapping[str, Tensor]:
    """The tensors of a file by their names there; out of a checkpoint of ours the backbone's, known by its first."""
    path = _download(str(source)) if urlparse(str(source)).scheme in ("http", "https") else Path(source)
    if not path.is_file():
        raise FileNotFoundError(f"Expected 'source' to be a file or a URL (got '{source}', which is no file)")
    state = _load(path)
    for wrapper in WRAPPERS:
        state = state.get(wrapper, state) if isinstance(state, Mapping) else {}
    if path.suffix == ".pkl":
        state = {name: torch.as_tensor(blob) for name, blob in state.items() if not isinstance(blob, str)}
    others = {name: type(value).__name__ for name, value in state.items() if not isinstance(value, Tensor)}
    if others:
        raise ValueError(f"Expected '{source}' to hold tensors by their names (got other things, too: {others})")
    for prefix in BACKBONE_PREFIXES:
        if prefix + first in state:
            return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    return state


def _load(path: Path) -> Any:
    """What a file holds."""
    if path.suffix == ".pkl":
        return read_numpy_pickle(path)
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file may fail in any way
        kind = "safetensors" if path.suffix == ".safetensors" else "PyTorch's"
        raise ValueError(f"Expected '{path}' to be a whole file of {kind} ({error})") from error


def _download(url: str) -> Path:
    """Download a file once; nothing is unpickled on the way, as ``torch.hub.load_state_dict_from_url`` would."""
    name = Path(urlparse(url).path)
    key = hashlib.sha256(url.encode()).hexdigest()[:8]  # many a site calls its files model.pth
    path = Path(torch.hub.get_dir()) / "checkpoints" / f"{name.stem}-{key}{name.suffix}"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path))
    return path


def _over_time(value: Tensor, expected: Tensor) -> Tensor:
    """A kernel ``[C_out, C_in, H, W]`` or ``[C_out, C_in, 1, H, W]`` as the mean over as many frames as expected."""
    if expected.dim() != 5:
        return value
    if value.dim() == 4:
        value = value[:, :, None]
    frames = expected.size(2)
    return value.repeat(1, 1, frames, 1, 1) / frames if value.dim() == 5 and value.size(2) == 1 < frames else value


def _shorten(names: tuple[str, ...]) -> str:
    return f"{len(names)} {list(names[:4])}{'...' if len(names) > 4 else ''}"
