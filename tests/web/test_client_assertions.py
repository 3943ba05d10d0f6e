"""private_key_jwt: a client proves who it is with a key that never leaves it (RFC 7523; A33, A34)."""

from __future__ import annotations

import asyncio
import hmac
import time
from typing import Any

import jwt
import pytest
from client_keys import ASSERTION_TYPE, KeyedClient, by_hand
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from issuer_in_process import ISSUER, Issuer, granted, refusal

from identity.administration.errors import AdministrationError
from identity.oauth.registration.new_client import NewClient

INVALID = (401, "invalid_client")


async def registered(issuer: Issuer, client: KeyedClient, **changes: Any) -> KeyedClient:
    fields: dict[str, Any] = {"jwks": [client.jwk], "default_resource": "orders", "scopes": ["orders:read"], **changes}
    method = fields.pop("authentication_method", "private_key_jwt")
    new = NewClient(client.client_id, ["client_credentials"], authentication_method=method, **fields)
    await issuer.clients.create(new)
    await issuer.settled()
    return client


@pytest.mark.parametrize("alg", ["ES256", "EdDSA", "PS256", "RS256"])
async def test_a_client_proves_who_it_is_by_a_signature(issuer: Issuer, alg: str) -> None:
    """A33: with or without its name in the form, with or without a `typ`, and by a key that the assertion need not name."""
    client = await registered(issuer, KeyedClient(alg=alg))
    body = granted(await issuer.token("client_credentials", **client.assertion()))
    assert jwt.decode(body["access_token"], options={"verify_signature": False})["client_id"] == "keyed"
    granted(await issuer.token("client_credentials", client_id="keyed", **client.assertion()))
    for headers in ({"typ": "client-authentication+jwt"}, {"typ": None}, {"kid": None}):
        granted(await issuer.token("client_credentials", **client.fields(client.sign(client.claims(), **headers))))


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": f"{ISSUER}/token"},
        {"aud": [ISSUER]},
        {"aud": [ISSUER, "https://other.example"]},
        {"aud": "https://other.example"},
        {"aud": ISSUER + "/"},
        {"aud": None},
        {"iss": "other"},
        {"sub": "demo-service"},
        {"sub": None},
        {"exp": None},
        {"exp": -3600},
        {"exp": 3600},
        {"exp": "4000000000"},
        {"exp": True},
        {"nbf": 3600},
        {"iat": 3600},
        {"jti": None},
        {"jti": ""},
        {"jti": 7},
        {"jti": "x" * 257},
    ],
    ids=str,
)
async def test_an_assertion_says_exactly_what_it_must(issuer: Issuer, changes: dict[str, Any]) -> None:
    """A33; CVE-2025-27370, CVE-2025-27371: for this issuer, by this client, about itself, for five minutes, once. Times are
    seconds from now."""
    times = {name: int(time.time()) + value for name, value in changes.items() if type(value) is int and name != "jti"}
    client, es256 = await registered(issuer, KeyedClient()), jwt.get_algorithm_by_name("ES256")
    made = by_hand(
        {"alg": "ES256", "kid": "k1"}, client.claims(**changes | times), lambda signed: es256.sign(signed, client.key)
    )
    answer = await issuer.token("client_credentials", client_id="keyed", **client.fields(made))
    assert refusal(answer) == INVALID


