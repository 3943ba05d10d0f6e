"""The OpenAPI document is written by hand for the protocol's endpoints: it names all of them, and nothing else."""

from __future__ import annotations

from identity.app import create_app
from identity.web.pages import STYLESHEET_PATH

PAGES = {"/authorize", "/login", "/consent", "/logout", "/logout/confirm", STYLESHEET_PATH}
UNDESCRIBED = {"/health/live", "/health/ready", *PAGES}
"""For balancers and for people, not for clients."""


def test_every_endpoint_of_the_table_is_described(settings_of):
    app = create_app(settings_of())
    described = {path: set(item) for path, item in app.openapi()["paths"].items()}
    served = {path: {method.lower() for method in methods} for path, methods in app.state.endpoints.items()}
    assert set(served) >= UNDESCRIBED
    assert described == {path: methods for path, methods in served.items() if path not in UNDESCRIBED}
