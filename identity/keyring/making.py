"""Making keys: from the system's random numbers, with the record that will name each."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from identity.keyring.algorithms import SIGNING, PrivateKey
from identity.keyring.place import PrivateKeys
from identity.keyring.public_keys import public_jwk
from identity.keyring.signers import base64url
from identity.keyring.states import Keyring, KeyState, RefreshKeyRecord, SigningKeyRecord
from identity.verifier.profile import ALGORITHM

REFRESH_KEY_BYTES = 32
_KEY_ID_BYTES = 3


def new_signing_key(
    bits: int, state: KeyState, now: int, algorithm: str = ALGORITHM
) -> tuple[SigningKeyRecord, PrivateKey]:
    """Returns a new key (CSPRNG; RSA: `bits`, exponent 65537) and its record (K10). RSA takes a second or so of CPU."""
    key = SIGNING[algorithm].make(bits)
    jwk = public_jwk(key.public_key(), algorithm)
    promoted_at = now if state is KeyState.CURRENT else None
    return SigningKeyRecord(jwk["kid"], state, jwk, now, promoted_at), key


def new_refresh_key(now: int) -> tuple[RefreshKeyRecord, bytes]:
    """Returns 32 random bytes and the record that names them."""
    record = RefreshKeyRecord(base64url(secrets.token_bytes(_KEY_ID_BYTES)), now)
    return record, secrets.token_bytes(REFRESH_KEY_BYTES)


def first_keyring(bits: int, now: int, algorithms: Sequence[str] = (ALGORITHM,)) -> tuple[Keyring, PrivateKeys]:
    """Returns what an installation begins with: of each algorithm a current key and a next key, and a refresh key. All of them
    may sign at once: nobody has fetched any keys yet."""
    made = [
        new_signing_key(bits, state, now, algorithm)
        for algorithm in algorithms
        for state in (KeyState.CURRENT, KeyState.NEXT)
    ]
    refresh, secret = new_refresh_key(now)
    private = PrivateKeys({record.kid: key for record, key in made}, {refresh.key_id: secret})
    return Keyring(1, tuple(record for record, _ in made), (refresh,)), private
