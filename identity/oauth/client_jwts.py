"""JWTs that clients sign: assertions of who they are, and requests. Read strictly, by the keys that are registered."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from identity.oauth.client_keys import FAPI_ALGORITHMS
from identity.oauth.published_keys import PublishedClientKeys
from identity.oauth.registry import FAPI, RegisteredClient
from identity.verifier.compact import FORBIDDEN_HEADERS, read_header, split, strict_json_object, to_bytes
from identity.verifier.errors import InvalidToken
from identity.verifier.profile import LEEWAY
from identity.verifier.signature_keys import SIGNATURE_ALGORITHMS

_FORBIDDEN: Final = FORBIDDEN_HEADERS - {"x5t", "x5t#S256"}
"""Names of a certificate do no harm: the keys are the registered ones, whatever a JWT calls them."""


class ClientJwtError(ValueError):
    """The JWT proves nothing; the message is for the log."""


def claims_unverified(token: str) -> Mapping[str, object]:
    """Returns what a JWT says, which nobody may believe: to find out whose key would prove it."""
    try:
        return strict_json_object(split(to_bytes(token))[1])
    except (InvalidToken, ValueError):
        raise ClientJwtError("malformed") from None


@dataclass(frozen=True, slots=True)
class ClientJwts:
    """Reads what clients sign."""

    keys: PublishedClientKeys

    async def read(
        self, client: RegisteredClient, token: str, types: Collection[str], now: float
    ) -> Mapping[str, object]:
        """Returns the claims of a JWT that the client signed, or raises `ClientJwtError`. `types` are the values of `typ` that
        will do, in lower case; an empty one stands for a JWT without. Its times are not looked at."""
        header, payload, signature, signed = _parts(token)
        if not _FORBIDDEN.isdisjoint(header):
            raise ClientJwtError("a header that is not read")
        typ, alg, kid = header.get("typ", ""), header.get("alg"), header.get("kid")
        if not isinstance(typ, str) or typ.lower().removeprefix("application/") not in types:
            raise ClientJwtError("of another type")
        if not isinstance(alg, str) or alg not in (FAPI_ALGORITHMS if client.profile == FAPI else SIGNATURE_ALGORITHMS):
            raise ClientJwtError("another algorithm")
        keys = await self.keys.of(client, kid)
        # One that names no key may be by any of them.
        if not any(key.signed(alg, signature, signed, now) for key in keys if kid in (None, key.kid)):
            raise ClientJwtError("by none of the client's keys")
        return payload


def require_times(claims: Mapping[str, object], now: float, longest: float) -> float:
    """Returns when the JWT expires (Unix seconds), or raises `ClientJwtError`: that is over, or missing, or more than `longest`
    seconds away, or the JWT is not valid yet."""
    expires_at = _time(claims, "exp")
    if expires_at is None:
        raise ClientJwtError("no exp")
    if not now - LEEWAY < expires_at <= now + longest + LEEWAY:
        raise ClientJwtError("expired, or good for too long")
    if any((_time(claims, name) or 0) > now + LEEWAY for name in ("nbf", "iat")):
        raise ClientJwtError("not valid yet")
    return expires_at


def _parts(token: str) -> tuple[Mapping[str, object], Mapping[str, object], bytes, bytes]:
    """Returns header, payload, signature and what is signed."""
    try:
        header, payload, signature, signed = split(to_bytes(token))
        return read_header(header), strict_json_object(payload), signature, signed
    except (InvalidToken, ValueError):
        raise ClientJwtError("malformed") from None


def _time(claims: Mapping[str, object], name: str) -> float | None:
    """Returns it as it is: an integer may have more digits than a float can hold, and is compared all the same."""
    value = claims.get(name)
    if value is not None and value.__class__ not in (int, float):  # A bool has another class.
        raise ClientJwtError(f"{name} is malformed")
    return value if isinstance(value, int | float) else None
