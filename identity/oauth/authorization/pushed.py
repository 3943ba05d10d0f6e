"""Pushed authorization requests (RFC 9126): a client tells the server what it asks for, and browsers carry a reference."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Protocol

from identity.oauth.authorization.checks import RefusedRequestError, UnanswerableRequestError, check
from identity.oauth.authorization.request import AuthorizationParameters
from identity.oauth.authorization.request_objects import RequestObjects
from identity.oauth.client_authentication import ClientAuthentication
from identity.oauth.errors import InvalidDpopProof, InvalidRequest, InvalidRequestUri
from identity.oauth.metadata import PUSHED_AUTHORIZATION_PATH
from identity.oauth.proofs import Proofs
from identity.oauth.registry import Registry
from identity.oauth.requests import PushedAuthorizationRequest
from identity.verifier.dpop import Proof

REQUEST_URI_PREFIX: Final = "urn:ietf:params:oauth:request_uri:"


class PushedRequests(Protocol):
    """Where pushed requests wait for their browser, by an id of 256 random bits; no other kind of request is among them. Every
    method may raise `StoreUnavailableError`."""

    async def push(self, sent: AuthorizationParameters, seconds: float) -> str:
        """Keeps a request, and returns its id."""

    async def read(self, request_id: str) -> AuthorizationParameters | None:
        """Returns the request that waits under this id."""

    async def take(self, request_id: str) -> bool:
        """Removes it, atomically: of several who come with it at once, one is told True."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """Where the browser is to be sent with, and for how many seconds. `dpop_nonce` is for the next proof."""

    request_uri: str
    expires_in: int
    dpop_nonce: str | None = None


@dataclass(frozen=True, slots=True)
class PushedAuthorization:
    """Takes pushed requests, and finds them again (A52)."""

    authentication: ClientAuthentication
    registry: Registry
    objects: RequestObjects
    requests: PushedRequests
    lifetime: int
    proofs: Proofs

    async def push(self, request: PushedAuthorizationRequest) -> Pushed:
        """Keeps a request whose client and every parameter were checked, as they will be again when a browser comes with it;
        raises the error that the client is told."""
        client = await self.authentication.client(request.credentials)
        proof = self.proofs.read(request.proofs, PUSHED_AUTHORIZATION_PATH, client.profile)
        sent = request.sent
        if sent.get("request_uri") is not None:
            raise InvalidRequest("A pushed request refers to no other.")
        if sent.get("client_id") not in (None, client.client_id):
            raise InvalidRequest("The request is another client's.")
        own = replace(sent, values={**sent.values, "client_id": client.client_id}, is_pushed=True)
        try:
            own = _for_key(await self.objects.resolve(own), proof)
            await check(own, self.registry)
        except (UnanswerableRequestError, RefusedRequestError) as error:
            raise error.error from None
        if proof is not None:
            await self.proofs.use_up(proof)
        request_id = await self.requests.push(own, self.lifetime)
        nonce = self.proofs.fresh_nonce() if proof is not None else None
        return Pushed(REQUEST_URI_PREFIX + request_id, self.lifetime, nonce)

    async def resolve(self, sent: AuthorizationParameters) -> AuthorizationParameters:
        """Returns what a browser's request comes to: the pushed one it refers to, which nobody can refer to again; the one that
        its client signed; or itself. Raises `UnanswerableRequestError`."""
        uri = sent.get("request_uri")
        if sent.faulty or uri is None or not uri.startswith(REQUEST_URI_PREFIX):
            return await self.objects.resolve(sent)
        request_id = uri.removeprefix(REQUEST_URI_PREFIX)
        pushed = await self.requests.read(request_id)
        # Another client uses nothing up with a reference that it saw somewhere.
        if pushed is None or pushed.get("client_id") != sent.get("client_id"):
            raise UnanswerableRequestError(InvalidRequestUri("The request is over, or is another client's."))
        if not await self.requests.take(request_id):
            raise UnanswerableRequestError(InvalidRequestUri("The request was answered already."))
        return pushed


def _for_key(sent: AuthorizationParameters, proof: Proof | None) -> AuthorizationParameters:
    """Returns the request for the key of the proof it was pushed with: its code will be for that (RFC 9449 section 10.1)."""
    if proof is None:
        return sent
    if sent.get("dpop_jkt") not in (None, proof.jkt):
        raise InvalidDpopProof("The DPoP proof is of another key than dpop_jkt names.")
    return replace(sent, values={**sent.values, "dpop_jkt": proof.jkt})
