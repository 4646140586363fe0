"""Runs a command, and measures the processes that it starts: wall time, CPU, memory."""

import itertools
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

# A measurement scans all processes of the machine, and reading the shared pages of a large process
# takes ten milliseconds: often enough to see a peak, rarely enough to take no time from the work.
_INTERVAL_S = 2.0
_PSS_EVERY = 3  # measurements


@dataclass(frozen=True)
class CommandCost:
    """What a command took.

    Attributes:
        wall_s: from its start to its end.
        cpu_s: of its processes, as far as they lived at a measurement.
        peak_mb: most memory of all its processes at once, in MB (10^6 bytes); a page that several
            processes share counts once (PSS).
        peak_rss_mb: the same with shared pages counted once for each process that maps them (RSS).
        stdout: what it printed.
    """

    wall_s: float
    cpu_s: float
    peak_mb: float
    peak_rss_mb: float
    stdout: str


def measure_command(command: Sequence[str]) -> CommandCost:
    """Run a command to its end. Raises CalledProcessError where it fails, with its stderr."""
    started_s = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    watch = _Watch(process.pid)
    stdout, stderr = process.communicate()
    wall_s = time.perf_counter() - started_s
    watch.stop()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, stdout, stderr)
    return CommandCost(
        wall_s, sum(watch.cpu_s.values()), watch.peak_pss / 1e6, watch.peak_rss / 1e6, stdout
    )


class _Watch:
    """Measures a process and its descendants from a thread."""

    def __init__(self, pid: int) -> None:
        self.cpu_s: dict[int, float] = {}
        self.peak_pss = 0
        self.peak_rss = 0
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        for number in itertools.count():
            if self._ended.wait(_INTERVAL_S):
                return
            with suppress(psutil.NoSuchProcess):
                root = psutil.Process(self._pid)
                processes = [root, *root.children(recursive=True)]
                self._measure(processes, with_pss=number % _PSS_EVERY == 0)

    def _measure(self, processes: Sequence[psutil.Process], with_pss: bool) -> None:
        pss = rss = 0
        for process in processes:
            with suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
                times = process.cpu_times()
                self.cpu_s[process.pid] = times.user + times.system
                rss += process.memory_info().rss
                pss += _read_pss(process.pid) if with_pss else 0
        self.peak_pss, self.peak_rss = max(self.peak_pss, pss), max(self.peak_rss, rss)


def _read_pss(pid: int) -> int:
    """Bytes of a process, its share of shared pages only."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0
