"""An issuer for the tests of services that verify: it runs in the test's own process and does whatever it is told.

This package owns `LocalIssuer` and the pytest plugin that hands one to each test. It imports nothing of ours but the verifier,
and only `plugin` imports pytest, so whatever needs a throw-away issuer may use it.

    def test_readers_see_orders(client, identity_bearer):
        assert client.get("/orders", headers=identity_bearer("orders:read")).status_code == 200
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from identity.testing.clock import MovableClock
    from identity.testing.issuer import LocalIssuer
    from identity.testing.keys import SigningKey
    from identity.testing.proofs import ProofKey

_HOMES = {"LocalIssuer": "issuer", "MovableClock": "clock", "ProofKey": "proofs", "SigningKey": "keys"}


def __getattr__(name: str) -> object:
    """Loads a name on first use: pytest imports this package in every run, also in those that need no issuer."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


__all__ = ["LocalIssuer", "MovableClock", "ProofKey", "SigningKey"]
