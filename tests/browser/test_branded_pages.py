"""An operator's branding in Chromium: the logo, the colour and the templates are there, and the policy has nothing to say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from dev_process import Dev
from playwright.sync_api import BrowserContext, Page, expect
from relying_party import RelyingParty, relying_party

pytestmark = pytest.mark.chromium

LOGO = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 120 40" width="120" height="40">
<script>document.documentElement.setAttribute("data-ran", "yes")</script>
<style>.mark { fill: #0b6e4f }</style>
<rect class="mark" width="40" height="40" rx="8"/><circle class="mark" cx="80" cy="20" r="20"/></svg>"""
LAYOUT = """{% extends "ours/page.html" %}
{% block foot %}<a href="https://acme.example/privacy">Privacy</a>{% endblock %}"""


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Dev]:
    """An installation with a logo, a colour, a layout and style rules of its own."""
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "page.html").write_text(LAYOUT)
    (tmp_path / "templates" / "brand.css").write_text(".card { border-top: 7px solid var(--accent) }")
    (tmp_path / "logo.svg").write_text(LOGO)
    branding = {
        "IDENTITY_BRAND_NAME": "Acme",
        "IDENTITY_LOGO_FILE": str(tmp_path / "logo.svg"),
        "IDENTITY_ACCENT_COLOR": "#0b6e4f",
        "IDENTITY_TEMPLATES_DIR": str(tmp_path / "templates"),
    }
    installation = Dev(tmp_path, branding)
    installation.start()
    yield installation
    assert installation.stop() == 0


@pytest.fixture
def party(dev: Dev) -> Iterator[RelyingParty]:
    with relying_party(dev.issuer) as party:
        yield party


def style(page: Page, selector: str, name: str) -> str:
    found: str = page.locator(selector).evaluate(f"it => getComputedStyle(it).{name}")
    return found


def test_people_see_whose_page_it_is(dev: Dev, party: RelyingParty, browser: BrowserContext) -> None:
    """A10: nothing comes from elsewhere, and opened by itself, the logo runs no script."""
    page = browser.new_page()
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(party.link(prompt="consent"))
    expect(page).to_have_title("Sign in to Demo web app · Acme")
    logo = page.get_by_role("img", name="Acme")
    expect(logo).to_be_visible()
    assert logo.evaluate("it => it.naturalWidth") == 120
    assert style(page, "#login-submit", "backgroundColor") == "rgb(11, 110, 79)"
    assert style(page, "#login-submit", "color") == "rgb(255, 255, 255)"
    assert style(page, ".card", "borderTopWidth") == "7px"
    expect(page.get_by_role("link", name="Privacy")).to_be_visible()
    page.get_by_label("Username").fill("alice")
    page.get_by_label("Password").fill("wonderland")
    page.locator("#login-submit").click()
    page.locator("#consent-allow").click()
    expect(page.get_by_role("heading", name="Back in the app")).to_be_visible()
    assert party.answers[-1]["code"]
    assert complaints == []
    assert all(url.startswith((dev.issuer, party.start)) for url in asked), asked
    page.goto(party.link(prompt="login"))
    address = page.get_by_role("img", name="Acme").get_attribute("src")
    page.goto(f"{dev.issuer}{address}")
    assert page.evaluate("document.documentElement.localName") == "svg"
    assert page.evaluate("document.documentElement.getAttribute('data-ran')") is None
    assert any(re.search("script", each) for each in complaints), "the browser said that it did not run it"
