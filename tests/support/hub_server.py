"""A small imitation of the Hugging Face hub on loopback: as much as its client needs to write files
to one dataset, list them and read them. What the hub itself does with a commit is not imitated."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

REPOSITORY = "org/tones"


class Hub:
    """Files of the one dataset, how many commits made them, and what it refuses."""

    def __init__(self) -> None:
        self.url = ""
        self.files: dict[str, bytes] = {}
        self.commits = 0
        self.refused: tuple[str, ...] = ()  # answered 403, by the start of the path asked for

    def below(self, folder: str) -> list[dict[str, Any]] | None:
        """As the hub lists a folder: its files and folders; None where there is none."""
        prefix = f"{folder}/" if folder else ""
        found: dict[str, dict[str, Any]] = {}
        for path, data in self.files.items():
            if path.startswith(prefix):
                name, deeper, _ = path.removeprefix(prefix).partition("/")
                kind = {"type": "directory"} if deeper else {"type": "file", "size": len(data)}
                found[name] = {**kind, "path": prefix + name, "oid": "0" * 40}
        return list(found.values()) if found or not folder else None

    def commit(self, lines: bytes) -> None:
        self.commits += 1
        for line in map(json.loads, lines.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                self.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "deletedFile":
                del self.files[value["path"]]


@contextmanager
def hub_server() -> Iterator[Hub]:
    """A hub of its own, for the time of the block."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    api = f"/api/datasets/{REPOSITORY}"

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one packet: else each answer waits for the client's ACK

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            if path in (api, f"{api}/revision/main"):
                self.tell({"id": REPOSITORY, "sha": "0" * 40, "siblings": []})
            elif path.startswith(f"{api}/tree/main"):
                found = hub.below(path.removeprefix(f"{api}/tree/main").strip("/"))
                self.tell(found) if found is not None else self.miss("EntryNotFound")
            elif path.startswith(f"/datasets/{REPOSITORY}/resolve/main/"):
                data = hub.files.get(path.partition("/resolve/main/")[2])
                self.answer(200, data) if data is not None else self.miss("EntryNotFound")
            else:
                self.miss("RepoNotFound")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            if self.path == "/api/validate-yaml":
                self.tell({"errors": [], "warnings": []})
            elif self.path == f"{api}/preupload/main":
                paths = [file["path"] for file in json.loads(body)["files"]]
                mode = {"uploadMode": "regular", "shouldIgnore": False}
                self.tell({"files": [{"path": path, **mode} for path in paths]})
            elif self.path == f"{api}/commit/main":
                if not self.path.startswith(hub.refused):
                    hub.commit(body)
                url = f"{hub.url}/datasets/{REPOSITORY}/commit/{'0' * 40}"
                self.tell({"success": True, "commitUrl": url, "commitOid": "0" * 40})
            else:
                self.miss("RepoNotFound")

        def tell(self, value: object) -> None:
            self.answer(200, json.dumps(value).encode())

        def miss(self, code: str) -> None:
            self.answer(404, b"{}", {"X-Error-Code": code})

        def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            if self.path.startswith(hub.refused):
                status, body = 403, b"{}"
            self.send_response(status)
            for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *values: object) -> None:
            """Nothing: pytest shows what matters."""

    return Handler
