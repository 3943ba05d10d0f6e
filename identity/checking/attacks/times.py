"""Tokens the issuer signed, but not for now (V07): expired, not valid yet, or good for ever."""

from __future__ import annotations

from typing import Final

from identity.checking.attacks.attack import Attack, Level
from identity.checking.material import Material
from identity.testing.issuer import LIFETIME
from identity.testing.keys import to_json

_LONG: Final = 10 * 365 * 86_400
_PAST: Final = 300
"""Seconds that no leeway reaches."""


def expired(material: Material) -> str:
    """expired five minutes ago"""
    return material.token(iat=material.now - _PAST - LIFETIME, exp=material.now - _PAST)


def exp_missing(material: Material) -> str:
    """no exp"""
    return material.token(without="exp")


def exp_null(material: Material) -> str:
    """exp is null"""
    return material.token(exp=None)


def exp_zero(material: Material) -> str:
    """exp is 0, which many languages take for absent"""
    return material.token(exp=0)


def exp_false(material: Material) -> str:
    """exp is false"""
    return material.token(exp=False)


def exp_text(material: Material) -> str:
    """exp is a string of digits"""
    return material.token(exp=str(material.now + LIFETIME))


def exp_no_number(material: Material) -> str:
    """exp is a word"""
    return material.token(exp="never")


def exp_fraction(material: Material) -> str:
    """expired five minutes ago, and exp is no whole number"""
    return material.token(iat=material.now - _PAST - LIFETIME, exp=material.now - _PAST - 0.5)


def exp_infinite(material: Material) -> str:
    """exp is 1e999, which overflows"""
    return _with_exp(material, b"1e999")


def exp_year_9999(material: Material) -> str:
    """exp is in the year 9999"""
    return material.token(exp=253_402_300_799)


def exp_beyond_any_calendar(material: Material) -> str:
    """exp is a number of 300 digits"""
    return _with_exp(material, b"9" * 300)


def too_long_lived(material: Material) -> str:
    """lives for ten years"""
    return material.token(exp=material.now + _LONG)


def nbf_in_the_future(material: Material) -> str:
    """not valid before five minutes from now"""
    return material.token(nbf=material.now + _PAST)


def iat_in_the_future(material: Material) -> str:
    """issued five minutes from now"""
    return material.token(iat=material.now + _PAST)


def _with_exp(material: Material, exp: bytes) -> str:
    payload = to_json(material.claims("exp"))[:-1] + b',"exp":' + exp + b"}"
    return material.key.sign(material.header(), payload)


ATTACKS: Final = (
    Attack("V07", expired),
    Attack("V07", exp_missing),
    Attack("V07", exp_null),
    Attack("V07", exp_zero),
    Attack("V07", exp_false),
    Attack("V07", exp_no_number),
    Attack("V07", exp_text, Level.SHOULD),
    Attack("V07", exp_fraction),
    Attack("V07", exp_infinite, Level.SHOULD),
    Attack("V07", exp_year_9999, Level.SHOULD),
    Attack("V07", exp_beyond_any_calendar, Level.SHOULD),
    Attack("V07", too_long_lived, Level.SHOULD),
    Attack("V07", nbf_in_the_future),
    Attack("V07", iat_in_the_future, Level.SHOULD),
)
