"""Request objects (RFC 9101): what a client asks for, signed, so that nobody on the way can change it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from identity.oauth.authorization.checks import UnanswerableRequestError
from identity.oauth.authorization.request import AuthorizationParameters
from identity.oauth.client_jwts import ClientJwtError, ClientJwts, require_times
from identity.oauth.errors import InvalidRequestObject
from identity.oauth.registry import RegisteredClient, Registry

_TYPES = frozenset({"", "jwt", "oauth-authz-req+jwt"})
_LONGEST_LIFETIME = 3600
_OF_THE_JWT = frozenset({"iss", "aud", "exp", "iat", "nbf", "jti", "sub"})


@dataclass(frozen=True, slots=True)
class RequestObjects:
    """Reads requests that clients sign. Only what is signed counts; what stands beside it may not say otherwise, as an old
    client, or somebody on the way, would have it (RFC 9101 section 6.3; CVE-2026-63687)."""

    issuer: str
    registry: Registry
    jwts: ClientJwts

    async def resolve(self, sent: AuthorizationParameters) -> AuthorizationParameters:
        """Returns what was signed, or the request itself if nothing was, or nobody knows a key of its client. Raises
        `UnanswerableRequestError`: an address out of a request that proves nothing is no address."""
        signed, client_id = sent.get("request"), sent.get("client_id")
        if signed is None or sent.faulty or client_id is None:
            return sent
        client = await self.registry.client(client_id)
        if client is None or not (client.keys or client.jwks_uri):
            return sent
        try:
            values = _parameters(await self._read(client, signed))
            _require_agreement(sent, values)
        except ClientJwtError as error:
            raise UnanswerableRequestError(InvalidRequestObject(detail=str(error))) from None
        return replace(values, is_pushed=sent.is_pushed)

    async def _read(self, client: RegisteredClient, signed: str) -> Mapping[str, object]:
        now = time.time()
        claims = await self.jwts.read(client, signed, _TYPES, now)
        if "exp" in claims or client.profile:
            require_times(claims, now, _LONGEST_LIFETIME)
        audience = claims.get("aud")
        if self.issuer not in (audience if isinstance(audience, list) else [audience]):
            raise ClientJwtError("for another audience")
        if not claims.get("iss") == claims.get("client_id") == client.client_id:
            raise ClientJwtError("of another client")
        if claims.get("sub") == client.client_id:  # It would prove who asks, too: whoever saw it could (RFC 9101 10.8).
            raise ClientJwtError("an assertion")
        if "request" in claims or "request_uri" in claims:
            raise ClientJwtError("a request in a request")
        return claims


def _parameters(claims: Mapping[str, object]) -> AuthorizationParameters:
    resources = claims.get("resource", [])
    resources = resources if isinstance(resources, list) else [resources]
    values = {name: _text(value) for name, value in claims.items() if name not in _OF_THE_JWT | {"resource"}}
    return AuthorizationParameters(
        {name: value for name, value in values.items() if value},
        tuple(_text(each) for each in resources),
        frozenset(name for name, value in values.items() if "\0" in value),
        is_signed=True,
    )


def _text(value: object) -> str:
    """Returns the text that a parameter of this value would have in a form (RFC 9101 section 4)."""
    if isinstance(value, bool) or value is None:
        raise ClientJwtError("a parameter is malformed")
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _require_agreement(sent: AuthorizationParameters, signed: AuthorizationParameters) -> None:
    if any(name != "request" and value != signed.values.get(name, value) for name, value in sent.values.items()):
        raise ClientJwtError("a parameter beside it says otherwise")
