"""The errors of the protocol. Each has a code the specification names, a description anyone may read, and a private detail
for the log; `web/errors.py` is the one place where they become responses.

    OAuthError
    ├── InvalidRequest            malformed, missing or repeated parameters           RFC 6749 section 5.2
    ├── InvalidClient             unknown, disabled or not authenticated client       RFC 6749 section 5.2
    ├── InvalidGrant              wrong credentials, or a token or key that is over   RFC 6749 section 5.2
    ├── UnauthorizedClient        this client may not use this grant                  RFC 6749 section 5.2
    ├── UnsupportedGrantType      nobody may use this grant                           RFC 6749 section 5.2
    ├── UnsupportedResponseType   only codes are given to browsers                    RFC 6749 section 4.1.2.1
    ├── AccessDenied              the person said no, or may not have what is asked   RFC 6749 section 4.1.2.1
    ├── LoginRequired             somebody would have to log in, and prompt=none      OpenID Connect Core section 3.1.2.6
    ├── ConsentRequired           somebody would have to agree, and prompt=none       OpenID Connect Core section 3.1.2.6
    ├── UnmetAuthenticationRequirements  a login of another kind, and that is essential  OpenID Connect Core section 5.5.1.1
    ├── RequestNotSupported       a request object by value                           OpenID Connect Core section 3.1.2.6
    ├── RequestUriNotSupported    a request object by reference                       OpenID Connect Core section 3.1.2.6
    ├── InvalidRequestObject      a request object that proves nothing                RFC 9101 section 7
    ├── InvalidRequestUri         a pushed request that is over                       RFC 9101 section 7
    ├── InvalidScope              unknown scope, or more than was granted             RFC 6749 section 5.2
    ├── InvalidTarget             unknown or ambiguous resource                       RFC 8707 section 2
    ├── InvalidClientMetadata     a client says something of itself that cannot be    RFC 7591 section 3.2.2
    │   ├── InvalidRedirectUri    codes must not be sent where it wants them          RFC 7591 section 3.2.2
    │   └── UnapprovedStatement   somebody vouches for it whom nobody knows           RFC 7591 section 3.2.2
    ├── TooManyAttempts           logins were tried too often to be evaluated         RFC 6585 section 4, status 429
    ├── InvalidDpopProof          a proof that is missing, wrong or used before       RFC 9449 section 5
    ├── UseDpopNonce              a proof without the server's nonce                  RFC 9449 section 8
    ├── InvalidToken              an access token that is no good here                RFC 6750 section 3.1
    │   └── InvalidProofOfToken   the proof beside it is no good                      RFC 9449 section 7.1
    ├── InsufficientScope         an access token that may not do this                RFC 6750 section 3.1
    └── TemporarilyUnavailable    try again: a store is away, or too much is waiting  RFC 6749 section 4.1.2.1, by status 503
"""

from __future__ import annotations

import re
from typing import ClassVar

from identity.verifier.profile import BEARER_SCHEME, DPOP_SCHEME

_UNSPEAKABLE = re.compile(r"[^ !#-\[\]-~]")
"""What RFC 6749 section 5.2 does not let a description say."""

_MOST_CHARACTERS = 300


class OAuthError(Exception):
    """An answer the client gets instead of what it asked for."""

    code: ClassVar[str]
    status: ClassVar[int] = 400

    def __init__(self, description: str, *, detail: str = "") -> None:
        super().__init__(description)
        self.description = description
        self.detail = detail


class InvalidRequest(OAuthError):
    """The request is malformed."""

    code = "invalid_request"


class InvalidClient(OAuthError):
    """The client is not known, not enabled or not authenticated; one answer for all three (A35)."""

    code = "invalid_client"
    status = 401

    def __init__(self, detail: str = "") -> None:
        super().__init__("Client authentication failed.", detail=detail)


class InvalidGrant(OAuthError):
    """The credentials or the refresh token are not, or no longer, good. `subject` is for the audit trail."""

    code = "invalid_grant"

    def __init__(self, description: str, *, detail: str = "", subject: str = "") -> None:
        super().__init__(description, detail=detail)
        self.subject = subject


class UnauthorizedClient(OAuthError):
    """This client is not allowed to use this grant."""

    code = "unauthorized_client"


class UnsupportedGrantType(OAuthError):
    """The server has no such grant."""

    code = "unsupported_grant_type"


