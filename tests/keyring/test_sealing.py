"""Master keys: which texts are one, and what a seal is bound to (K05)."""

from __future__ import annotations

import base64
import secrets

import pytest

from identity.keyring.sealing import MasterKey, MasterKeys, Sealed
from identity.keyring.states import KeyringError

RAW = bytes(range(100, 132))
HEX = RAW.hex()
BASE64URL = base64.urlsafe_b64encode(RAW).decode()


@pytest.mark.parametrize("text", [HEX, HEX.upper(), BASE64URL, BASE64URL.rstrip("=")])
def test_a_master_key_may_be_written_in_hexadecimal_or_base64url(text: str) -> None:
    """K05: they are one key, with one id."""
    sealed = MasterKeys(MasterKey.parse(HEX)).seal(b"secret", "here")
    assert MasterKeys(MasterKey.parse(text)).open(sealed, "It", "here") == b"secret"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "correct horse battery staple",
        HEX[:-2],
        HEX + "00",
        HEX + "\n",
        " " + HEX,
        HEX[:-1] + "g",
        BASE64URL.rstrip("=")[:-1],
        BASE64URL + "=",
        BASE64URL.rstrip("=")[:-1] + "/",
        BASE64URL.rstrip("=")[:-1] + ("B" if BASE64URL[-2] != "B" else "C"),
        "00" * 32,
        "0123456789abcdef" * 4,
        "A" * 43,
    ],
)
def test_anything_else_is_refused_and_not_shown(text: str) -> None:
    """K05: too short, too long, a passphrase, a last letter whose bits do not count, bytes that nobody drew by lot."""
    with pytest.raises(ValueError, match="32 random bytes") as refusal:
        MasterKey.parse(text)
    assert not text.strip() or text.strip() not in str(refusal.value)


def test_a_master_key_shows_its_id_and_nothing_else() -> None:
    """K05"""
    key = MasterKey.parse(HEX)
    shown = repr((key, MasterKeys(key), vars(MasterKeys(key))))
    assert key.key_id in shown
    assert key.key_id not in HEX
    assert HEX[:16] not in shown
    assert repr(RAW)[2:-1] not in shown


def test_what_is_sealed_opens_only_where_it_was_sealed() -> None:
    """K04: names cannot run into each other either."""
    keys = MasterKeys(MasterKey.parse(HEX))
    sealed = keys.seal(b"secret", "signing", "kid")
    for elsewhere in (
        (),
        ("signing",),
        ("signing", "other"),
        ("signingkid",),
        ("signing", "kid", ""),
        ("", "signing", "kid"),
    ):
        with pytest.raises(KeyringError, match="another's place"):
            keys.open(sealed, "It", *elsewhere)
    assert b"secret" not in sealed.data


def test_the_first_master_key_seals_and_every_one_opens() -> None:
    first, second = MasterKey.parse(HEX), MasterKey.parse(secrets.token_hex(32))
    before, during = MasterKeys(second), MasterKeys(first, second)
    assert during.open(before.seal(b"secret", "x"), "It", "x") == b"secret"
    assert during.seal(b"secret", "x").master_key_id == first.key_id
    with pytest.raises(KeyringError, match=f"It is sealed with the master key {first.key_id}"):
        before.open(during.seal(b"secret", "x"), "It", "x")


def test_a_seal_under_the_wrong_name_of_a_master_key_does_not_open() -> None:
    first, second = MasterKey.parse(HEX), MasterKey.parse(secrets.token_hex(32))
    sealed = MasterKeys(second).seal(b"secret", "x")
    with pytest.raises(KeyringError):
        MasterKeys(first, second).open(Sealed(first.key_id, sealed.data), "It", "x")
