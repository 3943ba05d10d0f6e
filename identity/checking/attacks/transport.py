"""A good token in the wrong place (V13, V15)."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from identity.checking.attacks.attack import Attack, Level
from identity.checking.material import Material, Request, bearer


def token_in_the_query(material: Material) -> Request:
    """a good token in the query, where logs keep it"""
    return Request(query=urlencode({"access_token": material.token()}))


def token_in_the_query_too(material: Material) -> Request:
    """a good token in the header and another in the query"""
    return Request(bearer(material.token()).headers, urlencode({"access_token": material.token(sub="root")}))


def token_in_a_cookie(material: Material) -> Request:
    """a good token in a cookie, which any page can have sent"""
    return Request((("Cookie", f"access_token={material.token()}"),))


def two_headers_good_first(material: Material) -> Request:
    """two Authorization headers, the good one first"""
    return Request((*bearer(material.token()).headers, *bearer(material.forged()).headers))


def two_headers_good_last(material: Material) -> Request:
    """two Authorization headers, the good one last"""
    return Request((*bearer(material.forged()).headers, *bearer(material.token()).headers))


def two_tokens_in_one_header(material: Material) -> Request:
    """two tokens in one header, with a comma"""
    return bearer(f"{material.forged()}, Bearer {material.token()}")


def scheme_dpop(material: Material) -> Request:
    """a good token under the scheme DPoP, without a proof"""
    return _authorization("DPoP " + material.token())


def scheme_basic(material: Material) -> Request:
    """a good token under the scheme Basic"""
    return _authorization("Basic " + material.token())


def scheme_missing(material: Material) -> Request:
    """a good token without a scheme"""
    return _authorization(material.token())


def scheme_longer(material: Material) -> Request:
    """a good token under the scheme Bearerer"""
    return _authorization("Bearerer " + material.token())


def _authorization(value: str) -> Request:
    return Request((("Authorization", value),))


ATTACKS: Final = (
    Attack("V15", token_in_the_query),
    Attack("V15", token_in_the_query_too, Level.SHOULD),
    Attack("V15", token_in_a_cookie, Level.SHOULD),
    Attack("V15", two_headers_good_first, Level.SHOULD),
    Attack("V15", two_headers_good_last, Level.SHOULD),
    Attack("V15", two_tokens_in_one_header, Level.SHOULD),
    Attack("V13", scheme_dpop, Level.SHOULD),
    Attack("V15", scheme_basic, Level.SHOULD),
    Attack("V15", scheme_missing, Level.SHOULD),
    Attack("V15", scheme_longer, Level.SHOULD),
)
