"""What every place of keys promises, a folder and SQL alike: compare-and-set, whole states, nothing made anew (K07, K08)."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import jwt
import pytest
from key_places import MASTER_TEXT, NOW, Somewhere, begin, promoted, rotate, rotate_refresh_key, withdraw

from identity.keyring.live import NoSignerError, load_keys
from identity.keyring.making import first_keyring, new_signing_key
from identity.keyring.place import KeyPlace, KeyringConflictError, PrivateKeys
from identity.keyring.states import KeyringError, KeyState
from identity.verifier.jwk import thumbprint
from identity.verifier.profile import ALGORITHMS

CHANGES = 15


async def test_the_first_keyring_has_a_current_a_next_and_a_refresh_key(somewhere: Somewhere) -> None:
    """K10"""
    place = somewhere.open()
    made, private = first_keyring(2048, NOW)
    assert not await place.is_initialised()
    await place.create(made, private)
    assert await place.is_initialised()
    keyring = await somewhere.open().read()
    assert keyring == made
    assert [record.state for record in keyring.signing] == [KeyState.CURRENT, KeyState.NEXT]
    for record in keyring.signing:
        numbers = (await place.load_signing_key(record)).public_key().public_numbers()
        assert (numbers.n.bit_length(), numbers.e) == (2048, 65537)
        assert record.kid == thumbprint(record.public)
    assert await place.load_refresh_key(keyring.refresh[0]) == private.refresh[keyring.refresh[0].key_id]


async def test_k04_keys_of_every_algorithm_are_kept_and_found_again(somewhere: Somewhere) -> None:
    """And a next key of each, added or promoted in one change."""
    made, private = first_keyring(2048, NOW, ALGORITHMS)
    await somewhere.open().create(made, private)
    loaded = await load_keys(somewhere.open())
    assert loaded.keyring == made
    for algorithm in ALGORITHMS:
        signer = loaded.signer_for(algorithm)
        token = signer.sign("JWT", b'{"sub":"x"}')
        assert jwt.decode(token, loaded.public_keys[signer.kid], algorithms=[algorithm]) == {"sub": "x"}
    successors = [new_signing_key(2048, KeyState.NEXT, NOW, algorithm) for algorithm in ALGORITHMS]
    promoted_all = made.promoted(*(record for record, _ in successors), now=NOW)
    await somewhere.open().replace(made, promoted_all, PrivateKeys({record.kid: key for record, key in successors}))
    after = await load_keys(somewhere.open(), loaded)
    assert {name: signer.kid for name, signer in after.signers.items()} == {
        name: record.kid for name, record in made.nexts.items()
    }


async def test_k01_an_algorithm_that_was_added_signs_nothing_before_its_first_rotation(place: KeyPlace) -> None:
    old = await place.read()
    record, key = new_signing_key(2048, KeyState.NEXT, NOW, "ES256")
    await place.replace(old, old.with_algorithm(record), PrivateKeys({record.kid: key}))
    loaded = await load_keys(place)
    assert record.kid in loaded.published.kids
    with pytest.raises(NoSignerError, match="No key signs with ES256"):
        loaded.signer_for("ES256")


async def test_k08_a_key_of_another_algorithm_does_not_pass_for_one(place: KeyPlace) -> None:
    old = await place.read()
    record, _ = new_signing_key(2048, KeyState.NEXT, NOW, "ES256")
    _, stranger = new_signing_key(2048, KeyState.NEXT, NOW, "EdDSA")
    await place.replace(old, old.with_algorithm(record), PrivateKeys({record.kid: stranger}))
    with pytest.raises(KeyringError, match="is not the key that the keyring says it is"):
        await load_keys(place)


async def test_a_place_without_a_keyring_is_refused_and_left_empty(somewhere: Somewhere) -> None:
    """K08"""
    with pytest.raises(KeyringError, match="identity keys init"):
        await load_keys(somewhere.open())
    assert not await somewhere.open().is_initialised()


async def test_a_place_is_initialised_once(place: KeyPlace) -> None:
    """K08: a second initialisation would replace keys in use."""
    before = await load_keys(place)
    with pytest.raises(KeyringError, match="already holds"):
        await begin(place)
    assert await load_keys(place, before) == before


async def test_of_two_first_keyrings_at_once_one_stands(somewhere: Somewhere) -> None:
    """K07: two replicas of a new deployment run `identity keys init`."""
    outcomes = await asyncio.gather(*(begin(somewhere.open()) for _ in range(4)), return_exceptions=True)
    (stands,) = (each for each in outcomes if not isinstance(each, BaseException))
    assert [type(each) for each in outcomes if each is not stands] == [KeyringError] * 3
    assert (await load_keys(somewhere.open())).keyring == stands


async def test_a_change_shows_in_the_stamp(place: KeyPlace) -> None:
    """K07: it is what running servers look at."""
    stamps = [await place.stamp(), await place.stamp()]
    assert stamps[0] == stamps[1]
    for change in (rotate, rotate_refresh_key):
        await change(place)
        stamps.append(await place.stamp())
    assert len(set(stamps)) == 3


async def test_a_change_of_an_outdated_keyring_is_refused(place: KeyPlace) -> None:
    """K07: two operators cannot rotate twice."""
    old = await place.read()
    await rotate(place)
    late, private = promoted(old)
    with pytest.raises(KeyringConflictError):
        await place.replace(old, late, private)
    assert (await load_keys(place)).keyring.version == 2


async def test_a_change_of_a_keyring_that_never_stood_is_refused(place: KeyPlace) -> None:
    """K07: the version alone does not say that it is the same; a backup may have been put back, and moved on."""
    old = await place.read()
    other = old.with_refresh_key(old.refresh[0], 0)
    await rotate(place)
    with pytest.raises(KeyringConflictError):
        await place.replace(other, other.retired(0).with_refresh_key(old.refresh[0], 0))


async def test_of_many_rotations_at_once_exactly_one_wins(somewhere: Somewhere, place: KeyPlace) -> None:
    """K07: and every key that is named is there."""
    old = await place.read()
    new, private = promoted(old)
    attempts = (somewhere.open().replace(old, new, private) for _ in range(5))
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    assert sorted(repr(each) for each in outcomes)[-1] == "None"
    assert [type(each) for each in outcomes if each is not None] == [KeyringConflictError] * 4
    assert (await load_keys(place)).keyring == new


CHANGER = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from key_places import Somewhere, rotate_refresh_key
from identity.keyring.folder import KeyFolder
from identity.keyring.place import KeyringConflictError
from identity.keyring.sealing import MasterKey, MasterKeys
from identity.store.sql.engine import Database
from identity.store.sql.keys import SqlKeys

async def main(kind, url, master, changes):
    database = None if kind == "folder" else Database(url)
    place = KeyFolder(Path(url)) if database is None else SqlKeys(database, MasterKeys(MasterKey.parse(master)))
    done = conflicts = 0
    while done < changes:
        try:
            await rotate_refresh_key(place, oldest=2_000_000_000)
            done += 1
        except KeyringConflictError:
            conflicts += 1
    print(conflicts)
    if database is not None:
        await database.close()

print("ready", flush=True)
sys.stdin.readline()
asyncio.run(main(*sys.argv[2:5], int(sys.argv[5])))
"""


