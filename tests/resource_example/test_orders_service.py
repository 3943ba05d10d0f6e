"""The example service, in process and as its own process, against an issuer on a real socket."""

from __future__ import annotations

import ast
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from fastapi.testclient import TestClient

import resource_example
from identity.testing import LocalIssuer, ProofKey
from identity.testing.issuer import FEED_PATH
from resource_example.app import Settings, create_app

AUDIENCE = "http://127.0.0.1:8001"
Bearer = Callable[..., dict[str, str]]


@pytest.fixture
def identity_audience() -> str:
    return AUDIENCE


@pytest.fixture
def service(identity_issuer: LocalIssuer) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(issuer=identity_issuer.url, feed="anonymous"))) as client:
        yield client


def test_open_routes_need_no_token(service: TestClient) -> None:
    assert service.get("/").status_code == 200
    assert service.get("/health").json()["status"] == "ok"


def test_me_needs_any_valid_token(service: TestClient, identity_bearer: Bearer) -> None:
    assert service.get("/me").status_code == 401
    answer = service.get("/me", headers=identity_bearer(without="scope"))
    assert answer.json() == {"subject": "alice", "is_client": False, "scopes": []}
    assert service.get("/me", headers=identity_bearer(aud="http://billing.example")).status_code == 401


def test_v13_a_bound_token_needs_its_proof(
    service: TestClient, identity_issuer: LocalIssuer, identity_dpop: Callable[..., dict[str, str]]
) -> None:
    """RFC 9449 section 7: as a bearer token it is refused, and so is a proof that was used before."""
    headers = identity_dpop("GET", f"{AUDIENCE}/orders", "orders:read")
    as_bearer = {"Authorization": headers["Authorization"].replace("DPoP", "Bearer")}
    assert service.get("/orders", headers=as_bearer).json()["error"] == "invalid_token"
    assert service.get("/orders", headers=headers).status_code == 200
    assert service.get("/orders", headers=headers).json()["error"] == "invalid_dpop_proof"
    elsewhere = identity_dpop("GET", f"{AUDIENCE}/me", "orders:read")
    assert service.get("/orders", headers=elsewhere).status_code == 401
    key = ProofKey()
    token = identity_issuer.token(bound_to=key)
    thief = {"Authorization": f"DPoP {token}", "DPoP": ProofKey().proof("GET", f"{AUDIENCE}/me", token)}
    assert service.get("/me", headers=thief).json()["error"] == "invalid_token"


def test_orders_need_their_scopes(service: TestClient, identity_bearer: Bearer) -> None:
    """V14, V16"""
    reader, writer = identity_bearer("orders:read"), identity_bearer("orders:write")
    placed = service.post("/orders", json={"item": "tea", "quantity": 2}, headers=writer)
    assert (placed.status_code, placed.json()["placed_by"]) == (201, "alice")
    assert [order["item"] for order in service.get("/orders", headers=reader).json()] == ["tea"]
    assert service.get("/orders", headers=identity_bearer("orders:read", sub="bob")).json() == []
    assert service.get("/orders", headers=writer).json()["error"] == "insufficient_scope"
    assert service.post("/orders", json={"item": "tea"}, headers=reader).status_code == 403
    assert service.post("/orders", json={"item": "tea", "price": 0}, headers=writer).status_code == 422


def test_revoked_token_stops_working(
    service: TestClient, identity_issuer: LocalIssuer, identity_bearer: Bearer
) -> None:
    """V12"""
    headers = identity_bearer("orders:read", grant_id="g1")
    assert service.get("/orders", headers=headers).status_code == 200
    identity_issuer.revoke(grant_id="g1")
    identity_issuer.wait_until_applied()
    assert service.get("/orders", headers=headers).status_code == 401
    assert service.get("/orders", headers=identity_bearer("orders:read", grant_id="g1")).status_code == 200


def test_swagger_offers_the_authorize_button_with_blank_client_fields(
    service: TestClient, identity_issuer: LocalIssuer
) -> None:
    page = service.get("/docs").text
    assert '"clientId": ""' in page
    schemes = service.get("/openapi.json").json()["components"]["securitySchemes"]
    assert schemes["OAuth2"]["flows"]["password"]["tokenUrl"] == identity_issuer.url + "/token"


def test_settings_come_from_the_environment() -> None:
    names = {"ISSUER": "https://id.example", "AUDIENCE": "https://o.example", "CREDENTIAL": "orders:se:cret"}
    environment = {f"ORDERS_{name}": value for name, value in names.items()}
    more = {"ORDERS_COOLDOWN": "2.5", "ORDERS_FEED": "", "ORDERS_SNAPSHOT": "/var/lib/orders/keys"}
    settings = Settings.from_environment({**environment, **more})
    snapshot = Path("/var/lib/orders/keys")
    assert settings == Settings("https://id.example", "https://o.example", "orders:se:cret", None, 2.5, snapshot)
    assert Settings.from_environment({}) == Settings()
    assert settings.verifier().status().feed_staleness is not None
    assert Settings().verifier().status().feed_staleness is None


def test_example_imports_only_what_a_service_may() -> None:
    allowed = {"identity.verifier", "fastapi", "pydantic", "uvicorn", *sys.stdlib_module_names}
    for file in Path(resource_example.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.startswith("identity.verifier") or name.split(".")[0] in allowed, (file.name, name)


def test_example_runs_as_its_own_process(identity_issuer: LocalIssuer, identity_bearer: Bearer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    environment = {**os.environ, "ORDERS_ISSUER": identity_issuer.url, "ORDERS_CREDENTIAL": "orders:secret"}
    command = [sys.executable, "-m", "resource_example", "--port", port]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        assert eventually_ok(f"http://127.0.0.1:{port}/orders", identity_bearer("orders:read"))
        assert identity_issuer.requests[FEED_PATH] >= 1
    finally:
        process.terminate()
        assert process.wait(10) in (0, -15)


def eventually_ok(address: str, headers: dict[str, str]) -> bool:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        try:
            return httpx2.get(address, headers=headers).status_code == 200
        except httpx2.TransportError:
            time.sleep(0.05)
    return False
