"""Requests that an access token opens an endpoint of this server for."""

from __future__ import annotations

from starlette.requests import Request

from identity.oauth.errors import InvalidRequest, InvalidToken
from identity.oauth.requests import AccessRequest
from identity.verifier.certificates import ClientCertificate
from identity.verifier.profile import BEARER_SCHEME, DPOP_SCHEME
from identity.web.bodies import headers_of
from identity.web.forms import is_form, read_form, read_proofs

_SCHEMES = {scheme.lower(): scheme for scheme in (BEARER_SCHEME, DPOP_SCHEME)}


async def read_access_request(request: Request, certificate: ClientCertificate | None = None) -> AccessRequest:
    """Parses the access token of the header, or of the form, never both (RFC 6750 section 2), and the proofs beside it; raises
    `InvalidToken` if there is no token. In a query it would be in every log."""
    headers = headers_of(request, b"authorization")
    sent = (await read_form(request)).get("access_token") if request.method == "POST" and is_form(request) else None
    if headers and sent is not None:
        raise InvalidRequest("The access token was sent in two ways.")
    name, _, token = "".join(headers[:1]).partition(" ")
    scheme = _SCHEMES.get(name.lower()) if headers else BEARER_SCHEME
    if scheme is None or len(headers) > 1:
        raise InvalidToken("The request needs a bearer token.")
    token = sent or token.strip()
    if not token:
        raise InvalidToken("The request needs an access token.")
    return AccessRequest(token, scheme, request.method, read_proofs(request), certificate)


def read_initial_access_token(request: Request) -> str | None:
    """Returns the token by which a client was invited (RFC 7591 section 3); None if nothing was sent. It is bound to nobody."""
    headers = headers_of(request, b"authorization")
    if not headers:
        return None
    name, _, token = headers[0].partition(" ")
    if len(headers) > 1 or name.lower() != BEARER_SCHEME.lower() or not token.strip():
        raise InvalidToken("The request needs a bearer token.")
    return token.strip()
