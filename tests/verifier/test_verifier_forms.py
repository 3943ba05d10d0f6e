"""The spelling of a token, its signature, and random changes of both: nothing but the one true form is verified."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
from collections.abc import Callable

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from fake_issuer import AUDIENCE, JWKS, METADATA, FakeIssuer, SigningKey, b64, compact_json
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from identity.verifier import InvalidToken, Refusal, VerificationError, Verifier
from identity.verifier.profile import MAX_TOKEN_BYTES

GOOD_HEADER = {"alg": "RS256", "typ": "at+jwt", "kid": "key-one"}


async def refusal(verifier: Verifier, token: str) -> str:
    with pytest.raises(InvalidToken) as caught:
        await verifier.verify(token)
    assert not token or token not in str(caught.value) + repr(caught.value)
    return caught.value.code


def respell_last(segment: str) -> str:
    """The same bytes in another spelling: an unused bit of the last character is set."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return segment[:-1] + alphabet[alphabet.index(segment[-1]) + 1]


FORMS: list[tuple[str, Callable[[str], str]]] = [
    ("empty", lambda token: ""),
    ("dots", lambda token: ".."),
    ("one segment", lambda token: token.split(".")[0]),
    ("two segments", lambda token: token.rpartition(".")[0]),
    ("four segments", lambda token: token + ".AAAA"),
    ("JWE", lambda token: token + ".AAAA.AAAA"),
    ("empty signature", lambda token: token.rpartition(".")[0] + "."),
    ("empty payload", lambda token: ".".join((token.split(".")[0], "", token.split(".")[2]))),
    ("empty header", lambda token: "." + token.partition(".")[2]),
    (
        "JSON form",
        lambda token: json.dumps(dict(zip(("protected", "payload", "signature"), token.split("."), strict=True))),
    ),
    ("mixed form", lambda token: '{"' + token + '":1}'),
    ("leading space", lambda token: " " + token),
    ("trailing newline", lambda token: token + "\n"),
    ("inner newline", lambda token: token[:50] + "\n" + token[50:]),
    ("padding", lambda token: token + "=="),
    ("padded payload", lambda token: token.replace(".", "=.", 1)),
    ("plus", lambda token: token[:-5] + "+" + token[-4:]),
    ("slash", lambda token: token[:-5] + "/" + token[-4:]),
    ("bang", lambda token: token[:-5] + "!" + token[-4:]),
    ("other spelling of the signature", respell_last),
    ("one character too many", lambda token: token + "AAA"),
    ("too long", lambda token: token + "A" * MAX_TOKEN_BYTES),
    ("200 KB", lambda token: "A" * 200_000),
    ("not ASCII", lambda token: token + "é"),
    ("fullwidth", lambda token: "\uff21" + token[1:]),
    ("surrogate", lambda token: token + "\ud800"),
    ("Bearer twice", lambda token: "Bearer " + token),
]


@pytest.mark.parametrize("form", [row[1] for row in FORMS], ids=[row[0] for row in FORMS])
async def test_anything_but_one_spelling_of_compact_jws_is_refused_and_fetches_nothing(
    verifier: Verifier, issuer: FakeIssuer, form: Callable[[str], str]
) -> None:
    """V02, V09, V17"""
    bent = form(issuer.mint())
    assert await refusal(verifier, bent) == Refusal.MALFORMED
    assert (issuer.hits[METADATA], issuer.hits[JWKS]) == (0, 0)
    await verifier.verify(issuer.mint())
    assert await refusal(verifier, bent) == Refusal.MALFORMED


async def test_payload_spelt_differently_is_refused(verifier: Verifier, issuer: FakeIssuer) -> None:
    """V02: not even with a signature over the other spelling."""
    key, header = issuer.keys[0], b64(compact_json(GOOD_HEADER))
    payload = compact_json({**issuer.claims(), "pad": ""})
    while len(payload) % 3 != 1:
        payload = payload[:-2] + b'x"}'
    token = key.sign(compact_json(GOOD_HEADER), payload)
    await verifier.verify(token)
    bent = respell_last(token.split(".")[1])
    assert base64.urlsafe_b64decode(bent + "==") == payload
    signature = b64(key.private.sign(f"{header}.{bent}".encode(), *signing_arguments()))
    assert await refusal(verifier, f"{header}.{bent}.{signature}") == Refusal.MALFORMED


def signing_arguments() -> tuple[object, ...]:
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    return PKCS1v15(), SHA256()


