"""moto's S3 server on loopback: quick to start, and it takes any credentials."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

S3_SECRET = "must-not-be-written-anywhere"


@contextmanager
def moto_server() -> Iterator[str]:
    """A server in a process of its own, for the time of the block; its URL.

    Not a thread: the Delta writer holds the interpreter while it waits for an answer.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert server.poll() is None and time.monotonic() < deadline, "moto did not start"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()
