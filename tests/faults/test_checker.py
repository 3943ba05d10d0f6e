"""The checker itself: each invariant is broken once by hand, and once by a server with a bug on purpose."""

from __future__ import annotations

import asyncio
import signal
import time
from dataclasses import dataclass

import pytest
from crowd import Crowd, Mix
from failpoints import AFTER
from history import Fault, History, Kind, Operation, Outcome
from invariants import Checker, Promises
from laboratory import Installation, installation
from replicas import Replica

WINDOW = 1.0
PROMISES = Promises(window=WINDOW)


def operation(kind: Kind, began: float, outcome: Outcome = Outcome.OK, session: str = "s", **more) -> Operation:
    """One that took a tenth of a second."""
    if kind is Kind.LOGIN:
        more = {"received": f"{session}0", "owner": (session, "web", session), "person": session, **more}
    return Operation(kind, session, "one", began, began + 0.1, outcome, **more)


def history(*operations: Operation, faults: tuple[Fault, ...] = ()) -> History:
    return History([operation(Kind.LOGIN, 0), *operations], list(faults))


def broken(*operations: Operation, faults: tuple[Fault, ...] = ()) -> list[str]:
    """The invariants that the checker finds broken."""
    return [violation.invariant for violation in Checker(history(*operations, faults=faults), PROMISES).violations]


def refreshed(began: float, presented: str, received: str, kind: Kind = Kind.REFRESH) -> Operation:
    return operation(kind, began, presented=presented, received=received, owner=("s", "web", "s"))


ENDED = operation(Kind.END, 5)
REFUSED = Outcome.REFUSED


def test_a_session_that_goes_well_breaks_nothing():
    assert not broken(
        refreshed(1, "s0", "s1"),
        refreshed(1.2, "s0", "s1"),
        operation(Kind.VERIFY, 2),
        ENDED,
        operation(Kind.VERIFY, 6),
        operation(Kind.REFRESH, 6, REFUSED, presented="s1"),
        operation(Kind.VERIFY, 8, REFUSED),
    )


def test_i1_two_successors_are_a_fork():
    assert broken(refreshed(1, "s0", "s1"), refreshed(1.2, "s0", "other")) == ["I1"]
    assert broken(refreshed(1, "s0", "s1"), refreshed(1.2, "s1", "s1")) == ["I1"]


@pytest.mark.parametrize("kind", [Kind.REFRESH, Kind.VERIFY, Kind.INTROSPECT])
def test_i2_what_has_ended_is_accepted_nowhere_beyond_the_bound(kind):
    assert "I2" in broken(ENDED, operation(kind, 7.2, presented="s0", received="s1"))


def test_i2_a_replay_gets_nothing_and_ends_the_session():
    assert broken(refreshed(1, "s0", "s1"), refreshed(3, "s0", "s1", Kind.REPLAY)) == ["I2"]
    replayed = operation(Kind.REPLAY, 3, REFUSED, presented="s0")
    assert broken(refreshed(1, "s0", "s1"), replayed, refreshed(4, "s1", "s2")) == ["I2"]


def test_i2_a_store_that_was_set_back_excuses_for_a_second():
    fault = Fault("set back", 6, 7, forgets=4)
    assert not broken(ENDED, refreshed(7.5, "s0", "s1"), faults=(fault,))
    assert broken(ENDED, refreshed(8.5, "s0", "s1"), faults=(fault,)) == ["I2"]


def test_i1_without_a_retry_window_a_token_is_used_once():
    twice = history(refreshed(1, "s0", "s1"), refreshed(1.02, "s0", "s1"))
    assert [each.invariant for each in Checker(twice, Promises(window=0)).violations] == ["I1"]
    refused = history(operation(Kind.REFRESH, 1, REFUSED, presented="s0"), refreshed(1.02, "s0", "s1"))
    assert not Checker(refused, Promises(window=0)).violations


def test_i3_an_answer_for_somebody_else_is_found():
    assert broken(operation(Kind.REFRESH, 1, presented="s0", received="s1", owner=("other", "web", "s"))) == ["I3"]
    assert broken(operation(Kind.LOGIN, 1, session="t", owner=("s", "web", "t"))) == ["I3"]


def test_i4_a_retry_in_time_is_never_refused():
    unclear = operation(Kind.REFRESH, 1, Outcome.ABANDONED, presented="s0")
    assert broken(unclear, operation(Kind.REFRESH, 1.5, REFUSED, presented="s0")) == ["I4"]
    late = Checker(history(unclear, operation(Kind.REFRESH, 4, REFUSED, presented="s0")), PROMISES)
    assert (late.violations, late.late_retries) == ([], 1)


def test_i4_a_session_may_be_lost_only_with_its_login():
    refused = operation(Kind.REFRESH, 3, REFUSED, presented="s0")
    assert not broken(refused, faults=(Fault("flush", 2, 2, forgets=float("-inf"), recovers=False),))
    assert broken(refused, faults=(Fault("set back", 2, 2.5, forgets=1, recovers=False),)) == ["I4"]


