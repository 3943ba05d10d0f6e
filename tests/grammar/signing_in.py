"""Somebody who is signed in, at a client that need not ask them."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from background_issuer import Browser
from browser import Flow
from rfc_oracle import read_page

SHOP = "https://shop.example/signed-in?from=issuer"


def log_in(browser: Browser) -> dict[str, str]:
    """Logs alice in at this browser; returns the tokens of the client `shop`."""
    flow = Flow()
    asked = flow.parameters(client_id="shop", redirect_uri=SHOP)
    away = browser.send("GET", "/authorize", params=asked)
    page = read_page(browser.send("GET", away.headers["location"]))
    answer = browser.send("POST", "/login", data={**page.fields, "username": "alice", "password": "wonderland"})
    code = parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]
    form = {"code": code, "code_verifier": flow.verifier, "redirect_uri": SHOP, "client_id": "shop"}
    tokens: dict[str, str] = browser.send("POST", "/token", data={"grant_type": "authorization_code", **form}).json()
    return tokens
