"""How a batch of work is measured: speed, operations, busy share, memory, and CPU cores.

The keys of the figures carry their units. A figure that could not be measured is None, and
`missing` says why.
"""

import gc
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.common.gpus import NO_GPU, BusyShare, device_name, find_peak
from benchmarks.gpu.measurements import Setting
from curation.models import weights

# At full size, long enough for many of NVML's readings; at toy size, only that all of it runs.
MEASURED_S = {"full": 20.0, "toy": 0.0}
LEAST_ROUNDS = {"full": 3, "toy": 1}

Format = Literal["bf16", "tf32"]
# Does a batch of so many clips, and says how many tokens it wrote.
Batch = Callable[[int], int]


def measure(
    setting: Setting, batch: Batch, clips: int, number_format: Format, decode_cpu_s: float
) -> dict[str, Any]:
    """Figures of a batch of work, repeated.

    Args:
        batch: reads its inputs from the host's memory, and gives its outputs back there.
        clips: of a batch; halved as long as the device has no memory for so many.
        number_format: of the fastest products that the model may use, whose peak the utilisation
            refers to. float32 models count as tf32: torch lets convolutions use it.
        decode_cpu_s: CPU time that one clip costs before it is in the host's memory.
    """
    device = weights.resolve_device(setting.device)
    clips = find_batch_size(batch, clips)
    is_gpu = device.type == "cuda"
    print_stage(f"batches of {clips}: counting operations")
    flop = count_flop(lambda: batch(clips)) / clips
    print_stage("measuring")
    if is_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    busy = BusyShare.of_device(device)
    seconds, tokens = [], 0
    cpu_s, begun_s = time.process_time(), time.perf_counter()
    with busy.sampled():
        while len(seconds) < LEAST_ROUNDS[setting.size] or sum(seconds) < MEASURED_S[setting.size]:
            round_s = time.perf_counter()
            tokens += batch(clips)
            if is_gpu:
                torch.cuda.synchronize(device)
            seconds.append(time.perf_counter() - round_s)
    cores = (time.process_time() - cpu_s) / (time.perf_counter() - begun_s)
    rate = clips / statistics.median(seconds)
    figures: dict[str, Any] = {
        "clips_per_s": rate,
        "clip_s": setting.clip_s,
        "batch_clips": clips,
        "rounds": len(seconds),
        "gflop_per_clip": flop / 1e9,
        "loop_cpu_cores": cores,
        "decode_cpu_ms_per_clip": 1000 * decode_cpu_s,
        "cpu_cores_to_feed": cores + rate * decode_cpu_s,
        "gpu_busy_share": busy.share,
        "gpu_memory_gib": torch.cuda.max_memory_allocated(device) / 2**30 if is_gpu else None,
        "missing": {"gpu_busy_share": busy.missing} if busy.missing else {},
    }
    if not is_gpu:
        figures["missing"]["gpu_memory_gib"] = NO_GPU
    if tokens:
        figures["tokens_per_s"] = tokens / len(seconds) / statistics.median(seconds)
    add_utilisation(figures, device, rate * flop, number_format)
    print_stage(f"{rate:.1f} clips/s")
    return figures


def find_batch_size(batch: Batch, clips: int) -> int:
    """The largest of `clips`, its half, and so on for which the device has memory; warms it up."""
    while True:
        print_stage(f"batches of {clips}: warming up")
        try:
            batch(clips)
            batch(clips)
            return clips
        except torch.OutOfMemoryError:
            if clips == 1:
                raise
        # Behind the handler, as its exception holds the batch's tensors.
        clips //= 2
        gc.collect()
        torch.cuda.empty_cache()


def count_flop(work: Callable[[], Any]) -> int:
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def add_utilisation(
    figures: dict[str, Any], device: torch.device, flop_per_s: float, number_format: Format
) -> None:
    """Add the share of the device's peak and that peak, or why they are missing."""
    name = device_name(device)
    peak = find_peak(name)
    known = getattr(peak, number_format) if peak else None
    figures["peak_format"] = number_format
    figures["peak_tflops"] = known / 1e12 if known else None
    figures["model_flop_utilisation"] = flop_per_s / known if known else None
    if known is None:
        reason = f"the peak of {name} is not known" if device.type == "cuda" else NO_GPU
        figures["missing"] |= {"peak_tflops": reason, "model_flop_utilisation": reason}


def print_stage(text: str) -> None:
    print(f"    {text}", file=sys.stderr, flush=True)
