"""The states of the keys: every transition, and what no transition may ever do (K01, K02, K09)."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.keyring.states import Keyring, KeyringError, KeyState, RefreshKeyRecord, SigningKeyRecord
from identity.verifier.profile import MAX_PUBLISHED_KEYS


def key(name: str, state: KeyState = KeyState.NEXT, at: int = 0) -> SigningKeyRecord:
    return SigningKeyRecord(name, state, {"kid": name}, at)


def first_keyring() -> Keyring:
    return Keyring(1, (key("k0", KeyState.CURRENT), key("k1")), (RefreshKeyRecord("r0", 0),))


def states(keyring: Keyring) -> dict[str, KeyState]:
    return {record.kid: record.state for record in keyring.signing}


def test_promotion_moves_every_key_one_state_on() -> None:
    """K01: what signs next was published before; what signed last stays published."""
    after = first_keyring().promoted(key("k2", at=100), now=100)
    assert states(after) == {"k0": KeyState.PREVIOUS, "k1": KeyState.CURRENT, "k2": KeyState.NEXT}
    assert [record.kid for record in after.published] == ["k0", "k1", "k2"]
    assert after.version == 2
    assert (after.signing[0].replaced_at, after.current.promoted_at) == (100, 100)


def test_a_previous_key_is_retired_only_when_it_stopped_signing_long_enough_ago() -> None:
    """K01: old key stays until the last token it signed has expired."""
    rotated = first_keyring().promoted(key("k2"), now=100)
    assert rotated.retired(replaced_before=100) is rotated
    retired = rotated.retired(replaced_before=101)
    assert states(retired)["k0"] is KeyState.RETIRED
    assert [record.kid for record in retired.published] == ["k1", "k2"]
    assert retired.version == rotated.version + 1


def test_a_retired_key_is_forgotten_when_it_stopped_signing_long_enough_ago() -> None:
    """Its public half was kept for old ID token hints; a session that one of them names is over by then."""
    rotated = first_keyring().promoted(key("k2"), now=100)
    assert "k0" in states(rotated.retired(101, forgotten_before=101)), "not in the step that retires it"
    retired = rotated.retired(101)
    assert retired.retired(101, forgotten_before=100) is retired
    forgotten = retired.retired(101, forgotten_before=101)
    assert set(states(forgotten)) == {"k1", "k2"}
    assert forgotten.version == retired.version + 1


def test_a_withdrawn_key_is_never_forgotten() -> None:
    """K06: what is not named could come back."""
    keyring = first_keyring().promoted(key("k2"), now=100).withdrawn("k0")
    assert keyring.retired(10**9, forgotten_before=10**9) is keyring
    assert keyring.withdrawn_kids == ("k0",)


@pytest.mark.parametrize(
    "change",
    [
        lambda keyring: keyring.promoted(key("k3"), now=100),
        lambda keyring: keyring.with_next(key("k3"), now=100),
        lambda keyring: keyring.restarted(key("k3", KeyState.CURRENT), key("k4"), now=100),
        lambda keyring: keyring.withdrawn("k0"),
        lambda keyring: keyring.retired(101),
        lambda keyring: keyring.with_refresh_key(RefreshKeyRecord("r1", 100), 0),
        lambda keyring: keyring.with_only_refresh_key(RefreshKeyRecord("r1", 100)),
        lambda keyring: keyring.moved("folder"),
    ],
)
def test_a_keyring_that_was_moved_changes_only_where_it_is_now(change: Callable[[Keyring], Keyring]) -> None:
    """K07: two places that both go on would drift apart."""
    keyring = first_keyring().promoted(key("k2"), now=100)
    change(keyring)
    with pytest.raises(KeyringError, match="IDENTITY_KEYS_IN=database"):
        change(keyring.moved("database"))
    assert change(keyring.moved("database").arrived()).version == 4


def test_no_more_keys_are_published_than_verifiers_accept() -> None:
    keyring = first_keyring()
    for number in range(2, MAX_PUBLISHED_KEYS):
        keyring = keyring.promoted(key(f"k{number}"), now=number)
    assert len(keyring.published) == MAX_PUBLISHED_KEYS
    with pytest.raises(KeyringError, match="published already"):
        keyring.promoted(key("one-too-many"), now=99)
    assert keyring.retired(10**9).promoted(key("fits"), now=99).current.kid == f"k{MAX_PUBLISHED_KEYS - 1}"


@pytest.mark.parametrize(
    "signing",
    [
        (),
        (key("k0", KeyState.CURRENT),),
        (key("k0"),),
        (key("k0", KeyState.CURRENT), key("k1", KeyState.CURRENT), key("k2")),
        (key("k0", KeyState.CURRENT), key("k1"), key("k2")),
        (key("k0", KeyState.CURRENT), key("k1"), key("k0", KeyState.PREVIOUS)),
    ],
)
def test_a_keyring_has_exactly_one_current_and_one_next_key_and_no_key_twice(
    signing: tuple[SigningKeyRecord, ...],
) -> None:
    """K02, K07"""
    with pytest.raises(KeyringError):
        Keyring(1, signing, (RefreshKeyRecord("r0", 0),))


def test_a_keyring_without_refresh_keys_is_refused() -> None:
    with pytest.raises(KeyringError):
        Keyring(1, first_keyring().signing, ())


@given(st.lists(st.tuples(st.sampled_from(["promote", "retire"]), st.integers(-(10**10), 10**10)), max_size=40))
def test_no_clock_makes_a_retired_key_sign_again_or_an_unpublished_one_sign(steps: list[tuple[str, int]]) -> None:
    """K07, K09: whatever the clock says, states only move forward and the successor was always published before."""
    keyring, order = first_keyring(), list(KeyState)
    for number, (step, now) in enumerate(steps, 2):
        before, expected = keyring, keyring.next.kid
        try:
            keyring = keyring.promoted(key(f"k{number}"), now=now) if step == "promote" else keyring.retired(now)
        except KeyringError:
            continue
        if step == "promote":
            assert keyring.current.kid == expected
        for record in before.signing:
            assert order.index(states(keyring)[record.kid]) >= order.index(record.state)
        assert keyring.current.kid in {record.kid for record in before.published}
        assert keyring.version >= before.version


def test_a_refresh_key_is_kept_until_a_younger_one_is_older_than_any_living_family() -> None:
    """A45: a rotation logs nobody out."""
    keyring = first_keyring().with_refresh_key(RefreshKeyRecord("r1", 100), oldest_family=0)
    assert [record.key_id for record in keyring.refresh] == ["r1", "r0"]
    keyring = keyring.with_refresh_key(RefreshKeyRecord("r2", 200), oldest_family=150)
    assert [record.key_id for record in keyring.refresh] == ["r2", "r1"], "families begun with r1 until 200 live on"
    assert keyring.version == 3


def test_a_stolen_next_key_is_replaced_before_it_ever_signs() -> None:
    """K06"""
    after = first_keyring().with_next(key("k2"), now=100)
    assert states(after) == {"k0": KeyState.CURRENT, "k1": KeyState.PREVIOUS, "k2": KeyState.NEXT}
    assert states(after.withdrawn("k1"))["k1"] is KeyState.WITHDRAWN


def test_after_a_restart_none_of_the_old_keys_signs_and_all_can_be_withdrawn() -> None:
    """K06: a stolen host."""
    before = first_keyring().promoted(key("k2"), now=100)
    after = before.restarted(key("k3", KeyState.CURRENT), key("k4"), now=200)
    assert (after.current.kid, after.next.kid) == ("k3", "k4")
    assert [record.kid for record in after.withdrawn("k0", "k1", "k2").published] == ["k3", "k4"]


@pytest.mark.parametrize("kid", ["k0", "k1"])
def test_a_key_that_signs_or_is_next_is_not_withdrawn_before_it_is_replaced(kid: str) -> None:
    """K07: there is always a key that signs, and one that will."""
    with pytest.raises(KeyringError, match="must be replaced"):
        first_keyring().withdrawn(kid)


def test_a_withdrawn_key_never_comes_back() -> None:
    """K06, K09"""
    keyring = first_keyring().promoted(key("k2"), now=100).withdrawn("k0")
    assert keyring.withdrawn("k0") is keyring
    later = keyring.retired(replaced_before=10**9).promoted(key("k3"), now=200).with_next(key("k4"), now=300)
    assert states(later)["k0"] is KeyState.WITHDRAWN


def test_an_emergency_is_not_refused_because_too_many_keys_are_published() -> None:
    """K06: verifiers keep what they have for the moment in which there is one too many, and that includes the next key."""
    keyring = first_keyring()
    for number in range(2, MAX_PUBLISHED_KEYS):
        keyring = keyring.promoted(key(f"k{number}"), now=number)
    stolen = keyring.current.kid
    after = keyring.promoted(key("k99"), now=99, urgent=True).withdrawn(stolen)
    assert len(after.published) == MAX_PUBLISHED_KEYS


def test_a_new_refresh_key_alone_ends_every_session() -> None:
    assert [each.key_id for each in first_keyring().with_only_refresh_key(RefreshKeyRecord("r1", 5)).refresh] == ["r1"]
