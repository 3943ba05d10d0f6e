"""Client metadata (RFC 7591 section 2) becomes a `NewClient`, and back: one language for files and for HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from identity.oauth.errors import InvalidClientMetadata
from identity.oauth.registration.new_client import NewClient

_Read = Callable[[str, object], object]


@dataclass(frozen=True, slots=True)
class ClientMetadata:
    """What a document says of a client. `unknown` are the members that nobody here knows: RFC 7591 has them ignored."""

    fields: Mapping[str, Any]
    unknown: tuple[str, ...]

    def client(self, client_id: str, **more: Any) -> NewClient:
        """Returns the client that this describes; `more` says what is not the document's to say."""
        return NewClient(**{"grant_types": ["authorization_code"], **self.fields, **more, "client_id": client_id})


def read_client_metadata(document: Mapping[str, object]) -> ClientMetadata:
    """Returns what a client says of itself, or raises `InvalidClientMetadata`. Absent members and null ones are the same."""
    return _read(document, _REGISTERED)


def read_client_file(document: Mapping[str, object]) -> ClientMetadata:
    """Returns what an operator says of a client: also what no client may decide."""
    return _read(document, {**_REGISTERED, **_OPERATORS})


def write_client_metadata(new: NewClient) -> dict[str, object]:
    """Returns the document that describes a client, with every default that was applied (RFC 7591 section 3.2.1)."""
    written = {name: _written(field, getattr(new, field)) for name, (field, _) in _REGISTERED.items()}
    said = {name: value for name, value in written.items() if value not in ("", [])}
    return {**said, "response_types": ["code"] if "authorization_code" in new.grant_types else []}


def _written(field: str, value: Any) -> object:
    if field == "scopes":
        return " ".join(value)
    if field == "jwks":
        return {"keys": [dict(each) for each in value]} if value else ""
    return value if isinstance(value, str | bool) else list(value)


def _read(document: Mapping[str, object], members: Mapping[str, tuple[str, _Read]]) -> ClientMetadata:
    said = {name: value for name, value in document.items() if value is not None}
    fields = {field: read(name, said[name]) for name, (field, read) in members.items() if name in said}
    _require_code(said)
    return ClientMetadata(fields, tuple(sorted(set(said) - set(members) - {"response_types"})))


def _require_code(said: Mapping[str, object]) -> None:
    """Codes are all that browsers are given (A08), and only to clients that redeem them (RFC 7591 section 2.1)."""
    types, grants = said.get("response_types"), said.get("grant_types", ["authorization_code"])
    if types is not None and types != (["code"] if isinstance(grants, list) and "authorization_code" in grants else []):
        raise InvalidClientMetadata("The member response_types is [code] for authorization_code, and else empty.")


def _malformed(name: str, expected: str) -> InvalidClientMetadata:
    return InvalidClientMetadata(f"The member {name} is not {expected}.")


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise _malformed(name, "a string")
    return value


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _malformed(name, "true or false")
    return value


def _texts(name: str, value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise _malformed(name, "a list of strings")
    return value


def _words(name: str, value: object) -> list[str]:
    return _text(name, value).split()


def _keys(name: str, value: object) -> list[dict[str, object]]:
    keys = value.get("keys") if isinstance(value, dict) else None
    if not isinstance(keys, list) or not all(isinstance(each, dict) for each in keys):
        raise _malformed(name, "a JWK Set")
    return keys


_REGISTERED: Final[dict[str, tuple[str, _Read]]] = {
    "client_name": ("name", _text),
    "grant_types": ("grant_types", _texts),
    "scope": ("scopes", _words),
    "redirect_uris": ("redirect_uris", _texts),
    "post_logout_redirect_uris": ("post_logout_redirect_uris", _texts),
    "response_modes": ("response_modes", _texts),
    "token_endpoint_auth_method": ("authentication_method", _text),
    "jwks": ("jwks", _keys),
    "jwks_uri": ("jwks_uri", _text),
    "tls_client_auth_subject_dn": ("certificate_subject", _text),
    "require_pushed_authorization_requests": ("requires_pushed_requests", _flag),
    "require_signed_request_object": ("requires_signed_requests", _flag),
    "dpop_bound_access_tokens": ("dpop_bound_access_tokens", _flag),
    "tls_client_certificate_bound_access_tokens": ("certificate_bound_access_tokens", _flag),
    "subject_type": ("subject_type", _text),
    "id_token_signed_response_alg": ("id_token_signing_alg", _text),
    "userinfo_signed_response_alg": ("userinfo_signed_response_alg", _text),
    "backchannel_logout_uri": ("backchannel_logout_uri", _text),
}
"""Its name in the document, ours, and how it is read: what the registry of RFC 7591 section 4 knows."""

_OPERATORS: Final[dict[str, tuple[str, _Read]]] = {
    "profile": ("profile", _text),
    "requires_pkce": ("requires_pkce", _flag),
    "rotates_refresh_tokens": ("rotates_refresh_tokens", _flag),
    "accepts_token_endpoint_audience": ("accepts_token_endpoint_audience", _flag),
    "sector": ("sector", _text),
    "origins": ("origins", _texts),
}
"""What only an operator may say: a client would loosen its own rules with it, or name itself into somebody else's sector."""
