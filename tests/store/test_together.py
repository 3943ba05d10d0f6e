"""One read for all who ask for what is not known yet."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from identity.feed.stores import StoreUnavailableError
from identity.store.together import Together


class Table:
    """Reads are answered when the test says so."""

    def __init__(self, **rows: str) -> None:
        self.rows = rows
        self.reads: list[list[str]] = []
        self.may_answer = asyncio.Event()
        self.is_away = False

    async def read(self, keys: Sequence[str]) -> Mapping[str, str]:
        self.reads.append(list(keys))
        seen = dict(self.rows)
        await self.may_answer.wait()
        if self.is_away:
            raise StoreUnavailableError("The table", "away")
        if "impossible" in keys:
            raise ValueError("no such key can be")
        return {key: seen[key] for key in keys if key in seen}


async def test_whoever_asks_while_a_read_is_under_way_shares_the_next_one() -> None:
    """A35, I6: a thousand invented names take two reads, one after the other."""
    table = Table(known="row")
    names = Together(table.read)
    asked = [asyncio.create_task(names.get(f"invented-{number}")) for number in range(300)]
    asked.append(asyncio.create_task(names.get("known")))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    late = asyncio.create_task(names.get("late"))
    await asyncio.sleep(0)
    table.rows["late"] = "made after the first read began"
    table.may_answer.set()
    assert [await each for each in asked] == [None] * 300 + ["row"]
    assert await late == "made after the first read began"
    assert len(table.reads) == 2


async def test_a_failure_reaches_all_who_asked_and_nobody_after_them() -> None:
    """I5, I7."""
    table = Table(known="row")
    names = Together(table.read)
    table.is_away = True
    table.may_answer.set()
    outcomes = await asyncio.gather(names.get("known"), names.get("other"), return_exceptions=True)
    assert {type(each) for each in outcomes} == {StoreUnavailableError}
    table.is_away = False
    assert await names.get("known") == "row"


async def test_a_key_that_cannot_be_asked_for_spoils_no_other_answer() -> None:
    """I3, I6."""
    table = Table(known="row")
    table.may_answer.set()
    names = Together(table.read)
    outcomes = await asyncio.gather(names.get("known"), names.get("impossible"), return_exceptions=True)
    assert outcomes[0] == "row"
    assert isinstance(outcomes[1], ValueError)


async def test_whoever_leaves_takes_the_answer_from_nobody() -> None:
    """F07."""
    table = Table(known="row")
    names = Together(table.read)
    leaving, staying = (asyncio.create_task(names.get("known")) for _ in range(2))
    await asyncio.sleep(0.01)
    leaving.cancel()
    table.may_answer.set()
    assert await staying == "row"
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_too_many_who_wait_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """I6: no unbounded queue."""
    from identity.store import together

    monkeypatch.setattr(together, "_MAX_WAITING", 3)
    table = Table()
    names = Together(table.read)
    asked = [asyncio.create_task(names.get(str(number))) for number in range(10)]
    await asyncio.sleep(0.01)
    table.may_answer.set()
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(each, StoreUnavailableError) for each in outcomes) >= 4
    assert None in outcomes
