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
    assert "holds keys for ES256 already" in run("keys", "add", "ES256", fails=True)
    before = json.loads(run("keys", "list", "--json"))
    assert [(each["alg"], each["state"]) for each in before] == [
        ("RS256", "current"),
        ("RS256", "next"),
        ("ES256", "next"),
    ]
    assert "may not sign yet" in run("keys", "rotate", "--alg", "ES256", fails=True)
    rotated = json.loads(run("keys", "rotate", "--alg", "ES256", "--force", "--json"))
    assert rotated["signing"] == {"RS256": before[0]["kid"], "ES256": added["next"]}
    run(*create)
    (reports,) = [each for each in json.loads(run("resources", "list", "--json")) if each["name"] == "reports"]
    assert reports["signing_alg"] == "ES256"
    assert f"signs now, {json.loads(run('keys', 'list', '--json'))[3]['kid']} with ES256" in run(
        "keys", "rotate", "--force"
    )


def test_v01_an_algorithm_that_is_none_is_refused_in_one_sentence(run: Run) -> None:
    for words in (
        ("keys", "add", "HS256"),
        ("keys", "rotate", "--alg", "none"),
        ("resources", "create", "r", "https://r.example", "--signing-alg", "es256"),
    ):
        told = run(*words, fails=True)
        assert "no algorithm" in told or "holds no key for" in told
        assert told.count("\n") == 1
