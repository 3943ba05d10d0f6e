"""Access tokens say what RFC 9068 asks for, and nothing that was not granted."""

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from identity.keyring.public_keys import public_jwk
from identity.keyring.signers import Signer
from identity.tokens.access_token import AccessTokenGrant, AccessTokenMint
from identity.verifier import profile

NOW = 1_800_000_000
MINT = AccessTokenMint("https://id.example.com", 600)


@pytest.fixture(scope="module")
def signer() -> Signer:
    key = rsa.generate_private_key(65537, 2048)
    return Signer.of(public_jwk(key.public_key())["kid"], key)


def claims_of(signer: Signer, grant: AccessTokenGrant) -> dict[str, object]:
    token = MINT.mint(signer, grant, NOW)
    return dict(jwt.decode(token, options={"verify_signature": False}))


def a_grant(**changes: object) -> AccessTokenGrant:
    values = {
        "subject": "s1",
        "client_id": "shop",
        "audience": "https://orders.example.com",
        "token_type": "at+jwt",
        "scopes": ("orders:read", "orders:write"),
        "revision": 42,
    }
    return AccessTokenGrant(**{**values, **changes})  # type: ignore[arg-type]


def test_the_least_token_holds_the_required_claims_and_no_other(signer: Signer) -> None:
    """RFC 9068 section 2.2"""
    claims = claims_of(signer, a_grant(scopes=()))
    assert set(claims) == {*profile.REQUIRED_CLAIMS, profile.REVISION_CLAIM}
    assert (claims["iss"], claims["aud"]) == ("https://id.example.com", "https://orders.example.com")
    assert (claims["iat"], claims["exp"], claims["rev"]) == (NOW, NOW + 600, 42)


def test_a_token_of_a_session_says_what_it_descends_from(signer: Signer) -> None:
    grant = a_grant(grant_id="g", auth_time=NOW - 5, authentication_methods=("pwd",), roles=("reader",))
    claims = claims_of(signer, grant)
    assert claims["scope"] == "orders:read orders:write"
    assert (claims["grant_id"], claims["auth_time"], claims["amr"]) == ("g", NOW - 5, ["pwd"])
    assert claims["roles"] == ["reader"]


def test_no_roles_and_roles_that_were_not_asked_for_are_not_the_same(signer: Signer) -> None:
    assert claims_of(signer, a_grant(roles=()))["roles"] == []
    assert "roles" not in claims_of(signer, a_grant())


def test_every_token_has_an_id_of_its_own(signer: Signer) -> None:
    """RFC 9068 section 2.2, RFC 7519 section 4.1.7"""
    assert len({claims_of(signer, a_grant())["jti"] for _ in range(100)}) == 100


@pytest.mark.parametrize("typ", [profile.ACCESS_TOKEN_TYPE, profile.LEGACY_TOKEN_TYPE])
def test_the_type_is_the_one_its_resource_takes(signer: Signer, typ: str) -> None:
    token = MINT.mint(signer, a_grant(token_type=typ), NOW)
    assert jwt.get_unverified_header(token) == {"alg": "RS256", "typ": typ, "kid": signer.kid}
