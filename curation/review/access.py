"""Access control of the review server: only the server's own page, with the token, gets answers.

Any site in a browser can send requests to loopback, and can make its own host name point to
loopback (DNS rebinding). Therefore a request must name this server as its host and its origin. All
requests except those for the page's own files need the token, which only the printed address
contains.
"""

import hmac
from collections.abc import Awaitable, Callable

from aiohttp import web

TOKEN_HEADER = "X-Tagscribe-Token"
HEADERS = {
    # No inline script or style, nothing from elsewhere; sounds are played from memory.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; media-src blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class RefusedRequest(Exception):
    """A request that is refused; the reason is sent as the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def access_middleware(
    token: str, open_paths: frozenset[str]
) -> Callable[..., Awaitable[web.StreamResponse]]:
    """Build the middleware that checks requests; requests for `open_paths` need no token."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            _check(request, token, open_paths)
            response = await handler(request)
        except RefusedRequest as error:
            response = web.json_response({"error": str(error)}, status=error.status)
        except web.HTTPException as error:
            response = web.json_response({"error": error.reason}, status=error.status)
        response.headers.update(HEADERS)
        return response

    return guarded


def _check(request: web.Request, token: str, open_paths: frozenset[str]) -> None:
    """Raises Refused for a request of another site, and for one that lacks the token."""
    # Who has gone meanwhile has no socket, and is refused.
    _, port, *_ = request.get_extra_info("sockname") or ("", 0)
    hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
    if request.headers.get("Host") not in hosts:
        raise RefusedRequest(403, "this server answers requests to 127.0.0.1 only")
    origins = {None, *(f"http://{host}" for host in hosts)}
    site = request.headers.get("Sec-Fetch-Site", "none")
    if request.headers.get("Origin") not in origins or site not in ("none", "same-origin"):
        raise RefusedRequest(403, "this server answers requests of its own page only")
    given = request.headers.get(TOKEN_HEADER, "")
    if request.path not in open_paths and not hmac.compare_digest(given.encode(), token.encode()):
        raise RefusedRequest(
            403, "the token is missing or wrong: open the address that tagscribe review printed"
        )
