"""What GPUs do at their peak, with which measured figures are compared, and how long they work."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile


class Peak(NamedTuple):
    """Dense operations a second, in bfloat16 and in float32, and bytes a second."""

    bfloat16: float
    float32: float
    bandwidth: float


# Of the makers' data sheets; float32 of L4 and A10G was not compared with theirs.
PEAKS = {
    "H200": Peak(989e12, 67e12, 4.8e12),
    "H100": Peak(989e12, 67e12, 3.35e12),
    "A100": Peak(312e12, 19.5e12, 2.039e12),
    "L4": Peak(121e12, 30.3e12, 0.3e12),
    "A10G": Peak(70e12, 31.2e12, 0.6e12),
}


def peak(device: torch.device) -> Peak | None:
    """The peak of a device; None where it is not known."""
    return next((each for known, each in PEAKS.items() if known in device_name(device)), None)


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "the CPU"


def busy_s(work: Callable[[], Any], device: torch.device) -> float | None:
    """Seconds in which a GPU has something to do while it does `work`; None on a CPU.

    By the profiler, which slows the host down, but not what the GPU is given to do.
    """
    if device.type != "cuda":
        return None
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        work()
        torch.cuda.synchronize(device)
    ranges = [each.time_range for each in profiled.events() if each.device_type == DeviceType.CUDA]
    return covered((each.start, each.end) for each in ranges) * 1e-6


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """How long at least one of these spans, `(start, end)`, lasts."""
    total, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total
