"""Keys of several algorithms: each verifies its own, accepted where it was allowed, and nothing else under any name."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA512
from fake_issuer import JWKS, METADATA, FakeIssuer, Reply, b64, compact_json, running
from jwt.algorithms import get_default_algorithms

from identity.verifier import InvalidToken, Refusal, Verifier
from identity.verifier.jwk import has_low_order
from identity.verifier.profile import ALGORITHMS
from identity.verifier.public_keys import UntrustworthyJWKS, read_jwks, write_jwks
from identity.verifier.snapshot import KnownKeys, Snapshot, read_snapshot, write_snapshot

Make = Callable[..., Verifier]

MAKERS: dict[str, Callable[[], object]] = {
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
    "PS256": lambda: rsa.generate_private_key(65537, 2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


@dataclass(frozen=True)
class Key:
    """A key that signs as PyJWT does, in the way of any algorithm that its type allows."""

    alg: str
    private: object

    @property
    def kid(self) -> str:
        return f"key-{self.alg}"

    @cached_property
    def jwk(self) -> dict[str, object]:
        public = get_default_algorithms()[self.alg].to_jwk(self.private.public_key(), as_dict=True)  # type: ignore[attr-defined]
        members = {name: value for name, value in public.items() if name in ("kty", "n", "e", "crv", "x", "y")}
        return {**members, "kid": self.kid, "use": "sig", "alg": self.alg}

    def sign(self, header: bytes, payload: bytes, way: str = "") -> str:
        signing_input = f"{b64(header)}.{b64(payload)}"
        return f"{signing_input}.{b64(self.signature(signing_input.encode(), way))}"

    def signature(self, signing_input: bytes, way: str = "") -> bytes:
        signed: bytes = get_default_algorithms()[way or self.alg].sign(signing_input, self.private)
        return signed


@pytest.fixture(scope="module")
def keys() -> dict[str, Key]:
    return {alg: Key(alg, make()) for alg, make in MAKERS.items()}


@pytest.fixture
def issuer(keys: dict[str, Key]) -> Iterator[FakeIssuer]:
    with running(list(keys.values())) as issuer:  # type: ignore[arg-type]
        yield issuer


@pytest.fixture
def all_four(verifier_of: Make) -> Verifier:
    return verifier_of(algorithms=ALGORITHMS)


def minted(issuer: FakeIssuer, key: Key, **claims: object) -> str:
    return issuer.mint(key=key, header={"alg": key.alg}, **claims)  # type: ignore[arg-type]


async def refusal(verifier: Verifier, token: str) -> str:
    with pytest.raises(InvalidToken) as caught:
        await verifier.verify(token)
    return caught.value.code


@pytest.mark.parametrize("alg", ALGORITHMS)
async def test_v01_a_token_of_an_allowed_algorithm_is_accepted(
    verifier_of: Make, issuer: FakeIssuer, keys: dict[str, Key], alg: str
) -> None:
    """And by the name that its key has, and no other verifier."""
    token = minted(issuer, keys[alg])
    verified = await verifier_of(algorithms=[alg]).verify(token)
    assert (verified.subject, verified.key_id) == ("alice", keys[alg].kid)
    others = verifier_of(algorithms=[other for other in ALGORITHMS if other != alg])
    assert await refusal(others, token) == Refusal.WRONG_ALGORITHM


async def test_v01_who_says_nothing_accepts_rs256_alone(
    verifier: Verifier, issuer: FakeIssuer, keys: dict[str, Key]
) -> None:
    """The keys of the others are in the same JWKS, and are no error there."""
    await verifier.verify(minted(issuer, keys["RS256"]))
    assert verifier.status().key_ids == ("key-RS256",)
    for alg in ALGORITHMS[1:]:
        assert await refusal(verifier, minted(issuer, keys[alg])) == Refusal.WRONG_ALGORITHM


@pytest.mark.parametrize("alg", ALGORITHMS)
@pytest.mark.parametrize("of", ALGORITHMS)
async def test_v01_no_key_is_used_for_the_algorithm_of_another(
    all_four: Verifier, issuer: FakeIssuer, keys: dict[str, Key], of: str, alg: str
) -> None:
    """RFC 8725 section 3.1: the header says `alg`, the key is for another; signed in whichever way comes closest."""
    if of == alg:
        assert (await all_four.verify(minted(issuer, keys[of]))).subject == "alice"
        return
    await all_four.verify(minted(issuer, keys[of]))  # Its header is remembered, which must not help.
    header, payload = compact_json({"alg": alg, "typ": "at+jwt", "kid": keys[of].kid}), compact_json(issuer.claims())
    ways = {of, alg} if {of, alg} == {"RS256", "PS256"} else {of}
    for token in (*(keys[of].sign(header, payload, way) for way in ways), keys[alg].sign(header, payload)):
        assert await refusal(all_four, token) == Refusal.WRONG_ALGORITHM


@pytest.mark.parametrize("way", [("RS256", "PS256"), ("PS256", "RS256")])
async def test_v01_a_signature_made_in_the_way_of_another_algorithm_is_none(
    all_four: Verifier, issuer: FakeIssuer, keys: dict[str, Key], way: tuple[str, str]
) -> None:
    """The header says what the key is for, the signature is of the other padding."""
    alg, other = way
    header = compact_json({"alg": alg, "typ": "at+jwt", "kid": keys[alg].kid})
    assert (
        await refusal(all_four, keys[alg].sign(header, compact_json(issuer.claims()), other)) == Refusal.BAD_SIGNATURE
    )


NAMES = [
    "none",
    "None",
    "HS256",
    "HS512",
    "rs256",
    "es256",
    "Es256",
    "eddsa",
    "EDDSA",
    "Ed25519",
    "ES256K",
    "ES384",
    "PS512",
]


@pytest.mark.parametrize("name", [*NAMES, "", None, ["ES256"], {"ES256": 1}, 256])
@pytest.mark.parametrize("alg", ["ES256", "EdDSA"])
async def test_v01_names_are_compared_letter_by_letter(
    all_four: Verifier, issuer: FakeIssuer, keys: dict[str, Key], alg: str, name: object
) -> None:
    header = compact_json({"alg": name, "typ": "at+jwt", "kid": keys[alg].kid})
    assert await refusal(all_four, keys[alg].sign(header, compact_json(issuer.claims()))) == Refusal.WRONG_ALGORITHM


@pytest.mark.parametrize("alg", ALGORITHMS)
async def test_v01_a_public_key_is_no_hmac_secret_of_any_algorithm(
    all_four: Verifier, issuer: FakeIssuer, keys: dict[str, Key], alg: str
) -> None:
    """CVE-2022-29217"""
    public, formats = keys[alg].private.public_key(), serialization  # type: ignore[attr-defined]
    secrets = [
        public.public_bytes(formats.Encoding.PEM, formats.PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(formats.Encoding.DER, formats.PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(formats.Encoding.OpenSSH, formats.PublicFormat.OpenSSH),
        json.dumps(keys[alg].jwk).encode(),
    ]
    for name in ("HS256", alg):
        header = b64(compact_json({"alg": name, "typ": "at+jwt", "kid": keys[alg].kid}))
        signing_input = f"{header}.{b64(compact_json(issuer.claims()))}"
        for secret in secrets:
            for digest in (hashlib.sha256, hashlib.sha512):
                mac = hmac.digest(secret, signing_input.encode(), digest)
                code = await refusal(all_four, f"{signing_input}.{b64(mac)}")
                assert code == (Refusal.BAD_SIGNATURE if name == alg else Refusal.WRONG_ALGORITHM)


def _der(key: Key, text: bytes) -> bytes:
    return key.private.sign(text, ec.ECDSA(SHA256()))  # type: ignore[attr-defined,no-any-return]


def _sides(key: Key, text: bytes, hash_: SHA256 | SHA512 = SHA256()) -> tuple[int, int]:  # noqa: B008
    return decode_dss_signature(key.private.sign(text, ec.ECDSA(hash_)))  # type: ignore[attr-defined]


def _joined(r: int, s: int, size: int = 32) -> bytes:
    return r.to_bytes(size) + s.to_bytes(size)


ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

ES256: list[tuple[str, Callable[[Key, bytes], bytes]]] = [
    ("ASN.1", _der),
    ("33 bytes each", lambda key, text: _joined(*_sides(key, text), 33)),
    ("one byte too many", lambda key, text: key.signature(text) + b"\0"),
    ("one byte too few", lambda key, text: key.signature(text)[:-1]),
    ("half of it", lambda key, text: key.signature(text)[:32]),
    ("zeros", lambda key, text: bytes(64)),
    ("r is 0", lambda key, text: _joined(0, _sides(key, text)[1])),
    ("s is 0", lambda key, text: _joined(_sides(key, text)[0], 0)),
    ("r is the order", lambda key, text: _joined(ORDER, _sides(key, text)[1])),
    ("both are the order", lambda key, text: _joined(ORDER, ORDER)),
    ("r and s changed over", lambda key, text: _joined(*reversed(_sides(key, text)))),
    ("SHA-512", lambda key, text: _joined(*_sides(key, text, SHA512()))),
    ("of other bytes", lambda key, text: key.signature(text + b"x")),
]


@pytest.mark.parametrize("make", [row[1] for row in ES256], ids=[row[0] for row in ES256])
async def test_v01_an_es256_signature_is_two_numbers_of_32_bytes_and_right(
    all_four: Verifier, issuer: FakeIssuer, keys: dict[str, Key], make: Callable[[Key, bytes], bytes]
) -> None:
    """RFC 7518 section 3.4; CVE-2022-21449: zeros are a signature of everything to who forgets to look."""
    signing_input = minted(issuer, keys["ES256"]).rpartition(".")[0]
    token = f"{signing_input}.{b64(make(keys['ES256'], signing_input.encode()))}"
    assert await refusal(all_four, token) == Refusal.BAD_SIGNATURE


@pytest.mark.parametrize("salt", [0, 20, 31, 33, 222])
async def test_v01_a_ps256_salt_is_as_long_as_the_hash(
    all_four: Verifier, issuer: FakeIssuer, keys: dict[str, Key], salt: int
) -> None:
    """RFC 7518 section 3.5"""
    signing_input = minted(issuer, keys["PS256"]).rpartition(".")[0]
    pss = padding.PSS(padding.MGF1(SHA256()), salt)
    signature = keys["PS256"].private.sign(signing_input.encode(), pss, SHA256())  # type: ignore[attr-defined]
    assert await refusal(all_four, f"{signing_input}.{b64(signature)}") == Refusal.BAD_SIGNATURE


async def test_v01_a_ps256_mask_is_made_with_the_same_hash(
    all_four: Verifier, issuer: FakeIssuer, keys: dict[str, Key]
) -> None:
    signing_input = minted(issuer, keys["PS256"]).rpartition(".")[0]
    pss = padding.PSS(padding.MGF1(SHA1()), 32)
    signature = keys["PS256"].private.sign(signing_input.encode(), pss, SHA256())  # type: ignore[attr-defined]
    assert await refusal(all_four, f"{signing_input}.{b64(signature)}") == Refusal.BAD_SIGNATURE


ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493


@pytest.mark.parametrize("change", ["S plus the order", "short", "long", "zeros"])
async def test_v01_an_eddsa_signature_has_one_spelling(
    all_four: Verifier, issuer: FakeIssuer, keys: dict[str, Key], change: str
) -> None:
    """RFC 8032 section 5.1.7: S is below the order, or one signature would have two."""
    token = minted(issuer, keys["EdDSA"])
    signing_input = token.rpartition(".")[0]
    good = keys["EdDSA"].signature(signing_input.encode())
    larger = (int.from_bytes(good[32:], "little") + ED25519_ORDER).to_bytes(32, "little")
    changed = {"S plus the order": good[:32] + larger, "short": good[:-1], "long": good + b"\0", "zeros": bytes(64)}
    assert await refusal(all_four, f"{signing_input}.{b64(changed[change])}") == Refusal.BAD_SIGNATURE
    assert (await all_four.verify(token)).subject == "alice"


@pytest.mark.parametrize(
    "algorithms", [(), ("none",), ("RS256", "HS256"), ("rs256",), ("RS512",), "RS256", ("ES256", "")]
)
def test_v01_an_allow_list_of_something_else_is_refused(verifier_of: Make, algorithms: object) -> None:
    with pytest.raises(ValueError, match="algorithms are some of RS256, PS256, ES256, EdDSA"):
        verifier_of(algorithms=algorithms)


def document(*entries: object) -> bytes:
    return json.dumps({"keys": entries}).encode()


def test_v10_keys_of_all_algorithms_are_read_and_written(keys: dict[str, Key]) -> None:
    read = read_jwks(document(*(key.jwk for key in keys.values())), ALGORITHMS)
    assert {kid: key.algorithm for kid, key in read.items()} == {key.kid: key.alg for key in keys.values()}
    assert read_jwks(json.dumps(write_jwks(read)).encode(), ALGORITHMS) == read
    assert {entry["kid"]: entry for entry in write_jwks(read)["keys"]} == {  # type: ignore[attr-defined]
        key.kid: key.jwk for key in keys.values()
    }


@pytest.mark.parametrize(
    ("alg", "meant"), [("RS256", "RS256"), ("PS256", "RS256"), ("ES256", "ES256"), ("EdDSA", "EdDSA")]
)
def test_v01_a_key_that_names_no_algorithm_has_one_all_the_same(keys: dict[str, Key], alg: str, meant: str) -> None:
    """RFC 8725 section 3.1: whatever is allowed; that of an RSA key is RS256, as it always was."""
    bare = {name: value for name, value in keys[alg].jwk.items() if name != "alg"}
    (key,) = read_jwks(document(bare), ALGORITHMS).values()
    assert key.algorithm == meant


def test_v01_a_document_without_an_allowed_key_is_worth_nothing(keys: dict[str, Key]) -> None:
    with pytest.raises(UntrustworthyJWKS, match="no usable key"):
        read_jwks(document(keys["ES256"].jwk), ["EdDSA"])


def point(curve: ec.EllipticCurve, name: str) -> dict[str, object]:
    numbers = ec.generate_private_key(curve).public_key().public_numbers()
    size = (curve.key_size + 7) // 8
    return {"kty": "EC", "crv": name, "x": b64(numbers.x.to_bytes(size)), "y": b64(numbers.y.to_bytes(size))}


def okp(name: str, raw: bytes) -> dict[str, object]:
    return {"kty": "OKP", "crv": name, "x": b64(raw)}


PRIME = 2**255 - 19
P256 = point(ec.SECP256R1(), "P-256")
WEAK: list[tuple[str, dict[str, object]]] = [
    ("off the curve", {**P256, "alg": "ES256", "y": P256["x"]}),
    ("the origin", {**P256, "alg": "ES256", "x": b64(bytes(32)), "y": b64(bytes(32))}),
    ("no y", {name: value for name, value in P256.items() if name != "y"}),
    ("a short coordinate", {**P256, "x": b64(b"\1" * 31)}),
    ("a coordinate too long", {**P256, "x": b64(bytes(1) + b"\1" * 32)}),
    ("P-384", {**point(ec.SECP384R1(), "P-384"), "alg": "ES384"}),
    ("P-384 that calls itself ES256", {**point(ec.SECP384R1(), "P-384"), "alg": "ES256"}),
    ("P-384 that calls itself P-256", {**point(ec.SECP384R1(), "P-384"), "crv": "P-256", "alg": "ES256"}),
    ("secp256k1", {**point(ec.SECP256K1(), "secp256k1"), "alg": "ES256K"}),
    ("secp256k1 that calls itself P-256", {**point(ec.SECP256K1(), "secp256k1"), "crv": "P-256"}),
    ("EC for RS256", {**P256, "alg": "RS256"}),
    ("EC for EdDSA", {**P256, "alg": "EdDSA"}),
    ("EC for none", {**P256, "alg": "none"}),
    ("EC for encryption", {**P256, "use": "enc"}),
    ("EC for key agreement", {**P256, "key_ops": ["deriveBits"]}),
    ("a curve that is a list", {**P256, "crv": ["P-256"]}),
    ("a type that is a list", {**P256, "kty": ["EC"]}),
    ("an algorithm that is a list", {**P256, "alg": ["ES256"]}),
    ("Ed448", okp("Ed448", ed448.Ed448PrivateKey.generate().public_key().public_bytes_raw())),
    (
        "Ed448 for EdDSA",
        {**okp("Ed448", ed448.Ed448PrivateKey.generate().public_key().public_bytes_raw()), "alg": "EdDSA"},
    ),
    ("X25519", okp("X25519", x25519.X25519PrivateKey.generate().public_key().public_bytes_raw())),
    ("Ed25519 too short", okp("Ed25519", b"\7" * 31)),
    ("Ed25519 for ES256", {**okp("Ed25519", b"\7" * 32), "alg": "ES256"}),
    ("Ed25519 of order 1", okp("Ed25519", (1).to_bytes(32, "little"))),
    ("Ed25519 of order 2", okp("Ed25519", (PRIME - 1).to_bytes(32, "little"))),
    ("Ed25519 of order 4", okp("Ed25519", bytes(32))),
    ("Ed25519 not in its own spelling", okp("Ed25519", (PRIME + 1).to_bytes(32, "little"))),
]


@pytest.mark.parametrize("weak", [row[1] for row in WEAK], ids=[row[0] for row in WEAK])
def test_v10_a_key_of_another_curve_or_none_is_left_out(keys: dict[str, Key], weak: dict[str, object]) -> None:
    entries = document({"kid": "weak", **weak}, keys["RS256"].jwk)
    assert list(read_jwks(entries, ALGORITHMS)) == ["key-RS256"]


@pytest.mark.parametrize("alg", ["ES256", "EdDSA"])
def test_v10_a_private_key_makes_the_whole_document_worthless(keys: dict[str, Key], alg: str) -> None:
    """Whether or not its algorithm is allowed."""
    private = get_default_algorithms()[alg].to_jwk(keys[alg].private, as_dict=True)
    for allowed in (("RS256",), ALGORITHMS):
        with pytest.raises(UntrustworthyJWKS):
            read_jwks(document(keys["RS256"].jwk, {**private, "kid": "x"}), allowed)


def _roots(square: int) -> list[int]:
    root = pow(square, (PRIME + 3) // 8, PRIME)
    return [each for each in (root, root * pow(2, (PRIME - 1) // 4, PRIME) % PRIME) if each * each % PRIME == square]


def test_v10_every_point_of_low_order_is_known() -> None:
    """Reckoned here from the curve alone: of order 8 is y where the double has y = 0, so d*y^4 + 2*y^2 - 1 = 0."""
    d = -121665 * pow(121666, -1, PRIME) % PRIME
    squares = [(sign * root - 1) * pow(d, -1, PRIME) % PRIME for root in _roots((1 + d) % PRIME) for sign in (1, -1)]
    of_order_8 = {y for square in squares for root in _roots(square) for y in (root, PRIME - root)}
    assert len(of_order_8) == 2
    for y in (0, 1, PRIME - 1, *of_order_8):
        assert all(has_low_order((y | sign << 255).to_bytes(32, "little")) for sign in (0, 1))
    made = [ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw() for _ in range(50)]
    assert not any(map(has_low_order, made))


async def test_a_snapshot_keeps_keys_of_all_algorithms(
    verifier_of: Make, issuer: FakeIssuer, keys: dict[str, Key], tmp_path: Path
) -> None:
    """A service starts while the issuer is down, whichever algorithm signs for it."""
    path = tmp_path / "snapshot.json"
    async with verifier_of(algorithms=ALGORITHMS, snapshot=path) as verifier:
        await verifier.verify(minted(issuer, keys["ES256"]))
    for address in (METADATA, JWKS):
        issuer.fail(address, Reply(503))
    later = verifier_of(algorithms=ALGORITHMS, snapshot=path)
    for key in keys.values():
        assert (await later.verify(minted(issuer, key))).key_id == key.kid


async def test_v01_a_snapshot_allows_nothing_that_the_settings_do_not(
    verifier_of: Make, issuer: FakeIssuer, keys: dict[str, Key], tmp_path: Path
) -> None:
    """The process before accepted more; this one does not, even under the name of an algorithm that it takes."""
    path = tmp_path / "snapshot.json"
    async with verifier_of(algorithms=ALGORITHMS, snapshot=path) as verifier:
        await verifier.verify(minted(issuer, keys["ES256"]))
    later = verifier_of(snapshot=path)
    await later.verify(minted(issuer, keys["RS256"]))
    assert later.status().key_ids == ("key-RS256",)
    assert await refusal(later, minted(issuer, keys["ES256"])) == Refusal.WRONG_ALGORITHM
    forged = keys["PS256"].sign(
        compact_json({"alg": "RS256", "typ": "at+jwt", "kid": "key-PS256"}), compact_json(issuer.claims()), "RS256"
    )
    assert await refusal(later, forged) == Refusal.UNKNOWN_KEY


async def test_a_snapshot_without_a_usable_key_is_as_none(
    verifier_of: Make, issuer: FakeIssuer, keys: dict[str, Key], tmp_path: Path
) -> None:
    path = tmp_path / "snapshot.json"
    only = read_jwks(document(keys["EdDSA"].jwk), ALGORITHMS)
    write_snapshot(path, Snapshot(issuer.url, KnownKeys(1.0, only), None, frozenset()))
    known = read_snapshot(path, issuer.url).keys
    assert known is not None
    assert known.keys == only
    assert (await verifier_of(snapshot=path).verify(minted(issuer, keys["RS256"]))).key_id == "key-RS256"
