"""What an operator does for clients that register themselves, and for pairwise names: the commands of their pages."""

from __future__ import annotations

import json
import re
import secrets
import shlex
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from identity.oauth.registration.policy import RegistrationPolicy

Run = Callable[..., str]
DOCS = Path(__file__).parents[2] / "docs"


def test_the_invitation_of_the_page_is_made_shown_and_withdrawn(run: Run) -> None:
    block = re.search(r"```sh\n(identity invitations .*?)```", (DOCS / "registration.md").read_text(), re.S)
    assert block is not None
    create, show, withdraw = (shlex.split(line)[1:] for line in block[1].splitlines())
    token = json.loads(run(*create, "--json"))["token"]
    assert len(token) == 43
    (row,) = json.loads(run(*show, "--json"))
    assert (row["name"], row["uses_left"], row["hosts"]) == ("partners", 5, ["shop.example"])
    assert token not in json.dumps(row)
    until = datetime.fromisoformat(row["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=6) < until <= timedelta(days=7)
    assert "already an invitation" in run(*create, fails=True)
    run(*withdraw)
    assert json.loads(run(*show, "--json")) == []
    assert "no invitation" in run(*withdraw, fails=True)


def test_the_defaults_of_an_invitation_are_those_of_the_page() -> None:
    rows = re.findall(r"^\| `--[\w-]+` \| .* \| (.*) \|$", (DOCS / "registration.md").read_text(), re.M)
    told = [sorted(re.findall(r"`(\w+)`", row)) for row in rows]
    policy = RegistrationPolicy()
    values = (policy.scopes, policy.grant_types, policy.authentication_methods, policy.hosts)
    assert told == [sorted(each) for each in values]


def test_a63_a_pairwise_client_needs_the_key(run: Run, environment: dict[str, str], tmp_path: Path) -> None:
    metadata = tmp_path / "client.json"
    document = {"redirect_uris": ["https://a.example/cb", "https://b.example/cb"], "subject_type": "pairwise"}
    metadata.write_text(json.dumps(document))
    create = ("clients", "create", "shop", "--metadata", str(metadata))
    assert "needs IDENTITY_PAIRWISE_KEY" in run(*create, fails=True)
    environment["IDENTITY_PAIRWISE_KEY"] = secrets.token_hex(32)
    assert "must name its sector" in run(*create, fails=True)
    metadata.write_text(json.dumps({**document, "sector": "shop.example"}))
    run(*create)


def test_k04_a_client_is_registered_for_an_algorithm_that_some_key_signs_with(run: Run, tmp_path: Path) -> None:
    """Said now, not by a 503 when the first person signs in."""
    metadata = tmp_path / "client.json"
    for member in ("id_token_signed_response_alg", "userinfo_signed_response_alg"):
        metadata.write_text(json.dumps({"redirect_uris": ["https://a.example/cb"], member: "ES256"}))
        assert "No key signs with ES256" in run("clients", "create", "shop", "--metadata", str(metadata), fails=True)
