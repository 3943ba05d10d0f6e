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
    expect(page).to_have_title("Sign in to Demo web app · Identity")
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


def has_focus(page: Page, selector: str) -> None:
    """It has the focus, and shows it by a ring that nobody overlooks."""
    focused = page.locator(selector)
    expect(focused).to_be_focused()
    ring = focused.evaluate("it => [getComputedStyle(it).outlineStyle, getComputedStyle(it).outlineWidth]")
    assert ring == ["solid", "3px"], selector


def test_nothing_but_a_keyboard_is_needed(party: RelyingParty, browser: BrowserContext):
    """The name has the focus; tabs go through each form in order, what has the focus shows it, and Enter sends."""
    page = browser.new_page()
    page.goto(party.link(prompt="consent"))
    has_focus(page, "#username")
    page.keyboard.type("alice")
    page.keyboard.press("Tab")
    has_focus(page, "#password")
    page.keyboard.type("wonderland")
    page.keyboard.press("Tab")
    has_focus(page, "#login-submit")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#consent-allow")).to_be_visible()
    page.keyboard.press("Tab")
    has_focus(page, "#consent-allow")
    page.keyboard.press("Tab")
    has_focus(page, "#consent-deny")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    back_in_the_app(page)
    assert party.answers[-1]["code"]
    page.goto(party.logout_link())
    page.keyboard.press("Tab")
    has_focus(page, "#logout-confirm")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()


def is_over(page: Page) -> None:
    """The page says so, and has nothing left to press or to read of anybody."""
    expect(page.get_by_role("heading", name="Please start again")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_text("This page is over, or belongs to another browser.")
    assert page.locator("form, input, button").count() == 0
    assert "alice" not in page.content()


def test_the_back_button_leads_to_a_page_that_is_over_and_says_so(party: RelyingParty, browser: BrowserContext):
    """A12: no page is shown from a cache, none can be used again, and the client hears nothing."""
    page = browser.new_page()
    sign_in(page, party)
    for _ in range(2):  # The consent page, and the login page before it.
        page.go_back()
        is_over(page)
    keep(page, "over")
    assert len(party.answers) == 1
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


def test_a_tab_of_before_another_login_says_that_it_is_over(party: RelyingParty, browser: BrowserContext):
    """What somebody agrees to in one tab is not what somebody else, who logged in in the other, agreed to."""
    first, second = browser.new_page(), browser.new_page()
    for page, name, password in ((first, "alice", "wonderland"), (second, "bob", "builder")):
        page.goto(party.link(state=name, prompt="consent" if name == "alice" else "login consent"))
        log_in(page, name, password)
        expect(page.locator("#consent-allow")).to_be_visible()
    first.locator("#consent-allow").click()
    is_over(first)
    second.locator("#consent-allow").click()
    back_in_the_app(second)
    assert [each["state"] for each in party.answers] == ["bob"]


def test_a_page_is_pressed_once(party: RelyingParty, browser: BrowserContext):
    """The same consent page in two tabs, as whoever duplicates a tab has it: one agrees, the other is told that it is over."""
    first = browser.new_page()
    first.goto(party.link(prompt="consent"))
    log_in(first)
    expect(first.locator("#consent-allow")).to_be_visible()
    second = browser.new_page()
    second.goto(first.url)
    for page in (first, second):
        page.locator("#consent-allow").click()
    back_in_the_app(first)
    is_over(second)
    assert len(party.answers) == 1


def test_no_script_is_needed(party: RelyingParty, browser_without_scripts: BrowserContext):
    """P01: signed in and out by plain forms; an answer that is posted has a button."""
    page = browser_without_scripts.new_page()
    page.goto(party.link(prompt="consent", response_mode="form_post"))
    log_in(page, password="not wonderland")
    expect(page.get_by_role("alert")).to_have_text("Wrong username or password.")
    log_in(page)
    page.locator("#consent-allow").click()
    expect(page.get_by_role("heading", name="Back to the application")).to_be_visible()
    keep(page, "form-post")
    page.locator("#continue").click()
    back_in_the_app(page)
    assert party.answers[-1]["code"]
    page.goto(party.logout_link())
    page.locator("#logout-confirm").click()
    expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()


def test_a_session_that_ends_while_somebody_reads_a_page_ends_the_page(
    party: RelyingParty, dev, browser: BrowserContext
):
    """A48: nobody agrees to anything for a session that was ended."""
    page = browser.new_page()
    page.goto(party.link(prompt="consent"))
    log_in(page)
    expect(page.locator("#consent-allow")).to_be_visible()
    ended = dev.command("revoke", "--user", "alice")
    assert ended.returncode == 0, ended.stderr
    page.locator("#consent-allow").click()
    is_over(page)
    assert party.answers == []


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


def test_the_back_button_after_signing_out_brings_nobody_back(party: RelyingParty, browser: BrowserContext):
    """U06: what was on the pages is in no cache, and nothing on the way back signs anybody in."""
    page = browser.new_page()
    sign_in(page, party)
    page.goto(party.link(state="s2", prompt="consent"))
    expect(page.get_by_text("alice")).to_be_visible()
    page.goto(party.logout_link())
    page.locator("#logout-confirm").click()
    expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()
    page.go_back()
    is_over(page)
    page.goto(party.link(prompt="none"))
    back_in_the_app(page)
    assert party.answers[-1]["error"] == "login_required"


def test_long_names_and_many_scopes_fit_on_a_small_phone(party: RelyingParty, dev, browser: BrowserContext):
    """WCAG 2.2 section 1.4.10: at 320 pixels nothing has to be scrolled sideways, and every scope is shown."""
    scopes = [f"warehouse:{'very' * 12}-long-name-of-shelf:{number}:read" for number in range(12)]
    name = "The " + "Donaudampfschifffahrtsgesellschaft" * 3
    asked = [word for scope in scopes for word in ("--scope", scope)]
    made = (
        ("resources", "create", "warehouse", "https://warehouse.example", *asked),
        ("roles", "create", "keeper", *asked),
        ("users", "give-role", "alice", "keeper"),
        ("clients", "create", "long", "--public", "--name", name, "--grant", "authorization_code", "--redirect-uri",
         "http://127.0.0.1/callback", *asked),
    )  # fmt: skip
    for command in made:
        done = dev.command(*command)
        assert done.returncode == 0, (command[:2], done.stderr)
    page = browser.new_page()
    page.set_viewport_size({"width": 320, "height": 640})
    page.goto(party.link(client_id="long", scope=" ".join(scopes)))
    fits(page)
    log_in(page)
    expect(page.locator(".scopes li")).to_have_count(len(scopes))
    fits(page)
    keep(page, "long")
    assert page.locator(".scopes li").all_inner_texts() == scopes


def fits(page: Page) -> None:
    page.wait_for_load_state("load")  # The stylesheet too.
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 320, page.url


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
