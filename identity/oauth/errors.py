"""The errors of the protocol. Each has a code the specification names, a description anyone may read, and a private detail
for the log; `web/errors.py` is the one place where they become responses.

    OAuthError
    ├── InvalidRequest            malformed, missing or repeated parameters           RFC 6749 section 5.2
    ├── InvalidClient             unknown, disabled or not authenticated client       RFC 6749 section 5.2
    ├── InvalidGrant              wrong credentials, or a token or key that is over   RFC 6749 section 5.2
    ├── UnauthorizedClient        this client may not use this grant                  RFC 6749 section 5.2
    ├── UnsupportedGrantType      nobody may use this grant                           RFC 6749 section 5.2
    ├── InvalidScope              unknown scope, or more than was granted             RFC 6749 section 5.2
    ├── InvalidTarget             unknown or ambiguous resource                       RFC 8707 section 2
    ├── TooManyAttempts           logins were tried too often to be evaluated         RFC 6585 section 4, status 429
    └── TemporarilyUnavailable    try again: a store is away, or too much is waiting  RFC 6749 section 4.1.2.1, by status 503
"""

from __future__ import annotations

from typing import ClassVar


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


class InvalidScope(OAuthError):
    """A requested scope is malformed, unknown, or more than may be had."""

    code = "invalid_scope"


class InvalidTarget(OAuthError):
    """The resource is unknown, or the scopes belong to several."""

    code = "invalid_target"


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
