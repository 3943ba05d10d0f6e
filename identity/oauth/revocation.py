"""Token revocation (RFC 7009): a client ends what it was given. Logging out is revoking the refresh token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from identity.keyring.live import LiveKeys
from identity.models import AuditEvent
from identity.oauth.client_authentication import ClientAuthentication
from identity.oauth.errors import InvalidGrant, InvalidRequest
from identity.oauth.grants.sessions import Sessions
from identity.oauth.registry import RegisteredClient
from identity.oauth.requests import RevocationRequest
from identity.tokens.refresh_token import Families, read_token
from identity.verifier import profile


@dataclass(frozen=True, slots=True)
class Revocation:
    """Ends the grant of the token that is presented, whichever kind it is; a token without a grant is refused by its id.

    Success means that the rule is committed and on its way; a store that fails is an error, never a false success (A55).
    """

    authentication: ClientAuthentication
    families: Families
    sessions: Sessions
    keys: LiveKeys
    issuer: str

    async def revoke(self, request: RevocationRequest) -> None:
        """Revokes the token. An unknown, malformed or expired one is none of our business any more, which is a success."""
        client = await self.authentication.client(request.credentials)
        if not request.token:
            raise InvalidRequest("The parameter token is required.")
        generation = read_token(self.keys.now.authenticator, request.token)
        if generation is not None:
            await self._end_family(generation.family, client, request)
        elif (claims := self._read_access_token(request.token)) is not None:
            await self._revoke_access_token(claims, client, request)

    async def _end_family(self, family_id: str, client: RegisteredClient, request: RevocationRequest) -> None:
        # A family that Redis has lost is ended all the same: whoever holds an authentic token of it may want its access
        # tokens dead, and they are still alive.
        family = await self.families.read(family_id)
        if family is not None and family.client_id != client.client_id:
            raise _foreign()
        subject = family.subject if family else ""
        await self.sessions.end(_event(client, request, subject, family_id))

    async def _revoke_access_token(
        self, claims: dict[str, Any], client: RegisteredClient, request: RevocationRequest
    ) -> None:
        if claims.get("client_id") != client.client_id:
            raise _foreign()
        subject, grant_id = str(claims["sub"]), str(claims.get(profile.GRANT_CLAIM, ""))
        event = _event(client, request, subject, grant_id)
        if grant_id:
            await self.sessions.end(event)
        else:
            await self.sessions.revoke_token(str(claims["jti"]), event)

    def _read_access_token(self, token: str) -> dict[str, Any] | None:
        """Returns the claims of a live access token of ours, else None."""
        if len(token) > profile.MAX_TOKEN_BYTES:
            return None
        try:
            record = self.keys.now.public_keys.get(str(jwt.get_unverified_header(token).get("kid")))
            if record is None:
                return None
            return _decode(token, record, self.issuer)
        except jwt.PyJWTError:
            return None


def _decode(token: str, key: RSAPublicKey, issuer: str) -> dict[str, Any]:
    required = ["exp", "sub", "jti", "client_id"]
    options: Any = {"require": required, "verify_aud": False}
    return jwt.decode(token, key, algorithms=[profile.ALGORITHM], issuer=issuer, leeway=profile.LEEWAY, options=options)


def _foreign() -> InvalidGrant:
    return InvalidGrant("The token was issued to another client.", detail="foreign token")


def _event(client: RegisteredClient, request: RevocationRequest, subject: str, grant_id: str) -> AuditEvent:
    return AuditEvent(
        event="token.revoked",
        actor=client.client_id,
        subject=subject,
        client_id=client.client_id,
        grant_id=grant_id,
        address=request.address,
    )
