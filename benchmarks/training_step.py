"""Training steps of the configured models, in processes that take turns."""

import json
import os
import subprocess
import sys
from collections import defaultdict
from itertools import product
from pathlib import Path

from rich.progress import track

from benchmarks.results import Figure, Result, curve, measured, ratios
from benchmarks.settings import Settings
from benchmarks.training_worker import MODELS, STAGES, STEP, VARIANTS, WITHOUT_GENERATOR
from lightning_modules.allocator import GLIBC_SETTINGS

ABOUT = """\
One training step of a configured model in float32, without Lightning's own share: make the videos, forward, backward,
clip the gradients, step. Every stage's time is its forward and backward together; the generator runs in line here,
where training gives it a process of its own.

- **fused**: the configured model as it comes.
- **plain graph**: the same with `RSTGConv.fused = False`, everything else the same.
- **straightforward**: the plain graph, and the small CNN as one would write it first (channels first, convolution →
  ReLU → max-pool); `benchmarks/straightforward_classifier.py`, tested equal.

The allocator reads its settings when a process starts. So each time is of a fresh process (three steps to warm up, the
median of the steps after), and the processes of all models, variants and allocator settings take turns: one of each a
round. "tuned" are the Makefile's `MALLOC_*` settings, "default" is glibc without them. Ratios are of videos/s, within
one allocator setting but for those of the setting itself."""

REPOSITORY = Path(__file__).parent.parent
ROUNDS = 5
STEPS = 10
Contestant = tuple[str, str, str]
SPEED_UP = 2.5
COMPARISONS = {
    "fused against plain graph, all else equal": "plain graph",
    "fused against straightforward, graph and CNN": "straightforward",
}


def run(settings: Settings) -> Result:
    """Let the processes take turns."""
    steps = 1 if settings.quick else STEPS
    allocators = allocator_settings(settings)
    contestants: list[Contestant] = list(product(MODELS, VARIANTS, allocators))
    if settings.quick:
        contestants = [("demo.yaml", variant, "tuned") for variant in VARIANTS]
    seconds: dict[Contestant, dict[str, list[float]]] = {key: defaultdict(list) for key in contestants}
    turns = contestants * settings.num_rounds(ROUNDS)
    for model, variant, allocator in track(turns, description="training step"):
        for name, value in run_worker(model, variant, steps, settings, allocators[allocator]).items():
            seconds[model, variant, allocator][name].append(value)

    table = []
    for model, allocator in dict.fromkeys((model, allocator) for model, _, allocator in contestants):
        by_variant = {variant: seconds[model, variant, allocator] for variant in VARIANTS}
        table += [
            measured(f"{model}, {variant}, {allocator} allocator", "videos/s", medians["videos/s"])
            for variant, medians in by_variant.items()
        ]
        table += [
            measured(
                f"{model}, {what}, {stage}, {allocator} allocator",
                "×",
                ratios(by_variant[other][stage], by_variant["fused"][stage]),
                at_least=SPEED_UP if other == "straightforward" and stage == STEP else None,
            )
            for (what, other), stage in product(COMPARISONS.items(), (STEP, WITHOUT_GENERATOR))
        ]
    for model, variant, allocator in contestants:
        if allocator == "default":
            slow, fast = (seconds[model, variant, name][STEP] for name in ("default", "tuned"))
            table.append(
                measured(f"{model}, {variant}, tuned against default allocator, {STEP}", "×", ratios(slow, fast))
            )
    curves = []
    for model in dict.fromkeys(model for model, _, _ in contestants):
        for stage in STAGES:
            bars = {variant: [1e3 * s for s in seconds[model, variant, "tuned"][stage]] for variant in VARIANTS}
            curves.append(curve(f"{model}, tuned allocator", stage, bars))
            table += [
                measured(f"{model}, {variant}, {stage}, tuned allocator", "ms", times)
                for variant, times in bars.items()
            ]
    configs = "; ".join(f"{model}: configs/{', configs/'.join(MODELS[model])}" for model in MODELS)
    sizes = f"{configs}; {steps} steps a process"
    return Result("Training step", ABOUT, sizes, table, Figure("stacked", "ms per step", "", curves))


def allocator_settings(settings: Settings) -> dict[str, dict[str, str]]:
    """Environment of each allocator setting; on CUDA, where tensors are not in glibc's hands, only ours."""
    return {"tuned": GLIBC_SETTINGS} if settings.device.type == "cuda" else {"tuned": GLIBC_SETTINGS, "default": {}}


def run_worker(model: str, variant: str, steps: int, settings: Settings, allocator: dict[str, str]) -> dict[str, float]:
    """Run :mod:`benchmarks.training_worker` in a process of its own.

    Raises:
        RuntimeError: If it fails.
    """
    options = {"--model": model, "--variant": variant, "--steps": str(steps), "--device": str(settings.device)}
    inherited = {name: value for name, value in os.environ.items() if name not in GLIBC_SETTINGS}
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.training_worker", *(part for option in options.items() for part in option)],
        cwd=REPOSITORY,
        env={**inherited, **allocator},
        capture_output=True,
        text=True,
    )
    if ran.returncode != 0:
        raise RuntimeError(
            f"Expected the worker of {options} to succeed (got exit status {ran.returncode})\n{ran.stderr}"
        )
    return json.loads(ran.stdout.splitlines()[-1])
