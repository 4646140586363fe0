"""The machine of a measurement, as its result names it."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from benchmarks.common.gpus import device_name, driver_version
from benchmarks.gpu.measurements import Setting
from curation.models import weights
from curation.run.code_version import read_code_version


def describe_machine(setting: Setting) -> dict[str, Any]:
    """GPU (None without one), driver, versions, CPU, date and code."""
    device = weights.resolve_device(setting.device)
    is_gpu = device.type == "cuda"
    memory = torch.cuda.get_device_properties(device).total_memory if is_gpu else None
    return {
        "gpu": device_name(device) if is_gpu else None,
        "gpu_memory_gib": round(memory / 2**30, 1) if memory else None,
        "driver": driver_version() if is_gpu else None,
        "cuda": torch.version.cuda if is_gpu else None,
        "torch": torch.__version__,
        "transformers": version("transformers"),
        "python": platform.python_version(),
        "cpu": _cpu_name(),
        "cpu_cores": len(os.sched_getaffinity(0)),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": read_code_version().get("commit"),
    }


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
