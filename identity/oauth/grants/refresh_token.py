"""The refresh token grant (RFC 6749 section 6): the session goes on, and its token is exchanged for the next (A44-A48)."""

from __future__ import annotations

from dataclasses import dataclass

from identity.feed.follower import Follower
from identity.feed.stores import Journal
from identity.keyring.live import LiveKeys
from identity.models import AuditEvent
from identity.oauth.errors import InvalidGrant, InvalidRequest
from identity.oauth.grants.pipeline import Asked, Audit, Authorization
from identity.oauth.grants.sessions import Sessions, access_of, identity_of
from identity.oauth.grants.standing import Standing, require_alive, require_holder, standing_of
from identity.oauth.registry import Registry
from identity.oauth.scopes import cut_by_roles, narrow
from identity.tokens.refresh_token import Families, Family, Generation, Step, read_token, write_token


@dataclass(frozen=True, slots=True)
class Prepared:
    """A refresh whose every check has passed; only the step is left to do."""

    generation: Generation
    family: Family
    scopes: tuple[str, ...]
    standing: Standing


@dataclass(frozen=True, slots=True)
class RefreshTokenGrant:
    """Exchanges a refresh token for its successor: one Redis round trip, and no SQL once the person is known."""

    registry: Registry
    families: Families
    sessions: Sessions
    journal: Journal
    follower: Follower
    keys: LiveKeys
    audit: Audit
    name: str = "refresh_token"

    async def prepare(self, asked: Asked) -> Prepared:
        """Checks the token, its client, the session, the person and the scope. A refusal here uses nothing up."""
        if asked.request.refresh_token is None:
            raise InvalidRequest("The parameter refresh_token is required.")
        generation = read_token(self.keys.now.authenticator, asked.request.refresh_token)
        family = await self.families.read(generation.family) if generation else None
        if generation is None or family is None:
            raise _refused("unknown")
        if family.client_id != asked.client.client_id:
            raise _refused("issued to another client", family)
        require_holder(family.confirmation, asked.confirmation, family, _refused)
        require_alive(family, family.login, await self.follower.knowing(family.revision), _refused)
        scopes = narrow(asked.request.scopes, asked.request.resources, family.scopes, family.audience)
        standing = await standing_of(family, family.login, asked.client, self.registry, _refused)
        permitted = tuple(scope for scope in scopes if scope in standing.allowed)
        return Prepared(generation, family, cut_by_roles(permitted, asked.request.scopes, standing.person), standing)

    async def carry_out(self, asked: Asked, prepared: Prepared) -> Authorization:
        """Takes the step. It is the last thing that can fail, and taking it twice gives the same successor."""
        rotates = asked.client.rotates_refresh_tokens
        signer = self.keys.now.signer_for(prepared.standing.resource.signing_alg)
        step = await self._step(prepared, rotates, signer.kid)
        if step is Step.AHEAD:
            step = await self._fast_forward(asked, prepared, signer.kid)
        if step is Step.REPLAYED:
            facts = {"event": "refresh_token.replayed", **_facts(asked, prepared)}
            await self.sessions.end(AuditEvent.model_validate(facts))
        if step not in (Step.ADVANCED, Step.REPEATED):
            raise _refused(step, prepared.family)
        number = prepared.generation.number + (1 if rotates else 0)
        successor = Generation(prepared.family.family, number)
        standing = prepared.standing
        family = standing.cut(prepared.family)
        grant = access_of(family, prepared.scopes, standing.resource, standing.person, asked.revision)
        token = write_token(self.keys.now.authenticator, successor)
        return Authorization(grant, token, signer, identity_of(family, prepared.scopes, standing.person))

    async def _step(self, prepared: Prepared, rotates: bool, kid: str) -> Step:
        """Takes the step if nothing ended that this server does not know of: an operator may have been told that a person's
        sessions are over, while it is a moment behind (I2). Then it hears of that first."""
        picture = self.follower.require_fresh()
        require_alive(prepared.family, prepared.family.login, picture, _refused)
        step = await self.families.step(prepared.generation, rotates, kid, under=picture.head)
        if step is Step.BEHIND:
            require_alive(prepared.family, prepared.family.login, await self.follower.up_to_date(), _refused)
            step = await self.families.step(prepared.generation, rotates, kid)
        return step

    async def _fast_forward(self, asked: Asked, prepared: Prepared, kid: str) -> Step:
        """Redis lost a write: this token was really issued, so its session goes on, unless it was ended meanwhile."""
        if await self.journal.has_ended(prepared.family.family):
            await self.families.end(prepared.family.family)
            return Step.UNKNOWN
        self.audit.record("refresh_token.ahead_of_store", **_facts(asked, prepared))
        return await self.families.fast_forward(prepared.generation, kid)


def _refused(detail: str, family: Family | None = None) -> InvalidGrant:
    return InvalidGrant(
        "The refresh token is invalid, expired or revoked.", detail=detail, subject=family.subject if family else ""
    )


def _facts(asked: Asked, prepared: Prepared) -> dict[str, str]:
    return {
        "subject": prepared.family.subject,
        "client_id": asked.client.client_id,
        "grant_id": prepared.family.family,
        "address": asked.request.address,
        "detail": f"generation {prepared.generation.number}",
    }
