"""What a client sends a browser with, as it came, and once every check has passed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from identity.oauth.authorization.requested_claims import RequestedClaims
from identity.oauth.registry import RegisteredClient
from identity.oauth.scopes import Granted


@dataclass(frozen=True, slots=True)
class AuthorizationParameters:
    """The parameters as they were sent, unverified; those that were empty are absent. `faulty` are the names that were sent
    more than once, or with a NUL character (RFC 6749 section 3.1; A07). `is_pushed`, `is_signed`: the client, and nobody on
    the way, said so."""

    values: Mapping[str, str]
    resources: tuple[str, ...] = ()
    faulty: frozenset[str] = frozenset()
    is_pushed: bool = False
    is_signed: bool = False

    def get(self, name: str) -> str | None:
        """Returns the value of a parameter, or None."""
        return self.values.get(name)

    def words(self, name: str) -> tuple[str, ...]:
        """Returns the values of a parameter that may have several, separated by spaces."""
        return tuple(self.values.get(name, "").split())


class ResponseMode(StrEnum):
    """How the answer gets to the client (OAuth 2.0 Multiple Response Types, and Form Post Response Mode)."""

    QUERY = "query"
    FORM_POST = "form_post"


class Prompt(StrEnum):
    """What the client wants a person to be asked, or not (OpenID Connect Core section 3.1.2.1)."""

    NONE = "none"
    LOGIN = "login"
    CONSENT = "consent"
    SELECT_ACCOUNT = "select_account"


@dataclass(frozen=True, slots=True)
class ReturnAddress:
    """Where the browser goes with the answer: a redirect URI that is the client's, the mode, and the state to repeat.
    `self_registered` is the client whose address it is, if nobody but itself ever said so."""

    redirect_uri: str
    mode: ResponseMode = ResponseMode.QUERY
    state: str | None = None
    self_registered: str = ""


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """A request that passed every check that needs no person. `named_redirect_uri` is what the request said, and what the
    token request has to repeat; `asked` are the scopes it named."""

    client: RegisteredClient
    back: ReturnAddress
    named_redirect_uri: str | None
    asked: tuple[str, ...]
    granted: Granted
    challenge: str | None
    nonce: str | None
    prompts: frozenset[Prompt]
    max_age: int | None
    login_hint: str
    claims: RequestedClaims
    dpop_jkt: str | None = None
    id_token_hint: str = field(default="", repr=False)
