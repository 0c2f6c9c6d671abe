"""Timing contestants in turns, so that the machine's noise hits all alike."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import torch
from rich.progress import track

Key = TypeVar("Key")
WARM_UP_ROUNDS = 2


class Stopwatch:
    """Seconds since the last look; on CUDA the device's work is waited for."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.lap()

    def lap(self) -> float:
        """Seconds since the last lap."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        before = getattr(self, "_last", 0.0)
        self._last = time.perf_counter()
        return self._last - before


def interleave(
    contestants: Mapping[Key, Callable[[], object]], rounds: int, device: torch.device, title: str
) -> dict[Key, list[float]]:
    """Time every contestant once a round, round after round.

    Args:
        contestants: What is timed.
        rounds: Rounds that count; two more before them warm up.
        device: Where they run.
        title: Label of the progress bar.

    Returns:
        Seconds of each contestant in each round.
    """
    times: dict[Key, list[float]] = {key: [] for key in contestants}
    stopwatch = Stopwatch(device)
    for _ in track(range(WARM_UP_ROUNDS + rounds), description=title):
        for key, run in contestants.items():
            stopwatch.lap()
            run()
            times[key].append(stopwatch.lap())
    return {key: seconds[WARM_UP_ROUNDS:] for key, seconds in times.items()}


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Slope of y over x by least squares."""
    x_mean, y_mean = math.fsum(x) / len(x), math.fsum(y) / len(y)
    covariance = math.fsum((a - x_mean) * (b - y_mean) for a, b in zip(x, y, strict=True))
    return covariance / math.fsum((a - x_mean) ** 2 for a in x)


def log_log_slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Exponent p of y ~ x^p by least squares on the logarithms."""
    return slope([math.log(a) for a in x], [math.log(b) for b in y])
