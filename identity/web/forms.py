"""Reading requests, once: from bytes to the frozen requests of the protocol. Nobody reads a form again after this.

FastAPI's `Form()` would answer 422 in its own format, take the last of repeated parameters, accept multipart, and cost
almost as much as a signature. `parse_qsl` does what RFC 6749 asks, in a few microseconds.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl, unquote_plus

from starlette.requests import Request

from identity.oauth.authorization.request import AuthorizationParameters
from identity.oauth.client_assertions import ASSERTION_TYPE
from identity.oauth.errors import InvalidClient, InvalidRequest
from identity.oauth.registry import AuthenticationMethod
from identity.oauth.requests import (
    ClientCredentials,
    IntrospectionRequest,
    PushedAuthorizationRequest,
    RevocationRequest,
    TokenRequest,
)
from identity.oauth.scopes import parse_scope
from identity.verifier.certificates import ClientCertificate
from identity.verifier.profile import API_KEY_PARAMETER
from identity.web.bodies import BodyTooLarge, UnsupportedMediaType, headers_of, media_type, read_body

_MAX_AUTHORIZATION_BYTES = 8 * 1024
"""More than any browser's address line has to hold; what waits for a person is kept in Redis, whoever sent it."""

_MAX_PARAMETERS = 50
_FORM_TYPE = "application/x-www-form-urlencoded"
_CREDENTIALS = frozenset({"client_secret", "client_assertion", "client_assertion_type"})
_REPEATABLE = frozenset({"resource"})
"""RFC 8707 section 2: the only parameter that may be sent more than once."""


@dataclass(frozen=True, slots=True)
class Form:
    """The parameters of one request. Empty ones are absent, unknown ones are never asked for (RFC 6749 section 3.2)."""

    values: dict[str, str]
    resources: tuple[str, ...]

    def get(self, name: str) -> str | None:
        """Returns the value of a parameter, or None."""
        return self.values.get(name)


async def read_token_request(request: Request, address: str, certificate: ClientCertificate | None) -> TokenRequest:
    """Parses a request to the token endpoint, or raises `InvalidRequest` or `InvalidScope`."""
    form = await read_form(request)
    return TokenRequest(
        grant_type=form.get("grant_type") or "",
        credentials=read_client_credentials(request, form, certificate),
        address=address,
        scopes=parse_scope(form.get("scope") or ""),
        resources=form.resources,
        username=form.get("username"),
        password=form.get("password"),
        refresh_token=form.get("refresh_token"),
        api_key=form.get(API_KEY_PARAMETER),
        code=form.get("code"),
        code_verifier=form.get("code_verifier"),
        redirect_uri=form.get("redirect_uri"),
        proofs=read_proofs(request),
    )


@dataclass(frozen=True, slots=True)
class LoginForm:
    """What a person sends from the login page."""

    interaction: str
    username: str
    password: str = field(repr=False)


async def read_authorization_parameters(request: Request) -> AuthorizationParameters:
    """Parses the query, or the form, of an authorization request (OpenID Connect Core section 3.1.2.1). Nothing that is wrong
    with single parameters is judged here: who may be told of it depends on others."""
    encoded = await _read_form_body(request) if request.method == "POST" else request.scope["query_string"]
    if len(encoded) > _MAX_AUTHORIZATION_BYTES:
        raise InvalidRequest("The request is too long.")
    pairs = _pairs_of(encoded)
    values, faulty = _sorted_out(pairs)
    return AuthorizationParameters(values, _resources(pairs), faulty)


async def read_pushed_request(request: Request, certificate: ClientCertificate | None) -> PushedAuthorizationRequest:
    """Parses a request to the pushed authorization request endpoint, or raises `InvalidRequest`. What authenticates the client
    is no part of what it asks for."""
    form = await read_form(request)
    if sum(len(name) + len(value) for name, value in form.values.items()) > _MAX_AUTHORIZATION_BYTES:
        raise BodyTooLarge("The request is too long.")
    values = {name: value for name, value in form.values.items() if name not in _CREDENTIALS}
    return PushedAuthorizationRequest(
        AuthorizationParameters(values, form.resources),
        read_client_credentials(request, form, certificate),
        read_proofs(request),
    )


async def read_login_form(request: Request) -> LoginForm:
    """Parses the form of the login page, or raises `InvalidRequest`."""
    form = await read_form(request)
    return LoginForm(form.get("interaction") or "", form.get("username") or "", form.get("password") or "")


@dataclass(frozen=True, slots=True)
class ConsentForm:
    """What a person sends from the consent page."""

    interaction: str
    is_allowed: bool


async def read_consent_form(request: Request) -> ConsentForm:
    """Parses the form of the consent page, or raises `InvalidRequest`."""
    form = await read_form(request)
    return ConsentForm(form.get("interaction") or "", form.get("decision") == "allow")


async def read_confirmation(request: Request) -> str:
    """Returns which request the form of a page confirms, or raises `InvalidRequest`."""
    return (await read_form(request)).get("interaction") or ""


