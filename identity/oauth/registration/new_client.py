"""A client to be registered, by an operator or by itself: what it may say, and what contradicts itself."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from identity.models import Client
from identity.oauth.authorization.request import ResponseMode
from identity.oauth.client_authentication import hash_secret
from identity.oauth.client_keys import FAPI_ALGORITHMS, ClientKeyError, read_client_keys
from identity.oauth.errors import InvalidClientMetadata, InvalidRedirectUri
from identity.oauth.redirect_uris import problem_with
from identity.oauth.registry import FAPI, AuthenticationMethod
from identity.verifier.certificates import subject_of
from identity.verifier.profile import ALGORITHMS

GRANT_TYPES = ("authorization_code", "refresh_token", "client_credentials", "password")
METHODS = tuple(method.value for method in AuthenticationMethod if method is not AuthenticationMethod.SECRET)
_CLIENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_MAX_NAME = 255
_MAX_URI = 2048
_MAX_SUBJECT = 1024
_ADDRESS = re.compile(r"https?://[!-\[\]-~]+")
"""Nothing that is not ASCII, no space and no backslash."""

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
"""For programs beside `identity dev`, which alone goes there without TLS."""

_SECTOR = re.compile(r"[a-z0-9][a-z0-9.-]{0,252}")
_STRONG = (AuthenticationMethod.PRIVATE_KEY_JWT, AuthenticationMethod.TLS_CLIENT_AUTH)


@dataclass(frozen=True, slots=True)
class NewClient:
    """A client to be registered; what each field means says `models/client.py`. One whose `authentication_method` is `none` is
    public: it has no secret and may not speak for itself."""

    client_id: str
    grant_types: Sequence[str]
    scopes: Sequence[str] = ()
    name: str = ""
    authentication_method: str = AuthenticationMethod.SECRET_BASIC
    jwks: Sequence[Mapping[str, object]] = ()
    jwks_uri: str = ""
    certificate_subject: str = ""
    accepts_token_endpoint_audience: bool = False
    profile: str = ""
    default_resource: str | None = None
    origins: Sequence[str] = ()
    redirect_uris: Sequence[str] = ()
    post_logout_redirect_uris: Sequence[str] = ()
    response_modes: Sequence[str] = ()
    rotates_refresh_tokens: bool = True
    requires_pkce: bool = True
    requires_pushed_requests: bool = False
    requires_signed_requests: bool = False
    is_trusted: bool = False
    is_dynamic: bool = False
    subject_type: str = "public"
    sector: str = ""
    id_token_signing_alg: str = "RS256"
    userinfo_signed_response_alg: str = ""
    backchannel_logout_uri: str = ""
    dpop_bound_access_tokens: bool = False
    certificate_bound_access_tokens: bool = False

    @property
    def has_secret(self) -> bool:
        """Whether it proves who it is by a secret, which this server makes."""
        return self.authentication_method in (AuthenticationMethod.SECRET_BASIC, AuthenticationMethod.SECRET_POST)

    def completed(self) -> NewClient:
        """Returns it with what its profile asks for, or raises `InvalidClientMetadata` for the first thing that is wrong:
        `InvalidRedirectUri`, where that is an address for codes."""
        completed = _of_profile(self)
        for require in _REQUIREMENTS:
            require(completed)
        return completed

    def row(self, scopes: Sequence[str], secret: str | None) -> Client:
        """Returns the row of a completed one."""
        return Client(
            client_id=self.client_id,
            name=self.name or self.client_id,
            secret_hashes=[hash_secret(secret).hex()] if secret else [],
            grant_types=sorted(set(self.grant_types)),
            scopes=list(scopes),
            origins=sorted(set(self.origins)),
            redirect_uris=sorted(set(self.redirect_uris)),
            post_logout_redirect_uris=sorted(set(self.post_logout_redirect_uris)),
            response_modes=sorted(set(self.response_modes)),
            sector=self.sector or _sector_of(self.redirect_uris),
            jwks=[dict(each) for each in self.jwks],
            **{name: getattr(self, name) for name in _AS_THEY_ARE},
        )


_AS_THEY_ARE = (
    "authentication_method",
    "jwks_uri",
    "certificate_subject",
    "accepts_token_endpoint_audience",
    "profile",
    "default_resource",
    "rotates_refresh_tokens",
    "requires_pkce",
    "requires_pushed_requests",
    "requires_signed_requests",
    "is_trusted",
    "is_dynamic",
    "subject_type",
    "id_token_signing_alg",
    "userinfo_signed_response_alg",
    "backchannel_logout_uri",
    "dpop_bound_access_tokens",
    "certificate_bound_access_tokens",
)


def _of_profile(new: NewClient) -> NewClient:
    """FAPI 2.0 security profile, section 5.3: pushed requests, PKCE, tokens bound to a key of the client, no rotation of
    refresh tokens that nobody else can use."""
    if new.profile != FAPI:
        return new
    return replace(
        new,
        requires_pkce=True,
        requires_pushed_requests=True,
        dpop_bound_access_tokens=new.dpop_bound_access_tokens or not new.certificate_bound_access_tokens,
        rotates_refresh_tokens=False,
    )


def _names(new: NewClient) -> None:
    if not _CLIENT_ID.fullmatch(new.client_id):
        raise InvalidClientMetadata("A client id has letters, digits, dots, dashes and underscores, at most 128.")
    if len(new.name) > _MAX_NAME or not new.name.isprintable():
        raise InvalidClientMetadata(f"A client's name has at most {_MAX_NAME} printable characters.")
    if new.subject_type not in ("public", "pairwise"):
        raise InvalidClientMetadata("A client's subject type is public or pairwise.")
    if new.sector and not _SECTOR.fullmatch(new.sector):
        raise InvalidClientMetadata("A sector is a host name in lower case.")
    if new.userinfo_signed_response_alg not in ("", *ALGORITHMS):
        raise InvalidClientMetadata(f"UserInfo is signed with {', '.join(ALGORITHMS)}.")
    if new.profile not in ("", FAPI):
        raise InvalidClientMetadata(f"There is no profile {new.profile!r}; there is {FAPI}.")


def _grants(new: NewClient) -> None:
    if unknown := sorted(set(new.grant_types) - set(GRANT_TYPES)):
        raise InvalidClientMetadata(f"There is no grant type {unknown[0]!r}; there are {', '.join(GRANT_TYPES)}.")
    if unknown := sorted(set(new.response_modes) - {mode.value for mode in ResponseMode}):
        raise InvalidClientMetadata(f"There is no response mode {unknown[0]!r}.")
    if ("authorization_code" in new.grant_types) is not bool(new.redirect_uris):
        raise InvalidRedirectUri("A client has redirect URIs if, and only if, it uses authorization_code.")


def _authentication(new: NewClient) -> None:
    method = new.authentication_method
    if method not in METHODS:
        raise InvalidClientMetadata(f"There is no client authentication {method!r}; there are {', '.join(METHODS)}.")
    if method == AuthenticationMethod.NONE:
        _public(new)
    if new.certificate_subject and _name_of(new.certificate_subject) != new.certificate_subject:
        raise InvalidClientMetadata("The certificate subject is not as RFC 4514 writes it, such as CN=shop,O=Shop.")
    if (method == AuthenticationMethod.TLS_CLIENT_AUTH) is not bool(new.certificate_subject):
        raise InvalidClientMetadata("A client has a certificate subject if, and only if, it uses tls_client_auth.")
    if new.jwks and new.jwks_uri:
        raise InvalidClientMetadata("A client has its keys in a JWKS or at a JWKS URI, not both (RFC 7591 section 2).")
    if method == AuthenticationMethod.PRIVATE_KEY_JWT and not (new.jwks or new.jwks_uri):
        raise InvalidClientMetadata("A client that uses private_key_jwt has a JWKS, or a JWKS URI.")
    if new.requires_signed_requests and not (new.jwks or new.jwks_uri):
        raise InvalidClientMetadata("A client that signs its requests has a JWKS, or a JWKS URI.")
    try:
        read_client_keys(new.jwks)
    except ClientKeyError as error:
        raise InvalidClientMetadata(f"The JWKS is unusable: {error}.") from None


def _name_of(text: str) -> str:
    try:
        return subject_of(text) if len(text) <= _MAX_SUBJECT and text.isprintable() else ""
    except ValueError:
        return ""


def _public(new: NewClient) -> None:
    if "client_credentials" in new.grant_types:
        raise InvalidClientMetadata("A public client cannot use client_credentials: it cannot prove who it is.")
    if not new.rotates_refresh_tokens:
        raise InvalidClientMetadata("A public client's refresh tokens must rotate (RFC 9700 section 4.14.2).")
    if not new.requires_pkce:
        raise InvalidClientMetadata("A public client must use PKCE (RFC 9700 section 2.1.1).")


def _addresses(new: NewClient) -> None:
    for uri in new.redirect_uris:
        if problem := problem_with(uri):
            raise InvalidRedirectUri(f"The redirect URI {uri!r} {problem}.")
    for uri in new.post_logout_redirect_uris:
        if problem := problem_with(uri):
            raise InvalidClientMetadata(f"The redirect URI {uri!r} {problem}.")
    for origin in new.origins:
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https") or not parts.netloc or origin != f"{parts.scheme}://{parts.netloc}":
            raise InvalidClientMetadata(f"{origin!r} is not a web origin such as https://app.example.com.")
    for uri in filter(None, (new.jwks_uri, new.backchannel_logout_uri)):
        require_https(uri)


def require_https(uri: str) -> None:
    """Raises `InvalidClientMetadata` for an address that no document is fetched from (A15)."""
    try:
        parts = urlsplit(uri)
        is_safe = parts.scheme == "https" or parts.hostname in _LOOPBACK
        is_one = is_safe and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        is_one = False
    if not is_one or not _ADDRESS.fullmatch(uri) or "#" in uri or len(uri) > _MAX_URI:
        raise InvalidClientMetadata(f"The address {uri!r} is not an https URL without a fragment.")


def _pairwise(new: NewClient) -> None:
    """OpenID Connect Core section 8.1: the sector is the host that all redirect URIs share, unless it is said."""
    if new.subject_type == "pairwise" and not new.sector and len(_hosts_of(new.redirect_uris)) > 1:
        raise InvalidClientMetadata("A pairwise client whose redirect URIs have several hosts must name its sector.")


def _fapi(new: NewClient) -> None:
    if new.profile != FAPI:
        return
    if new.authentication_method not in _STRONG:
        raise InvalidClientMetadata("A fapi2 client uses private_key_jwt or tls_client_auth.")
    if new.id_token_signing_alg not in FAPI_ALGORITHMS:
        raise InvalidClientMetadata(f"A fapi2 client has its ID tokens signed with {', '.join(FAPI_ALGORITHMS)}.")
    if "password" in new.grant_types:
        raise InvalidClientMetadata("A fapi2 client does not use the password grant.")


_REQUIREMENTS = (_names, _grants, _authentication, _addresses, _pairwise, _fapi)


def _hosts_of(redirect_uris: Sequence[str]) -> set[str]:
    """Returns the hosts that stand for somebody; empty for an app, which is at every machine."""
    parts = [urlsplit(uri) for uri in redirect_uris]
    return {each.hostname or "" if each.scheme == "https" else "" for each in parts}


def _sector_of(redirect_uris: Sequence[str]) -> str:
    """Returns the sector that goes without saying; none for apps, each of which is a sector by itself."""
    hosts = _hosts_of(redirect_uris)
    return hosts.pop() if len(hosts) == 1 else ""
