"""Measures what one worker takes: resident memory after load, and start to first 200 against bare FastAPI."""

from __future__ import annotations

from benchmarks.identity_server import REFRESH, IdentityServer
from benchmarks.processes import Server, put_load
from benchmarks.rounds import Ratio, interleave
from benchmarks.table import Row, Target, megabytes, times

_FIRST_PORT = 18710


def measure(identity: IdentityServer, rounds: int, seconds: float) -> list[Row]:
    """Returns both rows. Byte code is warm, as it is in an image that was built with it."""
    ports = iter(range(_FIRST_PORT, _FIRST_PORT + 2 * rounds + 2))
    resident: list[float] = []

    def identity_server() -> float:
        server = identity.start_process(next(ports))
        try:
            put_load(server, min(seconds, 1.0), tokens=identity.sessions(400), **REFRESH)
            resident.append(server.resident_bytes)
            return server.started_in
        finally:
            server.stop()

    def bare_app() -> float:
        server = Server.asgi("hello", next(ports))
        server.stop()
        return server.started_in

    bare_app()
    found = interleave(rounds, {"identity": identity_server, "bare": bare_app})
    started = {name: Ratio.around(values).median for name, values in found.items()}
    note = f"{started['identity'] * 1e3:.0f} ms against {started['bare'] * 1e3:.0f} ms; until /health/ready is 200"
    return [
        Row(
            "memory of one worker after load",
            Target(100e6, 90e6, megabytes, less_is_better=True),
            Ratio.around(resident),
            "resident set, shared libraries included",
        ),
        Row(
            "start to first 200 against a bare FastAPI app",
            Target(2.5, 2, times, less_is_better=True),
            Ratio.of(found["identity"], found["bare"]),
            note,
        ),
    ]
