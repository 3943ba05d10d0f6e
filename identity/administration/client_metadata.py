"""Client metadata (RFC 7591 section 2) becomes a `NewClient`: one language for files and for HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from identity.administration.errors import AdministrationError
from identity.administration.new_client import NewClient


class ClientMetadataError(AdministrationError):
    """A member is malformed; `name` says which."""

    def __init__(self, name: str, expected: str) -> None:
        super().__init__(f"The member {name} is not {expected}.")
        self.name = name


@dataclass(frozen=True, slots=True)
class ClientMetadata:
    """What a document says of a client. `unknown` are the members that nobody here knows: RFC 7591 has them ignored."""

    fields: Mapping[str, Any]
    unknown: tuple[str, ...]

    def client(self, client_id: str, **more: Any) -> NewClient:
        """Returns the client that this describes; `more` says what is not the document's to say."""
        return NewClient(**{"grant_types": ["authorization_code"], **self.fields, **more, "client_id": client_id})


def read_client_metadata(document: Mapping[str, object]) -> ClientMetadata:
    """Returns what the document says, or raises `ClientMetadataError`. Absent members and null ones are the same."""
    said = {name: value for name, value in document.items() if value is not None}
    fields = {field: read(name, said[name]) for name, (field, read) in _MEMBERS.items() if name in said}
    _require_code(said)
    return ClientMetadata(fields, tuple(sorted(set(said) - set(_MEMBERS) - {"response_types"})))


def _require_code(said: Mapping[str, object]) -> None:
    """Codes are all that browsers are given (A08)."""
    if "response_types" in said and said["response_types"] not in ([], ["code"]):
        raise ClientMetadataError("response_types", 'a list of nothing but "code"')


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise ClientMetadataError(name, "a string")
    return value


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ClientMetadataError(name, "true or false")
    return value


def _texts(name: str, value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ClientMetadataError(name, "a list of strings")
    return value


def _words(name: str, value: object) -> list[str]:
    return _text(name, value).split()


def _keys(name: str, value: object) -> list[dict[str, object]]:
    keys = value.get("keys") if isinstance(value, dict) else None
    if not isinstance(keys, list) or not all(isinstance(each, dict) for each in keys):
        raise ClientMetadataError(name, "a JWK Set")
    return keys


_MEMBERS: Final[dict[str, tuple[str, Callable[[str, object], object]]]] = {
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
    "profile": ("profile", _text),
    "requires_pkce": ("requires_pkce", _flag),
    "rotates_refresh_tokens": ("rotates_refresh_tokens", _flag),
    "accepts_token_endpoint_audience": ("accepts_token_endpoint_audience", _flag),
    "sector": ("sector", _text),
    "origins": ("origins", _texts),
}
"""Its name in the document, ours, and how it is read; those that no registry knows have our name in both."""