class UnsupportedResponseType(OAuthError):
    """The server answers browsers with codes, never with tokens."""

    code = "unsupported_response_type"


class AccessDenied(OAuthError):
    """The person said no, or may not have anything of what was asked for."""

    code = "access_denied"


class LoginRequired(OAuthError):
    """Somebody has to log in, and the client said that nobody must be asked."""

    code = "login_required"


class ConsentRequired(OAuthError):
    """Somebody has to agree, and the client said that nobody must be asked."""

    code = "consent_required"


class UnmetAuthenticationRequirements(OAuthError):
    """The client says that only logins of certain kinds will do, and this is none (OpenID Connect Core Unmet Authentication
    Requirements 1.0)."""

    code = "unmet_authentication_requirements"


class RequestNotSupported(OAuthError):
    """Request objects are not read."""

    code = "request_not_supported"


class RequestUriNotSupported(OAuthError):
    """Request objects are not fetched."""

    code = "request_uri_not_supported"


class InvalidRequestObject(OAuthError):
    """The request object is malformed, not signed by the client, for somebody else, or contradicted by what is beside it."""

    code = "invalid_request_object"

    def __init__(self, detail: str) -> None:
        super().__init__("The request object cannot be relied on.", detail=detail)


class InvalidRequestUri(OAuthError):
    """The pushed request was answered, has expired, or is another client's."""

    code = "invalid_request_uri"


class InvalidScope(OAuthError):
    """A requested scope is malformed, unknown, or more than may be had."""

    code = "invalid_scope"


class InvalidTarget(OAuthError):
    """The resource is unknown, or the scopes belong to several."""

    code = "invalid_target"


class InvalidClientMetadata(OAuthError):
    """What a client says of itself is malformed, contradicts itself, or is more than it may have. The description repeats what
    was said, as far as a description may."""

    code = "invalid_client_metadata"

    def __init__(self, description: str) -> None:
        super().__init__(_UNSPEAKABLE.sub("?", description)[:_MOST_CHARACTERS])


class InvalidRedirectUri(InvalidClientMetadata):
    """Codes must not be sent where the client wants them."""

    code = "invalid_redirect_uri"


class UnapprovedStatement(InvalidClientMetadata):
    """Somebody vouches for what the client is, and nobody is known whose word would count."""

    code = "unapproved_software_statement"


class InvalidDpopProof(OAuthError):
    """The DPoP proof is missing where there must be one, wrong, or was used before."""

    code = "invalid_dpop_proof"


class UseDpopNonce(OAuthError):
    """The DPoP proof must hold `nonce`."""

    code = "use_dpop_nonce"

    def __init__(self, description: str, nonce: str) -> None:
        super().__init__(description)
        self.nonce = nonce


class InvalidToken(OAuthError):
    """The access token is no good; no code is told to whoever sent none (RFC 6750 section 3). `scheme` is how to send it."""

    code = "invalid_token"
    status = 401

    def __init__(self, description: str, *, detail: str = "", scheme: str = BEARER_SCHEME) -> None:
        super().__init__(description, detail=detail)
        self.scheme = scheme


class InvalidProofOfToken(InvalidToken):
    """The DPoP proof that came with an access token is no good."""

    code = "invalid_dpop_proof"

    def __init__(self, description: str, *, detail: str = "") -> None:
        super().__init__(description, detail=detail, scheme=DPOP_SCHEME)


class InsufficientScope(OAuthError):
    """The access token is good, and does not allow this. `scheme` is how it was sent."""

    code = "insufficient_scope"
    status = 403

    def __init__(self, description: str, *, scheme: str = BEARER_SCHEME) -> None:
        super().__init__(description)
        self.scheme = scheme


class TemporarilyUnavailable(OAuthError):
    """Nothing was decided; the same request may succeed after `retry_after` seconds."""

    code = "temporarily_unavailable"
    status = 503

    def __init__(self, description: str, *, retry_after: int = 1, detail: str = "") -> None:
        super().__init__(description, detail=detail)
        self.retry_after = retry_after


class TooManyAttempts(TemporarilyUnavailable):
    """The attempt was not evaluated; the same for accounts that exist and that do not. `alert` and `subject` are for the
    audit trail: the first time in a window, whose limit was reached."""

    status = 429

    def __init__(self, description: str, *, retry_after: int, alert: str = "", subject: str = "") -> None:
        super().__init__(description, retry_after=retry_after)
        self.alert = alert
        self.subject = subject
