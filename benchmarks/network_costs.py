"""What the video networks cost, beside what others have published of the same networks."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml  # type: ignore[import-untyped]
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.models import get_model_weights

from benchmarks.results import Result, Row
from benchmarks.settings import Settings
from rstg_pyg import VideoClassifier, summary
from rstg_pyg.models import ClassifierHead, GlobalAveragePool, InflatedResNet, TorchvisionBackbone
from rstg_pyg.models.class_tree import build

ABOUT = """\
Parameters and multiply-adds of a forward pass of one clip, as `rstg_pyg.summary` counts them: all are counts, not
measurements. First the networks as others published them, with their figures in brackets: torchvision's own networks as
backbones ("num_params" and "GFLOPS" of their weights); C2D and I3D ResNet-50 of pytorchvideo's model zoo, counted by
fvcore, which takes five for each number that a batch norm gives, as these two rows do; what the five non-local blocks
add to I3D (MMAction2's model zoo: 59.3 without their 43.5; it halves 32 frames twice before res2, and pools behind φ
and g, where the released networks pool before; counted here as there). Then the rows of `configs/something_something`
at their own size, which have no published costs."""

CONFIGS = Path(__file__).parent.parent / "configs/something_something"
ROWS = (
    *("c2d", "i3d", "non_local", "c2d_to_vec", "i3d_to_vec"),
    *("i3d_to_map_res2", "i3d_to_map_res3", "i3d_to_map_res4", "i3d_to_map_res3_res4"),
)
KINETICS_CLASSES, SOMETHING_CLASSES, IMAGENET_CLASSES = 400, 174, 1000
# Frames, side of a frame, classes.
TORCHVISION = {
    "r3d_18": (16, 112, KINETICS_CLASSES),
    "mc3_18": (16, 112, KINETICS_CLASSES),
    "r2plus1d_18": (16, 112, KINETICS_CLASSES),
    "s3d": (16, 224, KINETICS_CLASSES),
    "resnet18": (1, 224, IMAGENET_CLASSES),
    "resnet50": (1, 224, IMAGENET_CLASSES),
}
FVCORE_BATCH_NORM = 5  # what fvcore takes for each number that a batch norm gives


@dataclass(frozen=True)
class Count:
    """A figure counted here, beside a published one.

    Attributes:
        what: The network, its clip and what is counted.
        unit: Unit of both.
        counted: As counted.
        published: As published.
        decimals: Those of the published figure.
    """

    what: str
    unit: str
    counted: float
    published: float
    decimals: int

    @property
    def agrees(self) -> bool:
        """Whether the two are the same but for the published one's rounding."""
        return abs(self.counted - self.published) <= 0.501 * 10**-self.decimals


def run(settings: Settings) -> Result:
    """Count all networks; with ``quick`` the last row alone."""
    table = [Row(f"{c.what} ({c.published:,.{c.decimals}f})", c.unit, c.counted) for c in published_counts()]
    for name in ROWS[-1:] if settings.quick else ROWS:
        costs = summary(configured(name).to("meta"), torch.rand(1, 32, 3, 224, 224, device="meta"))
        table.append(Row(f"`{name}.yaml`, 32 frames of 224×224: parameters", "10⁶", costs.parameters / 1e6))
        table.append(Row(f"`{name}.yaml`: multiply-adds", "10⁹", costs.multiply_adds / 1e9))
        if costs.graph_parameters:
            table.append(Row(f"`{name}.yaml`: parameters of the graph", "10⁶", costs.graph_parameters / 1e6))
            table.append(Row(f"`{name}.yaml`: multiply-adds of the graph", "10⁹", costs.graph_multiply_adds / 1e9))
    return Result("What the video networks cost", ABOUT, f"one clip, {SOMETHING_CLASSES} classes in the rows", table)


def published_counts() -> list[Count]:
    """All networks that somebody published the costs of."""
    counts = []
    with torch.device("meta"):
        for name, (num_frames, size, num_classes) in TORCHVISION.items():
            meta = get_model_weights(name).DEFAULT.meta
            backbone = TorchvisionBackbone(name)  # type: ignore[arg-type]
            costs = summary(classifier(backbone, num_classes), torch.rand(1, num_frames, 3, size, size))
            seen = f"{num_frames} frames of {size}×{size}" if num_frames > 1 else f"a frame of {size}×{size}"
            parameters = costs.parameters / 1e6
            counts.append(Count(f"torchvision's {name}: parameters", "10⁶", parameters, meta["num_params"] / 1e6, 6))
            multiply_adds = costs.multiply_adds / 1e9
            counts.append(Count(f"torchvision's {name}, {seen}: multiply-adds", "10⁹", multiply_adds, meta["_ops"], 3))
        clip = torch.rand(1, 8, 3, 256, 256)
        for inflation, parameters, multiply_adds in (("c2d", 24.33, 25.89), ("i3d", 28.04, 37.53)):
            network = classifier(InflatedResNet(inflation=inflation), KINETICS_CLASSES)  # type: ignore[arg-type]
            normed = numbers_of_batch_norms(network)
            costs = summary(network, clip)
            what = f"{inflation.upper()} ResNet-50"
            counts.append(Count(f"{what}: parameters", "10⁶", costs.parameters / 1e6, parameters, 2))
            with_norms = (costs.multiply_adds + FVCORE_BATCH_NORM * sum(normed)) / 1e9
            counts.append(
                Count(f"{what}, 8 frames of 256×256: multiply-adds, norms counted", "10⁹", with_norms, multiply_adds, 2)
            )
        plain, non_local = (
            summary(classifier(InflatedResNet(non_local=blocks), KINETICS_CLASSES), clip) for blocks in (False, True)
        )
    counts.append(Count("Non-Local ResNet-50: parameters", "10⁶", non_local.parameters / 1e6, 35.4, 1))
    # Two blocks see 512 channels at 4·32·32 places, three see 1024 at 4·16·16.
    pooled_late = 2 * 0.75 * (2 * 4 * 32**2 * 512 * 256 + 3 * 4 * 16**2 * 1024 * 512)
    added = (non_local.multiply_adds - plain.multiply_adds + pooled_late) / 1e9
    counts.append(
        Count("its blocks, 8 frames of 256×256: multiply-adds, pooled late", "10⁹", added, 59.3 - 43.5, decimals=1)
    )
    return counts


def classifier(backbone: InflatedResNet | TorchvisionBackbone, num_classes: int) -> VideoClassifier:
    """A network as it is published: its features averaged, and a linear layer."""
    return VideoClassifier(backbone, GlobalAveragePool(), ClassifierHead(backbone.out_channels, num_classes))


def numbers_of_batch_norms(network: nn.Module) -> list[int]:
    """A list that takes up how many numbers each batch norm gives when the network runs."""
    given: list[int] = []
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.register_forward_hook(lambda module, inputs, out: given.append(out.numel()))
    return given


def configured(row: str) -> nn.Module:
    """The network of a row of ``configs/something_something``."""
    paper, over = (yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())["model"] for name in ("paper", row))
    tree = laid_over(paper["init_args"]["network"], {"init_args": over["network"]})
    tree["init_args"]["head"]["init_args"]["num_classes"] = SOMETHING_CLASSES
    return build(tree)


def laid_over(base: Any, over: Any) -> Any:
    """One tree of a config with another over it; classes may be named without ``init_args``, as the CLI allows."""
    if not isinstance(base, dict) or not isinstance(over, dict):
        return over
    if "class_path" in base and not {"class_path", "init_args"} & over.keys():
        over = {"init_args": over}
    return {name: laid_over(base.get(name), over[name]) if name in over else base[name] for name in {**base, **over}}
