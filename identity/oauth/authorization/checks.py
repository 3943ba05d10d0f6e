"""The checks of an authorization request, in the order in which they are made: their order is what keeps them safe.

1  client            unknown or disabled: a page
2  redirect_uri      not this client's: a page. Nothing is ever sent to an address that was not checked (RFC 9700 4.11.2)
3  everything else   the client hears of it at that address (RFC 6749 section 4.1.2.1)
"""

from __future__ import annotations

from typing import TypeGuard

from identity.oauth.authorization.request import (
    AuthorizationParameters,
    AuthorizationRequest,
    Prompt,
    ResponseMode,
    ReturnAddress,
)
from identity.oauth.authorization.requested_claims import read_requested_claims
from identity.oauth.errors import (
    InvalidRequest,
    OAuthError,
    RequestNotSupported,
    RequestUriNotSupported,
    UnauthorizedClient,
    UnsupportedResponseType,
)
from identity.oauth.pkce import S256, is_challenge
from identity.oauth.redirect_uris import is_registered
from identity.oauth.registry import RegisteredClient, Registry
from identity.oauth.scopes import grant, parse_scope
from identity.verifier.profile import is_thumbprint

CODE_GRANT = "authorization_code"
RESPONSE_TYPE = "code"
_LONGEST_MAX_AGE_DIGITS = 10


class UnanswerableRequestError(Exception):
    """There is no address that may be told: whoever sits before the browser is (A04)."""

    def __init__(self, error: OAuthError) -> None:
        super().__init__(error.description)
        self.error = error


class RefusedRequestError(Exception):
    """The client gets this error at the address it asked for."""

    def __init__(self, error: OAuthError, back: ReturnAddress) -> None:
        super().__init__(error.description)
        self.error = error
        self.back = back


async def check(sent: AuthorizationParameters, registry: Registry) -> AuthorizationRequest:
    """Returns what is asked for, or raises `UnanswerableRequestError`, `RefusedRequestError`, or `StoreUnavailableError`."""
    try:
        client = await _client(sent, registry)
        redirect_uri = _redirect_uri(sent, client)
    except OAuthError as error:
        raise UnanswerableRequestError(error) from None
    mode = _MODES.get(sent.get("response_mode") or ResponseMode.QUERY)
    state = None if "state" in sent.faulty else sent.get("state")
    self_registered = client.client_id if client.is_dynamic else ""
    back = ReturnAddress(redirect_uri, mode if _may_have(mode, client) else _usual(client), state, self_registered)
    try:
        _sent_once(sent)
        _allowed(mode, client)
        _as_registered(sent, client)
        _nothing_elsewhere(sent)
        _code(sent)
        _permitted(client)
        asked = parse_scope(sent.get("scope") or "")
        return AuthorizationRequest(
            client=client,
            back=back,
            named_redirect_uri=sent.get("redirect_uri"),
            asked=asked,
            challenge=_challenge(sent, client),
            prompts=_prompts(sent),
            max_age=_max_age(sent),
            nonce=sent.get("nonce"),
            dpop_jkt=_dpop_jkt(sent),
            login_hint=sent.get("login_hint") or "",
            claims=read_requested_claims(sent.get("claims")).within(client.scopes),
            id_token_hint=sent.get("id_token_hint") or "",
            granted=grant(asked, sent.resources, client, await registry.resources()),
        )
    except OAuthError as error:
        raise RefusedRequestError(error, back) from None


async def _client(sent: AuthorizationParameters, registry: Registry) -> RegisteredClient:
    client_id = sent.get("client_id")
    if client_id is None or "client_id" in sent.faulty:
        raise InvalidRequest("The request names no client, or more than one.")
    client = await registry.client(client_id)
    if client is None or not client.is_enabled:
        raise InvalidRequest("The client is unknown.")
    return client


