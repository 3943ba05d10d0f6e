"""The list of rules in columns: it answers as a plain list of rules would, whatever was added, dropped and repeated."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.verifier import rule_columns
from identity.verifier.profile import RuleKind, rule_digest
from identity.verifier.rule_columns import NEVER, RuleColumns

NOW = 1_800_000_000

Rule = tuple[bytes, int, int]


def digest(name: object) -> bytes:
    return rule_digest(RuleKind.TOKEN, str(name))


def in_columns(rules: list[Rule]) -> RuleColumns:
    columns = RuleColumns()
    for each in rules:
        columns.add(*each)
    return columns


some_rules = st.lists(
    st.tuples(
        st.integers(0, 9).map(digest),
        st.integers(1, 50),
        st.sampled_from([NOW - 1, NOW, NOW + 1, NEVER]),
    ),
    max_size=40,
)


@given(some_rules, some_rules, st.integers(0, 40), st.integers(0, 51))
def test_answers_are_those_of_a_plain_list(first: list[Rule], later: list[Rule], dropped: int, revision: int) -> None:
    """V12: also when the oldest were dropped, and others came since."""
    dropped = min(dropped, len(first))
    columns = in_columns(first).without_first(dropped)
    for each in later:
        columns.add(*each)
    rules = first[dropped:] + later
    assert list(columns) == rules
    for name in range(12):
        assert columns.revokes(revision, [digest(name)]) == any(
            each == digest(name) and number > revision for each, number, _ in rules
        )
        at = [index for index, rule in enumerate(rules) if rule[0] == digest(name)]
        assert list(columns.places(digest(name))) == at[::-1]


@given(some_rules)
def test_living_rules_are_kept_and_the_list_they_came_from_stays_as_it_was(rules: list[Rule]) -> None:
    """Another thread may be asking it at this moment."""
    columns = in_columns(rules)
    living = columns.living(NOW)
    assert sorted(living) == sorted(rule for rule in rules if rule[2] >= NOW)
    assert list(columns) == rules


@pytest.mark.parametrize("count", [3, 128, 129, 5_000])
def test_added_one_by_one_or_all_at_once_is_the_same(count: int) -> None:
    rules = [(digest(number), number, NOW + number // 100) for number in range(1, count + 1)]
    digests, numbers, expiries = zip(*rules, strict=True)
    assert RuleColumns.of(b"".join(digests), numbers, expiries) == in_columns(rules)


def test_a_list_that_grew_finds_its_first_rules_too() -> None:
    """Its index was doubled a few times without moving anything."""
    columns = RuleColumns()
    for number in range(1, 5_001):
        columns.add(digest(number), number, NOW)
        assert columns.revokes(number - 1, [digest(number)])
    assert all(columns.revokes(number - 1, [digest(number)]) for number in range(1, 5_001))
    assert not any(columns.revokes(number, [digest(number)]) for number in range(1, 5_001))
    assert not any(columns.revokes(0, [digest(-number)]) for number in range(1, 5_001))


def test_places_that_run_out_begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are 32 bits wide: a process that lives for years, with a thousand rules a second, comes to their end."""
    monkeypatch.setattr(rule_columns, "_LAST_PLACE", 500)
    columns = in_columns([(digest(number), number, NOW) for number in range(1_000)])
    for number in range(1_000, 3_000):
        columns.add(digest(number), number, NOW)
        if number % 100 == 0:
            columns = columns.without_first(100)
    assert columns._gone <= 600
    assert [number for _, number, _ in columns] == list(range(2_000, 3_000))
    assert all(columns.revokes(0, [digest(number)]) == (number >= 2_000) for number in range(3_000))


def test_a_rule_that_outlives_the_others_holds_back_none_of_them() -> None:
    rules = [(digest(number), number, NEVER if number % 1_000 == 0 else NOW + number) for number in range(10_000)]
    living = in_columns(rules).living(NOW + 9_000)
    assert len(living) < 2_100
    assert all(living.revokes(number - 1, [digest(number)]) for number in range(1_000, 10_000, 1_000))


def test_an_index_is_given_back_when_most_rules_are_gone() -> None:
    columns = in_columns([(digest(number), number, NOW) for number in range(20_000)])
    few = columns.without_first(19_990)
    assert sys.getsizeof(few._heads) < sys.getsizeof(columns._heads) / 50
    assert [number for _, number, _ in few] == list(range(19_990, 20_000))


def test_a_rule_takes_fifty_bytes() -> None:
    """Column by column, with a little room to grow; decision 0015 has the figures for a million."""
    count = 60_000
    digests = b"".join(digest(number) for number in range(count))
    columns = RuleColumns.of(digests, range(count), [NOW] * count)
    held = sum(sys.getsizeof(getattr(columns, name)) for name in RuleColumns.__slots__)
    assert held / count < 55


@pytest.mark.parametrize("expiry", [NEVER, NEVER + 1, 2**62])
def test_what_expires_after_the_columns_end_never_expires(expiry: int) -> None:
    columns = in_columns([(digest(1), 1, expiry)])
    assert columns.living(NEVER - 1) is columns
