"""`POST /register`."""

from __future__ import annotations

import json

from starlette.requests import Request
from starlette.responses import Response

from identity.oauth.registration.endpoint import Registration, RegistrationRequest
from identity.web.access import read_initial_access_token
from identity.web.addresses import ClientAddress
from identity.web.bodies import UnsupportedMediaType, media_type, read_body
from identity.web.errors import NO_STORE

_MAX_BYTES = 16 * 1024
"""What a client says of itself is kept, and remembered by every server."""

_TYPE = "application/json"


class RegistrationEndpoint:
    """The client registration endpoint (RFC 7591 section 3)."""

    def __init__(self, registration: Registration, address: ClientAddress) -> None:
        self._registration = registration
        self._address = address

    async def register(self, request: Request) -> Response:
        """Answers 201 with everything that was registered; only now is the secret shown."""
        token = read_initial_access_token(request)
        if media_type(request) != _TYPE:
            raise UnsupportedMediaType(f"The body must be {_TYPE}.")
        sent = RegistrationRequest(token, await read_body(request, _MAX_BYTES), self._address.of(request))
        registered = await self._registration.register(sent)
        return Response(json.dumps(registered).encode(), 201, NO_STORE, "application/json")
