"""Measures what protection costs a service: the same FastAPI endpoint open, with tokens it has seen, and with new ones only."""

from __future__ import annotations

import os

from benchmarks.identity_server import IdentityServer
from benchmarks.processes import WARM_UP_SECONDS, Load, Server, get_request, put_load
from benchmarks.rounds import Ratio, interleave
from benchmarks.table import Row, Target, percent
from benchmarks.tokens import access_tokens

_PORT = 18705
_SEEN = 1000
_FASTEST = 9000
"""More answers a second than this the endpoint does not give: so many new tokens are enough that none is sent twice."""


def measure(identity: IdentityServer, rounds: int, seconds: float) -> list[Row]:
    """Returns the rows of both ways. The services' verifiers follow the revocation feed of the running server."""
    return [
        row
        for way, app, port in (
            ("by middleware", "behind-middleware", _PORT),
            ("by a dependency", "protected", _PORT + 1),
        )
        for row in _measure_way(identity, way, app, port, rounds, seconds)
    ]


def _measure_way(identity: IdentityServer, way: str, app: str, port: int, rounds: int, seconds: float) -> list[Row]:
    environment = {
        **os.environ,
        "BENCHMARK_ISSUER": identity.issuer,
        "BENCHMARK_AUDIENCE": identity.options.resource_url,
        "BENCHMARK_SECRET": identity.notes.resource_secret,
    }
    service = Server.asgi(app, port, environment)
    known = _requests(port, access_tokens(identity, _SEEN))
    # A second is long enough: each new token has to be signed before, which takes longer than its verification.
    length = min(seconds, 1.0)

    def with_new_tokens() -> Load:
        count = int(_FASTEST * (length + WARM_UP_SECONDS))
        return put_load(service, length, requests=_requests(port, access_tokens(identity, count)))

    try:
        put_load(service, 1, requests=known)
        found = interleave(
            rounds,
            {
                "open": lambda: put_load(service, length, requests=[get_request("/", port)]),
                "seen": lambda: put_load(service, length, requests=known),
                "new": with_new_tokens,
            },
        )
    finally:
        service.stop()
    rates = {name: [load.per_cpu_second for load in loads] for name, loads in found.items()}
    each = {name: f"{1e6 / Ratio.around(values).median:.0f} µs" for name, values in rates.items()}
    return [
        Row(
            f"protected FastAPI endpoint against open, {way}, token {name}",
            target,
            Ratio.of(rates[name], rates["open"]),
            f"{each[name]} against {each['open']} of CPU each",
        )
        for name, target in (("seen", Target(0.9, 0.96, percent)), ("new", Target(0.55, 0.62, percent)))
    ]


def _requests(port: int, tokens: list[str]) -> list[str]:
    return [get_request("/protected", port, [f"Authorization: Bearer {token}"]) for token in tokens]