async def test_an_assertion_is_good_once(issuer: Issuer) -> None:
    """A33, CVE-2020-5300, CVE-2020-15222: of fifty at once, one."""
    client = await registered(issuer, KeyedClient())
    assertion = client.assertion()
    answers = await asyncio.gather(*(issuer.token("client_credentials", **assertion) for _ in range(50)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 49


async def test_the_same_id_of_two_clients_is_two_ids(issuer: Issuer) -> None:
    """A33: an id is unique only for who chose it."""
    one = await registered(issuer, KeyedClient("one"))
    two = await registered(issuer, KeyedClient("two"))
    granted(await issuer.token("client_credentials", **one.assertion(jti="same")))
    granted(await issuer.token("client_credentials", **two.assertion(jti="same")))


async def test_what_proves_nothing_uses_nothing_up(issuer: Issuer) -> None:
    """A33: somebody else's key cannot make a client's own assertion a replay."""
    client = await registered(issuer, KeyedClient())
    thief = KeyedClient()
    assert refusal(await issuer.token("client_credentials", **thief.assertion(jti="mine"))) == INVALID
    granted(await issuer.token("client_credentials", **client.assertion(jti="mine")))


async def test_a_bad_assertion_never_falls_back_to_the_secret(issuer: Issuer) -> None:
    """A34, A30, CVE-2026-16093: an unsigned assertion beside the right secret."""
    _, secret = await issuer.clients.create(
        NewClient("web", ["client_credentials"], ["orders:read"], default_resource="orders")
    )
    await issuer.settled()
    claims = KeyedClient("web").claims()
    unsigned = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": jwt.encode(claims, None, "none")}
    both = {"client_id": "web", "client_secret": secret, **unsigned}
    assert refusal(await issuer.token("client_credentials", **both)) == (400, "invalid_request")
    assert secret is not None
    assert refusal(await issuer.token("client_credentials", ("web", secret), **unsigned)) == (400, "invalid_request")
    assert refusal(await issuer.token("client_credentials", **unsigned)) == INVALID


async def test_a_client_uses_the_one_method_that_it_registered(issuer: Issuer) -> None:
    """A30: the key of one does not open another way in, nor does its secret."""
    posting = NewClient(
        "posting", ["client_credentials"], ["orders:read"], "", "client_secret_post", default_resource="orders"
    )
    _, secret = await issuer.clients.create(posting)
    keyed = await registered(issuer, KeyedClient())
    assert secret is not None
    granted(await issuer.token("client_credentials", client_id="posting", client_secret=secret))
    assert refusal(await issuer.token("client_credentials", ("posting", secret))) == INVALID
    assert refusal(await issuer.token("client_credentials", client_id="keyed")) == INVALID
    assert refusal(await issuer.token("client_credentials", ("keyed", "secret"))) == INVALID
    assert refusal(await issuer.token("client_credentials", client_id="demo-service", **keyed.assertion())) == INVALID


@pytest.mark.parametrize("how", ["none", "hmac", "other key", "other kid", "alg of another key", "crit", "typ", "jwk"])
async def test_only_the_registered_key_proves_anything(issuer: Issuer, how: str) -> None:
    """A33, CVE-2026-11800: HS256 with the public key, and every other way of bringing one's own."""
    client = await registered(issuer, KeyedClient())
    claims, thief = client.claims(), KeyedClient()
    public = client.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    made = {
        "none": lambda: jwt.encode(claims, None, "none"),
        "hmac": lambda: by_hand(
            {"alg": "HS256", "kid": "k1"}, claims, lambda signed: hmac.digest(public, signed, "sha256")
        ),
        "other key": lambda: thief.sign(claims),
        "other kid": lambda: client.sign(claims, kid="k2"),
        "alg of another key": lambda: KeyedClient(alg="RS256").sign(claims),
        "crit": lambda: client.sign(claims, crit=["b64"], b64=True),
        "typ": lambda: client.sign(claims, typ="at+jwt"),
        "jwk": lambda: thief.sign(claims, jwk=thief.jwk),
    }[how]()
    assert refusal(await issuer.token("client_credentials", **client.fields(made))) == INVALID


async def test_an_expired_key_proves_nothing(issuer: Issuer) -> None:
    """CVE-2025-31123."""
    client = KeyedClient()
    await registered(issuer, client, jwks=[{**client.jwk, "exp": int(time.time()) - 1}])
    assert refusal(await issuer.token("client_credentials", **client.assertion())) == INVALID


async def test_a_client_may_be_allowed_the_token_endpoint_as_audience(issuer: Issuer) -> None:
    """A33, by a setting of the client: what old libraries write."""
    client = await registered(issuer, KeyedClient(), accepts_token_endpoint_audience=True)
    granted(await issuer.token("client_credentials", **client.assertion(aud=f"{ISSUER}/token")))
    granted(await issuer.token("client_credentials", **client.assertion()))
    assert refusal(await issuer.token("client_credentials", **client.assertion(aud=f"{ISSUER}/par"))) == INVALID


async def test_another_kind_of_assertion_is_no_proof(issuer: Issuer) -> None:
    """RFC 7521 section 4.2.1."""
    client = await registered(issuer, KeyedClient())
    fields = client.assertion() | {"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"}
    assert refusal(await issuer.token("client_credentials", **fields)) == INVALID


async def test_a_fapi_client_signs_with_nothing_weaker_than_the_profile_asks(issuer: Issuer) -> None:
    """P10: RS256 is no algorithm of FAPI 2.0 (section 5.4.1)."""
    key = KeyedClient(alg="RS256")
    jwk = {name: value for name, value in key.jwk.items() if name != "alg"}
    fapi = {"profile": "fapi2", "id_token_signing_alg": "PS256"}
    client = await registered(issuer, key, jwks=[jwk], **fapi)
    assert refusal(await issuer.token("client_credentials", **client.assertion())) == INVALID


JWK = KeyedClient().jwk


@pytest.mark.parametrize(
    ("jwks", "why"),
    [
        ([{**JWK, "d": "AAAA"}], "private"),
        ([{"kty": "oct", "k": "c2VjcmV0"}], "private or symmetric"),
        ([JWK, JWK], "different kids"),
        ([{**JWK, "crv": "P-521"}], "malformed"),
        ([{**JWK, "alg": "RS256"}], "not supported"),
        ([{**JWK, "alg": "HS256"}], "not supported"),
        ([{**JWK, "kid": 7}], "kid"),
        ([{**JWK, "kid": str(number)} for number in range(17)], "more than 16"),
        ([], "has a JWKS"),
    ],
    ids=["private", "symmetric", "twice", "curve", "other-alg", "hmac", "kid", "many", "none"],
)
async def test_keys_that_would_prove_nothing_are_not_registered(issuer: Issuer, jwks: Any, why: str) -> None:
    """A33, V10: said when the client is registered, not when it first asks."""
    with pytest.raises(AdministrationError, match=why):
        await registered(issuer, KeyedClient(), jwks=jwks)
