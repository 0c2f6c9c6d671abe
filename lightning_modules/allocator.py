"""The memory allocator under training on CPUs."""

import os
import platform

import torch

GLIBC_SETTINGS = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "268435456",
}


def allocator_hint(device: torch.device) -> str | None:
    """How to start Python so that glibc keeps freed tensors for the next step, or None where that changes nothing.

    By default glibc hands them back to the system, and training on CPUs spends much of its time on page faults. The
    settings are read when a program starts.

    Args:
        device: Where the training runs.
    """
    chosen = any("malloc" in os.environ.get(name, "") for name in ("LD_PRELOAD", "GLIBC_TUNABLES"))
    chosen = chosen or GLIBC_SETTINGS.keys() <= os.environ.keys()
    if chosen or device.type != "cpu" or platform.libc_ver()[0] != "glibc":
        return None
    settings = " ".join(f"{name}={value}" for name, value in GLIBC_SETTINGS.items())
    return f"Training on this CPU is faster with this put before the command (see the README):\n{settings}"
