"""Ceph's RADOS gateway on loopback: a real S3 server, its store a file, for the time of the tests.

Nothing is installed here. Debian's packages are radosgw, ceph-mon and ceph-osd; `.ci/run` installs
them. Where they are missing a test skips, unless CI is set: then it fails.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# The gateway's own tool takes it as an argument, so it is in the list of processes for a moment.
RADOS_SECRET = "of-the-gateway-and-nobody-else"
ACCESS_KEY = "tagscribe-tests"
PROGRAMS = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph", "monmaptool")
_START_S = 120

# One of everything, no authentication inside. The monitor's connections are `crc`: with `secure`,
# the default, the gateway hangs at its start where authentication is off.
_CONFIG = """
[global]
fsid = {fsid}
mon host = v2:127.0.0.1:{mon_port}
public network = 127.0.0.0/8
auth cluster required = none
auth service required = none
auth client required = none
auth allow insecure global id reclaim = true
ms mon client mode = crc
run dir = {folder}/run
log file = {folder}/log/$name.log
admin socket = {folder}/run/$name.asok
pid file = {folder}/run/$name.pid
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail crit = 1
mon data avail warn = 2
mon warn on pool no redundancy = false
[mon.a]
mon data = {folder}/mon
[osd.0]
osd data = {folder}/osd
osd objectstore = bluestore
bluestore block size = 10737418240
bluestore block create = true
bluestore fsck on mount = false
osd memory target = 939524096
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw data = {folder}/rgw
rgw enable usage log = false
rgw enable ops log = false
rgw dns name = 127.0.0.1
rgw thread pool size = 64
rgw run sync thread = false
"""


class Gateway:
    """A running gateway; `stop` and `start` take it away and bring it back, its objects kept."""

    def __init__(self, folder: Path, secret: str) -> None:
        self._folder = folder
        self._config = folder / "ceph.conf"
        self.port, self._mon_port = _free_port(), _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.secret = secret
        self._store: list[subprocess.Popen[bytes]] = []
        self._gateway: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What a client's environment holds to reach it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def make(self) -> None:
        """Monitor, object store, gateway and a user, from nothing; some fifteen seconds."""
        for name in ("mon", "osd", "rgw", "log", "run"):
            (self._folder / name).mkdir()
        fsid, osd = str(uuid.uuid4()), str(uuid.uuid4())
        self._config.write_text(
            _CONFIG.format(fsid=fsid, mon_port=self._mon_port, port=self.port, folder=self._folder)
        )
        monmap = self._folder / "monmap"
        mon_address = f"[v2:127.0.0.1:{self._mon_port}]"
        _run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", mon_address, monmap)
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap)
        self._store.append(self._started("ceph-mon", "-i", "a"))
        self._run("ceph", "--connect-timeout", "30", "osd", "new", osd, "0")
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        self._store.append(self._started("ceph-osd", "-i", "0"))
        self.start()
        self._run(
            *("radosgw-admin", "-n", "client.rgw", "user", "create", "--uid=test"),
            *("--display-name=test", f"--access-key={ACCESS_KEY}", f"--secret-key={self.secret}"),
        )

    def start(self) -> None:
        """The gateway itself, before a store that is there; returns when it answers."""
        self._gateway = self._started("radosgw", "-n", "client.rgw")
        deadline = time.monotonic() + _START_S
        while not self._answers():
            assert self._gateway.poll() is None and time.monotonic() < deadline, self._log_tail()
            time.sleep(0.1)

    def stop(self) -> None:
        """Kill the gateway; what was put stays."""
        if self._gateway:
            _end(self._gateway)
            self._gateway = None

    def close(self) -> None:
        self.stop()
        for process in reversed(self._store):
            _end(process)

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(self.url, timeout=5).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    def _started(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        # In the foreground, so that it is this process's child and can be ended.
        command = [program, "-f", "-c", str(self._config), *arguments]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _run(self, program: str, *arguments: "str | Path") -> None:
        _run(program, "-c", self._config, *arguments)

    def _log_tail(self) -> str:
        logs = sorted((self._folder / "log").glob("*.log"))
        return "\n".join(f"{log.name}: {log.read_text()[-2000:]}" for log in logs)


@contextmanager
def gateway(secret: str) -> Iterator[Gateway]:
    """A gateway of its own for the time of the block."""
    # Its sockets' paths must be short.
    folder = Path(tempfile.mkdtemp(prefix="rgw-", dir="/tmp"))
    made = Gateway(folder, secret)
    try:
        made.make()
        yield made
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)


def need_gateway() -> None:
    """Skip the test, or in CI fail it, where the programs are not installed."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if not missing:
        return
    message = (
        f"Ceph's RADOS gateway is not installed ({', '.join(missing)} missing); on Debian: "
        "apt-get install radosgw ceph-mon ceph-osd"
    )
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def _run(program: str, *arguments: "str | Path") -> None:
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, timeout=_START_S)
    assert done.returncode == 0, f"{program}: {done.stderr.decode()[-2000:]}"


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
