"""Programs of this project in processes of their own."""

import signal
import subprocess
import sys
from pathlib import Path


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
