"""Swagger's Authorize button of the example service, against the identity server on another origin."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

pytestmark = pytest.mark.chromium


def authorize(page: Page, username: str, password: str) -> None:
    """Does what a person does: opens the dialog, types name and password, leaves the client's fields blank."""
    page.get_by_role("button", name="Authorize").first.click()
    page.get_by_label("username").fill(username)
    page.get_by_label("password").fill(password)
    page.locator(".modal-ux").get_by_role("button", name="Apply given OAuth2 credentials").click()


def call(page: Page, operation: str) -> str:
    """Executes an operation and returns the status that Swagger shows."""
    block = page.locator(f"#operations-default-{operation}")
    block.locator(".opblock-summary-control").click()
    block.get_by_role("button", name="Try it out").click()
    block.get_by_role("button", name="Execute").click()
    status = block.locator(".live-responses-table tbody .response-col_status").first
    expect(status).to_be_visible(timeout=10_000)
    return status.inner_text().split()[0]


def keep(page: Page, name: str) -> None:
    """Keeps a picture where SCREENSHOTS says, for whoever wants to look."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / name))


def test_the_authorize_button_logs_in_with_the_client_fields_left_blank(dev, browser: BrowserContext):
    """CORS lets the page read the answer, and the empty Basic header that Swagger sends means the default client."""
    page = browser.new_page()
    page.goto(f"{dev.orders}/docs")
    authorize(page, "alice", "wonderland")
    expect(page.get_by_role("heading", name="Authorized", exact=True)).to_be_visible(timeout=10_000)
    keep(page, "authorized.png")
    page.locator(".modal-ux .close-modal").click()
    assert call(page, "list_orders_orders_get") == "200"
    assert call(page, "place_order_orders_post") == "403"
    keep(page, "called.png")


def test_a_wrong_password_is_shown_as_the_servers_own_error(dev, browser: BrowserContext):
    page = browser.new_page()
    page.goto(f"{dev.orders}/docs")
    authorize(page, "alice", "not wonderland")
    error = page.locator(".modal-ux .errors")
    expect(error).to_contain_text("invalid_grant", ignore_case=True, timeout=10_000)
    keep(page, "refused.png")


def test_a_page_of_another_origin_cannot_log_in(dev, browser: BrowserContext):
    """A59: an origin that no client registered is refused by the browser, because the server does not allow it."""
    page = browser.new_page()
    page.goto(f"{dev.issuer}/health/live")
    allowed = page.evaluate(
        """async (url) => { try { await fetch(url, {method: 'POST', body: new URLSearchParams({a: 'b'})}); return true }
        catch { return false } }""",
        f"http://localhost:{dev.port}/token",
    )
    assert allowed is False
