"""What a training step of I3D with the graph inside costs at full size, and whether the videos are read as fast."""

import tempfile
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.memory import MIB, peak_tensor_bytes
from benchmarks.results import Result, Row, measured, ratios
from benchmarks.settings import Settings
from benchmarks.timing import interleave
from benchmarks.video_data import HEIGHTS, items, on_one_core, scene_sets
from data.video import SomethingSomethingDataModule
from data.video.scenes import write_v1, write_v2
from data.video.something_something import Version
from rstg_pyg import RSTGBlock, VideoClassifier
from rstg_pyg.models import ClassifierHead, GlobalAveragePool, InflatedResNet

ABOUT = """\
One training step (forward, backward, SGD with momentum) of I3D with RSTG-to-map in res3 and res4, the network of
`configs/something_something/i3d_to_map_res3_res4.yaml`, on one clip in float32, with `gradient_checkpointing` and
without. The peak is of all that tensors hold beyond parameters, gradients and the optimiser's state, counted as in
"Memory of the space stage": a count, not a measurement. A training clip is read, resized and cropped by one process on
one core, in turn with the steps; its share of a step says how many such processes the step
needs: below 100 % one keeps up, and the step is what a training waits for."""

ROUNDS = 3
CLASSES = 174


def run(settings: Settings) -> Result:
    """Count the bytes of a step both ways, and time the steps and the reading in turns."""
    width, frames, size = (4, 4, 48) if settings.quick else (64, 32, 224)
    networks = {
        "step": i3d_with_graph(width, gradient_checkpointing=False).to(settings.device),
        "step, gradient checkpointing": i3d_with_graph(width, gradient_checkpointing=True).to(settings.device),
    }
    video = torch.rand(1, frames, 3, size, size, device=settings.device)
    label = torch.zeros(1, dtype=torch.int64, device=settings.device)
    peaks: dict[str, float] = {}
    contestants: dict[str, Callable[[], object]] = {}
    for name, network in networks.items():
        step = training_step(network, video, label)
        step()  # makes the gradients and the optimiser's state
        peaks[name] = peak_tensor_bytes(step, settings.device) / MIB
        contestants[name] = step
    num_videos = 2 if settings.quick else 4
    with tempfile.TemporaryDirectory() as root:
        heights = dict.fromkeys(HEIGHTS, size) if settings.quick else HEIGHTS
        write_v1(scene_sets(num_videos, heights["v1"]), root)
        write_v2(scene_sets(num_videos, heights["v2"]), root)
        clips: dict[str, Version] = {"JPEG images": "v1", "VP9": "v2"}
        for name, version in clips.items():
            resize = size if settings.quick else 256
            data = SomethingSomethingDataModule(
                root, version, num_frames=frames, resize=resize, crop=size, eval_crop=size, num_workers=0
            )
            contestants[name] = on_one_core(partial(items, data.make_dataset("train"), num_videos))
        times = interleave(contestants, settings.num_rounds(ROUNDS), settings.device, "video step")

    plain, checkpointed = networks
    table = [Row(f"{name}, peak", "MiB", peak) for name, peak in peaks.items()]
    table.append(Row("peak with gradient checkpointing / without", "×", peaks[checkpointed] / peaks[plain]))
    table += [measured(name, "s", times[name]) for name in networks]
    table.append(measured("time with gradient checkpointing / without", "×", ratios(times[checkpointed], times[plain])))
    for name in clips:
        table.append(measured(f"training clip, {name}, one core", "s", [s / num_videos for s in times[name]]))
        shares = [100 * share / num_videos for share in ratios(times[name], times[plain])]
        table.append(measured(f"training clip, {name}, share of a step", "%", shares))
    sizes = f"batch 1, {frames} frames of {size}×{size}, width {width}, {CLASSES} classes, frozen batch norms"
    return Result("Training step on video", ABOUT, sizes, table)


def i3d_with_graph(width: int, gradient_checkpointing: bool) -> VideoClassifier:
    """The row of the paper with the best result, at any width."""
    node_channels = 8 * width
    backbone = InflatedResNet(
        width=width,
        res5_stride=1,
        freeze_batch_norm=True,
        gradient_checkpointing=gradient_checkpointing,
        blocks={"res3.2": RSTGBlock(8 * width, node_channels), "res4.4": RSTGBlock(16 * width, node_channels)},
    )
    return VideoClassifier(backbone, GlobalAveragePool(), ClassifierHead(32 * width, CLASSES, dropout=0.3)).train()


def training_step(network: nn.Module, video: Tensor, label: Tensor) -> Callable[[], None]:
    """One step of training, to be called again and again; gradients stay allocated between the calls."""
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-4, momentum=0.9, nesterov=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=False)
        F.cross_entropy(network(video), label).backward()
        optimizer.step()

    return step
