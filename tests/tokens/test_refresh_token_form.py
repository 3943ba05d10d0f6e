"""Refresh tokens: authentic or nothing, and always the same text for the same generation (A45, A46)."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.keyring.signers import RefreshAuthenticator
from identity.tokens.refresh_token import Generation, new_family, read_token, write_token

KEYS = RefreshAuthenticator("Ab3_", {"Ab3_": b"k" * 32, "old-": b"o" * 32})
ANOTHER_SERVER = RefreshAuthenticator("Ab3_", {"Ab3_": b"x" * 32})
ALPHABET = string.ascii_letters + string.digits + "-_."
generations = st.builds(Generation, st.builds(lambda: new_family(KEYS)), st.integers(0, 10**9))


@given(generations)
def test_a_token_reads_back_as_its_generation(generation: Generation) -> None:
    assert read_token(KEYS, write_token(KEYS, generation)) == generation


@given(generations)
def test_every_replica_writes_the_same_token_for_the_same_generation(generation: Generation) -> None:
    """A46: so a retry meets the same successor, and nothing usable is stored."""
    replica = RefreshAuthenticator("new1", {"new1": b"n" * 32, "Ab3_": b"k" * 32})
    assert write_token(replica, generation) == write_token(KEYS, generation)


@given(generations, st.data())
def test_a_token_with_any_one_character_changed_is_refused(generation: Generation, data: st.DataObject) -> None:
    """A45: unforgeable in every position, the last one (whose spare bits decoders ignore) included."""
    token = write_token(KEYS, generation)
    position = data.draw(st.one_of(st.just(len(token) - 1), st.integers(0, len(token) - 1)))
    other = data.draw(st.one_of(st.sampled_from(ALPHABET), st.characters()).filter(lambda c: c != token[position]))
    assert read_token(KEYS, token[:position] + other + token[position + 1 :]) is None


def test_a_token_with_any_one_character_changed_is_refused_exhaustively() -> None:
    """A45"""
    token = write_token(KEYS, Generation(new_family(KEYS), 12))
    for position, character in enumerate(token):
        for other in ALPHABET:
            if other != character:
                assert read_token(KEYS, token[:position] + other + token[position + 1 :]) is None


@given(generations, st.integers(0, 10**9))
def test_a_mac_proves_one_generation_only(generation: Generation, number: int) -> None:
    """A45: nobody derives a successor, or an old generation, from a token."""
    family, _, mac = write_token(KEYS, generation).split(".")
    if number != generation.number:
        assert read_token(KEYS, f"{family}.{number}.{mac}") is None


@given(generations)
def test_a_token_of_another_server_is_refused(generation: Generation) -> None:
    """K04"""
    assert read_token(KEYS, write_token(ANOTHER_SERVER, generation)) is None


@given(st.one_of(st.text(), st.text(ALPHABET, min_size=40, max_size=70)))
def test_anything_else_is_no_token_and_no_error(text: str) -> None:
    """I6"""
    assert read_token(KEYS, text) is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda token: token + "\n",
        lambda token: " " + token,
        lambda token: token + "=",
        lambda token: token.replace(".7.", ".07."),
        lambda token: token.replace(".7.", ".+7."),
        lambda token: token.replace(".7.", ".٧."),
        lambda token: token.replace(".7.", "." + "7" * 5000 + "."),
        lambda token: token[:-1],
        lambda token: token + "A",
        lambda token: "gone" + token[4:],
        str.swapcase,
    ],
)
def test_a_token_in_any_other_spelling_is_refused(spoil: object) -> None:
    """A45: one generation has one text."""
    token = write_token(KEYS, Generation(new_family(KEYS), 7))
    assert read_token(KEYS, spoil(token)) is None  # type: ignore[operator]


def test_families_are_never_the_same_and_name_the_key_they_began_with() -> None:
    """A45"""
    families = {new_family(KEYS) for _ in range(10_000)}
    assert len(families) == 10_000
    assert {family[:4] for family in families} == {"Ab3_"}