def confusion_secrets(key: SigningKey) -> list[bytes]:
    public, S = key.private.public_key(), serialization
    return [
        public.public_bytes(S.Encoding.PEM, S.PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(S.Encoding.PEM, S.PublicFormat.PKCS1),
        public.public_bytes(S.Encoding.DER, S.PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(S.Encoding.OpenSSH, S.PublicFormat.OpenSSH),
        compact_json(key.jwk),
        b"",
    ]


@pytest.mark.parametrize("algorithm", ["HS256", "RS256"])
async def test_public_key_used_as_an_hmac_secret_is_refused(
    verifier: Verifier, issuer: FakeIssuer, algorithm: str
) -> None:
    """V01; CVE-2022-29217, CVE-2024-33663"""
    await verifier.verify(issuer.mint())
    signing_input = f"{b64(compact_json({**GOOD_HEADER, 'alg': algorithm}))}.{b64(compact_json(issuer.claims()))}"
    for secret in confusion_secrets(issuer.keys[0]):
        mac = hmac.digest(secret, signing_input.encode(), hashlib.sha256)
        for signature in (mac, mac.ljust(256, b"\0"), mac.rjust(256, b"\0")):
            code = await refusal(verifier, f"{signing_input}.{b64(signature)}")
            assert code in (Refusal.WRONG_ALGORITHM, Refusal.BAD_SIGNATURE)


async def test_key_in_the_token_is_never_used(
    verifier: Verifier, issuer: FakeIssuer, signing_keys: list[SigningKey]
) -> None:
    """V04; CVE-2026-27962"""
    stranger = signing_keys[1]
    forged = issuer.mint(key=stranger, header={"kid": "key-one", "jwk": stranger.jwk})
    assert await refusal(verifier, forged) == Refusal.FORBIDDEN_HEADER
    assert await refusal(verifier, issuer.mint(key=stranger, header={"kid": "key-one"})) == Refusal.BAD_SIGNATURE


async def test_header_remembered_for_its_key_proves_nothing_about_the_signature(
    verifier: Verifier, issuer: FakeIssuer
) -> None:
    """V01: the fast path from header to key still checks every signature."""
    first, second = issuer.mint(), issuer.mint(sub="bob")
    await verifier.verify(first)
    mixed = first.rpartition(".")[0] + "." + second.rpartition(".")[2]
    assert await refusal(verifier, mixed) == Refusal.BAD_SIGNATURE
    assert (await verifier.verify(second)).subject == "bob"


async def test_whatever_pyjwt_accepts_of_ours_we_accept_and_the_claims_agree(
    verifier: Verifier, issuer: FakeIssuer
) -> None:
    """The strict parse and PyJWT read the same token alike."""
    token = issuer.mint(roles=["clerk"])
    public = issuer.keys[0].private.public_key()
    decoded = jwt.decode(token, public, algorithms=["RS256"], audience=AUDIENCE, issuer=issuer.url)
    ours = await verifier.verify(token)
    assert {**ours.claims, "roles": list(ours.roles)} == decoded


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_no_change_of_a_valid_token_is_ever_accepted(
    verifier: Verifier, issuer: FakeIssuer, data: st.DataObject
) -> None:
    """V02, V08: and nothing but a VerificationError comes out."""
    token = issuer.mint()
    assert await verifier.verify(token)
    place = data.draw(st.integers(0, len(token) - 1))
    kind = data.draw(st.sampled_from(["flip", "cut", "drop", "insert", "swap"]))
    character = data.draw(st.characters(max_codepoint=255))
    flipped = chr(ord(token[place]) ^ (1 << data.draw(st.integers(0, 6))))
    bent = {
        "flip": token[:place] + flipped + token[place + 1 :],
        "cut": token[:place],
        "drop": token[:place] + token[place + 1 :],
        "insert": token[:place] + character + token[place:],
        "swap": token[place:] + token[:place],
    }[kind]
    if bent != token:
        with pytest.raises(VerificationError):
            await verifier.verify(bent)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=300) | st.from_regex(r"[\w-]{1,40}\.[\w-]{1,40}\.[\w-]{1,40}", fullmatch=True))
async def test_no_text_raises_anything_but_a_verification_error(verifier: Verifier, text: str) -> None:
    """V09"""
    with pytest.raises(VerificationError):
        await verifier.verify(text)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    payload=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=20,
    ),
    name=st.sampled_from(["iss", "sub", "aud", "client_id", "iat", "exp", "jti", "scope", "roles", "auth_time", "x"]),
)
async def test_any_json_under_a_good_signature_is_judged_not_crashed_on(
    verifier: Verifier, issuer: FakeIssuer, payload: object, name: str
) -> None:
    """V08"""
    text = json.dumps({**issuer.claims(), name: payload}).encode()
    with contextlib.suppress(VerificationError):
        await verifier.verify(issuer.keys[0].sign(compact_json(GOOD_HEADER), text))
