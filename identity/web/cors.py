"""Which web pages may read an answer (A59): public documents by any, the rest by the origins of registered clients."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from identity.feed.stores import StoreUnavailableError

_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "Authorization, Content-Type",
    "Access-Control-Max-Age": "600",
}


class CrossOrigin:
    """Pure ASGI middleware (Starlette's `BaseHTTPMiddleware` would cost a third of a refresh). Cookies are never allowed."""

    def __init__(
        self,
        app: ASGIApp,
        public: frozenset[str],
        registered: frozenset[str],
        origins: Callable[[], Awaitable[frozenset[str]]],
    ) -> None:
        self._app = app
        self._public = public
        self._registered = registered
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, and adds the headers to its answer where they are due."""
        allowed = await self._allowed(scope) if scope["type"] == "http" else None
        if allowed and scope["method"] == "OPTIONS":
            answer = Response(b"", 204, {**_PREFLIGHT, "Access-Control-Allow-Origin": allowed, "Vary": "Origin"})
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, _adding(send, allowed) if allowed else send)

    async def _allowed(self, scope: Scope) -> str | None:
        # Public documents say so to everyone: a shared cache may keep the answer to one for the other.
        if scope["path"] in self._public:
            return "*"
        origin = Headers(scope=scope).get("origin")
        if origin is None or scope["path"] not in self._registered:
            return None
        try:
            return origin if origin in await self._origins() else None
        except StoreUnavailableError:
            return None


def _adding(send: Send, allowed: str) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Access-Control-Allow-Origin"] = allowed
            headers["Access-Control-Expose-Headers"] = "WWW-Authenticate, Retry-After"
            if allowed != "*":
                headers.add_vary_header("Origin")
        await send(message)

    return sending