async def test_no_change_of_two_processes_is_lost(somewhere: Somewhere, place: KeyPlace) -> None:
    """K07: each of their changes is one version, and after all of them nothing is left that no state names."""
    argv = [sys.executable, "-c", CHANGER, str(Path(__file__).parent), somewhere.kind, somewhere.url]
    processes = [
        subprocess.Popen(
            [*argv, MASTER_TEXT, str(CHANGES)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    outcomes = await asyncio.gather(*(asyncio.to_thread(each.communicate, b"\n", 60) for each in processes))
    assert [error for _, error in outcomes] == [b"", b""]
    loaded = await load_keys(place)
    assert loaded.keyring.version == 1 + 2 * CHANGES
    assert len(loaded.keyring.refresh) == 1
    if somewhere.kind == "folder":
        assert len(list(Path(somewhere.url).glob("*.pem"))) == 3


async def test_a_retired_key_loses_its_private_half_and_keeps_its_public_one(place: KeyPlace) -> None:
    """K06: old ID token hints can still be verified; nothing can be signed any more."""
    first = (await place.read()).current
    rotated = await rotate(place)
    await place.load_signing_key(first)
    retired = rotated.retired(NOW + 1)
    await place.replace(rotated, retired)
    with pytest.raises(KeyringError, match="missing"):
        await place.load_signing_key(first)
    kept = next(record for record in (await place.read()).signing if record.kid == first.kid)
    assert (kept.state, kept.public) == (KeyState.RETIRED, first.public)
    assert first.kid not in (await load_keys(place)).published.kids


async def test_a_withdrawn_key_is_gone_for_good(place: KeyPlace) -> None:
    """K06"""
    stolen = (await place.read()).current
    await rotate(place)
    assert (await withdraw(place, stolen.kid)).withdrawn_kids == (stolen.kid,)
    with pytest.raises(KeyringError, match="missing"):
        await place.load_signing_key(stolen)


async def test_a_refresh_key_that_serves_no_session_is_gone(place: KeyPlace) -> None:
    first = (await place.read()).refresh[0]
    await rotate_refresh_key(place)
    assert len((await load_keys(place)).keyring.refresh) == 2
    await rotate_refresh_key(place, oldest=NOW + 1)
    with pytest.raises(KeyringError, match="missing"):
        await place.load_refresh_key(first)


async def test_a_missing_private_key_is_refused_with_one_sentence_and_not_made_anew(place: KeyPlace) -> None:
    """K08"""
    never_stored, _ = promoted(await place.read())
    await place.replace(await place.read(), never_stored)  # The states without the key: half a restore.
    for _ in range(2):
        with pytest.raises(KeyringError, match="is missing; restore it from a backup") as refusal:
            await load_keys(place)
        assert "\n" not in str(refusal.value)
    assert await place.read() == never_stored


async def test_a_key_that_is_withdrawn_while_a_server_starts_does_not_stop_it(place: KeyPlace) -> None:
    """The server had read the keyring before; it reads it again."""

    class Interrupted:
        """Withdraws the key that signs when somebody wants it."""

        def __getattr__(self, name: str) -> object:
            return getattr(place, name)

        async def load_signing_key(self, record: object) -> object:
            keyring = await place.read()
            if keyring.version == 1:
                await rotate(place)
                await withdraw(place, keyring.current.kid)
            return await place.load_signing_key(record)  # type: ignore[arg-type]

    loaded = await load_keys(Interrupted())  # type: ignore[arg-type]
    assert loaded.keyring == await place.read()


async def test_nothing_of_a_private_key_shows_when_keys_are_printed(place: KeyPlace) -> None:
    """K05: a traceback, or a log line, may print what is at hand."""
    loaded = await load_keys(place)
    keyring = loaded.keyring
    secret = await place.load_refresh_key(keyring.refresh[0])
    _, private = first_keyring(2048, NOW)
    shown = repr((loaded, loaded.signer, loaded.authenticator, private, place, vars(place)))
    for trace in (secret.hex(), repr(secret), "RSAPrivateKey"):
        assert trace not in shown
