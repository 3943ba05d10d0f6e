"""Measures how much of a core's RSA-2048 signatures become tokens: refresh and client_credentials over HTTP, and the JWKS."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.identity_server import PORT, REFRESH, IdentityServer
from benchmarks.machine import openssl_speed
from benchmarks.processes import Load, Server, get_request, post_request, put_load
from benchmarks.rounds import Ratio, interleave
from benchmarks.table import Row, Target, percent, times

_HELLO_PORT = 18704
_SESSIONS = 400
_BUSY = 0.9
"""A server whose utilisation is less was waiting for something, and its rate says nothing about the core."""


def refresh(identity: IdentityServer, rounds: int, seconds: float) -> list[Row]:
    """Refreshes of known sessions: the family is in the process's memory, and one Redis round trip advances it."""
    tokens = identity.sessions(_SESSIONS)

    def load() -> Load:
        nonlocal tokens
        found = put_load(identity.server, seconds, tokens=tokens, **REFRESH)
        tokens = found.tokens
        return found

    return [_share_of_signs("refresh, share of openssl RSA-2048 signs", Target(0.55, 0.70, percent), load, rounds)]


def client_credentials(identity: IdentityServer, rounds: int, seconds: float) -> list[Row]:
    """A service logs in by HTTP Basic."""
    request = post_request("/token", PORT, "grant_type=client_credentials", [identity.basic])
    target = Target(0.60, 0.75, percent)

    def load() -> Load:
        return put_load(identity.server, seconds, requests=[request])

    return [_share_of_signs("client_credentials, share of openssl RSA-2048 signs", target, load, rounds)]


def jwks(identity: IdentityServer, rounds: int, seconds: float) -> list[Row]:
    """The JWKS against FastAPI's smallest JSON answer under the same uvicorn settings."""
    hello = Server.asgi("hello", _HELLO_PORT)
    try:
        found = interleave(
            rounds,
            {
                "jwks": lambda: put_load(
                    identity.server, seconds, requests=[get_request("/.well-known/jwks.json", PORT)]
                ),
                "hello": lambda: put_load(hello, seconds, requests=[get_request("/", _HELLO_PORT)]),
            },
        )
    finally:
        hello.stop()
    result = Ratio.of(*([load.per_cpu_second for load in found[name]] for name in ("jwks", "hello")))
    wall = Ratio.of(*([load.rate for load in found[name]] for name in ("jwks", "hello")))
    note = f"{_each(found['jwks'])} against {_each(found['hello'])}; by wall clock {times(wall.median)}"
    return [Row("GET jwks.json against FastAPI's smallest JSON", Target(2, 3, times), result, note)]


def _share_of_signs(measure: str, target: Target, load: Callable[[], Load], rounds: int) -> Row:
    """Divides tokens by signatures, both per second of CPU time. The yardstick stands before and after every load."""
    before = openssl_speed().signs
    shares, loads = [], []
    for _ in range(rounds):
        found, after = load(), openssl_speed().signs
        shares.append(found.per_cpu_second / ((before + after) / 2))
        loads.append(found)
        before = after
    busy = Ratio.around([found.utilisation for found in loads]).median
    note = f"{_each(loads)}; a signature {1e6 / before:.0f} µs; server {percent(busy)} busy"
    if refused := sum(found.refused for found in loads):
        note += f"; {refused} of {sum(found.total for found in loads)} refused"
    if busy < _BUSY:
        note += ": others took the core, read with care"
    return Row(measure, target, Ratio.around(shares), note)


def _each(loads: list[Load]) -> str:
    return f"{Ratio.around([load.cpu_each for load in loads]).median * 1e6:.0f} µs of CPU each"
