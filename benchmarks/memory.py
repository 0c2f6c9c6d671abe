"""Counting the bytes of tensors, at their peak and alive."""

import gc
import json
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

MIB = 2**20


def peak_tensor_bytes(run: Callable[[], object], device: torch.device) -> int:
    """Most bytes that tensors made during ``run`` hold at one time.

    What was there before does not count. On CPUs it is the peak of the running sum over every allocation and release
    of torch's CPU allocator, which the profiler records, temporaries inside kernels included (not what libraries
    allocate for themselves past torch's allocator); on CUDA it is ``torch.cuda.max_memory_allocated``.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        run()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        run()
    with TemporaryDirectory() as folder:
        trace = Path(folder, "trace.json")
        recorded.export_chrome_trace(str(trace))
        events = [event for event in json.loads(trace.read_text())["traceEvents"] if event["name"] == "[memory]"]
    events.sort(key=lambda event: event["ts"])
    return max(accumulate(event["args"]["Bytes"] for event in events), default=0)


def live_tensor_bytes(device: torch.device) -> int:
    """Bytes of all tensors alive: on CUDA the allocator's count, on CPUs the storages of all that Python knows."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    gc.collect()
    tensors = [found for found in gc.get_objects() if issubclass(type(found), Tensor)]
    storages = [tensor.untyped_storage() for tensor in tensors]
    # The compiler's fake tensors, which it keeps, have storages without memory.
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages if storage.device.type != "meta"}.values())
