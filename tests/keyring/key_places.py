"""Places of keys for tests: one of each kind, how to open it again, and transitions that cost no new RSA key."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from identity.keyring.making import new_refresh_key
from identity.keyring.place import KeyPlace, PrivateKeys
from identity.keyring.public_keys import public_jwk
from identity.keyring.sealing import MasterKey, MasterKeys
from identity.keyring.states import Keyring, KeyState, SigningKeyRecord

NOW = 1_800_000_000
KINDS = ("folder", "sqlite", "postgresql")
MASTER_TEXT = secrets.token_hex(32)
MASTER = MasterKeys(MasterKey.parse(MASTER_TEXT))


@dataclass(frozen=True)
class Somewhere:
    """A place, and how another process would open it: by `url`, which is a path for a folder."""

    kind: str
    url: str
    open: Callable[[], KeyPlace]


@functools.cache
def made(number: int) -> RSAPrivateKey:
    """An RSA key, made once for a whole run; smaller than any in use, for nothing here depends on its size."""
    return rsa.generate_private_key(65537, 1024)


def record_of(number: int, state: KeyState, now: int = NOW) -> SigningKeyRecord:
    jwk = public_jwk(made(number).public_key())
    return SigningKeyRecord(jwk["kid"], state, jwk, now, now if state is KeyState.CURRENT else None)


async def begin(place: KeyPlace, now: int = NOW) -> Keyring:
    """Makes a first keyring."""
    refresh, secret = new_refresh_key(now)
    current, following = record_of(0, KeyState.CURRENT, now), record_of(1, KeyState.NEXT, now)
    keyring = Keyring(1, (current, following), (refresh,))
    await place.create(keyring, PrivateKeys({current.kid: made(0), following.kid: made(1)}, {refresh.key_id: secret}))
    return keyring


def promoted(keyring: Keyring, now: int = NOW) -> tuple[Keyring, PrivateKeys]:
    """The next state, with a key that this keyring never had."""
    known = {record.kid for record in keyring.signing}
    number = next(n for n in range(100) if record_of(n, KeyState.NEXT).kid not in known)
    successor = record_of(number, KeyState.NEXT, now)
    return keyring.promoted(successor, now=now), PrivateKeys({successor.kid: made(number)})


async def rotate(place: KeyPlace, now: int = NOW) -> Keyring:
    """Lets the next key sign, whatever anybody has seen."""
    old = await place.read()
    new, private = promoted(old, now)
    await place.replace(old, new, private)
    return new


async def withdraw(place: KeyPlace, kid: str) -> Keyring:
    """Withdraws a key that signs no more."""
    old = await place.read()
    await place.replace(old, old.withdrawn(kid))
    return await place.read()


async def rotate_refresh_key(place: KeyPlace, now: int = NOW, oldest: int = 0) -> Keyring:
    """Has new sessions begin with a new refresh key."""
    old = await place.read()
    record, secret = new_refresh_key(now)
    new = old.with_refresh_key(record, oldest)
    await place.replace(old, new, PrivateKeys(refresh={record.key_id: secret}))
    return new
