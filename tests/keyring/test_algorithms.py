"""Keyrings of several algorithms: each has keys and states of its own, in one document (K01, K02, K04)."""

from __future__ import annotations

import base64
import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from identity.keyring.algorithms import SIGNING
from identity.keyring.document import read_keyring, write_keyring
from identity.keyring.making import first_keyring, new_signing_key
from identity.keyring.public_keys import is_private_half, public_jwk, published_key
from identity.keyring.publication import Readiness, TooEarlyError
from identity.keyring.signers import PublishedKeys, Signer
from identity.keyring.states import Keyring, KeyringError, KeyState, RefreshKeyRecord, SigningKeyRecord
from identity.verifier.jwk import thumbprint
from identity.verifier.profile import ALGORITHMS, MAX_PUBLISHED_KEYS
from identity.verifier.public_keys import read_jwks

OTHERS = ("PS256", "ES256", "EdDSA")
MEMBERS = {
    "RS256": {"kty", "n", "e"},
    "PS256": {"kty", "n", "e"},
    "ES256": {"kty", "crv", "x", "y"},
    "EdDSA": {"kty", "crv", "x"},
}


def key(alg: str, number: int, state: KeyState = KeyState.NEXT, at: int = 0) -> SigningKeyRecord:
    kid = f"{alg}-{number}"
    return SigningKeyRecord(kid, state, {"kid": kid, "alg": alg}, at)


def keyring_of(*algorithms: str) -> Keyring:
    signing = [key(alg, *each) for alg in algorithms for each in ((0, KeyState.CURRENT), (1, KeyState.NEXT))]
    return Keyring(1, tuple(signing), (RefreshKeyRecord("r0", 0),))


def states(keyring: Keyring) -> dict[str, str]:
    return {record.kid: record.state.value for record in keyring.signing}


