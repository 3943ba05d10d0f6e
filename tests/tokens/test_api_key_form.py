"""API keys: recognised offline, and nothing with a typing error passes for one."""

import re
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.tokens.api_key import KeyCredential, new_key, read_key, write_key
from identity.verifier.profile import API_KEY_ALPHABET, api_key_checksum, is_api_key

keys = st.builds(new_key)


@given(keys)
def test_a_key_reads_back_as_what_it_says(key: KeyCredential) -> None:
    assert read_key(write_key(key)) == key


def test_the_form_is_written_down_in_one_example() -> None:
    """A leak scanner is built from this: prefix, id, secret, and the CRC-32 of all of that in base 62."""
    document = (Path(__file__).parents[2] / "docs/api-keys.md").read_text(encoding="utf-8")
    text = "idk_" + "0" * 22 + "_" + "z" * 43 + "4LIK1t"
    assert f"\n{text}\n" in document
    (pattern,) = re.findall(r"^idk_\[.*$", document, re.M)
    assert re.fullmatch(pattern, text)
    assert read_key(text) == KeyCredential("0" * 22, "z" * 43)
    assert api_key_checksum(text[:-6]) == text[-6:]


def test_a_secret_has_256_bits_and_an_id_128() -> None:
    """A32"""
    assert set(API_KEY_ALPHABET) == set(string.ascii_letters + string.digits)
    key = new_key()
    assert 62 ** len(key.secret) >= 2**256
    assert 62 ** len(key.key_id) >= 2**128
    assert len({new_key().secret for _ in range(100)}) == 100


@given(keys, st.data())
def test_a_key_with_one_character_changed_is_none(key: KeyCredential, data: st.DataObject) -> None:
    text = write_key(key)
    position = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(
        st.one_of(st.sampled_from(API_KEY_ALPHABET), st.characters()).filter(lambda c: c != text[position])
    )
    assert read_key(text[:position] + other + text[position + 1 :]) is None


@given(keys, st.integers(4, 73))
def test_a_key_with_two_neighbours_exchanged_is_none(key: KeyCredential, position: int) -> None:
    text = write_key(key)
    swapped = text[:position] + text[position + 1] + text[position] + text[position + 2 :]
    assert swapped == text or read_key(swapped) is None


@pytest.mark.parametrize(
    "change", [str.upper, str.lower, str.title, "{}\n".format, " {}".format, "{}A".format, "Bearer {}".format]
)
def test_a_key_has_one_spelling(change) -> None:
    text = write_key(KeyCredential("aB" * 11, "cD" * 21 + "e"))
    assert is_api_key(text)
    assert not is_api_key(change(text))


@given(st.text())
def test_other_texts_are_no_keys(text: str) -> None:
    assert not is_api_key(text)


def test_a_key_shows_its_secret_in_no_repr() -> None:
    """A64"""
    key = new_key()
    assert key.secret not in repr(key)
