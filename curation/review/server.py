"""The review server, on loopback: files of the page, answers as JSON, sounds as FLAC, marks."""

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
SCRIPTS = ("review.js", "rows.js", "policy.js", "chart.js", "asking.js", "dom.js")
FILES = {
    "/": ("index.html", "text/html"),
    "/review.css": ("review.css", "text/css"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
    **{f"/{name}": (name, "text/javascript") for name in SCRIPTS},
}

Question = TypeVar("Question", bound=BaseModel)


def create_application(
    answers: ReviewService, about: dict[str, Any], token: str
) -> web.Application:
    """The server's routes.

    Args:
        about: what the page is told of the run beside what its index knows.
        token: what each request but those for the page's files must carry.
    """
    server = _Server(answers, about)
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
    """Serve on loopback until cancelled; `on_ready` is told the port, a free one where it was 0.

    Raises InputError where the port is taken.
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
        self._answers = answers
        self._about = about
        page = resources.files("curation.review") / "page"
        self._files = {path: (page / name).read_bytes() for path, (name, _) in FILES.items()}

    async def file(self, request: web.Request) -> web.Response:
        kind = FILES[request.path][1]
        return web.Response(body=self._files[request.path], content_type=kind, charset="utf-8")

    async def about(self, request: web.Request) -> web.Response:
        told = await asyncio.to_thread(self._answers.about)
        return _json({**told, **self._about})

    async def view(self, request: web.Request) -> web.Response:
        return await _answered(self._answers.view, await _asked(request, ViewRequest))

    async def yields(self, request: web.Request) -> web.Response:
        return await _answered(self._answers.yields, await _asked(request, YieldRequest))

    async def curve(self, request: web.Request) -> web.Response:
        asked = await _asked(request, YieldRequest)
        return await _answered(self._answers.curve, asked.policy)

    async def mark(self, request: web.Request) -> web.Response:
        said = await _asked(request, MarkRequest)
        return await _answered(self._answers.mark, said)

    async def clip(self, request: web.Request) -> web.Response:
        return await _answered(self._answers.clip, int(request.match_info["clip"]))

    async def sound(self, request: web.Request) -> web.Response:
        clip = int(request.match_info["clip"])
        storage = self._answers.run.storage
        data = await _done(lambda: clip_audio.clip_flac(storage, self._answers.evidence(clip)))
        return web.Response(body=data, content_type="audio/flac")


async def _asked(request: web.Request, kind: type[Question]) -> Question:
    try:
        return kind.model_validate(await request.json())
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
        raise RefusedRequest(400, escape_invisible("; ".join(wrong))) from error
    except ValueError as error:
        raise RefusedRequest(400, "a question is JSON, and this is none") from error


async def _answered(answer: Callable[[Any], dict[str, Any]], asked: object) -> web.Response:
    return _json(await _done(lambda: answer(asked)))


async def _done(work: Callable[[], Any]) -> Any:
    """What `work` returns, from a thread. Raises Refused, with what is wrong."""
    try:
        return await asyncio.to_thread(work)
    except UnknownClipError as error:
        raise RefusedRequest(404, str(error)) from error
    except (InputError, AudioError, OSError) as error:
        raise RefusedRequest(422, escape_invisible(str(error))) from error


def _json(answer: dict[str, Any]) -> web.Response:
    return web.json_response(text=json.dumps(answer, ensure_ascii=False, allow_nan=False))
