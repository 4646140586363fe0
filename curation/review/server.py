"""The review server on loopback: serves the page's files, JSON, sounds as FLAC, and takes marks."""

import asyncio
import json
from collections.abc import Callable
from importlib import resources
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from curation.audio.errors import AudioError
from curation.errors import InputError
from curation.review import clip_audio
from curation.review.access import RefusedRequest, access_middleware
from curation.review.request_schema import MarkRequest, ViewRequest, YieldRequest
from curation.review.service import ReviewService, UnknownClipError
from curation.text_safety import escape_invisible

LOOPBACK = "127.0.0.1"
MAX_REQUEST_BYTES = 64 * 1024
SCRIPTS = ("review.js", "rows.js", "policy.js", "chart.js", "requests.js", "dom.js")
FILES = {
    "/": ("index.html", "text/html"),
    "/review.css": ("review.css", "text/css"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
    **{f"/{name}": (name, "text/javascript") for name in SCRIPTS},
}

RequestModel = TypeVar("RequestModel", bound=BaseModel)


def create_application(
    service: ReviewService, about: dict[str, Any], token: str
) -> web.Application:
    """Create the web application with its routes.

    Args:
        about: facts about the run that the index does not have.
        token: required in each request except those for the page's files.
    """
    server = _Server(service, about)
    app = web.Application(
        middlewares=[access_middleware(token, frozenset(FILES))], client_max_size=MAX_REQUEST_BYTES
    )
    for path in FILES:
        app.router.add_get(path, server.file)
    app.router.add_get("/api/about", server.about)
    app.router.add_post("/api/view", server.view)
    app.router.add_post("/api/yield", server.yields)
    app.router.add_post("/api/curve", server.curve)
    app.router.add_post("/api/mark", server.mark)
    app.router.add_get(r"/api/clips/{clip:\d{1,10}}", server.clip)
    app.router.add_get(r"/api/clips/{clip:\d{1,10}}/sound", server.sound)
    return app


async def serve_application(
    app: web.Application, port: int, on_ready: Callable[[int], None]
) -> None:
    """Serve on loopback until cancelled. `on_ready` receives the port; 0 means any free port.

    Raises InputError if the port is taken.
    """
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, LOOPBACK, port).start()
        except OSError as error:
            raise InputError(
                f"port {port} of {LOOPBACK} cannot be used ({error.strerror}); name another by "
                "--port, or none for a free one"
            ) from error
        on_ready(runner.addresses[0][1])
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


class _Server:
    """The handlers. Answers are made in threads, so that a sound on its way holds nobody up."""

    def __init__(self, answers: ReviewService, about: dict[str, Any]) -> None:
        self._service = answers
        self._about = about
        page = resources.files("curation.review") / "page"
        self._files = {path: (page / name).read_bytes() for path, (name, _) in FILES.items()}

    async def file(self, request: web.Request) -> web.Response:
        kind = FILES[request.path][1]
        return web.Response(body=self._files[request.path], content_type=kind, charset="utf-8")

    async def about(self, request: web.Request) -> web.Response:
        about = await asyncio.to_thread(self._service.about)
        return _json({**about, **self._about})

    async def view(self, request: web.Request) -> web.Response:
        return await _respond(self._service.view, await _parse_request(request, ViewRequest))

    async def yields(self, request: web.Request) -> web.Response:
        return await _respond(
            self._service.compare_yields, await _parse_request(request, YieldRequest)
        )

    async def curve(self, request: web.Request) -> web.Response:
        body = await _parse_request(request, YieldRequest)
        return await _respond(self._service.curve, body.policy)

    async def mark(self, request: web.Request) -> web.Response:
        body = await _parse_request(request, MarkRequest)
        return await _respond(self._service.mark, body)

    async def clip(self, request: web.Request) -> web.Response:
        return await _respond(self._service.clip, int(request.match_info["clip"]))

    async def sound(self, request: web.Request) -> web.Response:
        clip = int(request.match_info["clip"])
        storage = self._service.run.storage
        data = await _run_in_thread(
            lambda: clip_audio.clip_flac(storage, self._service.evidence(clip))
        )
        return web.Response(body=data, content_type="audio/flac")


async def _parse_request(request: web.Request, kind: type[RequestModel]) -> RequestModel:
    try:
        return kind.model_validate(await request.json())
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
        raise RefusedRequest(400, escape_invisible("; ".join(wrong))) from error
    except ValueError as error:
        raise RefusedRequest(400, "the body of the request is not JSON") from error


async def _respond(answer: Callable[[Any], dict[str, Any]], request: object) -> web.Response:
    return _json(await _run_in_thread(lambda: answer(request)))


async def _run_in_thread(work: Callable[[], Any]) -> Any:
    """What `work` returns, from a thread. Raises Refused, with what is wrong."""
    try:
        return await asyncio.to_thread(work)
    except UnknownClipError as error:
        raise RefusedRequest(404, str(error)) from error
    except (InputError, AudioError, OSError) as error:
        raise RefusedRequest(422, escape_invisible(str(error))) from error


def _json(answer: dict[str, Any]) -> web.Response:
    return web.json_response(text=json.dumps(answer, ensure_ascii=False, allow_nan=False))
