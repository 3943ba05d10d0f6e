"""Keys of several algorithms from a shell: added, promoted, chosen for a resource."""

from __future__ import annotations

import json
from collections.abc import Callable

Run = Callable[..., str]


def test_k01_an_algorithm_is_added_promoted_and_only_then_chosen(run: Run) -> None:
    create = ("resources", "create", "reports", "https://reports.example", "--signing-alg", "ES256")
    assert "No key signs with ES256; `identity keys list` shows which do" in run(*create, fails=True)
    added = json.loads(run("keys", "add", "ES256", "--json"))
    assert (added["alg"], added["version"]) == ("ES256", 2)
    assert "No key signs with ES256" in run(*create, fails=True), "it is published only"
    told = run("keys", "rotate", "--alg", "ES256", "--force")
    assert f"signs now, {added['next']} with ES256." in told
    run(*create)
    (reports,) = [each for each in json.loads(run("resources", "list", "--json")) if each["name"] == "reports"]
    assert reports["signing_alg"] == "ES256"
    assert [(each["alg"], each["state"]) for each in json.loads(run("keys", "list", "--json"))] == [
        ("RS256", "current"),
        ("RS256", "next"),
        ("ES256", "current"),
        ("ES256", "next"),
    ]


def test_v01_an_algorithm_that_is_none_is_refused_in_one_sentence(run: Run) -> None:
    told = run("keys", "add", "HS256", fails=True)
    assert told == "identity: There is no algorithm 'HS256'; there are RS256, PS256, ES256, EdDSA.\n"
