"""The table of attacks: each says what it is, and each differs from a good token in what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from identity.checking.attacks.attack import Attack, Level
from identity.checking.attacks.table import GROUPS, SCOPES
from identity.checking.material import Material, bearer
from identity.testing.keys import signing_key

ATTACKS = [*(attack for _, attacks in GROUPS for attack in attacks), *SCOPES]
FOLDER = Path(__file__).parents[2] / "identity/checking/attacks"


@pytest.fixture(scope="module")
def material() -> Material:
    return Material(
        issuer="http://127.0.0.1:9400",
        audience="https://orders.example",
        subject="alice",
        scopes=("orders:read",),
        revision=3,
        now=1_794_000_000,
        key=signing_key(1),
        other=signing_key(2),
        stranger=signing_key(0),
        elsewhere="http://127.0.0.1:1",
    )


def test_names_are_unique_and_stay():
    names = [attack.name for attack in ATTACKS]
    assert len(set(names)) == len(names) > 130
    assert {"alg-none", "hs256-with-the-pem", "aud-missing", "jku-elsewhere", "token-in-the-query"} <= set(names)


def test_no_attack_was_written_and_forgotten():
    written = {
        name.replace("_", "-")
        for path in FOLDER.glob("*.py")
        for name in re.findall(r"^def ([a-z]\w*)\(\w+: Material\)", path.read_text(encoding="utf-8"), re.M)
    }
    assert written == {attack.name for attack in ATTACKS}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_says_what_it_sends_and_sends_it(attack: Attack, material: Material):
    assert attack.says
    assert re.fullmatch(r"V(0[1-9]|1[0-9]|20)", attack.line)
    assert isinstance(attack.level, Level)
    assert not {200, 201, 204} & set(attack.refused_by)
    request = attack.request(material)
    assert all(value.encode("latin-1") and "\n" not in value for _, value in request.headers)


def test_good_tokens_differ_from_one_another(material):
    """A service may remember tokens it has seen: no attack may ride on another's."""
    assert bearer(material.token()) != bearer(material.token())
