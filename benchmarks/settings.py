"""How the benchmarks are run, and on what machine."""

import os
import platform
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import torch

from lightning_modules.allocator import GLIBC_SETTINGS

QUICK_ROUNDS = 2
QUICK_FRAMES = 40


@dataclass(frozen=True)
class Settings:
    """How a benchmark is run.

    Args:
        device: Where it runs.
        quick: Tiny sizes and few rounds, to see that everything runs; the numbers mean nothing.
        force_bf16: Measure bfloat16 where it is emulated, too.
        rounds: Rounds, or None for each benchmark's own.
        frames: Frames of the long stream, or None for its own number.
    """

    device: torch.device
    quick: bool = False
    force_bf16: bool = False
    rounds: int | None = None
    frames: int | None = None

    def num_rounds(self, default: int) -> int:
        """Rounds to run, where ``default`` is the benchmark's own number."""
        return self.rounds or (QUICK_ROUNDS if self.quick else default)

    def num_frames(self, default: int) -> int:
        """Frames of the long stream, where ``default`` is its own number."""
        return self.frames or (QUICK_FRAMES if self.quick else default)


def computes_bf16(device: torch.device) -> bool:
    """Whether the hardware computes in bfloat16; emulation is far slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()


def describe_machine(settings: Settings) -> dict[str, str]:
    """What a reader must know of the machine and the software."""
    allocator = [f"{name}={os.environ[name]}" for name in GLIBC_SETTINGS if name in os.environ]
    machine = {
        "processor": f"{processor_name()}, {os.cpu_count()} cores",
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
        "allocator": " ".join(allocator) or "default",
        "date": date.today().isoformat(),
    }
    if settings.device.type == "cuda":
        machine["processor"] = f"{torch.cuda.get_device_name(settings.device)} beside {machine['processor']}"
    if settings.quick:
        machine["date"] += ", --quick: tiny sizes, the numbers mean nothing"
    return machine


def processor_name() -> str:
    """The processor's name as Linux gives it, or the best the platform has."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
