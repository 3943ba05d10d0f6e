"""The OpenAPI document is written by hand for the protocol's endpoints: it names all of them, and nothing else."""

from __future__ import annotations

from identity.app import create_app

UNDESCRIBED = {"/health/live", "/health/ready"}
"""For balancers, not for clients."""


def test_every_endpoint_of_the_table_is_described(settings_of):
    app = create_app(settings_of())
    own = [route for route in app.routes if getattr(route.endpoint, "__module__", "").startswith("identity.web")]
    assert len(own) >= len(UNDESCRIBED)
    described = {path: set(item) for path, item in app.openapi()["paths"].items()}
    served = {route.path: {method.lower() for method in route.methods - {"HEAD"}} for route in own}
    assert described == {path: methods for path, methods in served.items() if path not in UNDESCRIBED}
