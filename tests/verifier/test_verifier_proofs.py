"""Reading DPoP proofs: each of the twelve checks of RFC 9449 section 4.3, with what it refuses."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable

import pytest
from joserfc.jwk import ECKey, OKPKey, RSAKey
from proofs import EC, ED, KEYS, RSA, SECRET, hash_of, proof, public, signed, thumbprint, unsigned

from identity.testing import ProofKey
from identity.verifier.dpop import ProvenRequest, read_proof
from identity.verifier.errors import InvalidProof, NonceWanted
from identity.verifier.nonces import WINDOW_SECONDS, Nonces, SecretNonceKey

NOW = int(time.time())
ADDRESS = "https://orders.example/orders"
TOKEN = "a.b.c"
REQUEST = ProvenRequest("GET", ADDRESS, TOKEN)


def good(**changes: object) -> str:
    return proof("GET", ADDRESS, TOKEN, **{"iat": NOW, **changes})  # type: ignore[arg-type]


def header(**members: object) -> str:
    return good(header=members)


@pytest.mark.parametrize("alg", KEYS)
def test_a53_a_proof_made_by_another_library_is_read(alg: str) -> None:
    """RFC 9449 section 4.2, RFC 7638: whoever made it names the key as we do."""
    found = read_proof([good(alg=alg, jti="one", nonce="n")], REQUEST, NOW)
    assert (found.jkt, found.proof_id, found.nonce) == (thumbprint(KEYS[alg]), "one", "n")


@pytest.mark.parametrize("alg", KEYS)
def test_a53_6_of_a_signature_every_bit_counts(alg: str) -> None:
    """RFC 9449 section 4.3, 6: for each algorithm, also a signature of another length."""
    head, payload, signature = good(alg=alg).split(".")
    other = good(alg=alg, jti="another").split(".")[1]
    flipped = ("B" if signature[0] == "A" else "A") + signature[1:]
    for wrong in (f"{head}.{payload}.{flipped}", f"{head}.{other}.{signature}", f"{head}.{payload}.{signature[:-4]}"):
        with pytest.raises(InvalidProof):
            read_proof([wrong], REQUEST, NOW)


def test_a_proof_of_the_testing_package_is_read() -> None:
    key = ProofKey()
    found = read_proof([key.proof("GET", ADDRESS, TOKEN)], REQUEST, time.time())
    assert found.jkt == key.confirmation.jkt


def private() -> str:
    return header(jwk={**public(EC), "d": EC.as_dict(private=True)["d"]})


def weak_rsa() -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return good(alg="RS256", header={"jwk": public(RSAKey.generate_key(1024))})


def big_rsa_exponent() -> str:
    return good(alg="RS256", header={"jwk": {**public(RSA), "e": "B" * 399 + "A"}})


def padded_key() -> str:
    return header(jwk={**public(EC), "x": public(EC)["x"] + "="})


def leading_zero() -> str:
    return good(alg="RS256", header={"jwk": {**public(RSA), "n": "AAAA" + public(RSA)["n"]}})


def off_curve() -> str:
    return header(jwk={**public(EC), "y": public(EC)["x"]})


P384 = ECKey.generate_key("P-384")
MALFORMED, MISSING = "The DPoP proof is malformed.", "The DPoP proof lacks a claim, or has a malformed one."
KEY, ALGORITHM = "The key of the DPoP proof is refused.", "The DPoP proof is signed with an algorithm that is refused."
ELSEWHERE = "The DPoP proof is for another address."
AGE = "The DPoP proof is too old, or from the future."
TYPE = "The type of the DPoP proof is not dpop+jwt."
FORBIDDEN = "The DPoP proof has a header that is refused."
SIGNATURE = "The signature of the DPoP proof is wrong."

REFUSED: dict[str, tuple[Callable[[], str], str]] = {
    "2 not a JWT": (lambda: "x", MALFORMED),
    "2 two in one header": (lambda: f"{good()}, {good()}", MALFORMED),
    "2 four segments": (lambda: good() + ".x", MALFORMED),
    "2 a padded segment": (lambda: good() + "=", MALFORMED),
    "2 an encrypted one": (lambda: "a.b.c.d.e", MALFORMED),
    "2 not ASCII": (lambda: good() + "\xe9", MALFORMED),
    "2 too long": (lambda: good(filler="x" * 9000), MALFORMED),
    "2 a repeated claim": (
        lambda: signed({"typ": "dpop+jwt", "alg": "ES256", "jwk": public(EC)}, b'{"jti":"a","jti":"b"}', EC),
        MALFORMED,
    ),
    "2 an array": (lambda: signed({"typ": "dpop+jwt", "alg": "ES256", "jwk": public(EC)}, b"[]", EC), MALFORMED),
    "3 no jti": (lambda: good(jti=None), MISSING),
    "3 an empty jti": (lambda: good(jti=""), MISSING),
    "3 a jti that is no text": (lambda: good(jti=[1]), MISSING),
    "3 a jti too long": (lambda: good(jti="x" * 257), MISSING),
    "3 no htm": (lambda: good(htm=None), MISSING),
    "3 no htu": (lambda: good(htu=None), MISSING),
    "3 no iat": (lambda: good(iat=None), MISSING),
    "3 iat is text": (lambda: good(iat=str(NOW)), MISSING),
    "3 iat is true": (lambda: good(iat=True), MISSING),
    "4 no typ": (lambda: header(typ=None), TYPE),
    "4 another typ": (lambda: header(typ="JWT"), TYPE),
    "4 typ of an access token": (lambda: header(typ="at+jwt"), TYPE),
    "5 none": (lambda: unsigned({"typ": "dpop+jwt", "alg": "none", "jwk": public(EC)}, {}, b"x"), ALGORITHM),
    "5 None": (lambda: unsigned({"typ": "dpop+jwt", "alg": "None", "jwk": public(EC)}, {}, b"x"), ALGORITHM),
    "5 symmetric": (lambda: good(alg="HS256", key=SECRET), ALGORITHM),
    "5 one that is not on the list": (lambda: good(alg="ES384", key=P384), ALGORITHM),
    "5 no alg": (lambda: unsigned({"typ": "dpop+jwt", "jwk": public(EC)}, {}, b"x"), ALGORITHM),
    "5 an alg that is no text": (lambda: unsigned({"typ": "dpop+jwt", "alg": ["ES256"]}, {}, b"x"), ALGORITHM),
    "6 signed by another key": (lambda: header(jwk=public(ECKey.generate_key("P-256"))), SIGNATURE),
    "6 with the signature of another": (lambda: ".".join([*good().split(".")[:2], good().split(".")[2]]), SIGNATURE),
    "6 no signature to speak of": (
        lambda: unsigned({"typ": "dpop+jwt", "alg": "ES256", "jwk": public(EC)}, {}, b"x"),
        SIGNATURE,
    ),
    "7 a private key": (private, KEY),
    "7 a symmetric key": (lambda: header(jwk={"kty": "oct", "k": "eHh4"}), KEY),
    "7 no key": (lambda: header(jwk=None), "The DPoP proof brings no key."),
    "7 a key that is text": (lambda: header(jwk="x"), "The DPoP proof brings no key."),
    "7 weak": (weak_rsa, KEY),
    "7 an exponent that costs us": (big_rsa_exponent, KEY),
    "7 too long": (lambda: good(alg="RS256", header={"jwk": {**public(RSA), "n": "_" * 2000}}), KEY),
    "7 of another curve": (lambda: header(jwk=public(P384)), KEY),
    "7 of another type": (lambda: header(jwk=public(ED)), KEY),
    "7 Ed448": (lambda: good(alg="EdDSA", header={"jwk": public(OKPKey.generate_key("Ed448"))}), KEY),
    "7 for another algorithm": (lambda: header(jwk={**public(EC), "alg": "ES384"}), KEY),
    "7 for encryption": (lambda: header(jwk={**public(EC), "use": "enc"}), KEY),
    "7 for signing only": (lambda: header(jwk={**public(EC), "key_ops": ["sign"]}), KEY),
    "7 not on the curve": (off_curve, KEY),
    "7 half a key": (lambda: header(jwk={"kty": "EC", "crv": "P-256", "x": public(EC)["x"]}), KEY),
    "7 a second spelling": (padded_key, KEY),
    "7 a second spelling of a number": (leading_zero, KEY),
    "7 a key of somewhere else": (lambda: header(jku="https://evil.example/jwks"), FORBIDDEN),
    "7 a certificate": (lambda: header(x5c=["x"]), FORBIDDEN),
    "2 critical": (
        lambda: unsigned({"typ": "dpop+jwt", "alg": "ES256", "jwk": public(EC), "crit": ["x"]}, {}, b"x"),
        FORBIDDEN,
    ),
    "8 another method": (lambda: good(htm="POST"), "The DPoP proof is for another method."),
    "8 the method in small letters": (lambda: good(htm="get"), "The DPoP proof is for another method."),
    "9 another path": (lambda: good(htu=ADDRESS + "/1"), ELSEWHERE),
    "9 another host": (lambda: good(htu="https://evil.example/orders"), ELSEWHERE),
    "9 another scheme": (lambda: good(htu="http://orders.example/orders"), ELSEWHERE),
    "9 another port": (lambda: good(htu="https://orders.example:444/orders"), ELSEWHERE),
    "9 a user": (lambda: good(htu="https://a@orders.example/orders"), ELSEWHERE),
    "9 a path alone": (lambda: good(htu="/orders"), ELSEWHERE),
    "9 a slash more": (lambda: good(htu=ADDRESS + "/"), ELSEWHERE),
    "9 a line break": (lambda: good(htu="https://orders.example/or\nders"), ELSEWHERE),
    "9 no port at all": (lambda: good(htu="https://orders.example:x/orders"), ELSEWHERE),
    "9 a slash that is no slash": (lambda: good(htu="https://orders.example%2forders"), ELSEWHERE),
    "11 more than a minute old": (lambda: good(iat=NOW - 61), AGE),
    "11 from the future (P10)": (lambda: good(iat=NOW + 61), AGE),
    "11 a little from the future": (lambda: good(iat=NOW + 11), AGE),
    "12 no ath": (lambda: good(ath=None), MISSING),
    "12 of another token": (lambda: good(ath=hash_of("x.y.z")), "The DPoP proof is for another token."),
    "12 the token itself": (lambda: good(ath=TOKEN), "The DPoP proof is for another token."),
}


@pytest.mark.parametrize(("make", "description"), REFUSED.values(), ids=REFUSED)
def test_a53_what_a_check_refuses(make: Callable[[], str], description: str) -> None:
    """RFC 9449 section 4.3, by its number; V13. No description tells more than which check it was."""
    sent = make()
    with pytest.raises(InvalidProof) as refused:
        read_proof([sent], REQUEST, NOW)
    assert (refused.value.code, refused.value.description) == ("invalid_dpop_proof", description)
    assert sent not in str(refused.value)


def test_a53_1_there_is_one_header() -> None:
    """RFC 9449 section 4.3, 1: none, or several, prove nothing, whatever is in them."""
    for sent in ([], [good(), good()], [good(), ""]):
        with pytest.raises(InvalidProof):
            read_proof(sent, REQUEST, NOW)


@pytest.mark.parametrize("skew", [10, 5, 0, -30, -60])
def test_p10_a_clock_may_be_a_little_wrong(skew: int) -> None:
    """11: ten seconds ahead; a minute old."""
    assert read_proof([good(iat=NOW + skew)], REQUEST, NOW)
    assert read_proof([good(iat=NOW + skew - 0.5)], REQUEST, NOW - 0.5)


SAME = [
    ("https://orders.example/orders", "https://orders.example/orders?page=2#top"),
    ("https://orders.example/orders", "HTTPS://Orders.EXAMPLE:443/orders"),
    ("http://orders.example", "http://orders.example:80/"),
    ("https://orders.example/a%2fb", "https://orders.example/a%2Fb"),
    ("https://orders.example/~alice", "https://orders.example/%7Ealice"),
    ("https://orders.example/a/./b/../c", "https://orders.example/a/c"),
    ("https://orders.example/a/..", "https://orders.example/"),
    ("https://[::1]:443/x", "https://[::1]/x"),
    ("https://orders.example:/x", "https://orders.example/x"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_p10_an_address_is_compared_by_what_it_means(one: str, other: str) -> None:
    """9, RFC 3986 section 6.2.2 and 6.2.3; query and fragment do not count."""
    for known, said in ((one, other), (other, one)):
        assert read_proof([proof("GET", said, iat=NOW)], ProvenRequest("GET", known), NOW)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://orders.example/a/b", "https://orders.example/a%2Fb"),
        ("https://orders.example/a//b", "https://orders.example/a/b"),
        ("https://orders.example/A", "https://orders.example/a"),
        ("https://orders.example/%41%zz", "https://orders.example/A%zz"),
        ("https://orders.example./a", "https://orders.example/a"),
    ],
)
def test_p10_addresses_that_may_differ_do(one: str, other: str) -> None:
    """9."""
    with pytest.raises(InvalidProof, match="invalid_dpop_proof"):
        read_proof([proof("GET", other, iat=NOW)], ProvenRequest("GET", one), NOW)


def test_a53_10_a_nonce_is_one_that_was_handed_out_lately() -> None:
    """RFC 9449 section 8: by any replica, and by nobody else."""
    here, there = (Nonces(SecretNonceKey(b"k" * 32)) for _ in range(2))
    stranger = Nonces(SecretNonceKey(b"x" * 32))
    nonce = here.fresh(NOW)
    for later in (0, WINDOW_SECONDS - 1, WINDOW_SECONDS):
        there.require(nonce, NOW // WINDOW_SECONDS * WINDOW_SECONDS + later)
    there.require(nonce, NOW - WINDOW_SECONDS)
    window = nonce.partition(".")[0]
    for wrong in (None, "", "x", nonce[:-1], nonce + "A", stranger.fresh(NOW), f"{window}.", f"0{nonce}", nonce + "\n"):
        with pytest.raises(NonceWanted) as wanted:
            there.require(wrong, NOW)
        assert wanted.value.code == "use_dpop_nonce"
        here.require(wanted.value.nonce, NOW)
    for late in (2, -2):
        with pytest.raises(NonceWanted):
            there.require(nonce, NOW + late * WINDOW_SECONDS)
    with pytest.raises(ValueError, match="32"):
        SecretNonceKey(b"short")
