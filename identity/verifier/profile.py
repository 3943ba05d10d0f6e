"""The contract issuer and verifiers share, written once: what an access token is and how the revocation feed names things.

Issuer and verifier ship in one distribution, so a change made here reaches both ends together. Nothing in this file
does I/O or reads a clock.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Final

# --- The access token (RFC 9068) ---------------------------------------------------------------------------------

ACCESS_TOKEN_TYPE: Final = "at+jwt"
"""The `typ` the issuer writes. A verifier also takes the long form, `application/at+jwt` (RFC 9068 section 4)."""

LEGACY_TOKEN_TYPE: Final = "JWT"
"""The `typ` a resource may be registered with when its old verifier refuses `at+jwt`."""

ID_TOKEN_TYPE: Final = "JWT"
"""The `typ` of ID tokens. What keeps them apart from access tokens for old verifiers is their audience, a client."""

LOGOUT_TOKEN_TYPE: Final = "logout+jwt"
"""The `typ` of logout tokens (OpenID Connect Back-Channel Logout section 2.4): nothing of ours reads them, and nobody else's
may take them for another token."""

ALGORITHM: Final = "RS256"
"""What signs where nothing else was chosen, and all that is accepted where nothing else was allowed."""

ALGORITHMS: Final = (ALGORITHM, "PS256", "ES256", "EdDSA")
"""What may sign: RFC 7518 section 3.1, and Ed25519 of RFC 8037. A key has one of them (`alg` of its JWK), and a verifier is
told which to accept; the token alone says nothing (RFC 8725 section 3.1)."""

MINIMUM_RSA_BITS: Final = 2048
RSA_PUBLIC_EXPONENT: Final = 65537

REQUIRED_CLAIMS: Final = ("iss", "sub", "aud", "client_id", "iat", "exp", "jti")
"""RFC 9068 section 2.2. `scope` is left out when nothing was granted."""

REVISION_CLAIM: Final = "rev"
"""Head of the revocation feed the issuer had seen *before* it read what this token was minted from."""

GRANT_CLAIM: Final = "grant_id"
SESSION_CLAIM: Final = "sid"
OFFLINE_SCOPE: Final = "offline_access"
"""The session goes on after the person signed out at the browser (OpenID Connect Core section 11)."""

USERINFO_CLAIM: Final = "userinfo_claims"
"""What UserInfo tells by this token beside what its scopes tell: names, for the issuer alone."""

MAX_ACCESS_TOKEN_LIFETIME: Final = 15 * 60
"""Seconds; longer tokens are neither issued nor accepted."""

LEEWAY: Final = 30
"""Seconds of clock difference forgiven on `exp`, `nbf` and `iat`."""

LARGEST_LEEWAY: Final = 60
"""Seconds the most patient verifier may forgive; what revokes tokens, and the keys that signed them, outlives that too."""

MAX_TOKEN_BYTES: Final = 8 * 1024
MAX_KEY_ID_CHARACTERS: Final = 256

CONFIRMATION_CLAIM: Final = "cnf"
_JKT, _X5T = "jkt", "x5t#S256"
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


def is_thumbprint(text: object) -> bool:
    """Tells whether this may be a SHA-256 thumbprint in base64url."""
    return isinstance(text, str) and _THUMBPRINT.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What the sender of a token has to prove to hold (RFC 7800): the key of a DPoP proof (RFC 9449 section 6.1) or a client
    certificate (RFC 8705 section 3.1), one of the two, by its SHA-256 thumbprint."""

    jkt: str = ""
    x5t: str = ""

    @property
    def claim(self) -> dict[str, str]:
        """The value of the claim `cnf`."""
        return {_JKT: self.jkt} if self.jkt else {_X5T: self.x5t}

    @property
    def scheme(self) -> str:
        """The `token_type`, and how the token is sent. One that is bound to a certificate is sent as a bearer token."""
        return DPOP_SCHEME if self.jkt else BEARER_SCHEME

    @classmethod
    def of(cls, claim: object) -> Confirmation:
        """Returns what a claim `cnf` says. One that says something else, or more, must not be passed over: it becomes what
        nobody can show, with both thumbprints empty."""
        members = list(claim.items()) if isinstance(claim, Mapping) else []
        if len(members) != 1 or not is_thumbprint(members[0][1]):
            return cls()
        name, thumbprint = members[0]
        return {_JKT: cls(jkt=thumbprint), _X5T: cls(x5t=thumbprint)}.get(name, cls())


BEARER_SCHEME: Final = "Bearer"
DPOP_SCHEME: Final = "DPoP"

CLIENT_SUBJECT_PREFIX: Final = "client:"
"""A token a client obtained for itself has the subject `client:<client_id>`. A person's subject never contains a colon,
so no service can be taken for a person (RFC 9068 section 5, RFC 9700 section 4.15)."""


