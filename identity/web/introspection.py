"""`POST /introspect`."""

from __future__ import annotations

import json

from starlette.requests import Request
from starlette.responses import Response

from identity.verifier.profile import CONFIRMATION_CLAIM, Confirmation
from identity.web.errors import NO_STORE
from identity.web.forms import read_introspection_request
from identity.web.services import Services

_INACTIVE = b'{"active":false}'
"""The whole answer for a token that is not good, whatever the reason (RFC 7662 section 2.2)."""


class IntrospectionEndpoint:
    """The introspection endpoint (RFC 7662 section 2)."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def introspect(self, request: Request) -> Response:
        """Answers 200 for every token; only who asks, or how, can be an error."""
        claims = await self._services.introspection.introspect(await read_introspection_request(request))
        return Response(_INACTIVE if claims is None else _body(dict(claims)), 200, NO_STORE, "application/json")


def _body(claims: dict[str, object]) -> bytes:
    scheme = Confirmation.of(claims.get(CONFIRMATION_CLAIM)).scheme
    return json.dumps({**claims, "active": True, "token_type": scheme}, separators=(",", ":")).encode()
