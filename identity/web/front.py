"""The way in: exact paths are answered here, at once; whatever else there is goes on to FastAPI.

FastAPI's telemetry, middleware and routing cost 50 µs a request, a sixth of a refresh, and give the protocol's endpoints
nothing: they have no parameters, no dependencies and no models. One dictionary finds their handler.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from identity.oauth.errors import TemporarilyUnavailable
from identity.web.errors import response_to
from identity.web.stopping import Stop

Handler = Callable[[Request], Awaitable[Response]]
Endpoints = Mapping[str, Mapping[str, Handler]]
"""Handlers by path, then by method."""

_ADMITTED_PER_TURN = 8
_MAX_WAITING = 4096


class FrontedApp(FastAPI):
    """FastAPI with something in front of all that it does itself; `add_middleware` would put it in the middle."""

    _front: ASGIApp | None = None

    def put_in_front(self, wrap: Callable[[ASGIApp], ASGIApp]) -> None:
        """Has every request go to `wrap(FastAPI)` first."""
        self._front = wrap(super().__call__)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        await (self._front or super().__call__)(scope, receive, send)


class Front:
    """Pure ASGI middleware that answers the protocol's endpoints, errors included."""

    def __init__(self, app: ASGIApp, endpoints: Endpoints, stop: Stop) -> None:
        self._app = app
        self._endpoints = endpoints
        self._stop = stop
        self._turnstile = _Turnstile()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers the request if the path is one of ours."""
        methods = self._endpoints.get(scope["path"]) if scope["type"] == "http" else None
        if methods is None:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            await self._turnstile.enter()
            response = await _handler(methods, scope["method"])(request)
        except Exception as error:
            response = response_to(request, error)
        if self._stop.has_begun:
            response.headers["Connection"] = "close"
        await response(scope, receive, send)


def _handler(methods: Mapping[str, Handler], method: str) -> Handler:
    handler = methods.get("GET" if method == "HEAD" else method)
    if handler is None:
        raise HTTPException(405, headers={"Allow": ", ".join(methods)})
    return handler


class _Turnstile:
    """Lets a bounded number of requests begin in one turn of the event loop, in the order in which they came.

    When a thousand are ready at once, a turn that began them all would last longer than the revocation feed may go
    unconfirmed: its confirmation takes a dozen turns. The server would then refuse everything, because of its own load.
    """

    def __init__(self) -> None:
        self._admitted = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> None:
        """Returns in this turn, or in a later one when this one is full; refuses when too many wait already."""
        loop = asyncio.get_running_loop()
        if self._admitted < _ADMITTED_PER_TURN:
            if self._admitted == 0:
                loop.call_soon(self._next_turn, loop)
            self._admitted += 1
            return
        if len(self._waiting) >= _MAX_WAITING:
            raise TemporarilyUnavailable("Too many requests are waiting; try again.")
        turn = loop.create_future()
        self._waiting.append(turn)
        await turn

    def _next_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._admitted = 0
        while self._waiting and self._admitted < _ADMITTED_PER_TURN:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._admitted += 1
        if self._admitted:
            loop.call_soon(self._next_turn, loop)
