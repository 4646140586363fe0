"""Programs of this project in processes of their own."""

import signal
import subprocess
import sys
from pathlib import Path


def run_tagscribe(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `tagscribe` to its end; its output and exit status."""
    command = [Path(sys.executable).parent / "tagscribe", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def restore_ctrl_c() -> None:
    """In a new process: a shell starts what runs in the background with Ctrl-C ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
