"""The picture of the feed: what a rule matches, and which answers continue it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
from fake_issuer import FakeIssuer, b64

from identity.verifier import InvalidToken, Verifier
from identity.verifier.feed_answers import FeedAnswer, FeedOutOfStep, FeedRule, read_answer
from identity.verifier.judging import Seen, check_revoked
from identity.verifier.profile import RuleKind, rule_digest
from identity.verifier.revocations import Picture

NOW = 1_700_000_000


def rule(seq: int, value: str = "x", kind: str = "jti", expires_at: int | None = NOW + 900) -> FeedRule:
    return FeedRule(seq, kind, rule_digest(kind, value), expires_at)  # type: ignore[arg-type]


def answer(*rules: FeedRule, seq: int, epoch: str = "e", snapshot: bool = False) -> FeedAnswer:
    return FeedAnswer(epoch, seq, snapshot, 0.0, "v", rules)


def picture_at(seq: int, *rules: FeedRule) -> Picture:
    picture = Picture(lambda digest: None)
    picture.apply(answer(*rules, seq=seq, snapshot=True), NOW)
    return picture


def revokes(picture: Picture, revision: int, value: str = "x") -> bool:
    return picture.revokes(revision, [rule_digest(RuleKind.TOKEN, value)])


def test_rule_matches_tokens_older_than_itself_only() -> None:
    """V12: by number, not by time."""
    picture = picture_at(5, rule(5))
    assert revokes(picture, 4)
    assert not revokes(picture, 5)
    assert not revokes(picture, 4, "y")


async def test_token_is_looked_at_again_when_a_rule_arrived_during_the_look(
    verifier: Verifier, issuer: FakeIssuer
) -> None:
    """V12: told here by digests that bring the rule themselves, where a thread would."""
    picture = picture_at(5, rule(5, "other"))

    class Meanwhile(tuple[bytes, ...]):
        def __iter__(self) -> Iterator[bytes]:
            yield from super().__iter__()
            picture.apply(answer(rule(6), seq=6), NOW)

    digests = Meanwhile([rule_digest(RuleKind.TOKEN, "x")])
    seen = Seen(await verifier.verify(issuer.mint()), 0.0, 0, (picture.kinds, digests))
    check_revoked(picture, seen, "http://orders.example")
    assert seen.checked != picture.version
    seen.digests = picture.kinds, tuple(tuple.__iter__(digests))
    with pytest.raises(InvalidToken):
        check_revoked(picture, seen, "http://orders.example")


def test_newest_rule_for_a_name_counts() -> None:
    """V12"""
    picture = picture_at(5, rule(5))
    picture.apply(answer(rule(9), seq=9), NOW)
    assert revokes(picture, 8)


def test_numbers_may_be_missing_between_rules() -> None:
    """Expired rules are not sent, and some numbers concern servers only."""
    picture = picture_at(5, rule(5))
    picture.apply(answer(rule(8), rule(11, "y"), seq=14), NOW)
    assert picture.cursor == "e.14"


@pytest.mark.parametrize(
    "broken",
    [
        answer(seq=4),
        answer(rule(5), seq=6),
        answer(rule(3), rule(6), seq=6),
        answer(rule(6), seq=6, epoch="other"),
    ],
    ids=["head goes back", "rule sent twice", "rule from before the cursor", "other history"],
)
def test_answer_that_does_not_continue_the_picture_changes_nothing(broken: FeedAnswer) -> None:
    """V12"""
    picture = picture_at(5, rule(5))
    before = picture.version
    with pytest.raises(FeedOutOfStep):
        picture.apply(broken, NOW)
    assert (picture.cursor, picture.version, len(picture)) == ("e.5", before, 1)


def test_snapshot_replaces_the_picture() -> None:
    picture = picture_at(5, rule(5))
    picture.apply(answer(rule(2, "y"), seq=3, epoch="f", snapshot=True), NOW)
    assert picture.cursor == "f.3"
    assert not revokes(picture, 0, "x")
    assert revokes(picture, 1, "y")
    assert picture.head == 2


def test_withdrawn_kids_are_told_and_not_forgotten_by_a_snapshot() -> None:
    """K06"""
    told: list[bytes] = []
    picture = Picture(told.append)
    picture.apply(answer(rule(1, "k", "kid", None), seq=1, snapshot=True), NOW)
    assert told == [rule_digest(RuleKind.KEY, "k")]
    assert len(picture) == 0


def test_rule_of_an_unknown_kind_is_kept_and_counted_and_matches_nothing() -> None:
    picture = picture_at(2, rule(1, "x", "planet"), rule(2, "y"))
    assert (picture.unknown_kinds, len(picture)) == (1, 2)
    assert not revokes(picture, 0, "x")


def test_rules_are_dropped_after_the_last_token_they_can_match() -> None:
    picture = picture_at(3, rule(1, "soon", expires_at=NOW + 10), rule(2, "never", expires_at=None), rule(3, "late"))
    picture.apply(answer(seq=4), NOW + 60)
    assert len(picture) == 3  # our clock may be ahead
    picture.apply(answer(seq=5), NOW + 200)
    assert len(picture) == 2
    picture.apply(answer(seq=6), NOW + 10_000)
    assert len(picture) == 1
    assert revokes(picture, 0, "never")


def test_rule_repeated_with_a_shorter_life_does_not_end_the_longer_one() -> None:
    picture = picture_at(1, rule(1, expires_at=None))
    picture.apply(answer(rule(2, expires_at=NOW + 10), seq=2), NOW)
    picture.apply(answer(seq=3), NOW + 10_000)
    assert revokes(picture, 0)


def test_picture_of_many_rules_is_built_and_asked_quickly() -> None:
    rules = tuple(rule(seq, str(seq)) for seq in range(1, 50_001))
    began = time.perf_counter()
    picture = picture_at(50_000, *rules)
    assert all(revokes(picture, 0, str(seq)) for seq in range(1, 50_001, 50))
    assert time.perf_counter() - began < 5


WIRE = {"epoch": "e", "seq": 42, "snapshot": False, "as_of_age": 0.12, "jwks_version": "abc"}
DIGEST = b64(rule_digest(RuleKind.TOKEN, "x"))


def test_answer_is_read() -> None:
    rules = [[41, "jti", DIGEST, NOW], [42, "kid", DIGEST, None]]
    read = read_answer(json.dumps({**WIRE, "rules": rules, "later": "more"}).encode())
    assert read.rules == (rule(41, expires_at=NOW), FeedRule(42, "kid", rule_digest(RuleKind.TOKEN, "x"), None))
    assert (read.epoch, read.seq, read.snapshot, read.as_of_age, read.jwks_version) == ("e", 42, False, 0.12, "abc")


@pytest.mark.parametrize(
    "change",
    [
        {"epoch": 1},
        {"seq": -1},
        {"seq": True},
        {"seq": 1.5},
        {"snapshot": 1},
        {"as_of_age": -1},
        {"as_of_age": "0"},
        {"as_of_age": True},
        {"as_of_age": float("nan")},
        {"jwks_version": None},
        {"rules": None},
        {"rules": [1]},
        {"rules": [[]]},
        {"rules": [[41, "jti", DIGEST]]},
        {"rules": [[41, "jti", "AAAA", NOW]]},
        {"rules": [[41, "jti", "\u20ac", NOW]]},
        {"rules": [["41", "jti", DIGEST, NOW]]},
        {"rules": [[41, None, DIGEST, NOW]]},
        {"rules": [[41, "jti", DIGEST, "soon"]]},
        {"rules": [[42, "jti", DIGEST, NOW], [41, "jti", DIGEST, NOW]]},
        {"rules": [[41, "jti", DIGEST, NOW], [41, "jti", DIGEST, NOW]]},
        {"rules": [[43, "jti", DIGEST, NOW]]},
        {"rules": [[2**63, "jti", DIGEST, NOW]], "seq": 2**64},
    ],
    ids=repr,
)
def test_malformed_answer_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(FeedOutOfStep):
        read_answer(json.dumps({**WIRE, "rules": [], **change}).encode())


def block(kind: str = "jti", expires_at: int | None = NOW + 900, **seqs: int) -> dict[str, object]:
    """A block of rules about the names given, with the numbers given."""
    numbers = [*seqs.values()]
    digests = b"".join(rule_digest(kind, name) for name in seqs)  # type: ignore[arg-type]
    steps = [numbers[0], *(later - earlier for earlier, later in pairwise(numbers))]
    return {"kind": kind, "expires_at": expires_at, "seqs": steps, "digests": b64(digests)}


def in_columns(*blocks: object, **change: object) -> bytes:
    return json.dumps({**WIRE, "columns": blocks, **change}).encode()


def test_rules_in_columns_are_those_in_rows() -> None:
    """V12: rules of one kind stand together, and expire when the last of them does."""
    body = in_columns(block(x=3, y=7, later=41), block("sub", None, x=40), block("kid", None, k=5, l=6), snapshot=True)
    told: list[bytes] = []
    picture = Picture(told.append)
    answered = read_answer(body)
    assert (answered.first, answered.last, len(answered), answered.rules) == (3, 41, 6, ())
    picture.apply(answered, NOW)
    assert (picture.cursor, len(picture), picture.head) == ("e.42", 4, 41)
    assert picture.kinds == {"jti", "sub"}
    assert told == [rule_digest(RuleKind.KEY, "k"), rule_digest(RuleKind.KEY, "l")]
    for name, number in {"x": 3, "y": 7, "later": 41}.items():
        assert revokes(picture, number - 1, name)
        assert not revokes(picture, number, name)
    assert picture.revokes(39, [rule_digest(RuleKind.SUBJECT, "x")])
    picture.apply(answer(seq=43), NOW + 10_000)
    assert len(picture) == 1


def test_columns_continue_a_picture_too() -> None:
    picture = picture_at(5, rule(5))
    picture.apply(read_answer(in_columns(block(y=9, z=12), block("sub", x=6))), NOW)
    assert (picture.cursor, len(picture), picture.head) == ("e.42", 4, 12)
    assert revokes(picture, 4, "x")
    assert revokes(picture, 11, "z")


def test_made_by_another_thread_is_the_same_picture() -> None:
    """What is asked meanwhile is answered as before."""
    for snapshot in (True, False):
        body = in_columns(block(y=9, z=12), block("planet", x=13), block("kid", None, k=14), snapshot=snapshot)
        told: list[bytes] = []
        here, there = picture_at(5, rule(5)), Picture(told.append)
        there.apply(answer(rule(5), seq=5, snapshot=True), NOW)
        here.apply(read_answer(body), NOW)
        made = there.after(read_answer(body))
        assert (len(there), there.head, there.version, told) == (1, 5, 1, [])
        there.apply(read_answer(body), NOW, made)
        assert told == [rule_digest(RuleKind.KEY, "k")]
        assert (here.state(), here.head, here.kinds) == (there.state(), there.head, there.kinds)
        assert here.unknown_kinds == there.unknown_kinds == 1


TWO = block(x=3, y=7)


@pytest.mark.parametrize(
    "broken",
    [
        {**TWO, "kind": None},
        {**TWO, "expires_at": "soon"},
        {**TWO, "expires_at": -1},
        {**TWO, "expires_at": 1.5},
        {**TWO, "seqs": []},
        {**TWO, "seqs": None},
        {**TWO, "seqs": [3]},
        {**TWO, "seqs": [3, 4, 5]},
        {**TWO, "seqs": [3, 0]},
        {**TWO, "seqs": [3, -1]},
        {**TWO, "seqs": [-3, 7]},
        {**TWO, "seqs": [3, True]},
        {**TWO, "seqs": [3, 4.0]},
        {**TWO, "seqs": [3, "4"]},
        {**TWO, "seqs": [3, None]},
        {**TWO, "seqs": [3, 40]},
        {**TWO, "seqs": [2**64, 1]},
        {**TWO, "seqs": [2**64 - 1, 1]},
        {**TWO, "digests": None},
        {**TWO, "digests": ""},
        {**TWO, "digests": "A" * 41},
        {**TWO, "digests": "A" * 43 + "A"},
        {**TWO, "digests": "A" * 42 + "*"},
        {**TWO, "digests": "A" * 20 + "\n" + "A" * 23},
        {**TWO, "digests": "A" * 20 + "=" + "A" * 22},
        {**TWO, "digests": "\u20ac" * 43},
        {key: value for key, value in TWO.items() if key != "kind"},
        {key: value for key, value in TWO.items() if key != "expires_at"},
        {key: value for key, value in TWO.items() if key != "digests"},
        {key: value for key, value in TWO.items() if key != "seqs"},
        [3, "jti", DIGEST, NOW],
        "jti",
        None,
    ],
    ids=repr,
)
def test_malformed_block_is_refused_and_changes_nothing(broken: object) -> None:
    """V12: a picture that misses a rule because of a bad byte would let a revoked token pass."""
    picture = picture_at(2, rule(2))
    for blocks in ([broken], [block(z=1), broken], [broken, block(z=40)]):
        for snapshot in (True, False):
            with pytest.raises(FeedOutOfStep):
                picture.apply(read_answer(in_columns(*blocks, snapshot=snapshot)), NOW)
    assert (picture.cursor, picture.version, len(picture)) == ("e.2", 1, 1)


@pytest.mark.parametrize("change", [{"rules": []}, {"columns": None}, {"columns": {}}, {"columns": TWO}], ids=repr)
def test_rules_in_no_clear_form_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(FeedOutOfStep):
        read_answer(in_columns(**change))


def test_columns_from_before_the_cursor_change_nothing() -> None:
    picture = picture_at(5, rule(5))
    for blocks in ((block(z=5, x=6),), (block(z=6), block("sub", x=5))):
        with pytest.raises(FeedOutOfStep):
            picture.apply(read_answer(in_columns(*blocks)), NOW)
    assert (picture.cursor, picture.version, len(picture)) == ("e.5", 1, 1)


async def test_token_is_looked_at_under_other_names_once_there_are_rules_of_their_kind(
    verifier: Verifier, issuer: FakeIssuer
) -> None:
    """V12: names of no use are not hashed, but that is no reason to forget them."""
    picture = picture_at(5, rule(5, "other"))
    seen = Seen(await verifier.verify(issuer.mint(sub="alice")), 0.0, 0)
    check_revoked(picture, seen, "http://orders.example")
    assert seen.digests is not None
    assert len(seen.digests[1]) == 1
    picture.apply(answer(rule(6, "bob", "sub"), seq=6), NOW)
    check_revoked(picture, seen, "http://orders.example")
    picture.apply(answer(rule(7, "alice", "sub"), seq=7), NOW)
    with pytest.raises(InvalidToken):
        check_revoked(picture, seen, "http://orders.example")


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b"\xff", b"[" * 100_000])
def test_answer_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(FeedOutOfStep):
        read_answer(body)
