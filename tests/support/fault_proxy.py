"""A proxy that disturbs: it stands between a client and an S3 server, and breaks some requests.

    python -m tests.support.fault_proxy UPSTREAM --seed 3 --slow-down 0.1 --reset 0.1 --cut 0.1

Which request is broken, and how, follows from the seed, the request's method and path, and how
often that was asked before; so an object that is broken now is whole a few attempts later, and a
seed breaks the same objects in every run. A process of its own, as the Delta writer holds the
interpreter while it waits for an answer.
"""

import argparse
import asyncio
import json
import random
import socket
import struct
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from urllib.parse import unquote, urlsplit

COUNTS = "/-/counts"
SLOW_DOWN = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code>'
    b"<Message>Please reduce your request rate.</Message></Error>"
)


@dataclass(frozen=True)
class Rates:
    """How likely each fault is: a share of all requests, together at most 1."""

    slow_down: float = 0.0  # 503, and the request goes no further
    reset: float = 0.0  # the connection is reset before the request goes further
    lost: float = 0.0  # the server does as it is asked, and its answer is lost
    cut: float = 0.0  # the answer ends in the middle of its body
    stall: float = 0.0  # nothing comes for `stall_s`, then the connection is closed


class Proxy:
    def __init__(self, upstream: str, seed: int, rates: Rates, stall_s: float, broken: str) -> None:
        parts = urlsplit(upstream)
        self._host, self._port = parts.hostname, parts.port
        self._seed, self._stall_s, self._broken = seed, stall_s, broken
        self._rates = asdict(rates)
        self._requests: Counter[tuple[str, str]] = Counter()
        self.counts: Counter[str] = Counter()

    async def serve(self, host: str) -> None:
        server = await asyncio.start_server(self._connected, host, 0, limit=2**20)
        print(server.sockets[0].getsockname()[1], flush=True)
        async with server:
            await server.serve_forever()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one request; whether the connection lives on."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return False
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        headers = _headers(head)
        if headers.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await _body(reader, headers)
        if target == COUNTS:
            _answer(writer, b"200 OK", json.dumps(self.counts).encode())
            return False
        fault = self._fault(method, target)
        self.counts["requests"] += 1
        self.counts["requester pays"] += "x-amz-request-payer" in headers
        if fault:
            self.counts[fault] += 1
        if fault == "slow_down":
            _answer(writer, b"503 Slow Down", b"" if method == "HEAD" else SLOW_DOWN)
            await writer.drain()
            return True
        if fault == "stall":
            await asyncio.sleep(self._stall_s)
            return False
        if fault == "reset":
            _reset(writer)
            return False
        answer = await self._forward(method, head, body)
        if fault == "lost":
            _reset(writer)
            return False
        if fault == "cut":
            writer.write(answer[: answer.index(b"\r\n\r\n") + 4 + _body_length(answer) // 2])
            await writer.drain()
            return False
        writer.write(answer)
        await writer.drain()
        return b"connection: close" not in answer.split(b"\r\n\r\n", 1)[0].lower()

    async def _forward(self, method: str, head: bytes, body: bytes) -> bytes:
        """The server's whole answer, with a length even where it came in chunks."""
        reader, writer = await asyncio.open_connection(self._host, self._port, limit=2**20)
        try:
            kept = [
                line
                for line in head.split(b"\r\n")
                if line.partition(b":")[0].lower() not in (b"expect", b"connection")
            ]
            lines = b"\r\n".join(kept).rstrip(b"\r\n")
            writer.write(lines + b"\r\nConnection: close\r\n\r\n" + body)
            await writer.drain()
            while True:
                answer = await reader.readuntil(b"\r\n\r\n")
                if not answer.startswith(b"HTTP/1.1 100"):
                    break
            headers = _headers(answer)
            if method == "HEAD" or answer[9:12] in (b"204", b"304"):
                content = b""
            elif "content-length" in headers or "transfer-encoding" in headers:
                content = await _body(reader, headers, unpack=True)
            else:
                content = await reader.read()
            dropped = ("connection", "transfer-encoding", "keep-alive")
            if "transfer-encoding" in headers:
                dropped += ("content-length",)
            lines = [
                line
                for line in answer.rstrip(b"\r\n").split(b"\r\n")
                if line.partition(b":")[0].decode().lower() not in dropped
            ]
            if not any(line.lower().startswith(b"content-length:") for line in lines):
                lines.append(b"Content-Length: %d" % len(content))
            return b"\r\n".join(lines) + b"\r\n\r\n" + content
        finally:
            writer.close()

    def _fault(self, method: str, target: str) -> str | None:
        path = unquote(urlsplit(target).path)
        if self._broken and self._broken in path:
            return "slow_down"
        self._requests[method, target] += 1
        drawn = random.Random(
            f"{self._seed} {method} {path} {self._requests[method, target]}"
        ).random()
        for kind, rate in self._rates.items():
            if drawn < rate:
                return kind
            drawn -= rate
        return None


def _headers(head: bytes) -> dict[str, str]:
    pairs = (line.partition(":") for line in head.decode("latin-1").split("\r\n")[1:] if line)
    return {name.lower(): value.strip() for name, _, value in pairs}


async def _body(
    reader: asyncio.StreamReader, headers: dict[str, str], unpack: bool = False
) -> bytes:
    """A message's body; one in chunks as it came, or unpacked."""
    if "chunked" not in headers.get("transfer-encoding", ""):
        return await reader.readexactly(int(headers.get("content-length", 0)))
    parts = []
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        chunk = await reader.readexactly(size + 2)
        parts += [chunk[:-2]] if unpack else [line, chunk]
        if size == 0:
            return b"".join(parts)


def _body_length(answer: bytes) -> int:
    return len(answer) - answer.index(b"\r\n\r\n") - 4


def _answer(writer: asyncio.StreamWriter, status: bytes, body: bytes) -> None:
    writer.write(
        b"HTTP/1.1 %s\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n%s"
        % (status, len(body), body)
    )


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@dataclass(frozen=True)
class Disturbed:
    """A running proxy: its address, and what it has done."""

    url: str

    def counts(self) -> Counter[str]:
        with urllib.request.urlopen(self.url + COUNTS) as answer:
            return Counter(json.load(answer))


@contextmanager
def disturbing(
    upstream: str,
    rates: Rates,
    seed: int = 0,
    stall_s: float = 5.0,
    broken: str = "",
    host: str = "127.0.0.1",
) -> Iterator[Disturbed]:
    """A proxy before `upstream`, at `host`; paths that contain `broken` are never served."""
    options = [f"--{name.replace('_', '-')}={rate}" for name, rate in asdict(rates).items()]
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.support.fault_proxy", upstream, f"--seed={seed}"),
            *(f"--stall-s={stall_s}", f"--broken={broken}", f"--host={host}", *options),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield Disturbed(f"http://{host}:{int(process.stdout.readline())}")
    finally:
        process.kill()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("upstream", help="http://host:port of the S3 server")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stall-s", type=float, default=5.0)
    parser.add_argument("--broken", default="", help="paths that contain this are never served")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen at")
    for name in asdict(Rates()):
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=0.0)
    options = vars(parser.parse_args())
    rates = Rates(**{name: options[name] for name in asdict(Rates())})
    proxy = Proxy(
        options["upstream"], options["seed"], rates, options["stall_s"], options["broken"]
    )
    asyncio.run(proxy.serve(options["host"]))


if __name__ == "__main__":
    main()
