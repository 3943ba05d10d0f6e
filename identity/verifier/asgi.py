"""Protection for any ASGI application, in front of it: nothing of a framework runs before the token is known to be good."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any, Final

from identity.verifier.api_keys import ApiKeyExchange
from identity.verifier.bearer import Bearer, BearerRefused
from identity.verifier.certificates import CertificateHeader
from identity.verifier.errors import InsufficientScope
from identity.verifier.feed import WhenStale
from identity.verifier.possession import DPoP
from identity.verifier.verifier import Verifier

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_POLICY_VIOLATION: Final = 1008


class BearerMiddleware:
    """Lets requests through to `app` with a token that is good and holds `scopes`; answers the others 400, 401, 403 or 503.
    With `api_keys` the token may be that of an API key in `X-API-Key`; with `dpop` it may, or must, be bound to a key;
    with `certificates`, to a client certificate.

    The endpoint finds the `VerifiedToken` in `scope["state"]["token"]` (`request.state.token` in Starlette and FastAPI). Its
    `require("orders:write")` may ask for more: what it raises is answered with 403. Everything is protected but the exact
    `open_paths`. Against a FastAPI dependency this saves most of what protection costs, and it knows no scopes of single
    routes.
    """

    def __init__(
        self,
        app: Application,
        verifier: Verifier,
        *,
        scopes: Collection[str] = (),
        open_paths: Collection[str] = (),
        when_stale: WhenStale | None = None,
        resource_metadata: str | None = None,
        api_keys: ApiKeyExchange | None = None,
        dpop: DPoP | None = None,
        certificates: CertificateHeader | None = None,
    ) -> None:
        self._app = app
        self._bearer = Bearer(verifier, when_stale, resource_metadata, api_keys, dpop, certificates)
        self._scopes = tuple(scopes)
        self._open_paths = frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, or answers it."""
        if scope["type"] not in ("http", "websocket") or scope["path"] in self._open_paths:
            await self._app(scope, receive, send)
            return
        try:
            token = await self._bearer.admit(scope, self._scopes)
            scope.setdefault("state", {})["token"] = token
            await self._app(scope, receive, send)
        except InsufficientScope as error:
            await _answer(self._bearer.refusal(error, error.required, scope), scope, send)
        except BearerRefused as refused:
            await _answer(refused, scope, send)


async def _answer(refused: BearerRefused, scope: Scope, send: Send) -> None:
    kind = "http.response"
    if scope["type"] == "websocket":
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return
        kind = "websocket.http.response"
    body = json.dumps(refused.body, separators=(",", ":")).encode()
    headers = {**refused.headers, "Content-Type": "application/json", "Content-Length": str(len(body))}
    pairs = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": f"{kind}.start", "status": refused.status, "headers": pairs})
    await send({"type": f"{kind}.body", "body": body})