async def read_revocation_request(
    request: Request, address: str, certificate: ClientCertificate | None
) -> RevocationRequest:
    """Parses a request to the revocation endpoint, or raises `InvalidRequest`."""
    form = await read_form(request)
    return RevocationRequest(form.get("token") or "", read_client_credentials(request, form, certificate), address)


async def read_introspection_request(request: Request) -> IntrospectionRequest:
    """Parses a request to the introspection endpoint, or raises `InvalidRequest`."""
    form = await read_form(request)
    return IntrospectionRequest(form.get("token") or "", read_client_credentials(request, form))


def read_proofs(request: Request) -> tuple[str, ...]:
    """Returns what was sent in `DPoP` headers (RFC 9449 section 4.1); that there is one at most is for who judges it."""
    return tuple(headers_of(request, b"dpop"))


def read_client_credentials(
    request: Request, form: Form | None = None, certificate: ClientCertificate | None = None
) -> ClientCredentials:
    """Returns how the client presented itself: by HTTP Basic or in the form, never by both (RFC 6749 section 2.3; A30)."""
    return replace(_credentials_of(request, form), certificate=certificate)


def _credentials_of(request: Request, form: Form | None) -> ClientCredentials:
    header = _read_basic(request)
    in_form = _credentials_in(form) if form else ClientCredentials(None)
    if header is None:
        return in_form
    if in_form.method is not AuthenticationMethod.NONE:
        raise InvalidRequest("The client authenticated by two methods.")
    if in_form.client_id not in (None, header.client_id):
        raise InvalidRequest("The client named itself in two ways.")
    return header


def _credentials_in(form: Form) -> ClientCredentials:
    """Returns how a form says who the client is: by a secret, or by an assertion (RFC 7521 section 4.2), never by both."""
    client_id, secret, assertion = form.get("client_id"), form.get("client_secret"), form.get("client_assertion")
    if assertion is None:
        if secret is None:
            return ClientCredentials(client_id)
        if client_id is None:
            raise InvalidRequest("The parameter client_id is missing.")
        return ClientCredentials(client_id, secret, method=AuthenticationMethod.SECRET_POST)
    if secret is not None:
        raise InvalidRequest("The client authenticated by two methods.")
    if form.get("client_assertion_type") != ASSERTION_TYPE:
        raise InvalidClient("another type of assertion")
    return ClientCredentials(client_id, assertion=assertion, method=AuthenticationMethod.PRIVATE_KEY_JWT)


async def read_form(request: Request) -> Form:
    """Parses a form in which nothing but `resource` is repeated, or raises `InvalidRequest`."""
    pairs = _pairs_of(await _read_form_body(request))
    values, faulty = _sorted_out(pairs)
    if faulty:
        raise InvalidRequest("A parameter is repeated, or contains a NUL character.")
    return Form(values, _resources(pairs))


async def _read_form_body(request: Request) -> bytes:
    if not is_form(request):
        raise UnsupportedMediaType(f"The body must be {_FORM_TYPE}.")
    return await read_body(request)


def is_form(request: Request) -> bool:
    """Tells whether the body says that it is a urlencoded form."""
    return media_type(request) == _FORM_TYPE


def _pairs_of(encoded: bytes) -> list[tuple[str, str]]:
    try:
        text = encoded.decode("ascii")
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS)
    except ValueError:
        raise InvalidRequest("The form is malformed.") from None


def _sorted_out(pairs: list[tuple[str, str]]) -> tuple[dict[str, str], frozenset[str]]:
    """Returns the parameters that have a value, and the names of those that are repeated or contain a NUL character."""
    values: dict[str, str] = {}
    seen: set[str] = set()
    faulty: set[str] = set()
    for name, value in pairs:
        if (name in seen and name not in _REPEATABLE) or "\0" in value:
            faulty.add(name)
        seen.add(name)
        if value:
            values[name] = value
    return values, frozenset(faulty)


def _resources(pairs: list[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(value for name, value in pairs if name == "resource" and value)


def _read_basic(request: Request) -> ClientCredentials | None:
    """Parses HTTP Basic; both parts are form-urlencoded (RFC 6749 section 2.3.1). An empty name with an empty secret is
    what Swagger sends when its fields are left blank: it names nobody, and is the same as no header."""
    headers = headers_of(request, b"authorization")
    if not headers:
        return None
    scheme, _, encoded = headers[0].partition(" ")
    if len(headers) > 1 or scheme.lower() != "basic":
        raise InvalidClient("not HTTP Basic")
    try:
        name, separator, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        client_id, client_secret = unquote_plus(name, errors="strict"), unquote_plus(secret, errors="strict")
    except ValueError:  # Neither ASCII, nor base64, nor UTF-8.
        raise InvalidClient("malformed HTTP Basic") from None
    if not separator or "\0" in client_id or (client_secret and not client_id):
        raise InvalidClient("malformed HTTP Basic")
    if not client_id:
        return None
    # Who leaves its secret empty has none, and says so in another place than the form.
    method = AuthenticationMethod.SECRET_BASIC if client_secret else AuthenticationMethod.NONE
    return ClientCredentials(client_id, client_secret or None, method=method)
