"""The OpenAPI document is written by hand for the protocol's endpoints: it names all of them, and nothing else."""

from __future__ import annotations

from identity.app import create_app
from identity.web.front import Front

UNDESCRIBED = {"/health/live", "/health/ready"}
"""For balancers, not for clients."""


def test_every_endpoint_of_the_table_is_described(settings_of):
    app = create_app(settings_of())
    described = {path: set(item) for path, item in app.openapi()["paths"].items()}
    (front,) = (each for each in app.user_middleware if each.cls is Front)
    served = {path: {method.lower() for method in methods} for path, methods in front.kwargs["endpoints"].items()}
    assert set(served) >= UNDESCRIBED
    assert described == {path: methods for path, methods in served.items() if path not in UNDESCRIBED}
