"""A sign-in over https, on the addresses of `identity dev --tls`: Chromium takes the cookies that begin with `__Host-`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from dev_process import Dev
from playwright.sync_api import BrowserContext, expect
from relying_party import relying_party

pytestmark = pytest.mark.chromium


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Dev]:
    """An installation that speaks https."""
    installation = Dev(tmp_path, flags=("--tls",))
    installation.start()
    yield installation
    assert installation.stop() == 0


def test_u06_a_browser_keeps_the_login_in_a_host_cookie(dev: Dev, browser_past_the_warning: BrowserContext) -> None:
    """Signed in, signed in again without being asked, new at the next login, and gone after the logout; no script sees it."""
    context = browser_past_the_warning

    def sessions() -> list[dict[str, object]]:
        found = [dict(cookie) for cookie in context.cookies() if cookie["name"].endswith("identity-session")]
        return [{**each, "value": str(each["value"])} for each in found]

    page = context.new_page()
    with relying_party(dev.issuer) as party:
        for prompt in ("consent", "login"):
            before = sessions()
            page.goto(party.link(prompt=prompt))
            page.get_by_label("Username").fill("alice")
            page.get_by_label("Password").fill("wonderland")
            page.locator("#login-submit").click()
            if prompt == "consent":
                assert page.evaluate("document.cookie") == ""
                page.locator("#consent-allow").click()
            expect(page.get_by_role("heading", name="Back in the app")).to_be_visible()
            (now,) = sessions()
            assert now["value"] not in [each["value"] for each in before]
            flags = {
                name: now[name] for name in ("name", "domain", "path", "secure", "httpOnly", "sameSite", "expires")
            }
            assert flags == {
                "name": "__Host-identity-session",
                "domain": "127.0.0.1",
                "path": "/",
                "secure": True,
                "httpOnly": True,
                "sameSite": "Lax",
                "expires": -1,
            }
        page.goto(party.link(prompt="none"))
        expect(page.get_by_role("heading", name="Back in the app")).to_be_visible()
        assert "code" in party.answers[-1]
        page.goto(party.logout_link())
        page.locator("#logout-confirm").click()
        expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()
        assert sessions() == []
