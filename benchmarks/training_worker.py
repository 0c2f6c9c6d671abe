"""A process of its own that times training steps of a configured model and prints them as JSON.

The allocator reads its environment when a process starts, so each setting needs a fresh one.
"""

import argparse
import json
import logging
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import Optimizer

from benchmarks.plain_route import plain_route
from benchmarks.straightforward_classifier import straightforward_classifier
from benchmarks.timing import Stopwatch
from data import SyncMNIST
from rstg_pyg.models import VideoClassifier

CONFIGS = Path(__file__).parent.parent / "configs"
MODELS = {
    "cpu.yaml": ("syncmnist/cpu.yaml", "syncmnist/positional_all_temp.yaml"),
    "demo.yaml": ("demo.yaml",),
}
VARIANTS = {
    "fused": lambda network: network,
    "plain graph": plain_route,
    "straightforward": straightforward_classifier,
}
STAGES = ("generator", "backbone", "graph", "head and loss", "optimiser")
STEP, WITHOUT_GENERATOR = "whole step", "step without the generator"
FIRST_VIDEO = 60_000  # where the demo's curriculum has ended
WARM_UP_STEPS = 3


@dataclass
class Training:
    """What a training step needs, as configured."""

    network: VideoClassifier
    optimizer: Optimizer
    clip_norm: float
    videos: SyncMNIST
    batch_size: int
    device: torch.device


def build_training(model: str, variant: str, device: torch.device) -> Training:
    """Build the network of a config in one of its variants, its optimiser and its videos."""
    # Here, as it warns of other libraries while it is imported.
    from lightning_modules.cli import RSTGCLI

    configs = [argument for name in MODELS[model] for argument in ("--config", str(CONFIGS / name))]
    cli = RSTGCLI(args=[*configs, "--trainer.logger", "false", "--trainer.accelerator", "cpu"], run=False)
    module = cli.model
    module.network = VARIANTS[variant](module.network).to(device)
    return Training(
        module.network,
        module.configure_optimizers()["optimizer"],
        cli.config.trainer.gradient_clip_val,
        cli.datamodule.make_dataset("train"),
        cli.datamodule.batch_size,
        device,
    )


def timed_step(training: Training, first_video: int) -> dict[str, float]:
    """Seconds of each stage of one training step, forward and backward together.

    The autograd graph is cut between the stages, so that each one's backward is its own: the gradients are those of the
    whole.
    """
    network, stopwatch = training.network, Stopwatch(training.device)
    seconds = dict.fromkeys(STAGES, 0.0)

    def lap(stage: str) -> None:
        seconds[stage] += stopwatch.lap()

    indices = range(first_video, first_video + training.batch_size)
    video, label = (tensor.to(training.device) for tensor in training.videos.batch(indices))
    lap("generator")
    features = network.backbone(video.float() / 255)
    lap("backbone")
    features_leaf = features.detach().requires_grad_(features.requires_grad)
    vector = network.graph(features_leaf)
    lap("graph")
    vector_leaf = vector.detach().requires_grad_()
    F.cross_entropy(network.head(vector_leaf), label).backward()
    lap("head and loss")
    vector.backward(vector_leaf.grad)
    lap("graph")
    if features.requires_grad:
        features.backward(features_leaf.grad)
    lap("backbone")
    nn.utils.clip_grad_norm_(network.parameters(), training.clip_norm)
    training.optimizer.step()
    training.optimizer.zero_grad()
    lap("optimiser")
    return seconds


def time_steps(model: str, variant: str, steps: int, device: torch.device) -> dict[str, float]:
    """Median seconds of each stage and of the whole step, with and without the generator, and videos per second."""
    training = build_training(model, variant, device)
    every = [timed_step(training, FIRST_VIDEO + step * training.batch_size) for step in range(WARM_UP_STEPS + steps)]
    timed = every[WARM_UP_STEPS:]
    medians = {stage: median(seconds[stage] for seconds in timed) for stage in STAGES}
    medians[STEP] = median(sum(seconds.values()) for seconds in timed)
    medians[WITHOUT_GENERATOR] = median(sum(seconds.values()) - seconds["generator"] for seconds in timed)
    return {**medians, "videos/s": training.batch_size / medians[STEP]}


def main(arguments: Sequence[str] | None = None) -> None:
    """Time steps and print their seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=MODELS, required=True)
    parser.add_argument("--variant", choices=VARIANTS, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    print(json.dumps(time_steps(options.model, options.variant, options.steps, torch.device(options.device))))


if __name__ == "__main__":
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    warnings.simplefilter("ignore")
    for name in ("lightning_fabric", "pytorch_lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    main()
