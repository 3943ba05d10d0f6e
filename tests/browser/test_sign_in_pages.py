"""The pages of a sign-in, as people meet them: in Chromium, with and without a mouse."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from dev_process import Dev
from playwright.sync_api import BrowserContext, Page, expect
from relying_party import RelyingParty, relying_party

pytestmark = pytest.mark.chromium

SIZES = {"desktop": (1100, 760), "phone": (390, 760)}


@pytest.fixture(scope="module")
def dev(tmp_path_factory) -> Iterator[Dev]:
    """One installation for all: browsers have no past, but what people allowed stays, so whoever wants to see the consent page
    asks for it."""
    installation = Dev(tmp_path_factory.mktemp("dev"))
    installation.start()
    yield installation
    assert installation.stop() == 0


@pytest.fixture
def party(dev) -> Iterator[RelyingParty]:
    with relying_party(dev.issuer) as party:
        yield party


def keep(page: Page, name: str) -> None:
    """Keeps pictures where SCREENSHOTS says: phone and desktop, light and dark."""
    if folder := os.environ.get("SCREENSHOTS"):
        for size, (width, height) in SIZES.items():
            for scheme in ("light", "dark"):
                page.set_viewport_size({"width": width, "height": height})
                page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                page.screenshot(path=str(Path(folder) / f"{name}-{size}-{scheme}.png"))
        page.emulate_media(color_scheme="light")


def log_in(page: Page, username: str = "alice", password: str = "wonderland") -> None:
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password").fill(password)
    page.locator("#login-submit").click()


def back_in_the_app(page: Page) -> None:
    expect(page.get_by_role("heading", name="Back in the app")).to_be_visible(timeout=10_000)


def sign_in(page: Page, party: RelyingParty, **changes: str) -> None:
    page.goto(party.link(prompt="consent", **changes))
    log_in(page)
    page.locator("#consent-allow").click()
    back_in_the_app(page)


def test_a_person_signs_in_agrees_and_signs_out(party: RelyingParty, browser: BrowserContext):
    """Must show 3; the Content-Security-Policy lets the browser go back to the client, and do nothing else."""
    page = browser.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(party.link(prompt="consent"))
    expect(page).to_have_title("Sign in to Demo web app")
    keep(page, "login")
    log_in(page)
    expect(page.get_by_role("heading", name="Allow Demo web app?")).to_be_visible()
    keep(page, "consent")
    page.locator("#consent-allow").click()
    back_in_the_app(page)
    assert party.answers[-1]["state"] == "s1"
    id_token = party.tokens()["id_token"]
    page.goto(party.link(state="s2"))
    back_in_the_app(page)
    assert party.answers[-1]["state"] == "s2", "who is signed in is not asked again"
    page.goto(party.logout_link(id_token))
    back_in_the_app(page)
    assert party.answers[-1] == {"state": "out"}
    page.goto(party.link())
    expect(page.locator("#login-submit")).to_be_visible()
    assert complaints == []


def test_a_wrong_password_is_said_and_the_name_stays(party: RelyingParty, browser: BrowserContext):
    page = browser.new_page()
    page.goto(party.link(prompt="consent"))
    log_in(page, password="not wonderland")
    expect(page.get_by_role("alert")).to_have_text("Wrong username or password.")
    expect(page.get_by_label("Username")).to_have_value("alice")
    expect(page.get_by_label("Password")).to_be_focused()
    expect(page.get_by_label("Password")).to_have_value("")
    keep(page, "wrong-password")
    page.get_by_label("Password").fill("wonderland")
    page.keyboard.press("Enter")
    expect(page.locator("#consent-allow")).to_be_visible()


def test_whoever_says_no_goes_back_without_a_code(party: RelyingParty, browser: BrowserContext):
    page = browser.new_page()
    page.goto(party.link(prompt="consent"))
    log_in(page)
    page.locator("#consent-deny").click()
    back_in_the_app(page)
    assert party.answers[-1]["error"] == "access_denied"


def test_nothing_but_a_keyboard_is_needed(party: RelyingParty, browser: BrowserContext):
    """The name has the focus; tabs go through the form in order, and what has the focus shows it."""
    page = browser.new_page()
    page.goto(party.link(prompt="consent"))
    expect(page.get_by_label("Username")).to_be_focused()
    page.keyboard.type("alice")
    page.keyboard.press("Tab")
    page.keyboard.type("wonderland")
    page.keyboard.press("Tab")
    expect(page.locator("#login-submit")).to_be_focused()
    assert page.locator("#login-submit").evaluate("it => getComputedStyle(it).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.locator("#consent-allow")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.locator("#consent-allow")).to_be_focused()
    page.keyboard.press("Enter")
    back_in_the_app(page)


def test_the_back_button_leads_to_a_page_that_is_over_and_says_so(party: RelyingParty, browser: BrowserContext):
    page = browser.new_page()
    sign_in(page, party)
    for _ in range(2):  # The consent page, and the login page before it.
        page.go_back()
        expect(page.get_by_role("heading", name="This request cannot be answered")).to_be_visible()
    keep(page, "over")
    page.goto(party.link(state="again"))
    back_in_the_app(page)
    assert party.answers[-1]["state"] == "again"


def test_two_tabs_may_be_under_way_at_once(party: RelyingParty, browser: BrowserContext):
    first, second = browser.new_page(), browser.new_page()
    first.goto(party.link(state="first", prompt="consent"))
    second.goto(party.link(state="second", prompt="consent"))
    for page in (second, first):
        log_in(page)
        page.locator("#consent-allow").click()
        back_in_the_app(page)
    assert [each["state"] for each in party.answers] == ["second", "first"]


def test_a_session_that_is_over_leads_to_the_login_page(party: RelyingParty, dev, browser: BrowserContext):
    page = browser.new_page()
    sign_in(page, party)
    ended = dev.command("revoke", "--user", "alice")
    assert ended.returncode == 0, ended.stderr
    page.goto(party.link())
    expect(page.locator("#login-submit")).to_be_visible()


def test_signing_out_without_a_client_is_asked_about(party: RelyingParty, browser: BrowserContext):
    page = browser.new_page()
    sign_in(page, party)
    page.goto(party.logout_link())
    expect(page.get_by_role("heading", name="Sign out?")).to_be_visible()
    keep(page, "logout")
    page.locator("#logout-confirm").click()
    expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()
    keep(page, "signed-out")
    page.goto(party.link())
    expect(page.locator("#login-submit")).to_be_visible()


def test_an_answer_may_be_posted(party: RelyingParty, browser: BrowserContext):
    """A09: the page submits itself, and has a button where no script may run."""
    page = browser.new_page()
    sign_in(page, party, response_mode="form_post")
    assert party.answers[-1]["code"]


def test_an_address_that_nobody_registered_is_a_page(party: RelyingParty, browser: BrowserContext):
    page = browser.new_page()
    page.goto(party.link(redirect_uri="http://127.0.0.1:1/evil"))
    expect(page.get_by_role("alert")).to_have_text("The redirect URI is not one that the client registered.")
    keep(page, "error")
