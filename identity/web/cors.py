"""Which web pages may read an answer (A59): public documents by any, the rest by the origins of registered clients."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from identity.feed.stores import StoreUnavailableError

_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, DPoP",
    "Access-Control-Max-Age": "600",
}
_EXPOSED = (b"access-control-expose-headers", b"WWW-Authenticate, Retry-After, DPoP-Nonce")


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
        if scope["path"] not in self._registered:
            return None
        origin = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"), None)
        if origin is None:
            return None
        try:
            return origin if origin in await self._origins() else None
        except StoreUnavailableError:
            return None


def _adding(send: Send, allowed: str) -> Send:
    extra = [(b"access-control-allow-origin", allowed.encode("latin-1")), _EXPOSED]
    if allowed != "*":
        extra.append((b"vary", b"Origin"))

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            # A new list: an answer that is kept and sent to many must not grow with each of them.
            message = {**message, "headers": [*message["headers"], *extra]}
        await send(message)

    return sending
