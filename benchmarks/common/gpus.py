"""A GPU as benchmarks describe it: its name, its peak, and how much of the time it is busy."""

import re
import statistics
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch

from curation import console

SAMPLING_INTERVAL_S = 0.1
NO_GPU = "no GPU"


class Peak(NamedTuple):
    """Dense floating-point operations a second on tensor cores, two for each multiply-add."""

    bf16: float
    tf32: float


# Dense rates as NVIDIA publishes them, taken from secondary sources: compare them with the data
# sheet of a GPU before its utilisation is quoted. The patterns match names as CUDA gives them;
# variants of one chip differ.
PEAKS = {
    r"H200$": Peak(989.4e12, 494.7e12),
    r"H100 80GB HBM3$": Peak(989.4e12, 494.7e12),
    r"H100 PCIe$": Peak(756e12, 378e12),
    r"A100[ -].*": Peak(312e12, 156e12),
    r"L40S$": Peak(362e12, 183e12),
    r"L4$": Peak(121e12, 60e12),
    r"A10G$": Peak(70e12, 35e12),
}


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "the CPU"


def find_peak(name: str) -> Peak | None:
    """The peak of a GPU by its name; None where it is not known, as of a part of a GPU (MIG)."""
    if "MIG" in name:
        return None
    return next((peak for known, peak in PEAKS.items() if re.search(rf"\b{known}", name)), None)


def driver_version() -> str | None:
    """The version of NVIDIA's driver; None where there is none, or no `nvidia-ml-py`."""
    try:
        import pynvml

        pynvml.nvmlInit()
        version = pynvml.nvmlSystemGetDriverVersion()
    # Its own errors, by number, and ImportError.
    except Exception:
        return None
    return version.decode() if isinstance(version, bytes) else str(version)


class BusyShare:
    """The share of a block's time in which a GPU runs at least one kernel.

    It is the mean of NVML's utilisation, read every `SAMPLING_INTERVAL_S`. Each reading covers the
    last sixth of a second to second, so the block should last several seconds.

    Attributes:
        share: None before the block ends, and where there is no reading.
        missing: why there is none.
    """

    def __init__(self, read_percent: Callable[[], int]) -> None:
        self._read_percent = read_percent
        self.share: float | None = None
        self.missing: str | None = None

    @classmethod
    def of_device(cls, device: torch.device) -> "BusyShare":
        return cls(lambda: _utilisation_percent(device))

    @contextmanager
    def sampled(self) -> Iterator[None]:
        readings: list[int] = []
        try:
            self._read_percent()
        # NVML's own errors, by number: not installed, no permission, not there for this GPU.
        except Exception as error:
            self.missing = str(error) or type(error).__name__
            yield
            return
        with console.poll_in_background(
            lambda: readings.append(self._read_percent()), SAMPLING_INTERVAL_S
        ):
            yield
        if readings:
            self.share = statistics.mean(readings) / 100
        else:
            self.missing = "no reading"


def _utilisation_percent(device: torch.device) -> int:
    if device.type != "cuda":
        raise RuntimeError(NO_GPU)
    with warnings.catch_warnings():
        # torch warns of the package that gives it the module.
        warnings.simplefilter("ignore", FutureWarning)
        return torch.cuda.utilization(device)
