"""User names: two that a reader would take for the same are the same (U14)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.accounts.names import is_acceptable, username_key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Alice", "aLICE"),
        ("ﬁona", "fiona"),
        ("Ａlice", "alice"),
        ("stra\u00dfe", "STRASSE"),
        ("e\u0301mile", "\u00e9mile"),
        ("①", "1"),
        ("\u212bngstr\u00f6m", "\u00e5ngstr\u00f6m"),
    ],
)
def test_names_that_look_the_same_are_the_same(one: str, other: str) -> None:
    """U14"""
    assert username_key(one) == username_key(other)


def test_different_names_are_different() -> None:
    assert len({username_key(name) for name in ("alice", "alicia", "al ice", "alice.", "älice")}) == 5


@given(st.text())
def test_a_key_is_its_own_key(name: str) -> None:
    """U14: what was looked up once is found again."""
    assert username_key(username_key(name)) == username_key(name)


@pytest.mark.parametrize("name", ["a", "alice", "Alice Liddell", "alice@example.com", "名前", "o'brien", "x" * 255])
def test_ordinary_names_are_acceptable(name: str) -> None:
    assert is_acceptable(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        " alice",
        "alice ",
        "a:b",
        "client:demo",
        "a\0b",
        "a\nb",
        "a\tb",
        "\u202egnp",
        "zero\u200bwidth",
        "\ud800",
        "x" * 256,
        "ﷺ" * 255,
    ],
)
def test_names_that_mislead_or_do_not_fit_are_not(name: str) -> None:
    """U14: no colon, for a client's subject has one; and what it is looked up by must fit too."""
    assert not is_acceptable(name)
