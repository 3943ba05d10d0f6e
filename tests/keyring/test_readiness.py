"""When the next key may sign: published long enough by every living server, and held by every live verifier (K01)."""

from __future__ import annotations

import pytest

from identity.keyring.publication import Readiness, TooEarlyError
from identity.keyring.states import Keyring, KeyState, RefreshKeyRecord, SigningKeyRecord

REQUIRED = 300.0
MADE_AT = 1_000


def keyring() -> Keyring:
    signing = (
        SigningKeyRecord("now", KeyState.CURRENT, {"kid": "now"}, 0),
        SigningKeyRecord("then", KeyState.NEXT, {"kid": "then"}, MADE_AT),
    )
    return Keyring(1, signing, (RefreshKeyRecord("r0", 0),))


def require(servers: dict[str, dict[str, float]], verifiers: dict[str, tuple[str, ...]], now: float = MADE_AT) -> None:
    Readiness(servers, verifiers).require(keyring(), REQUIRED, now)


def test_a_key_published_everywhere_and_held_by_all_may_sign() -> None:
    require({"s1": {"now": 900, "then": 300}, "s2": {"then": 301}}, {"orders/a": ("now", "then")})


def test_each_server_that_publishes_it_too_short_is_named() -> None:
    with pytest.raises(TooEarlyError) as caught:
        require({"s1": {"then": 299.5}, "s2": {"now": 900}, "s3": {"then": 400}}, {})
    assert caught.value.reasons == [
        "s1 has published it for 299.5 s of 300 s",
        "s2 has published it for 0.0 s of 300 s",
    ]
    assert caught.value.seconds == 300


def test_each_verifier_that_does_not_hold_it_is_named() -> None:
    """DESIGN 6: a frozen verifier blocks promotion, for it would refuse the tokens of a key it has not seen."""
    with pytest.raises(TooEarlyError, match="the verifier orders/b does not hold it") as caught:
        require({"s1": {"then": 300}}, {"orders/a": ("now", "then"), "orders/b": ("now",)})
    assert caught.value.seconds == 1, "it may fetch it at any moment"


def test_a_verifier_that_holds_no_key_at_all_is_not_waited_for() -> None:
    """It fetches the keys before it accepts anything."""
    require({"s1": {"then": 300}}, {"orders/a": ()})


def test_where_no_server_lives_the_age_of_the_key_counts() -> None:
    """K01: two rotations in a row, with the servers stopped, cannot outrun the verifiers' caches."""
    with pytest.raises(TooEarlyError, match="no server is running"):
        require({}, {}, now=MADE_AT + 299)
    require({}, {}, now=MADE_AT + 300)


def test_servers_have_loaded_a_keyring_when_they_publish_its_newest_keys() -> None:
    """K07: what a server publishes and what it signs with change together."""
    for published, reached in (({"now": 1.0, "then": 0.0}, True), ({"before": 9.0, "now": 9.0}, False)):
        readiness = Readiness({"s1": {"now": 5, "then": 5, "old": 9}, "s2": published}, {})
        assert readiness.has_reached_servers(keyring()) is reached
    assert Readiness({}, {}).has_reached_servers(keyring())
