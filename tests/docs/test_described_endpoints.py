"""The OpenAPI document is written by hand for the protocol's endpoints: it names all of them, and nothing else."""

from __future__ import annotations

from identity.app import create_app

PAGES = {"/authorize", "/login", "/consent", "/logout", "/logout/confirm"}
UNDESCRIBED = {"/health/live", "/health/ready", *PAGES}
"""For balancers and for people, not for clients."""


def test_every_endpoint_of_the_table_is_described(settings_of):
    app = create_app(settings_of())
    described = {path: set(item) for path, item in app.openapi()["paths"].items()}
    endpoints = {path: it for path, it in app.state.endpoints.items() if not path.startswith("/assets/")}
    served = {path: {method.lower() for method in methods} for path, methods in endpoints.items()}
    assert set(served) >= UNDESCRIBED
    assert described == {path: methods for path, methods in served.items() if path not in UNDESCRIBED}
