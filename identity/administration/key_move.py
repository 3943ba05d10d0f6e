"""Moving a keyring from one place to another, with every key in it: nobody is logged out, and no token is refused."""

from __future__ import annotations

from identity.keyring.place import KeyPlace, KeyringConflictError, PrivateKeys, kids_in_need
from identity.keyring.states import Keyring, KeyringError

_ATTEMPTS = 5


async def move_keyring(source: KeyPlace, target: KeyPlace, to: str) -> Keyring:
    """Moves the keyring and returns it as it stands at `target`, which settings call `to`.

    First the source is told that it changes no more, then its keys are copied: so no transition can get lost between the two,
    and servers that still read the source go on signing with it. Whoever is interrupted repeats the command.
    """
    if await _stands(target):
        raise KeyringError(f"The {to} already holds a keyring.")
    moved = await _frozen(source, to)
    arrived = moved.arrived()
    await target.create(arrived, await _private_keys(source, moved))
    return arrived


async def _stands(place: KeyPlace) -> bool:
    return await place.is_initialised() and not (await place.read()).moved_to


async def _frozen(source: KeyPlace, to: str) -> Keyring:
    for _ in range(_ATTEMPTS):
        keyring = await source.read()
        if keyring.moved_to == to:
            return keyring  # This was as far as an earlier attempt came.
        moved = keyring.moved(to)
        try:
            # Loaded before it is frozen: keys that cannot be copied are no reason to stop their rotation.
            await _private_keys(source, keyring)
            await source.replace(keyring, moved)
        except KeyringConflictError:
            continue
        return moved
    raise KeyringConflictError("The keyring keeps changing; try again.")


async def _private_keys(place: KeyPlace, keyring: Keyring) -> PrivateKeys:
    needed = kids_in_need(keyring)
    return PrivateKeys(
        {record.kid: await place.load_signing_key(record) for record in keyring.signing if record.kid in needed},
        {record.key_id: await place.load_refresh_key(record) for record in keyring.refresh},
    )
