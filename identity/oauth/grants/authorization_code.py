"""The authorization code grant (RFC 6749 section 4.1.3): a session begins with the code that a browser brought (A20-A25)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from identity.feed.follower import Follower
from identity.feed.picture import Picture
from identity.keyring.live import LiveKeys
from identity.models import AuditEvent
from identity.oauth.authorization.codes import CodeGrant, Codes, Redemption
from identity.oauth.errors import InvalidGrant, InvalidRequest
from identity.oauth.grants.pipeline import Asked, Authorization
from identity.oauth.grants.sessions import Sessions, access_of, identity_of
from identity.oauth.grants.standing import Standing, require_alive, require_holder, standing_of
from identity.oauth.pkce import answers, is_verifier
from identity.oauth.registry import Registry
from identity.oauth.scopes import cut_by_roles
from identity.tokens.refresh_token import Family, Generation, write_token
from identity.verifier.profile import Confirmation


@dataclass(frozen=True, slots=True)
class Prepared:
    """A redemption whose every check has passed; only the code is left to use up."""

    grant: CodeGrant
    scopes: tuple[str, ...]
    standing: Standing


@dataclass(frozen=True, slots=True)
class AuthorizationCodeGrant:
    """Redeems a code, once. Whoever redeems it again has stolen it, or was stolen from: what it gave ends (A21)."""

    registry: Registry
    codes: Codes
    sessions: Sessions
    follower: Follower
    keys: LiveKeys
    name: str = "authorization_code"

    async def prepare(self, asked: Asked) -> Prepared:
        """Checks who redeems it, and with what. Only a wrong verifier is counted; nothing else here uses anything up (A25)."""
        request = asked.request
        if request.code is None:
            raise InvalidRequest("The parameter code is required.")
        if request.code_verifier is not None and not is_verifier(request.code_verifier):
            raise InvalidRequest("The parameter code_verifier is malformed.")
        if request.code_verifier is None and asked.client.requires_pkce:
            raise InvalidRequest("The parameter code_verifier is required.")
        grant = await self.codes.read(request.code)
        if grant is None:
            raise _refused("unknown")
        if grant.family.client_id != asked.client.client_id:
            raise _refused("issued to another client", grant.family)
        if grant.redirect_uri != request.redirect_uri:
            raise _refused("another redirect URI", grant.family)
        key = Confirmation(jkt=grant.dpop_jkt) if grant.dpop_jkt else None
        require_holder(key, asked.confirmation, grant.family, _refused)
        if not _proves(request.code_verifier, grant.challenge):
            await self.codes.count_wrong_verifier(request.code)
            raise _refused("wrong verifier", grant.family)
        # Whatever is to outlive the login, that is there when it begins.
        family, login = grant.family, grant.family.session_id
        require_alive(family, login, await self._picture(family), _refused)
        standing = await standing_of(family, login, asked.client, self.registry, _refused)
        scopes = tuple(scope for scope in grant.family.scopes if scope in standing.allowed)
        if asked.session_confirmation is not None:
            grant = replace(grant, family=replace(grant.family, confirmation=asked.session_confirmation))
        return Prepared(grant, cut_by_roles(scopes, (), standing.person), standing)

    async def _picture(self, family: Family) -> Picture:
        """What outlives the login is never asked about it again: so nobody may have been told that it is over (I2). Everything
        else ends with it, however late this server hears."""
        if family.login != family.session_id:
            return await self.follower.up_to_date()
        return await self.follower.knowing(family.revision)

    async def carry_out(self, asked: Asked, prepared: Prepared) -> Authorization:
        """Uses the code up, and begins the session in the same step. A code that was used before ends what it gave then."""
        family = prepared.grant.family
        signer = self.keys.now.signer_for(prepared.standing.resource.signing_alg)
        is_lasting = "refresh_token" in asked.client.grant_types
        redemption = await self.codes.redeem(prepared.grant, signer.kid if is_lasting else None)
        if redemption is Redemption.USED:
            await self.sessions.end(AuditEvent.model_validate({"event": "code.replayed", **_facts(asked, family)}))
        if redemption is not Redemption.REDEEMED:
            raise _refused(redemption, family)
        token = write_token(self.keys.now.authenticator, Generation(family.family, 0)) if is_lasting else None
        standing = prepared.standing
        told = standing.cut(family)
        access = access_of(told, prepared.scopes, standing.resource, standing.person, asked.revision)
        return Authorization(
            access, token, signer, identity_of(told, prepared.scopes, standing.person, prepared.grant.nonce)
        )


def _proves(verifier: str | None, challenge: str | None) -> bool:
    """Tells whether the verifier answers the challenge. One without the other is wrong: whoever sends a verifier had asked with
    a challenge, and somebody took it away (A23; CVE-2024-23647)."""
    if verifier is None or challenge is None:
        return verifier is challenge
    return answers(verifier, challenge)


def _refused(detail: str, family: Family | None = None) -> InvalidGrant:
    subject = family.subject if family else ""
    return InvalidGrant("The code is invalid, expired, used or another client's.", detail=detail, subject=subject)


def _facts(asked: Asked, family: Family) -> dict[str, str]:
    return {
        "subject": family.subject,
        "client_id": family.client_id,
        "grant_id": family.family,
        "address": asked.request.address,
    }
