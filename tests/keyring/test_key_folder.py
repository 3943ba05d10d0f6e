"""The keys folder: what only files have, and every one that must be refused (K05, K08, K10)."""

import asyncio
import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from key_places import NOW, begin, rotate

from identity.keyring.document import read_keyring
from identity.keyring.folder import KeyFolder
from identity.keyring.live import load_keys
from identity.keyring.making import first_keyring
from identity.keyring.public_keys import public_jwk
from identity.keyring.states import Keyring, KeyringError

PASSPHRASE = b"correct horse battery staple"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys take time to make; every test has a copy of these."""
    path = tmp_path_factory.mktemp("prepared") / "keys"
    asyncio.run(KeyFolder(path).create(*first_keyring(2048, NOW)))
    return path


@pytest.fixture
def folder(tmp_path: Path, prepared: Path) -> KeyFolder:
    shutil.copytree(prepared, tmp_path / "keys")
    return KeyFolder(tmp_path / "keys")


@pytest.fixture
async def encrypted(tmp_path: Path) -> KeyFolder:
    made = KeyFolder(tmp_path / "keys", PASSPHRASE)
    await begin(made)
    return made


def files(folder: KeyFolder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.path.iterdir() if path.name != ".lock"}


def standing(folder: KeyFolder) -> Keyring:
    return read_keyring((folder.path / "keyring.json").read_bytes())


def signing_file(folder: KeyFolder) -> Path:
    return folder.path / f"{standing(folder).current.kid}.pem"


def refresh_file(folder: KeyFolder) -> Path:
    return folder.path / f"refresh.{standing(folder).refresh[0].key_id}.pem"


async def test_keys_of_3072_bits_are_made_when_asked_for(tmp_path: Path) -> None:
    """K10"""
    folder = KeyFolder(tmp_path / "keys")
    await folder.create(*first_keyring(3072, NOW))
    assert (await folder.load_signing_key((await folder.read()).current)).key_size == 3072


async def test_everything_in_the_folder_belongs_to_its_owner_alone(folder: KeyFolder) -> None:
    """K05: whatever the umask says."""
    old = os.umask(0)
    try:
        await rotate(folder)
    finally:
        os.umask(old)
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.path.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700


def test_the_states_file_holds_public_members_only(folder: KeyFolder) -> None:
    """K03, K05"""
    for record in json.loads((folder.path / "keyring.json").read_bytes())["signing"]:
        assert set(record["public"]) == {"kty", "n", "e", "kid", "use", "alg"}


async def test_a_passphrase_encrypts_every_private_key_at_rest(encrypted: KeyFolder) -> None:
    """K05"""
    pems = [data for name, data in files(encrypted).items() if name.endswith(".pem")]
    assert len(pems) == 3
    for pem in pems:
        assert pem.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
        with pytest.raises(TypeError):
            serialization.load_pem_private_key(pem, None)
    assert (await load_keys(KeyFolder(encrypted.path, PASSPHRASE))).keyring == await encrypted.read()


async def test_an_encrypted_folder_without_its_passphrase_is_refused(encrypted: KeyFolder) -> None:
    """K08"""
    with pytest.raises(KeyringError, match="IDENTITY_KEYS_PASSPHRASE"):
        await load_keys(KeyFolder(encrypted.path))


async def test_an_encrypted_folder_with_a_wrong_passphrase_is_refused(encrypted: KeyFolder) -> None:
    """K08"""
    with pytest.raises(KeyringError, match="passphrase is wrong"):
        await load_keys(KeyFolder(encrypted.path, b"wrong"))


async def test_an_unencrypted_folder_still_opens_when_a_passphrase_is_set(folder: KeyFolder) -> None:
    """K05: so that encryption can be switched on; the next rotations write encrypted keys."""
    opened = KeyFolder(folder.path, PASSPHRASE)
    await rotate(opened)
    assert (await load_keys(opened)).keyring.version == 2


def pem_of(key: object) -> bytes:
    return key.private_bytes(  # type: ignore[attr-defined, no-any-return]
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "truncated": lambda data: data[: len(data) // 2],
    "cut by one line": lambda data: b"\n".join(data.split(b"\n")[:-3]),
    "garbage": lambda _: os.urandom(500),
    "text": lambda _: b"this is no key\n",
    "a flipped bit": lambda data: data[:400] + bytes([data[400] ^ 1]) + data[401:],
    "another RSA key": lambda _: pem_of(rsa.generate_private_key(65537, 2048)),
    "a key on a curve": lambda _: pem_of(ec.generate_private_key(ec.SECP256R1())),
    "a DSA key": lambda _: pem_of(dsa.generate_private_key(1024)),
    "a refresh key": lambda _: pem_of(ed25519.Ed25519PrivateKey.generate()),
    "only the public key": lambda data: (
        serialization.load_pem_private_key(data, None)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    ),
    "an unknown algorithm": lambda _: (
        b"-----BEGIN PRIVATE KEY-----\nMBACAQAwBwYFKgMEBQYEAgUA\n-----END PRIVATE KEY-----\n"
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
async def test_a_damaged_signing_key_is_refused_with_one_sentence_and_never_replaced(
    folder: KeyFolder, damage: str
) -> None:
    """K08, F18"""
    path = signing_file(folder)
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    before = files(folder)
    with pytest.raises(KeyringError) as refusal:
        await load_keys(KeyFolder(folder.path))
    assert_one_sentence(str(refusal.value), path)
    assert files(folder) == before


@pytest.mark.parametrize("damage", ["empty", "truncated", "garbage", "another RSA key", "an unknown algorithm"])
async def test_a_damaged_refresh_key_is_refused_with_one_sentence(folder: KeyFolder, damage: str) -> None:
    """K08"""
    path = refresh_file(folder)
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    with pytest.raises(KeyringError) as refusal:
        await load_keys(folder)
    assert_one_sentence(str(refusal.value), path)


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o620, 0o644, 0o666])
@pytest.mark.parametrize("which", [signing_file, refresh_file, lambda folder: folder.path / "keyring.json"])
async def test_a_file_open_to_others_is_refused(
    folder: KeyFolder, which: Callable[[KeyFolder], Path], mode: int
) -> None:
    """K05, K08"""
    path = which(folder)
    path.chmod(mode)
    with pytest.raises(KeyringError, match="chmod 600") as refusal:
        await load_keys(folder)
    assert_one_sentence(str(refusal.value), path)


@pytest.mark.parametrize("which", [signing_file, refresh_file, lambda folder: folder.path / "keyring.json"])
async def test_a_missing_file_is_refused_and_not_made_anew(
    folder: KeyFolder, which: Callable[[KeyFolder], Path]
) -> None:
    """K08"""
    path = which(folder)
    path.unlink()
    with pytest.raises(KeyringError, match="is missing") as refusal:
        await load_keys(folder)
    assert_one_sentence(str(refusal.value), path)
    assert not path.exists()


async def test_a_next_key_that_is_damaged_shows_at_start_and_not_in_the_middle_of_a_rotation(folder: KeyFolder) -> None:
    """K08"""
    (folder.path / f"{standing(folder).next.kid}.pem").write_bytes(b"")
    with pytest.raises(KeyringError):
        await load_keys(folder)


def broken_states() -> dict[str, Callable[[dict[str, object]], object]]:
    def without(name: str) -> Callable[[dict[str, object]], object]:
        return lambda document: {key: value for key, value in document.items() if key != name}

    def with_signing(**changes: object) -> Callable[[dict[str, object]], object]:
        return lambda document: {
            **document,
            "signing": [*document["signing"][:1], {**document["signing"][1], **changes}],  # type: ignore[index]
        }

    return {
        "no version": without("version"),
        "no signing keys": without("signing"),
        "no refresh keys": without("refresh"),
        "a list": lambda _: [],
        "a number": lambda _: 7,
        "null": lambda _: None,
        "a version that is no number": lambda document: {**document, "version": "1"},
        "a time that is no number": with_signing(created_at="yesterday"),
        "a time that is no whole number": with_signing(replaced_at=1.5),
        "an unknown state": with_signing(state="resting"),
        "an unknown member": with_signing(colour="red"),
        "two current keys": with_signing(state="current"),
        "a public key that is none": with_signing(state="previous", public={}),
        "a public key that is no object": with_signing(public="n"),
        "a kid that is not the thumbprint": with_signing(kid="../../etc/passwd"),
        "keys that are no objects": lambda document: {**document, "signing": ["a", "b"]},
    }


@pytest.mark.parametrize("damage", broken_states())
async def test_damaged_states_are_refused_with_one_sentence(folder: KeyFolder, damage: str) -> None:
    """K08"""
    path = folder.path / "keyring.json"
    path.write_text(json.dumps(broken_states()[damage](json.loads(path.read_bytes()))))
    with pytest.raises(KeyringError) as refusal:
        await load_keys(folder)
    assert str(refusal.value).endswith(".")
    assert "\n" not in str(refusal.value)


async def test_a_previous_key_whose_public_part_was_changed_is_refused(folder: KeyFolder) -> None:
    """K02, K03: nobody smuggles a key into the JWKS by editing what stands beside the private ones."""
    await rotate(folder)
    path = folder.path / "keyring.json"
    document = json.loads(path.read_bytes())
    previous = next(record for record in document["signing"] if record["state"] == "previous")
    foreign = public_jwk(rsa.generate_private_key(65537, 2048).public_key())
    for changed in ({**foreign, "kid": previous["kid"]}, {**previous["public"], "d": "AQAB"}):
        path.write_text(
            json.dumps({**document, "signing": [*document["signing"][1:], {**previous, "public": changed}]})
        )
        with pytest.raises(KeyringError, match="damaged"):
            await load_keys(folder)


def assert_one_sentence(text: str, path: Path) -> None:
    assert str(path) in text
    assert text.endswith(".")
    assert "\n" not in text
    assert "BEGIN" not in text


async def test_a_write_that_fails_leaves_the_old_file_and_no_other(
    folder: KeyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """K07: a full disk."""
    before = files(folder)
    old = await folder.read()
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError):
        await folder.replace(old, old.with_refresh_key(old.refresh[0], 0))
    assert files(folder) == before


async def test_what_a_crash_left_behind_is_removed_by_the_next_change(folder: KeyFolder) -> None:
    """K05: a private key that nobody names must not lie around for ever."""
    before = set(files(folder))
    for name in ("left.pem", ".left.pem.0a1b2c3d", ".keyring.json.0a1b2c3d", "refresh.left.pem"):
        (folder.path / name).write_bytes(b"half")
    keyring = await rotate(folder)
    assert set(files(folder)) == before | {f"{keyring.next.kid}.pem"}


async def test_a_crash_before_the_first_states_leaves_a_folder_that_can_be_initialised(tmp_path: Path) -> None:
    """K07"""
    folder = KeyFolder(tmp_path / "keys")
    folder.path.mkdir(mode=0o700)
    (folder.path / "some.pem").write_bytes(b"half")
    assert not await folder.is_initialised()
    await begin(folder)
    await load_keys(folder)
    assert len(list(folder.path.glob("*.pem"))) == 3


def full_disk(_descriptor: int) -> None:
    raise OSError(28, "No space left on device")
