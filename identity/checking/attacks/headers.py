"""The header decides nothing (V03, V04, V11): not what kind of token it is, nor whose key verifies it, nor where that is."""

from __future__ import annotations

import base64
import hmac
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from identity.checking.attacks.attack import TOO_LARGE, Attack, Level
from identity.checking.material import Material
from identity.testing.keys import base64url


def typ_missing(material: Material) -> str:
    """no typ"""
    return material.token({"typ": None})


def typ_jwt(material: Material) -> str:
    """typ JWT, which any token may have"""
    return material.token({"typ": "JWT"})


def typ_unknown(material: Material) -> str:
    """typ not+jwt, a kind of token nobody knows"""
    return material.token({"typ": "not+jwt"})


def id_token(material: Material) -> str:
    """an ID token of the same issuer for the same audience"""
    return material.token({"typ": "JWT"}, nonce="n-0S6_WzA2Mj", at_hash="77QmUPtjPfzWtF2AnpK9RQ", azp="demo")


def logout_token(material: Material) -> str:
    """a logout token (logout+jwt)"""
    events: dict[str, object] = {"http://schemas.openid.net/event/backchannel-logout": {}}
    return material.token({"typ": "logout+jwt"}, events=events, sid="s1")


def refresh_token(material: Material) -> str:
    """a refresh token that is a JWT (rt+jwt)"""
    return material.token({"typ": "rt+jwt"})


def introspection_answer(material: Material) -> str:
    """a signed answer of token introspection (token-introspection+jwt)"""
    return material.token({"typ": "token-introspection+jwt"}, token_introspection={"active": True})


def crit_unknown(material: Material) -> str:
    """crit names an extension nobody knows"""
    return material.token({"crit": ["x-unknown"], "x-unknown": True})


def crit_empty(material: Material) -> str:
    """crit is an empty array, which is not allowed"""
    return material.token({"crit": []})


def crit_b64(material: Material) -> str:
    """b64 is false and critical: the payload would not be encoded"""
    return material.token({"b64": False, "crit": ["b64"]})


def b64_false(material: Material) -> str:
    """b64 is false, but not critical"""
    return material.token({"b64": False})


def zip_deflate(material: Material) -> str:
    """zip DEF, which belongs to encrypted tokens"""
    return material.token({"zip": "DEF"})


def jwk_embedded(material: Material) -> str:
    """the attacker's key in the header, under the issuer's kid"""
    return material.forged({"jwk": {**material.stranger.jwk, "kid": material.key.kid}})


def jwk_embedded_under_its_own_kid(material: Material) -> str:
    """the attacker's key in the header, under its own kid"""
    return material.forged({"jwk": material.stranger.jwk, "kid": material.stranger.kid})


def jwk_embedded_without_kid(material: Material) -> str:
    """the attacker's key in the header, and no kid"""
    return material.forged({"jwk": material.stranger.jwk, "kid": None})


def jwk_of_the_right_key(material: Material) -> str:
    """the issuer's own key in the header; a service that looks at it may look at others"""
    return material.token({"jwk": material.key.jwk})


def jku_elsewhere(material: Material) -> str:
    """jku names keys of the attacker's"""
    return material.forged({"jku": material.elsewhere + "/jwks.json", "kid": material.stranger.kid})


def x5u_elsewhere(material: Material) -> str:
    """x5u names a certificate of the attacker's"""
    return material.forged({"x5u": material.elsewhere + "/certificate.pem", "kid": material.stranger.kid})


def x5c_embedded(material: Material) -> str:
    """the attacker's own certificate in the header"""
    return material.forged({"x5c": [base64.b64encode(_certificate(material)).decode()]})


def x5c_embedded_without_kid(material: Material) -> str:
    """the attacker's own certificate in the header, and no kid"""
    return material.forged({"x5c": [base64.b64encode(_certificate(material)).decode()], "kid": None})


def kid_is_an_address(material: Material) -> str:
    """kid is the address of the attacker's keys"""
    return material.forged({"kid": material.elsewhere + "/jwks.json"})


def kid_is_a_path(material: Material) -> str:
    """kid is the path of an empty file, which is the secret"""
    return _with_secret(material, "../../../../../../../../dev/null", b"")


def kid_is_sql(material: Material) -> str:
    """kid makes a query return the attacker's secret"""
    return _with_secret(material, "x' UNION SELECT 'secret' -- ", b"secret")


def kid_is_a_command(material: Material) -> str:
    """kid is a command for a shell"""
    return material.forged({"kid": "| echo key"})


def kid_very_long(material: Material) -> str:
    """kid has 6000 characters"""
    return material.forged({"kid": "k" * 6000})


def kid_not_a_string(material: Material) -> str:
    """kid is an object"""
    return material.forged({"kid": {"kid": material.key.kid}})


def kid_of_an_object(material: Material) -> str:
    """kid is __proto__, which every JavaScript object has"""
    return material.forged({"kid": "__proto__"})


def kid_missing(material: Material) -> str:
    """no kid, rightly signed"""
    return material.token({"kid": None})


def kid_of_another_key(material: Material) -> str:
    """rightly signed, but kid names another published key"""
    return material.token({"kid": material.other.kid})


def _with_secret(material: Material, kid: str, secret: bytes) -> str:
    head = material.unsigned({"alg": "HS256", "kid": kid})
    return f"{head}.{base64url(hmac.digest(secret, head.encode(), 'sha256'))}"


def _certificate(material: Material) -> bytes:
    """Returns a certificate the attacker signed with the key it is for."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, material.issuer)])
    now = datetime.fromtimestamp(material.now, UTC)
    building = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
    building = building.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    private = material.stranger.private
    return building.public_key(private.public_key()).sign(private, SHA256()).public_bytes(Encoding.DER)


ATTACKS: Final = (
    Attack("V03", typ_missing),
    Attack("V03", typ_jwt),
    Attack("V03", typ_unknown),
    Attack("V03", id_token),
    Attack("V03", logout_token),
    Attack("V03", refresh_token),
    Attack("V03", introspection_answer),
    Attack("V04", crit_unknown),
    Attack("V04", crit_empty, Level.SHOULD),
    Attack("V04", crit_b64),
    Attack("V04", b64_false, Level.SHOULD),
    Attack("V04", zip_deflate, Level.SHOULD),
    Attack("V04", jwk_embedded),
    Attack("V04", jwk_embedded_under_its_own_kid),
    Attack("V04", jwk_embedded_without_kid),
    Attack("V04", jwk_of_the_right_key, Level.SHOULD),
    Attack("V04", jku_elsewhere),
    Attack("V04", x5u_elsewhere),
    Attack("V04", x5c_embedded),
    Attack("V04", x5c_embedded_without_kid),
    Attack("V11", kid_is_an_address),
    Attack("V11", kid_is_a_path),
    Attack("V11", kid_is_sql),
    Attack("V11", kid_is_a_command),
    Attack("V09", kid_very_long, refused_by=TOO_LARGE),
    Attack("V11", kid_not_a_string),
    Attack("V11", kid_of_an_object),
    Attack("V04", kid_missing, Level.SHOULD),
    Attack("V04", kid_of_another_key, Level.SHOULD),
)
