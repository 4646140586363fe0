"""Nodes with addresses of their own: a bridge, and a network namespace for each, behind a cable.

Only root may make them, and not everywhere; see `can_be_made`.
"""

import os
import subprocess
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
        """Pull the cable: neither side hears any more of the other, and no connection is closed."""
        assert place.cable
        _ip("link", "set", place.cable, "down")

    def join(self, place: Place) -> None:
        assert place.cable
        _ip("link", "set", place.cable, "up")

    def close(self) -> None:
        for name in self._nodes:
            _ip("netns", "delete", name)
        _ip("link", "delete", self._name)


@contextmanager
def network() -> Iterator[Network]:
    made = Network()
    try:
        yield made
    finally:
        made.close()


def can_be_made() -> bool:
    """Whether this user may make network namespaces on this machine."""
    name = f"ts{os.getpid()}-try"
    try:
        _ip("netns", "add", name)
        _ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return False
    finally:
        with suppress(FileNotFoundError, subprocess.CalledProcessError):
            _ip("netns", "delete", name)
    return True


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
