"""A23: RFC 7636."""

from __future__ import annotations

import pytest

from identity.oauth.pkce import answers, is_challenge, is_verifier

VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_a23_the_example_of_the_specification() -> None:
    """RFC 7636 appendix B."""
    assert answers(VERIFIER, CHALLENGE)
    assert is_verifier(VERIFIER)
    assert is_challenge(CHALLENGE)


@pytest.mark.parametrize(
    "verifier", ["", "x" * 43, VERIFIER + "x", VERIFIER[:-1], CHALLENGE, "\u00e9" * 43, "\ud800" * 43]
)
def test_a23_another_verifier_does_not_answer(verifier: str) -> None:
    assert not answers(verifier, CHALLENGE)


@pytest.mark.parametrize(
    "text", ["", "x" * 42, "x" * 129, "x" * 43 + "\n", "x" * 42 + "+", "x" * 42 + "=", "\u00e9" * 43]
)
def test_a23_a_verifier_has_43_to_128_unreserved_characters(text: str) -> None:
    assert not is_verifier(text)
    assert is_verifier("x" * 43)
    assert is_verifier("aZ09-._~" * 16)


@pytest.mark.parametrize("text", ["", "x" * 42, "x" * 44, "x" * 43 + "\n", "x" * 42 + "=", "x" * 42 + "."])
def test_a24_a_challenge_is_a_sha256(text: str) -> None:
    assert not is_challenge(text)