def _redirect_uri(sent: AuthorizationParameters, client: RegisteredClient) -> str:
    uri = sent.get("redirect_uri")
    if "redirect_uri" in sent.faulty:
        raise InvalidRequest("The request names more than one redirect URI.")
    if uri is None:
        if len(client.redirect_uris) != 1:
            raise InvalidRequest("The request names no redirect URI.")
        return client.redirect_uris[0]
    if not is_registered(uri, client.redirect_uris):
        raise InvalidRequest("The redirect URI is not one that the client registered.")
    return uri


def _sent_once(sent: AuthorizationParameters) -> None:
    if sent.faulty:
        raise InvalidRequest("A parameter is repeated, or contains a NUL character.")


_MODES = {mode.value: mode for mode in ResponseMode}


def _may_have(mode: ResponseMode | None, client: RegisteredClient) -> TypeGuard[ResponseMode]:
    """Tells whether the client gets answers in this way: one that it registered, if it registered any (A09)."""
    return mode is not None and (not client.response_modes or mode in client.response_modes)


def _usual(client: RegisteredClient) -> ResponseMode:
    return ResponseMode.QUERY if _may_have(ResponseMode.QUERY, client) else ResponseMode.FORM_POST


def _allowed(mode: ResponseMode | None, client: RegisteredClient) -> None:
    if not _may_have(mode, client):
        raise InvalidRequest("The response mode is not supported, or not one of this client.")


def _as_registered(sent: AuthorizationParameters, client: RegisteredClient) -> None:
    if client.requires_pushed_requests and not sent.is_pushed:
        raise InvalidRequest("The client must push its requests (RFC 9126).")
    if client.requires_signed_requests and not sent.is_signed:
        raise InvalidRequest("The client must sign its requests (RFC 9101).")


def _nothing_elsewhere(sent: AuthorizationParameters) -> None:
    if sent.get("request"):
        raise RequestNotSupported("Request objects are not supported.")
    if sent.get("request_uri"):
        raise RequestUriNotSupported("Request objects by reference are not supported.")


def _code(sent: AuthorizationParameters) -> None:
    if sent.get("response_type") is None:
        raise InvalidRequest("The parameter response_type is missing.")
    if sent.get("response_type") != RESPONSE_TYPE:
        raise UnsupportedResponseType("The only response type is code.")


def _permitted(client: RegisteredClient) -> None:
    if CODE_GRANT not in client.grant_types:
        raise UnauthorizedClient("The client may not use this grant type.")


def _challenge(sent: AuthorizationParameters, client: RegisteredClient) -> str | None:
    challenge, method = sent.get("code_challenge"), sent.get("code_challenge_method")
    if challenge is None and method is None and not client.requires_pkce:
        return None
    if challenge is None:
        raise InvalidRequest("The parameter code_challenge is missing.")
    if method != S256:  # Absent, it would mean `plain` (RFC 7636 section 4.3).
        raise InvalidRequest("The parameter code_challenge_method must be S256.")
    if not is_challenge(challenge):
        raise InvalidRequest("The parameter code_challenge is malformed.")
    return challenge


def _dpop_jkt(sent: AuthorizationParameters) -> str | None:
    """Returns the thumbprint of the key that the code is for (RFC 9449 section 10). A request that was pushed with a proof has
    that of its key here (section 10.1)."""
    thumbprint = sent.get("dpop_jkt")
    if thumbprint is not None and not is_thumbprint(thumbprint):
        raise InvalidRequest("The parameter dpop_jkt is malformed.")
    return thumbprint


def _prompts(sent: AuthorizationParameters) -> frozenset[Prompt]:
    words = set(sent.words("prompt"))
    if Prompt.NONE in words and len(words) > 1:
        raise InvalidRequest("The prompt none goes with no other.")
    return frozenset(prompt for prompt in Prompt if prompt in words)  # Unknown ones are ignored.


def _max_age(sent: AuthorizationParameters) -> int | None:
    text = sent.get("max_age")
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= _LONGEST_MAX_AGE_DIGITS):
        raise InvalidRequest("The parameter max_age is malformed.")
    return int(text)
