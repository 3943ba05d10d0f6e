"""`POST /par`."""

from __future__ import annotations

import json

from starlette.requests import Request
from starlette.responses import Response

from identity.web.errors import DPOP_NONCE, NO_STORE
from identity.web.forms import read_pushed_request
from identity.web.services import Services


class PushedAuthorizationEndpoint:
    """The pushed authorization request endpoint (RFC 9126 section 2)."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def push(self, request: Request) -> Response:
        """Answers 201 with what the browser is to be sent to the authorization endpoint with."""
        pushed = await self._services.browsers.pushed.push(
            await read_pushed_request(request, self._services.certificate_of(request))
        )
        body = {"request_uri": pushed.request_uri, "expires_in": pushed.expires_in}
        headers = NO_STORE if pushed.dpop_nonce is None else {**NO_STORE, DPOP_NONCE: pushed.dpop_nonce}
        return Response(json.dumps(body).encode(), 201, headers, "application/json")
