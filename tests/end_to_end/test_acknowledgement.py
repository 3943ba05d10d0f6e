"""An operator revokes and waits: until every service has heard of it, or with the names of those that have not."""

from __future__ import annotations

import json
import os
import signal

from dev_process import Dev, wait_until


def verifiers_of(dev: Dev) -> list[dict[str, object]]:
    answer = dev.command("verifiers", "list", "--json")
    assert answer.returncode == 0, answer.stderr
    found: list[dict[str, object]] = json.loads(answer.stdout)
    return found


def test_a_revocation_waits_for_every_verifier_and_names_the_frozen_one(dev: Dev) -> None:
    """DESIGN 8: the exit code says whether the rule is in force everywhere."""
    wait_until(
        lambda: [(each["behind"], each["holds_next_key"]) for each in verifiers_of(dev)] == [("nothing", True)], 10
    )
    (orders,) = verifiers_of(dev)
    assert (orders["resource"], orders["keys"]) == ("orders", 2)

    done = dev.command("revoke", "--user", "alice", "--wait", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["acknowledged"], told["late"]) == (0, 1, [])
    assert told["seconds"] < 2
    assert "acknowledged by 1 of 1 verifiers" in dev.command("revoke", "--user", "alice", "--wait").stdout

    (service,) = dev.processes_of("resource_example")
    os.kill(service, signal.SIGSTOP)
    try:
        failed = dev.command("revoke", "--user", "alice", "--wait", "--patience", "1")
    finally:
        os.kill(service, signal.SIGCONT)
    assert failed.returncode == 1
    assert f"not acknowledged by orders/{orders['instance']}" in failed.stderr
    assert dev.command("revoke", "--user", "alice", "--wait").returncode == 0