def test_i5_a_service_never_refuses_a_valid_token():
    assert broken(operation(Kind.VERIFY, 1, REFUSED)) == ["I5"]


def test_i5_what_needs_a_store_is_closed_while_it_is_away():
    fault = Fault("Redis away", 1, 9, closes=frozenset({Kind.REFRESH}), recovers=False)
    assert not broken(refreshed(2, "s0", "s1"), faults=(fault,))
    assert broken(refreshed(4, "s0", "s1"), faults=(fault,)) == ["I5"]


def test_i6_an_internal_error_a_long_wait_and_silence_are_found():
    assert broken(operation(Kind.REFRESH, 1, Outcome.BROKEN)) == ["I6"]
    assert broken(operation(Kind.REFRESH, 1, Outcome.UNCLEAR)) == ["I6"]
    slow = Operation(Kind.REFRESH, "s", "one", 1, 30, Outcome.UNAVAILABLE)
    assert broken(slow) == ["I6"]
    killed = Fault("replica killed", 1, 2, cuts=True, recovers=False)
    assert not broken(operation(Kind.REFRESH, 1, Outcome.UNCLEAR), faults=(killed,))


def test_i7_a_server_that_does_not_come_back_is_found():
    fault = Fault("Redis away", 1, 2)
    away = operation(Kind.REFRESH, 3, Outcome.UNAVAILABLE, presented="s0")
    assert broken(away, faults=(fault,)) == ["I7"]
    assert broken(away, refreshed(20, "s0", "s1"), faults=(fault,)) == ["I7"]
    assert not broken(away, refreshed(8, "s0", "s1"), faults=(fault,))


@dataclass(frozen=True)
class Trouble:
    """What brings a bug to light: a load, and how often a server dies just after it told Redis of a rule."""

    bug: str
    mix: Mix
    kills: int
    found_by: str
    window: float = WINDOW


TROUBLES = [
    Trouble("rotation_is_not_atomic", Mix(twins=0.5, end=0.1), 0, "I1", window=0),
    Trouble("revocation_is_in_memory_only", Mix(end=0.2, introspect=0.3), 0, "I2"),
    Trouble("rule_is_appended_before_the_commit", Mix(end=0.6, sessions=2), 5, "I2"),
    Trouble("retries_have_no_bound", Mix(end=0.1, pause=0.01), 0, "I6"),
]


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.bug)
async def test_a_planted_bug_is_found(trouble, tmp_path, made_keys, choice):
    """Must show 6."""
    found = await history_of([trouble], trouble.bug, tmp_path, made_keys, choice)
    violations = Checker(found, Promises(trouble.window)).violations
    assert trouble.found_by in {each.invariant for each in violations}, violations[:5]


@pytest.mark.parametrize("window", [0, WINDOW])
async def test_without_a_bug_nothing_is_found_in_the_same_troubles(window, tmp_path, made_keys, choice):
    """Must show 6, the other half."""
    troubles = [trouble for trouble in TROUBLES if trouble.window == window]
    found = await history_of(troubles, "", tmp_path, made_keys, choice)
    assert not Checker(found, Promises(window)).violations


async def history_of(troubles: list[Trouble], bug: str, folder, keys, choice) -> History:
    found = History()
    settings = {"IDENTITY_REFRESH_RETRY_WINDOW": str(troubles[0].window)}
    async with installation(folder, keys, settings=settings, start=False) as lab:
        await asyncio.gather(*(each.start(bug=bug) for each in lab.replicas))
        verifiers = await lab.verifiers(2)
        for trouble in troubles:
            await happen(trouble, lab, verifiers, bug, found, choice)
    return found


async def happen(trouble: Trouble, lab: Installation, verifiers, bug: str, found: History, choice) -> None:
    servers = [each.url for each in lab.replicas]
    settings = {"mix": trouble.mix, "window": trouble.window, "credential": lab.credential}
    async with Crowd(found, servers, verifiers, choice, **settings, workers=6) as crowd:
        await crowd.until(lambda: found.count(Kind.END, outcome=Outcome.OK) > 10)
        for _ in range(trouble.kills):
            await kill_after_append(lab.replicas[0], crowd, bug, found, choice)
        if trouble.mix.pause:
            await silence(lab, found)
        ends = found.count(Kind.END)
        await crowd.until(lambda: found.count(Kind.END) > ends + 10)
        await crowd.finish()


async def kill_after_append(server: Replica, crowd: Crowd, bug: str, found: History, choice) -> None:
    began = time.monotonic()
    await server.kill()
    await server.start(bug=bug, failpoint=("append", AFTER, choice.randint(1, 5)))
    await crowd.until(lambda: not server.is_alive)
    await server.start(bug=bug)
    found.faults.append(Fault("killed after it told Redis", began, time.monotonic(), cuts=True))


async def silence(lab: Installation, found: History) -> None:
    began = time.monotonic()
    lab.valkey.send(signal.SIGSTOP)
    await asyncio.sleep(4.0)
    lab.valkey.send(signal.SIGCONT)
    found.faults.append(Fault("Redis is silent", began, time.monotonic()))
