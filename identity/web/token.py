"""`POST /token` and `POST /revoke`."""

from __future__ import annotations

import json

from starlette.requests import Request
from starlette.responses import Response

from identity.oauth.grants.pipeline import TokenResponse
from identity.web.errors import DPOP_NONCE, NO_STORE
from identity.web.forms import read_revocation_request, read_token_request
from identity.web.services import Services

_encode = json.JSONEncoder(separators=(",", ":")).encode


class TokenEndpoint:
    """The token endpoint (RFC 6749 section 3.2) and the revocation endpoint (RFC 7009 section 2)."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def token(self, request: Request) -> Response:
        """Answers every grant."""
        services = self._services
        answer = await services.tokens.answer(await read_token_request(*services.sender_of(request)))
        headers = NO_STORE if answer.dpop_nonce is None else {**NO_STORE, DPOP_NONCE: answer.dpop_nonce}
        return Response(_body(answer), 200, headers, "application/json")

    async def revoke(self, request: Request) -> Response:
        """Answers 200 with an empty body once the revocation is in force."""
        services = self._services
        await services.revocation.revoke(await read_revocation_request(*services.sender_of(request)))
        return Response(b"", 200, NO_STORE)


def _body(answer: TokenResponse) -> bytes:
    members: dict[str, object] = {
        "access_token": answer.access_token,
        "token_type": answer.token_type,
        "expires_in": answer.expires_in,
        "scope": " ".join(answer.scopes),
    }
    if answer.refresh_token is not None:
        members["refresh_token"] = answer.refresh_token
    if answer.id_token is not None:
        members["id_token"] = answer.id_token
    return _encode(members).encode()
