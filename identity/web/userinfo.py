"""`GET` and `POST /userinfo`."""

from __future__ import annotations

import json

from starlette.requests import Request
from starlette.responses import Response

from identity.web.access import read_access_request
from identity.web.errors import NO_STORE
from identity.web.services import Services


class UserInfoEndpoint:
    """The UserInfo endpoint (OpenID Connect Core section 5.3)."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def userinfo(self, request: Request) -> Response:
        """Answers with the claims of the person whose token was sent, in the header or in the form."""
        access = await read_access_request(request, self._services.certificate_of(request))
        answer = await self._services.userinfo.answer(access)
        if answer.signed is not None:
            return Response(answer.signed.encode(), 200, NO_STORE, "application/jwt")
        body = json.dumps(answer.claims, separators=(",", ":"), ensure_ascii=False).encode()
        return Response(body, 200, NO_STORE, "application/json")
