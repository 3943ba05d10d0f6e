"""Making keys: from the system's random numbers, with the record that will name each."""

from __future__ import annotations

import secrets

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from identity.keyring.place import PrivateKeys
from identity.keyring.signers import base64url, public_jwk
from identity.keyring.states import Keyring, KeyState, RefreshKeyRecord, SigningKeyRecord
from identity.verifier.profile import RSA_PUBLIC_EXPONENT

REFRESH_KEY_BYTES = 32
_KEY_ID_BYTES = 3


def new_signing_key(bits: int, state: KeyState, now: int) -> tuple[SigningKeyRecord, RSAPrivateKey]:
    """Returns a new RSA key (CSPRNG, exponent 65537) and its record (K10). Takes a second or so of CPU."""
    key = rsa.generate_private_key(RSA_PUBLIC_EXPONENT, bits)
    jwk = public_jwk(key.public_key())
    promoted_at = now if state is KeyState.CURRENT else None
    return SigningKeyRecord(jwk["kid"], state, jwk, now, promoted_at), key


def new_refresh_key(now: int) -> tuple[RefreshKeyRecord, bytes]:
    """Returns 32 random bytes and the record that names them."""
    record = RefreshKeyRecord(base64url(secrets.token_bytes(_KEY_ID_BYTES)), now)
    return record, secrets.token_bytes(REFRESH_KEY_BYTES)


def first_keyring(bits: int, now: int) -> tuple[Keyring, PrivateKeys]:
    """Returns what an installation begins with: a current key, a next key, a refresh key."""
    current, signing = new_signing_key(bits, KeyState.CURRENT, now)
    following, about_to = new_signing_key(bits, KeyState.NEXT, now)
    refresh, secret = new_refresh_key(now)
    private = PrivateKeys({current.kid: signing, following.kid: about_to}, {refresh.key_id: secret})
    return Keyring(1, (current, following), (refresh,)), private
