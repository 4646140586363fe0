"""Nodes with addresses of their own: a bridge, and a network namespace for each, behind a cable.

Only root may make them, and not everywhere; see `can_be_made`.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """Where a node is: the beginning of a command line that runs there, and its address."""

    prefix: tuple[str, ...] = ()
    address: str = "127.0.0.1"
    cable: str | None = None


class Network:
    """A bridge that this machine is on, at `host`; each node hangs on a cable of its own."""

    def __init__(self) -> None:
        self._name = f"ts{os.getpid()}"
        self._subnet = f"10.213.{os.getpid() % 256}"
        self._nodes: list[str] = []
        self.host = f"{self._subnet}.1"

    def open(self) -> None:
        _ip("link", "add", self._name, "type", "bridge")
        _ip("address", "add", f"{self.host}/24", "dev", self._name)
        _ip("link", "set", self._name, "up")

    def add(self) -> Place:
        """A namespace for one more node. Its name is also that of its cable, on our side."""
        name = f"{self._name}-{len(self._nodes)}"
        address = f"{self._subnet}.{len(self._nodes) + 2}"
        _ip("netns", "add", name)
        self._nodes.append(name)
        _ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("link", "set", name, "master", self._name, "up")
        _ip("-n", name, "address", "add", f"{address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip("-n", name, "link", "set", device, "up")
        return Place(("ip", "netns", "exec", name), address, name)

    def cut(self, place: Place) -> None:
        """Disconnect a node: neither side receives packets, and no connection is closed."""
        assert place.cable
        _ip("link", "set", place.cable, "down")

    def join(self, place: Place) -> None:
        assert place.cable
        _ip("link", "set", place.cable, "up")

    def close(self) -> None:
        # Whatever of it was made.
        with suppress(FileNotFoundError, subprocess.CalledProcessError):
            for name in self._nodes:
                _ip("netns", "delete", name)
            _ip("link", "delete", self._name)


@contextmanager
def network() -> Iterator[Network]:
    """A network for the time of the block. Raises CalledProcessError where none can be made."""
    made = Network()
    try:
        made.open()
        yield made
    finally:
        made.close()


def can_be_made() -> bool:
    """Whether this user may make such a network here, and its nodes reach each other."""
    try:
        with network() as made:
            here, there = made.add(), made.add()
            command = [*there.prefix, sys.executable, "-c", _ECHO, there.address]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as listening:
                assert listening.stdout is not None
                port = listening.stdout.readline().strip()
                calling = [*here.prefix, sys.executable, "-c", _CALL, there.address, port]
                called = subprocess.run(calling, capture_output=True)
                listening.kill()
    except (FileNotFoundError, subprocess.CalledProcessError):
        return False
    return called.returncode == 0


_ECHO = """
import socket, sys
with socket.create_server((sys.argv[1], 0)) as server:
    print(server.getsockname()[1], flush=True)
    server.accept()
"""
_CALL = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)"


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
