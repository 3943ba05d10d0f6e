"""Auth.js with the settings of docs/clients.md signs somebody in, and refreshes (must show 1)."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from client_pages import sections
from person import Person

pytestmark = pytest.mark.foreign
APP = "http://127.0.0.1:54322"


def test_auth_js_signs_a_person_in(dev, node, run_command, tmp_path, monkeypatch):
    page = sections("clients.md")["Auth.js (NextAuth 5)"].at(issuer=dev.issuer, app=APP)
    made = run_command(*page.command)
    monkeypatch.setenv("AUTH_IDENTITY_ID", made["client_id"])
    monkeypatch.setenv("AUTH_IDENTITY_SECRET", made["client_secret"])
    person = Person(dev.issuer)
    told = node.converse("auth_js.mjs", person, app=APP, settings=page.blocks("js")[0], folder=str(tmp_path))
    assert {"code_challenge", "state", "nonce"} <= set(told["asked"])
    assert told["landed"] == APP
    assert told["session"]["user"] == {"name": "Alice", "email": "alice@example.com"}
    kept, refreshed = told["kept"], told["refreshed"]
    assert told["young"] == kept
    assert refreshed["refresh_token"] != kept["refresh_token"]
    assert refreshed["expires_at"] > kept["expires_at"] - 60
    assert told["over"] is None
    query = urlencode({"id_token_hint": kept["id_token"], "post_logout_redirect_uri": f"{APP}/"})
    assert person.follow(f"{dev.issuer}/logout?{query}") == f"{APP}/"
    assert person.leads_to_login(f"{dev.issuer}/authorize?{urlencode(told['asked'])}")
