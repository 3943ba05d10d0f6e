"""Whatever is sent to the authorization and end session endpoints, the answer is one of those the specifications have."""

from __future__ import annotations

from collections import Counter

import pytest
from background_issuer import BackgroundIssuer, Browser
from browser import CALLBACK, Flow
from httpx2 import Response
from hypothesis import given
from hypothesis import strategies as st
from lengths import Length, both_lengths
from request_grammar import CANARY, Sent, authorization_requests, logout_requests
from rfc_oracle import is_address, judge_authorization, judge_logout, read_page, split_answer
from signing_in import log_in

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
METHODS = st.sampled_from(["GET", "GET", "POST"])


def send(browser: Browser, method: str, path: str, sent: Sent) -> Response:
    if method == "POST":
        return browser.send("POST", path, content=sent.encoded.encode(), headers=FORM)
    return browser.send("GET", f"{path}?{sent.encoded}")


@both_lengths
@pytest.mark.parametrize("is_logged_in", [False, True], ids=["stranger", "alice"])
def test_every_answer_of_the_authorization_endpoint_is_one_of_rfc_6749(
    server: BackgroundIssuer, length: Length, is_logged_in: bool
) -> None:
    """A02, A04, A05, A06, A07, A09, A10: no 5xx and no open redirect; errors of the list, in the grammar, with `iss` and the
    very state; never a code beside an error; nothing on a page that was sent."""
    browser, came = server.browser(), Counter[str]()
    if is_logged_in:
        log_in(browser)

    @length(250)
    @given(sent=authorization_requests(), method=METHODS)
    def examine(sent: Sent, method: str) -> None:
        server.log.empty()
        answer = send(browser, method, "/authorize", sent)
        came[judge_authorization(sent, answer)] += 1
        for secret in (*sent.all("client_secret"), *sent.all("code")):
            assert secret not in server.log.text

    examine()
    browser.close()
    # It must not be one long list of pages: answers that matter come up, or nothing was examined.
    assert {"page", "invalid_request", "/consent" if is_logged_in else "/login"} <= set(came), came
    assert ("code" in came) == is_logged_in, came


@both_lengths
def test_what_a_login_page_shows_of_a_request_is_text(server: BackgroundIssuer, length: Length) -> None:
    """A10, A64: what was sent as a hint is the value of a field and nowhere else, letter by letter."""
    browser = server.browser()

    @length(40)
    @given(hint=st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30) | st.just(f"\"'><b>{CANARY}&amp;"))
    def examine(hint: str) -> None:
        sent = browser.send("GET", "/authorize", params=Flow().parameters(login_hint=hint))
        page = read_page(browser.send("GET", sent.headers["location"]))
        (username,) = (each for each in page.all("input") if each["name"] == "username")
        assert username["value"] == hint

    examine()
    browser.close()


@both_lengths
@pytest.mark.parametrize("is_logged_in", [False, True], ids=["stranger", "alice"])
def test_every_answer_of_the_end_session_endpoint_is_a_page_or_a_registered_way_back(
    server: BackgroundIssuer, length: Length, is_logged_in: bool
) -> None:
    """A02, A10, A57: no hint, no client and no address leads anywhere that a client did not register for this; the hint of
    another login ends none."""
    browser, elsewhere, came = server.browser(), server.browser(), Counter[str]()
    hint = log_in(elsewhere)["id_token"]
    if is_logged_in:
        log_in(browser)

    @length(100)
    @given(sent=logout_requests(hint), method=METHODS)
    def examine(sent: Sent, method: str) -> None:
        server.log.empty()
        came[judge_logout(sent, send(browser, method, "/logout", sent))] += 1
        assert hint not in server.log.text

    examine()
    browser.close()
    elsewhere.close()
    assert set(came) == ({"asked", "page"} if is_logged_in else {"page", "back"}), came


def test_the_judge_of_addresses_can_say_no() -> None:
    """A01, A02: what every other test here rests on."""
    registered = "http://127.0.0.1/callback"
    assert is_address(CALLBACK, registered)
    for wrong in ("http://127.0.0.1@evil/callback", "http://localhost/callback", "http://127.0.0.1/callback/../x"):
        assert not is_address(wrong, registered)
    with pytest.raises(AssertionError, match="open redirect"):
        split_answer("https://evil.example/?code=1", (registered,))
    with pytest.raises(AssertionError, match="no URI"):
        split_answer(CALLBACK + "\\", (registered,))