def client_subject(client_id: str) -> str:
    """Returns the `sub` of a token that speaks for the client itself."""
    return CLIENT_SUBJECT_PREFIX + client_id


# --- API keys --------------------------------------------------------------------------------------------------------

API_KEY_GRANT: Final = "urn:identity:grant-type:api-key"
"""The `grant_type` that exchanges an API key for an access token (an extension grant, RFC 6749 section 4.5)."""

API_KEY_PARAMETER: Final = "api_key"

API_KEY_CLIENT: Final = "urn:identity:client:api-key"
"""The `client_id` of tokens for a person's key: RFC 9068 wants one, and the program that holds the key is registered nowhere.
Always the same, so that services may count and decide by it; which key it was says `grant_id`. The colon keeps it apart
from every registered client."""

API_KEY_PREFIX: Final = "idk_"
API_KEY_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
API_KEY_ID_CHARACTERS: Final = 22
API_KEY_SECRET_CHARACTERS: Final = 43
"""43 characters of an alphabet of 62 are 256 bits."""

_CHECKSUM_CHARACTERS = 6
_API_KEY = re.compile(
    f"({API_KEY_PREFIX}[0-9A-Za-z]{{{API_KEY_ID_CHARACTERS}}}_[0-9A-Za-z]{{{API_KEY_SECRET_CHARACTERS}}})"
    f"([0-9A-Za-z]{{{_CHECKSUM_CHARACTERS}}})"
)


def api_key_checksum(rest: str) -> str:
    """Returns what ends the key that begins with `rest`: its CRC-32 in base 62. It tells a key from a typing error, and a
    leaked one from any other text, without asking anybody; it proves nothing."""
    number, digits = zlib.crc32(rest.encode()), ""
    for _ in range(_CHECKSUM_CHARACTERS):
        number, digit = divmod(number, len(API_KEY_ALPHABET))
        digits = API_KEY_ALPHABET[digit] + digits
    return digits


def is_api_key(text: str) -> bool:
    """Tells whether `text` has the form of a key, checksum included: `idk_`, id, `_`, secret, checksum."""
    match = _API_KEY.fullmatch(text)
    return match is not None and api_key_checksum(match[1]) == match[2]


# --- The JWKS --------------------------------------------------------------------------------------------------------

MAX_JWKS_BYTES: Final = 64 * 1024
MAX_PUBLISHED_KEYS: Final = 16
JWKS_MAX_AGE: Final = 300
"""Seconds a JWKS may be cached by default; the issuer's `Cache-Control` can say less."""

JWKS_MIN_LIFETIME: Final = 1
"""Seconds a verifier uses a JWKS at least, whatever `max-age` says; shorter would be a loop."""

JWKS_COOLDOWN: Final = 10
"""Seconds between two fetches that an unknown `kid` may cause. Part of the time a key must be published before it signs."""

# --- The revocation feed ---------------------------------------------------------------------------------------------

FEED_MAX_WAIT: Final = 25
"""Longest wait of one poll, in seconds."""

FEED_MAX_AGE: Final = 2.0
"""Seconds since the answering process last confirmed the head; older answers are refused with 503."""

FEED_METADATA: Final = "revocation_feed_endpoint"
"""Name of the feed's address in the authorization server metadata."""

COLUMNS: Final = "columns"
"""Value of the parameter `form` that asks for rules in columns."""

INTROSPECTION_METADATA: Final = "introspection_endpoint"
"""Name of the address where a single token is asked about while the feed is silent (RFC 7662, RFC 8414 section 2)."""


class RuleKind(StrEnum):
    """What a revocation rule names. A token is revoked when `token.rev < rule.seq` for a rule that names it."""

    TOKEN = "jti"
    GRANT = "grant_id"
    SESSION = "sid"
    SUBJECT = "sub"
    CLIENT = "client_id"
    AUDIENCE_SCOPE = "aud_scope"
    KEY = "kid"
    EVERYTHING = "all"


DIGEST_BYTES: Final = 16


def rule_digest(kind: RuleKind, *values: str) -> bytes:
    """Returns the 16 bytes under which the feed names `values`; ids never travel in the clear.

    `values` is one id, `(audience, scope)` for `AUDIENCE_SCOPE`, nothing for `EVERYTHING`. It is SHA-256 over the kind and
    the values, joined by NUL (which none of them may contain), cut to 128 bits: too many to collide by accident, and a
    collision made on purpose can only revoke too much.
    """
    return sha256("\0".join((kind, *values)).encode()).digest()[:DIGEST_BYTES]


def digest_after(beginning: bytes, value: str) -> bytes:
    """Returns the `rule_digest` of a kind that was written out before, `b"jti\\0"`, and one value: a third faster."""
    return sha256(beginning + value.encode()).digest()[:DIGEST_BYTES]