@pytest.fixture(scope="module", params=ALGORITHMS)
def alg(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def made(alg: str) -> tuple[SigningKeyRecord, object]:
    return new_signing_key(2048, KeyState.CURRENT, 0, alg)


def test_k02_a_token_names_the_key_and_the_algorithm_that_signed_it(
    alg: str, made: tuple[SigningKeyRecord, object]
) -> None:
    """And a stranger to our code, PyJWT, verifies it by the JWK alone."""
    record, private = made
    token = Signer.of(record.kid, private, alg).sign("at+jwt", b'{"sub":"x"}')  # type: ignore[arg-type]
    assert jwt.get_unverified_header(token) == {"alg": alg, "typ": "at+jwt", "kid": record.kid}
    assert jwt.decode(token, jwt.PyJWK(record.public), algorithms=[alg]) == {"sub": "x"}


def test_k03_a_jwk_has_public_members_only_and_says_its_one_algorithm(
    alg: str, made: tuple[SigningKeyRecord, object]
) -> None:
    """K02, K04: the kid is the thumbprint."""
    public = made[0].public
    assert set(public) == MEMBERS[alg] | {"kid", "use", "alg"}
    assert (public["alg"], public["use"], public["kid"]) == (alg, "sig", thumbprint(public))
    assert made[0].algorithm == alg
    assert {kid: each.algorithm for kid, each in read_jwks(PublishedKeys.of([public]).body, ALGORITHMS).items()} == {
        public["kid"]: alg
    }


def test_k08_only_the_private_half_of_a_key_passes_for_it(alg: str, made: tuple[SigningKeyRecord, object]) -> None:
    record, private = made
    assert is_private_half(private, record.public)
    for stranger in ("text", new_signing_key(2048, KeyState.NEXT, 0, alg)[1], ec.generate_private_key(ec.SECP384R1())):
        assert not is_private_half(stranger, record.public)


def test_k04_one_key_for_two_algorithms_is_the_same_key_twice() -> None:
    """An RSA key could do both: under one kid, which no keyring has twice."""
    private = rsa.generate_private_key(65537, 2048)
    ours, theirs = (public_jwk(private.public_key(), each) for each in ("RS256", "PS256"))
    assert ours["kid"] == theirs["kid"]
    signing = (
        SigningKeyRecord(ours["kid"], KeyState.CURRENT, ours, 0),
        key("RS256", 1),
        SigningKeyRecord(theirs["kid"], KeyState.CURRENT, theirs, 0),
        key("PS256", 1),
    )
    with pytest.raises(KeyringError, match="names one key twice"):
        Keyring(1, signing, (RefreshKeyRecord("r0", 0),))


def test_the_thumbprint_of_ed25519_is_that_of_the_rfcs_example() -> None:
    """RFC 8037 appendix A.3"""
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    assert thumbprint(jwk) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_an_ed25519_signature_is_that_of_the_rfcs_example() -> None:
    """RFC 8037 appendix A.4"""
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    signed = SIGNING["EdDSA"].signing(Ed25519PrivateKey.from_private_bytes(seed))(
        b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
    )
    assert signed.hex().startswith("860c98d2297f3060a33f42739672d61b")


def test_an_es256_signature_is_two_numbers_of_32_bytes() -> None:
    """RFC 7518 section 3.4: also those that begin with a zero, one in 128."""
    sign = SIGNING["ES256"].signing(ec.generate_private_key(ec.SECP256R1()))
    assert {len(sign(str(each).encode())) for each in range(600)} == {64}


@pytest.mark.parametrize(
    ("alg", "text", "half"),
    [
        ("RS256", "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y", "efb42650fb633dfcd6b45d809e92bd45"),
        ("PS256", "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y", "efb42650fb633dfcd6b45d809e92bd45"),
        ("ES256", "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y", "efb42650fb633dfcd6b45d809e92bd45"),
        ("EdDSA", "abc", "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"),
    ],
)
def test_a62_a_hash_is_the_left_half_of_the_algorithms_own(alg: str, text: str, half: str) -> None:
    """OpenID Connect Core section 3.1.3.6, with the example of its appendix A.3; Ed25519 goes with SHA-512, here that of
    FIPS 180."""
    signer = Signer.of("kid", new_signing_key(2048, KeyState.NEXT, 0, alg)[1], alg)
    assert base64.urlsafe_b64decode(signer.half_hash(text) + "==").hex() == half


def test_a_keyring_of_four_algorithms_survives_its_document() -> None:
    keyring, private = first_keyring(2048, 1_800_000_000, ALGORITHMS)
    assert set(private.signing) == {record.kid for record in keyring.published}
    assert tuple(keyring.currents) == tuple(keyring.nexts) == ALGORITHMS
    assert read_keyring(write_keyring(keyring)) == keyring


def test_a_document_of_before_there_were_algorithms_is_read_as_it_is() -> None:
    """Files and rows of version 0.1: RS256 alone, the same members, and not a byte else when it is written again."""
    keyring, _ = first_keyring(2048, 1_700_000_000)
    document = {
        "version": 7,
        "signing": [
            {
                "kid": record.kid,
                "state": record.state.value,
                "public": dict(record.public),
                "created_at": 1_700_000_000,
                "promoted_at": record.promoted_at,
                "replaced_at": None,
            }
            for record in keyring.signing
        ],
        "refresh": [{"key_id": "abcd", "created_at": 1_700_000_000}],
        "moved_to": "",
    }
    read = read_keyring(json.dumps(document))
    assert (tuple(read.currents), tuple(read.nexts)) == (("RS256",), ("RS256",))
    assert json.loads(write_keyring(read)) == document


def damaged(alg: str, changes: dict[str, str]) -> str:
    keyring, _ = first_keyring(2048, 1_800_000_000, ("RS256", alg))
    document = json.loads(write_keyring(keyring))
    for record in document["signing"]:
        if record["kid"] == keyring.currents[alg].kid:
            record["public"] |= changes
    return json.dumps(document)


@pytest.mark.parametrize(
    ("alg", "changes"),
    [
        ("ES256", {"alg": "EdDSA"}),
        ("ES256", {"alg": "HS256"}),
        ("ES256", {"alg": "none"}),
        ("ES256", {"crv": "P-384"}),
        ("ES256", {"y": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}),
        ("ES256", {"d": "AAAA"}),
        ("EdDSA", {"crv": "X25519"}),
        ("EdDSA", {"x": "AAAA"}),
        ("EdDSA", {"kty": "EC"}),
        ("PS256", {"alg": "RS256"}),
        ("PS256", {"alg": "RS512"}),
        ("PS256", {"use": "enc"}),
    ],
)
def test_k08_a_document_whose_keys_are_not_what_they_say_is_refused(alg: str, changes: dict[str, str]) -> None:
    """K03, K04: what stands there would be published."""
    with pytest.raises((ValueError, KeyringError)):
        read_keyring(damaged(alg, changes))


def test_k04_keys_of_another_curve_cannot_be_published() -> None:
    for curve in (ec.SECP384R1(), ec.SECP256K1()):
        with pytest.raises(ValueError, match="P-256"):
            public_jwk(ec.generate_private_key(curve).public_key(), "ES256")
    with pytest.raises(ValueError, match="none for EdDSA"):
        public_jwk(ed448.Ed448PrivateKey.generate().public_key(), "EdDSA")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no public key"):
        published_key({"kty": "EC", "crv": "P-256", "alg": "ES256"})


def test_one_transition_rotates_all_algorithms() -> None:
    """K04, K07: one version, one compare-and-set."""
    after = keyring_of(*ALGORITHMS).promoted(*(key(alg, 2) for alg in ALGORITHMS), now=100)
    assert after.version == 2
    for alg in ALGORITHMS:
        assert [states(after)[f"{alg}-{number}"] for number in range(3)] == ["previous", "current", "next"]


def test_one_algorithm_is_rotated_by_itself() -> None:
    before = keyring_of(*ALGORITHMS)
    after = before.promoted(key("ES256", 2), now=100)
    assert after.currents["ES256"].kid == "ES256-1"
    for alg in ("RS256", "PS256", "EdDSA"):
        assert (after.currents[alg], after.nexts[alg]) == (before.currents[alg], before.nexts[alg])


@pytest.mark.parametrize("alg", OTHERS)
def test_k01_an_added_algorithm_is_published_first_and_signs_after_its_first_rotation(alg: str) -> None:
    added = keyring_of("RS256").with_algorithm(key(alg, 0))
    assert (tuple(added.currents), tuple(added.nexts)) == (("RS256",), ("RS256", alg))
    assert f"{alg}-0" in {record.kid for record in added.published}
    rotated = added.promoted(key(alg, 1), now=100)
    assert (rotated.currents[alg].kid, rotated.nexts[alg].kid) == (f"{alg}-0", f"{alg}-1")
    with pytest.raises(KeyringError, match=f"holds keys for {alg} already"):
        added.with_algorithm(key(alg, 2))


def test_a_keyring_holds_rs256_in_any_case() -> None:
    """OpenID Connect Core section 15.1"""
    for algorithms in ((), ("ES256",), OTHERS):
        with pytest.raises(KeyringError, match="exactly one"):
            keyring_of(*algorithms)


@pytest.mark.parametrize(
    "more",
    [
        [key("ES256", 2)],
        [key("ES256", 2, KeyState.CURRENT)],
        [key("EdDSA", 0, KeyState.CURRENT)],
    ],
    ids=["two next", "two current", "current without next"],
)
def test_k07_of_each_algorithm_there_is_exactly_one_next_and_at_most_one_current(more: list[SigningKeyRecord]) -> None:
    standing = keyring_of("RS256", "ES256")
    with pytest.raises(KeyringError):
        Keyring(1, (*standing.signing, *more), standing.refresh)


def test_no_more_keys_are_published_than_verifiers_accept_whatever_their_algorithms() -> None:
    keyring, number = keyring_of(*ALGORITHMS), 2
    while len(keyring.published) < MAX_PUBLISHED_KEYS:
        keyring = keyring.promoted(*(key(alg, number) for alg in ALGORITHMS), now=number)
        number += 1
    for change in (
        lambda: keyring.promoted(key("ES256", 99), now=99),
        lambda: keyring_of("RS256").promoted(*(key("RS256", n) for n in range(50, 65)), now=99),
    ):
        with pytest.raises(KeyringError, match="published already"):
            change()


def test_k06_a_stolen_next_key_is_replaced_by_one_of_its_algorithm() -> None:
    after = keyring_of(*ALGORITHMS).with_next(key("EdDSA", 2), now=100)
    assert (after.nexts["EdDSA"].kid, states(after)["EdDSA-1"]) == ("EdDSA-2", "previous")
    assert after.nexts["RS256"].kid == "RS256-1"
    with pytest.raises(KeyringError, match="must be replaced"):
        after.withdrawn("EdDSA-2")


REQUIRED = 300.0


def readiness(verifiers: dict[str, tuple[str, ...]], **seconds: float) -> Readiness:
    standing = {f"{alg}-{number}": 900.0 for alg in ALGORITHMS for number in range(2)}
    return Readiness({"s1": {**standing, **seconds}}, verifiers)


def test_k01_the_gate_holds_for_every_algorithm_that_is_to_be_rotated() -> None:
    keyring = keyring_of(*ALGORITHMS)
    servers = readiness({}, **{"EdDSA-1": 10.0})
    servers.require(keyring, REQUIRED, 0, ("RS256", "PS256", "ES256"))
    with pytest.raises(TooEarlyError, match=r"s1 has published it for 10.0 s of 300 s") as early:
        servers.require(keyring, REQUIRED, 0, ALGORITHMS)
    assert early.value.seconds == 290


def test_k01_a_verifier_is_waited_for_only_where_it_accepts_the_algorithm() -> None:
    """One that takes RS256 alone never holds another key, and would hold up its rotation for ever."""
    keyring = keyring_of("RS256", "ES256")
    of_one, of_both = ("RS256-0", "RS256-1"), ("RS256-0", "RS256-1", "ES256-0")
    readiness({"orders/a": of_one}).require(keyring, REQUIRED, 0, ("RS256", "ES256"))
    with pytest.raises(TooEarlyError, match="the verifier orders/b does not hold it"):
        readiness({"orders/b": of_both}).require(keyring, REQUIRED, 0, ("ES256",))
    with pytest.raises(TooEarlyError, match="the verifier orders/c does not hold it"):
        readiness({"orders/c": ("a key of before",)}).require(keyring, REQUIRED, 0, ("ES256",))


def test_k01_the_first_key_of_an_algorithm_waits_for_time_alone() -> None:
    """Nobody can hold a key of it yet; a verifier that accepts it fetches it when it meets it."""
    added = keyring_of("RS256").with_algorithm(key("ES256", 0))
    verifiers = {"orders/a": ("RS256-0", "RS256-1")}
    with pytest.raises(TooEarlyError, match=r"299\.0 s of 300 s"):
        readiness(verifiers, **{"ES256-0": 299.0}).require(added, REQUIRED, 0, ("ES256",))
    readiness(verifiers, **{"ES256-0": 300.0}).require(added, REQUIRED, 0, ("ES256",))


def test_k07_servers_have_loaded_a_keyring_when_they_publish_its_newest_keys_of_every_algorithm() -> None:
    keyring = keyring_of(*ALGORITHMS)
    assert readiness({}).has_reached_servers(keyring)
    assert not readiness({}).has_reached_servers(keyring.promoted(key("EdDSA", 2), now=1))
