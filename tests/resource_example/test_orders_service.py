"""The example service, in process and as its own process, against an issuer on a real socket."""

from __future__ import annotations

import ast
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from fake_issuer import FEED, FakeIssuer
from fastapi.testclient import TestClient

import resource_example
from identity.verifier.profile import RuleKind
from resource_example.app import Settings, create_app

AUDIENCE = "http://127.0.0.1:8001"


def bearer(issuer: FakeIssuer, **claims: object) -> dict[str, str]:
    return {"Authorization": f"Bearer {issuer.mint(aud=AUDIENCE, **claims)}"}  # type: ignore[arg-type]


@pytest.fixture
def service(issuer: FakeIssuer) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(issuer=issuer.url, feed="anonymous"))) as client:
        yield client


def test_open_routes_need_no_token(service: TestClient) -> None:
    assert service.get("/").status_code == 200
    assert service.get("/health").json()["status"] == "ok"


def test_me_needs_any_valid_token(service: TestClient, issuer: FakeIssuer) -> None:
    assert service.get("/me").status_code == 401
    answer = service.get("/me", headers=bearer(issuer, scope=None))
    assert answer.json() == {"subject": "alice", "is_client": False, "scopes": []}
    foreign = {"Authorization": f"Bearer {issuer.mint(aud='http://billing.example')}"}
    assert service.get("/me", headers=foreign).status_code == 401


def test_orders_need_their_scopes(service: TestClient, issuer: FakeIssuer) -> None:
    """V14, V16"""
    reader, writer = bearer(issuer, scope="orders:read"), bearer(issuer, scope="orders:write")
    placed = service.post("/orders", json={"item": "tea", "quantity": 2}, headers=writer)
    assert (placed.status_code, placed.json()["placed_by"]) == (201, "alice")
    assert [order["item"] for order in service.get("/orders", headers=reader).json()] == ["tea"]
    assert service.get("/orders", headers=bearer(issuer, sub="bob")).json() == []
    assert service.get("/orders", headers=writer).json()["error"] == "insufficient_scope"
    assert service.post("/orders", json={"item": "tea"}, headers=reader).status_code == 403
    assert service.post("/orders", json={"item": "tea", "price": 0}, headers=writer).status_code == 422


def test_revoked_token_stops_working(service: TestClient, issuer: FakeIssuer) -> None:
    """V12"""
    headers = bearer(issuer)
    assert service.get("/orders", headers=headers).status_code == 200
    issuer.revoke(RuleKind.GRANT, "g1")
    deadline = time.monotonic() + 4
    while service.get("/orders", headers=headers).status_code != 401:
        assert time.monotonic() < deadline
    assert service.get("/orders", headers=bearer(issuer)).status_code == 200


def test_swagger_offers_the_authorize_button_with_blank_client_fields(service: TestClient, issuer: FakeIssuer) -> None:
    page = service.get("/docs").text
    assert '"clientId": ""' in page
    schemes = service.get("/openapi.json").json()["components"]["securitySchemes"]
    assert schemes["OAuth2"]["flows"]["password"]["tokenUrl"] == issuer.url + "/token"


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


def test_example_runs_as_its_own_process(issuer: FakeIssuer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    environment = {**os.environ, "ORDERS_ISSUER": issuer.url, "ORDERS_CREDENTIAL": "orders:secret"}
    command = [sys.executable, "-m", "resource_example", "--port", port]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        assert eventually_ok(f"http://127.0.0.1:{port}/orders", bearer(issuer))
        assert issuer.hits[FEED] >= 1
        assert issuer.authorizations[0] is not None
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
