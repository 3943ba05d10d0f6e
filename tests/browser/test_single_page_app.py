"""oidc-client-ts in Chromium, with the settings of docs/clients.md: in, renewed, revoked, and out again (must show 1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from client_pages import Section, sections
from dev_process import Dev, free_ports
from node import installed_node
from playwright.sync_api import BrowserContext, Page, expect
from single_page_app import single_page_app
from test_sign_in_pages import log_in

pytestmark = pytest.mark.chromium


BOUND = """
settings.dpop = { store: new oidc.IndexedDbDPoPStore(), bind_authorization_code: true };
settings.loadUserInfo = false;
"""


@pytest.fixture(scope="module")
def dev(tmp_path_factory) -> Iterator[Dev]:
    """One installation for all."""
    installation = Dev(tmp_path_factory.mktemp("dev"))
    installation.start()
    yield installation
    assert installation.stop() == 0


@pytest.fixture(scope="module")
def port(dev: Dev) -> int:
    """Where the app will be, once it is registered by the command of the page."""
    (port,) = free_ports(1)
    made = dev.command(*section(dev, port).command, "--json")
    assert made.returncode == 0, made.stderr
    return port


@pytest.fixture
def app(dev: Dev, port: int, request: pytest.FixtureRequest) -> Iterator[str]:
    """The app with the settings of the page; a parameter is JavaScript that changes them."""
    installed_node()
    with single_page_app(port, section(dev, port).blocks("js")[0] + getattr(request, "param", "")) as origin:
        yield origin


def section(dev: Dev, port: int) -> Section:
    return sections("clients.md")["oidc-client-ts, for a single-page app"].at(dev.issuer, f"http://127.0.0.1:{port}")


def titled(page: Page, title: str) -> None:
    expect(page).to_have_title(title, timeout=10_000)


def call(page: Page, url: str, access_token: str) -> int:
    """The status that a fetch of this page gets; 0 if the browser does not let it read the answer."""
    script = """([url, token]) => fetch(url, { headers: { Authorization: `Bearer ${token}` } })
      .then((answer) => answer.status, () => 0)"""
    status: int = page.evaluate(script, [url, access_token])
    return status


def user_of(page: Page) -> dict[str, Any]:
    user: dict[str, Any] = page.evaluate("manager.getUser().then((user) => ({ ...user }))")
    return user


def test_a_single_page_app_signs_a_person_in_and_out(dev: Dev, app: str, browser: BrowserContext):
    """A59: pages of the registered origin may call `/token`, `/userinfo` and `/revoke`; nobody else's may."""
    page = browser.new_page()
    page.goto(app)
    titled(page, "Signed out")
    page.evaluate("void manager.signinRedirect({ prompt: 'consent' })")
    log_in(page)
    page.locator("#consent-allow").click()
    titled(page, "Signed in")
    first = user_of(page)
    assert (first["profile"]["iss"], first["profile"]["aud"]) == (dev.issuer, "spa")
    assert (first["profile"]["name"], first["profile"]["email"]) == ("Alice", "alice@example.com"), "of UserInfo too"

    page.evaluate("manager.signinSilent()")
    renewed = user_of(page)
    assert renewed["profile"] == first["profile"]
    assert renewed["access_token"] != first["access_token"]
    assert renewed["refresh_token"] != first["refresh_token"]

    page.evaluate("manager.revokeTokens(['refresh_token'])")
    assert call(page, f"{dev.issuer}/userinfo", renewed["access_token"]) == 401, "its access tokens are over too"

    page.evaluate("void manager.signinRedirect()")
    titled(page, "Signed in")
    token = user_of(page)["access_token"]
    assert call(page, f"{dev.issuer}/userinfo", token) == 200
    with single_page_app(free_ports(1)[0], "const settings = {}") as elsewhere:
        other = browser.new_page()
        other.goto(elsewhere)
        assert call(other, f"{dev.issuer}/userinfo", token) == 0
    page.evaluate("void manager.signoutRedirect()")
    page.wait_for_url(f"{app}/")
    titled(page, "Signed out")
    page.evaluate("void manager.signinRedirect()")
    expect(page.locator("#login-submit")).to_be_visible(timeout=10_000)


@pytest.mark.parametrize("app", [BOUND], indirect=True, ids=["DPoP"])
def test_a_single_page_app_binds_its_tokens_to_a_key_of_the_browser(dev: Dev, app: str, browser: BrowserContext):
    """A53, A59: pages of the registered origin may send proofs, and what they get is no good without."""
    page = browser.new_page()
    page.goto(app)
    page.evaluate("void manager.signinRedirect({ prompt: 'consent' })")
    log_in(page)
    page.locator("#consent-allow").click()
    titled(page, "Signed in")
    first = user_of(page)
    page.evaluate("manager.signinSilent()")
    renewed = user_of(page)
    assert (first["token_type"], renewed["token_type"]) == ("DPoP", "DPoP")
    assert renewed["refresh_token"] != first["refresh_token"]
    assert call(page, f"{dev.issuer}/userinfo", renewed["access_token"]) == 401
