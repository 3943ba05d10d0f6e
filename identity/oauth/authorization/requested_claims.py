"""The `claims` parameter (OpenID Connect Core section 5.5): single claims that a client asks for, beside its scopes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from identity.oauth.claims import SCOPE_OF
from identity.oauth.errors import InvalidRequest
from identity.verifier.compact import strict_json_object


@dataclass(frozen=True, slots=True)
class RequestedClaims:
    """What was asked for, by where it is to be found: names that somebody may know. `subject` is who has to be logged in, and
    `acr` one of which the login has to be, if that matters; empty if it does not."""

    userinfo: tuple[str, ...] = ()
    id_token: tuple[str, ...] = ()
    subject: str = ""
    acr: tuple[str, ...] = ()

    @property
    def scopes(self) -> frozenset[str]:
        """The scopes that would tell all this: what a person has to allow, however it is asked for."""
        return frozenset(SCOPE_OF[name] for name in (*self.userinfo, *self.id_token))

    def within(self, scopes: Iterable[str]) -> RequestedClaims:
        """Returns what these scopes would tell too."""
        allowed = frozenset(scopes)
        userinfo = tuple(name for name in self.userinfo if SCOPE_OF[name] in allowed)
        id_token = tuple(name for name in self.id_token if SCOPE_OF[name] in allowed)
        return RequestedClaims(userinfo, id_token, self.subject, self.acr)


def read_requested_claims(text: str | None) -> RequestedClaims:
    """Returns what the parameter asks for, or raises `InvalidRequest`. Claims that nobody here knows are asked for in vain."""
    if text is None:
        return RequestedClaims()
    try:
        document = strict_json_object(text.encode("utf-8", "surrogatepass"))
        userinfo, id_token = _members(document, "userinfo"), _members(document, "id_token")
        subject = id_token.get("sub", {}).get("value", userinfo.get("sub", {}).get("value", ""))
        if not isinstance(subject, str):
            raise ValueError
        return RequestedClaims(_known(userinfo), _known(id_token), subject, _acr(id_token.get("acr", {})))
    except ValueError:
        raise InvalidRequest("The parameter claims is malformed.") from None


def _members(document: dict[str, object], name: str) -> dict[str, dict[str, object]]:
    """Returns what one member asks for; null is an empty object, for it and for each claim."""
    members = {} if document.get(name) is None else document[name]
    if not isinstance(members, dict):
        raise ValueError
    found = {claim: {} if how is None else how for claim, how in members.items()}
    if not all(isinstance(how, dict) for how in found.values()):
        raise ValueError
    return found


def _known(members: dict[str, dict[str, object]]) -> tuple[str, ...]:
    return tuple(name for name in members if name in SCOPE_OF)


def _acr(how: dict[str, object]) -> tuple[str, ...]:
    """Returns the values that will do; those of a request that is not essential are wishes (section 5.5.1.1)."""
    values = how.get("values", [how["value"]] if "value" in how else [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError
    return tuple(values) if how.get("essential") is True else ()
