"""Password hashing: nothing is cut off, nothing is learnt from the time, and a flood is turned away (U01, U05)."""

import asyncio
import os
import threading
import time

import pytest
from argon2 import PasswordHasher, extract_parameters
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from identity.accounts.passwords import (
    MAX_CHARACTERS,
    MIN_CHARACTERS,
    Passwords,
    TooBusyError,
    is_acceptable,
    normalised,
)


async def test_a_password_matches_its_hash_and_no_other(passwords: Passwords) -> None:
    stored = await passwords.hash("correct horse")
    assert await passwords.verify(stored, "correct horse")
    for wrong in ("correct horsf", "Correct horse", "correct horse ", " correct horse", ""):
        assert not await passwords.verify(stored, wrong)


async def test_hashes_are_argon2id_with_owasps_parameters_and_their_own_salt(passwords: Passwords) -> None:
    """U01"""
    first, second = await passwords.hash("same"), await passwords.hash("same")
    assert first != second
    assert first.startswith("$argon2id$")
    parameters = extract_parameters(first)
    assert (parameters.memory_cost, parameters.time_cost, parameters.parallelism) == (19 * 1024, 2, 1)


async def test_no_part_of_a_long_password_is_ignored(passwords: Passwords) -> None:
    """U01: bcrypt stops at 72 bytes, others at NUL."""
    for common in ("x" * 72, "y" * (MAX_CHARACTERS - 1), "before NUL\0"):
        stored = await passwords.hash(common + "1")
        assert await passwords.verify(stored, common + "1")
        assert not await passwords.verify(stored, common + "2")
        assert not await passwords.verify(stored, common)


async def test_two_keyboards_that_type_the_same_characters_agree(passwords: Passwords) -> None:
    """U01: NFC is the stated policy; nothing else is changed."""
    composed, decomposed = "pass-\u00e9\u00e5", "pass-e\u0301a\u030a"
    assert await passwords.verify(await passwords.hash(decomposed), composed)
    assert await passwords.verify(await passwords.hash(composed), decomposed)
    assert not await passwords.verify(await passwords.hash("ﬁfteen letters"), "fifteen letters"), "never NFKC"


@given(st.text())
def test_normalising_twice_changes_nothing(text: str) -> None:
    assert normalised(normalised(text)) == normalised(text)


@given(st.text(max_size=MAX_CHARACTERS))
def test_any_password_of_the_right_length_is_acceptable(text: str) -> None:
    """U01: no composition rules."""
    assert is_acceptable(text) == (MIN_CHARACTERS <= len(normalised(text)) <= MAX_CHARACTERS)


async def test_without_an_account_the_same_work_is_done(passwords: Passwords) -> None:
    """U05: measured as CPU time of the pool's threads, which other load does not change."""
    stored = await passwords.hash("some password")

    async def cpu(stored: str | None) -> float:
        before = time.process_time()
        for _ in range(8):
            assert not await passwords.verify(stored, "wrong password")
        return time.process_time() - before

    known, unknown = await cpu(stored), await cpu(None)
    assert unknown > known / 2
    assert unknown > 8 * 0.004, "an argon2 with 19 MiB cannot be quicker"


async def test_nothing_matches_where_nothing_is_stored(passwords: Passwords) -> None:
    """U05: not even the decoy's own password."""
    assert not await passwords.verify(None, "")
    assert not await passwords.verify(None, "anything")


@pytest.mark.parametrize("stored", ["", "plain text", "$argon2id$v=19$m=19456", "$2b$12$" + "a" * 53, "\0"])
async def test_a_stored_value_that_is_no_hash_matches_nothing(passwords: Passwords, stored: str) -> None:
    """I6"""
    assert not await passwords.verify(stored, "password")


async def test_a_password_that_is_no_text_matches_nothing(passwords: Passwords) -> None:
    """I6: a lone surrogate cannot be encoded."""
    assert not await passwords.verify(await passwords.hash("password"), "pass\ud800word")
    assert not await passwords.verify(None, "pass\ud800word")
    assert not is_acceptable("pass\ud800word")


async def test_an_endless_password_is_refused_at_the_same_cost(passwords: Passwords) -> None:
    """U01"""
    stored = await passwords.hash("password")
    started = time.monotonic()
    assert not await passwords.verify(stored, "x" * 60_000)
    assert time.monotonic() - started < 5


async def test_a_hash_with_older_parameters_is_to_be_renewed(passwords: Passwords) -> None:
    """U01"""
    old = PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1).hash("password")
    assert passwords.needs_rehash(old)
    assert await passwords.verify(old, "password")
    assert not passwords.needs_rehash(await passwords.hash("password"))


async def test_more_logins_than_the_queue_takes_are_turned_away_at_once() -> None:
    """U04, I6: a flood of logins does not pile up."""
    passwords = Passwords(threads=1, queue=4)
    outcomes = await asyncio.gather(*(passwords.verify(None, "x") for _ in range(50)), return_exceptions=True)
    assert [isinstance(outcome, TooBusyError) for outcome in outcomes] == [False] * 5 + [True] * 45
    assert await passwords.verify(None, "x") is False
    passwords.close()


async def test_callers_that_gave_up_free_their_places() -> None:
    """I6: whoever disconnects takes nobody's place for ever."""
    passwords = Passwords(threads=1, queue=4)
    for _ in range(5):
        waiting = [asyncio.create_task(passwords.verify(None, "x")) for _ in range(5)]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    assert await passwords.verify(None, "x") is False
    passwords.close()


async def test_the_event_loop_goes_on_while_passwords_are_hashed(passwords: Passwords) -> None:
    """U04: a login flood must not starve refreshes."""
    flood = asyncio.gather(*(passwords.hash("x") for _ in range(10)))
    turns = 0
    while not flood.done():
        await asyncio.sleep(0)
        turns += 1
    await flood
    assert turns > 100


async def test_hashing_threads_run_at_the_lowest_priority(passwords: Passwords) -> None:
    await asyncio.gather(*(passwords.verify(None, "x") for _ in range(4)))
    pool = [thread for thread in threading.enumerate() if thread.name.startswith("passwords")]
    nice = {os.getpriority(os.PRIO_PROCESS, thread.native_id or 0) for thread in pool}
    assert nice == {19}
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) < 19


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(max_size=200))
def test_every_password_verifies_against_its_own_hash(text: str) -> None:
    """U01: used as received."""
    passwords = Passwords(threads=1)

    async def both() -> bool:
        return await passwords.verify(await passwords.hash(text), text)

    assert asyncio.run(both())
    passwords.close()
