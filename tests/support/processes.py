"""Programs of this project in processes of their own."""

import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

# A command line; the name of a class of `tests.fake_workers` follows, then arguments of tagscribe.
RUN_WITH_WORKER = (sys.executable, "-m", "tests.run_with_worker")


def run_tagscribe(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `tagscribe` to its end; its output and exit status."""
    return run_program("tagscribe", *arguments)


def run_program(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a program of this environment to its end; its output and exit status."""
    command = [Path(sys.executable).parent / name, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def restore_ctrl_c() -> None:
    """In a new process: a shell starts what runs in the background with Ctrl-C ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def find_descendants(root: int, matches: Callable[[str], bool]) -> list[psutil.Process]:
    """The descendants of a process whose command line matches."""
    found = []
    with suppress(psutil.NoSuchProcess):
        for process in psutil.Process(root).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if matches(" ".join(process.cmdline())):
                    found.append(process)
    return found


def kill_tree(pid: int) -> None:
    """Kill a process and its descendants by SIGKILL."""
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
