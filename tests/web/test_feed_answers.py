"""The rules' part of an answer: built once for many, a little at a time, and compressed once for all that end differently."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import zlib
from collections.abc import Iterable, Iterator

import pytest

from identity.feed.picture import Picture
from identity.feed.rules import Head, NumberedRule
from identity.verifier.feed_answers import read_answer
from identity.verifier.rule_columns import split
from identity.web.feed_answers import FeedAnswers


class CountedPicture(Picture):
    """A picture that knows how often it was read."""

    reads = 0

    def since(self, seq: int, now: float) -> Iterator[NumberedRule]:
        CountedPicture.reads += 1
        return super().since(seq, now)


def picture_of(numbers: Iterable[int], epoch: str = "e1") -> Picture:
    rules = [NumberedRule(number, "jti", os.urandom(16), False, 2_000_000_000) for number in numbers]
    return CountedPicture.of(Head(epoch, rules[-1].seq if rules else 0), rules)


@pytest.fixture(autouse=True)
def counting() -> None:
    CountedPicture.reads = 0


class Server:
    """A process that has `picture`, and was sure of it `age` seconds ago."""

    def __init__(self, count: int) -> None:
        self.picture, self.age = picture_of(range(1, count + 1)), 0.0
        self.answers = FeedAnswers(lambda: self.picture, lambda: self.age)

    def revoke(self) -> None:
        number = self.picture.head.seq + 1
        self.picture.apply(NumberedRule(number, "sub", os.urandom(16), True, 2_000_000_000))


@pytest.mark.parametrize("count", [0, 1, 2_000, 2_001, 10_000])
async def test_compressed_and_plain_are_the_same_document(count: int) -> None:
    """RFC 1952: one member, whose checksum and length are right whatever the ending."""
    rules = await Server(count).answers.rules_after(None)
    for rest in (b'"seq":1}', b'"seq":1,"epoch":"another, and longer"}'):
        packed = rules.compressed(rest)
        assert gzip.decompress(packed) == rules.plain(rest)
        unpacking = zlib.decompressobj(wbits=31)
        assert unpacking.decompress(packed) == rules.plain(rest)
        assert unpacking.eof
        assert not unpacking.unused_data
        document = json.loads(rules.plain(rest))
        assert [rule[0] for rule in document["rules"]] == list(range(1, count + 1))


async def test_a_million_verifiers_at_one_cursor_cost_one_building() -> None:
    """DESIGN 8: built once per cursor, also for those that come while it is built."""
    server = Server(5_000)
    found = await asyncio.gather(*(server.answers.rules_after(None) for _ in range(50)))
    found.append(await server.answers.rules_after(None))
    assert len({id(rules) for rules in found}) == 1
    assert CountedPicture.reads == 1


async def test_other_work_goes_on_while_a_large_picture_is_written() -> None:
    """I6: the head of the feed must be confirmed meanwhile, and requests answered."""
    building = asyncio.create_task(Server(50_000).answers.rules_after(None))
    turns = 0
    while not building.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns >= 25


async def test_a_cursor_is_told_of_every_new_rule() -> None:
    server = Server(10)
    assert b"sub" not in (await server.answers.rules_after(Head("e1", 10))).text
    server.revoke()
    rules = await server.answers.rules_after(Head("e1", 10))
    assert (rules.head.seq, rules.text.count(b'"sub"')) == (11, 1)


async def test_a_whole_picture_is_given_out_a_second_longer_and_says_how_far_it_goes() -> None:
    """Fifty services that start together, while people log out, do not have it built fifty times."""
    server = Server(10)
    first = await server.answers.rules_after(None)
    server.revoke()
    assert await server.answers.rules_after(None) is first
    assert first.head == Head("e1", 10)


async def test_an_older_picture_is_not_given_out_as_if_it_were_new() -> None:
    """`as_of_age` counts from when it was complete; what is older than a second is built anew."""
    server = Server(10)
    server.age = 1.5
    first = await server.answers.rules_after(None)
    server.revoke()
    second = await server.answers.rules_after(None)
    assert (first.head.seq, second.head.seq) == (10, 11)
    server.picture = picture_of([1], epoch="e2")
    assert (await server.answers.rules_after(None)).head == Head("e2", 1)


async def test_an_answer_is_as_young_as_the_last_confirmation_while_no_rule_comes() -> None:
    """DESIGN 8: or else every verifier of a quiet installation calls its picture stale after a minute, and refuses, or asks."""
    server = Server(10)
    server.age = 1.5
    for cursor in (None, Head("e1", 10)):
        first = await server.answers.rules_after(cursor)
        server.age = 0.25
        assert await server.answers.rules_after(cursor) is first
        assert server.answers.age_of(first) == 0.25
        server.age = 1.5


async def test_an_answer_that_lacks_a_rule_is_as_old_as_its_writing() -> None:
    server = Server(10)
    server.age = 1.5
    first = await server.answers.rules_after(None)
    server.revoke()
    server.age = 0.0
    assert server.answers.age_of(first) >= 1.5


@pytest.mark.parametrize("count", [0, 1, 2_000, 2_001, 10_000])
async def test_columns_tell_the_same_rules_as_rows(count: int) -> None:
    """DESIGN 8: as our own verifier reads them."""
    server = Server(count)
    for _ in range(3):
        server.picture.apply(NumberedRule(server.picture.head.seq + 1, "kid", os.urandom(16), False, None))
        server.revoke()
    for cursor in (None, Head("e1", count // 2)):
        rest = b'"epoch":"e1","seq":99999,"snapshot":true,"as_of_age":0,"jwks_version":"x"}'
        rows, columns = [
            read_answer((await server.answers.rules_after(cursor, columns=form)).plain(rest)) for form in (False, True)
        ]
        told = {
            (block.kind, number, digest)
            for block in columns.columns
            for number, digest in zip(block.numbers, split(block.digests), strict=True)
        }
        assert told == {(rule.kind, rule.seq, rule.digest) for rule in rows.rules}
        assert len(told) == len(columns) == len(rows)
        assert all(block.expires_at is None for block in columns.columns if block.kind == "kid")
        assert columns.rules == rows.columns == ()


async def test_no_rule_in_columns_expires_before_its_time() -> None:
    """V12: they share the latest time of their block."""
    server = Server(0)
    for number, expires_at in enumerate((2_000_000_009, 2_000_000_005), 1):
        server.picture.apply(NumberedRule(number, "jti", os.urandom(16), False, expires_at))
    document = json.loads((await server.answers.rules_after(None, columns=True)).plain(b'"seq":1}'))
    (block,) = document["columns"]
    assert (block["expires_at"], block["seqs"]) == (2_000_000_009, [1, 1])


async def test_each_form_is_built_once() -> None:
    server = Server(5_000)
    for _ in range(3):
        rows, columns = [await server.answers.rules_after(None, columns=form) for form in (False, True)]
        assert rows.text.startswith(b'{"rules":[[')
        assert columns.text.startswith(b'{"columns":[{')
    assert CountedPicture.reads == 2
    assert len(columns.text) / 5_000 < 25
    assert len(columns.compressed(b"}")) / 5_000 < 17
