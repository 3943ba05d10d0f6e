"""The token endpoint's phases, which every grant goes through in the same order and none can forget.

1  authenticate who asks            a client, wrong or unknown: invalid_client, before anything about the grant is said;
                                    where an API key is presented it is the only credential, and wrong: invalid_grant;
                                    then which key they hold: invalid_dpop_proof, use_dpop_nonce
2  choose the grant                 unknown: unsupported_grant_type; not this client's: unauthorized_client
3  prepare                          scope, resource, person: all that can be refused without consequence. Then the proof
                                    of the key is used up: invalid_dpop_proof for one that was before
4  carry out                        the one step that changes something, and the last that can fail
5  mint                             CPU only
6  record                           cannot fail the answer
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from identity.feed.follower import Follower
from identity.feed.picture import Picture
from identity.keyring.live import LiveKeys, NoSignerError
from identity.keyring.signers import Signer
from identity.oauth.api_key_authentication import ApiKeyAuthentication
from identity.oauth.claims import OPENID_SCOPE
from identity.oauth.client_authentication import ClientAuthentication
from identity.oauth.errors import (
    InvalidDpopProof,
    InvalidGrant,
    InvalidRequest,
    OAuthError,
    TemporarilyUnavailable,
    TooManyAttempts,
    UnauthorizedClient,
    UnsupportedGrantType,
)
from identity.oauth.metadata import TOKEN_PATH
from identity.oauth.proofs import Proofs
from identity.oauth.registry import RegisteredApiKey, RegisteredClient
from identity.oauth.requests import TokenRequest
from identity.oauth.subjects import Subjects
from identity.tokens.access_token import AccessTokenGrant, AccessTokenMint
from identity.tokens.id_token import IdTokenGrant, IdTokenMint
from identity.tokens.issued import IssueCounts
from identity.verifier.dpop import Proof
from identity.verifier.profile import API_KEY_GRANT, BEARER_SCHEME, Confirmation


@dataclass(frozen=True, slots=True)
class TokenResponse:
    """The token endpoint's answer (RFC 6749 section 5.1). `dpop_nonce` is for the next proof."""

    access_token: str = field(repr=False)
    expires_in: int
    scopes: tuple[str, ...]
    refresh_token: str | None = field(default=None, repr=False)
    id_token: str | None = field(default=None, repr=False)
    token_type: str = BEARER_SCHEME
    dpop_nonce: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of which is known who asks. `revision` is the feed head seen before anything else was read; `key` is the API
    key that was presented, and then `client` is cut to what the key is for; `proof` is of the key that whoever asks holds."""

    request: TokenRequest
    client: RegisteredClient
    picture: Picture
    revision: int
    key: RegisteredApiKey | None = None
    proof: Proof | None = None

    @property
    def confirmation(self) -> Confirmation | None:
        """What whoever asks has shown to hold: the access token is bound to it."""
        if self.proof is not None:
            return Confirmation(jkt=self.proof.jkt)
        certificate = self.request.credentials.certificate
        if self.client.certificate_bound_access_tokens and certificate is not None:
            return Confirmation(x5t=certificate.thumbprint)
        return None

    @property
    def session_confirmation(self) -> Confirmation | None:
        """What a session that begins now is bound to. The refresh token of a client that has a secret is bound to that already
        (RFC 9449 section 5)."""
        return self.confirmation if self.client.is_public else None


@dataclass(frozen=True, slots=True)
class Authorization:
    """What a grant decided: what to mint, and the refresh token that goes with it. `signer` is the key that the session was
    told of; absent, whichever signs for the resource when the token is minted. `identity` is what the client is told of who
    logged in."""

    grant: AccessTokenGrant
    refresh_token: str | None = field(default=None, repr=False)
    signer: Signer | None = None
    identity: IdTokenGrant | None = None


class Grant(Protocol):
    """One grant type. `prepare` may be repeated at will; `carry_out` is called once, with what `prepare` returned."""

    @property
    def name(self) -> str:
        """The value of `grant_type` that means this grant."""

    async def prepare(self, asked: Asked) -> Any:
        """Phase 3: checks everything that can be checked, and changes nothing."""

    async def carry_out(self, asked: Asked, prepared: Any) -> Authorization:
        """Phase 4: does the one thing that changes something."""


class Audit(Protocol):
    """Takes events; never waits, never fails."""

    def record(
        self,
        event: str,
        *,
        subject: str = "",
        client_id: str = "",
        grant_id: str = "",
        address: str = "",
        detail: str = "",
    ) -> None:
        """Queues an event."""


class TokenPipeline:
    """Answers token requests."""

    def __init__(
        self,
        authentication: ClientAuthentication,
        api_keys: ApiKeyAuthentication,
        grants: Iterable[Grant],
        follower: Follower,
        keys: LiveKeys,
        mint: AccessTokenMint,
        id_mint: IdTokenMint,
        subjects: Subjects,
        audit: Audit,
        issued: IssueCounts,
        proofs: Proofs,
    ) -> None:
        self._authentication = authentication
        self._api_keys = api_keys
        self._grants = {grant.name: grant for grant in grants}
        self._follower = follower
        self._keys = keys
        self._mint = mint
        self._id_mint = id_mint
        self._subjects = subjects
        self._audit = audit
        self._issued = issued
        self._proofs = proofs

    @property
    def grant_types(self) -> tuple[str, ...]:
        """The grants this server has, for the metadata."""
        return tuple(self._grants)

    async def answer(self, request: TokenRequest) -> TokenResponse:
        """Returns the tokens, or raises an `OAuthError`; `StoreUnavailableError` when a store must be asked and is away."""
        picture = self._follower.require_fresh()
        asked = await self._authenticate(request, picture, picture.head.seq)
        try:
            grant = self._choose(asked)
            self._require_id_signer(asked.client)
            prepared = await grant.prepare(asked)
            if asked.proof is not None:
                await self._proofs.use_up(asked.proof)
            authorization = await grant.carry_out(asked, prepared)
            response = self._respond(asked, authorization, int(time.time()))
        except OAuthError as error:
            self._record_refusal(asked, error)
            raise
        except NoSignerError as error:
            raise TemporarilyUnavailable("No key signs what was asked for; try again.", detail=str(error)) from None
        self._record(asked, authorization)
        return response

    def _respond(self, asked: Asked, authorization: Authorization, now: int) -> TokenResponse:
        signer = authorization.signer or self._keys.now.signer_for(authorization.grant.algorithm)
        grant, confirmation, identity = authorization.grant, asked.confirmation, self._identity(asked, authorization)
        if confirmation is not None:  # Here, so that no grant can forget it.
            grant = replace(grant, confirmation=confirmation)
        token = self._mint.mint(signer, grant, now)
        self._issued.count(signer.kid, grant.client_id, grant.audience, now)
        return TokenResponse(
            token,
            self._mint.lifetime_of(grant, now),
            grant.scopes,
            authorization.refresh_token,
            self._id_mint.mint(self._id_signer(asked.client), identity, token, now) if identity else None,
            confirmation.scheme if confirmation else BEARER_SCHEME,
            self._proofs.fresh_nonce() if asked.proof else None,
        )

    def _identity(self, asked: Asked, authorization: Authorization) -> IdTokenGrant | None:
        """Returns what the client is told of who logged in, under the name that the person has for it (A63)."""
        told = authorization.identity
        return replace(told, subject=self._subjects.of(asked.client, told.subject)) if told else None

    async def _authenticate(self, request: TokenRequest, picture: Picture, revision: int) -> Asked:
        if request.grant_type == API_KEY_GRANT:
            key, owner = await self._api_keys.authenticate(request)
            return Asked(request, owner, picture, revision, key, self._proof(request, owner))
        client = await self._authentication.client(request.credentials)
        return Asked(request, client, picture, revision, proof=self._proof(request, client))

    def _proof(self, request: TokenRequest, client: RegisteredClient) -> Proof | None:
        proof = self._proofs.read(request.proofs, TOKEN_PATH, client.profile)
        if proof is None and client.dpop_bound_access_tokens:
            raise InvalidDpopProof("The client gets no token without a DPoP proof.")  # RFC 9449 section 5.2
        if proof is None and client.certificate_bound_access_tokens and request.credentials.certificate is None:
            raise InvalidRequest("The client gets no token without its certificate.")  # RFC 8705 section 3
        return proof

    def _id_signer(self, client: RegisteredClient) -> Signer:
        return self._keys.now.signer_for(client.id_token_signing_alg)

    def _require_id_signer(self, client: RegisteredClient) -> None:
        """Raises `NoSignerError` before anything is used up, if the client may get an ID token that no key would sign."""
        if OPENID_SCOPE in client.scopes:
            self._id_signer(client)

    def _choose(self, asked: Asked) -> Grant:
        name = asked.request.grant_type
        if not name:
            raise InvalidRequest("The parameter grant_type is missing.")
        if name not in self._grants:
            raise UnsupportedGrantType("The grant type is not supported.")
        if name not in asked.client.grant_types:
            raise UnauthorizedClient("The client may not use this grant type.")
        return self._grants[name]

    def _record(self, asked: Asked, authorization: Authorization) -> None:
        # A refresh is neither a login nor a decision, and there are hundreds a second: Redis knows them, the trail does not.
        if asked.request.grant_type == "refresh_token":
            return
        grant = authorization.grant
        self._tell("token.issued", asked, grant.subject, grant.grant_id or "")

    def _record_refusal(self, asked: Asked, error: OAuthError) -> None:
        # An invented refresh token proves nothing and names nobody: whoever sends them would fill the disk with rows.
        if isinstance(error, InvalidGrant) and (error.subject or asked.request.grant_type != "refresh_token"):
            self._tell("token.refused", asked, error.subject, detail=error.detail)
        # One for each limit and window: an alarm, and no row for each of a million attempts.
        if isinstance(error, TooManyAttempts) and error.alert:
            self._tell("login.throttled", asked, error.subject, detail=error.alert)

    def _tell(self, event: str, asked: Asked, subject: str, grant_id: str = "", detail: str = "") -> None:
        name = asked.request.grant_type
        self._audit.record(
            event,
            subject=subject,
            client_id=asked.client.client_id,
            grant_id=grant_id,
            address=asked.request.address,
            detail=f"{name}: {detail}" if detail else name,
        )
