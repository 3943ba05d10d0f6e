"""What one process knows of the rules (A48, V12)."""

from hypothesis import given
from hypothesis import strategies as st

from identity.feed.picture import Picture
from identity.feed.rules import CHANGED, Head, NumberedRule, Rule
from identity.verifier.profile import RuleKind

NOW = 1_800_000_000


def numbered(seq: int, rule: Rule, expires_at: int | None = NOW + 930) -> NumberedRule:
    return NumberedRule(seq, rule.kind, rule.digest, rule.ends, expires_at)


def picture(*rules: NumberedRule) -> Picture:
    return Picture.of(Head("e", rules[-1].seq if rules else 0), rules)


some_rules = st.lists(
    st.builds(
        lambda kind, ends, name, expires: (
            Rule.changed(kind, name)
            if ends is None
            else Rule.ending(kind, name)
            if ends
            else Rule.revoking(kind, name),
            expires,
        ),
        st.sampled_from([RuleKind.GRANT, RuleKind.SUBJECT, RuleKind.CLIENT]),
        st.sampled_from([True, False, None]),
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from([NOW - 1, NOW, NOW + 1, None]),
    ),
    max_size=30,
)


@given(some_rules)
def test_a_picture_grown_rule_by_rule_is_the_one_built_at_once(rules: list[tuple[Rule, int | None]]) -> None:
    every = [numbered(seq, rule, expires) for seq, (rule, expires) in enumerate(rules, 1)]
    grown = Picture(Head("e", 0))
    for rule in every:
        grown.apply(rule)
    assert grown == picture(*every)


@given(some_rules, st.integers(0, 31))
def test_since_returns_exactly_the_living_rules_beyond_a_number(rules: list[tuple[Rule, int | None]], seq: int) -> None:
    every = [numbered(number, rule, expires) for number, (rule, expires) in enumerate(rules, 1)]
    known = picture(*every)
    expected = [
        rule
        for rule in every
        if rule.seq > seq and rule.kind != CHANGED and (rule.expires_at is None or rule.expires_at > NOW)
    ]
    assert list(known.since(seq, NOW)) == expected
    known.forget_expired(NOW)
    assert list(known.since(seq, NOW)) == expected


def test_a_session_is_over_when_a_newer_rule_ends_its_person_or_client() -> None:
    """A48"""
    known = picture(
        numbered(5, Rule.ending(RuleKind.SUBJECT, "alice")), numbered(7, Rule.ending(RuleKind.CLIENT, "shop"))
    )
    assert known.has_ended("g", "alice", "other", revision=4)
    assert not known.has_ended("g", "alice", "other", revision=5)
    assert known.has_ended("g", "bob", "shop", revision=6)
    assert not known.has_ended("g", "bob", "shop", revision=7)
    assert not known.has_ended("g", "shop", "alice", revision=0)


def test_every_session_is_over_when_everything_was_ended_and_new_ones_live() -> None:
    """A48: an operator's last resort."""
    known = picture(numbered(5, Rule.ending(RuleKind.EVERYTHING), NOW))
    known.forget_expired(NOW)
    assert known.has_ended("g", "alice", "shop", revision=4)
    assert not known.has_ended("g", "alice", "shop", revision=5)


def test_a_session_is_over_when_its_grant_is_ended_whatever_its_revision() -> None:
    """A45"""
    known = picture(numbered(5, Rule.ending(RuleKind.GRANT, "g")))
    assert known.has_ended("g", "alice", "shop", revision=9)
    assert not known.has_ended("h", "alice", "shop", revision=0)


def test_rules_that_only_revoke_access_tokens_end_no_session() -> None:
    """Narrowing a role is a 401 and a silent refresh, not a login."""
    known = picture(
        numbered(1, Rule.revoking(RuleKind.SUBJECT, "alice")),
        numbered(2, Rule.revoking(RuleKind.GRANT, "g")),
        numbered(3, Rule.changed(RuleKind.CLIENT, "shop")),
    )
    assert not known.has_ended("g", "alice", "shop", revision=0)


def test_ended_people_and_clients_stay_known_when_their_rules_have_expired() -> None:
    """A48: sessions live longer than access tokens."""
    known = picture(numbered(1, Rule.ending(RuleKind.SUBJECT, "alice"), NOW))
    known.forget_expired(NOW)
    assert list(known.since(0, NOW)) == []
    assert known.has_ended("g", "alice", "shop", revision=0)


def test_a_grant_ended_twice_stays_known_until_the_later_rule_expires() -> None:
    """A45"""
    ending = Rule.ending(RuleKind.GRANT, "g")
    known = picture(numbered(1, ending, NOW), numbered(2, ending, NOW + 1))
    known.forget_expired(NOW)
    assert known.has_ended("g", "alice", "shop", revision=0)
    known.forget_expired(NOW + 1)
    assert not known.has_ended("g", "alice", "shop", revision=0)


def test_rules_about_keys_never_expire() -> None:
    """K06"""
    known = picture(numbered(1, Rule.revoking(RuleKind.KEY, "kid"), None))
    known.forget_expired(NOW * 2)
    assert [rule.seq for rule in known.since(0, NOW * 2)] == [1]


def test_a_notice_moves_the_head_and_is_sent_to_no_verifier() -> None:
    known = picture(numbered(1, Rule.revoking(RuleKind.SUBJECT, "alice")))
    known.apply(numbered(2, Rule.changed(RuleKind.SUBJECT, "alice")))
    assert known.head == Head("e", 2)
    assert [rule.seq for rule in known.since(0, NOW)] == [1]


def test_what_was_asked_for_stays_as_it_was_while_the_picture_changes() -> None:
    """An answer of a million rules is written a little at a time."""
    known = picture(*(numbered(seq, Rule.ending(RuleKind.GRANT, str(seq)), NOW + seq) for seq in range(1, 6)))
    asked = known.since(1, NOW)
    known.apply(numbered(6, Rule.ending(RuleKind.GRANT, "6")))
    known.forget_expired(NOW + 4)
    assert [rule.seq for rule in asked] == [2, 3, 4, 5]
    assert [rule.seq for rule in known.since(0, NOW)] == [5, 6]


def test_a_rule_of_a_kind_this_version_does_not_know_is_passed_on() -> None:
    """A newer server may have written it, during an upgrade."""
    strange = NumberedRule(1, "planet", bytes(16), False, NOW + 1)
    assert list(picture(strange).since(0, NOW)) == [strange]


@given(some_rules, st.sampled_from(["a", "b", "c"]), st.integers(0, 31))
def test_the_picture_revokes_as_a_list_of_rules_would(
    rules: list[tuple[Rule, int | None]], name: str, revision: int
) -> None:
    """V12"""
    every = [numbered(number, rule, expires) for number, (rule, expires) in enumerate(rules, 1)]
    digest = Rule.revoking(RuleKind.GRANT, name).digest
    expected = any(rule.digest == digest and rule.seq > revision and rule.kind != CHANGED for rule in every)
    assert picture(*every).revokes(revision, [digest]) == expected
