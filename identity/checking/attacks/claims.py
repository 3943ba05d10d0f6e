"""Tokens the issuer signed, but not in its own name, not for us, or not like this (V05, V06, V08, V13, V14)."""

from __future__ import annotations

from typing import Final

from identity.checking.attacks.attack import NOT_PERMITTED, Attack, Level
from identity.checking.material import Material
from identity.testing.keys import to_json


def iss_missing(material: Material) -> str:
    """no iss"""
    return material.token(without="iss")


def iss_with_a_slash(material: Material) -> str:
    """iss with a slash at its end"""
    return material.token(iss=material.issuer + "/")


def iss_in_capitals(material: Material) -> str:
    """iss in capital letters"""
    return material.token(iss=material.issuer.upper())


def iss_longer(material: Material) -> str:
    """iss begins with the issuer and goes on"""
    return material.token(iss=material.issuer + ".attacker.example")


def iss_shorter(material: Material) -> str:
    """iss is the beginning of the issuer"""
    return material.token(iss=material.issuer[:-1])


def iss_in_an_array(material: Material) -> str:
    """iss is an array that holds the issuer"""
    return material.token(iss=[material.issuer, material.elsewhere])


def iss_elsewhere(material: Material) -> str:
    """iss is the attacker's, who publishes the key that signed"""
    return material.forged({"kid": material.stranger.kid}, iss=material.elsewhere)


def aud_missing(material: Material) -> str:
    """no aud"""
    return material.token(without="aud")


def aud_null(material: Material) -> str:
    """aud is null"""
    return material.token(aud=None)


def aud_empty(material: Material) -> str:
    """aud is an empty array"""
    return material.token(aud=[])


def aud_of_another_service(material: Material) -> str:
    """aud is another service"""
    return material.token(aud="https://another.example")


def aud_longer(material: Material) -> str:
    """aud begins with our name and goes on"""
    return material.token(aud=material.audience + ".attacker.example")


def aud_shorter(material: Material) -> str:
    """aud is the beginning of our name"""
    return material.token(aud=material.audience[:-1])


def aud_with_a_slash(material: Material) -> str:
    """aud with a slash at its end"""
    return material.token(aud=material.audience + "/")


def aud_among_words(material: Material) -> str:
    """aud is one string with our name among others"""
    return material.token(aud=f"https://another.example {material.audience}")


def aud_array_without_us(material: Material) -> str:
    """aud is an array of other services"""
    return material.token(aud=["https://another.example", material.audience + ".attacker.example"])


def aud_object(material: Material) -> str:
    """aud is an object with our name as a member"""
    return material.token(aud={material.audience: True})


def iat_missing(material: Material) -> str:
    """no iat"""
    return material.token(without="iat")


def jti_missing(material: Material) -> str:
    """no jti"""
    return material.token(without="jti")


def client_id_missing(material: Material) -> str:
    """no client_id"""
    return material.token(without="client_id")


def sub_missing(material: Material) -> str:
    """no sub"""
    return material.token(without="sub")


def sub_empty(material: Material) -> str:
    """sub is the empty string"""
    return material.token(sub="")


def sub_array(material: Material) -> str:
    """sub is an array"""
    return material.token(sub=[material.subject, "root"])


def sub_object(material: Material) -> str:
    """sub is an object, as a query of some databases would be"""
    return material.token(sub={"$ne": None})


def aud_twice(material: Material) -> str:
    """aud twice: first another service, then us"""
    return _with_first(material, b'"aud":"https://another.example"')


def sub_twice(material: Material) -> str:
    """sub twice, with different people"""
    return _with_first(material, b'"sub":"root"')


def alg_twice(material: Material) -> str:
    """alg twice in the header: first none, then RS256"""
    header = b'{"alg":"none",' + to_json(material.header())[1:]
    return material.key.sign(header, material.claims())


def bound_to_a_key(material: Material) -> str:
    """bound to a DPoP key (cnf), sent as a bearer token"""
    return material.token(cnf={"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"})


def bound_to_a_certificate(material: Material) -> str:
    """bound to a client certificate (cnf), sent without one"""
    return material.token(cnf={"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"})


def scope_missing(material: Material) -> str:
    """no scope at all"""
    return material.token(without="scope")


def scope_longer(material: Material) -> str:
    """scopes that begin with the ones that are needed"""
    return material.token(scope=" ".join(scope + "er" for scope in material.scopes))


def scope_in_capitals(material: Material) -> str:
    """the scopes that are needed, in capital letters"""
    return material.token(scope=" ".join(scope.upper() for scope in material.scopes))


def scope_array(material: Material) -> str:
    """scope is an array; it is one string (RFC 9068 section 2.2.3)"""
    return material.token(scope=list(material.scopes))


def _with_first(material: Material, member: bytes) -> str:
    return material.key.sign(material.header(), b"{" + member + b"," + to_json(material.claims())[1:])


ATTACKS: Final = (
    Attack("V05", iss_missing),
    Attack("V05", iss_with_a_slash),
    Attack("V05", iss_in_capitals),
    Attack("V05", iss_longer),
    Attack("V05", iss_shorter),
    Attack("V05", iss_in_an_array),
    Attack("V05", iss_elsewhere),
    Attack("V06", aud_missing),
    Attack("V06", aud_null),
    Attack("V06", aud_empty),
    Attack("V06", aud_of_another_service),
    Attack("V06", aud_longer),
    Attack("V06", aud_shorter),
    Attack("V06", aud_with_a_slash),
    Attack("V06", aud_among_words),
    Attack("V06", aud_array_without_us),
    Attack("V06", aud_object),
    Attack("V08", iat_missing, Level.SHOULD),
    Attack("V08", jti_missing, Level.SHOULD),
    Attack("V08", client_id_missing, Level.SHOULD),
    Attack("V08", sub_missing, Level.SHOULD),
    Attack("V08", sub_empty, Level.SHOULD),
    Attack("V08", sub_array, Level.SHOULD),
    Attack("V08", sub_object, Level.SHOULD),
    Attack("V08", aud_twice, Level.SHOULD),
    Attack("V08", sub_twice, Level.SHOULD),
    Attack("V08", alg_twice, Level.SHOULD),
    Attack("V13", bound_to_a_key, Level.SHOULD),
    Attack("V13", bound_to_a_certificate, Level.SHOULD),
)

SCOPE_ATTACKS: Final = (
    Attack("V14", scope_missing, refused_by=NOT_PERMITTED),
    Attack("V14", scope_longer, refused_by=NOT_PERMITTED),
    Attack("V14", scope_in_capitals, refused_by=NOT_PERMITTED),
    Attack("V08", scope_array, Level.SHOULD, refused_by=NOT_PERMITTED | {400, 401}),
)
"""For an endpoint that asks for scopes: a token that is good but does not permit this is answered 403."""
