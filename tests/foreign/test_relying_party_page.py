"""The app of docs/relying-party.md, pasted as it is: people sign in, see their orders, and sign out (must show 1)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn
from client_pages import page
from dev_process import free_ports, wait_until
from person import Person

ISSUER, ORDERS, HERE = "http://127.0.0.1:8000", "http://127.0.0.1:8001", "http://127.0.0.1:9000"


@dataclass
class Shop:
    """The running app; `names` are those of its module."""

    address: str
    names: dict[str, Any]

    def tokens(self) -> dict[str, Any]:
        """The tokens of the one person who is signed in."""
        (found,) = self.names["signed_in"].values()
        return found


@pytest.fixture(scope="module")
def shop(dev, run_command) -> Iterator[Shop]:
    """Registers the app by the page's command, and starts its code."""
    (port,) = free_ports(1)
    address = f"http://127.0.0.1:{port}"
    told = page("relying-party.md").replaced({HERE: address, ORDERS: dev.orders, ISSUER: dev.issuer})
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("SHOP_SECRET", run_command(*told.command)["client_secret"])
        monkeypatch.setenv("SHOP_COOKIE_KEY", "a key of the cookie")
        names: dict[str, Any] = {}
        exec(compile(told.blocks("python")[0], "shop.py", "exec"), names)
    server = uvicorn.Server(uvicorn.Config(names["app"], port=port, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started, 10)
    yield Shop(address, names)
    server.should_exit = True
    thread.join()


def test_the_app_of_the_page_signs_people_in_and_out(shop, dev):
    person = Person(dev.issuer)
    assert "Sign in" in person.visit(shop.address).text
    assert "Hello Alice." in person.visit(f"{shop.address}/sign-in").text
    assert person.visit(f"{shop.address}/orders").json() == []
    first = dict(shop.tokens())
    shop.tokens()["expires_at"] = 0
    assert "Hello Alice." in person.visit(shop.address).text
    assert shop.tokens()["refresh_token"] != first["refresh_token"]
    assert shop.tokens()["expires_at"] >= first["expires_at"]
    assert "Sign in" in person.submit(f"{shop.address}/sign-out").text
    assert person.leads_to_login(f"{shop.address}/orders")


def test_the_app_of_the_page_notices_that_a_session_was_ended_elsewhere(shop, dev):
    person = Person(dev.issuer)
    person.visit(f"{shop.address}/sign-in")
    ended = dev.command("revoke", "--token", shop.tokens()["refresh_token"], "--wait")
    assert ended.returncode == 0, ended.stderr
    assert "Hello" in person.visit(f"{shop.address}/orders").text, "signed in again, by the login at the issuer"
    shop.tokens()["expires_at"] = 0
    shop.tokens()["refresh_token"] = "nonsense"
    assert "Sign in" in person.visit(shop.address).text
    refused = person.visit(f"{shop.address}/callback?code=x&state=y")
    assert (refused.status_code, "Try again" in refused.text) == (400, True)
